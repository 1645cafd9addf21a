//! A journal entry: what is stored of it, what is hashed of it, what its id says.
//!
//! The id is a UUIDv7 (RFC 9562 §5.7) made of what the entry has anyway, so that it is not stored, needs no index,
//! and leads to the number by arithmetic:
//!
//! ```text
//! bits   48 milliseconds · 4 version 7 · 12 microseconds of the millisecond · 2 variant · 22 of the client · 40 number
//! ```
//!
//! The hash is SHA-256 over this canonical form, numbers big endian, a text as its length (4 bytes) and its UTF-8:
//!
//! ```text
//! "coffer.entry.1" · client 16 · number 8 · time in µs 8 · cause · description
//! · reverses: 0, or 1 and the id 16 · count of postings 4 · each: account 27 · delta 16 · balance after 16
//! · hash of the entry before (32 zeros before the first) 32
//! ```

use super::chain::Links;
use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    id::Id as _,
    money::Currency,
    secret::sha256,
    store::{
        Key as _,
        codec::{Decode, Encode, row},
    },
};
use crate::modules::balance::{
    contract::{Account, EntryId},
    model::wallet::{WalletKey, kind_of},
};

/// Entries per client: 2^40 - 1, a million a second for twelve days; a thousand a second for 34 years.
pub const MOST_ENTRIES: u64 = (1 << 40) - 1;

/// An entry of the journal. Its number is its key, its id follows from both.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Entry {
    pub at: Time,
    pub cause: String,
    pub description: String,
    pub reverses: Option<EntryId>,
    /// At most one per account; never empty.
    pub postings: Vec<Posting>,
    pub hash: Hash,
}
row!(Entry);

pub type Hash = [u8; 32];

/// How an entry moved one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Posting {
    pub account: Account,
    pub delta: i128,
    pub balance_after: i128,
    /// The entry of the account's posting before this one; 0 for the first. See `chain.rs`.
    pub previous: u64,
    /// The entry of an older posting; 0 for none.
    pub jump: u64,
}

impl Posting {
    pub fn links(&self) -> Links {
        Links { previous: self.previous, jump: self.jump }
    }
}

impl Entry {
    pub fn posting(&self, account: &Account) -> Option<&Posting> {
        self.postings.iter().find(|it| it.account == *account)
    }

    /// Per currency; zero when the entry is right.
    pub fn sums(&self) -> Vec<(Currency, i128)> {
        let mut sums: Vec<(Currency, i128)> = vec![];
        for Posting { account, delta, .. } in &self.postings {
            match sums.iter_mut().find(|it| it.0 == account.currency) {
                Some((_, sum)) => *sum = sum.saturating_add(*delta),
                None => sums.push((account.currency, *delta)),
            }
        }
        sums
    }

    /// What `hash` must be, given the hash of the entry before.
    pub fn hash_after(&self, client: ClientId, number: u64, previous: &Hash) -> Hash {
        let texts = self.cause.len() + self.description.len();
        let mut form = Vec::with_capacity(160 + texts + self.postings.len() * 59);
        form.extend_from_slice(b"coffer.entry.1");
        form.extend_from_slice(&client.bytes());
        form.extend_from_slice(&number.to_be_bytes());
        form.extend_from_slice(&self.at.micros().to_be_bytes());
        for text in [&self.cause, &self.description] {
            form.extend_from_slice(&(text.len() as u32).to_be_bytes());
            form.extend_from_slice(text.as_bytes());
        }
        form.push(u8::from(self.reverses.is_some()));
        if let Some(id) = self.reverses {
            form.extend_from_slice(&id.bytes());
        }
        form.extend_from_slice(&(self.postings.len() as u32).to_be_bytes());
        for posting in &self.postings {
            WalletKey::of(&posting.account).write(&mut form);
            form.push(kind_of(&posting.account) as u8);
            form.extend_from_slice(&posting.delta.to_be_bytes());
            form.extend_from_slice(&posting.balance_after.to_be_bytes());
        }
        form.extend_from_slice(previous);
        sha256(&form)
    }
}

/// The id of entry `number`, posted at `at`.
pub fn entry_id(client: ClientId, number: u64, at: Time) -> EntryId {
    let micros = u64::try_from(at.micros()).unwrap_or(0);
    let (millis, fraction) = (micros / 1000, micros % 1000);
    let of_client = u64::from_be_bytes(*client.bytes().last_chunk().unwrap_or(&[0; 8])) & ((1 << 22) - 1);
    let high = millis << 16 | 7 << 12 | fraction;
    let low = 0b10 << 62 | of_client << 40 | number & MOST_ENTRIES;
    EntryId::from_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

/// The number an id speaks of. Whether there is such an entry, and whether it has this id, is another matter.
pub fn number_of(id: EntryId) -> u64 {
    u64::from_be_bytes(*id.bytes().last_chunk().unwrap_or(&[0; 8])) & MOST_ENTRIES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::{
        api::principal::UserId,
        money::Currency,
        store::codec::{Row as _, golden},
    };
    use crate::modules::balance::contract::{HouseAccount, UserAccount};

    fn entry() -> Entry {
        let currency = Currency { code: "USD".parse().unwrap(), decimals: 2 };
        let user = UserId::from_bytes([2; 16]);
        let posting =
            |account, delta, balance_after| Posting { account, delta, balance_after, previous: 3, jump: 2 };
        Entry {
            at: Time::from_micros(1_795_342_000_000_000),
            cause: "tfr_1".into(),
            description: "Transfer".into(),
            reverses: Some(EntryId::from_bytes([4; 16])),
            postings: vec![
                posting(Account::user(user, UserAccount::Available, currency), -500, 100),
                posting(Account::house(HouseAccount::Clearing([9; 16]), currency), 500, -100),
            ],
            hash: [5; 32],
        }
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden("balance.entries", &entry());
    }

    #[test]
    fn everything_that_matters_is_hashed() {
        let client = ClientId::from_bytes([1; 16]);
        let hash = |entry: &Entry| entry.hash_after(client, 7, &[0; 32]);
        let base = hash(&entry());
        let change = |change: fn(&mut Entry)| {
            let mut entry = entry();
            change(&mut entry);
            assert_ne!(hash(&entry), base);
        };
        change(|it| it.at = Time::ZERO);
        change(|it| it.cause.push('0'));
        change(|it| (it.cause, it.description) = ("tfr_1T".into(), "ransfer".into()));
        change(|it| it.reverses = None);
        change(|it| it.postings[0].delta = -501);
        change(|it| it.postings[1].balance_after = 0);
        change(|it| it.postings[0].account.currency.decimals = 3);
        change(|it| it.postings.truncate(1));
        change(|it| it.postings.swap(0, 1));
        assert_ne!(entry().hash_after(client, 8, &[0; 32]), base);
        assert_ne!(entry().hash_after(client, 7, &[1; 32]), base);
        assert_ne!(entry().hash_after(ClientId::from_bytes([2; 16]), 7, &[0; 32]), base);
    }

    #[test]
    fn the_hash_of_an_entry_is_the_same_in_every_release_and_language() {
        // Computed apart, in Python, from the form above.
        let hash = entry().hash_after(ClientId::from_bytes([1; 16]), 7, &[0; 32]);
        let shown = data_encoding::HEXLOWER.encode(&hash);
        assert_eq!(shown, "6f6a6d26e210b7dead56b02514101d79725c24eda37ae8ffa0e56ef2031f2ee8");
        assert!(entry().encode_row().len() < 170, "{}", entry().encode_row().len());
    }

    proptest! {
        #[test]
        fn an_id_leads_to_its_number_and_sorts_by_time(
            client: [u8; 16], number in 1..MOST_ENTRIES, micros in 0i64..1 << 50, later in 1i64..1 << 40,
        ) {
            let client = ClientId::from_bytes(client);
            let id = entry_id(client, number, Time::from_micros(micros));
            prop_assert_eq!(number_of(id), number);
            prop_assert_eq!((id.bytes()[6] >> 4, id.bytes()[8] >> 6), (7, 2), "version and variant of RFC 9562");
            prop_assert!(entry_id(client, 1, Time::from_micros(micros + later)) > id);
        }
    }
}
