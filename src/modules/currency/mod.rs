//! currency

pub mod contract;

use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module { name: "currency", about: "", register, migrations: &[] };

fn register(_boot: &mut Boot) -> Result<(), BootError> {
    Ok(())
}
