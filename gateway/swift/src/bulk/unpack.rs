//! Compressed archives, unpacked as they arrive: however much a few bytes unpack to, it comes in pieces of bounded size.

use super::tar::Input;
use crate::error::{Result, SwiftError};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use futures_util::{StreamExt, stream};
use http_body_util::BodyDataStream;
use ringfort_http::RequestBody;

/// Bytes unpacked at a time.
const PIECE: usize = 64 << 10;

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Bzip2,
}

impl Packing {
    /// The packing that `extract-archive` names.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "tar" => Some(Self::None),
            "tar.gz" => Some(Self::Gzip),
            "tar.bz2" => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// The archive within a body.
    pub(crate) fn open(self, body: RequestBody) -> Input {
        let packed = BodyDataStream::new(body).map(|piece| piece.map_err(SwiftError::disconnected));
        let unpacker: Box<dyn Unpack> = match self {
            Self::None => return Box::pin(packed),
            Self::Gzip => Box::new(Gzip::default()),
            Self::Bzip2 => Box::new(Bzip2(bzip2::Decompress::new(false))),
        };
        let state = (Box::pin(packed), Bytes::new(), unpacker);
        Box::pin(stream::try_unfold(state, |(mut packed, mut input, mut unpacker)| async move {
            loop {
                let piece = unpacker.unpack(&mut input)?;
                if !piece.is_empty() {
                    return Ok(Some((piece.into(), (packed, input, unpacker))));
                }
                match packed.next().await {
                    Some(more) => input = more?,
                    None if unpacker.is_done() => return Ok(None),
                    None => return Err(broken()),
                }
            }
        }))
    }
}

fn broken() -> SwiftError {
    SwiftError::bad_request("Invalid Tar File: it cannot be unpacked")
}

/// Unpacks what there is into at most one piece; nothing when it needs more.
trait Unpack: Send {
    fn unpack(&mut self, input: &mut Bytes) -> Result<Vec<u8>>;
    fn is_done(&self) -> bool;
}

/// Where the unpacking of gzip is: RFC 1952.
#[derive(Default)]
struct Gzip {
    /// Bytes of the head that are at hand.
    head: Vec<u8>,
    body: Option<Decompress>,
    /// Bytes of the trailer that are still to come.
    trailer: usize,
    done: bool,
}

impl Gzip {
    /// Longest head: names and comments included.
    const HEAD_BYTES_MAX: usize = 16 << 10;

    /// The length of a head, once all of it is there.
    fn head_len(head: &[u8]) -> Result<Option<usize>> {
        let [a, b, method, flags, ..] = head else { return Ok(None) };
        if (*a, *b, *method) != (0x1f, 0x8b, 8) {
            return Err(broken());
        }
        let mut len = 10;
        if flags & 4 != 0 {
            let Some([low, high]) = head.get(len..len + 2) else { return Ok(None) };
            len += 2 + usize::from(u16::from_le_bytes([*low, *high]));
        }
        for text in [8, 16] {
            if flags & text != 0 {
                let Some(rest) = head.get(len..) else { return Ok(None) };
                let Some(end) = rest.iter().position(|byte| *byte == 0) else { return Ok(None) };
                len += end + 1;
            }
        }
        if flags & 2 != 0 {
            len += 2;
        }
        Ok((head.len() >= len).then_some(len))
    }
}

impl Unpack for Gzip {
    fn unpack(&mut self, input: &mut Bytes) -> Result<Vec<u8>> {
        loop {
            if self.trailer > 0 {
                let step = self.trailer.min(input.len());
                let _ = input.split_to(step);
                self.trailer -= step;
                if self.trailer > 0 {
                    return Ok(Vec::new());
                }
                self.done = true;
            }
            if input.is_empty() {
                return Ok(Vec::new());
            }
            let Some(body) = &mut self.body else {
                self.done = false;
                self.head.extend_from_slice(input);
                let Some(len) = Self::head_len(&self.head)? else {
                    input.clear();
                    if self.head.len() > Self::HEAD_BYTES_MAX {
                        return Err(broken());
                    }
                    return Ok(Vec::new());
                };
                *input = Bytes::copy_from_slice(&self.head[len..]);
                self.head.clear();
                self.body = Some(Decompress::new(false));
                continue;
            };
            let (mut out, before) = (Vec::with_capacity(PIECE), body.total_in());
            let status = body.decompress_vec(input, &mut out, FlushDecompress::None).map_err(|_| broken())?;
            let taken = usize::try_from(body.total_in() - before).map_err(|_| broken())?;
            let _ = input.split_to(taken.min(input.len()));
            if status == Status::StreamEnd {
                self.body = None;
                self.trailer = 8;
            } else if taken == 0 && out.is_empty() {
                return Ok(out);
            }
            if !out.is_empty() {
                return Ok(out);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.done && self.body.is_none()
    }
}

struct Bzip2(bzip2::Decompress);

impl Unpack for Bzip2 {
    fn unpack(&mut self, input: &mut Bytes) -> Result<Vec<u8>> {
        let (mut out, before) = (Vec::with_capacity(PIECE), self.0.total_in());
        // Bytes that were taken in earlier may still have to come out.
        let status = self.0.decompress_vec(input, &mut out).map_err(|_| broken())?;
        let taken = usize::try_from(self.0.total_in() - before).map_err(|_| broken())?;
        let _ = input.split_to(taken.min(input.len()));
        if status == bzip2::Status::StreamEnd {
            // Another stream may follow; it begins with a state of its own.
            self.0 = bzip2::Decompress::new(false);
        }
        Ok(out)
    }

    fn is_done(&self) -> bool {
        // A stream that was begun has taken something in.
        self.0.total_in() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn unpack(packing: Packing, packed: &[u8], step: usize) -> Result<(Vec<u8>, usize)> {
        use futures_util::FutureExt;
        use http_body_util::{BodyExt, StreamBody};
        let frames: Vec<_> = packed
            .chunks(step.max(1))
            .map(|piece| {
                Ok::<_, ringfort_http::BoxError>(http_body::Frame::data(Bytes::copy_from_slice(piece)))
            })
            .collect();
        let mut pieces = packing.open(StreamBody::new(stream::iter(frames)).boxed_unsync());
        let all = async move {
            let (mut whole, mut largest) = (Vec::new(), 0);
            while let Some(piece) = pieces.next().await {
                let piece = piece?;
                largest = largest.max(piece.len());
                whole.extend_from_slice(&piece);
            }
            Ok((whole, largest))
        };
        all.now_or_never().expect("all is at hand")
    }

    #[test]
    fn what_was_packed_comes_out_in_bounded_pieces() {
        let plain: Vec<u8> =
            (0..3_000_000_u32).map(|n| if n < 2_000_000 { 0 } else { n.to_le_bytes()[0] }).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&plain).unwrap();
        for (packing, packed) in
            [(Packing::Gzip, gzip.finish().unwrap()), (Packing::Bzip2, bzip2.finish().unwrap())]
        {
            for step in [11, 4096, packed.len()] {
                let (whole, largest) = unpack(packing, &packed, step).expect("unpacked");
                assert!(whole == plain, "{packing:?} in steps of {step}");
                assert!(largest <= PIECE, "{packing:?}: a piece of {largest} bytes");
            }
            assert!(unpack(packing, &packed[..packed.len() / 2], 4096).is_err(), "{packing:?} cut short");
            assert!(unpack(packing, b"this is not packed at all", 4096).is_err(), "{packing:?}");
        }
        assert_eq!(unpack(Packing::None, b"plain", 2).unwrap().0, b"plain");
    }
}
