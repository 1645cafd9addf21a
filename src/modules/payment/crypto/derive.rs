//! Addresses from an extended public key, as BIP 84 says: of account `m/84'/coin'/account'`, the receiving chain,
//! `0/index`, as pay-to-witness-public-key-hash.

use bip32::{ChildNumber, ExtendedKey, XPub};
use ripemd::Ripemd160;
use sha2::{Digest as _, Sha256};

/// The forms an account key is written in; what is behind them is the same. A private key is never taken.
const PREFIXES: [(&str, &str); 4] = [("xpub", "bc"), ("zpub", "bc"), ("tpub", "tb"), ("vpub", "tb")];

/// Says what is wrong with the key of an account.
pub fn check_xpub(text: &str) -> Result<(), String> {
    address(text, 0).map(drop)
}

/// The receiving address of this index.
pub fn address(xpub: &str, index: u32) -> Result<String, String> {
    let known = PREFIXES.iter().find(|it| xpub.starts_with(it.0));
    let (_, network) = known.ok_or("must begin with xpub, zpub, tpub or vpub")?;
    let no_key = |_| "is no extended public key".to_owned();
    let account = xpub.parse::<ExtendedKey>().and_then(XPub::try_from).map_err(no_key)?;
    if account.attrs().depth != 3 {
        return Err(format!(
            "must be the key of an account (depth 3), found depth {}",
            account.attrs().depth
        ));
    }
    let step = |key: XPub, number: u32| -> Result<XPub, String> {
        let number = ChildNumber::new(number, false).map_err(|_| format!("{number} is no index"))?;
        key.derive_child(number).map_err(|_| format!("has no key at {}", number.index()))
    };
    let key = step(step(account, 0)?, index)?.to_bytes();
    let hash: [u8; 20] = Ripemd160::digest(Sha256::digest(key)).into();
    let network = bech32::Hrp::parse(network).map_err(|it| it.to_string())?;
    bech32::segwit::encode_v0(network, &hash).map_err(|it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The account of the test vectors of BIP 84.
    const ZPUB: &str = "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs";

    #[test]
    fn the_addresses_of_the_test_vectors_come_out() {
        for (index, wanted) in [
            (0, "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"),
            (1, "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g"),
        ] {
            assert_eq!(address(ZPUB, index).unwrap(), wanted);
        }
    }

    #[test]
    fn a_key_that_is_none_or_could_spend_is_refused() {
        // The root keys of BIP 32's first test vector: public at depth 0, and private.
        let root = "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8";
        let private = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
        let typo = ZPUB.replace("zpub6r", "zpub6s");
        for (text, wanted) in [
            (root, "must be the key of an account (depth 3), found depth 0"),
            (private, "must begin with xpub, zpub, tpub or vpub"),
            (&typo, "is no extended public key"),
            ("", "must begin with xpub, zpub, tpub or vpub"),
        ] {
            assert_eq!(check_xpub(text), Err(wanted.to_owned()), "{text}");
        }
    }
}
