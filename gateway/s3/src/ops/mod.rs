//! The operations, one file per kind, and what they share.

mod acl;
mod announced;
mod buckets;
mod complete;
mod copy;
pub(crate) mod cors;
mod delete;
mod lifecycle;
mod list;
mod list_uploads;
mod list_versions;
mod multipart;
mod post;
mod put;
mod read;
mod settings;
mod tagging;
mod unset;

use crate::body::checksum::{Algorithm, TYPE};
use crate::error::{ErrorCode, S3Error};
use crate::gateway::Call;
use crate::headers;
use crate::target::Query;
pub(crate) use acl::object_acl;
use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED};
use http::{HeaderMap, Response, StatusCode};
use ringfort_core::HybridTime;
use ringfort_http::ReplyBody;
use ringfort_object::{Attributes, BodyError, DigestMismatch, ObjectError, VersionId, Versioning};
use std::time::{Duration, UNIX_EPOCH};
pub(crate) use tagging::{tags_of, tags_of_header};
pub(crate) use unset::unset;

pub(crate) const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");
pub(crate) const DELETE_MARKER: HeaderName = HeaderName::from_static("x-amz-delete-marker");
/// Most entries of a page.
pub(crate) const PAGE_MAX: u32 = 1000;

/// A reply with an XML document.
fn xml_reply(document: String) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(document));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// A reply without a body.
fn empty_reply(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = status;
    response
}

/// The text of something as a header's value; all such texts here are ASCII.
fn header_value(value: impl std::fmt::Display) -> HeaderValue {
    HeaderValue::from_str(&value.to_string()).unwrap_or(HeaderValue::from_static(""))
}

fn etag_value(etag: impl std::fmt::Display) -> HeaderValue {
    header_value(format_args!("\"{etag}\""))
}

fn date_value(time: HybridTime) -> HeaderValue {
    header_value(httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(time.secs())))
}

/// Names the version, where versions exist.
fn push_version(headers: &mut HeaderMap, version: VersionId, versioning: Versioning) {
    if versioning != Versioning::Off {
        headers.insert(VERSION_ID, header_value(version));
    }
}

/// Echoes checksums.
fn push_checksums(headers: &mut HeaderMap, checksums: &[(String, String)]) {
    push_checksums_of(headers, checksums, checksum_type(checksums));
}

/// The same of a part, whose object's checksum is of type `kind`.
fn push_checksums_of(headers: &mut HeaderMap, checksums: &[(String, String)], kind: &str) {
    let mut any = false;
    for (name, value) in checksums {
        let Some(algorithm) = Algorithm::from_stored(name) else { continue };
        headers.insert(algorithm.header(), header_value(value));
        any = true;
    }
    if any {
        headers.insert("x-amz-checksum-type", header_value(kind));
    }
}

fn checksum_type(checksums: &[(String, String)]) -> &str {
    checksums.iter().find(|(name, _)| name == TYPE).map_or("FULL_OBJECT", |(_, value)| value.as_str())
}

/// The `versionId` of a request.
fn version_of(query: &Query) -> Result<Option<VersionId>, S3Error> {
    let Some(text) = query.get("versionId") else { return Ok(None) };
    if text.is_empty() {
        return Err(S3Error::argument("versionId", text, "Version id cannot be the empty string"));
    }
    text.parse().map(Some).map_err(|_| S3Error::argument("versionId", text, "Invalid version id specified"))
}

/// A count such as `max-keys`: 1000 if not given, and never more.
fn page_limit(query: &Query, name: &'static str) -> Result<u32, S3Error> {
    let Some(text) = query.get_filled(name) else { return Ok(PAGE_MAX) };
    let refused =
        || S3Error::argument(name, text, format!("Provided {name} not an integer or within integer range"));
    let limit: i32 = text.parse().map_err(|_| refused())?;
    u32::try_from(limit).map(|limit| limit.min(PAGE_MAX)).map_err(|_| refused())
}

/// Whether `encoding-type=url` is asked for.
fn url_encoding(query: &Query) -> Result<bool, S3Error> {
    match query.get_filled("encoding-type") {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(other) => {
            Err(S3Error::argument("encoding-type", other, "Invalid Encoding Method specified in Request"))
        }
    }
}

/// `partNumber` of a request.
fn part_number(query: &Query) -> Result<Option<u32>, S3Error> {
    let Some(text) = query.get("partNumber") else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (1..=10_000).contains(number));
    number.map(Some).ok_or_else(|| {
        S3Error::argument("partNumber", text, "Part number must be an integer between 1 and 10000, inclusive")
    })
}

/// Reads a document as each operation that takes one would.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any_document(document: &[u8]) {
    let _ = (buckets::read_location(document), buckets::read_versioning(document));
    let _ = (cors::read_rules(document), tagging::read_document(document, 50));
    let _ = (settings::read_block(document), settings::read_ownership(document));
    if let Ok((kept, rules)) = lifecycle::read_rules(document) {
        let again = lifecycle::read_rules(kept.as_bytes()).ok();
        assert_eq!(again, Some((kept, rules)), "kept rules are read as they are");
    }
    if let Ok((asked, _)) = delete::read_document(document) {
        assert!((1..=delete::KEYS_MAX).contains(&asked.len()), "as many keys as are allowed");
    }
    if let Ok(parts) = complete::read_document(document) {
        assert!((1..=complete::PARTS_MAX).contains(&parts.len()), "as many parts as are allowed");
    }
}

/// Reads the parameters of a query as each operation that takes one would.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any_query(query: &Query) {
    let _ = (version_of(query), part_number(query), url_encoding(query));
    for name in ["max-keys", "max-parts", "max-uploads"] {
        assert!(page_limit(query, name).is_ok_and(|limit| limit <= PAGE_MAX) || query.has(name), "a page");
    }
    for token in query.names() {
        let _ = list::decode_token(token);
    }
}

/// Reads the source of a copy.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_copy_source(text: &str) {
    if let Ok((bucket, key, _)) = copy::parse_source(text) {
        assert!(
            crate::names::check_bucket(&bucket).is_ok() && crate::names::check_key(&key).is_ok(),
            "names"
        );
    }
}

/// What a new object keeps of the headers of its request, its list and tags among it.
fn attributes_of_new(call: &Call) -> Result<Attributes, S3Error> {
    let head = &call.parts.headers;
    let mut attributes = headers::attributes(head)?;
    acl::add_acl(&mut attributes, head, call)?;
    tagging::add_tags(&mut attributes, head)?;
    Ok(attributes)
}

/// Translates what the object layer says.
pub(crate) fn refusal(error: ObjectError, call: &Call) -> S3Error {
    let cause = error.to_string();
    match error {
        ObjectError::NoSuchContainer => {
            S3Error::from(ErrorCode::NoSuchBucket).detail("BucketName", &call.bucket)
        }
        ObjectError::ContainerTaken => {
            S3Error::from(ErrorCode::BucketAlreadyExists).detail("BucketName", &call.bucket)
        }
        ObjectError::ContainerAlreadyYours => {
            S3Error::from(ErrorCode::BucketAlreadyOwnedByYou).detail("BucketName", &call.bucket)
        }
        ObjectError::ContainerNotEmpty | ObjectError::AccountNotEmpty => {
            S3Error::from(ErrorCode::BucketNotEmpty).detail("BucketName", &call.bucket)
        }
        ObjectError::BadContainerName => ErrorCode::InvalidBucketName.into(),
        ObjectError::NoSuchKey => S3Error::from(ErrorCode::NoSuchKey).detail("Key", &call.key),
        ObjectError::NoSuchVersion => S3Error::from(ErrorCode::NoSuchVersion).detail("Key", &call.key),
        ObjectError::DeleteMarker { version, modified, latest } => {
            let error = if latest {
                S3Error::from(ErrorCode::NoSuchKey).detail("Key", &call.key)
            } else {
                S3Error::from(ErrorCode::MethodNotAllowed)
                    .header(ALLOW, HeaderValue::from_static("DELETE"))
                    .header(LAST_MODIFIED, date_value(modified))
            };
            error
                .header(DELETE_MARKER, HeaderValue::from_static("true"))
                .header(VERSION_ID, header_value(version))
        }
        ObjectError::PreconditionFailed => ErrorCode::PreconditionFailed.into(),
        ObjectError::NotModified { etag, modified, .. } => S3Error::from(ErrorCode::NotModified)
            .header(ETAG, etag_value(etag))
            .header(LAST_MODIFIED, date_value(modified)),
        ObjectError::RangeNotSatisfiable { size } => S3Error::from(ErrorCode::InvalidRange)
            .detail("ActualObjectSize", size.to_string())
            .header(CONTENT_RANGE, header_value(format_args!("bytes */{size}"))),
        ObjectError::NoSuchUpload => ErrorCode::NoSuchUpload.into(),
        ObjectError::InvalidPart { number } => {
            S3Error::from(ErrorCode::InvalidPart).detail("PartNumber", number.to_string())
        }
        ObjectError::InvalidPartOrder => ErrorCode::InvalidPartOrder.into(),
        ObjectError::EntityTooSmall { number, size, bytes_min } => S3Error::from(ErrorCode::EntityTooSmall)
            .detail("PartNumber", number.to_string())
            .detail("ProposedSize", size.to_string())
            .detail("MinSizeAllowed", bytes_min.to_string()),
        ObjectError::EntityTooLarge { bytes_max } => {
            S3Error::from(ErrorCode::EntityTooLarge).detail("MaxSizeAllowed", bytes_max.to_string())
        }
        ObjectError::BodyLength { .. } => ErrorCode::IncompleteBody.into(),
        ObjectError::KeyTooLong => ErrorCode::KeyTooLongError.into(),
        ObjectError::BadKey => ErrorCode::InvalidURI.into(),
        ObjectError::MetadataTooLarge => ErrorCode::MetadataTooLarge.into(),
        ObjectError::Body(error) => body_refusal(&error),
        ObjectError::NoSuchPolicy { .. } => ErrorCode::InvalidStorageClass.into(),
        ObjectError::NoSpace => ErrorCode::InsufficientStorage.into(),
        ObjectError::Unavailable { reason } => S3Error::from(ErrorCode::SlowDown).internal(reason),
        ObjectError::Corrupt { .. } | ObjectError::Internal { .. } => {
            S3Error::from(ErrorCode::InternalError).internal(cause)
        }
    }
}

/// A body that failed on its way in has said why in our own words; only its MD5 is checked by the object layer.
fn body_refusal(error: &BodyError) -> S3Error {
    match error.downcast_ref::<S3Error>() {
        Some(error) => error.clone(),
        None if error.downcast_ref::<DigestMismatch>().is_some() => ErrorCode::BadDigest.into(),
        None => S3Error::from(ErrorCode::IncompleteBody).internal(error),
    }
}
