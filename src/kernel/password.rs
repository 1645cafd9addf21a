//! Passwords: hashed with Argon2id, never inside a transaction.

use std::sync::LazyLock;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;

use super::error::{Result, fault};

/// A hash takes 19 MiB while it is computed (OWASP's first choice: m = 19 MiB, t = 2, p = 1), so only a few at once.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(4));

/// What is compared when there is no such account: the answer takes the same time.
static DECOY: LazyLock<String> = LazyLock::new(|| hash_blocking("a password nobody has").unwrap_or_default());

/// The hash of a password, as stored.
pub async fn hash(password: String) -> Result<String> {
    on_a_thread(move || hash_blocking(&password)).await?
}

/// Whether `password` is the one that `hash` was made of. Without a hash it takes the same time and says no.
pub async fn verify(password: String, hash: Option<String>) -> Result<bool> {
    on_a_thread(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| DECOY.clone());
        let Ok(parsed) = PasswordHash::new(&hash) else {
            return false;
        };
        argon2().is_ok_and(|it| it.verify_password(password.as_bytes(), &parsed).is_ok()) && known
    })
    .await
}

/// For the command line and for set-up.
pub fn hash_blocking(password: &str) -> Result<String> {
    let hash = argon2()?.hash_password(password.as_bytes());
    Ok(hash.map_err(|error| fault!("cannot hash a password: {error}"))?.to_string())
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|error| fault!("argon2: {error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let _slot = SLOTS.acquire().await.map_err(|error| fault!("password slots: {error}"))?;
    tokio::task::spawn_blocking(work).await.map_err(|error| fault!("hashing ended early: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_told_from_another_and_from_no_account() {
        let stored = hash("correct horse battery".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify("correct horse battery".into(), Some(stored.clone())).await.unwrap());
        assert!(!verify("correct horse".into(), Some(stored)).await.unwrap());
        assert!(!verify("a password nobody has".into(), None).await.unwrap());
    }
}
