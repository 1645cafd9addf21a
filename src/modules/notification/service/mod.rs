//! What Notification does, by use case.

pub mod digest;
pub mod inbox;
pub mod outbox;
pub mod preferences;
pub mod tell;
pub mod templates;
