//! `DIR/openrc`, the file that the administrator's shell sources. It is written at each start, with the password that the first
//! start drew or `ringfort admin openrc` did since: one that the administrator set by another way is known to nobody here.

use crate::config::Settings;
use crate::ports::Service;
use crate::secrets::{SecretsError, write_private};
use crate::words;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const REGION_DEFAULT: &str = "RegionOne";

/// The file, and what it says besides the password.
pub(crate) struct OpenRc {
    path: PathBuf,
    lines: Vec<(&'static str, String)>,
}

/// The region that the endpoints are in.
pub(crate) fn region(settings: &Settings) -> String {
    settings.identity.region.clone().unwrap_or_else(|| REGION_DEFAULT.to_owned())
}

impl OpenRc {
    pub(crate) fn new(settings: &Settings, data_dir: &Path) -> Self {
        let mut lines = vec![
            ("OS_AUTH_URL", format!("{}/v3", settings.url(Service::Identity))),
            ("OS_IDENTITY_API_VERSION", "3".to_owned()),
            ("OS_AUTH_TYPE", "password".to_owned()),
            ("OS_USERNAME", "admin".to_owned()),
            ("OS_USER_DOMAIN_NAME", "Default".to_owned()),
            ("OS_PROJECT_NAME", "admin".to_owned()),
            ("OS_PROJECT_DOMAIN_NAME", "Default".to_owned()),
            ("OS_REGION_NAME", region(settings)),
            ("OS_INTERFACE", "public".to_owned()),
        ];
        if let Some(ca) = settings.tls.as_ref().and_then(|tls| tls.ca.as_deref()) {
            lines.push(("OS_CACERT", words::quoted(ca)));
        }
        Self { path: data_dir.join("openrc"), lines }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it, for its owner alone. Blocks.
    pub(crate) fn write(&self, password: &str) -> Result<(), SecretsError> {
        let mut text = Zeroizing::new(String::new());
        for (name, value) in &self.lines {
            text.push_str(&format!("export {name}={value}\n"));
        }
        text.push_str(&format!("export OS_PASSWORD={password}\n"));
        write_private(self.path.clone(), text.as_bytes())
    }
}
