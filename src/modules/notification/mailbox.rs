//! What an instance in memory sent, or would have sent: kept, and shown to tests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use utoipa::ToSchema;

use crate::kernel::api::{
    call::Call,
    endpoint::{Endpoint, get},
    page::Page,
};

/// How much is kept; the oldest goes first.
const MOST: usize = 1000;

/// What an instance in memory sent or would have sent, oldest first.
pub struct Captured<T>(Mutex<VecDeque<T>>);

impl<T> Default for Captured<T> {
    fn default() -> Captured<T> {
        Captured(Mutex::default())
    }
}

impl<T: Clone> Captured<T> {
    pub fn keep(&self, it: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == MOST {
            kept.pop_front();
        }
        kept.push_back(it);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Shows all of it at `path`. Only on an instance in memory.
pub fn endpoint<T>(path: &'static str, about: &'static str, captured: &Arc<Captured<T>>) -> Endpoint
where
    T: Clone + Serialize + ToSchema + Send + 'static,
{
    let captured = captured.clone();
    get(path).about(about).operator().lists(move |_, _: &Call| Ok(Page::whole(captured.all())))
}
