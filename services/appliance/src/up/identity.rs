//! The identity port: its database, its secrets, the catalogue of what this process serves, and the file with which the
//! administrator's tools log in.

use crate::config::Settings;
use crate::ports::Service;
use crate::secrets::{IdentitySecrets, SecretsError, write_private};
use crate::words;
use anyhow::Context;
use ringfort_db::Db;
use ringfort_identity::{FirstAdmin, Identity, IdentityConfig, ServedAt, TokenKeys};
use ringfort_runtime::TaskGroup;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const REGION_DEFAULT: &str = "RegionOne";

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

fn region(settings: &Settings) -> String {
    settings.identity.region.clone().unwrap_or_else(|| REGION_DEFAULT.to_owned())
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
    write_openrc(settings, data_dir, parts.secrets)?;
    Ok(identity)
}

/// The file that the administrator's shell sources: `. DIR/openrc`.
fn write_openrc(settings: &Settings, data_dir: &Path, secrets: &IdentitySecrets) -> Result<(), SecretsError> {
    let mut text = Zeroizing::new(String::new());
    let url = format!("{}/v3", settings.url(Service::Identity));
    for (name, value) in [
        ("OS_AUTH_URL", url.as_str()),
        ("OS_IDENTITY_API_VERSION", "3"),
        ("OS_AUTH_TYPE", "password"),
        ("OS_USERNAME", "admin"),
        ("OS_PASSWORD", &secrets.admin_password),
        ("OS_USER_DOMAIN_NAME", "Default"),
        ("OS_PROJECT_NAME", "admin"),
        ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ("OS_REGION_NAME", &region(settings)),
        ("OS_INTERFACE", "public"),
    ] {
        text.push_str(&format!("export {name}={value}\n"));
    }
    if let Some(ca) = settings.tls.as_ref().and_then(|tls| tls.ca.as_deref()) {
        text.push_str(&format!("export OS_CACERT={}\n", words::quoted(ca)));
    }
    write_private(data_dir.join("openrc"), text.as_bytes())
}
