//! The aws-chunked framing:
//!
//! ```text
//! 10000;chunk-signature=<64 hex>\r\n  <65536 bytes>\r\n      (the extension only in signed bodies)
//! 0;chunk-signature=<64 hex>\r\n
//! x-amz-checksum-crc32c:sOO8/Q==\r\n                          (trailers, if announced)
//! x-amz-trailer-signature:<64 hex>\r\n                        (in signed bodies)
//! \r\n
//! ```
//!
//! The decoder is fed as bytes arrive and hands on slices of them: nothing but a line is ever held. A chunk's bytes are
//! handed on before its signature is known; a wrong one fails the body, and a failed body stores nothing.

use crate::auth::ChunkSigner;
use crate::error::{ErrorCode, S3Error};
use bytes::{Buf, Bytes};

/// Longest line of the framing.
const LINE_BYTES_MAX: usize = 4096;
/// Most bytes of all trailers.
const TRAILER_BYTES_MAX: usize = 8192;
/// Most trailers.
const TRAILERS_MAX: usize = 16;

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Reads a chunk's head line.
    Head,
    /// Has this much of the chunk left.
    Data(u64),
    /// Reads the line end after a chunk's data.
    DataEnd,
    /// Reads trailer lines, until an empty one.
    Trailers,
    Done,
}

/// Takes an aws-chunked body apart.
pub(crate) struct ChunkedDecoder {
    state: State,
    signer: Option<Box<ChunkSigner>>,
    /// Signature of the chunk being read.
    signature: String,
    line: Vec<u8>,
    trailer: bool,
    /// `name:value\n` of each trailer so far, as signed.
    signed_trailers: Vec<u8>,
    trailers: Vec<(String, String)>,
    trailer_signature: Option<String>,
}

impl ChunkedDecoder {
    pub(crate) fn new(signer: Option<Box<ChunkSigner>>, trailer: bool) -> Self {
        Self {
            state: State::Head,
            signer,
            signature: String::new(),
            line: Vec::new(),
            trailer,
            signed_trailers: Vec::new(),
            trailers: Vec::new(),
            trailer_signature: None,
        }
    }

    /// The next piece of decoded data from `input`; `None` when `input` is used up.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, S3Error> {
        while !input.is_empty() {
            match self.state {
                State::Data(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let piece = input.split_to(take);
                    if let Some(signer) = &mut self.signer {
                        signer.update(&piece);
                    }
                    let left = left - take as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Some(piece));
                }
                State::Done => return Err(broken("bytes follow the end of the body")),
                State::Head | State::DataEnd | State::Trailers => {
                    if self.read_line(input)? {
                        let line = std::mem::take(&mut self.line);
                        self.take_line(&line)?;
                        self.line = line;
                        self.line.clear();
                    }
                }
            }
        }
        Ok(None)
    }

    /// Ends the body: it must be whole. Returns the trailers.
    pub(crate) fn finish(mut self) -> Result<Vec<(String, String)>, S3Error> {
        // Some clients leave out the last empty line.
        if self.state == State::Trailers && self.line.is_empty() {
            self.end_trailers()?;
        }
        if self.state != State::Done {
            return Err(ErrorCode::IncompleteBody.into());
        }
        Ok(self.trailers)
    }

    /// Collects a line; whether it is complete.
    fn read_line(&mut self, input: &mut Bytes) -> Result<bool, S3Error> {
        let end = input.iter().position(|b| *b == b'\n');
        let take = end.map_or(input.len(), |end| end + 1);
        if self.line.len() + take > LINE_BYTES_MAX {
            return Err(broken("a line of the framing is too long"));
        }
        self.line.extend_from_slice(&input[..take]);
        input.advance(take);
        if end.is_none() {
            return Ok(false);
        }
        self.line.pop();
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(true)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), S3Error> {
        let text = std::str::from_utf8(line).map_err(|_| broken("a line of the framing is no text"))?;
        match self.state {
            State::Head => self.take_head(text),
            State::DataEnd => {
                if !text.is_empty() {
                    return Err(broken("a chunk is longer than its size"));
                }
                self.end_chunk()?;
                self.state = State::Head;
                Ok(())
            }
            State::Trailers if text.is_empty() => self.end_trailers(),
            State::Trailers => self.take_trailer(text),
            State::Data(_) | State::Done => Ok(()),
        }
    }

    fn take_head(&mut self, line: &str) -> Result<(), S3Error> {
        let (size, extension) = line.split_once(';').unwrap_or((line, ""));
        let size = size.trim();
        if size.is_empty() || size.len() > 15 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(broken("a chunk size is no hexadecimal number"));
        }
        let size =
            u64::from_str_radix(size, 16).map_err(|_| broken("a chunk size is no hexadecimal number"))?;
        if self.signer.is_some() {
            let signature = extension.trim().strip_prefix("chunk-signature=");
            let signature = signature.ok_or_else(|| broken("a chunk lacks its signature"))?;
            signature.clone_into(&mut self.signature);
        }
        if size > 0 {
            self.state = State::Data(size);
            return Ok(());
        }
        self.end_chunk()?;
        self.state = State::Trailers;
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), S3Error> {
        let signature = &self.signature;
        if self.signer.as_mut().is_none_or(|signer| signer.chunk_matches(signature)) {
            return Ok(());
        }
        Err(S3Error::with(
            ErrorCode::SignatureDoesNotMatch,
            "The signature of a chunk does not match what was computed.",
        ))
    }

    fn take_trailer(&mut self, line: &str) -> Result<(), S3Error> {
        let (name, value) = line.split_once(':').ok_or_else(|| broken("a trailer is no header"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if !self.trailer {
            return Err(broken("a trailer was not announced"));
        }
        if name == "x-amz-trailer-signature" {
            self.trailer_signature = Some(value.to_owned());
            return Ok(());
        }
        if self.trailers.len() == TRAILERS_MAX || self.signed_trailers.len() + line.len() > TRAILER_BYTES_MAX
        {
            return Err(broken("the trailers are too long"));
        }
        self.signed_trailers.extend_from_slice(format!("{name}:{value}\n").as_bytes());
        self.trailers.push((name, value.to_owned()));
        Ok(())
    }

    fn end_trailers(&mut self) -> Result<(), S3Error> {
        if let (true, Some(signer)) = (self.trailer, &mut self.signer) {
            let signature = self.trailer_signature.take().unwrap_or_default();
            if !signer.trailer_matches(&self.signed_trailers, &signature) {
                return Err(S3Error::with(
                    ErrorCode::SignatureDoesNotMatch,
                    "The signature of the trailers does not match what was computed.",
                ));
            }
        }
        self.state = State::Done;
        Ok(())
    }
}

fn broken(what: &'static str) -> S3Error {
    S3Error::with(ErrorCode::IncompleteBody, format!("The aws-chunked body is malformed: {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Decoded = (Vec<u8>, Vec<(String, String)>);

    fn decode(body: &[u8], piece: usize, trailer: bool) -> Result<Decoded, S3Error> {
        let mut decoder = ChunkedDecoder::new(None, trailer);
        let mut out = Vec::new();
        for piece in body.chunks(piece.max(1)) {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(data) = decoder.next(&mut input)? {
                out.extend_from_slice(&data);
            }
        }
        decoder.finish().map(|trailers| (out, trailers))
    }

    const BODY: &[u8] =
        b"5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";

    #[test]
    fn pieces_of_any_size_decode_alike() {
        for piece in 1..BODY.len() {
            let (data, trailers) = decode(BODY, piece, true).expect("decoded");
            assert_eq!(data, b"hello world");
            assert_eq!(trailers, [("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned())]);
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            &b""[..],
            b"5\r\nhel",
            b"5\r\nhello\r\n",
            b"5\r\nhelloworld\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"\r\n\r\n",
            b"ffffffffffffffff\r\n",
            b"0\r\nx:y\r\n\r\n",
            b"0\r\n\r\nmore",
        ] {
            assert_eq!(decode(bad, 4, false).expect_err("bad").code(), ErrorCode::IncompleteBody, "{bad:?}");
        }
        assert!(decode(&vec![b'1'; 10_000], 100, false).is_err());
    }

    #[test]
    fn the_last_empty_line_may_be_missing() {
        assert_eq!(decode(b"2\r\nab\r\n0\r\n", 3, false).expect("decoded").0, b"ab");
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(body in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..50) {
            let _ = decode(&body, piece, true);
        }

        #[test]
        fn damaged_bodies_decode_without_panic(at in 0..BODY.len(), byte: u8, piece in 1_usize..50) {
            let mut body = BODY.to_vec();
            body[at] = byte;
            let _ = decode(&body, piece, true);
        }
    }
}
