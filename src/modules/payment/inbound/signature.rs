//! How a gateway signs what it sends: `t=<seconds since 1970>,v1=<hex of HMAC-SHA256 over "t.body">`. Several `v1` may
//! stand there while a gateway changes its secret; other schemes beside it are left alone.

use std::time::Duration;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use crate::kernel::clock::Time;

/// How far the time of a signature may be from ours, either way.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// A header is not read beyond this.
const MOST_BYTES: usize = 2000;

/// The value of the header.
pub fn sign(secret: &[u8], at: Time, body: &[u8]) -> String {
    let seconds = at.seconds().to_string();
    format!("t={seconds},v1={}", HEXLOWER.encode(&mac(secret, &seconds, body)))
}

/// Whether `header` signs exactly these bytes, now. How long it takes depends on what was sent, never on the secret.
pub fn verify(secret: &[u8], header: &str, body: &[u8], now: Time) -> bool {
    if header.len() > MOST_BYTES {
        return false;
    }
    let fields = || header.split(',').filter_map(|it| it.trim().split_once('='));
    let mut times = fields().filter(|it| it.0 == "t").map(|it| it.1);
    let (Some(time), None) = (times.next(), times.next()) else { return false };
    let wanted = mac(secret, time, body);
    let is_signed = fields().filter(|it| it.0 == "v1").fold(Choice::from(0), |found, (_, hex)| {
        let given = HEXLOWER.decode(hex.as_bytes()).unwrap_or_default();
        found | given.as_slice().ct_eq(wanted.as_slice())
    });
    bool::from(is_signed) && is_recent(time, now)
}

fn is_recent(seconds: &str, now: Time) -> bool {
    let is_plain = !seconds.is_empty() && seconds.bytes().all(|it| it.is_ascii_digit());
    let Some(seconds) = seconds.parse::<i64>().ok().filter(|_| is_plain) else { return false };
    seconds.abs_diff(now.seconds()) <= TOLERANCE.as_secs()
}

fn mac(secret: &[u8], seconds: &str, body: &[u8]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        unreachable!("an HMAC takes a key of any length");
    };
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"whsec_test";
    const BODY: &[u8] = br#"{"id": "evt_1"}"#;

    fn now() -> Time {
        Time::parse("2026-11-22T10:00:00Z").unwrap()
    }

    #[test]
    fn the_bytes_as_they_came_are_signed() {
        let header = sign(SECRET, now(), BODY);
        assert!(verify(SECRET, &header, BODY, now()));
        assert!(!verify(SECRET, &header, br#"{"id":"evt_1"}"#, now()), "the same JSON in other bytes");
        assert!(!verify(b"whsec_other", &header, BODY, now()));
    }

    #[test]
    fn a_known_signature_comes_out() {
        // echo -n '1795341600.{"id": "evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        let wanted = "t=1795341600,v1=1dc76be38d5db2f53d55c36d0da984d30782a84f420fdcad2169db26425ee83a";
        assert_eq!(sign(SECRET, now(), BODY), wanted);
    }

    #[test]
    fn the_time_is_there_once_in_seconds_and_within_five_minutes() {
        let good = sign(SECRET, now(), BODY);
        let hex = good.split_once("v1=").unwrap().1;
        for (moved_s, holds) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
            let at = Time::from_micros(now().micros() + moved_s * 1_000_000);
            assert_eq!(verify(SECRET, &sign(SECRET, at, BODY), BODY, now()), holds, "{moved_s} s away");
        }
        let millis = format!("t={}000,v1={hex}", now().seconds());
        for header in
            [format!("v1={hex}"), format!("t=,v1={hex}"), millis, format!("{good},t=1"), String::new()]
        {
            assert!(!verify(SECRET, &header, BODY, now()), "{header}");
        }
    }

    #[test]
    fn one_of_several_signatures_is_enough_and_others_are_left_alone() {
        let good = sign(SECRET, now(), BODY);
        let (time, v1) = good.split_once(',').unwrap();
        let zeros = "0".repeat(64);
        assert!(verify(SECRET, &format!("{time},v1={zeros},{v1},v0=abc"), BODY, now()));
        let hex = v1.strip_prefix("v1=").unwrap();
        for wrong in [&zeros[..], &hex[..62], "zz", "", &hex.to_uppercase()] {
            assert!(!verify(SECRET, &format!("{time},v1={wrong}"), BODY, now()), "{wrong}");
        }
        let mut flipped: Vec<u8> = hex.bytes().collect();
        for at in [0, 63] {
            flipped[at] = if flipped[at] == b'0' { b'1' } else { b'0' };
            let text = String::from_utf8(flipped.clone()).unwrap();
            assert!(!verify(SECRET, &format!("{time},v1={text}"), BODY, now()), "byte {at}");
        }
    }
}
