//! Decoders are total: any bytes in, no panic out. The stable form of what `tests/fuzz` does for longer.

use super::scenario::cases;
use crate::format::record::MAGIC;
use crate::format::{HEADER_LEN, Kind, RecordHeader};
use crate::fuzzing;
use proptest::prelude::*;

/// Bytes that are an extent in parts: record headers with fields of any kind amid noise.
fn image() -> impl Strategy<Value = Vec<u8>> {
    let header = (any::<[u8; HEADER_LEN]>(), 1..=10_u16, 0..200_u32).prop_map(|(mut bytes, kind, length)| {
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..6].copy_from_slice(&1_u16.to_le_bytes());
        bytes[6..8].copy_from_slice(&kind.to_le_bytes());
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        bytes.to_vec()
    });
    let noise = prop::collection::vec(any::<u8>(), 0..40).prop_map(|mut bytes| {
        bytes.resize(bytes.len() * 8, 0);
        bytes
    });
    let parts = prop::collection::vec(prop_oneof![3 => header, 1 => noise], 0..20);
    (any::<u8>(), parts).prop_map(|(first, parts)| [vec![first], parts.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), ..ProptestConfig::default() })]

    #[test]
    fn decoders_take_any_bytes(data in prop::collection::vec(any::<u8>(), 0..300), version: bool) {
        let mut data = data;
        if let (true, Some(first)) = (version, data.first_mut()) {
            *first = 1;
        }
        for (_, decode) in fuzzing::ALL {
            decode(&data);
        }
    }

    #[test]
    fn scan_and_recovery_take_any_records(data in image()) {
        fuzzing::extent_scan(&data);
        fuzzing::recovery(&data);
    }
}

#[test]
fn the_entry_points_believe_what_they_seal() {
    // Else the properties above would show nothing but that checksums refuse noise.
    let mut header = RecordHeader::new(Kind::Mark, 3);
    header.length = 16;
    let mut data = vec![1];
    header.encode(crate::format::Salt { log: 9, extent: 9 }, 64, &mut data);
    data.resize(1 + 72, 0);
    let bytes = fuzzing::image(&data).unwrap();
    let salt = crate::format::Salt { log: 1, extent: 1 };
    assert_eq!(RecordHeader::decode(salt, 64, &bytes[64..]), crate::format::Decoded::Record(header));
}
