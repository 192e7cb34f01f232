//! The codec of one `k+m` policy.

use crate::kernel::{Kernel, Multiplier};
use crate::layout::{Body, Layout};
use crate::matrix::coefficients;
use crate::{CodecError, FragmentRange};
use bytes::Bytes;
use reed_solomon_erasure::galois_8::ReedSolomon;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Data bytes coded per round, over all inputs: with the outputs they stay within a core's cache, and parts of a body
/// that a fragment straddles are gathered in a scratch of this size.
const STRIPE_BYTES: usize = 64 * 1024;

/// Cuts chunks into `k` data and `m` parity fragments and computes lost bytes from any `k` of them.
///
/// Cloning shares the tables.
#[derive(Clone)]
pub struct EcCodec {
    shared: Arc<Shared>,
}

struct Shared {
    k: u8,
    m: u8,
    code: ReedSolomon,
    kernel: Kernel,
    parity: Multiplier,
}

impl EcCodec {
    /// The codec for `k` data and `m` parity fragments: both at least 1, 256 at most together.
    pub fn new(k: u8, m: u8) -> Result<Self, CodecError> {
        Self::with_kernel(k, m, Kernel::detect())
    }

    fn with_kernel(k: u8, m: u8, kernel: Kernel) -> Result<Self, CodecError> {
        let code =
            ReedSolomon::new(usize::from(k), usize::from(m)).map_err(|_| CodecError::Shape { k, m })?;
        let data: Vec<u8> = (0..k).collect();
        let parity: Vec<u8> = (0..m).map(|row| row.wrapping_add(k)).collect();
        let parity = kernel.prepare(&coefficients(&code, &data, &parity)?);
        Ok(Self { shared: Arc::new(Shared { k, m, code, kernel, parity }) })
    }

    /// Data fragments; as many of any kind give the chunk back.
    #[must_use]
    pub fn k(&self) -> u8 {
        self.shared.k
    }

    /// Parity fragments.
    #[must_use]
    pub fn m(&self) -> u8 {
        self.shared.m
    }

    /// Fragments in all.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.shared.k) + usize::from(self.shared.m)
    }

    /// Name of the arithmetic in use on this processor, for logs and benchmarks.
    #[must_use]
    pub fn kernel_name(&self) -> &'static str {
        self.shared.kernel.name()
    }

    /// Bytes in each fragment of a chunk of `chunk_len` bytes.
    pub fn fragment_len(&self, chunk_len: u32) -> Result<u32, CodecError> {
        Ok(Layout::new(self.shared.k, chunk_len)?.fragment_len())
    }

    /// The data fragments, and ranges in them, that hold `range` of a chunk; following each other they are `range`.
    pub fn locate(&self, chunk_len: u32, range: Range<u32>) -> Result<Vec<FragmentRange>, CodecError> {
        Layout::new(self.shared.k, chunk_len)?.locate(range)
    }

    /// The chunk whose bytes are `body`, one part after the other, as `k + m` fragments of one piece each.
    ///
    /// A data fragment that lies in one part shares its memory; one that straddles parts or is padded is copied.
    /// [`Self::encode_slices`] never copies.
    pub fn encode(&self, body: &[Bytes]) -> Result<Vec<Bytes>, CodecError> {
        let fragments = self.encode_slices(body)?;
        Ok(fragments.into_iter().map(join).collect())
    }

    /// The chunk whose bytes are `body`, one part after the other, as `k + m` fragments, each as slices to write one
    /// after the other. Data fragments share the memory of `body`.
    pub fn encode_slices(&self, body: &[Bytes]) -> Result<Vec<Vec<Bytes>>, CodecError> {
        let body = Body::new(body)?;
        let layout = Layout::new(self.shared.k, body.len())?;
        let parity = self.encode_parity(&body, &layout);
        let data = (0..usize::from(self.shared.k)).map(|index| body.fragment(&layout, index));
        Ok(data.chain(parity.into_iter().map(|fragment| vec![Bytes::from(fragment)])).collect())
    }

    fn encode_parity(&self, body: &Body<'_>, layout: &Layout) -> Vec<Vec<u8>> {
        let fragment_len = layout.fragment_len() as usize;
        let mut parity: Vec<Vec<u8>> = (0..self.shared.m).map(|_| vec![0; fragment_len]).collect();
        let stripe = self.stripe_len();
        let mut scratch = vec![0; stripe * usize::from(self.shared.k)];
        for range in stripes(fragment_len, stripe) {
            let inputs: Vec<&[u8]> = scratch
                .chunks_exact_mut(stripe)
                .enumerate()
                .map(|(index, scratch)| body.stripe(layout, index, &range, &mut scratch[..range.len()]))
                .collect();
            let mut outputs: Vec<&mut [u8]> =
                parity.iter_mut().map(|bytes| &mut bytes[range.clone()]).collect();
            self.shared.parity.apply(&inputs, &mut outputs);
        }
        parity
    }

    /// The bytes `fragment_range` of each fragment in `wanted`, computed from the same range of any `k` others.
    ///
    /// `available` are pairs of a fragment's index and its bytes of just that range; the first `k` are used. The
    /// caller has verified them: a damaged one gives damaged results.
    pub fn reconstruct_range(
        &self,
        chunk_len: u32,
        fragment_range: Range<u32>,
        available: &[(u8, &[u8])],
        wanted: &[u8],
    ) -> Result<Vec<Vec<u8>>, CodecError> {
        let len = self.check_range(chunk_len, &fragment_range)?;
        self.check_available(len, available)?;
        for index in wanted {
            self.check_index(*index)?;
        }
        // In one order whatever the caller's, so that the crate meets a pattern of loss once and remembers it.
        let mut chosen = available[..usize::from(self.shared.k)].to_vec();
        chosen.sort_unstable_by_key(|(index, _)| *index);
        let indexes: Vec<u8> = chosen.iter().map(|(index, _)| *index).collect();
        let multiplier = self.shared.kernel.prepare(&coefficients(&self.shared.code, &indexes, wanted)?);

        let mut results: Vec<Vec<u8>> = wanted.iter().map(|_| vec![0; len]).collect();
        for range in stripes(len, self.stripe_len()) {
            let inputs: Vec<&[u8]> = chosen.iter().map(|(_, bytes)| &bytes[range.clone()]).collect();
            let mut outputs: Vec<&mut [u8]> =
                results.iter_mut().map(|bytes| &mut bytes[range.clone()]).collect();
            multiplier.apply(&inputs, &mut outputs);
        }
        Ok(results)
    }

    /// The whole fragment `wanted`, computed from any `k` other whole fragments.
    pub fn reconstruct_fragment(
        &self,
        chunk_len: u32,
        available: &[(u8, &[u8])],
        wanted: u8,
    ) -> Result<Vec<u8>, CodecError> {
        let fragment_len = self.fragment_len(chunk_len)?;
        let mut results = self.reconstruct_range(chunk_len, 0..fragment_len, available, &[wanted])?;
        results.pop().ok_or_else(|| CodecError::Code { reason: "no result".to_owned() })
    }

    /// Bytes of one fragment coded per round.
    fn stripe_len(&self) -> usize {
        (STRIPE_BYTES / usize::from(self.shared.k)).next_multiple_of(1024)
    }

    fn check_index(&self, index: u8) -> Result<(), CodecError> {
        let count = self.count();
        if usize::from(index) < count { Ok(()) } else { Err(CodecError::Index { index, count }) }
    }

    fn check_range(&self, chunk_len: u32, range: &Range<u32>) -> Result<usize, CodecError> {
        let len = self.fragment_len(chunk_len)?;
        if range.start > range.end || range.end > len {
            return Err(CodecError::Range { start: range.start, end: range.end, len });
        }
        Ok((range.end - range.start) as usize)
    }

    fn check_available(&self, expected: usize, available: &[(u8, &[u8])]) -> Result<(), CodecError> {
        let mut seen = [false; 256];
        for (index, bytes) in available {
            self.check_index(*index)?;
            if std::mem::replace(&mut seen[usize::from(*index)], true) {
                return Err(CodecError::Duplicate { index: *index });
            }
            if bytes.len() != expected {
                return Err(CodecError::Length { index: *index, actual: bytes.len(), expected });
            }
        }
        let needed = usize::from(self.shared.k);
        if available.len() < needed {
            return Err(CodecError::TooFew { available: available.len(), needed });
        }
        Ok(())
    }
}

impl fmt::Debug for EcCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EcCodec({}+{}, {})", self.shared.k, self.shared.m, self.kernel_name())
    }
}

/// The ranges of at most `step` bytes that make up `0..len`.
fn stripes(len: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(step).map(move |start| start..(start + step).min(len))
}

fn join(mut slices: Vec<Bytes>) -> Bytes {
    match slices.len() {
        0 => Bytes::new(),
        1 => slices.remove(0),
        _ => Bytes::from(slices.concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    fn body(len: usize) -> Bytes {
        (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect::<Vec<_>>().into()
    }

    #[test]
    fn whole_parts_are_shared_not_copied() {
        let codec = EcCodec::new(4, 2).unwrap();
        let chunk = body(4096);
        let fragments = codec.encode(std::slice::from_ref(&chunk)).unwrap();
        assert_eq!(fragments.len(), 6);
        for (index, fragment) in fragments.iter().take(4).enumerate() {
            assert_eq!(fragment.as_ptr(), chunk[index * 1024..].as_ptr());
        }
        let parts = [chunk.slice(..1500), chunk.slice(1500..)];
        let slices = codec.encode_slices(&parts).unwrap();
        assert_eq!(slices[1][0].as_ptr(), parts[0][1024..].as_ptr());
        assert_eq!(slices[1][1].as_ptr(), parts[1].as_ptr());
        assert_eq!(slices[4], [fragments[4].clone()]);
    }

    #[test]
    fn an_empty_chunk_has_empty_fragments() {
        let codec = EcCodec::new(3, 2).unwrap();
        assert_eq!(codec.encode(&[]).unwrap(), vec![Bytes::new(); 5]);
        assert_eq!(codec.locate(0, 0..0).unwrap(), []);
        assert_eq!(codec.reconstruct_fragment(0, &[(4, &[]), (1, &[]), (0, &[])], 2).unwrap(), b"");
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for (k, m) in [(0, 1), (1, 0), (0, 0), (255, 2), (200, 100)] {
            assert_eq!(EcCodec::new(k, m).unwrap_err(), CodecError::Shape { k, m });
        }
        assert_eq!(EcCodec::new(255, 1).unwrap().count(), 256);
    }

    #[test]
    fn wrong_fragments_are_errors() {
        let codec = EcCodec::new(2, 1).unwrap();
        let good = [0u8; 64];
        let rebuild =
            |available: &[(u8, &[u8])], wanted: u8| codec.reconstruct_fragment(100, available, wanted);
        assert_eq!(rebuild(&[(0, &good)], 1), Err(CodecError::TooFew { available: 1, needed: 2 }));
        assert_eq!(rebuild(&[(0, &good), (0, &good)], 1), Err(CodecError::Duplicate { index: 0 }));
        assert_eq!(rebuild(&[(0, &good), (3, &good)], 1), Err(CodecError::Index { index: 3, count: 3 }));
        assert_eq!(rebuild(&[(0, &good), (2, &good)], 9), Err(CodecError::Index { index: 9, count: 3 }));
        let short = CodecError::Length { index: 2, actual: 63, expected: 64 };
        assert_eq!(rebuild(&[(0, &good), (2, &good[1..])], 1), Err(short));
        let range = codec.reconstruct_range(100, 60..65, &[(0, &good[..5]), (2, &good[..5])], &[1]);
        assert_eq!(range, Err(CodecError::Range { start: 60, end: 65, len: 64 }));
    }

    #[test]
    fn every_kernel_gives_the_same_fragments() {
        let chunk = body(70_001);
        let expected =
            EcCodec::with_kernel(5, 7, Kernel::Portable).unwrap().encode(std::slice::from_ref(&chunk));
        for kernel in Kernel::supported() {
            let codec = EcCodec::with_kernel(5, 7, kernel).unwrap();
            assert_eq!(codec.encode(std::slice::from_ref(&chunk)), expected, "{codec:?}");
        }
    }
}
