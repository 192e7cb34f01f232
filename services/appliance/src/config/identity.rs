//! The settings of the identity service: `[identity]`.

use super::checked::Checked;
use super::file::{Faults, Unknown, refuse_unknown};
use super::units::Span;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Section {
    database: Checked<String>,
    region: Checked<String>,
    token_lifetime: Checked<Span>,
    lockout_failures: Checked<u64>,
    lockout: Checked<Span>,
    password_history: Checked<u32>,
    password_min_age: Checked<Span>,
    password_lifetime: Checked<Span>,
    policy: Checked<PathBuf>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// Its values once they are checked.
#[derive(Default)]
pub(crate) struct IdentitySettings {
    /// URL of a PostgreSQL database; without it, SQLite in the data folder.
    pub(crate) database: Option<String>,
    /// Region of the endpoints in the catalogue.
    pub(crate) region: Option<String>,
    /// How long tokens live.
    pub(crate) token_lifetime: Option<Duration>,
    /// Failed logins before a user is locked out.
    pub(crate) lockout_failures: Option<u64>,
    /// For how long.
    pub(crate) lockout: Option<Duration>,
    /// Which of its last passwords a user may not take again.
    pub(crate) password_history: Option<u32>,
    /// How long a password stays before its user may change it.
    pub(crate) password_min_age: Option<Duration>,
    /// How long a password lives.
    pub(crate) password_lifetime: Option<Duration>,
    /// A file of rules above the built-in ones.
    pub(crate) policy: Option<PathBuf>,
}

impl fmt::Debug for IdentitySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL of a database holds a password.
        f.debug_struct("IdentitySettings").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Section {
    pub(super) fn check(self, faults: &mut Faults) -> IdentitySettings {
        refuse_unknown("identity.", &self.unknown, faults);
        let rule = "is no URL such as \"postgres://user:password@host/database\"";
        let database = self.database.take_if("identity.database", faults, rule, |url| {
            ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
        });
        let rule = "is not 1 to 255 letters, digits, dots, dashes and underscores";
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let region = self.region.take_if("identity.region", faults, rule, |name| {
            (1..=255).contains(&name.len()) && name.chars().all(plain)
        });
        let rule = "is less than a minute";
        let long = |span: &Span| span.0.as_secs() >= 60;
        let token_lifetime = self.token_lifetime.take_if("identity.token_lifetime", faults, rule, long);
        // Each is checked by a hash that is slow on purpose.
        let rule = "is more than 24";
        let short = |count: &u32| *count <= 24;
        let history = self.password_history.take_if("identity.password_history", faults, rule, short);
        let rule = "is less than a minute";
        let lifetime = self.password_lifetime.take_if("identity.password_lifetime", faults, rule, long);
        IdentitySettings {
            database,
            region,
            token_lifetime: token_lifetime.map(|span| span.0),
            lockout_failures: self.lockout_failures.take("identity.lockout_failures", faults),
            lockout: self.lockout.take("identity.lockout", faults).map(|span| span.0),
            password_history: history,
            password_min_age: self
                .password_min_age
                .take("identity.password_min_age", faults)
                .map(|span| span.0),
            password_lifetime: lifetime.map(|span| span.0),
            policy: self.policy.take("identity.policy", faults),
        }
    }
}
