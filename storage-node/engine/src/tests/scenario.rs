//! Histories drawn at random: acknowledged means readable after any crash, deleted stays deleted, never a wrong byte.

#![allow(clippy::cast_possible_truncation, reason = "what is drawn is small")]

use super::model::{GROUPS, Op, Run};
use crate::disk::sim::Draw;
use proptest::prelude::*;

/// A history of `len` steps from a seed.
pub(super) fn history(seed: u64, len: usize) -> Vec<Op> {
    let mut draw = Draw(seed);
    (0..len).map(|_| step(&mut draw)).collect()
}

fn step(draw: &mut Draw) -> Op {
    let blob = draw.below(5) as u8;
    let number = draw.below(2) as u32;
    let len = draw.below(9000) as usize;
    let group = draw.below(GROUPS.len() as u64) as usize;
    match draw.below(110) {
        0..16 => Op::Put { blob, number, len },
        16..19 => Op::Replace { blob, number, len },
        19..26 => Op::Delete { blob },
        26..30 => Op::Drop { blob, number },
        30..43 => Op::Append { group, count: 1 + draw.below(3), len },
        43..46 => Op::Truncate { group, back: draw.below(3) },
        46..50 => Op::Purge { group },
        50..53 => Op::Vote { group },
        53..67 => Op::Apply { group },
        67..68 => Op::RemoveGroup { group },
        68..73 => Op::Checkpoint,
        73..81 => Op::Compact,
        81..91 => {
            Op::Together { seed: draw.next(), count: 2 + draw.below(8), checkpoint: draw.below(3) == 0 }
        }
        91..97 => Op::Fuse { changes: draw.below(12), kill: draw.below(3) == 0 },
        97..101 => {
            let fuse = (draw.below(3) == 0).then(|| draw.below(6));
            Op::Crash { seed: draw.next(), index_seed: draw.next(), fuse }
        }
        101..103 => Op::Kill,
        103 => Op::Close,
        104 => Op::LoseIndex { fuse: (draw.below(2) == 0).then(|| draw.below(6)) },
        105 => Op::Space { extents: (draw.below(2) == 0).then(|| draw.below(4)) },
        _ => Op::View { group },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(60), ..ProptestConfig::default() })]

    #[test]
    fn engine_conforms_to_model(seed: u64, len in 20..160_usize) {
        let ops = history(seed, len);
        prop_assert_eq!(Run::new(|_| {}).history(&ops), Ok(()));
    }
}

/// Cases of a property: `PROPTEST_CASES` if it is set.
pub(super) fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
