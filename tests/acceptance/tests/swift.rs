//! The Swift port with the client that people use, on the built binary.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ringfort_acceptance::{Server, Tool, stream_of, venv_program};
use std::fs;
use std::path::Path;

const USERS: &str = r#"
[[swift.users]]
account = "test"
user = "tester"
key = "testing"
roles = ["admin"]

[[swift.users]]
account = "test"
user = "guest"
key = "guesting"
"#;

fn server() -> Server {
    Server::with(&["--devices", "3", "--policy", "replicated:3"]).config(USERS).start().unwrap()
}

fn swift(program: &Path, server: &Server, user: &str, key: &str, args: &[&str]) -> anyhow::Result<String> {
    let url = format!("http://127.0.0.1:{}/auth/v1.0", server.swift_port());
    let tool = Tool::new(program).args(&["-A", &url, "-U", user, "-K", key]).args(args);
    tool.clean_home(server.scratch()).run()
}

/// Up, listed, described, down and compared, in segments too, and removed: with any `swift`.
fn round_trip(program: &Path) {
    let server = server();
    let run = |args: &[&str]| swift(program, &server, "test:tester", "testing", args).unwrap();
    let up = server.scratch().join("up");
    fs::create_dir_all(&up).unwrap();
    let files = [("empty", 0), ("small.txt", 4000), ("large file.bin", 21_000_000)];
    for (name, len) in files {
        fs::write(up.join(name), stream_of(name, 0, len)).unwrap();
    }
    let up_text = up.to_str().unwrap();
    run(&["post", "first", "-m", "colour:blue"]);
    assert!(run(&["stat", "first"]).contains("Meta Colour: blue"));
    run(&["upload", "first", up_text, "--object-name", "in"]);
    let mut listed: Vec<String> = run(&["list", "first"]).lines().map(str::to_owned).collect();
    listed.sort();
    assert_eq!(listed, ["in/empty", "in/large file.bin", "in/small.txt"]);
    // In segments: a static and a dynamic large object.
    let large = up.join("large file.bin");
    let large_text = large.to_str().unwrap();
    run(&["upload", "-S", "5000000", "--use-slo", "first", large_text, "--object-name", "static"]);
    run(&["upload", "-S", "5000000", "first", large_text, "--object-name", "dynamic"]);
    assert_eq!(run(&["list", "first_segments"]).lines().count(), 10);
    assert!(run(&["stat", "first", "static"]).contains("21000000"));
    for name in ["static", "dynamic", "in/large file.bin"] {
        let down = server.scratch().join("down");
        run(&["download", "first", name, "-o", down.to_str().unwrap()]);
        assert!(fs::read(&down).unwrap() == stream_of("large file.bin", 0, 21_000_000), "{name} differs");
    }
    run(&["copy", "-d", "/second/copied", "first", "in/small.txt"]);
    let down = server.scratch().join("copied");
    run(&["download", "second", "copied", "-o", down.to_str().unwrap()]);
    assert_eq!(fs::read(&down).unwrap(), stream_of("small.txt", 0, 4000));
    run(&["post", "first", "in/small.txt", "-m", "mood:good"]);
    assert!(run(&["stat", "first", "in/small.txt"]).contains("Meta Mood: good"));
    run(&["delete", "first", "static"]);
    run(&["delete", "--all"]);
    assert_eq!(run(&["list"]), "");
}

#[test]
fn swiftclient_current() {
    round_trip(&venv_program("swift").unwrap());
}

#[test]
fn swiftclient_debian() {
    round_trip(Path::new("/usr/bin/swift"));
}

/// Who may do what: an owner, a user without roles, nobody at all; before and after a list lets them in.
#[test]
fn lists_let_others_in() {
    let server = server();
    let program = venv_program("swift").unwrap();
    let owner = |args: &[&str]| swift(&program, &server, "test:tester", "testing", args).unwrap();
    let guest = |args: &[&str]| swift(&program, &server, "test:guest", "guesting", args);
    let file = server.scratch().join("file");
    fs::write(&file, b"for the guest").unwrap();
    let file_text = file.to_str().unwrap();
    owner(&["upload", "shared", file_text, "--object-name", "file"]);
    let down = server.scratch().join("down");
    let down_text = down.to_str().unwrap();
    for refused in [&["list", "shared"][..], &["download", "shared", "file", "-o", down_text], &["list"]] {
        let said = format!("{:#}", guest(refused).expect_err("a guest is not let in"));
        assert!(said.contains("403") || said.contains("Forbidden"), "{said}");
    }
    owner(&["post", "shared", "-r", "test:guest"]);
    guest(&["download", "shared", "file", "-o", down_text]).unwrap();
    assert_eq!(fs::read(&down).unwrap(), b"for the guest");
    assert!(guest(&["delete", "shared", "file"]).is_err(), "a reader does not write");
    assert!(
        swift(&program, &server, "test:tester", "wrong", &["list"]).is_err(),
        "a wrong key opens nothing"
    );
}

/// A stop and a start: what was stored is there, and so is what was said about the account.
#[test]
fn accounts_outlive_a_restart() {
    let mut server = server();
    let program = venv_program("swift").unwrap();
    let run =
        |server: &Server, args: &[&str]| swift(&program, server, "test:tester", "testing", args).unwrap();
    run(&server, &["post", "-m", "colour:blue"]);
    run(&server, &["post", "kept"]);
    server.kill();
    server.start().unwrap();
    let told = run(&server, &["stat"]);
    assert!(told.contains("Meta Colour: blue") && told.contains("Containers: 1"), "{told}");
}
