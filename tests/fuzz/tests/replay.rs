//! The corpora through the decoders, as they are and changed a little: the stable form of the fuzzing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use ringfort_fuzz::{TARGETS, Target};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the inputs are; not as it was when this was built, since checkouts may share their builds.
fn corpora() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("corpus")
}

/// The committed inputs of a target, by file name.
fn corpus(target: Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpora().join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn every_corpus_holds() {
    for &target in TARGETS {
        let inputs = corpus(target);
        assert!(inputs.len() >= 10, "{} has {} inputs: nothing is tested", target.name, inputs.len());
        for (name, input) in inputs {
            let done = std::panic::catch_unwind(|| (target.run)(&input));
            assert!(done.is_ok(), "{}: corpus/{}/{name}", target.name, target.name);
        }
    }
}

#[test]
fn every_folder_has_a_target() {
    for entry in fs::read_dir(corpora()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(ringfort_fuzz::target(&name).is_some(), "corpus/{name} belongs to no target");
    }
}

/// One change of an input.
#[derive(Clone, Debug)]
enum Change {
    Cut(prop::sample::Index),
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        at().prop_map(Change::Cut),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), 1..9_usize).prop_map(|(at, len)| Change::Remove(at, len)),
    ]
}

fn apply(change: &Change, input: &mut Vec<u8>) {
    let end = input.len();
    match change {
        Change::Cut(at) => input.truncate(at.index(end + 1)),
        Change::Set(at, byte) if end > 0 => input[at.index(end)] = *byte,
        Change::Set(..) => {}
        Change::Insert(at, bytes) => {
            let at = at.index(end + 1);
            input.splice(at..at, bytes.iter().copied());
        }
        Change::Remove(at, len) => {
            let at = at.index(end + 1);
            input.drain(at..(at + len).min(end));
        }
    }
}

/// Runs changed inputs of each target's corpus.
#[test]
fn changed_inputs_hold() {
    for &target in TARGETS {
        let inputs = corpus(target);
        let strategy = (any::<prop::sample::Index>(), prop::collection::vec(change(), 1..5));
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        runner
            .run(&strategy, |(which, changes)| {
                let mut input = which.get(&inputs).1.clone();
                changes.iter().for_each(|change| apply(change, &mut input));
                (target.run)(&input);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{}: {error}", target.name));
    }
}
