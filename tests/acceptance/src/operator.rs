//! What an operator does beside starting and stopping: a start that is refused, a look at every file, an upload that hangs.

use crate::server::{binary, free_ports, rustix_pid};
use crate::tools::Tool;
use crate::{Keys, Server};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a start may take to refuse: it may have waited for a quorum first.
const REFUSAL_LIMIT: Duration = Duration::from_secs(60);
/// The user without rights.
const NOBODY: &str = "65534";

/// A start of `ringfort up` that is expected to be refused.
#[derive(Debug)]
pub struct Launch {
    args: Vec<String>,
    nobody: bool,
}

impl Launch {
    /// `ringfort up --data DATA ARGS` on free ports.
    #[must_use]
    pub fn new(data: &Path, args: &[&str]) -> Self {
        let mut all = vec!["up".to_owned(), "--data".to_owned(), data.display().to_string()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        Self { args: all, nobody: false }
    }

    /// As a user that owns nothing.
    #[must_use]
    pub const fn as_nobody(mut self) -> Self {
        self.nobody = true;
        self
    }

    /// Runs it; answers what it said.
    ///
    /// # Errors
    /// When it starts after all, or ends with a success.
    pub fn refused(mut self) -> Result<String> {
        self.args.extend(["--port-base".to_owned(), free_ports()?.to_string()]);
        // The nobody user can't reach the build folder of root.
        let shared = tempfile::tempdir()?;
        let mut command = if self.nobody {
            fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o755))?;
            let copy = shared.path().join("ringfort");
            fs::copy(binary()?, &copy)?;
            let mut command = Tool::as_root("setpriv");
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(copy);
            command
        } else {
            Command::new(binary()?)
        };
        let child =
            command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().context("cannot start ringfort")?;
        let began = Instant::now();
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None if began.elapsed() > REFUSAL_LIMIT => {
                    child.kill().ok();
                    child.wait().ok();
                    bail!("it runs instead of refusing: {}", output(&mut child)?);
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let said = output(&mut child)?;
        ensure!(!status.success(), "it ended well: {said}");
        ensure!(status.code().is_some(), "it was ended by a signal, {status}: {said}");
        ensure!(!said.contains("panicked"), "it panicked: {said}");
        Ok(said)
    }
}

fn output(child: &mut std::process::Child) -> Result<String> {
    let mut said = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut said)?;
    }
    if let Some(err) = &mut child.stderr {
        err.read_to_string(&mut said)?;
    }
    Ok(said)
}

impl Server {
    /// SIGTERM, or SIGINT as Ctrl-C sends it; waits for nothing.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, interrupt: bool) -> Result<()> {
        let pid = rustix_pid(self.child.as_ref().context("it does not run")?)?;
        let signal = if interrupt { rustix::process::Signal::INT } else { rustix::process::Signal::TERM };
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// How it ended after a signal.
    ///
    /// # Errors
    /// When it does not end within `limit`; then it is killed.
    pub fn ended(&mut self, limit: Duration) -> Result<std::process::ExitStatus> {
        let child = self.child.as_mut().context("it does not run")?;
        let began = Instant::now();
        while began.elapsed() < limit {
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        bail!("it did not end in {limit:?}:\n{}", self.log_tail())
    }

    /// The value of one sample of `/metrics`, named as there.
    ///
    /// # Errors
    /// When the port does not answer.
    pub fn metric(&self, sample: &str) -> Result<Option<f64>> {
        let page = self.metrics_port("/metrics")?;
        let value = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
        Ok(value)
    }

    /// All it printed and logged since the first start.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The program under test.
    ///
    /// # Errors
    /// When it was not built.
    pub fn program() -> Result<PathBuf> {
        binary()
    }
}

/// Every file below `folder` with its mode and a hash of its content, links as they are. The lock names its last holder and is
/// left out.
///
/// # Errors
/// When something can't be read.
pub fn snapshot(folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let facts = fs::symlink_metadata(&path)?;
            let mode = facts.permissions().mode();
            if facts.is_dir() {
                folders.push(path.clone());
                found.insert(path, format!("{mode:o}"));
            } else if facts.is_file() && path.file_name().is_some_and(|name| name != "lock") {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(fs::File::open(&path)?)?;
                found.insert(path, format!("{mode:o} {}", hasher.finalize()));
            } else {
                found.insert(path, format!("{mode:o}"));
            }
        }
    }
    Ok(found)
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `limit`.
pub fn until(what: &str, limit: Duration, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A file system in memory. Needs root, or sudo without a password.
#[derive(Debug)]
pub struct TmpFs {
    mounted: PathBuf,
}

impl TmpFs {
    /// Mounts one of `mib` MiB.
    ///
    /// # Errors
    /// When that is not allowed.
    pub fn mount(folder: &Path, mib: u64) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let options = format!("size={mib}m,mode=1777");
        Tool::of(Tool::as_root("mount")).args(&["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).run()?;
        Ok(Self { mounted: folder.to_owned() })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mounted
    }

    /// Takes the right to write away from everybody.
    ///
    /// # Errors
    /// When that is not allowed.
    pub fn make_read_only(&self) -> Result<()> {
        Tool::of(Tool::as_root("mount")).args(&["-o", "remount,ro"]).arg(&self.mounted).run().map(drop)
    }
}

impl Drop for TmpFs {
    fn drop(&mut self) {
        if let Err(error) = Tool::of(Tool::as_root("umount")).arg("-l").arg(&self.mounted).run() {
            eprintln!("{error:#}");
        }
    }
}

/// A PUT of which the first half has been sent.
pub struct HalfUpload {
    stream: TcpStream,
    rest: bytes::Bytes,
}

impl HalfUpload {
    /// Sends the head and half of `body`.
    ///
    /// # Errors
    /// When the server is not there.
    pub async fn begin(keys: &Keys, path: &str, body: &bytes::Bytes) -> Result<Self> {
        let mut stream = TcpStream::connect(keys.authority()).await?;
        let head = format!(
            "PUT {} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
            keys.presign("PUT", path, &[]),
            keys.authority(),
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        let half = body.len() / 2;
        stream.write_all(&body[..half]).await?;
        Ok(Self { stream, rest: body.slice(half..) })
    }

    /// Sends the rest; answers the head of the reply.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn finish(&mut self) -> Result<String> {
        self.stream.write_all(&self.rest).await?;
        let mut reply = Vec::new();
        self.stream.read_to_end(&mut reply).await?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    }
}
