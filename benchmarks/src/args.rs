//! The command line.

use crate::content::KeyOrder;
use crate::load::Load;
use crate::process::Watched;
use crate::sign::Endpoint;
use crate::work::Place;
use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Closed-loop load for any S3 endpoint: presigned requests, UNSIGNED-PAYLOAD, HTTP/1.1 keep-alive.
#[derive(Debug, Parser)]
#[command(name = "ringfort-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put new objects.
    Put {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        load: LoadArgs,
        /// Bytes per object (4K, 1M, ...).
        #[arg(long, default_value = "4K", value_parser = parse_size)]
        size: usize,
        /// Objects signed ahead: the cell ends when they are put.
        #[arg(long, default_value_t = 100_000)]
        keys: u64,
        /// Number of the first object.
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Get objects that `put` or `prefill` stored under the same prefix and size.
    Get {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        load: LoadArgs,
        /// Bytes per object (4K, 1M, ...).
        #[arg(long, default_value = "4K", value_parser = parse_size)]
        size: usize,
        /// Objects that are there.
        #[arg(long, default_value_t = 20_000)]
        keys: u64,
        /// Compare each body with the one stored (always done up to 64K).
        #[arg(long)]
        verify: bool,
    },
    /// Seven gets of stored objects to three puts of new ones.
    Mixed {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        load: LoadArgs,
        /// Bytes per object (4K, 1M, ...).
        #[arg(long, default_value = "4K", value_parser = parse_size)]
        size: usize,
        /// Objects that are there.
        #[arg(long, default_value_t = 20_000)]
        keys: u64,
        /// Requests signed ahead: the cell ends when they are done.
        #[arg(long, default_value_t = 100_000)]
        requests: u64,
    },
    /// List pages of 1000 over keys that `prefill --ascending` stored.
    List {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        load: LoadArgs,
        /// Keys that are there.
        #[arg(long, default_value_t = 100_000)]
        keys: u64,
    },
    /// Store objects 0..keys, signing on the way.
    Prefill {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        load: LoadArgs,
        /// Bytes per object (4K, 1M, ...).
        #[arg(long, default_value = "4K", value_parser = parse_size)]
        size: usize,
        /// Objects to store.
        #[arg(long, default_value_t = 100_000)]
        keys: u64,
        /// Keys in ascending order, as `list` wants them.
        #[arg(long)]
        ascending: bool,
    },
    /// Store objects and print what each takes on the disk, everything included.
    Du {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        load: LoadArgs,
        /// Bytes per object (4K, 1M, ...).
        #[arg(long, default_value = "4K", value_parser = parse_size)]
        size: usize,
        /// Objects to store.
        #[arg(long, default_value_t = 1_000_000)]
        keys: u64,
        /// The server's data folder.
        #[arg(long)]
        folder: PathBuf,
        /// How long the folder may take to settle.
        #[arg(long, default_value_t = 120)]
        settle_seconds: u64,
    },
    /// Start `ringfort up` for every cell of the project's table and write the table.
    Suite(SuiteArgs),
}

/// Which server.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    /// `http://host:port`; else `AWS_ENDPOINT_URL`.
    #[arg(long)]
    endpoint: Option<String>,
    /// Else `AWS_ACCESS_KEY_ID`.
    #[arg(long)]
    access_key: Option<String>,
    /// Else `AWS_SECRET_ACCESS_KEY`.
    #[arg(long)]
    secret_key: Option<String>,
    /// Else `AWS_REGION`, else us-east-1.
    #[arg(long)]
    region: Option<String>,
    /// Created if it is not there.
    #[arg(long, default_value = "bench")]
    pub(crate) bucket: String,
    /// What keys start with; different runs may use different ones.
    #[arg(long, default_value = "o/")]
    prefix: String,
    /// A process of the server, whose CPU and memory are reported with those of its children; may be repeated.
    #[arg(long)]
    pid: Vec<u32>,
    /// Print figures as JSON, a line per cell.
    #[arg(long)]
    pub(crate) json: bool,
}

impl TargetArgs {
    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        let needed = |given: &Option<String>, name: &str| {
            let value = given.clone().or_else(|| std::env::var(name).ok());
            value.with_context(|| format!("neither an option nor {name} is given"))
        };
        Endpoint::new(
            &needed(&self.endpoint, "AWS_ENDPOINT_URL")?,
            &needed(&self.region, "AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned()),
            &needed(&self.access_key, "AWS_ACCESS_KEY_ID")?,
            &needed(&self.secret_key, "AWS_SECRET_ACCESS_KEY")?,
        )
    }

    pub(crate) fn place(&self, order: KeyOrder) -> Result<Place> {
        let (bucket, prefix) = (self.bucket.clone(), self.prefix.clone());
        Ok(Place { endpoint: self.endpoint()?, bucket, prefix, order })
    }

    pub(crate) fn watched(&self) -> Watched {
        Watched(self.pid.clone())
    }
}

/// How hard and how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoadArgs {
    /// Connections, each with one request under way.
    #[arg(long, short, default_value_t = 64)]
    connections: usize,
    /// Stop after this many seconds (10, unless --ops is given; prefill and du run to their end).
    #[arg(long)]
    seconds: Option<u64>,
    /// Stop after this many operations.
    #[arg(long)]
    ops: Option<u64>,
    /// Operations done before the clock starts.
    #[arg(long, default_value_t = 0)]
    warmup: u64,
    /// Client threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// An operation that takes longer has failed.
    #[arg(long, default_value_t = 60)]
    timeout_seconds: u64,
}

impl LoadArgs {
    /// The load, ended by the time given or by `default_seconds`.
    pub(crate) fn load(&self, server: Watched, default_seconds: Option<u64>) -> Load {
        let seconds = self.seconds.or(if self.ops.is_some() { None } else { default_seconds });
        Load {
            connections: self.connections,
            threads: self.threads,
            duration: seconds.map(Duration::from_secs),
            operations: self.ops,
            warmup: self.warmup,
            timeout: Duration::from_secs(self.timeout_seconds),
            server,
        }
    }
}

/// How the table is made.
#[derive(Clone, Debug, Args)]
pub(crate) struct SuiteArgs {
    /// The `ringfort` program.
    #[arg(long)]
    pub(crate) server_bin: PathBuf,
    /// A folder on a disk for the data folders, which are removed afterwards.
    #[arg(long)]
    pub(crate) data_root: PathBuf,
    /// Where the Markdown table goes.
    #[arg(long, default_value = "docs/benchmarks.md")]
    pub(crate) out: PathBuf,
    /// Where all runs go as JSON, if anywhere.
    #[arg(long)]
    pub(crate) json_out: Option<PathBuf>,
    /// Runs per cell; the median counts.
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// Seconds per run.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Keys for the list cell.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) list_keys: u64,
    /// Objects for the `du` cell; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) du_objects: u64,
    /// Ports used are this and the dozen that follow; 0 finds free ones.
    #[arg(long, default_value_t = 0)]
    pub(crate) port_base: u16,
    /// Keys in the greatest of the containers that are listed: those of 10^4, 10^6 and 10^7 keys that are no greater are.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) list_keys_max: u64,
    /// Only these scenarios: one-device, protected, upkeep, three-devices, erasure, space, lists; may be repeated.
    #[arg(long)]
    pub(crate) only: Vec<String>,
    /// Client threads.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
}

/// A number of bytes, with K, M or G for powers of 1024.
fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: Option<usize> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| format!("`{text}` is no size: write 4096, 4K or 1M"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4K"), Ok(4096));
        assert_eq!(parse_size("64m"), Ok(64 << 20));
        assert_eq!(parse_size("17"), Ok(17));
        for bad in ["", "K", "4KB", "-1", "99999999999999999999G"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_of_operations_lifts_the_default_of_time() {
        let parse = |args: &[&str]| match Cli::try_parse_from(args).unwrap().command {
            Command::Put { load, .. } => load.load(Watched::default(), Some(10)),
            other => panic!("{other:?}"),
        };
        assert_eq!(parse(&["b", "put"]).duration, Some(Duration::from_secs(10)));
        assert_eq!(parse(&["b", "put", "--ops", "5"]).duration, None);
        assert_eq!(
            parse(&["b", "put", "--ops", "5", "--seconds", "7"]).duration,
            Some(Duration::from_secs(7))
        );
    }
}
