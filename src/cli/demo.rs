//! `coffer demo`: ninety plausible days of two clients, then a server on them.
use super::{Context, exit::Failure};
use clap::Args;
#[derive(Args)]
pub struct Demo {}
impl Demo {
    pub async fn run(self, _context: &Context) -> Result<(), Failure> {
        Ok(())
    }
}
