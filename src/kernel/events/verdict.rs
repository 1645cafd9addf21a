//! What an attempt's outcome makes of a delivery. The same for internal and external ones.

use std::time::Duration;

use super::{
    bus::bus,
    courier::Outcome,
    dedupe,
    delivery::{ATTEMPTS, Attempt, DELIVERIES, Delivery, DeliveryId, EXTRAS, RESPONSE_BYTES, State, Status},
    plan::Plans,
};
use crate::kernel::{api::principal::ClientId, error::Result, store::WriteTx};

pub(super) type Key = (ClientId, DeliveryId);

/// How many interruptions in a row make a delivery poison.
pub(super) const POISON: u32 = 3;

/// Moves a delivery as the outcome of its attempt says, and stores it.
pub(super) fn conclude(
    tx: &mut WriteTx,
    plans: &Plans,
    key: &Key,
    row: &mut Delivery,
    outcome: &Outcome,
) -> Result<()> {
    let now = tx.now();
    row.crashes = 0;
    row.interrupted = false;
    match outcome {
        Outcome::Ok => {
            row.tries_used += 1;
            row.error = None;
            row.end(State::Sent, now);
        }
        Outcome::Retry(error) => fail(tx, plans, row, error, Duration::ZERO),
        Outcome::RetryAfter(error, least) => fail(tx, plans, row, error, *least),
        Outcome::Snooze(delay) => {
            let state = if row.tries_used == 0 { State::Scheduled } else { State::Retry };
            row.wait(state, now.after(*delay));
        }
        Outcome::Cancel(reason) => {
            row.error = Some(reason.clone());
            row.end(State::Canceled, now);
        }
        Outcome::Reject(error) => {
            row.tries_used += 1;
            note_error(row, error);
            row.end(State::Rejected, now);
        }
    }
    if row.cancel_requested && !row.state.is_end() {
        row.end(State::Canceled, now);
    }
    keep(tx, key, row)
}

fn fail(tx: &mut WriteTx, plans: &Plans, row: &mut Delivery, error: &str, least: Duration) {
    row.tries_used += 1;
    note_error(row, error);
    let [random] = tx.random_bytes();
    match plans.retry(row).delay(row.tries_used, row.tries_granted, random) {
        Some(delay) => row.wait(State::Retry, tx.now().after(delay.max(least))),
        None => row.end(State::Exhausted, tx.now()),
    }
}

pub(super) fn note_error(row: &mut Delivery, error: &str) {
    row.error = Some(clipped(error, 500));
    row.fingerprint = fingerprint(&row.listener, error);
}

/// Stores a delivery that moved; at its end it lets go of what it held.
pub(super) fn keep(tx: &mut WriteTx, key: &Key, row: &Delivery) -> Result<()> {
    if row.state.is_end() {
        dedupe::release(tx, key.1, row)?;
        // What failed may be asked to run once more, and then needs what it carries.
        if row.secret && row.state.status() != Status::Failed {
            tx.delete(&EXTRAS, &key.1)?;
        }
    }
    tx.put(&DELIVERIES, key, row)?;
    if row.state.is_end() {
        tell(tx, key, row);
    }
    Ok(())
}

/// Lets whoever delivers know of an end.
fn tell(tx: &mut WriteTx, key: &Key, row: &Delivery) {
    let told = tx.attempt(|tx| match bus(tx)?.plans.targets.get(row.listener.as_str()) {
        Some(target) => target.courier.ended(tx, key, row),
        None => Ok(()),
    });
    if let Err(error) = told {
        tracing::error!(delivery.id = %key.1, listener = row.listener, error = %error, "The end of {} could not be told: {error}", key.1);
    }
}

/// Writes an attempt into the log, under the next number.
pub(super) fn log(tx: &mut WriteTx, key: &Key, row: &mut Delivery, mut attempt: Attempt) -> Result<()> {
    row.attempts += 1;
    let (bus, ended) = (bus(tx)?, attempt.outcome);
    tx.on_commit(Box::new(move || bus.tally.count(ended)));
    attempt.error = attempt.error.map(|it| clipped(&it, 500));
    if let Some(response) = &mut attempt.response {
        response.truncate(RESPONSE_BYTES);
    }
    tx.put(&ATTEMPTS, &(key.1, row.attempts), &attempt)
}

/// Failures of one cause have one fingerprint: what varies between them, digits and ids, is left out.
pub(super) fn fingerprint(listener: &str, error: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let is_id =
        |word: &str| word.split_once('_').is_some_and(|(prefix, id)| prefix.len() == 3 && id.len() == 26);
    let words = error.split_whitespace().map(|word| {
        let bare = word.trim_matches(|it: char| !it.is_alphanumeric());
        if is_id(bare) { "id".to_owned() } else { word.chars().filter(|it| !it.is_ascii_digit()).collect() }
    });
    let mut hash = Sha256::new();
    hash.update(listener);
    for word in words {
        hash.update([0]);
        hash.update(word);
    }
    u64::from_be_bytes(hash.finalize()[..8].try_into().unwrap_or_default())
}

fn clipped(text: &str, bytes: usize) -> String {
    let end = text.floor_char_boundary(bytes);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_cause_have_one_fingerprint() {
        let of = |error: &str| fingerprint("webhook", error);
        assert_eq!(of("timed out after 15003 ms"), of("timed out after 15011 ms"));
        assert_eq!(
            of("withdrawal wdr_01jd0000000000000000000000 is gone"),
            of("withdrawal wdr_01jd0000000000000000000zzz is gone")
        );
        assert_ne!(of("connection refused"), of("connection reset"));
        assert_ne!(of("gone"), fingerprint("mail", "gone"));
    }
}
