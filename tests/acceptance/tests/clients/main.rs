//! Round trips with the clients that people use: at least thirty commands each, what comes back compared byte by byte.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints rates"
)]

mod aws;
mod curl;
mod python;
mod rclone;
mod restic;
mod s3cmd;
mod s3fs;
mod swift;

use ringfort_acceptance::{Keys, Server, Tool, package_folder, stream_of, venv_program};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

fn server() -> Server {
    Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap()
}

/// Small, middle-sized and multipart files.
fn make_files(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, len) in
        [("empty", 0), ("small.txt", 4000), ("middle.bin", 700_000), ("large file.bin", 21_000_000)]
    {
        fs::write(folder.join(name), stream_of(name, 0, len)).unwrap();
    }
}

fn assert_same(a: &Path, b: &Path) {
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(a), names(b));
    for name in names(a) {
        assert!(fs::read(a.join(&name)).unwrap() == fs::read(b.join(&name)).unwrap(), "{name:?} differs");
    }
}

/// A client at work: files to send, a place for what comes back, and a count of what was done.
struct Tour {
    server: Server,
    keys: Keys,
    up: PathBuf,
    down: PathBuf,
    commands: Cell<u32>,
}

impl Tour {
    fn new() -> Self {
        Self::on(server())
    }

    fn on(server: Server) -> Self {
        let (up, down) = (server.scratch().join("up"), server.scratch().join("down"));
        make_files(&up);
        Self { keys: server.keys().unwrap(), up, down, server, commands: Cell::new(0) }
    }

    /// Runs one command.
    fn run(&self, tool: Tool) -> String {
        self.try_run(tool).unwrap()
    }

    fn try_run(&self, tool: Tool) -> anyhow::Result<String> {
        self.commands.set(self.commands.get() + 1);
        tool.aws(&self.keys, self.server.scratch()).run()
    }

    /// A file or folder beside those that are sent.
    fn scratch(&self, name: &str) -> PathBuf {
        self.server.scratch().join(name)
    }

    fn end(self, client: &str) {
        println!("{client}: {} commands", self.commands.get());
        assert!(self.commands.get() >= 30, "a tour is of thirty commands at least");
    }
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
