//! The decoders on any bytes, for fuzzing: each function panics when a promise of the format is broken.
//!
//! Checksums would keep a fuzzer from ever reaching what they cover, so the bytes are tried as they are and as the body of
//! an envelope whose checksums hold.

use crate::format::{Kind, seal};
use crate::{RingState, RingTable};

/// Tables: what decodes encodes to the same bytes, and holds together when it is used.
pub fn table(bytes: &[u8]) {
    for stored in [bytes.to_vec(), seal(Kind::Table, bytes)] {
        let Ok(table) = RingTable::decode(&stored) else { continue };
        assert_eq!(table.encode(), stored, "a table has one stored form");
        for partition in table.partitions() {
            let holders = table.devices(partition);
            assert!(
                holders.iter().all(|id| table.spec(*id).is_some()),
                "a partition names a device of the list"
            );
        }
        assert_eq!(table.loads().len(), table.specs().len());
    }
}

/// Ring states, likewise; the tables within are sealed here too, where the bytes name their lengths.
pub fn state(bytes: &[u8]) {
    for stored in [bytes.to_vec(), seal(Kind::State, bytes), seal(Kind::State, &sealed_within(bytes))] {
        let Ok(state) = RingState::decode(&stored) else { continue };
        assert_eq!(state.encode(), stored, "a state has one stored form");
    }
}

/// The same fields with each table's body put into an envelope.
fn sealed_within(bytes: &[u8]) -> Vec<u8> {
    let (head, mut rest) = bytes.split_at(bytes.len().min(4));
    let mut out = head.to_vec();
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let len = (u32::from_le_bytes(*len) as usize).min(tail.len());
        let table = seal(Kind::Table, &tail[..len]);
        out.extend_from_slice(&u32::try_from(table.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&table);
        rest = &tail[len..];
    }
    out
}
