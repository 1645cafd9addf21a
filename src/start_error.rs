//! Why the server does not start, and the exit code that says so.

use crate::{
    config::ConfigError,
    kernel::{
        boot::{BootError, FinishError},
        error::Error,
        store::{OpenError, migration::MigrateError},
    },
};

/// Why the server does not start: one line, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0:#}")]
    Key(anyhow::Error),
    #[error("cannot listen on {0}: {1}; is another server running there?")]
    Listen(String, std::io::Error),
    #[error("{0}")]
    Store(#[from] Error),
}

impl From<FinishError> for StartError {
    fn from(error: FinishError) -> StartError {
        match error {
            FinishError::Config(error) => error.into(),
            FinishError::Store(error) => error.into(),
        }
    }
}

impl StartError {
    /// As documented in `coffer --help`; the numbers are those of sysexits.h.
    pub fn exit_code(&self) -> u8 {
        match self {
            StartError::Open(error) => error.exit_code(),
            StartError::Migrate(error) => error.exit_code(),
            StartError::Boot(BootError::SwitchedOff { .. } | BootError::Tied { .. })
            | StartError::Config(_) => 78,
            StartError::Boot(_) | StartError::Store(_) => 70,
            StartError::Key(_) => 77,
            StartError::Listen(..) => 71,
        }
    }
}
