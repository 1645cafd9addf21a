//! What can be done with clients, their keys and their secrets; here, what others ask for.

mod authenticate;
mod clients;
mod keys;
mod last_used;
mod secrets;

use std::sync::Arc;

use zeroize::Zeroizing;

use self::last_used::LastUsed;
pub use self::{
    authenticate::KEY_PREFIXES,
    keys::{CreatedKey, NewKey},
};
use super::{
    contract::{Client, ClientContract, FeeOperation},
    repository::{self, CLIENTS, all},
};
use crate::{
    kernel::{
        api::{
            call::Caller,
            principal::{ClientId, Principal},
        },
        boot::Catalogue,
        error::Result,
        money::{Amount, Currency},
        secret::Secrets,
        store::{ReadTx, WriteTx},
    },
    modules::{
        currency::{contract::CurrencyContract, events::CurrencyDefaultChanged},
        role::contract::RoleContract,
    },
};

pub struct ClientService {
    secrets: Arc<Secrets>,
    currencies: Arc<dyn CurrencyContract>,
    roles: Arc<dyn RoleContract>,
    catalogue: Catalogue,
    pub last_used: LastUsed,
}

impl ClientService {
    pub fn new(
        secrets: Arc<Secrets>,
        currencies: Arc<dyn CurrencyContract>,
        roles: Arc<dyn RoleContract>,
        catalogue: Catalogue,
    ) -> ClientService {
        ClientService { secrets, currencies, roles, catalogue, last_used: LastUsed::default() }
    }

    pub fn default_currency(&self, tx: &ReadTx, client: ClientId) -> Result<Currency> {
        self.currencies.default_of(tx, client)
    }

    /// The client's default currency changed: see `Settings::rebased`.
    pub fn rebase_settings(&self, tx: &mut WriteTx, event: &CurrencyDefaultChanged) -> Result<()> {
        let mut row = repository::get(tx, event.client_id)?;
        let client = &mut row.client;
        let new = self.currencies.default_of(tx, client.id)?;
        let old = self.currencies.known(tx, event.previous)?.unwrap_or(new);
        client.settings = client.settings.clone().rebased(client.mode, old, new)?;
        client.updated_at = tx.now();
        client.version += 1;
        tx.put(&CLIENTS, &event.client_id, &row)
    }

    /// Clients with an amount in their settings that is not in their default currency.
    pub fn wrong_settings(&self, tx: &ReadTx) -> Result<Vec<String>> {
        let mut wrong = vec![];
        for client in all(tx)? {
            let default = self.currencies.default_of(tx, client.id)?;
            if let Some(amount) = client.settings.amounts().find(|it| it.currency() != default) {
                wrong.push(format!("{}: {amount}", client.id));
            }
        }
        Ok(wrong)
    }
}

impl ClientContract for ClientService {
    fn get(&self, tx: &ReadTx, client: ClientId) -> Result<Client> {
        Ok(repository::get(tx, client)?.client)
    }

    fn fee(&self, tx: &ReadTx, client: ClientId, operation: FeeOperation, amount: Amount) -> Result<Amount> {
        let fees = repository::get(tx, client)?.client.settings.fees;
        match operation {
            FeeOperation::Funding => fees.funding.fee(amount),
            FeeOperation::Withdrawal => fees.withdrawal.fee(amount),
        }
    }

    fn secret(&self, tx: &ReadTx, client: ClientId, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        self.open_secret(tx, client, name)
    }

    fn all(&self, tx: &ReadTx) -> Result<Vec<ClientId>> {
        Ok(all(tx)?.into_iter().map(|it| it.id).collect())
    }
}

/// `caller`, acting inside `client`: so that what an operator does to a client stands among the client's events.
fn inside(caller: &Caller, client: ClientId) -> Caller {
    Caller { principal: Principal { client: Some(client), ..caller.principal.clone() }, ..caller.clone() }
}
