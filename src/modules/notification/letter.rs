//! What deliveries of mail and short messages carry: words that are ready to go.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::events::Secret;
use crate::kernel::error::{Result, fault};

/// A mail, but for its headers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    pub from_name: String,
    pub reply_to: Option<String>,
    pub to_name: String,
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// A short message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Text {
    pub to: String,
    pub text: String,
}

/// Several notices in one mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// One a notice, oldest first.
    pub lines: Vec<String>,
    /// All of them, ready to go.
    pub letter: Letter,
}

/// What a delivery of mail carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carried {
    Letter(Letter),
    Digest(Box<Digest>),
    /// Values for a template, filled in when it is sent, so that the words stand nowhere.
    Secret(Secret),
}

impl Letter {
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        bytes(&Carried::Letter(self.clone()))
    }
}

impl Digest {
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        bytes(&Carried::Digest(Box::new(self.clone())))
    }
}

impl Text {
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        bytes(self)
    }
}

fn bytes(it: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(it).map_err(|error| fault!("a message cannot be stored: {error}"))
}

pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| fault!("a message does not read: {error}"))
}
