//! Codes: of an authenticator (RFC 6238: SHA-1, six digits, thirty seconds, what every app understands), and to recover.

use data_encoding::{BASE32, BASE32_NOPAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use totp_rs::{Builder, Secret};

use crate::kernel::{
    clock::Time,
    error::{Result, fault},
};

/// 160 bits, as RFC 4226 recommends.
pub const SECRET_BYTES: usize = 20;
pub const RECOVERY_CODES: usize = 10;
/// 80 bits: nobody guesses one, whatever the lock.
pub const RECOVERY_BYTES: usize = 10;

const STEP_S: u64 = 30;
/// How many steps a clock may be off, either way.
const SKEW: u64 = 1;

/// The step whose code this is: around `now`, and after `last_step`, the last one that was taken.
pub fn step_of(
    secret: [u8; SECRET_BYTES],
    code: &str,
    now: Time,
    last_step: Option<u64>,
) -> Result<Option<u64>> {
    let code: String = code.chars().filter(|it| !it.is_whitespace()).collect();
    if code.len() != 6 || !code.bytes().all(|it| it.is_ascii_digit()) {
        return Ok(None);
    }
    let builder =
        Builder::new().with_secret(Secret::new_stack(secret)).with_skew(0).with_step_duration(STEP_S);
    let totp = builder.build().map_err(|error| fault!("a second factor is not of its form: {error}"))?;
    let this = now.micros().max(0) as u64 / 1_000_000 / STEP_S;
    let mut steps = this.saturating_sub(SKEW)..=this + SKEW;
    Ok(steps.find(|step| {
        last_step.is_none_or(|last| *step > last) && totp.check(&code, step * STEP_S) == Some(*step)
    }))
}

/// The secret as people type it into an app.
pub fn shown(secret: &[u8; SECRET_BYTES]) -> String {
    BASE32.encode(secret)
}

/// The secret as an app reads it from a picture.
pub fn url(secret: &[u8; SECRET_BYTES], issuer: &str, account: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (issuer, account) = (encoded(issuer), encoded(account));
    format!(
        "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits=6&period={STEP_S}",
        shown(secret)
    )
}

/// `abcd-efgh-ijkl-mnop`: no digit in it is mistaken for a letter.
pub fn recovery_code(random: [u8; RECOVERY_BYTES]) -> String {
    let text = BASE32_NOPAD.encode(&random).to_ascii_lowercase();
    let groups: Vec<String> =
        text.as_bytes().chunks(4).map(|it| it.iter().copied().map(char::from).collect()).collect();
    groups.join("-")
}

/// A recovery code as typed, in the form it is hashed in.
pub fn read_recovery_code(text: &str) -> String {
    text.chars().filter(|it| it.is_ascii_alphanumeric()).map(|it| it.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; SECRET_BYTES] = *b"12345678901234567890";

    fn at(seconds: i64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        // The appendix shows eight digits; six are the last of them.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(
                step_of(SECRET, code, at(seconds), None).unwrap(),
                Some(seconds as u64 / 30),
                "{code}"
            );
        }
    }

    #[test]
    fn a_code_is_good_around_its_half_minute_and_never_after_a_later_one() {
        let step = 59 / 30;
        let found = |code: &str, seconds, last| step_of(SECRET, code, at(seconds), last).unwrap();
        for (seconds, wanted) in [(0, Some(step)), (30, Some(step)), (89, Some(step)), (90, None)] {
            assert_eq!(found("287082", seconds, None), wanted, "at {seconds} s");
        }
        assert_eq!(found("287082", 59, Some(step - 1)), Some(step));
        assert_eq!(found("287082", 59, Some(step)), None, "taken once");
        assert_eq!(found("287082", 59, Some(step + 1)), None, "older than the last one taken");
        assert_eq!(found("287 082", 59, None), Some(step), "as apps show it");
        for wrong in ["287083", "28708", "2870822", "", "28708a", "９８７０８２"] {
            assert_eq!(found(wrong, 59, None), None, "{wrong}");
        }
    }

    #[test]
    fn a_recovery_code_reads_back_however_it_is_typed() {
        let code = recovery_code([0, 17, 34, 51, 68, 85, 102, 119, 136, 153]);
        assert_eq!((code.len(), code.matches('-').count()), (19, 3));
        let typed = code.replace('-', " ").to_uppercase();
        assert_eq!(read_recovery_code(&typed), read_recovery_code(&code));
        assert_eq!(read_recovery_code(&code), code.replace('-', ""));
    }

    #[test]
    fn an_app_reads_whose_secret_it_is() {
        assert_eq!(
            url(&SECRET, "Northwind Pay", "ann@example.com"),
            "otpauth://totp/Northwind%20Pay:ann%40example%2Ecom?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Northwind%20Pay&algorithm=SHA1&digits=6&period=30"
        );
    }
}
