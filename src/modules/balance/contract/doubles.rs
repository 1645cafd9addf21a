//! A real ledger for use-case tests, on stand-ins for the currencies, the users and the clients.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use zeroize::Zeroizing;

use crate::{
    kernel::{
        api::{
            call::Caller,
            object::Stamp,
            principal::{Actor, ClientId, UserId},
            problem::ApiRefusal,
        },
        clock::Time,
        error::Result,
        id::Id as _,
        money::{Amount, Currency, CurrencyCode},
        store::{ReadTx, WriteTx},
    },
    modules::{
        balance::service::Ledger,
        client::contract::{Client, ClientContract},
        currency::contract::{CurrencyContract, CurrencyRefusal},
        market::contract::{MarketContract, MarketRefusal, RateFound},
        user::contract::{NewUser, User, UserContract, UserStatus},
    },
};

pub fn client() -> ClientId {
    ClientId::from_bytes([1; 16])
}

pub fn usd() -> Currency {
    Currency { code: "USD".parse().unwrap(), decimals: 2 }
}

pub fn btc() -> Currency {
    Currency { code: "BTC".parse().unwrap(), decimals: 8 }
}

pub fn amount(minor: i128) -> Amount {
    Amount::new(minor, usd()).unwrap()
}

/// A user of [`Users`]: 1 to 9 are active.
pub fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

/// A ledger for which the users are as `users` says.
pub fn ledger_with(users: Arc<Users>) -> Ledger {
    Ledger { currencies: Arc::new(Currencies), users, clients: Arc::new(Clients), market: Arc::new(NoPrices) }
}

/// Nothing has a price.
struct NoPrices;

impl MarketContract for NoPrices {
    fn rate(&self, _: ClientId, from: CurrencyCode, to: CurrencyCode) -> Result<RateFound> {
        let (pair, reason) = (format!("{from}/{to}"), "there is no market for it".to_owned());
        Err(MarketRefusal::RateUnavailable { pair, reason, age_s: None }.into())
    }
}

/// Nobody holds a key.
struct Clients;

impl ClientContract for Clients {
    fn get(&self, _: &ReadTx, _: ClientId) -> Result<Client> {
        unreachable!()
    }
    fn secret(&self, _: &ReadTx, _: ClientId, _: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        unreachable!()
    }
    fn same_person(&self, _: &ReadTx, _: ClientId, a: Actor, b: Actor) -> Result<bool> {
        Ok(a == b)
    }
    fn all(&self, _: &ReadTx) -> Result<Vec<ClientId>> {
        unreachable!()
    }
}

/// USD and BTC are active, EUR is known.
pub struct Currencies;

impl CurrencyContract for Currencies {
    fn active(&self, _: &ReadTx, _: ClientId, code: CurrencyCode) -> Result<Currency> {
        let found = [usd(), btc()].into_iter().find(|it| it.code == code);
        found.ok_or_else(|| CurrencyRefusal::CurrencyInactive { currency: code }.into())
    }
    fn known(&self, _: &ReadTx, code: CurrencyCode) -> Result<Option<Currency>> {
        let eur = Currency { code: "EUR".parse().unwrap(), decimals: 2 };
        Ok([usd(), btc(), eur].into_iter().find(|it| it.code == code))
    }
    fn is_crypto(&self, _: &ReadTx, code: CurrencyCode) -> Result<bool> {
        Ok(code == btc().code)
    }
    fn default_of(&self, _: &ReadTx, _: ClientId) -> Result<Currency> {
        Ok(usd())
    }
    fn use_currency(&self, _: &mut WriteTx, _: CurrencyCode) -> Result<()> {
        Ok(())
    }
    fn set_up_client(&self, _: &mut WriteTx, _: ClientId, _: CurrencyCode) -> Result<()> {
        Ok(())
    }
    fn activate(&self, _: &mut WriteTx, _: ClientId, _: CurrencyCode) -> Result<()> {
        Ok(())
    }
}

/// The users 1 to 9 of [`client`]; active unless said otherwise.
#[derive(Default)]
pub struct Users {
    pub status: Mutex<BTreeMap<UserId, UserStatus>>,
}

impl UserContract for Users {
    fn find(&self, _: &ReadTx, client: ClientId, id: UserId) -> Result<Option<User>> {
        let exists = client == self::client() && (1..=9).any(|number| user(number) == id);
        let status = self.status.lock().unwrap().get(&id).copied().unwrap_or(UserStatus::Active);
        Ok(exists.then(|| User {
            id,
            email: "user@example.com".into(),
            pending_email: None,
            first_name: "Ann".into(),
            last_name: "Example".into(),
            phone: None,
            status,
            roles: vec![],
            tier: "standard".into(),
            referral_code: "R".into(),
            referred_by: None,
            stamp: Stamp::at(Time::ZERO),
        }))
    }
    fn get(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<User> {
        self.find(tx, client, user)?.ok_or_else(|| ApiRefusal::NotFound.into())
    }
    fn with_role(
        &self,
        _: &ReadTx,
        _: ClientId,
        _: crate::modules::role::contract::RoleId,
        _: usize,
    ) -> Result<Vec<User>> {
        unreachable!()
    }
    fn find_by_email(&self, _: &ReadTx, _: ClientId, _: &str) -> Result<Option<User>> {
        unreachable!()
    }
    fn create(&self, _: &mut WriteTx, _: &Caller, _: ClientId, _: NewUser) -> Result<User> {
        unreachable!()
    }
    fn password_hash(&self, _: &ReadTx, _: ClientId, _: UserId) -> Result<Option<String>> {
        unreachable!()
    }
    fn set_password_hash(&self, _: &mut WriteTx, _: ClientId, _: UserId, _: String) -> Result<()> {
        unreachable!()
    }
    fn show(&self, _: &ReadTx, _: ClientId, _: User) -> Result<crate::modules::user::contract::UserOut> {
        unreachable!()
    }
}
