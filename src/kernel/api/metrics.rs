//! `/metrics`: what the server counts, in OpenMetrics text.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::kernel::{
    boot::Kernel,
    error::{Result, fault},
    events::gauges::Gauges,
};

/// What is said of one lane, or of a lane and a state.
type Labels = Vec<(&'static str, String)>;

/// Every figure, read now. The counters live in the store; a registry of its own per scrape costs microseconds and
/// lets many servers live in one process.
pub fn text(kernel: &Kernel) -> Result<String> {
    let store = kernel.store.metrics();
    let mut registry = Registry::with_prefix("coffer");
    for (name, help, value) in store.counters() {
        let counter = Counter::<u64, AtomicU64>::default();
        counter.inner().store(value, Ordering::Relaxed);
        registry.register(name, help, counter);
    }
    for (name, help, value) in store.gauges() {
        let gauge = Gauge::<i64, AtomicI64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    if let Some(bytes) = kernel.store.file_bytes() {
        let gauge = Gauge::<i64, AtomicI64>::default();
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        registry.register("store_file_bytes", "Size of the database file", gauge);
    }
    let ready = Gauge::<i64, AtomicI64>::default();
    ready.set(kernel.why_not_ready().is_none().into());
    registry.register("ready", "1 when commands can be taken", ready);
    events(kernel, &mut registry)?;
    let mut out = String::new();
    encode(&mut out, &registry).map_err(|error| fault!("metrics: {error}"))?;
    Ok(out)
}

fn events(kernel: &Kernel, registry: &mut Registry) -> Result<()> {
    let gauges = kernel.store.read(Gauges::read)?;
    let backlog = Family::<Labels, Gauge>::default();
    for ((lane, state), count) in &gauges.backlog {
        let labels = vec![("lane", lane.to_string()), ("state", state.to_string())];
        backlog.get_or_create(&labels).set(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    registry.register("events_backlog", "Deliveries that wait, by lane and state", backlog);
    let oldest = Family::<Labels, Gauge>::default();
    for (lane, seconds) in &gauges.oldest_s {
        oldest.get_or_create(&vec![("lane", lane.to_string())]).set(*seconds);
    }
    registry.register("events_oldest_ready_seconds", "Age of the oldest delivery that is ready", oldest);
    for (name, help, value) in [
        ("events_in_flight", "Deliveries that are being sent", gauges.in_flight),
        ("events_dead_letters", "Deliveries that failed and are not tried again", gauges.dead_letters),
    ] {
        let gauge = Gauge::<i64, AtomicI64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    }
    // Absent when nothing waits for an instant: no number could say that.
    if let Some(at) = gauges.due_next {
        let gauge = Gauge::<i64, AtomicI64>::default();
        gauge.set(at.millis().div_euclid(1000));
        let help = "When the next delivery that waits for an instant is due, in seconds since 1970";
        registry.register("events_due_next_timestamp_seconds", help, gauge);
    }
    let attempts = Family::<Labels, Counter>::default();
    for (outcome, count) in [("ok", kernel.bus.tally.ok()), ("failed", kernel.bus.tally.failed())] {
        attempts.get_or_create(&vec![("outcome", outcome.to_owned())]).inc_by(count);
    }
    registry.register("events_attempts", "Attempts to deliver since the start", attempts);
    Ok(())
}
