//! Events: what happened, announced in the transaction that made it happen.
//!
//! ```text
//! tx.publish(caller, &WithdrawalRequested { .. })
//!   ├─ the envelope is stored (events.events, in commit order per client)
//!   ├─ sync listeners run here: both or neither
//!   └─ one delivery per queued listener is stored (events.deliveries)
//!        └─ after the commit the worker takes it: effect and "sent" are one transaction, so the effect happens once
//! ```

pub mod event;
pub mod outbox;
pub mod worker;
