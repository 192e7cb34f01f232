//! A PostgreSQL server of the test's own, and every scenario on it.

use crate::cloud::Cloud;
use ringfort_db::Db;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(60);

struct Server {
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
fn command(program: &Path, owner: bool) -> Command {
    if !owner {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

impl Server {
    fn start() -> Self {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|facts| {
            use std::os::unix::fs::MetadataExt;
            facts.uid() == 0
        });
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        if is_root {
            let chown = Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap();
            assert!(chown.success());
        }
        let made = command(&programs().join("initdb"), is_root)
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--username=postgres", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Only through a socket in its own folder: no port to collide on.
        let child = command(&programs().join("postgres"), is_root)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}/{database}")
    }

    async fn database(&self, name: &str) -> Db {
        let began = Instant::now();
        let server = loop {
            match Db::postgres(&self.url("postgres")).await {
                Ok(db) => break db,
                Err(error) => assert!(began.elapsed() < START_LIMIT, "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        // Outside a transaction, as PostgreSQL asks.
        server.fetch(&format!("CREATE DATABASE {name}"), &[]).await.unwrap();
        server.close().await;
        Db::postgres(&self.url(name)).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn all_scenarios_on_postgresql() {
    let server = Server::start();
    for (name, scenario) in crate::all() {
        println!("{name}");
        let db = server.database(name).await;
        scenario(Cloud::on(db.clone(), None).await).await;
        db.close().await;
    }
}
