//! From what users have signed in: a sign-in from somewhere else is worth telling.
//!
//! A device is what the browser calls itself, and its address: all of an IPv4 address, of an IPv6 address the network
//! (its rest changes by the day). The first one of a user is nothing new; one not used for a year is forgotten.

use std::{net::IpAddr, time::Duration};

use super::events::NewDevice;
use crate::kernel::{
    api::{
        call::Caller,
        principal::{ClientId, SessionId, UserId},
    },
    clock::Time,
    error::Result,
    secret::sha256,
    store::{
        Index, Key, Scan, Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

pub const BY_EXPIRY: &str = "auth.devices_by_expiry";

const KEPT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Of one user; beyond it the one not used for longest is forgotten.
const MOST: usize = 100;

/// (client, user, hash of a device) → when it was used.
pub const DEVICES: Table<(ClientId, UserId, [u8; 32]), Device> = Table::new("auth.devices")
    .with_indexes(&[Index::listing(BY_EXPIRY, |_, row| vec![row.expires_at.to_key()])]);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Device {
    pub first_used_at: Time,
    pub last_used_at: Time,
    pub expires_at: Time,
}
row!(Device);

/// Notes that a session begins from where `caller` is, and announces it when that is new.
pub fn note(
    tx: &mut WriteTx,
    caller: &Caller,
    client: ClientId,
    user: UserId,
    session_id: SessionId,
) -> Result<()> {
    let key = (client, user, hash(caller));
    let now = tx.now();
    let known = tx.get(&DEVICES, &key)?;
    if known.is_none() {
        let scan = tx.scan(&DEVICES, Scan::prefix(&(client, user)));
        let others: Vec<_> = scan.collect::<Result<_>>()?;
        if others.len() >= MOST
            && let Some((oldest, _)) = others.iter().min_by_key(|it| it.1.last_used_at)
        {
            tx.delete(&DEVICES, oldest)?;
        }
        if !others.is_empty() {
            let (ip, user_agent) = (caller.ip.to_string(), caller.user_agent.clone());
            tx.publish(caller, &NewDevice { user_id: user, session_id, ip, user_agent })?;
        }
    }
    let first_used_at = known.map_or(now, |it| it.first_used_at);
    tx.put(&DEVICES, &key, &Device { first_used_at, last_used_at: now, expires_at: now.after(KEPT) })
}

fn hash(caller: &Caller) -> [u8; 32] {
    let place = match caller.ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
    };
    sha256(format!("{place}\n{}", caller.user_agent.as_deref().unwrap_or_default()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::codec::golden;

    #[test]
    fn a_device_is_what_it_calls_itself_and_where_it_is() {
        let from = |ip: &str, user_agent: &str| {
            let user_agent = Some(user_agent.to_owned()).filter(|it| !it.is_empty());
            hash(&Caller { ip: ip.parse().unwrap(), user_agent, ..Caller::system(None) })
        };
        let here = from("203.0.113.7", "Firefox");
        for (ip, user_agent, same) in [
            ("203.0.113.7", "Firefox", true),
            ("::ffff:203.0.113.7", "Firefox", true),
            ("203.0.113.8", "Firefox", false),
            ("203.0.113.7", "curl", false),
            ("203.0.113.7", "", false),
        ] {
            assert_eq!(from(ip, user_agent) == here, same, "{ip} {user_agent}");
        }
        assert_eq!(from("2a00:1450:1:2::7", ""), from("2a00:1450:1:2:ffff::1", ""));
        assert_ne!(from("2a00:1450:1:2::7", ""), from("2a00:1450:1:3::7", ""));
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        golden("auth.devices", &Device { first_used_at: at, last_used_at: at, expires_at: at });
    }
}
