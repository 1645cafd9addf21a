//! Client: the tenants of an installation.
//!
//! Owns the clients (live or test) with their settings and branding, who has to approve what, their API keys, and the
//! secrets they store for gateways and mail; and how votes are counted (`votes.rs`), wherever several people agree.
//! Calls Currency and Role to set a new client up. Announces `client.created`, `client.activated`,
//! `client.deactivated`, `api_key.created`, `api_key.rotated`, `api_key.revoked`, `approval_policy.changed` and, thirty
//! days, seven and one before it ends, `api_key.expiring`. Hears `user.disabled`, in the same transaction: the keys that
//! person was shown are revoked.
//!
//! Always true: an amount in the settings is in the currency it was set in, the default one of then: no control changes
//! with the default currency. Of a key only a keyed hash is stored; its text is shown once, and the row says to whom
//! (`holders`), so that a key is no second person for its makers. A key is never made, replaced or revoked by somebody
//! who may do less than it. Whatever the route, rules for approving and controls in the settings (`model/loosened.rs`)
//! are loosened by two people only. What a client stores as a secret is encrypted, bound to client and name, and never
//! shown again.
//!
//! When a key was last used is kept in memory and written at most once a minute: a read is never a write.

mod approval;
pub mod contract;
pub mod events;
mod migrations;
mod model;
mod repository;
mod routes;
mod service;
mod votes;

use std::sync::Arc;

use self::{
    contract::{ClientContract, ClientRefusal},
    repository::{CLIENTS, KEY_WARNINGS, KEYS, KEYS_USED, POLICIES, SECRETS, SETTINGS_PROPOSALS},
    service::{ClientService, KEY_PREFIXES},
};
use crate::{
    kernel::{
        boot::{Boot, BootError, Module},
        events::{event::Mode, worker::Job},
    },
    modules::{currency::contract::CurrencyContract, role::contract::RoleContract},
};

pub const MODULE: Module = Module {
    name: "client",
    about: "Tenants, their settings, API keys and stored secrets",
    register,
    migrations: migrations::MIGRATIONS,
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(ClientService::new(
        boot.secrets(),
        boot.require::<dyn CurrencyContract>()?,
        boot.require::<dyn RoleContract>()?,
        boot.catalogue(),
    ));
    boot.tables(vec![
        CLIENTS.info(),
        KEYS.info(),
        KEYS_USED.info(),
        KEY_WARNINGS.info(),
        SECRETS.info(),
        POLICIES.info(),
        SETTINGS_PROPOSALS.info(),
    ]);
    boot.refusals(ClientRefusal::CATALOGUE.iter().copied());
    boot.alias("cli", "client");
    boot.alias("key", "api_key");
    events::announced(boot);
    boot.endpoints(routes::endpoints(&service));
    boot.listen_with(&service, "client.keys_of_the_disabled", Mode::Sync, ClientService::revoke_keys_of);

    let (waiting, writing) = (service.clone(), service.clone());
    boot.job(Job {
        name: "client.keys_used",
        due: Arc::new(move |_| Ok(waiting.last_used.due())),
        run: Arc::new(move |tx| writing.write_last_used(tx)),
    });
    boot.job(service::expiry::job());
    let checking = service.clone();
    boot.check("amounts in settings are in currencies there are", move |tx| checking.wrong_settings(tx));
    boot.authenticator(KEY_PREFIXES, service.clone());
    boot.service::<dyn ClientContract>("client", service.clone());
    boot.provide::<dyn ClientContract>(service)
}
