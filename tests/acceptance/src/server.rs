//! The built binary in a folder of its own.

use crate::{Authority, Connection, Keys, Tool};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(90);

/// How the server is started.
#[derive(Debug, Default)]
pub struct ServerBuilder {
    args: Vec<String>,
    data: Option<PathBuf>,
    launcher: Vec<OsString>,
    data_name: Option<String>,
    env: Vec<(String, String)>,
    config: Option<String>,
    ca: Option<PathBuf>,
}

/// A running, or killed, `ringfort up`.
pub struct Server {
    root: PathBuf,
    data: PathBuf,
    args: Vec<String>,
    launcher: Vec<OsString>,
    env: Vec<(String, String)>,
    port_base: u16,
    /// What to trust where the ports are under TLS.
    ca: Option<PathBuf>,
    pub(crate) child: Option<Child>,
}

impl ServerBuilder {
    /// Adds arguments of `ringfort up`.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Uses this data folder instead of one of its own.
    #[must_use]
    pub fn data(mut self, data: &Path) -> Self {
        self.data = Some(data.to_owned());
        self
    }

    /// Starts the program through another one, which is given its path and arguments and becomes it.
    #[must_use]
    pub fn launcher(mut self, words: &[OsString]) -> Self {
        self.launcher = words.to_vec();
        self
    }

    /// Calls its own data folder so.
    #[must_use]
    pub fn data_named(mut self, name: &str) -> Self {
        self.data_name = Some(name.to_owned());
        self
    }

    /// Starts it with a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives it a settings file with this content.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    /// Puts its ports under TLS, with a certificate of this authority.
    ///
    /// # Errors
    /// When the certificate can't be written.
    pub fn tls(mut self, authority: &Authority) -> Result<Self> {
        let (certificate, key) = authority.renew()?;
        let files = [("--tls-certificate", &certificate), ("--tls-key", &key), ("--tls-ca", &authority.ca())];
        for (flag, path) in files {
            self.args.extend([flag.to_owned(), path.display().to_string()]);
        }
        self.ca = Some(authority.ca());
        Ok(self)
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or is not ready in time; its log is in the error.
    pub fn start(self) -> Result<Server> {
        let root = scratch()?;
        let data = self.data.unwrap_or_else(|| root.join(self.data_name.as_deref().unwrap_or("data")));
        let (mut args, launcher, env) = (self.args, self.launcher, self.env);
        if let Some(config) = self.config {
            let path = root.join("ringfort.toml");
            fs::write(&path, config)?;
            args.extend(["--config".to_owned(), path.display().to_string()]);
        }
        let (ca, port_base) = (self.ca, free_ports()?);
        let mut server = Server { root, data, args, launcher, env, port_base, ca, child: None };
        server.start()?;
        Ok(server)
    }

    /// Starts the server where it is expected to refuse, and returns what it said.
    ///
    /// # Errors
    /// When it starts after all.
    pub fn start_refused(self) -> Result<String> {
        match self.start() {
            Ok(mut server) => {
                server.kill();
                bail!("the server started")
            }
            Err(error) => Ok(format!("{error:#}")),
        }
    }
}

impl Server {
    /// A server with these arguments of `ringfort up`.
    #[must_use]
    pub fn with(args: &[&str]) -> ServerBuilder {
        ServerBuilder::default().args(args)
    }

    /// Starts it (again) and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or is not ready in time; its log is in the error.
    pub fn start(&mut self) -> Result<Duration> {
        ensure!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let began = Instant::now();
        let words: Vec<OsString> =
            self.launcher.iter().cloned().chain([binary()?.into_os_string()]).collect();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .args(["up", "--data"])
            .arg(&self.data)
            .args(["--port-base", &self.port_base.to_string()])
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        loop {
            let child = self.child.as_mut().context("just started")?;
            if let Some(status) = child.try_wait()? {
                self.child = None;
                bail!("ringfort up ended, {status}:\n{}", self.log_tail());
            }
            if self.metrics_port("/health/ready").is_ok_and(|reply| reply.starts_with("HTTP/1.1 200")) {
                return Ok(began.elapsed());
            }
            if began.elapsed() > START_LIMIT {
                self.kill();
                bail!("not ready in {START_LIMIT:?}:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// SIGTERM, and waits for a clean end.
    ///
    /// # Errors
    /// When it does not end well within half a minute.
    pub fn stop(&mut self) -> Result<Duration> {
        self.terminate()?;
        self.wait_end()
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// When it does not run.
    pub fn terminate(&self) -> Result<()> {
        let pid = rustix_pid(self.child.as_ref().context("it does not run")?)?;
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?)
    }

    /// Waits for a clean end.
    ///
    /// # Errors
    /// When it does not end well within half a minute.
    pub fn wait_end(&mut self) -> Result<Duration> {
        let mut child = self.child.take().context("it does not run")?;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "it ended with {status}:\n{}", self.log_tail());
                return Ok(began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().ok();
        child.wait().ok();
        bail!("it did not stop in half a minute:\n{}", self.log_tail())
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A folder for the test's own files, removed at the end.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.root
    }

    /// Folder of device `number`, as `--devices` names it.
    #[must_use]
    pub fn device(&self, number: u32) -> PathBuf {
        self.data.join(format!("device-{number}"))
    }

    /// The folder in which tests make theirs.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn scratch_parent() -> Result<PathBuf> {
        let parent = target_release()?.parent().context("a profile folder has a parent")?.join("acceptance");
        fs::create_dir_all(&parent)?;
        Ok(parent)
    }

    /// What `s3.env` says.
    ///
    /// # Errors
    /// When it is not there.
    pub fn keys(&self) -> Result<Keys> {
        Keys::parse(&fs::read_to_string(self.data.join("s3.env")).context("s3.env")?)
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn make_bucket(&self, name: &str) -> Result<()> {
        let mut connection = Connection::open(&self.keys()?).await?;
        connection.call("PUT", &format!("/{name}"), &[], Bytes::new()).await?.good()?;
        Ok(())
    }

    /// Port of the S3 service.
    #[must_use]
    pub fn s3_port(&self) -> u16 {
        self.port_base + 2
    }

    /// Port of the identity service.
    #[must_use]
    pub fn identity_port(&self) -> u16 {
        self.port_base
    }

    /// The variables that `openrc` sets.
    ///
    /// # Errors
    /// When it is not there.
    pub fn openrc(&self) -> Result<Vec<(String, String)>> {
        let text = fs::read_to_string(self.data.join("openrc")).context("openrc")?;
        let pairs = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Port of the Swift service.
    #[must_use]
    pub fn swift_port(&self) -> u16 {
        self.port_base + 1
    }

    /// The raw reply of the metrics port to `GET path`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics_port(&self, path: &str) -> Result<String> {
        if let Some(ca) = &self.ca {
            let url = format!("https://127.0.0.1:{}{path}", self.port_base + 3);
            return Tool::new(Path::new("curl")).args(&["-sS", "-i", "--cacert"]).arg(ca).args(&[&url]).run();
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.port_base + 3))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    }

    /// Runs `ringfort ARGS --data DIR` and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn operate(&self, args: &[&str]) -> Result<String> {
        Tool::new(&binary()?).args(args).arg("--data").arg(&self.data).run()
    }

    /// Resident memory now and at most so far, in MiB.
    ///
    /// # Errors
    /// When it does not run.
    pub fn memory_mib(&self) -> Result<(u64, u64)> {
        let pid = self.child.as_ref().context("it does not run")?.id();
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)).context("a process has memory")?;
            Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1024)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// Open descriptors.
    ///
    /// # Errors
    /// When it does not run.
    pub fn descriptors(&self) -> Result<usize> {
        let pid = self.child.as_ref().context("it does not run")?.id();
        Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
    }

    /// Starts with these arguments from now on.
    pub fn set_args(&mut self, args: &[&str]) {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
    }

    /// The whole log.
    #[must_use]
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The end of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.root.join("log.txt")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log_tail());
        }
        fs::remove_dir_all(&self.root).ok();
    }
}

pub(crate) fn rustix_pid(child: &Child) -> Result<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(child.id())?).context("a child has a pid")
}

/// The folder cargo builds into: the tests lie in its `release/deps`.
fn target_release() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    Ok(exe.ancestors().nth(2).context("tests are built into a target folder")?.to_owned())
}

/// The binary under test.
pub(crate) fn binary() -> Result<PathBuf> {
    let path = match std::env::var_os("RINGFORT_BIN") {
        Some(path) => path.into(),
        None => target_release()?.join("ringfort"),
    };
    ensure!(
        path.is_file(),
        "{} is missing: `cargo build --release -p ringfort-appliance` first",
        path.display()
    );
    Ok(path)
}

/// A new folder on the disk that holds the build, not in memory as `/tmp` may be.
fn scratch() -> Result<PathBuf> {
    let parent = Server::scratch_parent()?;
    let name = format!("{}-", std::thread::current().name().unwrap_or("test").replace(':', "_"));
    let dir = tempfile::Builder::new().prefix(&name).tempdir_in(parent)?;
    // Removed by `Server`, after the process is gone.
    Ok(dir.keep())
}

/// A port whose followers are free, too.
pub(crate) fn free_ports() -> Result<u16> {
    for _ in 0..100 {
        let probe = TcpListener::bind("127.0.0.1:0")?;
        let base = probe.local_addr()?.port();
        drop(probe);
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        // Below the ports that clients' connections take.
        let base = 10_000 + base % 20_000;
        if (base..base + 12).all(free) {
            return Ok(base);
        }
    }
    bail!("no twelve free ports in a row")
}
