//! Which address is whose: key → value in words, and handing one out.
//!
//! A chain knows no clients and no gateways: money at an address is there once, whoever tells of it. So an address is
//! somebody's in the whole installation, in whatever letters it is written; and the accounts addresses are derived
//! from are counted for all gateways that derive from them together, so that a gateway that follows another one with
//! the same key goes on where that one stopped.

use sha2::{Digest as _, Sha256};

use super::{
    address::{is_address, is_known},
    derive,
    watch::next_look,
};
use crate::{
    kernel::{
        api::{
            input::Flaw,
            object::{Times, save, timed},
            principal::ClientId,
        },
        clock::Time,
        error::{Result, fault},
        id::Id as _,
        store::{
            Index, Key as _, ReadTx, Scan, Table, WriteTx,
            codec::{Decode, Encode, row},
        },
    },
    modules::payment::{
        before::AddressV1,
        contract::{AddressId, AttemptId, GatewayId, PaymentId, PaymentRefusal},
        model::Gateway,
    },
};

pub type AddressKey = (ClientId, GatewayId, u64);

/// (client, gateway, number from 0) → address
pub const ADDRESSES: Table<AddressKey, Address> = Table::new("payment.addresses").with_indexes(&[
    // (client, gateway) → those nobody has, oldest first
    Index::listing(FREE, |key, row| match row.attempt {
        None => vec![(key.0, key.1).to_key()],
        Some(_) => vec![],
    }),
    // when → addresses that are to be looked at
    Index::listing(WATCHED, |_, row| row.watch_at.iter().map(|it| it.to_key()).collect()),
]);
const FREE: &str = "payment.addresses_free";
pub const WATCHED: &str = "payment.addresses_watched";

/// an address, as [`form`] writes it → whose it is, in the whole installation
pub const OWNERS: Table<String, Owner> = Table::new("payment.address_owners");

/// an account, named by its first address → the index of the first address nobody was shown, in the whole installation
pub const ACCOUNTS: Table<String, Account> = Table::new("payment.address_accounts");

/// An address of a gateway.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Address {
    pub text: String,
    /// Whose it is, once it was handed out.
    pub attempt: Option<(PaymentId, AttemptId)>,
    /// How often an explorer was asked about it since its payment needs nothing more.
    pub looks: u32,
    /// When that is due again. Invariant: `None` until it is handed out.
    pub watch_at: Option<Time>,
    pub times: Times,
}
row!(Address, 2, { 1 => AddressV1 });
timed!(Address);

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Owner {
    pub client: ClientId,
    pub gateway: GatewayId,
    pub number: u64,
}
row!(Owner);

/// How far the addresses of an account were used.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Account {
    pub next: u32,
}
row!(Account);

/// One address has one form, however it is written: hexadecimal and bech32 are the same in capitals. Where case tells
/// addresses apart (base58), two that differ by nothing else do not occur: it would be a collision of 130 bits.
pub fn form(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// An address's own id: made of the address, which is there once.
pub fn id(text: &str) -> AddressId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(form(text))[..16]);
    AddressId::from_bytes(bytes)
}

/// An address that nobody was shown before, for this attempt. Refuses `gateway_unavailable` when the pool is empty.
pub fn hand_out(
    tx: &mut WriteTx,
    (client, id): (ClientId, GatewayId),
    gateway: &Gateway,
    attempt: (PaymentId, AttemptId),
) -> Result<String> {
    let watch_at = next_look(0).map(|it| tx.now().after(it));
    if let Some(xpub) = &gateway.setup.xpub {
        let text = derive_next(tx, id, xpub)?;
        let row = Address { text, attempt: Some(attempt), looks: 0, watch_at, times: Times::at(tx.now()) };
        let number = count(tx, client, id)?;
        add(tx, (client, id, number), &row)?;
        return Ok(row.text);
    }
    let free = tx.scan_index(&ADDRESSES, FREE, Scan::prefix(&(client, id))).next().transpose()?;
    let none = || PaymentRefusal::GatewayUnavailable { reason: "addresses".to_owned() };
    let (key, mut row) = free.ok_or_else(none)?;
    (row.attempt, row.watch_at) = (Some(attempt), watch_at);
    save(tx, &ADDRESSES, &key, &mut row)?;
    Ok(row.text)
}

/// The first address of the account that is nobody's: some may have been typed into a pool.
fn derive_next(tx: &mut WriteTx, id: GatewayId, xpub: &str) -> Result<String> {
    let at = |index: u32| derive::address(xpub, index).map_err(|it| fault!("the key of {id} {it}"));
    let account = at(0)?;
    let mut next = tx.get(&ACCOUNTS, &account)?.unwrap_or_default().next;
    loop {
        let text = at(next)?;
        next += 1;
        if !tx.exists(&OWNERS, &form(&text))? {
            tx.put(&ACCOUNTS, &account, &Account { next })?;
            return Ok(text);
        }
    }
}

/// Whether an address could be handed out.
pub fn has_one(tx: &ReadTx, client: ClientId, id: GatewayId, gateway: &Gateway) -> Result<bool> {
    if gateway.setup.xpub.is_some() {
        return Ok(true);
    }
    Ok(tx.scan_index(&ADDRESSES, FREE, Scan::prefix(&(client, id))).next().transpose()?.is_some())
}

/// Adds addresses to a pool; those it has already are left alone. How many were new. Refuses `address_taken` for one
/// that another gateway has, whosever.
pub fn fill(
    tx: &mut WriteTx,
    (client, id): (ClientId, GatewayId),
    network: Option<&str>,
    texts: &[String],
) -> Result<u64> {
    let network = network.map(str::to_ascii_lowercase).filter(|it| is_known(it));
    let mut number = count(tx, client, id)?;
    let before = number;
    for (place, text) in texts.iter().enumerate() {
        let param = format!("addresses[{place}]");
        let well_formed = |it: u8| it.is_ascii_alphanumeric() || it == b':' || it == b'_' || it == b'-';
        if !(10..=128).contains(&text.len()) || !text.bytes().all(well_formed) {
            return Err(Flaw::new(&param, "invalid_format", "must be 10 to 128 letters and digits").into());
        }
        if let Some(network) = &network
            && !is_address(network, text)
        {
            let message = format!("is no address of {network}: its checksum is wrong");
            return Err(Flaw::new(&param, "invalid_format", message).into());
        }
        match tx.get(&OWNERS, &form(text))? {
            Some(owner) if (owner.client, owner.gateway) == (client, id) => continue,
            Some(_) => return Err(PaymentRefusal::AddressTaken { address: text.clone() }.into()),
            None => {}
        }
        let times = Times::at(tx.now());
        let row = Address { text: text.clone(), attempt: None, looks: 0, watch_at: None, times };
        add(tx, (client, id, number), &row)?;
        number += 1;
    }
    Ok(number - before)
}

fn add(tx: &mut WriteTx, key: AddressKey, row: &Address) -> Result<()> {
    let owner = Owner { client: key.0, gateway: key.1, number: key.2 };
    tx.insert(&OWNERS, &form(&row.text), &owner)?;
    tx.insert(&ADDRESSES, &key, row)
}

/// The address of this text, when a gateway of this client has it: whichever gateway tells of it, it is that one's.
pub fn find(tx: &ReadTx, client: ClientId, text: &str) -> Result<Option<(AddressKey, Address)>> {
    let owner = tx.get(&OWNERS, &form(text))?.filter(|it| it.client == client);
    let Some(Owner { client, gateway, number }) = owner else { return Ok(None) };
    let key = (client, gateway, number);
    let row = tx
        .get(&ADDRESSES, &key)?
        .ok_or_else(|| fault!("{text} is number {number} of {gateway}, which has no such"))?;
    Ok(Some((key, row)))
}

/// How many addresses there are: the number of the next one.
fn count(tx: &ReadTx, client: ClientId, gateway: GatewayId) -> Result<u64> {
    let last = tx.scan(&ADDRESSES, Scan::prefix(&(client, gateway)).newest_first()).next().transpose()?;
    Ok(last.map_or(0, |((_, _, number), _)| number + 1))
}

/// Before there were owners an address was unique in its gateway alone: the first that had it keeps it. And nobody
/// looked after those whose payment was over.
pub fn find_owners(tx: &mut WriteTx) -> Result<()> {
    let rows: Vec<(AddressKey, Address)> = tx.scan(&ADDRESSES, Scan::all()).collect::<Result<_>>()?;
    let (handed_out, free): (Vec<_>, Vec<_>) = rows.into_iter().partition(|it| it.1.attempt.is_some());
    for ((client, gateway, number), mut row) in handed_out.into_iter().chain(free) {
        let form = form(&row.text);
        if !tx.exists(&OWNERS, &form)? {
            tx.put(&OWNERS, &form, &Owner { client, gateway, number })?;
        } else if row.attempt.is_none() {
            tx.delete(&ADDRESSES, &(client, gateway, number))?;
            continue;
        }
        if row.attempt.is_some() {
            row.watch_at = Some(tx.now());
            tx.put(&ADDRESSES, &(client, gateway, number), &row)?;
        }
    }
    Ok(())
}

/// Undoes [`find_owners`].
pub fn forget_owners(tx: &mut WriteTx) -> Result<()> {
    tx.drop_table(&OWNERS)?;
    tx.drop_table(&ACCOUNTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::{Store, StoreOptions, codec::golden};

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        golden(
            "payment.addresses",
            &Address {
                text: "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu".into(),
                attempt: Some((PaymentId::from_bytes([2; 16]), AttemptId::from_bytes([3; 16]))),
                looks: 2,
                watch_at: Some(at),
                times: Times::at(at),
            },
        );
        let (client, gateway) = (ClientId::from_bytes([1; 16]), GatewayId::from_bytes([4; 16]));
        golden("payment.address_owners", &Owner { client, gateway, number: 7 });
        golden("payment.address_accounts", &Account { next: 8 });
    }

    #[test]
    fn an_address_of_before_there_were_owners_is_that_of_whoever_was_shown_it() {
        let store = Store::in_memory(StoreOptions::default());
        let (client, other) = (ClientId::from_bytes([1; 16]), ClientId::from_bytes([2; 16]));
        let gateway = GatewayId::from_bytes([4; 16]);
        let attempt = Some((PaymentId::from_bytes([2; 16]), AttemptId::from_bytes([3; 16])));
        store
            .write_blocking(move |tx| {
                for (client, text, attempt) in
                    [(client, "0xABCDEF0123", None), (other, "0xabcdef0123", attempt), (other, "0x99", None)]
                {
                    let number = count(tx, client, gateway)?;
                    let times = Times::at(tx.now());
                    let row = Address { text: text.into(), attempt, looks: 0, watch_at: None, times };
                    tx.insert(&ADDRESSES, &(client, gateway, number), &row)?;
                }
                find_owners(tx)
            })
            .unwrap();
        let found = |client, text: &'static str| store.read(move |tx| find(tx, client, text)).unwrap();
        assert_eq!(found(client, "0xAbCdEf0123"), None);
        assert_eq!(found(other, "0xAbCdEf0123").unwrap().0, (other, gateway, 0));
        assert_eq!(found(other, "0x99").unwrap().0, (other, gateway, 1));
        let left = store.read(move |tx| count(tx, client, gateway)).unwrap();
        assert_eq!(left, 0, "nobody is shown what is another's");
    }
}
