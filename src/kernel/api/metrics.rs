//! `/metrics`: what the server counts, in OpenMetrics text.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use crate::kernel::boot::Kernel;

/// Every figure, read now. The counters live in the store; a registry of its own per scrape costs microseconds and
/// lets many servers live in one process.
pub fn text(kernel: &Kernel) -> Result<String, std::fmt::Error> {
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
    ready.set(super::meta::why_not_ready(kernel).is_none().into());
    registry.register("ready", "1 when commands can be taken", ready);
    let mut out = String::new();
    encode(&mut out, &registry)?;
    Ok(out)
}
