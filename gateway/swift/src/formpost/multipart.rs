//! The parts of a form, with errors in this dialect's words.

use crate::body::Source;
use crate::error::{Result, SwiftError};
use bytes::Bytes;
use ringfort_http::{Form, FormError, PartHead, RequestBody};

/// The parts of a body.
pub(crate) struct Multipart(Form);

impl Multipart {
    /// The parts of `body`.
    pub(crate) fn new(body: RequestBody, boundary: &str) -> Result<Self> {
        Form::with_boundary(body, boundary).map(Self).map_err(refusal)
    }

    /// The head of the next part; what is left of the one before is passed over.
    pub(crate) async fn next_part(&mut self) -> Result<Option<PartHead>> {
        self.0.next_part().await.map_err(refusal)
    }

    /// The part's body as text, of which at most `most` bytes count.
    pub(crate) async fn text(&mut self, most: usize) -> Result<String> {
        let mut text = Vec::new();
        while let Some(piece) = self.piece().await? {
            let room = most.saturating_sub(text.len()).min(piece.len());
            text.extend_from_slice(&piece[..room]);
        }
        String::from_utf8(text).map_err(|_| SwiftError::bad_request("FormPost: a field is no UTF-8"))
    }
}

impl Source for Multipart {
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        self.0.piece().await.map_err(refusal)
    }
}

fn refusal(error: FormError) -> SwiftError {
    match error {
        FormError::Start => SwiftError::bad_request("FormPost: invalid starting boundary"),
        FormError::Broken => SwiftError::bad_request("FormPost: the form is cut short or broken"),
        FormError::Body(error) => SwiftError::disconnected(error),
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod whole {
    //! Forms that are at hand, for tests and fuzzers.

    use super::Multipart;
    use crate::body::Source;
    use crate::error::Result;
    use bytes::Bytes;
    use futures_util::{FutureExt, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use ringfort_http::{BoxError, PartHead, boxed};

    /// Parses a form that arrives in pieces of `step` bytes.
    pub(crate) fn parse(form: &[u8], boundary: &str, step: usize) -> Result<Vec<(PartHead, Vec<u8>)>> {
        let frame = |piece: &[u8]| Ok::<_, BoxError>(Frame::data(Bytes::copy_from_slice(piece)));
        let pieces: Vec<_> = form.chunks(step.max(1)).map(frame).collect();
        let mut parts = Multipart::new(boxed(StreamBody::new(stream::iter(pieces))), boundary)?;
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
        all.now_or_never().unwrap_or(Ok(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ringfort_http::header_attributes;

    const FORM: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"redirect\"\r\n\r\nhttp://x\r\n\
        --b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n\
        one\r\n--c\r\ntwo\r\n--b\r\n\r\n\r\n--b--\r\n";

    #[test]
    fn parts_are_found_however_they_arrive() {
        for step in [1, 2, 3, 7, 50, 1000] {
            let parts = whole::parse(FORM, "b", step).expect("a form");
            let bodies: Vec<&[u8]> = parts.iter().map(|(_, body)| &body[..]).collect();
            assert_eq!(bodies, [&b"http://x"[..], b"one\r\n--c\r\ntwo", b""], "in steps of {step}");
            assert_eq!(parts[1].0[1], ("content-type".to_owned(), "text/plain".to_owned()));
        }
        for bad in [&b""[..], b"x", b"--b\r\na: b\r\n\r\ncut", b"--c\r\n", b"--b\r\na: b"] {
            assert!(whole::parse(bad, "b", 10).is_err(), "{bad:?}");
        }
        let long = [b"--b\r\n".to_vec(), vec![b'x'; 20_000]].concat();
        assert!(whole::parse(&long, "b", 1000).is_err(), "a head without an end");
    }

    #[test]
    fn attributes_of_headers() {
        let (kind, found) = header_attributes("Form-Data; name=\"a b\"; filename=\"c\\\"d;e.txt\"; x=y");
        assert_eq!(kind, "form-data");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(found, [pair("name", "a b"), pair("filename", "c\"d;e.txt"), pair("x", "y")]);
        assert_eq!(header_attributes("multipart/form-data; boundary=--x").1, [pair("boundary", "--x")]);
    }

    proptest! {
        #[test]
        fn any_form_is_read_alike_in_pieces(form in proptest::collection::vec(any::<u8>(), 0..120), step in 1_usize..20) {
            let form = [b"--b\r\n".to_vec(), form].concat();
            prop_assert_eq!(whole::parse(&form, "b", step).ok(), whole::parse(&form, "b", 1000).ok());
        }

        #[test]
        fn any_header_is_read_without_panic(header in ".{0,60}") {
            let _ = header_attributes(&header);
        }
    }
}
