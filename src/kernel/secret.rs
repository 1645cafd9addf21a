//! Secrets: tokens that can be checked but not read back, and values that can be read back only by this installation.
//!
//! The installation's key is a file beside the database, made on first start. From it two keys are derived: one to
//! hash tokens (a copied database cannot be searched for a guessed token), one to encrypt stored credentials.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::Context as _;
use chacha20poly1305::{
    XChaCha20Poly1305,
    aead::{Aead, KeyInit as _, Payload},
};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    error::{Result, fault},
    store::random::Random,
};

/// The keys of this installation.
pub struct Secrets {
    hash_key: Zeroizing<[u8; 32]>,
    cipher: XChaCha20Poly1305,
}

impl Secrets {
    /// Derives the keys from the installation's key.
    pub fn new(installation_key: &[u8; 32]) -> Secrets {
        let derive = |purpose: &[u8]| Zeroizing::new(mac(installation_key, purpose));
        Secrets {
            hash_key: derive(b"coffer token hash v1"),
            cipher: XChaCha20Poly1305::new((&*derive(b"coffer seal v1")).into()),
        }
    }

    /// Reads the key file, or makes it (mode 0600) when `create` and it is missing. A key file that is missing beside
    /// an existing database is never made anew: everything sealed with it would be lost unnoticed.
    pub fn open(path: &Path, create: bool, random: &mut Random) -> anyhow::Result<Secrets> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let bytes = Zeroizing::new(HEXLOWER.decode(text.trim().as_bytes()).unwrap_or_default());
                let key: &[u8; 32] = bytes.as_slice().try_into().with_context(|| {
                    format!(
                        "the key file {} does not hold 64 hexadecimal digits; restore it from a backup",
                        path.display()
                    )
                })?;
                Ok(Secrets::new(key))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
                let key = Zeroizing::new(random.bytes::<32>());
                if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
                    std::fs::create_dir_all(folder)?;
                }
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)
                    .with_context(|| format!("cannot make the key file {}", path.display()))?;
                writeln!(file, "{}", HEXLOWER.encode(&*key))?;
                file.sync_all()?;
                Ok(Secrets::new(&key))
            }
            Err(error) => Err(error).with_context(|| {
                format!(
                    "cannot read the key file {}; restore it from a backup beside the database",
                    path.display()
                )
            }),
        }
    }

    /// What is stored of a token.
    pub fn hash(&self, token: &str) -> [u8; 32] {
        mac(&self.hash_key, token.as_bytes())
    }

    /// Whether `token` is the one whose hash was stored, in constant time.
    pub fn is(&self, token: &str, hash: &[u8; 32]) -> bool {
        self.hash(token).ct_eq(hash).into()
    }

    /// Encrypts `plain`, bound to `place` (table and key): a sealed value copied elsewhere does not open.
    /// `nonce` is random and used once: `tx.random_bytes()`.
    pub fn seal(&self, place: &str, plain: &[u8], nonce: [u8; 24]) -> Result<Vec<u8>> {
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed =
            self.cipher.encrypt((&nonce).into(), payload).map_err(|_| fault!("cannot encrypt {place}"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts what [`Secrets::seal`] made for the same place.
    pub fn open_sealed(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) =
            sealed.split_first_chunk::<24>().ok_or_else(|| fault!("{place} is not sealed"))?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        let plain = self.cipher.decrypt(nonce.into(), payload);
        plain.map(Zeroizing::new).map_err(|_| fault!("{place} does not open with this installation's key"))
    }
}

fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("an HMAC takes a key of any length");
    };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Makes a token: `prefix` (`sk_live_`), 256 random bits in base32, and a checksum that tells a typing mistake from a
/// revoked token and lets scanners recognise a leaked one.
pub fn make_token(prefix: &str, random: [u8; 32]) -> String {
    let body = format!("{prefix}{}", BASE32_NOPAD.encode(&random).to_ascii_lowercase());
    format!("{body}{:08x}", crc32fast::hash(body.as_bytes()))
}

/// Whether the checksum of a token is right. Says nothing about whether it is known.
pub fn is_token(text: &str) -> bool {
    match text.len().checked_sub(8).and_then(|at| text.split_at_checked(at)) {
        Some((body, checksum)) => {
            !body.is_empty() && format!("{:08x}", crc32fast::hash(body.as_bytes())) == checksum
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_where_it_belongs() {
        let secrets = Secrets::new(&[7; 32]);
        let sealed = secrets.seal("client.secrets/a", b"smtp password", [1; 24]).unwrap();
        assert_eq!(&**secrets.open_sealed("client.secrets/a", &sealed).unwrap(), b"smtp password");
        assert!(secrets.open_sealed("client.secrets/b", &sealed).is_err());
        assert!(Secrets::new(&[8; 32]).open_sealed("client.secrets/a", &sealed).is_err());
        assert!(secrets.open_sealed("client.secrets/a", b"short").is_err());
    }

    #[test]
    fn a_token_with_a_typing_mistake_is_told_from_its_checksum() {
        let token = make_token("sk_test_", [5; 32]);
        assert!(is_token(&token) && token.starts_with("sk_test_"));
        assert!(!is_token(&token.replace("sk_test_", "sk_live_")));
        assert!(!is_token(&token[..token.len() - 1]) && !is_token("") && !is_token("12345678"));
    }

    #[test]
    fn the_key_file_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coffer.key");
        let mut random = Random::new(Some(1));
        assert!(Secrets::open(&path, false, &mut random).is_err());
        let first = Secrets::open(&path, true, &mut random).unwrap().hash("a");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Secrets::open(&path, true, &mut random).unwrap().hash("a"), first);
    }
}
