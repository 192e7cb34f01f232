//! What the service is told.

use std::time::Duration;

/// Settings of the identity service.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// Where clients reach it, without a slash at the end: `http://127.0.0.1:5000`.
    pub public_url: String,
    /// The region of its endpoints.
    pub region: String,
    /// How long a token lives.
    pub token_lifetime: Duration,
    /// Failed logins in a row after which a user is locked out; 0 for never.
    pub lockout_failures: u64,
    /// How long it is then locked out.
    pub lockout: Duration,
    /// A user may not change its password to one of its last so many, the present one among them; 0 for any.
    pub password_history: u32,
    /// How long a password stays before its user may change it.
    pub password_min_age: Duration,
    /// How long a password lives from when it is set; `None` for ever.
    pub password_lifetime: Option<Duration>,
    /// An operator's rules, which stand above the built-in ones.
    pub policy: Option<String>,
    /// What the catalogue names besides the identity service itself.
    pub services: Vec<ServedAt>,
}

/// A service of this cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedAt {
    /// Its type in the catalogue, such as `object-store`.
    pub kind: String,
    /// Its name there.
    pub name: String,
    /// Its URL, in which `%(project_id)s` stands for the project.
    pub url: String,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:5000".to_owned(),
            region: "RegionOne".to_owned(),
            token_lifetime: Duration::from_secs(3600),
            lockout_failures: 10,
            lockout: Duration::from_secs(300),
            password_history: 0,
            password_min_age: Duration::ZERO,
            password_lifetime: None,
            policy: None,
            services: Vec::new(),
        }
    }
}
