//! `ringfort up` as a child process: started, waited for, watched and stopped.

use crate::load;
use crate::process::Watched;
use crate::sign::Endpoint;
use anyhow::{Context, Result, bail, ensure};
use http::{HeaderValue, Method};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the ports are, counted from `--port-base`.
const IDENTITY_OFFSET: u16 = 0;
const SWIFT_OFFSET: u16 = 1;
const METRICS_OFFSET: u16 = 3;
/// Ports that `ringfort up --port-base` counts through.
const PORTS: u16 = 12;
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How often something is looked at that is waited for.
const STEP: Duration = Duration::from_millis(5);
/// Lines of the server's log that are shown when it fails.
const LOG_LINES: usize = 20;

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) server_bin: PathBuf,
    /// Holds the data folder and the log.
    pub(crate) folder: PathBuf,
    pub(crate) devices: u32,
    pub(crate) policy: String,
    pub(crate) port_base: u16,
}

impl Setup {
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// The end of what the server has said.
    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// A Swift account and a token that opens it.
pub(crate) struct Swift {
    pub(crate) endpoint: Endpoint,
    pub(crate) account: String,
    pub(crate) token: HeaderValue,
}

/// A running server; killed when it is dropped without [`Server::stop`].
pub(crate) struct Server {
    setup: Setup,
    child: Child,
    pub(crate) endpoint: Endpoint,
    /// From the start of the process to its first good answer.
    pub(crate) start_time: Duration,
}

impl Server {
    pub(crate) fn start(setup: &Setup) -> Result<Self> {
        let log = File::options().create(true).append(true).open(setup.log())?;
        let begin = Instant::now();
        let child = Command::new(&setup.server_bin)
            .arg("up")
            .arg("--data")
            .arg(setup.data())
            .args(["--devices", &setup.devices.to_string()])
            .args(["--policy", &setup.policy])
            .args(["--port-base", &setup.port_base.to_string()])
            .args(["--bind", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", setup.server_bin.display()))?;
        let mut child = Guard(Some(child));
        let endpoint = loop {
            if let Some(endpoint) = answering(&setup.data().join("s3.env")) {
                break endpoint;
            }
            if let Some(status) = child.get().try_wait()? {
                bail!("the server ended with {status}:\n{}", setup.last_words());
            }
            ensure!(begin.elapsed() < START_LIMIT, "the server does not answer:\n{}", setup.last_words());
            std::thread::sleep(STEP);
        };
        let start_time = begin.elapsed();
        Ok(Self { setup: setup.clone(), child: child.disarm(), endpoint, start_time })
    }

    pub(crate) fn watched(&self) -> Watched {
        Watched(vec![self.child.id()])
    }

    /// The sum of a counter of the server's, whatever its labels.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let text = self
            .talk(METRICS_OFFSET, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values =
            text.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// One request and its whole answer, as text.
    fn talk(&self, port_offset: u16, request: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.setup.port_base + port_offset))?;
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// The Swift port with a token of the administrator's, by the password in `openrc`.
    pub(crate) fn swift(&self) -> Result<Swift> {
        let openrc = fs::read_to_string(self.setup.data().join("openrc"))?;
        let password = openrc.lines().find_map(|line| line.strip_prefix("export OS_PASSWORD="));
        let user = json!({"name": "admin", "domain": {"id": "default"}, "password": password});
        let ask = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
        }})
        .to_string();
        let answer = self.talk(
            IDENTITY_OFFSET,
            &format!(
                "POST /v3/auth/tokens HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{ask}",
                ask.len()
            ),
        )?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let token = head.lines().find_map(|line| line.strip_prefix("x-subject-token: "));
        let body: Value = serde_json::from_str(body).with_context(|| format!("no token: {head}"))?;
        let project = body["token"]["project"]["id"].as_str();
        let url = format!("http://127.0.0.1:{}", self.setup.port_base + SWIFT_OFFSET);
        Ok(Swift {
            endpoint: Endpoint::new(&url, "none", "none", "none")?,
            account: format!("AUTH_{}", project.context("the token is of no project")?),
            token: HeaderValue::from_str(token.context("no token in the answer")?)?,
        })
    }

    /// Scrubs, and scrubs again, until the answer is ended or dropped.
    pub(crate) fn scrub_without_end(&self) -> Result<Scrubbing> {
        let child = Command::new("/bin/sh")
            .args(["-c", "while \"$0\" scrub --data \"$1\"; do :; done"])
            .arg(&self.setup.server_bin)
            .arg(self.setup.data())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run a shell")?;
        Ok(Scrubbing(child))
    }

    /// Asks the server to end, as an operator would, and waits for it.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, Signal::TERM)?;
        let begin = Instant::now();
        while begin.elapsed() < STOP_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}:\n{}", self.setup.last_words());
                return Ok(());
            }
            std::thread::sleep(STEP);
        }
        bail!("the server did not end within {STOP_LIMIT:?} of SIGTERM:\n{}", self.setup.last_words())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loop of scrubs beside a load.
pub(crate) struct Scrubbing(Child);

impl Scrubbing {
    /// Starts no further one.
    pub(crate) fn end(self) {}
}

impl Drop for Scrubbing {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills a child that did not become a [`Server`].
struct Guard(Option<Child>);

impl Guard {
    fn get(&mut self) -> &mut Child {
        self.0.as_mut().expect("only disarm takes it")
    }

    fn disarm(mut self) -> Child {
        self.0.take().expect("only disarm takes it")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The endpoint of this environment file, once it lists its buckets.
fn answering(env_file: &Path) -> Option<Endpoint> {
    let endpoint = parse_env(&fs::read_to_string(env_file).ok()?)?;
    let answer = load::once(&endpoint, &Method::GET, "/", START_LIMIT).ok()?;
    answer.status.is_success().then_some(endpoint)
}

/// `NAME=value` lines, perhaps exported and quoted; `None` while something is missing.
fn parse_env(text: &str) -> Option<Endpoint> {
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let line = line.trim();
            let value = line.strip_prefix("export ").unwrap_or(line).strip_prefix(name)?.strip_prefix('=')?;
            Some(value.trim_matches(['"', '\'']).to_owned())
        })
    };
    let region = value("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned());
    let (url, access, secret) =
        (value("AWS_ENDPOINT_URL")?, value("AWS_ACCESS_KEY_ID")?, value("AWS_SECRET_ACCESS_KEY")?);
    Endpoint::new(url.trim_end_matches('/'), &region, &access, &secret).ok()
}

/// The first of enough ports in a row that nobody listens on.
pub(crate) fn free_port_base() -> Result<u16> {
    let first = 20_000 + u16::try_from(std::process::id() % 500)? * PORTS;
    let bases = (first..60_000).step_by(PORTS.into());
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    bases.into_iter().find(|base| (*base..base + PORTS).all(free)).context("no free ports in a row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_files() {
        let text = "# ours\nAWS_ACCESS_KEY_ID=a\nexport AWS_SECRET_ACCESS_KEY='b'\nAWS_ENDPOINT_URL=\"http://127.0.0.1:7/\"\n";
        assert_eq!(parse_env(text).unwrap().address(), ("127.0.0.1".to_owned(), 7));
        assert!(parse_env("AWS_ACCESS_KEY_ID=a\nAWS_ENDPOINT_URL=http://h\n").is_none());
        assert!(parse_env("").is_none());
    }

    #[test]
    fn a_server_that_ends_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            server_bin: "/bin/ls".into(),
            folder: folder.path().to_owned(),
            devices: 1,
            policy: "replicated:1".to_owned(),
            port_base: 1,
        };
        let error = Server::start(&setup).err().unwrap().to_string();
        assert!(error.contains("the server ended with") && error.contains("ls"), "{error}");
    }

    #[test]
    fn ports_in_a_row() {
        assert!(free_port_base().unwrap() >= 20_000);
    }
}
