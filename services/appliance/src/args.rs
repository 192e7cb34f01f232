//! The command line.

use crate::config::TlsFiles;
use clap::{Parser, Subcommand};
use ringfort_core::Redundancy;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Ringfort: a storage-first cloud appliance.
#[derive(Debug, Parser)]
#[command(name = "ringfort", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything in the foreground; SIGTERM or Ctrl-C stops it cleanly.
    #[command(after_help = crate::ports::list())]
    Up(Box<UpArgs>),
    /// Is my data safe? Capacity, devices, policies, backlog.
    Status(StatusArgs),
    /// The ring: show it, plan a change, pause or take back one.
    Ring(RingArgs),
    /// Devices: list, add, drain, remove.
    Device(DeviceArgs),
    /// Users, projects, roles and access keys of a running cluster; whoever may open its data folder may.
    Admin(AdminArgs),
    /// Read and verify everything that is stored.
    Scrub(ScrubArgs),
}

/// What `up` is told. Flags stand above the config file, which stands above what the folder remembers.
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Folder of the process: identity, secrets, and by default the device folders.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Number of device folders to make in the data folder on the first start [default: 4].
    #[arg(long, value_name = "N", conflicts_with = "device", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) devices: Option<u32>,
    /// A device folder, best one per disk: PATH[,zone=Z][,weight=W]. May be given several times.
    #[arg(long, value_name = "PATH[,zone=Z,weight=W]")]
    pub(crate) device: Vec<DeviceSpec>,
    /// Redundancy of new data: replicated:N or erasure:K+M. The first one given is the default of new buckets.
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Vec<Redundancy>,
    /// Address to listen on [default: 127.0.0.1].
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<IpAddr>,
    /// Name or address that clients reach this host by, for the URLs we hand out.
    #[arg(long, value_name = "HOST")]
    pub(crate) public_host: Option<String>,
    /// Domain under which buckets are host names of their own: BUCKET.DOMAIN. May be given several times.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) s3_domain: Vec<String>,
    /// Put the services at P, P+1, P+2 ... in the order of the list below, instead of their usual ports.
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..=65_500))]
    pub(crate) port_base: Option<u16>,
    /// Serve every port under TLS with this certificate: PEM, the chain after the server's own. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Certificates that clients shall trust, named in the files made for them, if the usual ones are not enough.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Settings in TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Log lines as JSON.
    #[arg(long)]
    pub(crate) log_json: bool,
}

impl UpArgs {
    /// The files of TLS, if the flags name them.
    pub(crate) fn tls_files(&self) -> Option<TlsFiles> {
        let (certificate, key) = (self.tls_certificate.clone()?, self.tls_key.clone()?);
        Some(TlsFiles { certificate, key, ca: self.tls_ca.clone() })
    }
}

/// Where a running `up` is.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// Data folder of the running `ringfort up`.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Everything, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RingArgs {
    #[command(subcommand)]
    pub(crate) action: RingAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RingAction {
    /// Partitions per device and policy.
    Show(StatusArgs),
    /// What a change would move, and why, without making it.
    Plan {
        #[command(flatten)]
        show: StatusArgs,
        #[command(flatten)]
        change: RingChange,
    },
    /// Show the plan of a change, and make it.
    Apply {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        change: RingChange,
    },
    /// Hold the movement of data.
    Pause(Target),
    /// Let it go on.
    Resume(Target),
    /// Take the change back.
    Revert(Target),
}

/// A change of the ring; none means: what an earlier change left to do.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct RingChange {
    /// A new device: PATH[,zone=Z][,weight=W].
    #[arg(long, value_name = "PATH[,zone=Z,weight=W]")]
    pub(crate) add: Option<DeviceSpec>,
    /// A device that gives its data away.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) drain: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeviceArgs {
    #[command(subcommand)]
    pub(crate) action: DeviceAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceAction {
    /// Every device of the cluster.
    List(StatusArgs),
    /// Format a folder as a new device and give it a share of the data.
    Add {
        #[command(flatten)]
        target: Target,
        /// The folder: PATH[,zone=Z][,weight=W].
        device: DeviceSpec,
    },
    /// Move everything off a device; it stays in service until it is empty.
    Drain {
        #[command(flatten)]
        target: Target,
        /// The device's number.
        device: u32,
    },
    /// Take a drained device out for ever.
    Remove {
        #[command(flatten)]
        target: Target,
        /// The device's number.
        device: u32,
        /// Although it still holds data, or is lost.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    #[command(subcommand)]
    pub(crate) action: AdminAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminAction {
    /// Users: list, create, set a password, delete.
    #[command(subcommand)]
    User(UserAction),
    /// Projects: list, create.
    #[command(subcommand)]
    Project(ProjectAction),
    /// Access keys of S3: list, create, delete.
    #[command(subcommand)]
    Key(KeyAction),
    /// Give a user a role on a project, or take it away.
    Grant(GrantArgs),
    /// Seal tokens under a new key from now on; those sealed before stay valid.
    RotateTokenKeys(Target),
    /// Give the administrator a new password, and write it to DIR/openrc.
    Openrc(Target),
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserAction {
    /// Every user.
    List {
        #[command(flatten)]
        show: StatusArgs,
    },
    /// Make a user; its password is drawn, and shown once.
    Create {
        #[command(flatten)]
        target: Target,
        name: String,
        /// Its domain, by name or id.
        #[arg(long, default_value = "default")]
        domain: String,
    },
    /// Draw a new password, and end the user's tokens.
    Password {
        #[command(flatten)]
        target: Target,
        name: String,
        /// Its domain, by name or id.
        #[arg(long, default_value = "default")]
        domain: String,
    },
    /// Remove a user and its access keys.
    Delete {
        #[command(flatten)]
        target: Target,
        name: String,
        /// Its domain, by name or id.
        #[arg(long, default_value = "default")]
        domain: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectAction {
    /// Every project.
    List {
        #[command(flatten)]
        show: StatusArgs,
    },
    /// Make a project.
    Create {
        #[command(flatten)]
        target: Target,
        name: String,
        /// Its domain, by name or id.
        #[arg(long, default_value = "default")]
        domain: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// The access keys of a user, without their secrets.
    List {
        #[command(flatten)]
        show: StatusArgs,
        #[arg(long)]
        user: String,
        /// The user's domain, by name or id.
        #[arg(long, default_value = "default")]
        domain: String,
    },
    /// Make an access key of a user on a project.
    Create {
        #[command(flatten)]
        target: Target,
        #[arg(long)]
        user: String,
        #[arg(long)]
        project: String,
        /// The domain of both, by name or id.
        #[arg(long, default_value = "default")]
        domain: String,
    },
    /// Remove an access key.
    Delete {
        #[command(flatten)]
        target: Target,
        /// The access key.
        access: String,
        #[arg(long)]
        user: String,
        /// The user's domain, by name or id.
        #[arg(long, default_value = "default")]
        domain: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct GrantArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The role, such as member or reader.
    pub(crate) role: String,
    #[arg(long)]
    pub(crate) user: String,
    #[arg(long)]
    pub(crate) project: String,
    /// The domain of both, by name or id.
    #[arg(long, default_value = "default")]
    pub(crate) domain: String,
    /// Take it away.
    #[arg(long)]
    pub(crate) revoke: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ScrubArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Start it and return at once.
    #[arg(long)]
    pub(crate) detach: bool,
}

/// `PATH[,region=R][,zone=Z][,node=N][,weight=W]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeviceSpec {
    pub(crate) path: PathBuf,
    pub(crate) region: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) weight: Option<f64>,
}

impl FromStr for DeviceSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let path = parts.next().filter(|path| !path.is_empty()).ok_or("a device needs a path")?;
        let mut spec = Self { path: path.into(), region: None, zone: None, node: None, weight: None };
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is not name=value"))?;
            match name {
                "region" => spec.region = Some(value.to_owned()),
                "zone" => spec.zone = Some(value.to_owned()),
                "node" => spec.node = Some(value.to_owned()),
                "weight" => spec.weight = Some(parse_weight(value)?),
                _ => return Err(format!("`{name}` is unknown: a device has region, zone, node and weight")),
            }
        }
        Ok(spec)
    }
}

/// A weight: a positive number.
fn parse_weight(text: &str) -> Result<f64, String> {
    let weight = text.parse::<f64>().ok().filter(|weight| is_weight(*weight));
    weight.ok_or_else(|| format!("`{text}` is no weight: write a number above 0, at most 1000"))
}

/// Whether the ring takes it.
pub(crate) fn is_weight(weight: f64) -> bool {
    weight > 0.0 && weight <= 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_specs() {
        let spec: DeviceSpec = "/mnt/a,zone=z2,weight=1.5".parse().unwrap();
        assert_eq!((spec.path, spec.zone, spec.weight), ("/mnt/a".into(), Some("z2".into()), Some(1.5)));
        for bad in ["", ",zone=a", "/a,zone", "/a,color=red", "/a,weight=0", "/a,weight=x", "/a,weight=inf"] {
            assert!(bad.parse::<DeviceSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
