//! Standard Webhooks 1.0: how a receiver knows that a message is ours and new.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a secret's text begins with; behind it stand the bytes in base64.
const PREFIX: &str = "whsec_";

/// A secret as its receiver is shown it.
pub fn text_of(secret: &[u8]) -> String {
    format!("{PREFIX}{}", BASE64.encode(secret))
}

/// The value of `webhook-signature`: one signature for each secret, in their order.
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a [u8]>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let signatures = secrets.into_iter().map(|secret| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
            unreachable!("an HMAC takes a key of any length");
        };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::clock::Clock;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_test_vector_of_the_standard_comes_out() {
        let secret = BASE64.decode(&SECRET.as_bytes()[PREFIX.len()..]).unwrap();
        assert_eq!(text_of(&secret), SECRET);
        assert_eq!(sign([&secret[..]], ID, 1_614_265_330, BODY), SIGNED);
    }

    #[test]
    fn any_live_secret_verifies_with_the_library_of_the_standard() {
        let (old, new) = ([7; 32], [8; 32]);
        let mut headers = hyper::HeaderMap::new();
        headers.insert("webhook-id", "evt_1".parse().unwrap());
        let now = Clock::System.now().seconds(); // The library looks at its own watch.
        headers.insert("webhook-timestamp", now.into());
        let signed = sign([&new[..], &old[..]], "evt_1", now, BODY);
        headers.insert("webhook-signature", signed.parse().unwrap());
        for (secret, verifies) in [(old, true), (new, true), ([9; 32], false)] {
            let webhook = standardwebhooks::Webhook::new(&text_of(&secret)).unwrap();
            assert_eq!(webhook.verify(BODY, &headers).is_ok(), verifies);
        }
    }
}
