//! A `multipart/form-data` body, part by part and piece by piece: no part is ever held whole.

use crate::body::{BoxError, RequestBody};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http_body_util::BodyDataStream;
use std::fmt;
use std::pin::Pin;

/// Largest head of a part.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Longest boundary (RFC 2046 allows 70).
const BOUNDARY_BYTES_MAX: usize = 256;

type Input = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// Why a form cannot be read.
#[derive(Debug)]
pub enum FormError {
    /// It does not begin with its boundary, or has none.
    Start,
    /// It is cut short or ill-formed.
    Broken,
    /// Whoever carries the body failed.
    Body(BoxError),
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("the form does not begin with its boundary"),
            Self::Broken => f.write_str("the form is cut short or broken"),
            Self::Body(error) => write!(f, "the form cannot be read: {error}"),
        }
    }
}

impl std::error::Error for FormError {}

/// Where the parser is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Start,
    /// Within the body of a part.
    Body,
    /// After a boundary: a head or the end follows.
    Between,
    End,
}

/// The head of a part: names in lower case.
pub type PartHead = Vec<(String, String)>;

/// The parts of a body.
pub struct Form {
    input: Input,
    buffer: BytesMut,
    ended: bool,
    /// What ends a part's body: a line break, two dashes, the boundary.
    delimiter: Vec<u8>,
    state: State,
}

impl Form {
    /// The parts of `body`, whose `Content-Type` is given.
    ///
    /// # Errors
    /// [`FormError::Start`] if that names no boundary.
    pub fn new(body: RequestBody, content_type: &str) -> Result<Self, FormError> {
        let (_, attributes) = header_attributes(content_type);
        let boundary = attributes.into_iter().find(|(name, _)| name == "boundary");
        Self::with_boundary(body, &boundary.ok_or(FormError::Start)?.1)
    }

    /// The parts of `body`, whose boundary is known.
    ///
    /// # Errors
    /// [`FormError::Start`] if that cannot be one.
    pub fn with_boundary(body: RequestBody, boundary: &str) -> Result<Self, FormError> {
        Self::over(Box::pin(BodyDataStream::new(body)), boundary)
    }

    fn over(input: Input, boundary: &str) -> Result<Self, FormError> {
        if !(1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) {
            return Err(FormError::Start);
        }
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        Ok(Self { input, buffer: BytesMut::new(), ended: false, delimiter, state: State::Start })
    }

    /// Reads more; `false` at the end of the body.
    async fn fill(&mut self) -> Result<bool, FormError> {
        if self.ended {
            return Ok(false);
        }
        match self.input.next().await {
            Some(piece) => {
                self.buffer.extend_from_slice(&piece.map_err(FormError::Body)?);
                Ok(true)
            }
            None => {
                self.ended = true;
                Ok(false)
            }
        }
    }

    async fn need(&mut self, len: usize) -> Result<bool, FormError> {
        while self.buffer.len() < len {
            if !self.fill().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The head of the next part; what is left of the one before is passed over.
    ///
    /// # Errors
    /// Where the form is ill-formed or cannot be read on.
    pub async fn next_part(&mut self) -> Result<Option<PartHead>, FormError> {
        while self.state == State::Body {
            self.piece().await?;
        }
        if self.state == State::Start {
            // The first boundary has no line break before it, or an empty line.
            let opening = self.delimiter.len() - 2;
            while self.need(2).await? && self.buffer.starts_with(b"\r\n") {
                let _ = self.buffer.split_to(2);
            }
            if !self.need(opening).await? || self.buffer[..opening] != self.delimiter[2..] {
                return Err(FormError::Start);
            }
            let _ = self.buffer.split_to(opening);
            self.state = State::Between;
        }
        if self.state == State::End {
            return Ok(None);
        }
        if !self.need(2).await? || &self.buffer[..2] == b"--" {
            self.state = State::End;
            return Ok(None);
        }
        if &self.buffer[..2] != b"\r\n" {
            return Err(FormError::Broken);
        }
        let _ = self.buffer.split_to(2);
        let head = self.head().await?;
        self.state = State::Body;
        Ok(Some(head))
    }

    async fn head(&mut self) -> Result<PartHead, FormError> {
        let mut head = PartHead::new();
        let mut bytes = 0;
        loop {
            let end = loop {
                if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                    break end;
                }
                if self.buffer.len() > HEAD_BYTES_MAX || !self.fill().await? {
                    return Err(FormError::Broken);
                }
            };
            let line = self.buffer.split_to(end + 2);
            bytes += line.len();
            if bytes > HEAD_BYTES_MAX {
                return Err(FormError::Broken);
            }
            let line = &line[..end];
            if line.is_empty() {
                return Ok(head);
            }
            let line = String::from_utf8_lossy(line);
            if let Some((name, value)) = line.split_once(':') {
                head.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }

    /// The next bytes of the part's body; `None` at its end.
    ///
    /// # Errors
    /// Where the form is cut short or cannot be read on.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, FormError> {
        if self.state != State::Body {
            return Ok(None);
        }
        loop {
            let len = self.delimiter.len();
            if let Some(at) = self.buffer.windows(len).position(|window| window == self.delimiter) {
                let piece = self.buffer.split_to(at).freeze();
                if piece.is_empty() {
                    let _ = self.buffer.split_to(len);
                    self.state = State::Between;
                    return Ok(None);
                }
                return Ok(Some(piece));
            }
            // The end of what is here may be the beginning of a boundary.
            let sure = self.buffer.len().saturating_sub(len - 1);
            if sure > 0 {
                return Ok(Some(self.buffer.split_to(sure).freeze()));
            }
            if !self.fill().await? {
                return Err(FormError::Broken);
            }
        }
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").field("state", &self.state).finish_non_exhaustive()
    }
}

/// A header such as `form-data; name="file"; filename="a.txt"`: what precedes the first semicolon, and the attributes.
#[must_use]
pub fn header_attributes(header: &str) -> (String, Vec<(String, String)>) {
    let (kind, mut rest) = header.split_once(';').unwrap_or((header, ""));
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim().trim_start_matches(';').trim().to_ascii_lowercase();
        let after = after.trim_start();
        let (value, remainder) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (value, remainder) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), remainder)
            }
        };
        found.push((name, value));
        rest = remainder.trim_start().trim_start_matches(';');
    }
    (kind.trim().to_ascii_lowercase(), found)
}

/// A quoted text up to its closing quote, and what follows.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => match letters.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                Some((_, other)) => {
                    value.push('\\');
                    value.push(other);
                }
                None => {}
            },
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, stream};

    const FORM: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"redirect\"\r\n\r\nhttp://x\r\n\
        --b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n\
        one\r\n--c\r\ntwo\r\n--b\r\n\r\n\r\n--b--\r\n";

    /// Parses a form that arrives in pieces of `step` bytes.
    fn parse(form: &[u8], step: usize) -> Result<Vec<(PartHead, Vec<u8>)>, FormError> {
        let pieces: Vec<_> = form.chunks(step).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut parts = Form::over(Box::pin(stream::iter(pieces)), "b")?;
        let all = async move {
            let mut found = Vec::new();
            while let Some(head) = parts.next_part().await? {
                let mut body = Vec::new();
                while let Some(piece) = parts.piece().await? {
                    body.extend_from_slice(&piece);
                }
                found.push((head, body));
            }
            Ok(found)
        };
        all.now_or_never().expect("at hand")
    }

    #[test]
    fn parts_are_found_however_they_arrive() {
        for step in [1, 2, 3, 7, 50, 1000] {
            let parts = parse(FORM, step).expect("a form");
            let bodies: Vec<&[u8]> = parts.iter().map(|(_, body)| &body[..]).collect();
            assert_eq!(bodies, [&b"http://x"[..], b"one\r\n--c\r\ntwo", b""], "in steps of {step}");
            assert_eq!(parts[1].0[1], ("content-type".to_owned(), "text/plain".to_owned()));
        }
        for bad in [&b""[..], b"x", b"--b\r\na: b\r\n\r\ncut", b"--c\r\n", b"--b\r\na: b"] {
            assert!(parse(bad, 10).is_err(), "{bad:?}");
        }
        let long = [b"--b\r\n".to_vec(), vec![b'x'; 20_000]].concat();
        assert!(parse(&long, 1000).is_err(), "a head without an end");
    }

    #[test]
    fn attributes_of_headers() {
        let (kind, found) = header_attributes("Form-Data; name=\"a b\"; filename=\"c\\\"d;e.txt\"; x=y");
        assert_eq!(kind, "form-data");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(found, [pair("name", "a b"), pair("filename", "c\"d;e.txt"), pair("x", "y")]);
        assert_eq!(header_attributes("multipart/form-data; boundary=--x").1, [pair("boundary", "--x")]);
    }
}
