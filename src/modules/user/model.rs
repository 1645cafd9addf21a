//! The states of a user, and referral codes.

use super::contract::UserStatus::{self, Active, Disabled, Frozen};
use crate::kernel::{api::input::text_enum, machine::Machine};

text_enum! {
    /// What is done to a user's state.
    pub enum UserEvent { Freeze = "freeze", Unfreeze = "unfreeze", Disable = "disable", Enable = "enable" }
}

/// Enabling ends a freeze too: whoever lets somebody back in decides about both.
pub const USER: Machine<UserStatus, UserEvent> = Machine {
    name: "user",
    initial: &[Active],
    moves: &[
        (Active, UserEvent::Freeze, Frozen),
        (Frozen, UserEvent::Unfreeze, Active),
        (Active, UserEvent::Disable, Disabled),
        (Frozen, UserEvent::Disable, Disabled),
        (Disabled, UserEvent::Enable, Active),
    ],
};

/// Crockford's alphabet, in capitals: it is read aloud and typed in.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Eight characters of five bits.
pub fn referral_code(random: [u8; 5]) -> String {
    let bits = random.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    (0..8).rev().map(|place| char::from(ALPHABET[(bits >> (5 * place)) as usize & 31])).collect()
}

/// A referral code as typed: small letters, spaces and the letters that look like digits are understood.
pub fn read_referral_code(text: &str) -> String {
    let understood =
        text.trim().chars().filter(|it| !" -".contains(*it)).map(|it| match it.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        });
    understood.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_states_is_sound() {
        assert_eq!(USER.flaws(), Vec::<String>::new());
    }

    #[test]
    fn a_referral_code_reads_back_however_it_is_typed() {
        assert_eq!(referral_code([0; 5]), "00000000");
        assert_eq!(referral_code([255; 5]), "ZZZZZZZZ");
        let code = referral_code([0x08, 0x64, 0x21, 0x9f, 0x5a]);
        assert_eq!(code, "11J237TT");
        for typed in ["11j237tt", " 11J2-37TT ", "LIJ2 37TT"] {
            assert_eq!(read_referral_code(typed), code, "{typed}");
        }
    }
}
