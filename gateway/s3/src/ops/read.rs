//! GetObject, HeadObject, GetObjectAttributes.

use super::{
    PAGE_MAX, checksum_type, date_value, etag_value, header_value, part_number, push_checksums,
    push_checksums_of, push_version, refusal, version_of, xml_reply,
};
use crate::body::checksum::Algorithm;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, Reply, S3Gateway};
use crate::headers;
use crate::xml::XmlWriter;
use futures_util::TryStreamExt;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, HeaderName, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, Response, StatusCode};
use ringfort_http::ReplyBody;
use ringfort_object::{GetOptions, ObjectBody, ObjectError, ObjectInfo, ObjectPart};

/// Query parameters that replace a header of the reply.
const OVERRIDES: [(&str, HeaderName); 6] = [
    ("response-content-type", CONTENT_TYPE),
    ("response-content-language", CONTENT_LANGUAGE),
    ("response-expires", EXPIRES),
    ("response-cache-control", CACHE_CONTROL),
    ("response-content-disposition", CONTENT_DISPOSITION),
    ("response-content-encoding", CONTENT_ENCODING),
];

impl S3Gateway {
    pub(crate) async fn get_object(&self, call: &Call) -> Reply {
        let mut options = read_options(call)?;
        let mut got = self.inner.objects.get(&call.path(), options.clone()).await;
        if !range_counts(call, &options, got.as_ref().map(|reader| &reader.info)) {
            options.range = None;
            got = self.inner.objects.get(&call.path(), options.clone()).await;
        }
        let reader = got.map_err(|e| read_refusal(e, call))?;
        let len = reader.info.range.end - reader.info.range.start;
        let mut response = Response::new(object_body(reader.body, len));
        push_head(call, &options, &reader.info, &mut response)?;
        Ok(response)
    }

    pub(crate) async fn head_object(&self, call: &Call) -> Reply {
        let mut options = read_options(call)?;
        let mut found = self.inner.objects.head(&call.path(), options.clone()).await;
        if !range_counts(call, &options, found.as_ref()) {
            options.range = None;
            found = self.inner.objects.head(&call.path(), options.clone()).await;
        }
        let info = found.map_err(|e| read_refusal(e, call))?;
        let mut response = Response::new(ReplyBody::empty());
        push_head(call, &options, &info, &mut response)?;
        Ok(response)
    }

    pub(crate) async fn get_object_attributes(&self, call: &Call) -> Reply {
        let wanted = headers::text(&call.parts.headers, "x-amz-object-attributes")?.unwrap_or_default();
        let wanted: Vec<&str> = wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let known = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];
        if wanted.is_empty() || wanted.iter().any(|name| !known.contains(name)) {
            return Err(S3Error::argument(
                "x-amz-object-attributes",
                "",
                "Invalid attribute name specified.",
            ));
        }
        let options = GetOptions { version: version_of(&call.query)?, ..GetOptions::default() };
        let info = self.inner.objects.head(&call.path(), options).await.map_err(|e| read_refusal(e, call))?;
        let parts = match wanted.contains(&"ObjectParts") && info.parts > 0 {
            true => Some(self.part_page(call, &info).await?),
            false => None,
        };
        let mut response = xml_reply(attributes_xml(&wanted, &info, parts.as_ref()));
        response.headers_mut().insert(LAST_MODIFIED, date_value(info.modified));
        push_version(response.headers_mut(), info.version, info.versioning);
        Ok(response)
    }
}

/// Some parts of an object.
struct ObjectParts {
    after: u32,
    limit: u32,
    /// Those after `after`.
    parts: Vec<ObjectPart>,
    truncated: bool,
    count: u32,
}

impl ObjectParts {
    fn push(&self, xml: &mut XmlWriter) {
        let last = self.parts.last().map_or(self.after, |part| part.number);
        xml.open("ObjectParts");
        // `TotalPartsCount` in the documentation, but not on the wire.
        xml.plain("PartsCount", self.count);
        xml.plain("PartNumberMarker", self.after);
        xml.plain("NextPartNumberMarker", last);
        xml.plain("MaxParts", self.limit);
        xml.plain("IsTruncated", self.truncated);
        for part in &self.parts {
            xml.open("Part");
            for (name, value) in &part.checksums {
                if let Some(algorithm) = Algorithm::from_stored(name) {
                    xml.text(algorithm.element(), value);
                }
            }
            xml.plain("PartNumber", part.number);
            xml.plain("Size", part.size);
            xml.close("Part");
        }
        xml.close("ObjectParts");
    }
}

impl S3Gateway {
    async fn part_page(&self, call: &Call, info: &ObjectInfo) -> Result<ObjectParts, S3Error> {
        let number = |name: &'static str| -> Result<Option<u32>, S3Error> {
            let text = headers::text(&call.parts.headers, name)?;
            let refused = |text: &str| S3Error::argument(name, text, "Provided value is no number");
            text.map(|text| text.parse().map_err(|_| refused(text))).transpose()
        };
        let limit = number("x-amz-max-parts")?.unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let after = number("x-amz-part-number-marker")?.unwrap_or(0);
        let take = usize::try_from(limit).unwrap_or(usize::MAX);
        let found = self.inner.objects.object_parts(&call.path(), Some(info.version), after, take).await;
        let (parts, truncated) = found.map_err(|e| read_refusal(e, call))?;
        Ok(ObjectParts { after, limit, parts, truncated, count: info.parts })
    }
}

fn attributes_xml(wanted: &[&str], info: &ObjectInfo, parts: Option<&ObjectParts>) -> String {
    const ROOT: &str = "GetObjectAttributesResponse";
    let mut xml = XmlWriter::root(ROOT, 512);
    if wanted.contains(&"ETag") {
        xml.plain("ETag", info.etag);
    }
    let checksums = &info.attributes.checksums;
    if wanted.contains(&"Checksum")
        && checksums.iter().any(|(name, _)| Algorithm::from_stored(name).is_some())
    {
        xml.open("Checksum");
        for (name, value) in checksums {
            if let Some(algorithm) = Algorithm::from_stored(name) {
                xml.text(algorithm.element(), value);
            }
        }
        xml.text("ChecksumType", checksum_type(checksums));
        xml.close("Checksum");
    }
    if let Some(parts) = parts {
        parts.push(&mut xml);
    }
    if wanted.contains(&"StorageClass") {
        xml.text("StorageClass", "STANDARD");
    }
    if wanted.contains(&"ObjectSize") {
        xml.plain("ObjectSize", info.size);
    }
    xml.finish(ROOT)
}

fn read_options(call: &Call) -> Result<GetOptions, S3Error> {
    let headers = &call.parts.headers;
    let part_number = part_number(&call.query)?;
    if part_number.is_some() && headers.contains_key(RANGE) {
        return Err(S3Error::with(
            ErrorCode::InvalidRequest,
            "Cannot specify both Range header and partNumber query parameter",
        ));
    }
    Ok(GetOptions {
        version: version_of(&call.query)?,
        conditions: headers::read_conditions(headers),
        range: headers::range(headers),
        part_number,
    })
}

/// Whether the range asked for counts: under `If-Range`, only if the object still is the one of which the client has a
/// part. Otherwise it would put pieces of two objects together.
fn range_counts(call: &Call, options: &GetOptions, found: Result<&ObjectInfo, &ObjectError>) -> bool {
    let Some(validator) = call.parts.headers.get(IF_RANGE).filter(|_| options.range.is_some()) else {
        return true;
    };
    match found {
        Ok(info) => headers::is_of(validator, info.etag, info.modified.secs()),
        Err(ObjectError::RangeNotSatisfiable { .. }) => false,
        Err(_) => true,
    }
}

fn read_refusal(error: ObjectError, call: &Call) -> S3Error {
    let refused = refusal(error, call);
    match (refused.code(), call.query.get("partNumber"), call.parts.headers.get(RANGE)) {
        (ErrorCode::InvalidRange | ErrorCode::InvalidPart, Some(part), _) => {
            S3Error::from(ErrorCode::InvalidPartNumber).detail("PartNumberRequested", part)
        }
        (ErrorCode::InvalidRange, None, Some(range)) => {
            refused.detail("RangeRequested", String::from_utf8_lossy(range.as_bytes()))
        }
        _ => refused,
    }
}

/// Status and headers of a read.
fn push_head(
    call: &Call,
    options: &GetOptions,
    info: &ObjectInfo,
    response: &mut Response<ReplyBody>,
) -> Result<(), S3Error> {
    let len = info.range.end - info.range.start;
    let in_part = call.query.has("partNumber");
    let partial = len > 0 && (in_part || options.range.is_some());
    if partial {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let out = response.headers_mut();
    out.reserve(16);
    headers::push_attributes(out, &info.attributes);
    if partial {
        let (first, last) = (info.range.start, info.range.end - 1);
        out.insert(CONTENT_RANGE, header_value(format_args!("bytes {first}-{last}/{}", info.size)));
    }
    out.insert(CONTENT_LENGTH, HeaderValue::from(len));
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(ETAG, etag_value(info.etag));
    out.insert(LAST_MODIFIED, date_value(info.modified));
    push_version(out, info.version, info.versioning);
    let tags = super::tags_of(&info.attributes).len();
    if tags > 0 {
        out.insert("x-amz-tagging-count", HeaderValue::from(tags));
    }
    if in_part && info.parts > 0 {
        out.insert("x-amz-mp-parts-count", HeaderValue::from(info.parts));
    }
    let checksum_mode = call.parts.headers.get("x-amz-checksum-mode").map(HeaderValue::as_bytes);
    if checksum_mode.is_some_and(|mode| mode.eq_ignore_ascii_case(b"ENABLED")) {
        let of_whole = &info.attributes.checksums;
        if in_part {
            push_checksums_of(out, &info.part_checksums, checksum_type(of_whole));
        } else if !partial {
            push_checksums(out, of_whole);
        }
    }
    push_overrides(call, out)
}

fn push_overrides(call: &Call, out: &mut HeaderMap) -> Result<(), S3Error> {
    for (parameter, name) in OVERRIDES {
        if let Some(value) = call.query.get(parameter) {
            let value = HeaderValue::from_str(value)
                .map_err(|_| S3Error::argument("response-*", value, "The value of a header is not valid."))?;
            out.insert(name, value);
        }
    }
    Ok(())
}

/// An object's bytes, `len` of them.
fn object_body(body: ObjectBody, len: u64) -> ReplyBody {
    match body.try_whole() {
        Ok(bytes) => ReplyBody::whole(bytes),
        Err(body) => ReplyBody::stream(Box::pin(body.map_err(Into::into)), Some(len)),
    }
}
