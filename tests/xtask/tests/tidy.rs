//! What every file of the tree keeps to.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints rates"
)]

use ringfort_xtask::{files, members, root};
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 800;

fn rust_files() -> Vec<(PathBuf, String)> {
    let root = root().unwrap();
    let rust = files().unwrap().into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    rust.map(|path| (path.clone(), fs::read_to_string(root.join(&path)).unwrap())).collect()
}

#[test]
fn files_stay_readable() {
    let long: Vec<_> = rust_files()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {long:?}");
}

#[test]
fn modules_open_with_the_problem_they_solve() {
    let bare: Vec<_> = rust_files()
        .into_iter()
        .filter(|(path, text)| {
            path.components().any(|part| part.as_os_str() == "src") && !text.starts_with("//!")
        })
        .map(|(path, _)| path)
        .collect();
    assert!(bare.is_empty(), "without a module doc: {bare:?}");
}

/// Test code, by its place.
fn is_test(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ["/tests/", "/examples/", "tests.rs", "testing"].iter().any(|mark| text.contains(mark))
        || text.starts_with("tests/")
}

/// Tasks have an owner: `TaskGroup` is the one place that spawns. Tests may do as they like.
#[test]
fn no_bare_spawn() {
    let mut found = Vec::new();
    for (path, text) in rust_files() {
        if is_test(&path) || path.starts_with("services/common/runtime") || path.starts_with("benchmarks") {
            continue;
        }
        // What follows the tests' module is test code.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.trim_start();
            let bare =
                ["tokio::spawn(", "tokio::task::spawn(", "task::spawn(", "tokio::task::spawn_blocking("];
            if !line.starts_with("//") && bare.iter().any(|call| line.contains(call)) {
                found.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "bare spawns: {found:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    let mut found = Vec::new();
    for (path, text) in rust_files() {
        if path.starts_with("tests/xtask") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if ["todo!(", "unimplemented!(", "FIXME", "XXX:"].iter().any(|mark| line.contains(mark)) {
                found.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "unfinished: {found:#?}");
}

/// A program keeps no folder that it was built in: the cache of builds is shared by checkouts, one of which may be gone.
#[test]
fn no_program_remembers_where_it_was_built() {
    let remembers: Vec<_> = rust_files()
        .into_iter()
        .filter(|(path, text)| {
            !path.starts_with("tests/xtask") && text.contains("env!(\"CARGO_MANIFEST_DIR\")")
        })
        .map(|(path, _)| path)
        .collect();
    assert!(remembers.is_empty(), "ask the environment when it runs: {remembers:?}");
}

/// Nothing depends on the machine it was written on: no file names the checkout, the home or the cache of whoever runs this.
#[test]
fn no_file_names_a_machine() {
    let root = root().unwrap();
    let mut places = vec![root.to_string_lossy().into_owned()];
    places.extend(
        ["HOME", "CARGO_TARGET_DIR", "RINGFORT_CACHE"].iter().filter_map(|name| std::env::var(name).ok()),
    );
    // A short one, such as `/`, says nothing.
    places.retain(|place| place.len() > 4);
    let begins = |text: &str, at: usize| {
        !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "-_.}~)".contains(c))
    };
    let ends = |text: &str, at: usize| {
        !text[at..].starts_with(|c: char| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let mut found = Vec::new();
    for path in files().unwrap() {
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
        for place in &places {
            let named = text.match_indices(place.as_str());
            if named.into_iter().any(|(at, _)| begins(&text, at) && ends(&text, at + place.len())) {
                found.push(format!("{} names {place}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_toolchain_is_the_users() {
    let pinned: Vec<_> = files()
        .unwrap()
        .into_iter()
        .filter(|path| {
            path.file_name().is_some_and(|name| name == "rust-toolchain.toml" || name == "rust-toolchain")
        })
        .collect();
    assert!(pinned.is_empty(), "a pinned toolchain is a download that not everybody can make: {pinned:?}");
}

#[test]
fn the_top_level_is_fixed() {
    let wanted = [
        "Cargo.toml",
        "Cargo.lock",
        "Makefile",
        "LICENSE",
        "README.md",
        "ARCHITECTURE.md",
        "docs",
        "services",
        "ring",
        "storage-node",
        "gateway",
        "compute-agent",
        "tests",
        "benchmarks",
    ];
    let mut strange: Vec<String> = files()
        .unwrap()
        .iter()
        .filter_map(|path| path.components().next())
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !wanted.contains(&name.as_str()))
        .collect();
    strange.dedup();
    assert!(strange.is_empty(), "not of the fixed top level: {strange:?}");
}

#[test]
fn every_crate_is_described() {
    let text = fs::read_to_string(root().unwrap().join("ARCHITECTURE.md")).unwrap();
    for member in members().unwrap() {
        let heading = format!("### `{}`", member.folder);
        assert!(text.contains(&heading), "ARCHITECTURE.md has no paragraph `{heading}`");
    }
    let folders: Vec<String> = members().unwrap().into_iter().map(|member| member.folder).collect();
    for heading in text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')) {
        assert!(
            folders.iter().any(|folder| folder == heading),
            "ARCHITECTURE.md describes {heading}, which is no crate"
        );
    }
}

#[test]
fn decisions_are_numbered() {
    let names: Vec<String> = files()
        .unwrap()
        .into_iter()
        .filter_map(|path| path.strip_prefix("docs/adr").ok().map(|name| name.to_string_lossy().into_owned()))
        .collect();
    let mut numbers = Vec::new();
    for name in &names {
        let number = name.get(..4).and_then(|digits| digits.parse::<u32>().ok());
        let number = number.filter(|_| name.as_bytes()[4..].starts_with(b"-") && name.ends_with(".md"));
        numbers.push(number.unwrap_or_else(|| panic!("docs/adr/{name} is not NNNN-title.md")));
    }
    numbers.sort_unstable();
    let wanted: Vec<u32> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, wanted, "decisions are numbered from 0001 without gaps");
}

#[test]
fn documents_link_to_files_that_are() {
    let root = root().unwrap();
    for path in files().unwrap().into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = fs::read_to_string(root.join(&path)).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            let there = root.join(&path).parent().expect("a file has a folder").join(file);
            assert!(there.exists(), "{} links to {target}, which is not there", path.display());
        }
    }
}
