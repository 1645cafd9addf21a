//! Stored secrets over HTTP: they go in and do not come out.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    kernel::{
        api::{
            call::{Call, found},
            endpoint::{Endpoint, delete, get, put},
            input::{Field, Flaw, Flaws, input},
            principal::Actor,
        },
        clock::Time,
    },
    modules::client::{
        model::{SecretName, SecretRow},
        repository::SECRETS,
        service::ClientService,
    },
};

input! {
    /// A secret to be stored.
    pub struct SecretIn {
        /// At most 16 KiB: a password, a token, a private key.
        #[schema(value_type = String)]
        value: SecretText,
    }
}

/// A text that is wiped when it goes. Without `Debug`, so that it stands in no log.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Field for SecretText {
    fn parse(value: Value) -> Result<Self, Flaws> {
        let Value::String(text) = value else {
            return Err(vec![Flaw::new("", "invalid_type", "must be a string")]);
        };
        let text = Zeroizing::new(text);
        if (1..=16 * 1024).contains(&text.len()) {
            return Ok(SecretText(text));
        }
        Err(vec![Flaw::new("", "out_of_range", "must have 1 to 16384 bytes")])
    }
}

/// A stored secret, without its value.
#[derive(Serialize, utoipa::ToSchema)]
pub struct SecretOut {
    #[schema(value_type = String)]
    object: &'static str,
    name: String,
    set_at: Time,
    set_by: Actor,
    created_at: Time,
    updated_at: Time,
    version: u64,
}

/// A secret that is no more.
#[derive(Serialize, utoipa::ToSchema)]
pub struct SecretDeletedOut {
    #[schema(value_type = String)]
    pub object: &'static str,
    pub name: String,
    pub deleted: bool,
}

impl SecretOut {
    pub fn of(name: &str, SecretRow { set_by, times, .. }: SecretRow) -> SecretOut {
        SecretOut {
            object: "secret",
            name: name.to_owned(),
            set_at: times.updated_at,
            set_by,
            created_at: times.created_at,
            updated_at: times.updated_at,
            version: times.version,
        }
    }
}

pub fn endpoints(service: &Arc<ClientService>) -> Vec<Endpoint> {
    vec![
        get("/secrets/{name}")
            .about("Show when a secret was set; never its value")
            .needs("secrets.view_any")
            .reads(|tx, call: &Call<SecretName>| {
                let row = tx.get(&SECRETS, &(call.caller.client()?, call.path.0.clone()))?;
                Ok(SecretOut::of(&call.path.0, found(row)?))
            }),
        put("/secrets/{name}")
            .about("Store a secret, in place of what had the name; it is encrypted and never shown")
            .needs("secrets.update_any")
            .example(json!({ "value": "a password" }))
            .writes_with(service, ClientService::set_secret),
        delete("/secrets/{name}")
            .about("Delete a secret")
            .needs("secrets.delete_any")
            .versioned()
            .writes_with(service, ClientService::delete_secret),
    ]
}
