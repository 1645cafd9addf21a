//! What is typed in about people, in the form it is kept in.

use crate::kernel::api::input::{Field, Flaw, Flaws};

/// A text of a certain form. `$read` gives the text as it is kept, or what is wrong with it.
macro_rules! text_field {
    ($(#[$meta:meta])* $name:ident, $max:literal, $read:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Field for $name {
            fn parse(value: serde_json::Value) -> Result<Self, Flaws> {
                let text = String::parse(value)?;
                $read(&text).map($name).map_err(|(code, message)| vec![Flaw::new("", code, message)])
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                use utoipa::openapi::schema::{Object, Type};
                Object::builder().schema_type(Type::String).max_length(Some($max)).into()
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}

text_field!(
    /// An e-mail address in lower case, without spaces around it.
    Email, 254, read_email
);
text_field!(
    /// A first or last name: not empty, at most 100 characters.
    PersonName, 100, read_name
);
text_field!(
    /// A telephone number as people write it; empty for none.
    Phone, 32, read_phone
);
text_field!(
    /// What fees and limits a user has, such as `gold`: 1 to 40 of a-z, 0-9, `-` and `_`.
    Tier, 40, read_tier
);
impl Phone {
    pub fn to_option(&self) -> Option<String> {
        Some(self.as_str().to_owned()).filter(|it| !it.is_empty())
    }
}

/// How an address is compared and kept.
pub fn normalise_email(text: &str) -> String {
    text.trim().to_lowercase()
}

type Read = Result<String, (&'static str, &'static str)>;

/// Catches typing mistakes; whether an address exists only a message to it can tell.
fn read_email(text: &str) -> Read {
    let email = normalise_email(text);
    let well_formed = email.split_once('@').is_some_and(|(local, domain)| {
        let local_is = |it: char| !it.is_whitespace() && !"@,;:<>()[]\\\"".contains(it);
        let label_is = |it: &str| {
            !it.is_empty()
                && !it.starts_with('-')
                && !it.ends_with('-')
                && it.chars().all(|it| it.is_alphanumeric() || it == '-')
        };
        (1..=64).contains(&local.len())
            && local.chars().all(local_is)
            && domain.contains('.')
            && domain.split('.').all(label_is)
    });
    match well_formed {
        _ if email.len() > 254 => Err(("out_of_range", "must be at most 254 bytes")),
        true => Ok(email),
        false => Err(("invalid_format", "must be an e-mail address such as ann@example.com")),
    }
}

fn read_name(text: &str) -> Read {
    let name = text.trim();
    match name.chars().count() {
        0 => Err(("out_of_range", "must not be empty")),
        1..=100 => Ok(name.to_owned()),
        _ => Err(("out_of_range", "is too long")),
    }
}

fn read_phone(text: &str) -> Read {
    let phone = text.trim();
    let digits = phone.chars().filter(char::is_ascii_digit).count();
    let sign_is =
        |(place, it): (usize, char)| it.is_ascii_digit() || " -().".contains(it) || (it == '+' && place == 0);
    let well_formed = phone.len() <= 32 && digits >= 4 && phone.char_indices().all(sign_is);
    if well_formed || phone.is_empty() {
        Ok(phone.to_owned())
    } else {
        Err(("invalid_format", "must be a telephone number such as +43 660 1234567"))
    }
}

fn read_tier(text: &str) -> Read {
    let well_formed = (1..=40).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-".contains(&it));
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err(("invalid_format", "must be 1 to 40 of a-z, 0-9, - and _"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Field>(text: &str) -> Result<T, &'static str> {
        T::parse(text.into()).map_err(|flaws| flaws[0].code)
    }

    #[test]
    fn an_address_has_one_at_and_a_domain_with_a_dot() {
        let good = ["ann@example.com", " Ann.O'Neil+x@Mail.Example.co.uk ", "jürgen@müller.at", "1@2.34"];
        for text in good {
            assert_eq!(read::<Email>(text).unwrap().as_str(), text.trim().to_lowercase());
        }
        let bad = [
            "",
            " ",
            "ann",
            "ann@",
            "@example.com",
            "ann@example",
            "ann@@example.com",
            "a@b@example.com",
            "ann smith@example.com",
            "ann@exam ple.com",
            "ann@.com",
            "ann@example.",
            "ann@-a.com",
            "ann@a_b.com",
            "<ann@example.com>",
            "ann,bob@example.com",
        ];
        for text in bad {
            assert_eq!(read::<Email>(text), Err("invalid_format"), "{text}");
        }
        assert_eq!(read::<Email>(&format!("{}@example.com", "a".repeat(65))), Err("invalid_format"));
        assert_eq!(read::<Email>(&format!("a@{}.com", "b".repeat(250))), Err("out_of_range"));
    }

    #[test]
    fn a_tier_is_a_plain_word() {
        for (text, is_right) in
            [("gold", true), ("vip_2-a", true), ("", false), ("Gold", false), ("a b", false)]
        {
            assert_eq!(read::<Tier>(text).is_ok(), is_right, "{text:?}");
        }
        assert!(read::<Tier>(&"a".repeat(41)).is_err());
    }

    #[test]
    fn names_and_numbers_are_trimmed_and_bounded() {
        assert_eq!(read::<PersonName>("  Ann ").unwrap().as_str(), "Ann");
        for text in ["", "   ", &"x".repeat(101)] {
            assert_eq!(read::<PersonName>(text), Err("out_of_range"), "{text}");
        }
        for text in ["+43 (660) 123-45.67", "0660123", ""] {
            assert_eq!(read::<Phone>(text).unwrap().as_str(), text);
        }
        for text in ["123", "call me", "06+60123", &"1".repeat(33)] {
            assert_eq!(read::<Phone>(text), Err("invalid_format"), "{text}");
        }
        assert_eq!(read::<Phone>(" ").unwrap().to_option(), None);
    }
}
