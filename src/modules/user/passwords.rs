//! What a password may be. Length is what counts; beyond it only what everybody tries first is refused.

use crate::kernel::{api::input::Flaw, error::Result};

/// More would only cost time to hash.
const MAX_LENGTH: usize = 128;

/// Whose password it is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct PasswordFor<'a> {
    pub email: &'a str,
    pub first_name: &'a str,
    pub last_name: &'a str,
}

/// Refuses, as a flaw of the field `param`, a password that is too short, too long, or among the first guesses.
pub fn check_password(param: &str, password: &str, min_length: usize, whose: PasswordFor) -> Result<()> {
    let length = password.chars().count();
    if length < min_length || length > MAX_LENGTH {
        let message = format!("has {length} characters, must have {min_length} to {MAX_LENGTH}");
        return Err(Flaw::new(param, "out_of_range", message).into());
    }
    if is_guessed_first(&password.to_lowercase(), whose) {
        return Err(Flaw::new(param, "not_allowed", "is among the first that anybody would guess").into());
    }
    Ok(())
}

fn is_guessed_first(password: &str, whose: PasswordFor) -> bool {
    let email = whose.email.to_lowercase();
    let (local, domain) = email.split_once('@').unwrap_or((&email, ""));
    let (first, last) = (whose.first_name.to_lowercase(), whose.last_name.to_lowercase());
    let both = [format!("{first}{last}"), format!("{first} {last}"), format!("{last}{first}")];
    let own = [&email, local, domain, &first, &last, &both[0], &both[1], &both[2]];
    let one_character = password.chars().all(|it| password.starts_with(it));
    one_character || own.contains(&password) || COMMON.split(' ').any(|it| it == password)
}

/// The most common passwords of eight characters and more, in lower case, from published lists of leaked ones.
const COMMON: &str = "\
    password password1 password12 password123 password1234 passw0rd p@ssw0rd p@ssword password! passwort \
    passwort123 123456789 1234567890 12345678 0123456789 9876543210 987654321 87654321 1234567891 \
    12345678910 123456789a a123456789 abc123456 abcd1234 abcd123456 abcdefgh abcdefghij 1q2w3e4r \
    1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc zaq12wsx qazwsxedc qwertyui qwertyuiop qwerty123 \
    qwerty1234 qwerty12345 qwertz123 qwertzuiop asdfghjkl asdfasdf zxcvbnm123 q1w2e3r4 q1w2e3r4t5 \
    q1w2e3r4t5y6 iloveyou iloveyou1 iloveyou2 ilovemyself sunshine sunshine1 princess princess1 football \
    football1 baseball baseball1 basketball superman superman1 batman123 spiderman pokemon123 starwars \
    starwars1 trustno1 whatever whatever1 welcome1 welcome123 letmein1 letmein123 changeme changeme1 \
    changeme123 admin123 admin1234 administrator adminadmin rootroot michael1 jennifer charlie1 jonathan \
    elizabeth christopher manchester liverpool liverpool1 barcelona juventus butterfly chocolate \
    computer computer1 internet samsung123 secret123 mypassword newpassword testtest test1234 testing123 \
    hello123 hellohello monkey123 dragon123 shadow123 master123 freedom1 correcthorsebatterystaple \
    passwordpassword 1111111111a qwer1234 asdf1234 zxcv1234 11223344 1122334455 123123123 123321123 \
    147258369 147852369 741852963 159357456 12341234 1234qwer 123qwe123 123qweasd qwe123qwe 123456abc";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_enough_and_not_among_the_first_guesses() {
        let whose = PasswordFor {
            email: "ann.longname@example.com",
            first_name: "Annabella-Maria",
            last_name: "Featherstonehaugh",
        };
        let (short, guessed) = ("out_of_range", "not_allowed");
        let long = "x1".repeat(64);
        let cases = [
            ("", Err(short)),
            ("ninechars", Err(short)),
            ("Password123", Err(guessed)),
            ("1Q2W3E4R5T", Err(guessed)),
            ("aaaaaaaaaaaa", Err(guessed)),
            ("Ann.LongName@example.com", Err(guessed)),
            ("ann.longname", Err(guessed)),
            ("example.com", Err(guessed)),
            ("annabella-maria", Err(guessed)),
            ("featherstonehaugh", Err(guessed)),
            ("annabella-mariafeatherstonehaugh", Err(guessed)),
            ("ten chars.", Ok(())),
            ("ünïcödé-ok", Ok(())),
            (long.as_str(), Ok(())),
        ];
        for (password, wanted) in cases {
            let found = check_password("password", password, 10, whose);
            assert_eq!(found.map_err(|it| it.code().unwrap_or("fault")), wanted, "{password}");
        }
        assert!(check_password("password", &format!("{long}x"), 10, whose).is_err());
    }

    #[test]
    fn the_list_is_of_passwords_that_length_alone_would_let_pass() {
        for common in COMMON.split(' ') {
            assert!(common.len() >= 8 && common == common.to_lowercase(), "{common}");
        }
    }
}
