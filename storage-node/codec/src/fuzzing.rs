//! The codec on any shape, body and loss, for fuzzing: panics when a promise is broken.

use crate::{CodecError, EcCodec};
use bytes::Bytes;

/// `k`, `m`, a cut of the body into parts, a range and a pattern of loss are taken from the front; the rest is the chunk.
/// Whatever is lost, up to `m` fragments, comes back from the others.
pub fn chunk(bytes: &[u8]) {
    let Some((&[k, m, cut, loss, from, len], body)) = bytes.split_first_chunk::<6>() else { return };
    // Wide codes are slow to set up and no different.
    let (k, m) = (k % 17, m % 9);
    let codec = match EcCodec::new(k, m) {
        Ok(codec) => codec,
        Err(error) => return assert!(k == 0 || m == 0, "{k}+{m}: {error}"),
    };
    let chunk_len = u32::try_from(body.len()).expect("a fuzzer's input is short");
    let chunk = Bytes::copy_from_slice(body);
    let at = usize::from(cut).min(body.len());
    let fragments =
        codec.encode(&[chunk.slice(..at), chunk.slice(at..)]).expect("a short chunk has fragments");
    assert_eq!(fragments, codec.encode(&[chunk]).expect("as before"), "the parts of a body do not matter");

    let range = u32::from(from)..u32::from(from) + u32::from(len);
    let located = codec.locate(chunk_len, range.clone());
    if range.end > chunk_len {
        assert!(matches!(located, Err(CodecError::Range { .. })));
    } else {
        let pieces = located.expect("a range of the chunk").into_iter();
        let read: Vec<u8> = pieces
            .flat_map(|piece| {
                let range = piece.range.start as usize..piece.range.end as usize;
                fragments[usize::from(piece.index)].slice(range)
            })
            .collect();
        assert_eq!(read, &body[range.start as usize..range.end as usize], "the pieces are the range");
    }
    rebuild(&codec, chunk_len, &fragments, loss);
}

/// Loses `m` fragments from number `loss` on, around the end.
fn rebuild(codec: &EcCodec, chunk_len: u32, fragments: &[Bytes], loss: u8) {
    let count = u8::try_from(codec.count()).expect("k and m are small");
    let lost: Vec<u8> = (0..codec.m()).map(|at| (loss % count + at) % count).collect();
    let left: Vec<(u8, &[u8])> = (0..count)
        .filter(|index| !lost.contains(index))
        .map(|index| (index, fragments[usize::from(index)].as_ref()))
        .collect();
    for index in lost {
        let rebuilt = codec.reconstruct_fragment(chunk_len, &left, index);
        assert_eq!(
            rebuilt.expect("k fragments are enough"),
            fragments[usize::from(index)],
            "fragment {index}"
        );
    }
}

/// The layout of a chunk of any length, which has no bytes here.
pub fn layout(bytes: &[u8]) {
    let Some((&[k, a, b, c, d, e, f, g, h, i, j, l, m], _)) = bytes.split_first_chunk::<13>() else { return };
    let Ok(codec) = EcCodec::new(k % 17, 1) else { return };
    let chunk_len = u32::from_le_bytes([a, b, c, d]);
    let range = u32::from_le_bytes([e, f, g, h])..u32::from_le_bytes([i, j, l, m]);
    if let (Ok(pieces), Ok(len)) = (codec.locate(chunk_len, range.clone()), codec.fragment_len(chunk_len)) {
        let mut at = u64::from(range.start);
        for piece in pieces {
            assert_eq!(u64::from(piece.index) * u64::from(len) + u64::from(piece.range.start), at);
            assert!(piece.range.start < piece.range.end && piece.range.end <= len);
            at += u64::from(piece.range.end - piece.range.start);
        }
        assert_eq!(at, u64::from(range.end));
    }
}
