//! Who a request comes from: the one thing that this crate asks of an identity service.
//!
//! [`Authenticator`] turns a token into an [`Identity`]. [`crate::TempAuth`] is the one for test clients; the appliance brings
//! the one that asks its identity service. An implementation caches what it may: it is called on every request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The answer of an [`Authenticator`], when it comes.
pub type AuthFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AuthUnavailable>> + Send + 'a>>;

/// The identity service did not answer, so nobody can be told yes or no: the client gets a 503.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the identity service does not answer: {0}")]
pub struct AuthUnavailable(pub String);

/// Who holds a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user_name: String,
    /// Id of the project that the token is scoped to; it is the name of the account.
    pub project_id: String,
    /// Name of that project.
    pub project_name: String,
    /// Id of the project's domain.
    pub domain_id: String,
    /// Roles in that project.
    pub roles: Vec<String>,
    /// Further names by which access lists may call this user: TempAuth's groups.
    pub groups: Vec<String>,
    /// May do anything in any account, and set quotas.
    pub reseller_admin: bool,
}

impl Identity {
    /// Whether the roles make this user an owner of the project's account.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.roles.iter().any(|role| {
            ["admin", "manager", "member", "_member_"].iter().any(|owner| role.eq_ignore_ascii_case(owner))
        })
    }

    /// Whether the roles let this user read the project's account.
    #[must_use]
    pub fn is_reader(&self) -> bool {
        self.roles.iter().any(|role| role.eq_ignore_ascii_case("reader"))
    }
}

/// A token given for a name and a key.
#[derive(Clone, Debug)]
pub struct Login {
    /// The token.
    pub token: String,
    /// Seconds until it expires.
    pub expires_in_s: u64,
    /// The project whose account is the user's own.
    pub project_id: String,
}

/// Knows tokens. Called from async code on every request: it never blocks.
pub trait Authenticator: Send + Sync + 'static {
    /// Who holds `token`; `None` if it is forged, expired or revoked.
    fn identify<'a>(&'a self, token: &'a str) -> AuthFuture<'a, Option<Arc<Identity>>>;

    /// Version 1 authentication: a token for a user's name and key. `None` refuses; so does an implementation that knows
    /// no such authentication.
    fn login<'a>(&'a self, user: &'a str, key: &'a str) -> AuthFuture<'a, Option<Login>> {
        let _ = (user, key);
        Box::pin(async { Ok(None) })
    }
}
