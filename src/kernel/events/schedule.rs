//! What is done regularly, whatever happened.

use std::sync::Arc;

use crate::kernel::{
    clock::Time,
    error::Result,
    store::{ReadTx, WriteTx},
};

/// Something to do at each instant of a frequency.
#[derive(Clone)]
pub struct Schedule {
    /// `market.fetch_prices`: stored with its slots, never renamed.
    pub name: &'static str,
    /// Such as `daily`, `every 5m`, `30 2 * * * Europe/Berlin`: see [`super::frequency`].
    pub frequency: String,
    pub overlap: Overlap,
    pub catch_up: CatchUp,
    /// Does it, in one transaction with the note that this slot was done. Slow or remote work it enqueues; the id it
    /// returns is the delivery that decides whether the next slot overlaps.
    pub run: Arc<dyn Fn(&mut WriteTx, Time) -> Result<Option<super::delivery::DeliveryId>> + Send + Sync>,
}

/// When a slot comes while the delivery of the one before is not at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It is noted as skipped.
    Skip,
    /// It runs too.
    Queue,
}

/// What is done about slots that passed while the server was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    None,
    /// The last of them.
    One,
    /// Every one, oldest first, of the last seven days.
    All,
}

/// A schedule whose frequency was understood.
#[derive(Clone)]
pub struct Planned {
    pub schedule: Schedule,
    pub frequency: super::frequency::Frequency,
    pub module: &'static str,
}

pub(super) fn is_due(_tx: &ReadTx, _schedules: &[Planned]) -> Result<bool> {
    Ok(false)
}
pub(super) fn next_due(_tx: &ReadTx, _schedules: &[Planned]) -> Result<Option<Time>> {
    Ok(None)
}
pub(super) fn run_due(_tx: &mut WriteTx, _schedules: &[Planned]) -> Result<()> {
    Ok(())
}
