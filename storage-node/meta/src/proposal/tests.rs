//! The proposal's bytes: round trips, the golden file, any bytes.

use super::*;
use proptest::prelude::*;

fn id(session: u64, lane: u32, sequence: u64) -> CommandId {
    CommandId { session: SessionId(session), lane, sequence }
}

fn sample() -> Proposal {
    let mut builder = ProposalBuilder::new(3, 64);
    builder.push(
        CommandKind::Model,
        SlotId(7),
        id(0x0102, 3, 9),
        b"put a",
        vec![Bytes::from_static(b"body-one")],
    );
    builder.push(CommandKind::EndSession, SlotId(4096), id(0x0103, 0, 0), b"", vec![]);
    let bodies = vec![Bytes::from_static(b""), Bytes::from_static(b"xyz")];
    builder.push(CommandKind::Model, SlotId(4095), id(u64::MAX >> 16, u32::MAX, u64::MAX), b"put b", bodies);
    builder.build(HybridTime(1_700_000_000_000_001))
}

fn flat(proposal: &Proposal) -> Bytes {
    proposal.pieces().flat_map(|piece| piece.to_vec()).collect::<Vec<_>>().into()
}

#[test]
fn decodes_what_it_encodes() {
    let proposal = sample();
    let bytes = flat(&proposal);
    assert_eq!(bytes.len(), proposal.encoded_len());
    let again = Proposal::decode(&bytes).unwrap();
    assert_eq!(again, proposal);
    assert_eq!(again.commands(), proposal.commands());
    assert_eq!(again.stamp(), proposal.stamp());
    for command in again.commands() {
        assert_eq!(again.spans(command), proposal.spans(command));
    }
}

#[test]
fn spans_point_at_the_bodies() {
    let proposal = sample();
    let mut payload = vec![0; PREFIX_LEN];
    payload.extend_from_slice(&flat(&proposal));
    let found: Vec<&[u8]> = proposal
        .commands()
        .iter()
        .flat_map(|command| proposal.spans(command))
        .map(|&(at, len)| &payload[at as usize..(at + len) as usize])
        .collect();
    assert_eq!(found, [&b"body-one"[..], b"", b"xyz"]);
}

#[test]
fn golden_file_of_version_1_still_decodes() {
    let golden = Bytes::from_static(include_bytes!("../../golden/batch-v1.bin"));
    assert_eq!(flat(&sample()), golden, "the writer changed: a new version needs a new golden file");
    assert_eq!(Proposal::decode(&golden).unwrap(), sample());
}

#[test]
fn any_cut_or_flip_is_refused_or_decodes_without_a_panic() {
    let bytes = flat(&sample());
    for end in 0..bytes.len() {
        assert!(Proposal::decode(&bytes.slice(..end)).is_err(), "cut at {end}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1 << bit;
            let _ = Proposal::decode(&damaged.into());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn decode_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Proposal::decode(&bytes.into());
    }
}
