//! TempAuth: users from the settings, for test clients and small set-ups without an identity service.
//!
//! A token is `AUTH_tk` and the hexadecimal digits of the user's place in the list, the time at which it expires and a
//! keyed hash of both, so that none is stored and any number of logins cost no memory:
//!
//! ```text
//!  0        4            12              28
//!  +--------+------------+---------------+
//!  | user   | expires_s  | HMAC-SHA-256  |   big-endian; the hash is cut to 16 bytes
//!  +--------+------------+---------------+
//! ```

use crate::identity::{AuthFuture, Authenticator, Identity, Login};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

const PREFIX: &str = "AUTH_tk";
const SIGNED: usize = 12;
const LEN: usize = SIGNED + 16;

/// One user as the settings give it.
#[derive(Clone, Debug, Default)]
pub struct TempAuthUser {
    /// The account (project) it belongs to.
    pub account: String,
    /// Its name.
    pub user: String,
    /// Its key.
    pub key: String,
    /// `admin` or `member` owns the account, `reader` reads it, `reseller_admin` owns every account; others are names for
    /// access lists. A user without roles has no access but by such lists.
    pub roles: Vec<String>,
}

/// Users from the settings. A cheap clone.
#[derive(Clone)]
pub struct TempAuth {
    inner: Arc<Inner>,
}

struct Inner {
    users: Vec<(TempAuthUser, Arc<Identity>)>,
    secret: [u8; 32],
    lifetime_s: u64,
}

impl TempAuth {
    /// Users, a secret that signs their tokens, and how long a token lives.
    #[must_use]
    pub fn new(users: Vec<TempAuthUser>, secret: [u8; 32], lifetime: Duration) -> Self {
        let users = users.into_iter().map(|user| (user.clone(), Arc::new(identity_of(&user)))).collect();
        Self { inner: Arc::new(Inner { users, secret, lifetime_s: lifetime.as_secs() }) }
    }

    fn token(&self, user: u32, expires_s: u64) -> String {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&user.to_be_bytes());
        bytes[4..SIGNED].copy_from_slice(&expires_s.to_be_bytes());
        let hash = self.hash(&bytes[..SIGNED]);
        bytes[SIGNED..].copy_from_slice(&hash);
        format!("{PREFIX}{}", hex::encode(bytes))
    }

    fn hash(&self, signed: &[u8]) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.inner.secret).expect("any key length will do");
        mac.update(signed);
        let whole = mac.finalize().into_bytes();
        let mut cut = [0; 16];
        cut.copy_from_slice(&whole[..16]);
        cut
    }

    /// Who holds a token at `now_s`.
    fn holder(&self, token: &str, now_s: u64) -> Option<Arc<Identity>> {
        let mut bytes = [0; LEN];
        hex::decode_to_slice(token.strip_prefix(PREFIX)?, &mut bytes).ok()?;
        let genuine: bool = self.hash(&bytes[..SIGNED]).ct_eq(&bytes[SIGNED..]).into();
        if !genuine {
            return None;
        }
        let user = u32::from_be_bytes(bytes[..4].try_into().ok()?);
        let expires_s = u64::from_be_bytes(bytes[4..SIGNED].try_into().ok()?);
        let (_, identity) = self.inner.users.get(usize::try_from(user).ok()?)?;
        (expires_s > now_s).then(|| Arc::clone(identity))
    }
}

fn identity_of(user: &TempAuthUser) -> Identity {
    let roles: Vec<String> = user.roles.iter().map(|role| role.trim_start_matches('.').to_owned()).collect();
    let reseller_admin = roles.iter().any(|role| role == "reseller_admin");
    let name = format!("{}:{}", user.account, user.user);
    let mut groups = vec![user.account.clone(), name.clone()];
    groups.extend(user.roles.iter().cloned());
    Identity {
        user_id: name.clone(),
        user_name: name,
        project_id: user.account.clone(),
        project_name: user.account.clone(),
        domain_id: String::new(),
        roles,
        groups,
        reseller_admin,
    }
}

impl Authenticator for TempAuth {
    fn identify<'a>(&'a self, token: &'a str) -> AuthFuture<'a, Option<Arc<Identity>>> {
        let holder = self.holder(token, ringfort_runtime::wall_us() / 1_000_000);
        Box::pin(async move { Ok(holder) })
    }

    fn login<'a>(&'a self, user: &'a str, key: &'a str) -> AuthFuture<'a, Option<Login>> {
        let found = self.inner.users.iter().zip(0_u32..).find(|((known, _), _)| {
            user.split_once(':').is_some_and(|(account, user)| account == known.account && user == known.user)
        });
        let login = found.and_then(|((known, _), place)| {
            let right: bool = known.key.as_bytes().ct_eq(key.as_bytes()).into();
            right.then(|| {
                let now_s = ringfort_runtime::wall_us() / 1_000_000;
                let token = self.token(place, now_s.saturating_add(self.inner.lifetime_s));
                Login { token, expires_in_s: self.inner.lifetime_s, project_id: known.account.clone() }
            })
        });
        Box::pin(async move { Ok(login) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> TempAuth {
        let user = |name: &str, roles: &[&str]| TempAuthUser {
            account: "test".to_owned(),
            user: name.to_owned(),
            key: "testing".to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        TempAuth::new(vec![user("a", &["admin"]), user("b", &[])], [7; 32], Duration::from_secs(60))
    }

    #[test]
    fn tokens_are_of_one_user_for_a_while() {
        let auth = auth();
        let token = auth.token(1, 1000);
        assert_eq!(auth.holder(&token, 999).map(|who| who.user_id.clone()).as_deref(), Some("test:b"));
        assert!(auth.holder(&token, 1000).is_none(), "expired");
        assert!(auth.holder(&auth.token(2, 1000), 0).is_none(), "no such user");
        let other = TempAuth { inner: Arc::new(Inner { secret: [8; 32], users: vec![], lifetime_s: 1 }) };
        assert!(auth.holder(&other.token(0, 1000), 0).is_none(), "signed by another secret");
        for place in PREFIX.len()..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[place] = if forged[place] == b'0' { b'1' } else { b'0' };
            assert!(auth.holder(&String::from_utf8(forged).unwrap(), 0).is_none(), "digit {place}");
        }
        for bad in ["", PREFIX, "AUTH_tkzz", &token[..token.len() - 2]] {
            assert!(auth.holder(bad, 0).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn only_the_right_key_gets_a_token() {
        let auth = auth();
        for (user, key) in [("test:a", "wrong"), ("test:c", "testing"), ("a", "testing"), ("", "")] {
            assert!(auth.login(user, key).await.unwrap().is_none(), "{user}");
        }
        let login = auth.login("test:a", "testing").await.unwrap().unwrap();
        let who = auth.identify(&login.token).await.unwrap().unwrap();
        assert!(who.is_owner() && who.groups.contains(&"test:a".to_owned()));
    }
}
