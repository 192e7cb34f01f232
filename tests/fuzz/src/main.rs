//! libFuzzer on one target, named by the environment variable `RINGFORT_FUZZ_TARGET`; see `docs/fuzzing.md`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfort_fuzz::{TARGETS, Target, target};
use std::sync::OnceLock;

static CHOSEN: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("RINGFORT_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("RINGFORT_FUZZ_TARGET is {name:?}, not one of {}", names.join(", "))
    })
}

fuzz_target!(|bytes: &[u8]| (CHOSEN.get_or_init(chosen).run)(bytes));
