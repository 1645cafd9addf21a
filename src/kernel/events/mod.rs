//! Events: what happened, announced in the transaction that made it happen; and everything that follows from it.
//!
//! ```text
//! tx.publish(caller, &WithdrawalRequested { .. })
//!   ├─ the envelope is stored (events.events, in commit order per client)
//!   ├─ sync listeners run here: both or neither
//!   └─ one delivery per other listener is stored (events.deliveries), in the same transaction
//!        ├─ internal: after the commit, or at its time, effect and "sent" are one transaction: exactly once
//!        └─ external: claim transaction · I/O with no transaction open · acknowledge transaction: at least once,
//!                     under one id for ever
//! ```
//!
//! # What a module writes
//!
//! | to | call | where |
//! |---|---|---|
//! | announce | `tx.publish(&caller, &event)?`, `boot.announces::<E>()` | [`event`], [`outbox`] |
//! | hear, changing only our store | `boot.listen::<E>("module.name", Mode::Queue, \|tx, envelope, event\| …)` | [`event`] |
//! | hear in the causing transaction (pinned: the books depend on it) | the same with `Mode::Sync` | |
//! | hear, reaching out | `boot.listen_outside::<E, _, _, _>("module.name", plan, \|job: Sending\| async { Outcome::Ok })` | [`courier`] |
//! | do something with every event, in the causing transaction | `boot.overhear(\|tx, heard\| …)` | [`bus`] |
//! | send to endpoints or channels of one kind | `boot.target("webhook", TargetPlan { .. }, courier)`, then in any transaction `tx.enqueue(NewDelivery::to("webhook", endpoint_id).about(&envelope).extra(bytes))?` | [`courier`], [`enqueue`] |
//! | send at most once per key | `.dedupe(namespace, key, DedupePolicy::Window(DAY))` | [`dedupe`] |
//! | carry a secret, wiped when sent | `.secret(bytes)` instead of `.extra(bytes)` | [`enqueue`] |
//! | note what was not sent, and why | `tx.suppress(new, Suppression::Preference)?` | [`enqueue`] |
//! | hold back what a target cannot take | `Ready::Block(why)` in `prepare`, `tx.unblock(kind, target, limit)?` or `tx.release(id)?` later | [`courier`] |
//! | do something regularly | `boot.schedule(Schedule { .. }, \|tx, slot\| …)`, or `schedule_outside` with a courier | [`schedule`] |
//! | do something with each row when it is due | `boot.job(Due { .. }.job(&service, Service::step, \|row, error\| …))` | [`due`] |
//! | do something of another kind when it is due | `boot.job(Job { .. })` | [`worker`] |
//!
//! A [`courier::Courier`] has four parts: `prepare` (in the claim transaction: reads URL, secrets, says `Go`,
//! `Block`, `Later`, `Cancel` or `Gone`), `send` (async, no store), `settled` (in the acknowledging transaction:
//! health counters of its own rows), `ended` (in the transaction in which a delivery came to its end). It may get the
//! same delivery again, under the same `job.id`: after a crash, a timeout, a retry.
//!
//! # What is always true
//!
//! - What was refused or rolled back announced nothing, enqueued nothing and holds no dedupe key.
//! - A delivery that is not at its end is in exactly one of the indexes of [`delivery`].
//! - Its attempts are numbered 1, 2, 3 …
//! - A claim belongs to one incarnation of the server; what an older one claimed is ready again at start.

pub mod bulk;
pub mod bus;
pub mod by_hand;
mod check;
pub mod control;
pub mod courier;
pub mod dedupe;
pub mod delivery;
pub mod due;
pub mod enqueue;
pub mod event;
pub mod failpoint;
pub mod feed;
pub mod frequency;
pub mod gauges;
mod inside;
pub mod outbox;
mod outside;
pub mod plan;
mod prune;
pub mod queues;
pub mod retry;
pub mod routes;
pub mod schedule;
mod sender;
#[cfg(test)]
mod tests;
mod turns;
mod verdict;
mod wipe;
pub mod worker;

use super::boot::Boot;

/// Registers what the event system itself brings.
pub fn register(boot: &mut Boot) {
    boot.alias("evt", "event");
    boot.alias("dlv", "delivery");
    boot.alias("blk", "bulk retry");
    boot.refusals(control::JobRefusal::CATALOGUE.iter().copied());
    boot.check("events.deliveries", check::deliveries);
    boot.endpoints(routes::endpoints(&boot.bus()));
    let config = boot.config();
    boot.job(bulk::job());
    boot.job(prune::deliveries(&config.events));
    boot.job(prune::events(&config.events));
    boot.job(wipe::job());
    boot.tables(vec![
        outbox::EVENTS.info(),
        delivery::DELIVERIES.info(),
        delivery::ATTEMPTS.info(),
        delivery::EXTRAS.info(),
        dedupe::KEYS.info(),
        queues::PAUSES.info(),
        schedule::TASKS.info(),
        schedule::SLOTS.info(),
        bulk::BULK_RETRIES.info(),
    ]);
}
