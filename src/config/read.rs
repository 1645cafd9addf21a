//! What a key accepts. Each reader answers the value, or says in words what it wanted.

use std::fmt::Display;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use toml::Value;

use super::values::SOCKET_PATH_BYTES;
use crate::kernel::events::frequency::Frequency;

/// A whole number within the range.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&Value) -> Result<T, String>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |value| {
        let number = value.as_integer().and_then(|number| T::try_from(number).ok());
        let wanted = || format!("a whole number from {} to {}", range.start(), range.end());
        number.filter(|number| range.contains(number)).ok_or_else(wanted)
    }
}

/// `true` or `false`.
pub(super) fn flag(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "true or false".into())
}

/// Text that becomes a type of its own.
pub(super) fn parsed<T: FromStr>(wanted: &str) -> impl Fn(&Value) -> Result<T, String> {
    move |value| value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| wanted.into())
}

/// Text of a certain form.
pub(super) fn text(has_form: fn(&str) -> bool, wanted: &str) -> impl Fn(&Value) -> Result<String, String> {
    move |value| value.as_str().filter(|text| has_form(text)).map(Into::into).ok_or_else(|| wanted.into())
}

/// A path; whether anything is there is for those who use it.
pub(super) fn path(value: &Value) -> Result<PathBuf, String> {
    value.as_str().filter(|text| !text.is_empty()).map(Into::into).ok_or_else(|| "a path".into())
}

/// A path short enough for a Unix socket.
pub(super) fn socket_path(value: &Value) -> Result<PathBuf, String> {
    let short_enough = |path: &PathBuf| path.as_os_str().len() <= SOCKET_PATH_BYTES;
    let wanted = || format!("a path of at most {SOCKET_PATH_BYTES} bytes");
    path(value).ok().filter(short_enough).ok_or_else(wanted)
}

/// Any number of values, none included.
pub(super) fn list<T>(
    item: impl Fn(&Value) -> Result<T, String>,
) -> impl Fn(&Value) -> Result<Vec<T>, String> {
    move |value| {
        let items = value.as_array().ok_or("a list in brackets, such as [] or [one, two]")?;
        items.iter().map(&item).collect::<Result<_, _>>().map_err(|wanted| format!("each one to be {wanted}"))
    }
}

/// Waiting times: at least one, or there would be none to repeat.
pub(super) fn delays(seconds: RangeInclusive<u64>) -> impl Fn(&Value) -> Result<Vec<u64>, String> {
    let read = list(number(seconds));
    move |value| match read(value) {
        Ok(delays) if delays.is_empty() => Err("at least one delay".into()),
        read => read,
    }
}

/// A key that may also be left out.
pub(super) fn some<T>(
    read: impl Fn(&Value) -> Result<T, String>,
) -> impl Fn(&Value) -> Result<Option<T>, String> {
    move |value| read(value).map(Some)
}

/// Scheme, host and perhaps a port, as a browser writes them in its `Origin` header: lower case, no path.
pub(super) fn is_origin(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !rest.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_v6 = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
    };
    let is_name = |host: &str| {
        let in_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        !host.is_empty() && host.bytes().all(in_name)
    };
    port.is_none_or(is_port) && (is_v6(host) || is_name(host))
}

/// Whether something may be done this regularly, or never.
pub(super) fn is_regular(text: &str) -> bool {
    text == "never" || text.parse::<Frequency>().is_ok_and(|it| !it.is_immediate())
}

/// Levels, alone or per module. The filter itself would take `inof` for the name of a module and log nothing.
pub(super) fn is_filter(text: &str) -> bool {
    let is_level = |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word);
    let is_module = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
    };
    text.split(',').map(str::trim).all(|part| match part.split_once('=') {
        Some((module, level)) => is_module(module) && is_level(level),
        None => is_level(part),
    })
}

/// Only what a slip of the finger breaks; whether it exists is known when mail arrives.
pub(super) fn is_email(text: &str) -> bool {
    let no_spaces = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let parts = text.split_once('@');
    no_spaces && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
}

/// An address that mail can be from: as [`is_email`], with nothing that ends a header or begins another address.
pub(super) fn is_mailbox(text: &str) -> bool {
    is_email(text) && text.is_ascii() && !text.contains(['<', '>', ',', ';', '"', '(', ')'])
}

/// An address for a request: scheme, host, and whatever follows.
pub(super) fn is_http_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    !host.is_empty() && !host.contains('@') && printable && text.parse::<hyper::Uri>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in
            ["https://pay.example.com", "http://localhost:3000", "http://10.0.0.1", "http://[::1]:8080"]
        {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "pay.example.com",
            "ftp://example.com",
            "https://",
            "https://example.com/",
            "https://Example.com",
            "https://example.com:0",
            "https://example.com:",
            "https://user:word@example.com",
            "http://[nonsense]",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_module() {
        for good in ["info", "off", "info,coffer=debug", "warn, coffer::kernel::store=trace"] {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["", "inof", "info,", "coffer", "coffer=loud", "=info"] {
            assert!(!is_filter(bad), "{bad}");
        }
    }

    #[test]
    fn a_request_goes_to_a_host() {
        for good in ["https://sms.example.com/v1?x=1", "http://127.0.0.1:9000"] {
            assert!(is_http_url(good), "{good}");
        }
        for bad in ["", "https://", "ftp://a", "https://user:word@a", "https://a b", "sms.example.com"] {
            assert!(!is_http_url(bad), "{bad}");
        }
        assert!(is_mailbox("no-reply@example.com") && !is_mailbox("A <a@b>") && !is_mailbox("a@b,c@d"));
    }

    #[test]
    fn an_address_has_a_name_and_a_host() {
        assert!(is_email("ops@example.com"));
        for bad in ["", "ops", "@example.com", "ops@", "ops@a@b", "o ps@example.com"] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
