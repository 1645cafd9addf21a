//! What is stored of a token that was mailed, to hear from whoever reads the mailbox: a keyed hash, when it runs out,
//! and how often somebody guessed. Where it stands decides what it is good for; whoever takes it takes it away, so that
//! it works once.

use std::time::Duration;

use super::{
    clock::Time,
    secret::{Secrets, make_token},
    store::{
        WriteTx,
        codec::{Decode, Encode},
    },
};

/// How many wrong guesses a token survives, less one: guesses are bounded whatever the length.
const GUESSES: u32 = 5;

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct MailedToken {
    /// Of the whole text, as made by `Secrets::hash`.
    pub hash: [u8; 32],
    /// Wrong guesses so far.
    pub wrong: u32,
    pub expires_at: Time,
}

impl MailedToken {
    /// A new one, and the only sight of its text.
    pub fn make(tx: &mut WriteTx, secrets: &Secrets, prefix: &str, lasts: Duration) -> (String, MailedToken) {
        let text = make_token(prefix, tx.random_bytes());
        let expires_at = tx.now().after(lasts);
        let token = MailedToken { hash: secrets.hash(&text), wrong: 0, expires_at };
        (text, token)
    }

    /// Whether `text` is its text, in time or not.
    pub fn reads(&self, secrets: &Secrets, text: &str) -> bool {
        secrets.is(text, &self.hash)
    }

    /// Whether it is good for anything still.
    pub fn is_good(&self, now: Time) -> bool {
        self.wrong < GUESSES && now < self.expires_at
    }

    /// Counts a wrong guess: store this whatever is answered. False when it is good for nothing any more.
    pub fn miss(&mut self) -> bool {
        self.wrong = self.wrong.saturating_add(1);
        self.wrong < GUESSES
    }
}
