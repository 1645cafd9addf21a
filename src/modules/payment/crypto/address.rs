//! Whether a text is an address: by its checksum on the networks known here, by its shape on others. A typo is found
//! before money is sent to nobody.
//!
//! | network | form | checksum |
//! |---|---|---|
//! | `bitcoin` | base58, versions 0 and 5; bech32 and bech32m, `bc1…` | double SHA-256; BIP 173, BIP 350 |
//! | `tron` | base58, version 65 | double SHA-256 |
//! | `ethereum` and those like it | `0x` and 40 hexadecimal digits | EIP-55, where both cases stand in it |

use sha3::{Digest as _, Keccak256};

/// Networks whose addresses are those of Ethereum.
const LIKE_ETHEREUM: &[&str] = &["ethereum", "polygon", "bsc", "arbitrum", "optimism", "base", "avalanche"];

/// Whether `address` is one of `network`, whose name is in small letters.
pub fn is_address(network: &str, address: &str) -> bool {
    match network {
        "bitcoin" => is_bitcoin(address),
        "tron" => base58_version(address) == Some(0x41),
        _ if LIKE_ETHEREUM.contains(&network) => is_ethereum(address),
        _ => (20..=128).contains(&address.len()) && address.bytes().all(|it| it.is_ascii_graphic()),
    }
}

/// Whether its checksum is known here, not its shape alone.
pub fn is_known(network: &str) -> bool {
    matches!(network, "bitcoin" | "tron") || LIKE_ETHEREUM.contains(&network)
}

fn is_bitcoin(address: &str) -> bool {
    if let Some(version) = base58_version(address) {
        return matches!(version, 0 | 5);
    }
    // Checks the checksum that belongs to the version, the length of the program, and that there is one case only.
    bech32::segwit::decode(address).is_ok_and(|(network, _, _)| network == bech32::hrp::BC)
}

/// The version of 20 bytes in base58, if their checksum is right.
fn base58_version(address: &str) -> Option<u8> {
    if address.len() > 40 {
        return None; // The work grows with the square of the length.
    }
    let bytes = bs58::decode(address).with_check(None).into_vec().ok()?;
    (bytes.len() == 21).then(|| bytes[0])
}

/// In one case it has no checksum; in both, each letter is a capital where the hash says so.
fn is_ethereum(address: &str) -> bool {
    let digits = address.strip_prefix("0x").unwrap_or_default();
    if digits.len() != 40 || !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
        return false;
    }
    let has = |is: fn(&u8) -> bool| digits.as_bytes().iter().any(is);
    if !(has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)) {
        return true;
    }
    let hash = Keccak256::digest(digits.to_ascii_lowercase());
    digits.bytes().enumerate().all(|(place, it)| {
        let nibble = hash[place / 2] >> (if place % 2 == 0 { 4 } else { 0 }) & 15;
        it.is_ascii_digit() || it.is_ascii_uppercase() == (nibble >= 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_addresses_are_addresses() {
        for (network, addresses) in [
            // The first block; a script; BIP 173; BIP 350.
            (
                "bitcoin",
                &[
                    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
                    "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
                    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
                    "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
                    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                ][..],
            ),
            // EIP-55.
            (
                "ethereum",
                &[
                    "0x52908400098527886E0F7030069857D2E4169EE7",
                    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
                    "0xde709f2102306220921060314715629080e2fb77",
                    "0x27b1fdb04752bbc536007a920d24acb045561c26",
                    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
                    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
                    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
                ],
            ),
            ("tron", &["TJRabPrwbZy45sbavfcjinPJC18kjpRTv8", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"]),
        ] {
            for address in addresses {
                assert!(is_address(network, address), "{network} {address}");
            }
        }
    }

    #[test]
    fn what_somebody_mistyped_is_none() {
        for (network, address) in [
            ("bitcoin", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"),
            ("bitcoin", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp"),
            // Of the vectors of BIP 350: of another network, the wrong checksum for its version, mixed case.
            ("bitcoin", "tc1qw508d6qejxtdg4y5r3zarvary0c5xw7kg3g4ty"),
            ("bitcoin", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd"),
            ("bitcoin", "tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47"),
            ("bitcoin", "bc1qAR0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
            ("bitcoin", "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"),
            ("bitcoin", ""),
            ("ethereum", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed"),
            ("ethereum", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe"),
            ("ethereum", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed00"),
            ("polygon", "0xFB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"),
            ("tron", "TJRabPrwbZy45sbavfcjinPJC18kjpRTv9"),
            ("tron", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ] {
            assert!(!is_address(network, address), "{network} {address}");
        }
    }

    #[test]
    fn a_network_nobody_knows_is_looked_at_for_shape_alone() {
        assert!(!is_known("solana") && is_known("base"));
        assert!(is_address("solana", "7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV"));
        assert!(!is_address("solana", "tooshort"));
    }
}
