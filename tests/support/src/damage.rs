//! Inputs for parsers: well-formed ones with damage, and any bytes at all.

use proptest::prelude::*;

/// One of the well-formed `seeds` after a few changes, or, one time in four, bytes from nowhere.
pub fn damaged(seeds: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let damaged = (
        proptest::sample::select(seeds),
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6),
    );
    let damaged = damaged.prop_map(|(seed, damages)| {
        let mut bytes = seed.to_vec();
        for (at, byte, how) in damages {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            match how {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ => bytes.truncate(at),
            }
        }
        bytes
    });
    prop_oneof![3 => damaged, 1 => proptest::collection::vec(any::<u8>(), 0..200)]
}
