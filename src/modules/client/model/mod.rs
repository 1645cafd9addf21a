//! What a client, its keys and its secrets are: rules without tables.

mod before;
pub mod key;
pub mod loosened;
pub mod settings;

use super::{
    approval::{ApprovalPolicy, Committee},
    contract::{Client, revision_of},
};
use crate::kernel::{
    api::{
        call::FromPath,
        input::{Flaw, Metadata},
        object::{Timed, Times, timed},
        principal::Actor,
    },
    clock::Time,
    error::Result,
    money::Amount,
    store::codec::{Decode, Encode, row},
};

/// A client as stored.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct ClientRow {
    pub client: Client,
    pub external_id: Option<String>,
    pub metadata: Metadata,
}
row!(ClientRow, 3, { 1 => before::ClientRowV1, 2 => before::ClientRowV2 });

impl Timed for ClientRow {
    const HAS_METADATA: bool = true;
    fn created_at(&self) -> Time {
        self.client.times.created_at
    }
    fn metadata(&self) -> Option<&Metadata> {
        Some(&self.metadata)
    }
    fn touch(&mut self, now: Time) {
        self.client.times.touch(now);
    }
}

impl ClientRow {
    /// Whether its name or its slug begins so, in whatever letters.
    pub fn begins_with(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.client.slug.starts_with(&text) || self.client.name.to_lowercase().starts_with(&text)
    }
}

/// A slug is 1 to 63 lower-case letters, digits and inner hyphens, as in a host name.
pub fn check_slug(slug: &str) -> Result<()> {
    let well_formed = (1..=63).contains(&slug.len())
        && slug.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
        && !slug.starts_with('-')
        && !slug.ends_with('-');
    if well_formed {
        return Ok(());
    }
    let message = "must be 1 to 63 of a-z, 0-9 and -, with no hyphen at either end";
    Err(Flaw::new("slug", "invalid_format", message).into())
}

/// What an approval policy says beyond the settings.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct PolicyRow {
    /// How many people, where the settings do not say it.
    pub approvals: Option<u32>,
    pub one_person_up_to: Option<Amount>,
    pub committee: Option<Committee>,
    pub revision: u32,
    /// Looser rules that wait for somebody else to agree.
    pub proposed: Option<Proposal>,
    pub times: Times,
}
row!(PolicyRow, 2, { 1 => before::PolicyRowV1 });
timed!(PolicyRow);

impl PolicyRow {
    /// Of what is proposed: it is proposed, and dropped, with a new version of the row, so every proposal has another.
    pub fn proposal_revision(&self) -> u32 {
        revision_of(self.times.version)
    }
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Proposal {
    pub policy: ApprovalPolicy,
    pub by: Actor,
    pub at: Time,
}

/// Something a client stores and never reads back, such as a gateway's credentials.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct SecretRow {
    /// As made by `Secrets::seal` for this client and name.
    pub sealed: Vec<u8>,
    pub set_by: Actor,
    pub times: Times,
}
row!(SecretRow);
timed!(SecretRow);

/// The name of a stored secret: `smtp`, `gateway.acme`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName(pub String); // Invariant: 1 to 64 of a-z, 0-9, `.`, `_` and `-`.

impl FromPath for SecretName {
    fn from_path(parts: &[String]) -> Option<SecretName> {
        let name = parts.first()?;
        let well_formed = (1..=64).contains(&name.len())
            && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"._-".contains(&it));
        well_formed.then(|| SecretName(name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_could_stand_in_a_host_name() {
        for (slug, is_right) in [
            ("k", true),
            ("42", true),
            ("northwind-pay", true),
            (&"a".repeat(63), true),
            (&"a".repeat(64), false),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a_b", false),
            ("ä", false),
        ] {
            assert_eq!(check_slug(slug).is_ok(), is_right, "{slug:?}");
        }
    }

    #[test]
    fn a_secret_is_named_plainly() {
        let named = |name: &str| SecretName::from_path(&[name.to_owned()]).is_some();
        assert!(named("smtp") && named("gateway.acme_2-live"));
        assert!(!named("") && !named("a/b") && !named("SMTP") && !named(&"a".repeat(65)));
    }
}
