//! Places where a test may let the server fail: what is between two steps must not be lost or done twice.
//!
//! `COFFER_FAILPOINT=after_send_before_ack` ends the process there, `=after_send_before_ack:3` at the third time; a
//! test in the same process says [`Failpoints::fail_next`], and what was about to happen does not.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use crate::kernel::{
    api::input::text_enum,
    error::{Result, fault},
};

text_enum! {
    /// A place to fail at.
    pub enum Failpoint {
        /// Deliveries are about to be claimed: nothing is.
        BeforeClaimCommit = "before_claim_commit",
        /// Claimed, and not yet sent.
        AfterClaimCommit = "after_claim_commit",
        /// Sent, and nobody notes it.
        AfterSendBeforeAck = "after_send_before_ack",
        /// Internal effects are made, and not committed.
        AfterEffectBeforeCommit = "after_effect_before_commit",
        /// Internal effects are committed in a file of their own, and `default` does not know of them.
        AfterEffectAway = "after_effect_away",
        /// At start, while claims of the incarnation before are given back.
        DuringRecovery = "during_recovery",
    }
}

/// What is to fail.
#[derive(Debug, Default)]
pub struct Failpoints(Mutex<HashMap<Failpoint, u32>>);

impl Failpoints {
    /// Lets the next `times` passes of `point` fail.
    pub fn fail_next(&self, point: Failpoint, times: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(point, times);
    }

    /// A fault when the point is to fail.
    pub fn pass(&self, point: Failpoint) -> Result<()> {
        end_process_at(point);
        let mut points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match points.get_mut(&point) {
            Some(times) if *times > 0 => {
                *times -= 1;
                Err(fault!("failpoint {point}"))
            }
            _ => Ok(()),
        }
    }
}

/// What the environment asks for is read once.
fn end_process_at(point: Failpoint) {
    static ASKED: OnceLock<Option<(Failpoint, Mutex<u32>)>> = OnceLock::new();
    let asked = ASKED.get_or_init(|| {
        let text = std::env::var("COFFER_FAILPOINT").ok()?;
        let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.parse().ok()?, Mutex::new(times.parse().ok()?)))
    });
    if let Some((place, times)) = asked
        && *place == point
    {
        let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
        *times = times.saturating_sub(1);
        if *times == 0 {
            std::process::abort();
        }
    }
}
