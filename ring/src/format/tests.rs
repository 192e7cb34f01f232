//! Damage is never believed, lies are never allocated for, and version 1 stays readable.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use super::*;
use crate::{Builder, PartitionId, Phase, RingState};
use proptest::prelude::*;
use ringfort_core::{BlobId, SessionId, SlotId};

/// Made by hand, not by the builder: the golden file must not change when placement does.
fn small_table() -> RingTable {
    let device = |id: u32, zone: &str| DeviceSpec::new(DeviceId(id)).at("r1", zone, &format!("node-{id}"));
    let devices = vec![
        device(2, "z1"),
        device(3, "z2").with_weight(Weight::from_milli(2500).unwrap()),
        device(7, "zürich"),
        device(9, "z1").with_state(DeviceState::Draining),
    ];
    let seed = std::array::from_fn(|at| at as u8);
    let assignment =
        (0..16_usize).flat_map(|p| (0..2).map(move |at| DeviceId([2, 3, 7][(p + at) % 3]))).collect();
    RingTable::from_parts(Epoch(41), seed, 4, devices, 2, assignment).unwrap()
}

fn small_state() -> RingState {
    RingState::first(small_table()).plan(small_table()).unwrap().apply().unwrap().pause().unwrap()
}

const TABLE_V1: &[u8] = include_bytes!("../../testdata/table-v1.bin");
const STATE_V1: &[u8] = include_bytes!("../../testdata/state-v1.bin");

/// How the golden files came to be. Run only to add a version: those of old versions never change.
#[test]
#[ignore = "writes the golden files"]
fn write_golden_files() {
    let folder = std::path::Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("testdata");
    std::fs::write(folder.join("table-v1.bin"), small_table().encode()).unwrap();
    std::fs::write(folder.join("state-v1.bin"), small_state().encode()).unwrap();
}

/// Fails when a field moves, changes its width or its byte order.
#[test]
fn version_1_stays_readable() {
    assert_eq!(RingTable::decode(TABLE_V1).unwrap(), small_table());
    assert_eq!(small_table().encode(), TABLE_V1);
    assert_eq!(RingState::decode(STATE_V1).unwrap(), small_state());
    assert_eq!(small_state().encode(), STATE_V1);
    assert_eq!(small_state().phase(), Phase::Paused);
}

/// Where data already written are found: this hash is a format.
#[test]
fn partitions_are_frozen() {
    let table = small_table();
    let blob = BlobId::new(SlotId(77), SessionId(5), 1234);
    let found: Vec<u32> = (0..12).map(|number| table.partition(blob, number).0).collect();
    assert_eq!(found, PARTITIONS_V1);
    assert_eq!(table.devices(PartitionId(4)), [DeviceId(3), DeviceId(7)]);
    let all = (0..4000).map(|counter| table.partition(BlobId::new(SlotId(1), SessionId(1), counter), 0).0);
    let counts = all.fold([0; 16], |mut counts, partition| {
        counts[partition as usize] += 1;
        counts
    });
    assert!(counts.iter().all(|&count| (190..310).contains(&count)), "{counts:?}");
}

const PARTITIONS_V1: [u32; 12] = [9, 13, 13, 6, 11, 15, 7, 7, 5, 8, 7, 15];

/// Seen to fail when the header's checksum is not compared before its fields are believed.
#[test]
fn what_is_wrong_is_told_apart() {
    let good = small_table().encode();
    let changed = |at: usize, value: u8, mend_header: bool| {
        let mut bytes = good.clone();
        bytes[at] = value;
        if mend_header {
            let crc = crc32fast::hash(&bytes[..HEADER_CRC_AT]);
            bytes[HEADER_CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        }
        RingTable::decode(&bytes).unwrap_err()
    };
    assert_eq!(RingTable::decode(&[]).unwrap_err(), RingError::Length { found: 0, promised: 24 });
    assert_eq!(changed(0, b'X', true), RingError::BadMagic);
    // A damaged length is damage, not a length.
    assert_eq!(changed(15, 0x7f, false), RingError::HeaderDamaged);
    assert_eq!(changed(4, 2, true), RingError::UnknownVersion { version: 2 });
    assert_eq!(changed(6, 2, true), RingError::WrongKind { kind: 2 });
    assert_eq!(changed(HEADER_BYTES, 0xff, false), RingError::BodyDamaged);
    assert!(matches!(changed(15, 0x7f, true), RingError::Length { .. }));
    assert!(matches!(RingTable::decode(&good[..good.len() - 1]).unwrap_err(), RingError::Length { .. }));
    assert_eq!(RingState::decode(&good).unwrap_err(), RingError::WrongKind { kind: 1 });
}

/// Contents with right checksums that contradict themselves: what only a wrong or hostile writer makes.
#[test]
fn contradictions_are_refused() {
    let table = small_table();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = table.encode()[HEADER_BYTES..].to_vec();
        change(&mut body);
        RingTable::decode(&seal(Kind::Table, &body))
    };
    assert!(with(&|_| {}).is_ok());
    let end = table.encode().len() - HEADER_BYTES;
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let cases: [(&str, Change<'_>); 11] = [
        ("power", &|body| body[40] = 3),
        ("another power", &|body| body[40] = 5),
        ("a huge power", &|body| body[40] = 255),
        ("width", &|body| body[41] = 0),
        ("another width", &|body| body[41] = 3),
        ("reserved", &|body| body[43] = 1),
        ("a huge device count", &|body| body[44..48].fill(0xff)),
        ("an index out of range", &|body| body[end - 1] = 9),
        ("a draining device assigned", &|body| body[end - 2] = 3),
        ("a device twice in a partition", &|body| body.copy_within(end - 4..end - 2, end - 2)),
        ("the devices out of order", &|body| body[48] = 200),
    ];
    for (what, change) in cases {
        assert!(with(change).is_err(), "{what} is believed");
    }
    assert!(with(&|body| body.truncate(end - 2)).is_err());
    assert!(with(&|body| body.extend([0; 4])).is_err());
}

proptest! {
    #[test]
    fn round_trip(devices in 3..20_u32, power in 4..8_u8, width in 1..=3_usize, seed in any::<[u8; 32]>()) {
        let specs: Vec<DeviceSpec> = (0..devices).map(|id| DeviceSpec::new(DeviceId(id * 3))).collect();
        let builder = Builder::new(width, seed).with_power(power);
        let table = builder.plan(None, &specs).unwrap().table;
        prop_assert_eq!(&RingTable::decode(&table.encode()).unwrap(), &table);
        let next = builder.plan(Some(&table), &specs[1..]);
        if let Ok(next) = next {
            let state = RingState::first(table).plan(next.table).unwrap();
            prop_assert_eq!(&RingState::decode(&state.encode()).unwrap(), &state);
            let state = state.apply().unwrap();
            prop_assert_eq!(&RingState::decode(&state.encode()).unwrap(), &state);
            let state = state.revert().unwrap();
            prop_assert_eq!(&RingState::decode(&state.encode()).unwrap(), &state);
        }
    }

    /// A changed byte or a lost tail is always noticed. Seen to fail when the body's checksum is not compared.
    #[test]
    fn damage_is_never_believed(
        state in any::<bool>(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
        cut in any::<bool>(),
    ) {
        let mut bytes = if state { STATE_V1.to_vec() } else { TABLE_V1.to_vec() };
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= flip;
        }
        prop_assert!(RingTable::decode(&bytes).is_err() && RingState::decode(&bytes).is_err());
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(RingTable::decode(&bytes).is_err());
        prop_assert!(RingState::decode(&bytes).is_err());
    }

    /// Behind right checksums too: no body makes decoding panic, and what is believed encodes to the same bytes.
    #[test]
    fn any_body_gives_an_answer(
        state in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let (kind, golden) = if state { (Kind::State, STATE_V1) } else { (Kind::Table, TABLE_V1) };
        let mut body = golden[HEADER_BYTES..].to_vec();
        for (at, value) in changes {
            let at = at.index(body.len());
            body[at] = value;
        }
        body.extend(tail);
        let bytes = seal(kind, &body);
        if let Ok(table) = RingTable::decode(&bytes) {
            prop_assert_eq!(table.encode(), bytes);
        } else if let Ok(state) = RingState::decode(&bytes) {
            prop_assert_eq!(state.encode(), bytes);
        }
    }
}
