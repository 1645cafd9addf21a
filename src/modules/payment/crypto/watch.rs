//! Addresses stay looked after when their payment is over: money still comes to them, late, twice, or years after
//! somebody wrote one down. An explorer is asked hourly for a day, daily for a month and weekly for a year; after that
//! only a watcher can tell. What comes is late money, in suspense.
//!
//! While the payment itself waits for money at the address, it asks (see `service/due.rs`): nothing is asked twice.

use std::{sync::Arc, time::Duration};

use super::pool::{ADDRESSES, Address, AddressKey, WATCHED, find};
use crate::{
    kernel::{
        api::{object::save, principal::ClientId},
        error::Result,
        events::{due::Due, worker::Job},
        store::WriteTx,
    },
    modules::payment::{
        contract::PaymentStatus,
        service::{Case, Payments, Try, ask_watching, gateway},
    },
};

const HOUR: Duration = Duration::from_secs(3600);

/// How long after so many looks the next one is; `None` after the last.
pub fn next_look(looks: u32) -> Option<Duration> {
    match looks {
        0..24 => Some(HOUR),
        24..54 => Some(24 * HOUR),
        54..102 => Some(7 * 24 * HOUR),
        _ => None,
    }
}

pub fn job(payments: &Arc<Payments>) -> Job {
    let due =
        Due { name: "payment.addresses_due", table: &ADDRESSES, index: WATCHED, at: |it| &mut it.watch_at };
    // What could not be asked is asked in an hour.
    due.job(payments, Payments::look_at_address, |_, _| {})
}

/// Something is on its way to the address of an attempt that is over: it is looked at within an hour, and such a look
/// does not count.
pub fn look_soon(tx: &mut WriteTx, client: ClientId, text: &str) -> Result<()> {
    let Some((key, mut row)) = find(tx, client, text)? else { return Ok(()) };
    row.looks = row.looks.saturating_sub(1);
    let soon = tx.now().after(HOUR);
    row.watch_at = Some(row.watch_at.map_or(soon, |it| it.min(soon)));
    save(tx, &ADDRESSES, &key, &mut row)
}

impl Payments {
    fn look_at_address(&self, tx: &mut WriteTx, key: AddressKey, mut row: Address) -> Result<()> {
        let (client, gateway_id, _) = key;
        let Some((payment, attempt)) = row.attempt else {
            row.watch_at = None;
            return save(tx, &ADDRESSES, &key, &mut row);
        };
        let case = Case::load(tx, client, payment)?;
        let attempt = Try::load(tx, &case, attempt)?;
        let waits =
            matches!(case.payment.status(), PaymentStatus::RequiresAction | PaymentStatus::Processing)
                && case.payment.said.is_none();
        if waits && case.payment.attempt == Some(attempt.id) && attempt.row.is_open() {
            row.watch_at = Some(tx.now().after(HOUR));
            return save(tx, &ADDRESSES, &key, &mut row);
        }
        row.looks += 1;
        row.watch_at = next_look(row.looks).map(|it| tx.now().after(it));
        save(tx, &ADDRESSES, &key, &mut row)?;
        match gateway(tx, client, gateway_id)?.setup.base_url {
            Some(_) => ask_watching(tx, &case, &attempt),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_looked_at_for_more_than_a_year_and_not_for_ever() {
        let looks: Vec<Duration> = (0..).map_while(next_look).collect();
        assert_eq!(looks.len(), 102);
        let days = looks.iter().sum::<Duration>().as_secs() / (24 * 3600);
        assert_eq!(days, 1 + 30 + 48 * 7);
    }
}
