//! Invitations: staff ask somebody to become a user, with roles; whoever reads the mail does.
//!
//! ```text
//! POST invitations ─► ivn_ token by mail ── invitations/accept (password) ─► a user with the roles, signed in
//!                       └─ revoke, a newer one for the same address, or time ─► gone
//! ```
//!
//! Always true: a token works once; only its keyed hash is stored; it is mailed, and shown to nobody else. An invitation
//! gives no more than its sender may give, when it is sent and when it is accepted.

mod repository;
mod routes;
mod service;

use std::sync::Arc;

use super::{recovery::Recovery, sign_in::SignIn};
use crate::kernel::boot::{Boot, BootError};

use service::Invitations;

pub fn register(boot: &mut Boot, recovery: &Arc<Recovery>, sign_in: &Arc<SignIn>) -> Result<(), BootError> {
    let service = Arc::new(Invitations {
        roles: boot.require()?,
        recovery: recovery.clone(),
        sign_in: sign_in.clone(),
        catalogue: boot.catalogue(),
    });
    boot.tables(vec![repository::INVITATIONS.info()]);
    boot.alias("ivt", "invitation");
    boot.endpoints(routes::endpoints(&service));
    Ok(())
}
