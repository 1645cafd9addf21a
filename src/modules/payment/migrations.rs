//! What rows of earlier releases have not.

use super::crypto::{find_owners, forget_owners};
use crate::kernel::store::migration::Migration;

pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "know addresses in the whole installation",
    up: find_owners,
    down: forget_owners,
}];
