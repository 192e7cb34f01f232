//! The identity port: its database, its secrets, and the catalogue of what this process serves.

use crate::config::Settings;
use crate::openrc::{OpenRc, region};
use crate::ports::Service;
use crate::secrets::IdentitySecrets;
use anyhow::Context;
use ringfort_db::Db;
use ringfort_identity::{FirstAdmin, Identity, IdentityConfig, ServedAt, TokenKeys};
use ringfort_runtime::TaskGroup;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folder of the database. Its presence says that the secrets were drawn.
pub(super) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("identity")
}

/// What the service is told.
fn config(settings: &Settings) -> anyhow::Result<IdentityConfig> {
    let told = &settings.identity;
    let defaults = IdentityConfig::default();
    let policy = told
        .policy
        .as_ref()
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display())));
    let served =
        |kind: &str, name: &str, url: String| ServedAt { kind: kind.to_owned(), name: name.to_owned(), url };
    Ok(IdentityConfig {
        public_url: settings.url(Service::Identity),
        region: region(settings),
        token_lifetime: told.token_lifetime.unwrap_or(defaults.token_lifetime),
        lockout_failures: told.lockout_failures.unwrap_or(defaults.lockout_failures),
        lockout: told.lockout.unwrap_or(defaults.lockout),
        password_history: told.password_history.unwrap_or(defaults.password_history),
        password_min_age: told.password_min_age.unwrap_or(defaults.password_min_age),
        password_lifetime: told.password_lifetime.or(defaults.password_lifetime),
        policy: policy.transpose()?,
        services: vec![
            served(
                "object-store",
                "swift",
                format!("{}/v1/AUTH_%(project_id)s", settings.url(Service::Swift)),
            ),
            served("s3", "s3", settings.url(Service::S3)),
        ],
    })
}

/// What the service is made of besides the settings.
pub(super) struct Parts<'a> {
    pub(super) secrets: &'a IdentitySecrets,
    pub(super) token_keys: &'a TokenKeys,
    /// The administrator's project: the account of the first access key, so that both see the same buckets.
    pub(super) project_id: &'a str,
}

/// Opens the service.
pub(super) async fn open(
    settings: &Settings,
    data_dir: &Path,
    parts: &Parts<'_>,
    tasks: &TaskGroup,
) -> anyhow::Result<Identity> {
    let folder = folder(data_dir);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let db = match &settings.identity.database {
        Some(url) => Db::postgres(url).await.context("cannot connect to the identity database")?,
        None => {
            let path = folder.join("identity.db");
            Db::sqlite(&path).await.with_context(|| format!("cannot open {}", path.display()))?
        }
    };
    let admin = FirstAdmin {
        project_id: parts.project_id.to_owned(),
        password: parts.secrets.admin_password.clone(),
    };
    let identity = Identity::open(db, parts.token_keys.clone(), &admin, config(settings)?, tasks).await?;
    OpenRc::new(settings, data_dir).write(&parts.secrets.admin_password)?;
    Ok(identity)
}
