//! Every parser that meets bytes of a client, callable with any bytes at all.
//!
//! A fuzzer outside this crate calls these under the feature `fuzzing`; the property test below calls the same functions
//! with a few hundred random inputs in every test run. A function returns nothing: it panics, or the parser holds.

use crate::access::{Acl, Context, Policy, Requester};
use crate::auth::{Payload, examples};
use crate::body::checksum::Declared;
use crate::body::chunked::ChunkedDecoder;
use crate::credentials::FixedCredentials;
use crate::form::{Fields, PostPolicy, signer_of};
use crate::target::{Query, Target};
use crate::{clock, headers, names, ops, xml};
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use http_body_util::Full;
use ringfort_http::{Form, boxed};

/// A parser under any bytes.
pub type Parser = fn(&[u8]);

/// All of them by name, as corpora are named.
pub const PARSERS: &[(&str, Parser)] = &[
    ("authorization_header", authorization_header),
    ("presigned_query", presigned_query),
    ("request_head", request_head),
    ("aws_chunked", aws_chunked),
    ("xml_documents", xml_documents),
    ("bucket_policy", bucket_policy),
    ("forms", forms),
    ("ranges_and_conditions", ranges_and_conditions),
    ("object_headers", object_headers),
    ("request_target", request_target),
    ("dates", dates),
];

/// The `Authorization` header of a published request.
pub fn authorization_header(bytes: &[u8]) {
    let mut parts = examples::get_example();
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    parts.headers.insert(AUTHORIZATION, value);
    if examples::at(&parts, examples::NOW).is_ok_and(|known| known.credential.is_some()) {
        assert!(contains(bytes, examples::GET_SIGNATURE), "accepted under another signature");
    }
}

/// The query of a published presigned request.
pub fn presigned_query(bytes: &[u8]) {
    let uri = [b"/test.txt?", bytes].concat();
    let Ok(uri) = Uri::from_maybe_shared(Bytes::from(uri)) else { return };
    let mut parts = examples::head("GET", "/", &[("host", "examplebucket.s3.amazonaws.com")]);
    parts.uri = uri;
    if examples::at(&parts, examples::NOW).is_ok_and(|known| known.credential.is_some()) {
        assert!(contains(bytes, examples::PRESIGNED_SIGNATURE), "accepted under another signature");
    }
}

/// A whole head: the target in the first line, a `name:value` in each further one; where these are not given, those of a
/// published request. So most of it gets as far as being signed again.
pub fn request_head(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut parts = examples::get_example();
    let uri = Bytes::copy_from_slice(lines.next().unwrap_or_default());
    let Ok(uri) = Uri::from_maybe_shared(uri) else { return };
    // Another writing of the same target has the same signature.
    let mut changed = Target::parse(&uri, 1 << 14).is_ok_and(|target| target.path != "/test.txt");
    parts.uri = uri;
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let Ok(name) = HeaderName::from_bytes(&line[..colon]) else { continue };
        let Ok(value) = HeaderValue::from_bytes(&line[colon + 1..]) else { continue };
        changed |= name == HOST || name == http::header::RANGE;
        parts.headers.append(name, value);
    }
    if changed {
        assert!(examples::at(&parts, examples::NOW).is_err(), "accepted a changed request");
    }
    let _ = headers::refuse_unsupported(&parts.headers);
}

/// An aws-chunked body after two bytes that choose its protection and the size of the pieces in which it arrives. It must
/// decode alike in one piece.
pub fn aws_chunked(bytes: &[u8]) {
    let [mode, piece, body @ ..] = bytes else { return };
    let decoder = || {
        let trailer = mode & 1 != 0;
        let signer =
            (mode & 2 != 0).then(|| match examples::at(&examples::chunked(trailer).0, examples::NOW) {
                Ok(known) => match known.payload {
                    Payload::Chunked { signer, .. } => signer,
                    _ => None,
                },
                Err(_) => None,
            });
        ChunkedDecoder::new(signer.flatten(), trailer)
    };
    let pieces = decode(decoder(), body, usize::from(*piece).max(1));
    assert_eq!(pieces, decode(decoder(), body, body.len().max(1)), "decoded by pieces");
    if let Some((data, _)) = pieces {
        assert!(data.len() <= body.len(), "more data than body");
    }
}

type Decoded = (Vec<u8>, Vec<(String, String)>);

fn decode(mut decoder: ChunkedDecoder, body: &[u8], piece: usize) -> Option<Decoded> {
    let mut data = Vec::new();
    for piece in body.chunks(piece) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(bytes) = decoder.next(&mut input).ok()? {
            data.extend_from_slice(&bytes);
        }
    }
    Some((data, decoder.finish().ok()?))
}

/// The XML documents of all operations.
pub fn xml_documents(bytes: &[u8]) {
    ops::read_any_document(bytes);
    let _ = xml::parse(bytes, "Delete");
}

/// A bucket policy, and an access control list in its kept form.
pub fn bucket_policy(bytes: &[u8]) {
    if let Ok(policy) = Policy::parse(bytes, "bucket") {
        let _ = (policy.is_public(), policy.asks_for_tags());
        let context = Context::default();
        let _ = policy.judge(&Requester::Anonymous, "s3:GetObject", "bucket/key", &context);
    }
    if let Some(acl) = std::str::from_utf8(bytes).ok().and_then(Acl::of_text) {
        assert_eq!(Acl::of_text(&acl.to_text()), Some(acl), "a list comes back");
    }
}

/// A POSTed form with the boundary `b`, and the policy of one.
pub fn forms(bytes: &[u8]) {
    if let Ok(policy) = PostPolicy::parse(bytes) {
        assert!(policy.check(&Fields::default(), "bucket", u64::MAX).is_err(), "an expired policy holds");
    }
    let body = boxed(Full::new(Bytes::copy_from_slice(bytes)));
    let Ok(mut form) = Form::new(body, "multipart/form-data; boundary=b") else { return };
    if let Some(Ok(fields)) = Fields::read(&mut form, 1 << 14).now_or_never() {
        let signer = examples::at_once(signer_of(&fields, &FixedCredentials::default(), "us-east-1"));
        assert!(!signer.is_ok_and(|signer| signer.is_some()), "signed by nobody");
    }
}

/// Ranges, entity tags, dates and sources: one text as the value of each such header.
pub fn ranges_and_conditions(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut map = HeaderMap::new();
    for name in [
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "x-amz-copy-source-if-match",
        "x-amz-copy-source-if-modified-since",
    ] {
        map.insert(name, value.clone());
    }
    let _ =
        (headers::read_conditions(&map), headers::source_conditions(&map), headers::write_conditions(&map));
    let _ = headers::range(&map);
    if let Ok(text) = std::str::from_utf8(bytes) {
        ops::read_copy_source(text);
    }
}

/// The headers that come with an object, a `name:value` in each line.
pub fn object_headers(bytes: &[u8]) {
    let mut map = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]))
        else {
            continue;
        };
        map.append(name, value);
    }
    let _ = (Declared::from_headers(&map), headers::refuse_unsupported(&map));
    if let Ok(attributes) = headers::attributes(&map) {
        let mut out = HeaderMap::new();
        headers::push_attributes(&mut out, &attributes);
        let again = headers::attributes(&out);
        assert_eq!(again.ok().map(|again| again.metadata), Some(attributes.metadata), "metadata comes back");
    }
}

/// A request target: bucket, key and query, and the operation that they ask for.
pub fn request_target(bytes: &[u8]) {
    let Ok(uri) = Uri::from_maybe_shared(Bytes::copy_from_slice(bytes)) else { return };
    let Ok(target) = Target::parse(&uri, 1 << 14) else { return };
    let again = Uri::try_from(&*target.strict_path()).map(|uri| Target::parse(&uri, 1 << 16).map(|t| t.path));
    assert_eq!(
        again.ok().and_then(Result::ok).as_ref(),
        Some(&target.path),
        "the strict path means the same"
    );
    let _ = (target.bucket().map(names::check_bucket), target.key().map(names::check_key));
    for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::HEAD] {
        let _ =
            crate::operation::route(&method, target.bucket(), target.key(), &target.query, &HeaderMap::new());
    }
    ops::read_any_query(&target.query);
    let _ = Query::parse(uri.query().unwrap_or_default(), true);
}

/// The dates of signatures.
pub fn dates(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(secs) = clock::parse_amz_date(text) {
        assert_eq!(clock::amz_date(secs), text, "a date has one text");
    }
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ringfort_test_support::damaged;

    /// Well-formed inputs, which random damage then makes ill-formed.
    const SEEDS: &[&[u8]] = &[
        b"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;\
            x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F\
            aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=\
            aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        b"/bucket/a%2Fb%20c//../d+e?list-type=2&prefix=a%2Bb+c&max-keys=7&versionId=null&acl\nhost:a\nx-amz-date:b",
        b"\x03\x055;chunk-signature=aa\r\nhello\r\n0;chunk-signature=bb\r\nx-amz-checksum-crc32:AAAAAA==\r\n\
            x-amz-trailer-signature:cc\r\n\r\n",
        b"\x01\x035\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        b"<Delete><Quiet>true</Quiet><Object><Key>a&amp;&#65;</Key><VersionId>null</VersionId></Object></Delete>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;0123456789abcdef0123456789abcdef&quot;\
            </ETag></Part></CompleteMultipartUpload>",
        br#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":"s3:Get*",
            "Resource":"arn:aws:s3:::bucket/*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}"#,
        br#"{"expiration":"2013-05-24T00:00:01.000Z","conditions":[{"bucket":"box"},["starts-with","$key","a"],
            ["content-length-range",1,10]]}"#,
        b"--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--b\r\ncontent-disposition: form-data; \
            name=\"policy\"\r\n\r\ne30=\r\n--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n",
        b"id\tname\nREAD\tgroup\tglobal/AllUsers",
        b"<LifecycleConfiguration><Rule><Prefix/><Status>Enabled</Status><Expiration><Date>2017-09-27</Date></Expiration>\
            </Rule></LifecycleConfiguration>",
        b"bytes=1-2",
        b"W/\"0123456789abcdef0123456789abcdef-3\", *",
        b"Fri, 24 May 2013 00:00:00 GMT",
        b"/bucket/key?versionId=0123456789abcdef",
        b"x-amz-meta-a:b\nx-amz-checksum-crc32:AAAAAA==\ncontent-encoding:aws-chunked,gzip\nx-amz-acl:private",
        b"20130524T000000Z",
    ];

    #[test]
    fn the_seeds_are_taken_by_every_parser() {
        for (_, parser) in PARSERS {
            SEEDS.iter().for_each(|seed| parser(seed));
        }
    }

    proptest! {
        #[test]
        fn no_parser_panics_on_any_bytes(bytes in damaged(SEEDS)) {
            for (_, parser) in PARSERS {
                parser(&bytes);
            }
        }
    }
}
