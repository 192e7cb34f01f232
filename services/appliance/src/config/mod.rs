//! What `ringfort up` runs with: the flags, over the config file, over what the folder remembers, over the defaults.

mod checked;
mod file;
mod identity;
mod units;

pub(crate) use file::{ConfigFile, DeviceSection, Faults, SwiftUser, TlsFiles};
pub(crate) use identity::IdentitySettings;

use crate::args::{DeviceSpec, UpArgs};
use crate::ports::Service;
use crate::secrets::AccessKey;
use ringfort_core::Redundancy;
use ringfort_http::Limits;
use ringfort_storage_node::{DeviceConfig, ReconcileConfig};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

const DEVICES_DEFAULT: u32 = 4;

/// Everything `up` needs to know.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) devices: Vec<DeviceConfig>,
    pub(crate) policies: Vec<Redundancy>,
    /// S3 keys of further accounts.
    pub(crate) s3_keys: Vec<AccessKey>,
    /// Domains under which buckets are host names.
    pub(crate) s3_domains: Vec<String>,
    pub(crate) bind: IpAddr,
    pub(crate) public_host: String,
    pub(crate) port_base: Option<u16>,
    pub(crate) limits: Limits,
    pub(crate) index_memory_bytes: usize,
    pub(crate) reserve_bytes: Option<u64>,
    pub(crate) reconcile: ReconcileConfig,
    pub(crate) log_json: bool,
    pub(crate) log_filter: String,
    pub(crate) drain: Duration,
    pub(crate) tls: Option<TlsFiles>,
    /// Users of version 1 authentication on the Swift port.
    pub(crate) swift_users: Vec<SwiftUser>,
    /// How long their tokens live.
    pub(crate) swift_token_lifetime: Duration,
    /// The identity service.
    pub(crate) identity: IdentitySettings,
    /// Things worth a warning.
    pub(crate) remarks: Vec<String>,
}

impl Settings {
    /// Puts the layers together. `data_dir` is absolute; `remembered` are the devices the folder already has.
    pub(crate) fn resolve(
        data_dir: &Path,
        args: &UpArgs,
        file: ConfigFile,
        remembered: Option<&[DeviceSection]>,
    ) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let values = file.check(&mut faults);
        let mut remarks = Vec::new();
        let devices = resolve_devices(args, &values.devices, remembered, &mut remarks, &mut faults);
        let policies = [&args.policy, &values.policies].into_iter().find(|given| !given.is_empty());
        let policies = policies.cloned().unwrap_or_else(|| vec![default_policy(devices.len())]);
        check_policies(&policies, devices.len(), remembered.is_none(), &mut faults);
        let bind = args.bind.or(values.bind).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let public_host = args.public_host.clone().or(values.public_host).unwrap_or_else(|| host_of(bind));
        if !is_host(&public_host) {
            faults.add("public_host", "is no host name or address");
        }
        let s3_domains = if args.s3_domain.is_empty() { values.s3_domains } else { args.s3_domain.clone() };
        if s3_domains.iter().any(|domain| !is_host(domain) || domain.parse::<IpAddr>().is_ok()) {
            faults.add("s3_domains", "one is no host name");
        }
        let defaults = ReconcileConfig::default();
        let reconcile = ReconcileConfig {
            bytes_per_s: values.pace_bytes_per_s.unwrap_or(defaults.bytes_per_s),
            scrub_every: values.scrub_every.unwrap_or(defaults.scrub_every),
            ..defaults
        };
        let limits = Limits::default();
        let limits = Limits {
            connections_max: values.connections_max.unwrap_or(limits.connections_max),
            head_timeout: values.head_timeout.unwrap_or(limits.head_timeout),
            idle_timeout: values.idle_timeout.unwrap_or(limits.idle_timeout),
            stall_timeout: values.stall_timeout.unwrap_or(limits.stall_timeout),
            ..limits
        };
        faults.into_result()?;
        Ok(Self {
            devices: devices.into_iter().map(|device| device.to_config(data_dir)).collect(),
            policies,
            s3_keys: values.s3_keys,
            s3_domains,
            bind,
            public_host,
            port_base: args.port_base.or(values.port_base),
            limits,
            index_memory_bytes: values
                .index_memory_bytes
                .unwrap_or(ringfort_storage_node::NodeConfig::INDEX_MEMORY_BYTES_DEFAULT),
            reserve_bytes: values.reserve_bytes,
            reconcile,
            log_json: args.log_json || values.log_json,
            log_filter: values.log_filter.unwrap_or_else(|| "info".to_owned()),
            drain: values.drain.unwrap_or(Duration::from_secs(10)),
            // A shell that sources `s3.env` may stand anywhere.
            tls: args.tls_files().or(values.tls).map(TlsFiles::absolute),
            swift_users: values.swift_users,
            swift_token_lifetime: values.swift_token_lifetime.unwrap_or(Duration::from_secs(86_400)),
            identity: values.identity,
            remarks,
        })
    }

    /// Where `service` listens.
    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        SocketAddr::new(self.bind, service.port(self.port_base))
    }

    /// The URL of `service` for clients.
    pub(crate) fn url(&self, service: Service) -> String {
        let port = service.port(self.port_base);
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match self.public_host.parse::<IpAddr>() {
            Ok(IpAddr::V6(host)) => format!("{scheme}://[{host}]:{port}"),
            _ => format!("{scheme}://{}:{port}", self.public_host),
        }
    }
}

fn host_of(bind: IpAddr) -> String {
    if bind.is_unspecified() { Ipv4Addr::LOCALHOST.to_string() } else { bind.to_string() }
}

fn default_policy(devices: usize) -> Redundancy {
    Redundancy::Replicated(u8::try_from(devices.clamp(1, 3)).expect("at most 3"))
}

/// Whether clients can reach a host by this name. It goes into URLs and into a file that shells source.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    let name =
        !text.is_empty() && text.len() <= 253 && text.chars().all(plain) && !text.starts_with(['-', '.']);
    name || text.parse::<IpAddr>().is_ok()
}

/// A folder that is known has room for the policies it has; whether it has for a new one, the ring says.
fn check_policies(policies: &[Redundancy], devices: usize, fresh: bool, faults: &mut Faults) {
    for (at, policy) in policies.iter().enumerate() {
        let wanted = policy.width();
        if fresh && wanted > devices {
            faults.add("policy", &format!("{policy} needs {wanted} devices and there are {devices}"));
        }
        if policies[..at].contains(policy) {
            faults.add("policy", &format!("{policy} is given twice"));
        }
    }
}

/// A folder that has devices keeps them: then flags and file may only name the same ones, since adding and removing move
/// data and are commands of their own.
fn resolve_devices(
    args: &UpArgs,
    in_file: &[DeviceSection],
    remembered: Option<&[DeviceSection]>,
    remarks: &mut Vec<String>,
    faults: &mut Faults,
) -> Vec<DeviceSection> {
    let asked: Option<Vec<DeviceSection>> = if !args.device.is_empty() {
        Some(args.device.iter().map(DeviceSection::from_spec).collect())
    } else if let Some(count) = args.devices {
        Some((1..=count).map(DeviceSection::numbered).collect())
    } else {
        (!in_file.is_empty()).then(|| in_file.to_vec())
    };
    let Some(remembered) = remembered else {
        let devices = asked.unwrap_or_else(|| (1..=DEVICES_DEFAULT).map(DeviceSection::numbered).collect());
        return devices;
    };
    if let Some(asked) = asked {
        let known = |path: &Path| remembered.iter().any(|device| device.path == path);
        let unknown: Vec<_> = asked.iter().filter(|device| !known(&device.path)).collect();
        if args.devices.is_some() {
            if asked.len() != remembered.len() {
                let has = remembered.len();
                remarks
                    .push(format!("this folder has {has} devices; --devices counts on the first start only"));
            }
        } else {
            for device in unknown {
                let path = device.path.display();
                let hint = "add it to the running cluster with `ringfort device add`";
                faults.add("devices", &format!("{path} is not a device of this folder: {hint}"));
            }
        }
    }
    remembered.to_vec()
}

impl DeviceSection {
    /// Device `number` of `--devices N`: a folder inside the data folder.
    fn numbered(number: u32) -> Self {
        Self { path: format!("device-{number}").into(), region: None, zone: None, node: None, weight: None }
    }

    /// The device as given on the command line.
    pub(crate) fn from_spec(spec: &DeviceSpec) -> Self {
        let DeviceSpec { path, region, zone, node, weight } = spec.clone();
        let path = std::path::absolute(&path).unwrap_or(path);
        Self { path, region, zone, node, weight }
    }

    /// What the storage node is told; a relative path counts from the data folder, which may so be moved whole.
    pub(crate) fn to_config(&self, data_dir: &Path) -> DeviceConfig {
        let defaults = DeviceConfig::new(data_dir.join(&self.path));
        DeviceConfig {
            region: self.region.clone().unwrap_or(defaults.region),
            zone: self.zone.clone().unwrap_or(defaults.zone),
            node: self.node.clone().unwrap_or(defaults.node),
            weight: self.weight.unwrap_or(defaults.weight),
            path: defaults.path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_fit_for_urls_and_shells() {
        for good in ["storage.lan", "host-1", "10.0.0.1", "::1", "a_b"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "u@h", "h:9000", "h;rm", "$(id)", "`id`", "-x", ".x", "a\nb"] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn policies_fit_the_devices_and_are_given_once() {
        let mut faults = Faults::default();
        let policies: Vec<Redundancy> =
            ["replicated:2", "erasure:4+2", "replicated:2"].map(|text| text.parse().unwrap()).into();
        check_policies(&policies, 3, true, &mut faults);
        let text = faults.to_string();
        assert!(
            text.contains("erasure:4+2 needs 6 devices") && text.contains("replicated:2 is given twice"),
            "{text}"
        );
    }
}
