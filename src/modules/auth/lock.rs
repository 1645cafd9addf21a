//! The lock after too many wrong passwords.
//!
//! A try is counted *before* its password is looked at, and forgotten when the password was right: a hundred guesses
//! sent at once get no further than a hundred in a row. What is counted is an address, whether or not it is an
//! account's, so that the lock tells nobody which it is. Rows vanish by themselves when their time is over: how many
//! there are is bounded by the rate at which strangers may ask.

use std::time::Duration;

use super::contract::AuthRefusal;
use crate::{
    config::Auth,
    kernel::{
        api::principal::ClientId,
        clock::Time,
        error::Result,
        events::outbox::client_key,
        secret::Secrets,
        store::{
            Index, Key, Table, WriteTx,
            codec::{Decode, Encode, row},
        },
    },
};

pub const BY_EXPIRY: &str = "auth.sign_in_tries_by_expiry";

/// (client, hash of an address) → the tries in a row. Operators stand under the all-zero client.
pub const TRIES: Table<(ClientId, [u8; 32]), Tries> = Table::new("auth.sign_in_tries")
    .with_indexes(&[Index::listing(BY_EXPIRY, |_, row| vec![row.expires_at.to_key()])]);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Tries {
    /// Above zero.
    pub count: u32,
    /// When they are forgotten, or the lock ends.
    pub expires_at: Time,
}
row!(Tries);

/// What one signs in to: an address of a client, or of the installation.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    client: ClientId,
    pub hash: [u8; 32],
}

impl Account {
    /// `email` as it is kept. Hashed with the installation's key: the table tells nobody who tried.
    pub fn new(secrets: &Secrets, client: Option<ClientId>, email: &str) -> Account {
        Account::of("sign-in", secrets, client, email)
    }

    /// The same for something else than signing in, counted apart.
    pub fn of(what: &str, secrets: &Secrets, client: Option<ClientId>, email: &str) -> Account {
        let client = client_key(client);
        Account { client, hash: secrets.hash(&format!("{what}\n{client}\n{email}")) }
    }
}

/// How many tries, and for how long it is locked after them.
#[derive(Debug, Clone, Copy)]
pub struct Lock {
    tries: u32,
    lasts: Duration,
}

impl Lock {
    pub fn new(config: &Auth) -> Lock {
        Lock::of(config.sign_in_attempts, Duration::from_secs(60 * config.lock_minutes))
    }

    pub fn of(tries: u32, lasts: Duration) -> Lock {
        Lock { tries, lasts }
    }

    /// Counts a try; whether there was one left. For what says nothing when there is none.
    pub fn may_try(&self, tx: &mut WriteTx, account: Account) -> Result<bool> {
        match self.begin_try(tx, account) {
            Ok(()) => Ok(true),
            Err(error) if error.refusal::<AuthRefusal>().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Counts a try. Refuses `account_locked`.
    pub fn begin_try(&self, tx: &mut WriteTx, account: Account) -> Result<()> {
        let key = (account.client, account.hash);
        let now = tx.now();
        let before = tx.get(&TRIES, &key)?.filter(|it| it.expires_at > now);
        if let Some(Tries { expires_at, .. }) = before.as_ref().filter(|it| it.count >= self.tries) {
            let retry_after_s = expires_at.since(now).as_millis().div_ceil(1000) as u64;
            return Err(AuthRefusal::AccountLocked { retry_after_s }.into());
        }

        let count = before.map_or(0, |it| it.count) + 1;
        tx.put(&TRIES, &key, &Tries { count, expires_at: now.after(self.lasts) })
    }

    /// The password was right.
    pub fn forget_tries(&self, tx: &mut WriteTx, account: Account) -> Result<()> {
        tx.delete(&TRIES, &(account.client, account.hash)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        clock::Clock,
        store::{Store, StoreOptions, codec::golden},
    };

    #[test]
    fn the_lock_comes_after_the_last_try_and_ends_by_itself() {
        let clock = Clock::manual(Time::from_micros(0));
        let store = Store::in_memory(StoreOptions { clock: clock.clone(), ..StoreOptions::default() });
        let lock = Lock::new(&Auth { sign_in_attempts: 2, lock_minutes: 1, ..Auth::default() });
        let secrets = Secrets::new(&[1; 32]);
        let [ann, bob] = ["ann@example.com", "bob@example.com"].map(|it| Account::new(&secrets, None, it));
        let try_as = |who| {
            let tried = store.write_blocking(move |tx| lock.begin_try(tx, who));
            tried.map_err(|it| it.to_string())
        };
        let locked =
            |seconds| Err(format!("account_locked: too many wrong passwords; try again in {seconds} s"));
        assert_eq!([try_as(ann), try_as(ann)], [Ok(()), Ok(())]);
        assert_eq!(try_as(ann), locked(60));
        assert_eq!(try_as(bob), Ok(()));
        clock.advance(Duration::from_secs(59));
        assert_eq!(try_as(ann), locked(1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(try_as(ann), Ok(()), "the lock has ended");
        store.write_blocking(move |tx| lock.forget_tries(tx, ann)).unwrap();
        assert_eq!([try_as(ann), try_as(ann), try_as(ann)], [Ok(()), Ok(()), locked(60)]);
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden(
            "auth.sign_in_tries",
            &Tries { count: 3, expires_at: Time::from_micros(1_795_342_000_000_000) },
        );
    }
}
