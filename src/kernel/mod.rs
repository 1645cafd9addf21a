//! What every module stands on. Knows no module.

pub mod annex;
pub mod api;
pub mod boot;
pub mod clock;
pub mod error;
pub mod events;
mod files;
pub mod id;
pub mod last_used;
pub mod machine;
pub mod mailed;
pub mod money;
pub mod net;
pub mod password;
pub mod secret;
pub mod store;
