//! auth

use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module { name: "auth", about: "", register, migrations: &[] };

fn register(_boot: &mut Boot) -> Result<(), BootError> {
    Ok(())
}
