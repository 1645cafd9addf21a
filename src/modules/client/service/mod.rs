//! What can be done with clients, their keys and their secrets; here, what others ask for.

mod approvals;
mod authenticate;
mod clients;
pub mod expiry;
mod keys;
mod last_used;
mod secrets;

use std::sync::Arc;

use zeroize::Zeroizing;

pub use self::authenticate::KEY_PREFIXES;
use super::{
    contract::{ApprovalOperation, ApprovalPolicy, Client, ClientContract},
    model::key::{ApiKey, KeyStatus},
    repository::{self, KEYS, SECRETS, all},
};
use crate::{
    kernel::{
        api::{
            call::Caller,
            principal::{Actor, ClientId, Grants, KeyId, Principal},
        },
        boot::Catalogue,
        error::Result,
        last_used::LastUsed,
        money::Currency,
        secret::Secrets,
        store::ReadTx,
    },
    modules::{
        currency::contract::CurrencyContract,
        role::contract::{RoleContract, RoleId},
    },
};

pub struct ClientService {
    secrets: Arc<Secrets>,
    currencies: Arc<dyn CurrencyContract>,
    roles: Arc<dyn RoleContract>,
    catalogue: Catalogue,
    pub last_used: LastUsed<(ClientId, KeyId)>,
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

    /// Clients with an amount in their settings in a currency that is none, or has other decimals.
    pub fn wrong_settings(&self, tx: &ReadTx) -> Result<Vec<String>> {
        let mut wrong = vec![];
        for client in all(tx)? {
            for (name, amount) in client.settings.amounts() {
                if self.currencies.known(tx, amount.currency().code)? != Some(amount.currency()) {
                    wrong.push(format!("{}: {name} is {amount} {}", client.id, amount.currency().code));
                }
            }
        }
        Ok(wrong)
    }
}

impl ClientContract for ClientService {
    fn get(&self, tx: &ReadTx, client: ClientId) -> Result<Client> {
        Ok(repository::get(tx, client)?.client)
    }

    fn approval_policy(
        &self,
        tx: &ReadTx,
        client: ClientId,
        operation: ApprovalOperation,
    ) -> Result<ApprovalPolicy> {
        self.policy(tx, client, &self.get(tx, client)?.settings, operation)
    }

    fn secret(&self, tx: &ReadTx, client: ClientId, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let row = tx.get(&SECRETS, &(client, name.to_owned()))?;
        row.map(|it| self.secrets.open_sealed(&secrets::place(client, name), &it.sealed)).transpose()
    }

    fn held_by(&self, tx: &ReadTx, client: ClientId, actor: Actor) -> Result<Vec<Actor>> {
        keys::held_by(tx, client, actor)
    }

    fn same_person(&self, tx: &ReadTx, client: ClientId, a: Actor, b: Actor) -> Result<bool> {
        if a == b {
            return Ok(true);
        }
        let these = keys::held_by(tx, client, a)?;
        let others = keys::held_by(tx, client, b)?;
        Ok(these.iter().any(|it| others.contains(it)))
    }

    fn key_grants(&self, tx: &ReadTx, client: ClientId, key: KeyId) -> Result<Option<Grants>> {
        let key = tx.get(&KEYS, &(client, key))?.filter(|it| it.status(tx.now()) == KeyStatus::Active);
        Ok(key.map(ApiKey::grants))
    }

    fn is_on_committee(&self, tx: &ReadTx, client: ClientId, role: RoleId) -> Result<bool> {
        self.has_votes(tx, client, role)
    }

    fn all(&self, tx: &ReadTx) -> Result<Vec<ClientId>> {
        Ok(all(tx)?.into_iter().map(|it| it.id).collect())
    }
}

/// `caller`, acting inside `client`: so that what an operator does to a client stands among the client's events.
fn inside(caller: &Caller, client: ClientId) -> Caller {
    Caller { principal: Principal { client: Some(client), ..caller.principal.clone() }, ..caller.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        kernel::{
            api::object::Times,
            boot::Boot,
            clock::Time,
            id::Id as _,
            store::{Store, StoreOptions, WriteTx},
        },
        modules::{client::model::SecretRow, currency, role},
    };

    fn us() -> ClientId {
        ClientId::from_bytes([1; 16])
    }

    /// The contract over an empty store, as boot wires it.
    fn clients() -> (Store, Arc<dyn ClientContract>, Arc<Secrets>) {
        let (store, secrets) = (Store::in_memory(StoreOptions::default()), Arc::new(Secrets::new(&[7; 32])));
        let mut boot = Boot::new(store.clone(), secrets.clone(), Arc::new(Config::default()), true);
        for module in [&currency::MODULE, &role::MODULE, &super::super::MODULE] {
            boot.register(module).unwrap();
        }
        let clients = boot.require::<dyn ClientContract>().unwrap();
        (store, clients, secrets)
    }

    #[test]
    fn a_stored_secret_opens_for_its_client_under_its_name_alone() {
        let (store, clients, secrets) = clients();
        let place = super::secrets::place;
        let test = move |tx: &mut WriteTx| {
            let sealed = secrets.seal(&place(us(), "smtp"), b"hunter2", [1; 24])?;
            let row = SecretRow { sealed, set_by: Actor::System, times: Times::at(Time::ZERO) };
            let them = ClientId::from_bytes([2; 16]);
            for (client, name) in [(us(), "smtp"), (us(), "copied"), (them, "smtp")] {
                tx.put(&SECRETS, &(client, name.to_owned()), &row)?;
            }
            assert_eq!(clients.secret(tx, us(), "smtp")?.unwrap().as_slice(), b"hunter2");
            assert_eq!(clients.secret(tx, us(), "never_set")?, None);
            assert!(clients.secret(tx, us(), "copied").is_err());
            assert!(clients.secret(tx, them, "smtp").is_err());
            Ok(())
        };
        store.write_blocking(test).unwrap();
    }
}
