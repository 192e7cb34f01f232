//! OpenStack's own tests of a cloud, tempest, on the built binary.
//!
//! What does not pass is known by name, in a list beside the suites; `docs/conformance.md` says why. A test that is skipped has
//! not passed. Nothing else may fail, and what is on the list and passes is to be taken off it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ringfort_acceptance::{Server, Tool, package_folder, venv_program};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

type Names = BTreeSet<String>;

/// The names in one of the files in `suites`.
fn listed(file: &str) -> Names {
    let text = fs::read_to_string(package_folder().join("suites").join(file)).unwrap();
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// A folder from which tempest tests `server`.
fn workspace(server: &Server) -> PathBuf {
    let folder = server.scratch().join("tempest");
    let tempest = Tool::new(&venv_program("tempest").unwrap()).clean_home(server.scratch());
    tempest.arg("init").arg(&folder).run().unwrap();
    let openrc = server.openrc().unwrap();
    let of = |name: &str| openrc.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let settings = fs::read_to_string(package_folder().join("suites/tempest.conf")).unwrap();
    let settings = settings
        .replace("URL", &of("OS_AUTH_URL"))
        .replace("PASSWORD", &of("OS_PASSWORD"))
        .replace("LOCKS", folder.join("locks").to_str().unwrap());
    fs::write(folder.join("etc/tempest.conf"), settings).unwrap();
    folder
}

/// Runs `tempest run` for the tests whose names match `regex`.
fn tempest(server: &Server, folder: &std::path::Path, regex: &str, args: &[&str]) -> String {
    let program = venv_program("tempest").unwrap();
    // It starts its workers by this variable.
    let python = venv_program("python").unwrap();
    let tool = Tool::new(&program).clean_home(server.scratch()).folder(folder);
    let tool = tool.env("PYTHON", python.to_str().unwrap()).env("PYTHONDONTWRITEBYTECODE", "1");
    tool.args(&["run", "--regex", regex]).args(args).run_whatever_comes().unwrap()
}

/// The name of a test without its marks in brackets.
fn bare(name: &str) -> String {
    name.split('[').next().unwrap_or_default().trim().to_owned()
}

/// Runs the tests whose names match `regex`. Each passes, or is named in the list `failing`.
fn run_suite(server: &Server, what: &str, regex: &str, failing: &str) -> Names {
    let folder = workspace(server);
    let all: Names = tempest(server, &folder, regex, &["--list-tests"])
        .lines()
        .filter(|line| line.starts_with("tempest."))
        .map(bare)
        .collect();
    assert!(!all.is_empty(), "no test is called {regex}");
    let said = tempest(server, &folder, regex, &["--concurrency", "2"]);
    // `{1} tempest.api...test_it [0.08s] ... ok`
    let passed: Names = said
        .lines()
        .filter_map(|line| line.strip_suffix(" ... ok")?.split_once("} ").map(|(_, name)| bare(name)))
        .filter(|name| all.contains(name))
        .collect();
    println!("tempest, {what}: {} of {} passed", passed.len(), all.len());
    let known = listed(failing);
    let mut wrong = String::new();
    for name in all.difference(&passed).filter(|name| !known.contains(*name)) {
        writeln!(wrong, "does not pass: {name}").unwrap();
    }
    for name in known.intersection(&passed) {
        writeln!(wrong, "passes, take it off the list: {name}").unwrap();
    }
    for name in known.difference(&all) {
        writeln!(wrong, "is no test: {name}").unwrap();
    }
    if !wrong.is_empty() {
        println!("{said}");
        panic!("{} of {} passed\n{wrong}", passed.len(), all.len());
    }
    passed
}

/// The identity service: what interoperability requires, and the rest.
#[test]
fn tempest_identity() {
    let config = "[identity]\nlockout_failures = 2\nlockout = \"5s\"\npassword_history = 2\n";
    let server =
        Server::with(&["--devices", "3", "--policy", "replicated:3"]).config(config).start().unwrap();
    let passed = run_suite(&server, "identity", r"^tempest\.api\.identity\.", "tempest_identity_failing.txt");
    let required = listed("tempest_identity_required.txt");
    assert!(required.is_subset(&passed), "required: {:?}", required.difference(&passed));
    let own = passed.iter().filter(|name| name.starts_with("tempest.api.identity.v3."));
    println!("tempest.api.identity.v3: {} of 26 passed", own.count());
}

/// The object store: what interoperability requires, and the rest.
#[test]
fn tempest_object_storage() {
    let server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap();
    // Who may set quotas of accounts; a cloud has such a role if its operator makes it.
    let openstack = Tool::new(&venv_program("openstack").unwrap()).clean_home(server.scratch());
    let openrc = server.openrc().unwrap();
    let openstack = openrc.iter().fold(openstack, |tool, (name, value)| tool.env(name, value));
    openstack.args(&["role", "create", "ResellerAdmin"]).run().unwrap();
    let passed = run_suite(
        &server,
        "object storage",
        r"^tempest\.api\.object_storage\.",
        "tempest_objects_failing.txt",
    );
    let required = listed("tempest_objects_required.txt");
    assert_eq!(required.len(), 56);
    assert!(required.is_subset(&passed), "required: {:?}", required.difference(&passed));
}
