//! What `ringfort up` runs with: the flags, over the config file, over what the folder remembers, over the defaults.

mod checked;
mod file;
mod units;

pub(crate) use file::{ConfigFile, DeviceSection, Faults};

use crate::args::{DeviceSpec, UpArgs};
use crate::ports::Service;
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
        if remembered.is_none() {
            check_policies(&policies, devices.len(), &mut faults);
        }
        let bind = args.bind.or(values.bind).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let public_host = args.public_host.clone().or(values.public_host).unwrap_or_else(|| host_of(bind));
        if public_host.is_empty() || public_host.contains(['/', ' ', '@']) {
            faults.add("public_host", "is no host name or address");
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
            log_filter: values.log_filter.unwrap_or_else(|| "info,openraft=error".to_owned()),
            drain: values.drain.unwrap_or(Duration::from_secs(10)),
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
        match self.public_host.parse::<IpAddr>() {
            Ok(IpAddr::V6(host)) => format!("http://[{host}]:{port}"),
            _ => format!("http://{}:{port}", self.public_host),
        }
    }
}

fn host_of(bind: IpAddr) -> String {
    if bind.is_unspecified() { Ipv4Addr::LOCALHOST.to_string() } else { bind.to_string() }
}

fn default_policy(devices: usize) -> Redundancy {
    Redundancy::Replicated(u8::try_from(devices.clamp(1, 3)).expect("at most 3"))
}

fn check_policies(policies: &[Redundancy], devices: usize, faults: &mut Faults) {
    for policy in policies.iter().filter(|policy| policy.width() > devices) {
        let wanted = policy.width();
        faults.add("policy", &format!("{policy} needs {wanted} devices and there are {devices}"));
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
        let mut seen = std::collections::BTreeSet::new();
        for device in &devices {
            if !seen.insert(device.path.clone()) {
                faults.add("devices", &format!("{} is given twice", device.path.display()));
            }
        }
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
