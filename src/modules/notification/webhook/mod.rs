//! Webhooks: what clients' own systems are told.

use crate::kernel::boot::{Boot, BootError};

pub fn register(_boot: &mut Boot) -> Result<(), BootError> {
    Ok(())
}
