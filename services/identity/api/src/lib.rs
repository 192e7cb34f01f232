//! What the services of this cloud ask of identity: whose a token is, and whose an access key is.
//!
//! A gateway asks on every request, so it asks [`IdentityClient`], which remembers each answer for a moment: short enough that
//! what is revoked, disabled or taken away is refused within [`REVOKED_WITHIN`]. What stands behind it is an
//! [`IdentityPort`]: the service itself where both run in one process.

mod client;

pub use client::{Clock, IdentityClient};

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// How long after a revocation a gateway may still honour what was revoked, at most.
pub const REVOKED_WITHIN: Duration = Duration::from_secs(5);

/// An answer that comes later.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, IdentityUnavailable>> + Send + 'a>>;

/// The identity service gave no answer: nobody may be told yes or no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity service does not answer: {0}")]
pub struct IdentityUnavailable(pub String);

/// Who holds a token or an access key, and what for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user_name: String,
    /// Id of the user's domain.
    pub user_domain_id: String,
    /// What it is scoped to, if it is a project.
    pub project: Option<ProjectScope>,
    /// Names of the roles that the user has there, implied ones among them.
    pub roles: Vec<String>,
    /// What it may be used for, if that is restricted: a service that knows no such rules refuses it.
    pub access_rules: Option<Vec<AccessRule>>,
}

/// The project that something is scoped to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectScope {
    /// Its id, which is the name of its account in the object store.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Id of its domain.
    pub domain_id: String,
}

/// One kind of request that an application credential may make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Type of the service in the catalogue.
    pub service: String,
    /// The HTTP method.
    pub method: String,
    /// The path, in which `*` stands for one part, `**` for any and `{name}` for one.
    pub path: String,
}

impl AccessRule {
    /// Whether a request is one of these.
    #[must_use]
    pub fn covers(&self, service: &str, method: &str, path: &str) -> bool {
        let wanted: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        let given: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        self.service == service && self.method == method && matches(&wanted, &given)
    }
}

fn matches(wanted: &[&str], given: &[&str]) -> bool {
    match (wanted.split_first(), given.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (0..=given.len()).any(|skipped| matches(rest, &given[skipped..])),
        (Some((first, wanted)), Some((part, given))) => {
            let any = *first == "*" || (first.starts_with('{') && first.ends_with('}'));
            (any || first == part) && matches(wanted, given)
        }
        _ => false,
    }
}

/// An access key of S3 and EC2, and who holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ec2Credential {
    /// The public half.
    pub access_key: String,
    /// The secret half, with which requests are signed.
    pub secret_key: String,
    /// Whose it is; always of a project.
    pub holder: Holder,
}

impl std::fmt::Debug for Ec2Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ec2Credential")
            .field("access_key", &self.access_key)
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}

/// The identity service, wherever it runs.
pub trait IdentityPort: Send + Sync + 'static {
    /// Who holds `token` now; `None` if it is forged, expired or revoked.
    fn holder_of<'a>(&'a self, token: &'a str) -> PortFuture<'a, Option<Holder>>;

    /// The credential with this access key; `None` if there is none, or its user or project may not use it now.
    fn ec2_credential<'a>(&'a self, access_key: &'a str) -> PortFuture<'a, Option<Ec2Credential>>;
}

#[cfg(test)]
mod tests {
    use super::AccessRule;

    #[test]
    fn access_rules_cover_paths() {
        for (path, given, wanted) in [
            ("/v1/AUTH_p/c", "/v1/AUTH_p/c", true),
            ("/v1/*/c", "/v1/AUTH_p/c", true),
            ("/v1/{account}/c", "/v1/AUTH_p/c", true),
            ("/v1/*", "/v1/AUTH_p/c", false),
            ("/v1/**", "/v1/AUTH_p/c/o", true),
            ("/v1/**/o", "/v1/AUTH_p/c/o", true),
            ("/v1/**/x", "/v1/AUTH_p/c/o", false),
            ("/**", "/", true),
        ] {
            let rule = AccessRule { service: "s".into(), method: "GET".into(), path: path.into() };
            assert_eq!(rule.covers("s", "GET", given), wanted, "{path} {given}");
            assert!(!rule.covers("s", "PUT", given) && !rule.covers("t", "GET", given));
        }
    }
}
