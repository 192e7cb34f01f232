//! What the headers of a request say about an object, and back.

use crate::error::{ErrorCode, S3Error};
use crate::target::Query;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES, HeaderName,
};
use http::{HeaderMap, HeaderValue};
use ringfort_object::{Attributes, ETag, ETagMatch, RangeSpec, ReadConditions, WriteConditions};

const META: &str = "x-amz-meta-";
/// Most bytes of user metadata: names without their prefix, and values.
const META_BYTES_MAX: usize = 2048;
/// System headers that are kept and given back as they are.
const SYSTEM: [HeaderName; 5] =
    [CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, EXPIRES];

/// Headers that ask for something that is not there. A client that asked for encryption or a lock and was
/// told "done" would be deceived.
const NOT_THERE: &[&str] = &[
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
    "x-amz-mfa",
];

/// Refuses headers whose meaning is not there.
pub(crate) fn refuse_unsupported(headers: &HeaderMap) -> Result<(), S3Error> {
    for name in headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with("x-amz-")) {
        if NOT_THERE.contains(&name) {
            return Err(S3Error::not_implemented(name));
        }
    }
    match text(headers, "x-amz-storage-class")? {
        None | Some("STANDARD") => Ok(()),
        Some(_) => Err(ErrorCode::InvalidStorageClass.into()),
    }
}

/// Parameters of a presigned request that are no headers, and the checksums: SDKs that sign a URL before there is a body
/// put the checksum of an empty one there, which AWS ignores.
fn stays_in_query(name: &str) -> bool {
    const SIGNATURE: [&str; 9] = [
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-sdk-checksum-algorithm",
        "x-amz-signature",
        "x-amz-signedheaders",
    ];
    SIGNATURE.contains(&name) || (name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-mode")
}

/// Turns the `x-amz-*` parameters of a presigned request into the headers that they stand for: SDKs sign such headers
/// there, so that whoever uses the URL need not send them.
pub(crate) fn take_from_query(headers: &mut HeaderMap, query: &Query) -> Result<(), S3Error> {
    for (name, value) in query.pairs() {
        if !name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-")) {
            continue;
        }
        let name = name.to_ascii_lowercase();
        if stays_in_query(&name) {
            continue;
        }
        let refused = || S3Error::argument("query", &name, "The parameter is no header.");
        let value = HeaderValue::from_str(value).map_err(|_| refused())?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        headers.entry(name).or_insert(value);
    }
    Ok(())
}

/// Refuses a head that is larger than allowed.
pub(crate) fn check_size(headers: &HeaderMap, bytes_max: usize) -> Result<(), S3Error> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes <= bytes_max { Ok(()) } else { Err(ErrorCode::RequestHeaderSectionTooLarge.into()) }
}

/// A header's text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, S3Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    std::str::from_utf8(value.as_bytes())
        .map(Some)
        .map_err(|_| S3Error::argument(name, "", "Header values must be UTF-8."))
}

/// The attributes that a PutObject, CopyObject or CreateMultipartUpload gives its object.
pub(crate) fn attributes(headers: &HeaderMap) -> Result<Attributes, S3Error> {
    let mut attributes = Attributes {
        content_type: text(headers, "content-type")?.map(str::to_owned),
        ..Attributes::default()
    };
    for name in &SYSTEM {
        let Some(value) = headers.get(name) else { continue };
        let value = std::str::from_utf8(value.as_bytes()).map_err(|_| ErrorCode::InvalidArgument)?;
        let value = if *name == CONTENT_ENCODING { without_aws_chunked(value) } else { value.to_owned() };
        if !value.is_empty() {
            attributes.headers.push((name.as_str().to_owned(), value));
        }
    }
    attributes.metadata = metadata(headers)?;
    Ok(attributes)
}

fn metadata(headers: &HeaderMap) -> Result<Vec<(String, String)>, S3Error> {
    let mut metadata: Vec<(String, String)> = Vec::new();
    let mut bytes = 0;
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(META) else { continue };
        let value = std::str::from_utf8(value.as_bytes())
            .map_err(|_| S3Error::argument("x-amz-meta", name, "Metadata values must be UTF-8."))?;
        bytes += name.len() + value.len();
        match metadata.iter_mut().find(|(known, _)| known == name) {
            // Sent twice is a list.
            Some((_, known)) => {
                known.push(',');
                known.push_str(value);
            }
            None => metadata.push((name.to_owned(), value.to_owned())),
        }
    }
    if bytes > META_BYTES_MAX {
        return Err(S3Error::from(ErrorCode::MetadataTooLarge)
            .detail("Size", bytes.to_string())
            .detail("MaxSizeAllowed", META_BYTES_MAX.to_string()));
    }
    Ok(metadata)
}

fn without_aws_chunked(value: &str) -> String {
    if !value.contains("aws-chunked") {
        return value.to_owned();
    }
    let kept: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && *coding != "aws-chunked")
        .collect();
    kept.join(", ")
}

/// Puts an object's attributes into a reply.
pub(crate) fn push_attributes(out: &mut HeaderMap, attributes: &Attributes) {
    let content_type = attributes.content_type.as_deref().and_then(|value| value.parse().ok());
    out.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("binary/octet-stream")));
    for (name, value) in &attributes.headers {
        // Tags and lists are kept here, too, under names that are none of a header.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            out.insert(name, value);
        }
    }
    for (name, value) in &attributes.metadata {
        let name = format!("{META}{name}").parse::<HeaderName>();
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            out.insert(name, value);
        }
    }
}

/// Whether the value of an `If-Range` header names an object with this tag or time of its last change.
pub(crate) fn is_of(validator: &HeaderValue, etag: ETag, modified_s: u64) -> bool {
    let Ok(text) = validator.to_str() else { return false };
    match httpdate::parse_http_date(text) {
        Ok(date) => date.duration_since(std::time::UNIX_EPOCH).is_ok_and(|date| date.as_secs() == modified_s),
        // A weak tag never vouches for single bytes.
        Err(_) => !text.starts_with("W/") && parse_etag(text.trim()) == Some(etag),
    }
}

/// Reads `If-Match` and the like: `*`, or tags with or without quotes. A tag that is none of ours matches nothing.
fn etags(value: &str) -> ETagMatch {
    let value = value.trim();
    if value == "*" {
        return ETagMatch::Any;
    }
    ETagMatch::OneOf(value.split(',').filter_map(|tag| parse_etag(tag.trim())).collect())
}

/// Reads an entity tag, quoted or not.
pub(crate) fn parse_etag(tag: &str) -> Option<ETag> {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag).parse().ok()
}

/// The conditions of a read.
pub(crate) fn read_conditions(headers: &HeaderMap) -> ReadConditions {
    conditions_named(headers, ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"])
}

/// The conditions on the source of a copy.
pub(crate) fn source_conditions(headers: &HeaderMap) -> ReadConditions {
    let names = [
        "x-amz-copy-source-if-match",
        "x-amz-copy-source-if-none-match",
        "x-amz-copy-source-if-modified-since",
        "x-amz-copy-source-if-unmodified-since",
    ];
    conditions_named(headers, names)
}

fn conditions_named(headers: &HeaderMap, names: [&'static str; 4]) -> ReadConditions {
    let get = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    // A date that is none is ignored, as HTTP demands.
    let date = |name| {
        let date = httpdate::parse_http_date(get(name)?).ok()?;
        Some(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
    };
    ReadConditions {
        if_match: get(names[0]).map(etags),
        if_none_match: get(names[1]).map(etags),
        if_modified_since: date(names[2]),
        if_unmodified_since: date(names[3]),
    }
}

/// The conditions of a write.
pub(crate) fn write_conditions(headers: &HeaderMap) -> Result<WriteConditions, S3Error> {
    let if_match = text(headers, "if-match")?.map(etags);
    let if_none_match = text(headers, "if-none-match")?.map(etags);
    Ok(WriteConditions { if_match, if_none_match })
}

/// Reads a `Range` header. What is no single byte range is ignored, as S3 does: the reply is the whole.
pub(crate) fn range(headers: &HeaderMap) -> Option<RangeSpec> {
    let value = headers.get(http::header::RANGE)?.to_str().ok()?;
    parse_range(value)
}

/// Reads `bytes=1-2`, `bytes=1-`, `bytes=-2`.
pub(crate) fn parse_range(value: &str) -> Option<RangeSpec> {
    RangeSpec::parse(value.trim().strip_prefix("bytes=")?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges() {
        let check = |text, expected| assert_eq!(parse_range(text), expected, "{text}");
        check("bytes=0-9", Some(RangeSpec::FromTo(0, 9)));
        check("bytes=5-", Some(RangeSpec::From(5)));
        check("bytes=-5", Some(RangeSpec::Suffix(5)));
        check("bytes=0-99999999999999999999999", Some(RangeSpec::FromTo(0, u64::MAX)));
        for ignored in
            ["bytes=9-0", "bytes=0-1,3-4", "bytes=-", "bytes=a-b", "items=0-1", "bytes", "bytes=+1-2"]
        {
            check(ignored, None);
        }
    }

    #[test]
    fn entity_tags() {
        let tag = "0123456789abcdef0123456789abcdef".parse().expect("a tag");
        assert_eq!(etags("*"), ETagMatch::Any);
        for form in [
            "0123456789abcdef0123456789abcdef",
            "\"0123456789abcdef0123456789abcdef\"",
            "W/\"0123456789abcdef0123456789abcdef\", \"x\"",
        ] {
            assert_eq!(etags(form), ETagMatch::OneOf(vec![tag]), "{form}");
        }
        assert_eq!(etags("nonsense"), ETagMatch::OneOf(vec![]));
    }

    #[test]
    fn attributes_of_headers_and_back() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-encoding", "deflate, gzip, aws-chunked"),
            ("cache-control", "no-store"),
            ("x-amz-meta-colour", "blue"),
            ("x-amz-meta-colour", "green"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let attributes = attributes(&headers).expect("attributes");
        assert_eq!(attributes.metadata, [("colour".to_owned(), "blue,green".to_owned())]);
        let mut out = HeaderMap::new();
        push_attributes(&mut out, &attributes);
        assert_eq!(out["content-encoding"], "deflate, gzip");
        assert_eq!(without_aws_chunked("br,gzip"), "br,gzip");
        assert_eq!(without_aws_chunked("aws-chunked"), "");
        assert_eq!(out["x-amz-meta-colour"], "blue,green");

        headers.insert("x-amz-meta-long", HeaderValue::from_str(&"x".repeat(2048)).expect("value"));
        assert_eq!(super::attributes(&headers).expect_err("large").code(), ErrorCode::MetadataTooLarge);
    }

    #[test]
    fn a_range_counts_for_the_object_it_was_begun_with() {
        let etag: ETag = "0123456789abcdef0123456789abcdef".parse().expect("a tag");
        let check = |text, expected| {
            assert_eq!(is_of(&HeaderValue::from_static(text), etag, 1_369_353_600), expected, "{text}");
        };
        check("\"0123456789abcdef0123456789abcdef\"", true);
        check("\"0123456789abcdef0123456789abcdee\"", false);
        check("W/\"0123456789abcdef0123456789abcdef\"", false);
        check("Fri, 24 May 2013 00:00:00 GMT", true);
        check("Fri, 24 May 2013 00:00:01 GMT", false);
        check("", false);
    }

    #[test]
    fn presigned_parameters_stand_for_headers() {
        let query = "X-Amz-Meta-Colour=blue&x-amz-acl=private&X-Amz-Signature=s&x-amz-checksum-crc32=AAAAAA%3D%3D\
            &x-amz-checksum-mode=ENABLED&prefix=x&x-amz-meta-sent=no&\u{e4}x-amz=1";
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-meta-sent", HeaderValue::from_static("yes"));
        take_from_query(&mut headers, &Query::parse(query, false).expect("a query")).expect("headers");
        let mut names: Vec<_> =
            headers.iter().map(|(n, v)| format!("{n}={}", v.to_str().expect("text"))).collect();
        names.sort();
        assert_eq!(
            names,
            [
                "x-amz-acl=private",
                "x-amz-checksum-mode=ENABLED",
                "x-amz-meta-colour=blue",
                "x-amz-meta-sent=yes"
            ]
        );
        let bad = Query::parse("x-amz-meta-a=b%0Ac", false).expect("a query");
        assert!(take_from_query(&mut headers, &bad).is_err());
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let check = |name: &'static str, value: &'static str, expected: Option<ErrorCode>| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(refuse_unsupported(&headers).err().map(|e| e.code()), expected, "{name}");
        };
        check("x-amz-acl", "private", None);
        check("x-amz-acl", "public-read", None);
        check("x-amz-server-side-encryption", "AES256", Some(ErrorCode::NotImplemented));
        check("x-amz-storage-class", "STANDARD", None);
        check("x-amz-storage-class", "GLACIER", Some(ErrorCode::InvalidStorageClass));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(text in ".{0,40}") {
            let _ = (parse_range(&text), etags(&text));
        }
    }
}
