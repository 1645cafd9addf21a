//! What an API key is, and when it opens.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::{
    config::Network,
    kernel::{
        api::{
            input::{Field, Flaws, Metadata, parse_text, text_enum},
            object::{Times, timed},
            principal::{Actor, Grants, KeyId, Scope},
        },
        clock::Time,
        store::codec::{Decode, Encode, row},
    },
    modules::client::contract::ClientMode,
};

text_enum! {
    /// What a key is for.
    pub enum KeyKind {
        /// Acts within its scopes; stays on a server.
        Secret = "secret",
        /// Signs up, signs in and reads what is public; may stand in a web page.
        Publishable = "publishable",
    }
}

text_enum! {
    /// Whether a key works.
    pub enum KeyStatus { Active = "active", Expired = "expired", Revoked = "revoked" }
}

impl KeyKind {
    /// What its text begins with.
    pub fn prefix(self, mode: ClientMode) -> &'static str {
        match (self, mode) {
            (KeyKind::Secret, ClientMode::Live) => "sk_live_",
            (KeyKind::Secret, ClientMode::Test) => "sk_test_",
            (KeyKind::Publishable, ClientMode::Live) => "pk_live_",
            (KeyKind::Publishable, ClientMode::Test) => "pk_test_",
        }
    }
}

/// An API key of a client. Its text is stored nowhere.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct ApiKey {
    pub id: KeyId,
    pub kind: KeyKind,
    pub name: String,
    /// Empty for a publishable key.
    pub scopes: Vec<Scope>,
    /// As made by `Secrets::hash`.
    pub hash: [u8; 32],
    /// The text before the last rotation.
    pub previous: Option<Previous>,
    /// Enough of the text to tell keys apart: `sk_live_` and its last four characters.
    pub prefix: String,
    pub last4: String,
    pub expires_at: Option<Time>,
    /// Where it may be used from; empty: anywhere.
    pub ip_allow_list: Vec<AllowedNetwork>,
    pub external_id: Option<String>,
    pub metadata: Metadata,
    pub created_by: Actor,
    /// Everybody who was shown its text: who made it, and who rotated it.
    pub holders: Vec<Actor>,
    pub rotated_at: Option<Time>,
    pub revoked_at: Option<Time>,
    pub times: Times,
}
row!(ApiKey);
timed!(ApiKey, times, true, |row| Some(&row.metadata));

/// A text that was replaced and still opens until its instant.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Previous {
    pub hash: [u8; 32],
    pub valid_until: Time,
}

/// When a key was last used.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct LastUse {
    pub at: Time,
}
row!(LastUse);

impl ApiKey {
    pub fn status(&self, now: Time) -> KeyStatus {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => KeyStatus::Revoked,
            (None, Some(at)) if now >= at => KeyStatus::Expired,
            _ => KeyStatus::Active,
        }
    }

    /// What whoever holds it may do.
    pub fn grants(self) -> Grants {
        match self.kind {
            KeyKind::Secret => Grants::Scopes(self.scopes.into()),
            KeyKind::Publishable => Grants::Public,
        }
    }

    /// Whether the text of which `is` knows the hash opens, now and from there.
    pub fn admits(&self, is: impl Fn(&[u8; 32]) -> bool, ip: IpAddr, now: Time) -> bool {
        let is_current = is(&self.hash);
        let is_previous = self.previous_at(now).is_some_and(|it| is(&it.hash));
        let is_allowed = self.ip_allow_list.is_empty() || self.ip_allow_list.iter().any(|it| it.contains(ip));
        (is_current || is_previous) && self.status(now) == KeyStatus::Active && is_allowed
    }

    /// The text before the last rotation, while it still opens.
    pub fn previous_at(&self, now: Time) -> Option<&Previous> {
        self.previous.as_ref().filter(|it| now < it.valid_until)
    }
}

/// A range of addresses; a single address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct AllowedNetwork {
    address: IpAddr,
    prefix: u8, // Invariant: at most 32 or 128 bits, as the address has.
}

impl AllowedNetwork {
    fn network(self) -> Option<Network> {
        IpNet::new(self.address, self.prefix).ok().map(Network)
    }

    fn contains(self, ip: IpAddr) -> bool {
        self.network().is_some_and(|it| it.contains(ip))
    }
}

impl FromStr for AllowedNetwork {
    type Err = ();
    fn from_str(text: &str) -> Result<AllowedNetwork, ()> {
        let Network(network) = text.parse()?;
        Ok(AllowedNetwork { address: network.network(), prefix: network.prefix_len() })
    }
}

impl fmt::Display for AllowedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for AllowedNetwork {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Field for AllowedNetwork {
    fn parse(value: serde_json::Value) -> Result<Self, Flaws> {
        parse_text(value, "an address or a network such as 203.0.113.0/24")
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::kernel::id::Id as _;

    pub fn key() -> ApiKey {
        ApiKey {
            id: KeyId::from_bytes([3; 16]),
            kind: KeyKind::Secret,
            name: "payouts".into(),
            scopes: vec!["withdrawals:write".parse().unwrap()],
            hash: [1; 32],
            previous: None,
            prefix: "sk_live_".into(),
            last4: "beef".into(),
            expires_at: None,
            ip_allow_list: vec![],
            external_id: None,
            metadata: Metadata::default(),
            created_by: Actor::System,
            holders: vec![Actor::Key(KeyId::from_bytes([4; 16]))],
            rotated_at: None,
            revoked_at: None,
            times: Times::at(Time::ZERO),
        }
    }

    #[test]
    fn a_key_opens_while_it_is_alive_and_from_where_it_may() {
        let at = |seconds: i64| Time::from_micros(seconds * 1_000_000);
        let networks = |list: &[&str]| list.iter().map(|it| it.parse().unwrap()).collect::<Vec<_>>();
        let rotated = ApiKey { previous: Some(Previous { hash: [2; 32], valid_until: at(50) }), ..key() };
        let expiring = ApiKey { expires_at: Some(at(50)), ..key() };
        let bound = ApiKey { ip_allow_list: networks(&["10.1.0.0/16", "2001:db8::1"]), ..key() };
        // what, the key, hash presented, address, when → whether it opens
        for (what, key, hash, ip, now, opens) in [
            ("its text", key(), 1, "10.1.2.3", 10, true),
            ("another text", key(), 9, "10.1.2.3", 10, false),
            ("a text never rotated away", key(), 2, "10.1.2.3", 10, false),
            ("new text after rotation", rotated.clone(), 1, "10.1.2.3", 10, true),
            ("old text within grace", rotated.clone(), 2, "10.1.2.3", 49, true),
            ("old text when grace ends", rotated.clone(), 2, "10.1.2.3", 50, false),
            ("new text after grace", rotated.clone(), 1, "10.1.2.3", 50, true),
            ("before it expires", expiring.clone(), 1, "10.1.2.3", 49, true),
            ("at the instant it expires", expiring, 1, "10.1.2.3", 50, false),
            ("revoked", ApiKey { revoked_at: Some(at(5)), ..key() }, 1, "10.1.2.3", 10, false),
            (
                "old text of a revoked key",
                ApiKey { revoked_at: Some(at(5)), ..rotated },
                2,
                "10.1.2.3",
                10,
                false,
            ),
            ("inside its network", bound.clone(), 1, "10.1.255.255", 10, true),
            ("the same, over an IPv6 socket", bound.clone(), 1, "::ffff:10.1.2.3", 10, true),
            ("outside its network", bound.clone(), 1, "10.2.0.0", 10, false),
            ("its one address", bound.clone(), 1, "2001:db8::1", 10, true),
            ("beside its one address", bound, 1, "2001:db8::2", 10, false),
        ] {
            let is = |it: &[u8; 32]| *it == [hash; 32];
            assert_eq!(key.admits(is, ip.parse().unwrap(), at(now)), opens, "{what}");
        }
    }

    #[test]
    fn a_network_reads_back_what_it_shows() {
        for (text, shown) in
            [("10.1.2.3/16", "10.1.0.0/16"), ("10.1.2.3", "10.1.2.3/32"), ("2001:db8::1", "2001:db8::1/128")]
        {
            let network: AllowedNetwork = text.parse().unwrap();
            assert_eq!(network.to_string(), shown);
            assert_eq!(shown.parse(), Ok(network));
        }
        for wrong in ["", "10.1.2", "10.1.2.3/33", "a", "10.1.2.3/"] {
            assert_eq!(wrong.parse::<AllowedNetwork>(), Err(()), "{wrong:?}");
        }
    }
}
