//! The second factor: codes of an authenticator, and recovery codes for whoever lost it. For users and operators.
//!
//! ```text
//! enroll (password) ─► a secret, not in force ── confirm (code) ─► in force, ten recovery codes
//! sign-in (password) ─► mfa_ challenge, 5 min, 5 guesses ── login/totp (code) ─► signed in
//! ```
//!
//! Always true: the secret is encrypted, bound to its owner; of a recovery code and of a challenge only a keyed hash is
//! stored. A code is taken once: not again in its half minute, and none older than the last one taken. Wrong codes of
//! one owner are counted across challenges, before they are looked at, so that guesses are bounded however they are
//! sent.

mod code;
mod repository;
pub mod routes;
mod service;

pub use repository::{CHALLENGES, CHALLENGES_BY_EXPIRY, FACTORS};
pub use service::{Answered, Factors, Passed, UserFactors, Whose};
