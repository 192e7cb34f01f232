//! Swift's own functional tests, from its source distribution, on the built binary.
//!
//! What fails is known by name, in `suites/swift_failing.txt`; `docs/conformance.md` says why. Nothing else may fail, and what
//! is named there and passes is to be taken off the list.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ringfort_acceptance::{Server, Tool, cache_folder, package_folder, venv_program};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// What runs side by side, each with accounts of its own.
const SHARDS: [&[&str]; 5] = [
    &["tests.py"],
    &[
        "test_object.py",
        "test_container.py",
        "test_account.py",
        "test_access_control.py",
        "test_protocol.py",
        "test_domain_remap.py",
    ],
    &["test_slo.py", "test_dlo.py", "test_symlink.py"],
    &["test_object_versioning.py", "test_versioned_writes.py"],
    &["test_tempurl.py", "test_staticweb.py"],
];
const ALL: usize = 866;
/// Swift skips 64 of its own tests in this configuration.
const SKIPPED_MAX: usize = 64;

/// Two accounts of a shard, and a third user without roles.
fn users(shard: usize) -> String {
    let user = |account: &str, number: &str, roles: &str| {
        format!(
            "[[swift.users]]\naccount = \"{account}{shard}\"\nuser = \"tester{number}\"\nkey = \"testing{number}\"\n\
             roles = [{roles}]\n\n"
        )
    };
    user("test", "", "\"admin\"") + &user("other", "2", "\"admin\"") + &user("test", "3", "")
}

fn settings(port: u16, shard: usize) -> String {
    format!(
        "[func_test]\nauth_uri = http://127.0.0.1:{port}/auth/v1.0\nauth_version = 1\naccount = test{shard}\n\
         username = tester\npassword = testing\naccount2 = other{shard}\nusername2 = tester2\npassword2 = testing2\n\
         username3 = tester3\npassword3 = testing3\ncollate = C\ninsecure = no\n\
         [unit_test]\nfake_syslog = False\n[swift-constraints]\n"
    )
}

/// The folder of the suite, in the version of the pinned package.
fn suite() -> PathBuf {
    let pins = fs::read_to_string(package_folder().join("../tools/clients.txt")).unwrap();
    let version = pins.lines().find_map(|line| line.strip_prefix("swift==")).unwrap();
    let suite = cache_folder().unwrap().join("suites").join(format!("swift-{version}"));
    assert!(suite.is_dir(), "{} is missing: `make prepare-test` first", suite.display());
    suite
}

/// Runs a shard; what the runner said.
fn run(server: &Server, shard: usize) -> String {
    let home = server.scratch().join(format!("home{shard}"));
    fs::create_dir_all(&home).unwrap();
    let file = home.join("test.conf");
    fs::write(&file, settings(server.swift_port(), shard)).unwrap();
    let files: Vec<String> = SHARDS[shard].iter().map(|file| format!("test/functional/{file}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let tool = Tool::new(&venv_program("python").unwrap()).clean_home(&home).folder(&suite());
    tool.env("SWIFT_TEST_CONFIG_FILE", file.to_str().unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(&["-m", "pytest", "-o", "python_files=test*.py", "-p", "no:cacheprovider"])
        .args(&["-q", "--tb=short", "-rfEsp"])
        .args(&files)
        .run_whatever_comes()
        .unwrap()
}

#[test]
fn swift_functional() {
    let config: String = (0..SHARDS.len()).map(users).collect();
    // Tests that compare storage policies need two.
    let config = format!("policies = [\"replicated:3\", \"replicated:2\"]\n{config}");
    let server = Server::with(&["--devices", "4"]).config(&config).start().unwrap();
    let said: Vec<String> = std::thread::scope(|scope| {
        let server = &server;
        let running: Vec<_> =
            (0..SHARDS.len()).map(|shard| scope.spawn(move || run(server, shard))).collect();
        running.into_iter().map(|shard| shard.join().unwrap()).collect()
    });

    let lines = || said.iter().flat_map(|said| said.lines());
    let named = |word: &str| {
        let names = lines().filter_map(|line| line.strip_prefix(word)?.split_whitespace().next());
        names.map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let passed = named("PASSED ");
    let failed: BTreeSet<String> = &named("FAILED ") | &named("ERROR ");
    // `SKIPPED [2] file:line: why`: two tests skipped there.
    let skipped =
        lines().filter_map(|line| line.strip_prefix("SKIPPED [")?.split(']').next()?.parse::<usize>().ok());
    let skipped: usize = skipped.sum();
    println!("swift: {} passed, {} failed, {skipped} skipped of {ALL}", passed.len(), failed.len());

    let list = fs::read_to_string(package_folder().join("suites/swift_failing.txt")).unwrap();
    let known: BTreeSet<String> = list.lines().map(str::to_owned).collect();
    let mut wrong = String::new();
    for name in failed.difference(&known) {
        writeln!(wrong, "fails: {name}").unwrap();
    }
    for name in known.intersection(&passed) {
        writeln!(wrong, "passes, take it off the list: {name}").unwrap();
    }
    if !wrong.is_empty() || passed.len() + failed.len() + skipped != ALL || skipped > SKIPPED_MAX {
        said.iter().for_each(|said| println!("{said}"));
        panic!("{} passed, {} failed, {skipped} skipped of {ALL}\n{wrong}", passed.len(), failed.len());
    }
}
