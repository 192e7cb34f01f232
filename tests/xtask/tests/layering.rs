//! Dependencies point down. The levels are those of ARCHITECTURE.md.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints rates"
)]

use ringfort_xtask::{Member, members};

/// Folder of each crate and its level. A new crate is entered here once somebody has thought about where it belongs.
const LEVELS: &[(&str, u8)] = &[
    // L0 pure: no I/O, no clock.
    ("services/common/core", 0),
    ("services/common/policy", 0),
    ("services/identity/api", 0),
    ("ring", 0),
    ("storage-node/api", 0),
    ("storage-node/codec", 0),
    // L1 plumbing: own sockets, files, clocks.
    ("services/common/runtime", 1),
    ("services/common/http", 1),
    ("services/common/db", 1),
    // L2 engines.
    ("storage-node/engine", 2),
    // L3 product, in the order in which its parts stand on each other.
    ("storage-node/meta", 3),
    ("storage-node/client", 3),
    ("gateway/object/model", 3),
    ("gateway/object", 3),
    ("gateway/s3", 3),
    ("gateway/swift", 3),
    ("services/identity", 3),
    // L4 what is run.
    ("storage-node", 4),
    ("services/appliance", 4),
    // L5 proof: may use anything, and nothing uses it.
    ("benchmarks", 5),
    ("benchmarks/ring", 5),
    ("tests/acceptance", 5),
    ("tests/aws-sdk", 5),
    ("tests/fuzz", 5),
    ("tests/support", 5),
    ("tests/xtask", 5),
];

/// Uses that break the rules and are known. This list may only shrink.
const KNOWN_BREACHES: &[(&str, &str)] = &[];

/// Uses that no level forbids and that are forbidden all the same.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("storage-node/engine", "gateway/object/model", "the engine knows no object"),
    ("storage-node/meta", "gateway/object/model", "what the records mean is the model's business"),
    ("gateway/object", "services/common/http", "the object layer knows no HTTP"),
    ("gateway/object", "gateway/s3", "the object layer knows no dialect"),
    ("gateway/object", "gateway/swift", "the object layer knows no dialect"),
    ("gateway/s3", "gateway/swift", "the dialects meet in the object layer only"),
    ("gateway/s3", "services/identity", "gateways ask identity through its api"),
    ("gateway/swift", "services/identity", "gateways ask identity through its api"),
    ("gateway/swift", "gateway/s3", "the dialects meet in the object layer only"),
];

fn level(folder: &str) -> u8 {
    let known = LEVELS.iter().find(|(known, _)| *known == folder);
    known.unwrap_or_else(|| panic!("{folder} has no level: enter it in {}", file!())).1
}

fn edges() -> Vec<(String, String)> {
    let members = members().unwrap();
    let folder = |name: &str| {
        let member: Option<&Member> = members.iter().find(|member| member.name == name);
        member.map(|member| member.folder.clone()).expect("names come from the list")
    };
    let of = |member: &Member| -> Vec<(String, String)> {
        member.uses.iter().map(|used| (member.folder.clone(), folder(used))).collect()
    };
    members.iter().flat_map(of).collect()
}

#[test]
fn dependencies_point_down() {
    let known = |from: &str, to: &str| KNOWN_BREACHES.contains(&(from, to));
    let upward: Vec<_> =
        edges().into_iter().filter(|(from, to)| level(to) > level(from) && !known(from, to)).collect();
    assert!(upward.is_empty(), "upward dependencies: {upward:#?}");
    // Two programs share libraries, never each other; the appliance is the one that runs everything, and what starts it for a
    // test is there for every package of tests.
    let sideways: Vec<_> = edges()
        .into_iter()
        .filter(|(from, to)| level(from) >= 4 && level(from) == level(to))
        .filter(|(from, to)| from != "services/appliance" && to != "tests/acceptance")
        .collect();
    assert!(sideways.is_empty(), "programs that use each other: {sideways:#?}");
}

#[test]
fn forbidden_neighbours_stay_apart() {
    for (from, to, why) in FORBIDDEN {
        assert!(!edges().iter().any(|(a, b)| a == from && b == to), "{from} uses {to}: {why}");
    }
}

#[test]
fn known_breaches_still_are() {
    let edges = edges();
    for (from, to) in KNOWN_BREACHES {
        let there = edges.iter().any(|(a, b)| a == from && b == to);
        assert!(there, "{from} no longer uses {to}: take it off the list");
    }
}

#[test]
fn crates_are_named_and_inherit() {
    for member in members().unwrap() {
        assert!(member.name.starts_with("ringfort-"), "{} needs the prefix", member.name);
        let manifest = ringfort_xtask::root().unwrap().join(&member.folder).join("Cargo.toml");
        let text = std::fs::read_to_string(manifest).unwrap();
        for wanted in
            ["[lints]\nworkspace = true", "license.workspace", "rust-version.workspace", "description = "]
        {
            assert!(text.contains(wanted), "{}/Cargo.toml lacks `{wanted}`", member.folder);
        }
    }
}
