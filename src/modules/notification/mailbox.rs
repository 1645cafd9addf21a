//! What an instance in memory would have sent: kept, and shown to tests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use super::contract::CapturedMail;
use crate::kernel::api::{
    call::Call,
    endpoint::{Endpoint, get},
    page::Page,
};

/// How many mails are kept; the oldest go first.
const MOST: usize = 1000;

/// The mails an instance in memory would have sent, oldest first.
#[derive(Default)]
pub struct Captured(Mutex<VecDeque<CapturedMail>>);

impl Captured {
    pub fn keep(&self, mail: CapturedMail) {
        let mut mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if mails.len() == MOST {
            mails.pop_front();
        }
        mails.push_back(mail);
    }

    pub fn all(&self) -> Vec<CapturedMail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Only on an instance in memory.
pub fn endpoints(captured: &Arc<Captured>) -> Vec<Endpoint> {
    let captured = captured.clone();
    let about = "Show every mail that would have been sent, oldest first";
    vec![
        get("/testing/mailbox")
            .about(about)
            .operator()
            .lists(move |_, _: &Call| Ok(Page::whole(captured.all()))),
    ]
}
