//! Any `k` of `n` fragments give back any range of the chunk, and parity is what `reed-solomon-erasure` says it is.

use bytes::Bytes;
use proptest::prelude::*;
use reed_solomon_erasure::galois_8::ReedSolomon;
use ringfort_codec::EcCodec;

/// Bytes that look random and depend on `seed` alone.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// The chunk in parts that end at the given places.
fn cut(chunk: &[u8], cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(chunk.len() + 1)).collect();
    ends.push(chunk.len());
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter()
        .map(|end| {
            let part = Bytes::copy_from_slice(&chunk[start..end]);
            start = end;
            part
        })
        .collect()
}

/// `range` of the chunk from the fragments that are left, as a reader puts it together.
fn read(codec: &EcCodec, chunk_len: u32, range: std::ops::Range<u32>, left: &[(u8, Bytes)]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in codec.locate(chunk_len, range).expect("a range of the chunk") {
        let bytes = piece.range.start as usize..piece.range.end as usize;
        if let Some((_, fragment)) = left.iter().find(|(index, _)| *index == piece.index) {
            out.extend_from_slice(&fragment[bytes]);
        } else {
            let slices: Vec<(u8, &[u8])> =
                left.iter().map(|(i, fragment)| (*i, &fragment[bytes.clone()])).collect();
            let rebuilt = codec.reconstruct_range(chunk_len, piece.range, &slices, &[piece.index]);
            out.extend_from_slice(&rebuilt.expect("rebuilt")[0]);
        }
    }
    out
}

fn shape() -> impl Strategy<Value = (u8, u8)> {
    prop_oneof![3 => (1u8..=10, 1u8..=5), 1 => (1u8..=32, 1u8..=16)]
}

fn chunk_len() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..300, 1usize..20_000, 100_000usize..300_000]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(96),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_range_from_any_k(
        (k, m) in shape(),
        len in chunk_len(),
        seed in any::<u64>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
        order in any::<prop::sample::Index>(),
        ends in any::<[prop::sample::Index; 2]>(),
    ) {
        let codec = EcCodec::new(k, m).expect("a possible shape");
        let chunk = noise(seed, len);
        let chunk_len = u32::try_from(len).expect("short");
        let parts = cut(&chunk, &cuts);
        let fragments = codec.encode(&parts).expect("encoded");
        let slices = codec.encode_slices(&parts).expect("encoded");
        prop_assert_eq!(fragments.len(), codec.count());
        for (fragment, slices) in fragments.iter().zip(&slices) {
            prop_assert_eq!(fragment.len(), codec.fragment_len(chunk_len).expect("short") as usize);
            prop_assert_eq!(&fragment[..], &slices.concat()[..]);
        }

        // Which k are left: n fragments stepped through by a stride, which hits all kinds of mixes.
        let n = codec.count();
        let mut indexes: Vec<u8> = (0..=u8::try_from(n - 1).expect("at most 256")).collect();
        indexes.rotate_left(order.index(n));
        indexes.sort_by_key(|i| (usize::from(*i) * 7 + order.index(1000)) % n);
        let left: Vec<(u8, Bytes)> =
            indexes.iter().take(usize::from(k)).map(|i| (*i, fragments[usize::from(*i)].clone())).collect();

        let mut range = ends.map(|end| u32::try_from(end.index(len + 1)).expect("short"));
        range.sort_unstable();
        let expected = &chunk[range[0] as usize..range[1] as usize];
        prop_assert_eq!(&read(&codec, chunk_len, range[0]..range[1], &left)[..], expected);
        prop_assert_eq!(&read(&codec, chunk_len, 0..chunk_len, &left)[..], &chunk[..]);

        let slices: Vec<(u8, &[u8])> = left.iter().map(|(i, fragment)| (*i, fragment.as_ref())).collect();
        for (index, fragment) in (0u8..).zip(&fragments) {
            let rebuilt = codec.reconstruct_fragment(chunk_len, &slices, index).expect("rebuilt");
            prop_assert_eq!(&rebuilt[..], &fragment[..], "fragment {}", index);
        }
        if k > 1 {
            prop_assert!(codec.reconstruct_fragment(chunk_len, &slices[1..], 0).is_err());
        }
    }

    #[test]
    fn parity_is_the_crates((k, m) in shape(), len in chunk_len(), seed in any::<u64>()) {
        let codec = EcCodec::new(k, m).expect("a possible shape");
        let fragments = codec.encode(&[noise(seed, len).into()]).expect("encoded");
        if len > 0 {
            let code = ReedSolomon::new(usize::from(k), usize::from(m)).expect("a possible shape");
            prop_assert!(code.verify(&fragments).expect("fragments of one length"));
        }
    }

    /// Whatever the caller gets wrong, the answer is an error.
    #[test]
    fn nonsense_never_panics(
        (k, m) in shape(),
        chunk_len in prop_oneof![0u32..5000, Just(u32::MAX), Just(u32::MAX - 70)],
        range in any::<[u16; 2]>(),
        available in prop::collection::vec((any::<u8>(), 0usize..200), 0..12),
        wanted in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let codec = EcCodec::new(k, m).expect("a possible shape");
        let bytes = [1u8; 200];
        let available: Vec<(u8, &[u8])> = available.iter().map(|(i, len)| (*i, &bytes[..*len])).collect();
        let range = u32::from(range[0])..u32::from(range[1]);
        let _ = codec.locate(chunk_len, range.clone());
        let _ = codec.reconstruct_range(chunk_len, range, &available, &wanted);
        if let Some(first) = wanted.first().filter(|_| chunk_len < 5000) {
            let _ = codec.reconstruct_fragment(chunk_len, &available, *first);
        }
    }
}
