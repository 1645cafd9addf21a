//! What is always true of deliveries, for `coffer verify` and after every test.

use super::{
    dedupe::KEYS,
    delivery::{ATTEMPTS, DELIVERIES, State, Status},
};
use crate::kernel::{
    error::Result,
    store::{ReadTx, Scan},
};

/// Everything that is wrong. That an index holds what its rows say is checked for every table; here it is checked
/// that the rows say it once.
pub(super) fn deliveries(tx: &ReadTx) -> Result<Vec<String>> {
    let mut wrong = vec![];
    for row in tx.scan(&DELIVERIES, Scan::all()) {
        let ((_, id), row) = row?;
        let places = [
            row.state == State::Ready,
            matches!(row.state, State::Scheduled | State::Retry),
            row.state == State::Processing,
            row.state == State::Blocked,
            row.finished_at.is_some(),
        ];
        if places.iter().filter(|it| **it).count() != 1 {
            wrong.push(format!("{id} is {} and not in exactly one index", row.state));
        }
        if row.finished_at.is_some() != row.state.is_end() {
            wrong.push(format!("{id} is {} and ended at {:?}", row.state, row.finished_at));
        }
        if (row.epoch > 0) != (row.state == State::Processing) {
            wrong.push(format!("{id} is {} and claimed by incarnation {}", row.state, row.epoch));
        }
        let numbers = tx.scan(&ATTEMPTS, Scan::prefix(&id)).map(|it| it.map(|((_, number), _)| number));
        let numbers = numbers.collect::<Result<Vec<u32>>>()?;
        if !numbers.iter().copied().eq(1..=row.attempts) {
            wrong.push(format!("{id} has {} attempts, numbered {numbers:?}", row.attempts));
        }
        if row.tries_used > row.attempts {
            wrong.push(format!("{id} used {} tries in {} attempts", row.tries_used, row.attempts));
        }
        if row.state.status() == Status::Failed && row.error.is_none() {
            wrong.push(format!("{id} is {} and does not say why", row.state));
        }
    }
    for key in tx.scan(&KEYS, Scan::all()) {
        let (_, holder) = key?;
        let row = tx.get(&DELIVERIES, &(holder.client, holder.delivery))?;
        if holder.while_pending && row.is_none_or(|it| it.state.is_end()) {
            wrong.push(format!("{} is at its end and still holds a dedupe key", holder.delivery));
        }
    }
    Ok(wrong)
}
