//! The keys that tokens are sealed under, and their rotation.
//!
//! Tokens are sealed under the first key and opened under any of them. A rotation puts a new key first and keeps the old ones as
//! long as tokens sealed under them may live: with [`TokenKeys::COUNT_MAX`] keys and a rotation no oftener than every half of a
//! token's life, no token ends early.

use super::fernet::{self, Key};
use super::payload::Payload;
use arc_swap::ArcSwap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The keys in use. A cheap clone; all clones see a rotation.
#[derive(Clone)]
pub struct TokenKeys {
    keys: Arc<ArcSwap<Vec<Zeroizing<Key>>>>,
    /// What stored secrets are sealed under. It stays: they live longer than any token.
    secret_key: Arc<Zeroizing<Key>>,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKeys").field("count", &self.keys.load().len()).finish()
    }
}

impl TokenKeys {
    /// Keys at most: the one in use and those that were.
    pub const COUNT_MAX: usize = 4;

    /// These keys for tokens, the one in use first, and `secret_key` for secrets in the database. Those beyond
    /// [`Self::COUNT_MAX`] are left out.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn new(keys: &[[u8; 32]], secret_key: &[u8; 32]) -> Self {
        Self {
            keys: Arc::new(ArcSwap::from_pointee(Self::kept(keys))),
            secret_key: Arc::new(Zeroizing::new(*secret_key)),
        }
    }

    /// Takes these keys instead, for every clone.
    ///
    /// # Panics
    /// When there is none.
    pub fn replace(&self, keys: &[[u8; 32]]) {
        self.keys.store(Arc::new(Self::kept(keys)));
    }

    fn kept(keys: &[Key]) -> Vec<Zeroizing<Key>> {
        assert!(!keys.is_empty(), "tokens are sealed under a key");
        keys.iter().take(Self::COUNT_MAX).map(|key| Zeroizing::new(*key)).collect()
    }

    pub(crate) fn seal(&self, payload: Payload) -> String {
        let issued_s = payload.issued_us / 1_000_000;
        fernet::seal(&self.keys.load()[0], &payload.encode(), issued_s)
    }

    pub(crate) fn open(&self, token: &str) -> Option<Payload> {
        let keys: Vec<Key> = self.keys.load().iter().map(|key| **key).collect();
        fernet::open(&keys, token).and_then(|content| Payload::decode(&content))
    }

    /// Seals a secret that is stored.
    pub(crate) fn seal_secret(&self, secret: &str, now_us: u64) -> String {
        fernet::seal(&self.secret_key, secret.as_bytes(), now_us / 1_000_000)
    }

    /// The secret in a text made by [`Self::seal_secret`].
    pub(crate) fn open_secret(&self, text: &str) -> Option<String> {
        String::from_utf8(fernet::open(&[**self.secret_key], text)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::payload::AuditId;
    use crate::token::{Method, Scope};

    #[test]
    fn a_rotation_keeps_the_tokens_of_before() {
        let keys = TokenKeys::new(&[[1; 32]], &[9; 32]);
        let payload = Payload {
            user_id: "u".to_owned(),
            methods: vec![Method::Password],
            scope: Scope::Unscoped,
            issued_us: 1,
            expires_us: 2,
            audit_id: AuditId::generate(),
            chain_id: None,
            app_credential_id: None,
            trust_id: None,
        };
        let token = keys.seal(payload.clone());
        keys.replace(&[[2; 32], [1; 32]]);
        assert_eq!(keys.open(&token), Some(payload));
        keys.replace(&[[3; 32], [2; 32]]);
        assert_eq!(keys.open(&token), None);
        assert!(keys.open("").is_none() && keys.open("gAAAAA").is_none());
    }
}
