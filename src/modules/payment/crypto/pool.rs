//! Which address is whose: key → value in words, and handing one out.

use super::{
    address::{is_address, is_known},
    derive,
};
use crate::{
    kernel::{
        api::{
            input::Flaw,
            object::{Times, save, timed},
            principal::ClientId,
        },
        error::{Result, fault},
        store::{
            Index, Key as _, ReadTx, Scan, Table, WriteTx,
            codec::{Decode, Encode, row},
        },
    },
    modules::payment::{
        contract::{AttemptId, GatewayId, PaymentId, PaymentRefusal},
        model::Gateway,
    },
};

/// (client, gateway, number from 0) → address
pub const ADDRESSES: Table<(ClientId, GatewayId, u64), Address> = Table::new("payment.addresses")
    .with_indexes(&[
        // (client, gateway, address) → it: no address is there twice
        Index::lookup(BY_TEXT, |key, row| vec![(key.0, key.1, row.text.clone()).to_key()]),
        // (client, gateway) → those nobody has, oldest first
        Index::listing(FREE, |key, row| match row.attempt {
            None => vec![(key.0, key.1).to_key()],
            Some(_) => vec![],
        }),
    ]);
const BY_TEXT: &str = "payment.addresses_by_text";
pub const FREE: &str = "payment.addresses_free";

/// An address of a gateway.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Address {
    pub text: String,
    /// Whose it is, once it was handed out.
    pub attempt: Option<(PaymentId, AttemptId)>,
    pub times: Times,
}
row!(Address);
timed!(Address);

/// An address that nobody was shown before, for this attempt. Refuses `gateway_unavailable` when the pool is empty.
pub fn hand_out(
    tx: &mut WriteTx,
    (client, id): (ClientId, GatewayId),
    gateway: &Gateway,
    attempt: (PaymentId, AttemptId),
) -> Result<String> {
    if let Some(xpub) = &gateway.setup.xpub {
        let number = count(tx, client, id)?;
        let index = u32::try_from(number).map_err(|_| fault!("{id} has no addresses left"))?;
        let text = derive::address(xpub, index).map_err(|it| fault!("the key of {id} {it}"))?;
        let row = Address { text: text.clone(), attempt: Some(attempt), times: Times::at(tx.now()) };
        tx.insert(&ADDRESSES, &(client, id, number), &row)?;
        return Ok(text);
    }
    let free = tx.scan_index(&ADDRESSES, FREE, Scan::prefix(&(client, id))).next().transpose()?;
    let none = || PaymentRefusal::GatewayUnavailable { reason: "addresses".to_owned() };
    let (key, mut row) = free.ok_or_else(none)?;
    row.attempt = Some(attempt);
    save(tx, &ADDRESSES, &key, &mut row)?;
    Ok(row.text)
}

/// Whether an address could be handed out.
pub fn has_one(tx: &ReadTx, client: ClientId, id: GatewayId, gateway: &Gateway) -> Result<bool> {
    if gateway.setup.xpub.is_some() {
        return Ok(true);
    }
    Ok(tx.scan_index(&ADDRESSES, FREE, Scan::prefix(&(client, id))).next().transpose()?.is_some())
}

/// Adds addresses to a pool; those it has already are left alone. How many were new.
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
        if tx.find(&ADDRESSES, BY_TEXT, &(client, id, text.clone()))?.is_some() {
            continue;
        }
        let row = Address { text: text.clone(), attempt: None, times: Times::at(tx.now()) };
        tx.insert(&ADDRESSES, &(client, id, number), &row)?;
        number += 1;
    }
    Ok(number - before)
}

/// Whose address this is. `None` when it is nobody's yet, or not ours.
pub fn attempt_at(
    tx: &ReadTx,
    client: ClientId,
    gateway: GatewayId,
    text: &str,
) -> Result<Option<(PaymentId, AttemptId)>> {
    let found = tx.find(&ADDRESSES, BY_TEXT, &(client, gateway, text.to_owned()))?;
    Ok(found.and_then(|(_, row)| row.attempt))
}

/// How many addresses there are: the number of the next one.
fn count(tx: &ReadTx, client: ClientId, gateway: GatewayId) -> Result<u64> {
    let last = tx.scan(&ADDRESSES, Scan::prefix(&(client, gateway)).newest_first()).next().transpose()?;
    Ok(last.map_or(0, |((_, _, number), _)| number + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{clock::Time, id::Id as _, store::codec::golden};

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden(
            "payment.addresses",
            &Address {
                text: "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu".into(),
                attempt: Some((PaymentId::from_bytes([2; 16]), AttemptId::from_bytes([3; 16]))),
                times: Times::at(Time::from_micros(1_795_342_000_000_000)),
            },
        );
    }
}
