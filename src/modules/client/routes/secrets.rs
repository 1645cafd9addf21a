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

/// A secret to be stored.
#[derive(utoipa::ToSchema)]
pub struct SecretIn {
    /// At most 16 KiB: a password, a token, a private key.
    #[schema(value_type = String)]
    pub value: SecretText,
}
input!(SecretIn { value });

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
    object: &'static str,
    name: String,
    deleted: bool,
}

pub fn endpoints(service: &Arc<ClientService>) -> Vec<Endpoint> {
    let (setting, deleting) = (service.clone(), service.clone());
    vec![
        get("/secrets/{name}")
            .about("Show when a secret was set; never its value")
            .needs("secrets.view_any")
            .reads(|tx, call: &Call<SecretName>| {
                let row = tx.get(&SECRETS, &(call.caller.client()?, call.path.0.clone()))?;
                Ok(out(&call.path, found(row)?))
            }),
        put("/secrets/{name}")
            .about("Store a secret, in place of what had the name; it is encrypted and never shown")
            .needs("secrets.update_any")
            .example(json!({ "value": "a password" }))
            .writes(move |tx, call: &Call<SecretName, SecretIn>| {
                Ok(out(&call.path, setting.set_secret(tx, call)?))
            }),
        delete("/secrets/{name}").about("Delete a secret").needs("secrets.delete_any").versioned().writes(
            move |tx, call: &Call<SecretName>| {
                deleting.delete_secret(tx, call)?;
                Ok(SecretDeletedOut { object: "secret", name: call.path.0.clone(), deleted: true })
            },
        ),
    ]
}

fn out(name: &SecretName, row: SecretRow) -> SecretOut {
    SecretOut {
        object: "secret",
        name: name.0.clone(),
        set_at: row.updated_at,
        set_by: row.set_by,
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
    }
}
