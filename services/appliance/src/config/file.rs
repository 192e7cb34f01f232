//! The config file, and the device list that the data folder remembers: TOML, unknown names refused, all faults at once.

use super::checked::Checked;
use super::identity::IdentitySettings;
use super::units::{ByteSize, Span};
use crate::args::is_weight;
use crate::secrets::AccessKey;
use ringfort_core::Redundancy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Every fault of the settings, so that one try is enough to see them all.
#[derive(Debug, Default, thiserror::Error)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    pub(crate) fn add(&mut self, name: &str, fault: &str) {
        self.0.push(format!("{name}: {fault}"));
    }

    pub(crate) fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fault(s) in the settings:", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

pub(super) type Unknown = BTreeMap<String, toml::Value>;

/// The file as written. Every value is a [`Checked`] and unknown names are caught in `unknown`: serde's own
/// `deny_unknown_fields` would stop at the first.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConfigFile {
    bind: Checked<IpAddr>,
    public_host: Checked<String>,
    port_base: Checked<u16>,
    policies: Checked<Vec<String>>,
    devices: Checked<Vec<toml::Value>>,
    s3_keys: Checked<Vec<toml::Value>>,
    s3_domains: Checked<Vec<String>>,
    log: Checked<Log>,
    http: Checked<Http>,
    storage: Checked<Storage>,
    tls: Checked<Tls>,
    swift: Checked<Swift>,
    identity: Checked<super::identity::Section>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Log {
    json: Checked<bool>,
    filter: Checked<String>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Http {
    connections_max: Checked<usize>,
    head_timeout: Checked<Span>,
    idle_timeout: Checked<Span>,
    stall_timeout: Checked<Span>,
    drain: Checked<Span>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Storage {
    index_memory: Checked<ByteSize>,
    reserve: Checked<ByteSize>,
    pace_per_s: Checked<ByteSize>,
    scrub_every: Checked<Span>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tls {
    certificate: Checked<PathBuf>,
    key: Checked<PathBuf>,
    ca: Checked<PathBuf>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Swift {
    users: Checked<Vec<toml::Value>>,
    token_lifetime: Checked<Span>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// A user of version 1 authentication on the Swift port.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwiftUser {
    pub(crate) account: String,
    pub(crate) user: String,
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
}

impl fmt::Debug for SwiftUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwiftUser")
            .field("account", &self.account)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// One device folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceSection {
    /// Absolute, or relative to the data folder.
    pub(crate) path: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<f64>,
}

/// The file's values once they are checked.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) bind: Option<IpAddr>,
    pub(crate) public_host: Option<String>,
    pub(crate) port_base: Option<u16>,
    pub(crate) policies: Vec<Redundancy>,
    pub(crate) devices: Vec<DeviceSection>,
    /// Keys of further accounts, beside the one that is drawn.
    pub(crate) s3_keys: Vec<AccessKey>,
    pub(crate) s3_domains: Vec<String>,
    pub(crate) log_json: bool,
    pub(crate) log_filter: Option<String>,
    pub(crate) connections_max: Option<usize>,
    pub(crate) head_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) stall_timeout: Option<Duration>,
    pub(crate) drain: Option<Duration>,
    pub(crate) index_memory_bytes: Option<usize>,
    pub(crate) reserve_bytes: Option<u64>,
    pub(crate) pace_bytes_per_s: Option<u64>,
    pub(crate) scrub_every: Option<Duration>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) swift_users: Vec<SwiftUser>,
    pub(crate) swift_token_lifetime: Option<Duration>,
    pub(crate) identity: IdentitySettings,
}

/// The files of TLS.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ca: Option<PathBuf>,
}

impl TlsFiles {
    pub(crate) fn absolute(self) -> Self {
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Self { certificate: absolute(self.certificate), key: absolute(self.key), ca: self.ca.map(absolute) }
    }
}

impl ConfigFile {
    /// The file in `text`; what is no TOML at all is the only fault that hides others.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The values; what is wrong with the others goes to `faults`.
    pub(crate) fn check(self, faults: &mut Faults) -> Values {
        refuse_unknown("", &self.unknown, faults);
        let mut values = Values {
            bind: self.bind.take("bind", faults),
            public_host: self.public_host.take("public_host", faults),
            port_base: self.port_base.take_if("port_base", faults, "is not between 1 and 65500", |port| {
                (1..=65_500).contains(port)
            }),
            policies: check_policies(self.policies, faults),
            devices: check_devices(self.devices, faults),
            s3_keys: check_keys(self.s3_keys, faults),
            s3_domains: self.s3_domains.take("s3_domains", faults).unwrap_or_default(),
            ..Values::default()
        };
        if let Some(log) = self.log.take("log", faults) {
            log.check(&mut values, faults);
        }
        if let Some(http) = self.http.take("http", faults) {
            http.check(&mut values, faults);
        }
        if let Some(storage) = self.storage.take("storage", faults) {
            storage.check(&mut values, faults);
        }
        if let Some(tls) = self.tls.take("tls", faults) {
            tls.check(&mut values, faults);
        }
        if let Some(swift) = self.swift.take("swift", faults) {
            swift.check(&mut values, faults);
        }
        if let Some(identity) = self.identity.take("identity", faults) {
            values.identity = identity.check(faults);
        }
        values
    }
}

impl Log {
    fn check(self, values: &mut Values, faults: &mut Faults) {
        refuse_unknown("log.", &self.unknown, faults);
        values.log_json = self.json.take("log.json", faults).unwrap_or_default();
        values.log_filter =
            self.filter.take_if("log.filter", faults, "is no filter such as \"info\"", |filter| {
                filter.parse::<tracing_subscriber::filter::EnvFilter>().is_ok()
            });
    }
}

impl Http {
    fn check(self, values: &mut Values, faults: &mut Faults) {
        refuse_unknown("http.", &self.unknown, faults);
        let rule = "is not between 1 and 1000000";
        values.connections_max = self
            .connections_max
            .take_if("http.connections_max", faults, rule, |n| (1..=1_000_000).contains(n));
        let mut span = |value: Checked<Span>, name| {
            value
                .take_if(name, faults, "is not longer than nothing", |span| !span.0.is_zero())
                .map(|span| span.0)
        };
        values.head_timeout = span(self.head_timeout, "http.head_timeout");
        values.idle_timeout = span(self.idle_timeout, "http.idle_timeout");
        values.stall_timeout = span(self.stall_timeout, "http.stall_timeout");
        values.drain = self.drain.take("http.drain", faults).map(|span| span.0);
    }
}

impl Storage {
    fn check(self, values: &mut Values, faults: &mut Faults) {
        refuse_unknown("storage.", &self.unknown, faults);
        let rule = "is less than 8 MiB, too little to work with";
        let memory =
            self.index_memory.take_if("storage.index_memory", faults, rule, |size| size.0 >= 8 << 20);
        values.index_memory_bytes = memory.and_then(|size| usize::try_from(size.0).ok());
        values.reserve_bytes = self.reserve.take("storage.reserve", faults).map(|size| size.0);
        let rule = "is less than 1 MiB per second: repair would never end";
        let pace = self.pace_per_s.take_if("storage.pace_per_s", faults, rule, |size| size.0 >= 1 << 20);
        values.pace_bytes_per_s = pace.map(|size| size.0);
        let rule = "is less than a minute";
        let every =
            self.scrub_every.take_if("storage.scrub_every", faults, rule, |span| span.0.as_secs() >= 60);
        values.scrub_every = every.map(|span| span.0);
    }
}

impl Tls {
    fn check(self, values: &mut Values, faults: &mut Faults) {
        refuse_unknown("tls.", &self.unknown, faults);
        let certificate = self.certificate.take("tls.certificate", faults);
        let key = self.key.take("tls.key", faults);
        let ca = self.ca.take("tls.ca", faults);
        match (certificate, key) {
            (Some(certificate), Some(key)) => values.tls = Some(TlsFiles { certificate, key, ca }),
            (None, None) if ca.is_none() => {}
            _ => faults.add("tls", "needs both a certificate and its key"),
        }
    }
}

impl Swift {
    fn check(self, values: &mut Values, faults: &mut Faults) {
        refuse_unknown("swift.", &self.unknown, faults);
        let rule = "is less than a minute";
        let lifetime =
            self.token_lifetime.take_if("swift.token_lifetime", faults, rule, |span| span.0.as_secs() >= 60);
        values.swift_token_lifetime = lifetime.map(|span| span.0);
        let users = self.users.take("swift.users", faults).unwrap_or_default();
        for (number, value) in users.into_iter().enumerate() {
            let name = format!("swift.users[{number}]");
            match SwiftUser::deserialize(value) {
                Ok(user) if user.account.is_empty() || user.user.is_empty() || user.key.is_empty() => {
                    faults.add(&name, "needs an account, a user and a key that are not empty");
                }
                Ok(user) if user.account.contains([':', '/']) || user.user.contains(':') => {
                    faults.add(&name, "has a name with a colon or a slash");
                }
                Ok(user) if user.account.starts_with('.') => {
                    faults.add(&name, "has an account that begins with a dot");
                }
                Ok(user) => values.swift_users.push(user),
                Err(error) => faults.add(&name, error.message()),
            }
        }
    }
}

pub(super) fn refuse_unknown(section: &str, unknown: &Unknown, faults: &mut Faults) {
    for name in unknown.keys() {
        faults.add(&format!("{section}{name}"), "is no setting of ringfort");
    }
}

fn check_policies(policies: Checked<Vec<String>>, faults: &mut Faults) -> Vec<Redundancy> {
    let texts = policies.take("policies", faults).unwrap_or_default();
    let mut parsed = Vec::new();
    for text in texts {
        match text.parse::<Redundancy>() {
            Ok(policy) => parsed.push(policy),
            Err(error) => faults.add("policies", &error.to_string()),
        }
    }
    parsed
}

fn check_devices(devices: Checked<Vec<toml::Value>>, faults: &mut Faults) -> Vec<DeviceSection> {
    let values = devices.take("devices", faults).unwrap_or_default();
    let mut parsed = Vec::new();
    for (number, value) in values.into_iter().enumerate() {
        let name = format!("devices[{number}]");
        match DeviceSection::deserialize(value) {
            Ok(device) if device.path.as_os_str().is_empty() => faults.add(&name, "has no path"),
            Ok(device) if !device.weight.is_none_or(is_weight) => {
                faults.add(&name, "the weight is not above 0 and at most 1000");
            }
            Ok(device) => parsed.push(device),
            Err(error) => faults.add(&name, error.message()),
        }
    }
    parsed
}

/// What is wrong with a key is told without its text: the secret is in it.
fn check_keys(keys: Checked<Vec<toml::Value>>, faults: &mut Faults) -> Vec<AccessKey> {
    let values = keys.take("s3_keys", faults).unwrap_or_default();
    let mut parsed: Vec<AccessKey> = Vec::new();
    for (number, value) in values.into_iter().enumerate() {
        let name = format!("s3_keys[{number}]");
        match AccessKey::deserialize(value) {
            Ok(key) if [&key.access_key, &key.account, &key.owner_id].iter().any(|text| text.is_empty()) => {
                faults.add(&name, "access_key, account and owner_id must not be empty");
            }
            Ok(key) if key.secret_key.len() < 16 => {
                faults.add(&name, "the secret_key has less than 16 bytes")
            }
            Ok(key) if parsed.iter().any(|other| other.access_key == key.access_key) => {
                faults.add(&name, "the access_key is given twice");
            }
            Ok(key) => parsed.push(key),
            Err(_) => faults.add(
                &name,
                "is no table of the texts access_key, secret_key, account, owner_id and owner_name",
            ),
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str) -> Vec<String> {
        let mut faults = Faults::default();
        ConfigFile::parse(text).unwrap().check(&mut faults);
        faults.0
    }

    #[test]
    fn further_keys() {
        let key = |secret: &str| {
            format!(
                "[[s3_keys]]\naccess_key = \"A\"\nsecret_key = \"{secret}\"\naccount = \"a\"\nowner_id = \"o\"\n\
                 owner_name = \"n\"\n"
            )
        };
        let good = key("0123456789abcdef");
        assert!(faults_of(&good).is_empty());
        for bad in [key("short"), format!("{good}{good}"), "[[s3_keys]]\nsecret_key = \"hidden\"".to_owned()]
        {
            let faults = faults_of(&bad);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(!faults[0].contains("hidden"), "{faults:?}");
        }
    }

    #[test]
    fn a_good_file_has_no_fault() {
        let text = r#"
            bind = "0.0.0.0"
            port_base = 7000
            policies = ["erasure:4+2", "replicated:3"]
            [[devices]]
            path = "/mnt/a"
            zone = "z1"
            weight = 2.0
            [log]
            json = true
            filter = "info,ringfort_s3=debug"
            [http]
            idle_timeout = "60 s"
            [storage]
            index_memory = "64 MiB"
            scrub_every = "7 d"
            [tls]
            certificate = "/etc/ringfort/tls.crt"
            key = "/etc/ringfort/tls.key"
            [swift]
            token_lifetime = "1 h"
            [[swift.users]]
            account = "test"
            user = "tester"
            key = "testing"
            roles = ["admin"]
        "#;
        let mut faults = Faults::default();
        let values = ConfigFile::parse(text).unwrap().check(&mut faults);
        assert_eq!(faults.0, Vec::<String>::new());
        assert_eq!((values.port_base, values.policies.len(), values.devices.len()), (Some(7000), 2, 1));
        assert_eq!(values.swift_users.len(), 1);
        assert_eq!((values.log_json, values.index_memory_bytes), (true, Some(64 << 20)));
        assert!(values.tls.is_some_and(|tls| tls.key.ends_with("tls.key") && tls.ca.is_none()));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = faults_of(
            r#"
            bind = "nowhere"
            port_base = 70000
            colour = "red"
            policies = ["replicated:0", "raid5"]
            [[devices]]
            zone = "z"
            [[devices]]
            path = "/a"
            weight = -1.0
            [log]
            level = "info"
            [http]
            connections_max = 0
            idle_timeout = 5
            [storage]
            index_memory = "much"
            [tls]
            key = "/k"
            [[swift.users]]
            account = "a:b"
            user = "u"
            key = "k"
        "#,
        );
        for name in [
            "bind",
            "port_base",
            "colour",
            "devices[0]",
            "devices[1]",
            "log.level",
            "http.connections_max",
            "http.idle_timeout",
            "storage.index_memory",
            "tls",
            "swift.users[0]",
        ] {
            assert!(
                faults.iter().any(|fault| fault.starts_with(&format!("{name}:"))),
                "{name} in {faults:#?}"
            );
        }
        assert_eq!(faults.len(), 13, "{faults:#?}");
    }
}
