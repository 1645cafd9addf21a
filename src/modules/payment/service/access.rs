//! Credentials of gateways: stored sealed, opened for one call, never shown.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Payments;
use crate::{
    kernel::{
        api::principal::ClientId,
        error::{Result, fault},
        store::{ReadTx, WriteTx},
    },
    modules::payment::{
        adapter::Access,
        contract::{GatewayId, GatewayKind},
        model::Gateway,
        repository::CREDENTIALS,
        routes::gateways::CredentialsIn,
    },
};

impl Payments {
    /// What the gateway is reached with.
    pub fn access(&self, tx: &ReadTx, client: ClientId, id: GatewayId) -> Result<Access> {
        let Some(row) = tx.get(&CREDENTIALS, &(client, id))? else { return Ok(Access::default()) };
        let open = |name: &str, sealed: Option<Vec<u8>>| -> Result<Option<Arc<Zeroizing<String>>>> {
            let Some(sealed) = sealed else { return Ok(None) };
            let bytes = self.secrets.open_sealed(&place(client, id, name), &sealed)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| fault!("the {name} of {id} is no text"))?;
            Ok(Some(Arc::new(Zeroizing::new(text.to_owned()))))
        };
        Ok(Access {
            secret_key: open("secret_key", row.secret_key)?,
            webhook_secret: open("webhook_secret", row.webhook_secret)?,
        })
    }

    /// Stores what is given in place of what was there. A sandbox that has no secret to sign with gets one.
    pub(super) fn keep_credentials(
        &self,
        tx: &mut WriteTx,
        (client, id): (ClientId, GatewayId),
        gateway: &mut Gateway,
        given: Option<&CredentialsIn>,
    ) -> Result<()> {
        let mut row = tx.get(&CREDENTIALS, &(client, id))?.unwrap_or_default();
        let before = row.clone();
        if let Some(key) = given.and_then(|it| it.secret_key.as_ref()) {
            let nonce = tx.random_bytes();
            row.secret_key = Some(self.secrets.seal(&place(client, id, "secret_key"), key.bytes(), nonce)?);
        }
        let secret = given.and_then(|it| it.webhook_secret.as_ref()).map(|it| it.bytes().to_vec());
        let made = |tx: &mut WriteTx| -> Vec<u8> {
            format!("whsec_{}", data_encoding::BASE32_NOPAD.encode(&tx.random_bytes::<32>())).into_bytes()
        };
        let needs_one =
            gateway.kind == GatewayKind::Sandbox && row.webhook_secret.is_none() && secret.is_none();
        if let Some(secret) = if needs_one { Some(made(tx)) } else { secret } {
            let (secret, nonce) = (Zeroizing::new(secret), tx.random_bytes());
            row.webhook_secret =
                Some(self.secrets.seal(&place(client, id, "webhook_secret"), &secret, nonce)?);
        }
        if row != before {
            (gateway.has_secret_key, gateway.has_webhook_secret) =
                (row.secret_key.is_some(), row.webhook_secret.is_some());
            tx.put(&CREDENTIALS, &(client, id), &row)?;
        }
        Ok(())
    }
}

/// What a secret is bound to: copied to another gateway, or in place of another, it does not open.
fn place(client: ClientId, id: GatewayId, name: &str) -> String {
    format!("payment.gateway_credentials/{client}/{id}/{name}")
}
