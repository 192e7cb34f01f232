//! Which bytes of a chunk are in which fragment.

use crate::CodecError;
use bytes::Bytes;
use std::ops::Range;

/// Fragment lengths are multiples of this, so that the code's vector kernels seldom meet a tail.
pub const FRAGMENT_ALIGN: u32 = 64;

/// Zeros that pad the last data fragments. Padding is less than `FRAGMENT_ALIGN` bytes per data fragment of a chunk
/// (see [`Layout::new`]), hence less than this in all.
static ZEROS: [u8; 256 * FRAGMENT_ALIGN as usize] = [0; 256 * FRAGMENT_ALIGN as usize];

/// A range of bytes in one fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentRange {
    /// The fragment's index; always a data fragment.
    pub index: u8,
    /// The bytes within that fragment.
    pub range: Range<u32>,
}

/// The cut of one chunk into `k` slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    chunk_len: u32,
    fragment_len: u32,
}

impl Layout {
    /// The layout of a chunk of `chunk_len` bytes over `k` data fragments, `k` at least 1.
    ///
    /// `k * fragment_len - chunk_len` is at most `(k - 1) + 63 * k`, less than `64 * k`.
    pub(crate) fn new(k: u8, chunk_len: u32) -> Result<Self, CodecError> {
        let fragment_len = chunk_len
            .div_ceil(u32::from(k))
            .checked_next_multiple_of(FRAGMENT_ALIGN)
            .ok_or(CodecError::ChunkTooLong { len: u64::from(chunk_len) })?;
        Ok(Self { chunk_len, fragment_len })
    }

    /// Bytes in every fragment of the chunk.
    pub(crate) const fn fragment_len(&self) -> u32 {
        self.fragment_len
    }

    /// The fragments that hold `range` of the chunk, in the chunk's order.
    pub(crate) fn locate(&self, range: Range<u32>) -> Result<Vec<FragmentRange>, CodecError> {
        if range.start > range.end || range.end > self.chunk_len {
            return Err(CodecError::Range { start: range.start, end: range.end, len: self.chunk_len });
        }
        let mut pieces = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let index = at / self.fragment_len;
            let within = at % self.fragment_len;
            let take = (self.fragment_len - within).min(range.end - at);
            let index =
                u8::try_from(index).expect("a byte of the chunk lies in one of at most 255 data fragments");
            pieces.push(FragmentRange { index, range: within..within + take });
            at += take;
        }
        Ok(pieces)
    }

    /// `range` of data fragment `index` as a range of the chunk, plus the zeros that follow it.
    fn chunk_range(&self, index: usize, range: &Range<usize>) -> (Range<usize>, usize) {
        let chunk_len = self.chunk_len as usize;
        let base = index * self.fragment_len as usize;
        let start = (base + range.start).min(chunk_len);
        let end = (base + range.end).min(chunk_len);
        (start..end, range.len() - (end - start))
    }
}

/// A chunk's body as it came from the network: parts that follow each other.
pub(crate) struct Body<'a> {
    parts: &'a [Bytes],
    /// Offset of each part's first byte in the chunk, ascending.
    starts: Vec<usize>,
    len: u32,
}

impl<'a> Body<'a> {
    pub(crate) fn new(parts: &'a [Bytes]) -> Result<Self, CodecError> {
        let mut len = 0usize;
        let mut starts = Vec::with_capacity(parts.len());
        for part in parts {
            starts.push(len);
            len = len.saturating_add(part.len());
        }
        let len = u32::try_from(len).map_err(|_| CodecError::ChunkTooLong { len: len as u64 })?;
        Ok(Self { parts, starts, len })
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Calls `visit` with each part that holds bytes of `range`, and where in it they are.
    fn walk(&self, range: Range<usize>, mut visit: impl FnMut(&'a Bytes, Range<usize>)) {
        let mut index = self.starts.partition_point(|start| *start <= range.start).saturating_sub(1);
        let mut at = range.start;
        while at < range.end {
            let (part, start) = (&self.parts[index], self.starts[index]);
            let end = (start + part.len()).min(range.end);
            if at < end {
                visit(part, at - start..end - start);
                at = end;
            }
            index += 1;
        }
    }

    /// Data fragment `index` as slices of the body, padded; nothing is copied.
    pub(crate) fn fragment(&self, layout: &Layout, index: usize) -> Vec<Bytes> {
        let (range, padding) = layout.chunk_range(index, &(0..layout.fragment_len as usize));
        let mut slices = Vec::new();
        self.walk(range, |part, within| slices.push(part.slice(within)));
        if padding > 0 {
            slices.push(Bytes::from_static(&ZEROS[..padding]));
        }
        slices
    }

    /// `range` of data fragment `index` as one slice: a part's own bytes when they lie together, else gathered in
    /// `scratch`, which is as long as `range`.
    pub(crate) fn stripe<'s>(
        &self,
        layout: &Layout,
        index: usize,
        range: &Range<usize>,
        scratch: &'s mut [u8],
    ) -> &'s [u8]
    where
        'a: 's,
    {
        let (in_chunk, padding) = layout.chunk_range(index, range);
        let mut whole: Option<&'a [u8]> = None;
        let mut filled = 0;
        let bytes = in_chunk.len();
        self.walk(in_chunk, |part, within| {
            if within.len() == range.len() {
                whole = Some(&part[within]);
            } else {
                scratch[filled..filled + within.len()].copy_from_slice(&part[within.clone()]);
                filled += within.len();
            }
        });
        if let Some(whole) = whole {
            return whole;
        }
        scratch[bytes..bytes + padding].fill(0);
        scratch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragment_lengths() {
        for (k, chunk_len, expected) in [
            (4, 0, 0),
            (4, 1, 64),
            (4, 256, 64),
            (4, 257, 128),
            (4, 1 << 20, 1 << 18),
            (3, 4 << 20, 1_398_144),
            (1, 5, 64),
        ] {
            assert_eq!(Layout::new(k, chunk_len).unwrap().fragment_len(), expected, "{k} {chunk_len}");
        }
        assert!(matches!(Layout::new(1, u32::MAX), Err(CodecError::ChunkTooLong { .. })));
    }

    #[test]
    fn a_small_range_touches_one_fragment() {
        let layout = Layout::new(4, 1 << 20).unwrap();
        let piece = |index, range| FragmentRange { index, range };
        assert_eq!(layout.locate(300_000..304_096).unwrap(), [piece(1, 37_856..41_952)]);
        assert_eq!(layout.locate(262_143..262_145).unwrap(), [piece(0, 262_143..262_144), piece(1, 0..1)]);
        assert_eq!(layout.locate(0..1 << 20).unwrap().len(), 4);
        assert_eq!(layout.locate(7..7).unwrap(), []);
        assert!(matches!(layout.locate(0..(1 << 20) + 1), Err(CodecError::Range { .. })));
        #[expect(clippy::reversed_empty_ranges)]
        let reversed = layout.locate(9..7);
        assert!(matches!(reversed, Err(CodecError::Range { .. })));
    }

    #[test]
    fn the_widest_padding_has_zeros_enough() {
        for chunk_len in [1u32, 64, 65, 16_321] {
            let parts = [Bytes::from(vec![7; chunk_len as usize])];
            let body = Body::new(&parts).unwrap();
            let layout = Layout::new(255, chunk_len).unwrap();
            let total: usize = (0..255).flat_map(|i| body.fragment(&layout, i)).map(|b| b.len()).sum();
            assert_eq!(total, 255 * layout.fragment_len() as usize);
        }
    }
}
