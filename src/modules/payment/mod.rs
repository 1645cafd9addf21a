//! payment

pub mod contract;
pub mod events;

use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module { name: "payment", about: "", register, migrations: &[] };

fn register(_boot: &mut Boot) -> Result<(), BootError> {
    Ok(())
}
