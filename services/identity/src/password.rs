//! Passwords are kept as argon2id hashes, which are slow on purpose. Hashing runs on blocking threads, few at a time, since each
//! run takes 19 MiB; who finds too many waiting is told to come back.

use crate::error::{ApiError, Result};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use rand::Rng;
use ringfort_runtime::TaskGroup;
use std::sync::Arc;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Hashes computed at a time.
const RUNNING_MAX: usize = 2;
/// Requests that wait for theirs.
const WAITING_MAX: usize = 64;
/// Longer passwords are refused.
pub(crate) const PASSWORD_MAX: usize = 4096;

/// Computes and checks hashes.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    tasks: TaskGroup,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// The hash of nothing that anybody knows, checked in the place of one that is not there.
    decoy: Arc<str>,
}

impl Hasher {
    pub(crate) fn new(tasks: TaskGroup) -> Self {
        let decoy: [u8; 16] = rand::rng().random();
        let decoy = compute(&decoy).unwrap_or_default();
        Self {
            tasks,
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
            waiting: Arc::new(Semaphore::new(RUNNING_MAX + WAITING_MAX)),
            decoy: decoy.into(),
        }
    }

    /// The hash of `password`, with a salt of its own.
    pub(crate) async fn hash(&self, password: &str) -> Result<String> {
        if password.len() > PASSWORD_MAX {
            return Err(ApiError::bad_request(format!("The password is longer than {PASSWORD_MAX} bytes.")));
        }
        let password = Zeroizing::new(password.to_owned());
        let hash = self.run(move || compute(password.as_bytes())).await?;
        hash.ok_or_else(|| ApiError::internal("argon2 refuses its input"))
    }

    /// Whether `password` is the one that was hashed. Without a hash it takes as long, and is not.
    pub(crate) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        if password.len() > PASSWORD_MAX {
            return Ok(false);
        }
        let password = Zeroizing::new(password.to_owned());
        let (known, hash) = (hash.is_some(), hash.unwrap_or(&self.decoy).to_owned());
        let same = self.run(move || {
            let parsed = PasswordHash::new(&hash);
            parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        Ok(same.await? && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| ApiError::busy())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| ApiError::busy())?;
        let done = self.tasks.spawn_blocking(move || {
            let _held = (waiting, running);
            work()
        });
        done.await.map_err(|error| ApiError::internal(error.to_string()))
    }
}

fn compute(password: &[u8]) -> Option<String> {
    let salt: [u8; 16] = rand::rng().random();
    Argon2::default().hash_password_with_salt(password, &salt).ok().map(|hash| hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_fits_its_hash() {
        let hasher = Hasher::new(TaskGroup::new());
        let hash = hasher.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert_ne!(hash, hasher.hash("correct horse").await.unwrap());
        assert!(hasher.verify("correct horse", Some(&hash)).await.unwrap());
        for (password, hash) in
            [("Correct horse", Some(&*hash)), ("correct horse", None), ("x", Some("no hash"))]
        {
            assert!(!hasher.verify(password, hash).await.unwrap(), "{password} {hash:?}");
        }
        assert!(hasher.hash(&"x".repeat(PASSWORD_MAX + 1)).await.is_err());
    }
}
