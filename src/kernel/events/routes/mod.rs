//! What clients and operators see of events, deliveries (*jobs*), queues and schedules.

mod events;
mod jobs;
mod queues;
mod schedules;

use std::sync::{Arc, OnceLock};

use super::bus::Bus;
use crate::kernel::{
    api::endpoint::Endpoint,
    error::{Result, fault},
};

/// The bus, once all modules have registered: reading handlers are given no kernel.
#[derive(Clone, Default)]
pub struct LateBus(Arc<OnceLock<Arc<Bus>>>);

impl LateBus {
    pub fn set(&self, bus: Arc<Bus>) {
        let _ = self.0.set(bus); // Boot finishes once.
    }

    fn get(&self) -> Result<&Bus> {
        self.0.get().map(|it| &**it).ok_or_else(|| fault!("the modules have not registered"))
    }
}

pub(super) fn endpoints(bus: &LateBus) -> Vec<Endpoint> {
    let mut endpoints = events::endpoints();
    endpoints.extend(jobs::endpoints(bus));
    endpoints.extend(queues::endpoints(bus));
    endpoints.extend(schedules::endpoints(bus));
    endpoints
}
