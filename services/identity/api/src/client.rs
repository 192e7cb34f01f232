//! The client that gateways call: it remembers answers, as many as it has room for, for a moment each.

use crate::{Ec2Credential, Holder, IdentityPort, IdentityUnavailable, REVOKED_WITHIN};
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::time::Duration;

/// Answers of each kind that are remembered; the least used make room.
const REMEMBERED_MAX: usize = 10_000;
/// For how long: an answer that was on its way when the revocation happened comes on top.
const REMEMBERED_FOR: Duration = REVOKED_WITHIN.saturating_sub(Duration::from_secs(1));
/// Longer texts are no tokens and no keys.
const TEXT_MAX: usize = 8192;

/// Time since some moment, never going back.
pub type Clock = fn() -> Duration;

struct Answer<T> {
    at: Duration,
    found: Arc<T>,
}

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Self { at: self.at, found: Arc::clone(&self.found) }
    }
}

type Answers<T> = Cache<[u8; 32], Answer<T>>;

/// Asks an [`IdentityPort`] and remembers what it said. Only what was found is remembered: who floods it with forged tokens
/// pushes nothing out.
pub struct IdentityClient {
    port: Arc<dyn IdentityPort>,
    clock: Clock,
    holders: Answers<Holder>,
    credentials: Answers<Ec2Credential>,
}

impl std::fmt::Debug for IdentityClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityClient").field("remembered", &self.holders.len()).finish_non_exhaustive()
    }
}

impl IdentityClient {
    /// A client of `port`.
    #[must_use]
    pub fn new(port: Arc<dyn IdentityPort>, clock: Clock) -> Self {
        Self { port, clock, holders: Cache::new(REMEMBERED_MAX), credentials: Cache::new(REMEMBERED_MAX) }
    }

    /// Who holds `token`; `None` if it is forged, expired or revoked.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn holder_of(&self, token: &str) -> Result<Option<Arc<Holder>>, IdentityUnavailable> {
        if token.len() > TEXT_MAX {
            return Ok(None);
        }
        let key = key_of(token);
        if let Some(found) = self.remembered(&self.holders, &key) {
            return Ok(Some(found));
        }
        let at = (self.clock)();
        let found = self.port.holder_of(token).await?;
        Ok(Self::remember(&self.holders, key, at, found))
    }

    /// The credential with this access key; `None` if there is none that may be used.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn ec2_credential(
        &self,
        access_key: &str,
    ) -> Result<Option<Arc<Ec2Credential>>, IdentityUnavailable> {
        if access_key.len() > TEXT_MAX {
            return Ok(None);
        }
        let key = key_of(access_key);
        if let Some(found) = self.remembered(&self.credentials, &key) {
            return Ok(Some(found));
        }
        let at = (self.clock)();
        let found = self.port.ec2_credential(access_key).await?;
        Ok(Self::remember(&self.credentials, key, at, found))
    }

    fn remembered<T>(&self, answers: &Answers<T>, key: &[u8; 32]) -> Option<Arc<T>> {
        let answer = answers.get(key)?;
        let fresh = (self.clock)().saturating_sub(answer.at) < REMEMBERED_FOR;
        fresh.then_some(answer.found)
    }

    /// Remembers what was found, as of when it was asked for; what is gone is forgotten.
    fn remember<T>(answers: &Answers<T>, key: [u8; 32], at: Duration, found: Option<T>) -> Option<Arc<T>> {
        let Some(found) = found.map(Arc::new) else {
            answers.remove(&key);
            return None;
        };
        answers.insert(key, Answer { at, found: Arc::clone(&found) });
        Some(found)
    }
}

/// A text by its hash, so that no token lies in memory longer than its request.
fn key_of(text: &str) -> [u8; 32] {
    *blake3::hash(text.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PortFuture;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    static NOW_MS: AtomicU64 = AtomicU64::new(0);

    #[derive(Default)]
    struct Fake {
        asked: AtomicUsize,
        known: Mutex<Option<Result<Holder, IdentityUnavailable>>>,
    }

    impl IdentityPort for Arc<Fake> {
        fn holder_of<'a>(&'a self, _: &'a str) -> PortFuture<'a, Option<Holder>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let known = self.known.lock().unwrap().clone();
            Box::pin(async move { known.transpose() })
        }

        fn ec2_credential<'a>(&'a self, access_key: &'a str) -> PortFuture<'a, Option<Ec2Credential>> {
            Box::pin(async move {
                let holder = self.holder_of(access_key).await?;
                Ok(holder.map(|holder| Ec2Credential {
                    access_key: access_key.to_owned(),
                    secret_key: "s".to_owned(),
                    holder,
                }))
            })
        }
    }

    #[tokio::test]
    async fn answers_are_remembered_and_revocations_noticed_in_time() {
        let fake = Arc::new(Fake::default());
        let client = IdentityClient::new(Arc::new(Arc::clone(&fake)), || {
            Duration::from_millis(NOW_MS.load(Ordering::Relaxed))
        });
        let holder = Holder { user_id: "u".to_owned(), ..Holder::default() };
        *fake.known.lock().unwrap() = Some(Ok(holder.clone()));
        for _ in 0..100 {
            assert_eq!(client.holder_of("t").await.unwrap().as_deref(), Some(&holder));
            assert!(client.ec2_credential("a").await.unwrap().is_some());
        }
        assert_eq!(fake.asked.load(Ordering::Relaxed), 2);
        *fake.known.lock().unwrap() = None;
        assert!(client.holder_of("t").await.unwrap().is_some());
        NOW_MS.fetch_add(u64::try_from(REVOKED_WITHIN.as_millis()).unwrap() - 500, Ordering::Relaxed);
        assert!(client.holder_of("t").await.unwrap().is_none());
        assert!(client.ec2_credential("a").await.unwrap().is_none());
        *fake.known.lock().unwrap() = Some(Err(IdentityUnavailable("away".to_owned())));
        assert!(client.holder_of("t").await.is_err());
        let before = fake.asked.load(Ordering::Relaxed);
        assert!(client.holder_of(&"x".repeat(TEXT_MAX + 1)).await.unwrap().is_none());
        assert_eq!(fake.asked.load(Ordering::Relaxed), before);
    }
}
