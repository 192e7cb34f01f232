//! Tests wait for conditions, not for the clock: a sleep in test code stands in a loop that looks again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ringfort_xtask::{files, root};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Sleeps that stand alone because time is what is tested: that something does not happen meanwhile, or settles, or that a
/// message arrives late. File and number; the numbers may only shrink.
const KNOWN: &[(&str, usize)] = &[
    ("services/common/http/tests/limits.rs", 3),
    ("storage-node/meta/src/tests/faults.rs", 1),
    ("storage-node/tests/node.rs", 1),
];

/// Whether a whole file is test code, by its place.
fn is_test(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains("/tests/") || text.ends_with("tests.rs") || text.starts_with("tests/")
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Line numbers of sleeps with no loop around them within their function.
fn stray(code: &str) -> Vec<usize> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !line.contains("sleep(") || line.trim_start().starts_with("//") {
            continue;
        }
        let mut inner = indent(line);
        let mut looped = false;
        for above in lines[..at].iter().rev().filter(|above| !above.trim().is_empty()) {
            if indent(above) >= inner {
                continue;
            }
            inner = indent(above);
            let text = above.trim_start();
            let text = text.strip_prefix("let ").and_then(|bound| bound.split("= ").nth(1)).unwrap_or(text);
            looped |= ["loop", "while ", "for "].iter().any(|word| text.starts_with(word));
            let function = text.starts_with("fn ") || text.contains(" fn ") || text.starts_with("async fn ");
            if looped || function {
                break;
            }
        }
        if !looped {
            found.push(at + 1);
        }
    }
    found
}

#[test]
fn no_test_sleeps_for_luck() {
    let root = root().unwrap();
    let mut counts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for path in files().unwrap().into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        if path.starts_with("tests/xtask") {
            continue;
        }
        let text = fs::read_to_string(root.join(&path)).unwrap();
        let begins = if is_test(&path) { Some(0) } else { text.find("#[cfg(test)]\nmod ") };
        let Some(begins) = begins else { continue };
        let lines_before = text[..begins].lines().count();
        let found: Vec<usize> = stray(&text[begins..]).into_iter().map(|line| line + lines_before).collect();
        if !found.is_empty() {
            counts.insert(path.to_string_lossy().into_owned(), found);
        }
    }
    for (path, lines) in &counts {
        let known = KNOWN.iter().find(|(known, _)| known == path).map_or(0, |(_, count)| *count);
        assert!(
            lines.len() <= known,
            "{path} sleeps at lines {lines:?}, known are {known}: wait for a condition, with a limit, or pause tokio's time"
        );
    }
    for (path, known) in KNOWN {
        let now = counts.get(*path).map_or(0, Vec::len);
        assert!(
            now == *known,
            "{path} has {now} lone sleeps, no longer {known}: lower its number in the list"
        );
    }
}

#[test]
fn a_lone_sleep_is_told_from_one_in_a_loop() {
    let lone = "fn a() {\n    x();\n    sleep(D);\n    assert!(y);\n}\n";
    assert_eq!(stray(lone), [3]);
    let looped = "fn a() {\n    while !x() {\n        assert!(n < 5);\n        sleep(D);\n    }\n}\n";
    assert_eq!(stray(looped), Vec::<usize>::new());
    let beside = "fn a() {\n    loop {\n        x();\n    }\n    if y {\n        sleep(D);\n    }\n}\n";
    assert_eq!(stray(beside), [6]);
    let compared = "fn a() {\n    while x != y {\n        sleep(D);\n    }\n}\n";
    assert_eq!(stray(compared), Vec::<usize>::new());
    let valued = "fn a() {\n    let x = loop {\n        sleep(D);\n    };\n}\n";
    assert_eq!(stray(valued), Vec::<usize>::new());
}
