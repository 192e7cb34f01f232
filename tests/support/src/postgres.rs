//! A PostgreSQL server of a test's own.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(60);

/// A server that ends with the test.
#[derive(Debug)]
pub struct PostgresServer {
    child: Child,
    folder: TempDir,
}

/// The folder of PostgreSQL's programs, the newest one.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL: `make prepare-test` first");
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists());
    newest.max().expect("PostgreSQL has an initdb")
}

/// A command that does not run as root, which PostgreSQL refuses.
fn command(program: &Path) -> Command {
    if std::fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() != 0) {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

impl PostgresServer {
    /// Starts one.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let data = folder.path().join("data");
        if std::fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0) {
            let chown = Command::new("chown").arg("postgres").arg(folder.path()).status();
            assert!(chown.is_ok_and(|status| status.success()), "the folder is given to postgres");
        }
        let made = command(&programs().join("initdb"))
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--username=postgres", "-D"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Only through a socket in its own folder: no port to collide on.
        let child = command(&programs().join("postgres"))
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres runs");
        Self { child, folder }
    }

    /// Makes a database, once the server answers; its URL.
    ///
    /// # Panics
    /// When the server does not answer within a minute.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        let began = Instant::now();
        loop {
            let mut create = command(&programs().join("createdb"));
            let made = create.args(["-U", "postgres", "-h"]).arg(self.folder.path()).arg(name).output();
            let made = made.expect("createdb runs");
            if made.status.success() {
                break;
            }
            let said = String::from_utf8_lossy(&made.stderr);
            assert!(began.elapsed() < START_LIMIT, "{said}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}/{name}")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
