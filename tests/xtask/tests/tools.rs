//! The scripts behind `make`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ringfort_xtask::root;
use std::fs;
use std::path::Path;
use std::process::Command;

fn fill(path: &Path, mib: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Not zeros: a file system may keep those in no space at all.
    let block: Vec<u8> =
        (0..1 << 20).map(|at: u32| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    fs::write(path, block.repeat(mib)).unwrap();
}

fn trim(target: &Path, bound_mib: usize) -> String {
    let run = Command::new(root().unwrap().join("tests/tools/trim-cache"))
        .args([target.to_str().unwrap(), &bound_mib.to_string()])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn the_cache_stays_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path();
    let release = target.join("release");
    let (ours, theirs, incremental) = (
        release.join("deps/libringfort_engine-1234.rlib"),
        release.join("deps/librocksdb-5678.rlib"),
        release.join("incremental/x"),
    );
    fill(&ours, 3);
    fill(&theirs, 3);
    fill(&incremental, 3);
    assert_eq!(trim(target, 20), "", "below the bound nothing happens");
    assert!(incremental.exists());
    trim(target, 7);
    assert!(!incremental.exists() && ours.exists() && theirs.exists());
    trim(target, 4);
    assert!(!ours.exists() && theirs.exists());
    trim(target, 1);
    assert!(!theirs.exists(), "the bound holds at last");
    assert_eq!(trim(target, 1), "", "a folder that is not there is small enough");
}

#[test]
fn a_folder_that_cargo_works_in_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("release/deps/libringfort_engine-1234.rlib");
    fill(&file, 3);
    let lock = fs::File::create(dir.path().join("release/.cargo-lock")).unwrap();
    lock.lock().unwrap();
    assert!(trim(dir.path(), 1).contains("in use"));
    assert!(file.exists());
    lock.unlock().unwrap();
    trim(dir.path(), 1);
    assert!(!file.exists());
}

#[test]
fn scripts_are_sound() {
    for script in ["tests/tools/prepare", "tests/tools/s3-tests", "tests/tools/trim-cache", ".ci/run"] {
        let path = root().unwrap().join(script);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("set -euo pipefail"), "{script} goes on after an error");
        let parsed = Command::new("bash").arg("-n").arg(&path).status().unwrap();
        assert!(parsed.success(), "{script} does not parse");
    }
}

#[test]
fn what_is_installed_is_pinned() {
    let read = |path: &str| fs::read_to_string(root().unwrap().join(path)).unwrap();
    for line in read("tests/tools/clients.txt").lines() {
        assert!(line.contains("=="), "{line} has no version");
    }
    for line in read("tests/tools/prepare").lines().filter(|line| line.trim_start().starts_with("tool ")) {
        let version = line.split_whitespace().nth(2).unwrap();
        assert_eq!(version.split('.').count(), 3, "{line}: no version");
    }
}
