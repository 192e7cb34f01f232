//! CopyObject and UploadPartCopy.

use super::acl::KEPT_ACL;
use super::multipart::upload_of;
use super::{header_value, part_number, push_version, refusal, xml_reply};
use crate::body::checksum::Algorithm;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, Reply, S3Gateway};
use crate::headers::{self, parse_range};
use crate::names;
use crate::operation::Operation;
use crate::xml::XmlWriter;
use http::HeaderName;
use percent_encoding::percent_decode_str;
use ringfort_object::{
    Attributes, CopyOptions, ETagMatch, GetOptions, OBJECT_TAGS_HEADER, ObjectError, ObjectInfo, ObjectPath,
    RangeSpec, VersionId, Versioning,
};

const SOURCE_VERSION_ID: HeaderName = HeaderName::from_static("x-amz-copy-source-version-id");
/// Largest object that one CopyObject copies.
const COPY_BYTES_MAX: u64 = 5 << 30;

impl S3Gateway {
    pub(crate) async fn copy_object(&self, call: &Call) -> Reply {
        const ROOT: &str = "CopyObjectResult";
        let head = &call.parts.headers;
        let (from, version) = self.source_of(call).await?;
        let replaces_metadata = replaces(call, "x-amz-metadata-directive")?;
        let replaces_tags = replaces(call, "x-amz-tagging-directive")?;
        if !replaces_metadata && !replaces_tags && version.is_none() && from == call.path() {
            return Err(S3Error::with(
                ErrorCode::InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the \
                 object's metadata, storage class, website redirect location or encryption attributes.",
            ));
        }
        let conditions = headers::write_conditions(head)?;
        let must_exist = conditions.if_match.is_some();
        let source = self.check_copied_size(call, &from, version).await?;
        let replace = attributes_of_copy(call, &source, replaces_metadata, replaces_tags)?;
        let mut source_conditions = headers::source_conditions(head);
        if replace.is_some() && source_conditions.if_match.is_none() {
            // What is kept with the copy was read from this one.
            source_conditions.if_match = Some(ETagMatch::OneOf(vec![source.etag]));
        }
        let options = CopyOptions { replace, source_conditions, conditions };
        let copied = self.inner.objects.copy(&from, version, &call.path(), options).await;
        let done = match copied {
            Ok(done) => done,
            Err(error) => {
                let error = self.source_refusal(call, &from, error).await;
                return Err(super::put::write_refusal(error, must_exist, call));
            }
        };
        let mut xml = XmlWriter::root(ROOT, 256);
        xml.time("LastModified", done.put.modified);
        xml.etag(done.put.etag);
        push_checksum_elements(&mut xml, &done.put.checksums);
        let mut response = xml_reply(xml.finish(ROOT));
        let out = response.headers_mut();
        push_version(out, done.put.version, done.put.versioning);
        if done.source_versioning != Versioning::Off {
            out.insert(SOURCE_VERSION_ID, header_value(done.source_version));
        }
        Ok(response)
    }

    /// AWS's limit keeps clients to the multipart copy; here a copy costs the same at any size, so this only catches
    /// what no AWS client would send.
    async fn check_copied_size(
        &self,
        call: &Call,
        from: &ObjectPath,
        version: Option<VersionId>,
    ) -> Result<ObjectInfo, S3Error> {
        let options = GetOptions { version, ..GetOptions::default() };
        let info = match self.inner.objects.head(from, options).await {
            Ok(info) => info,
            Err(error) => return Err(self.source_refusal(call, from, error).await),
        };
        if info.size > COPY_BYTES_MAX {
            return Err(S3Error::with(
                ErrorCode::InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
            ));
        }
        Ok(info)
    }

    pub(crate) async fn upload_part_copy(&self, call: &Call) -> Reply {
        const ROOT: &str = "CopyPartResult";
        let head = &call.parts.headers;
        let upload = upload_of(call)?;
        let number = part_number(&call.query)?
            .ok_or_else(|| S3Error::argument("partNumber", "", "A part number is required."))?;
        let (from, version) = self.source_of(call).await?;
        let range = match headers::text(head, "x-amz-copy-source-range")? {
            None => None,
            Some(text) => Some(parse_range(text).filter(|r| matches!(r, RangeSpec::FromTo(..))).ok_or_else(|| {
                S3Error::argument(
                    "x-amz-copy-source-range",
                    text,
                    "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are \
                     the zero-based offsets of the first and last bytes to copy",
                )
            })?),
        };
        let source =
            GetOptions { version, conditions: headers::source_conditions(head), range, part_number: None };
        self.check_source_range(call, &from, version, range).await?;
        let copied = self.inner.objects.copy_part(&call.path(), upload, number, &from, source).await;
        let (part, source_version) = match copied {
            Ok(done) => done,
            Err(error) => return Err(self.source_refusal(call, &from, error).await),
        };
        let mut xml = XmlWriter::root(ROOT, 256);
        xml.time("LastModified", part.modified);
        xml.etag(part.etag);
        push_checksum_elements(&mut xml, &part.checksums);
        let mut response = xml_reply(xml.finish(ROOT));
        if version.is_some() {
            response.headers_mut().insert(SOURCE_VERSION_ID, header_value(source_version));
        }
        Ok(response)
    }

    /// Unlike in a read, a copied range that reaches past the end is refused.
    async fn check_source_range(
        &self,
        call: &Call,
        from: &ObjectPath,
        version: Option<VersionId>,
        range: Option<RangeSpec>,
    ) -> Result<(), S3Error> {
        let Some(RangeSpec::FromTo(first, last)) = range else { return Ok(()) };
        let options = GetOptions { version, ..GetOptions::default() };
        let info = match self.inner.objects.head(from, options).await {
            Ok(info) => info,
            Err(error) => return Err(self.source_refusal(call, from, error).await),
        };
        if last < info.size {
            return Ok(());
        }
        Err(S3Error::argument(
            "x-amz-copy-source-range",
            &format!("bytes={first}-{last}"),
            format!("Range specified is not valid for source object of size: {}", info.size),
        ))
    }

    /// What went wrong with a copy, in terms of its source.
    async fn source_refusal(&self, call: &Call, from: &ObjectPath, error: ObjectError) -> S3Error {
        match error {
            ObjectError::NotModified { .. } => ErrorCode::PreconditionFailed.into(),
            ObjectError::DeleteMarker { latest: false, .. } => S3Error::with(
                ErrorCode::InvalidRequest,
                "The source of a copy request may not specifically refer to a delete marker by version id.",
            ),
            ObjectError::DeleteMarker { .. } | ObjectError::NoSuchKey => {
                S3Error::from(ErrorCode::NoSuchKey).detail("Key", &from.key)
            }
            error => refusal(error, call),
        }
    }

    /// The source, which the requester must be allowed to read.
    async fn source_of(&self, call: &Call) -> Result<(ObjectPath, Option<VersionId>), S3Error> {
        let text = headers::text(&call.parts.headers, "x-amz-copy-source")?.unwrap_or_default();
        let (bucket, key, version) = parse_source(text)?;
        let found = self.home_of(&call.requester, &bucket).await.map_err(|e| refusal(e, call))?;
        let home =
            found.ok_or_else(|| S3Error::from(ErrorCode::NoSuchBucket).detail("BucketName", &bucket))?;
        let read = Operation::GetObject;
        self.admit_to_object(read, call, &home, &bucket, &key, version.is_some(), version).await?;
        Ok((ObjectPath::new(home.account, bucket, key), version))
    }
}

fn replaces(call: &Call, directive: &'static str) -> Result<bool, S3Error> {
    match headers::text(&call.parts.headers, directive)? {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(S3Error::argument(directive, other, "Unknown directive.")),
    }
}

/// What the copy keeps, where that is not just what its source has: a copy's list is its own.
fn attributes_of_copy(
    call: &Call,
    source: &ObjectInfo,
    replaces_metadata: bool,
    replaces_tags: bool,
) -> Result<Option<Attributes>, S3Error> {
    let given = super::attributes_of_new(call)?;
    let kept = |attributes: &Attributes, name: &str| {
        attributes.headers.iter().find(|(known, _)| known == name).cloned()
    };
    let acl = kept(&given, KEPT_ACL);
    let tags = kept(if replaces_tags { &given } else { &source.attributes }, OBJECT_TAGS_HEADER);
    if !replaces_metadata && !replaces_tags && acl == kept(&source.attributes, KEPT_ACL) {
        return Ok(None);
    }
    let mut attributes = if replaces_metadata { given } else { source.attributes.clone() };
    attributes.headers.retain(|(name, _)| name != KEPT_ACL && name != OBJECT_TAGS_HEADER);
    attributes.headers.extend(acl.into_iter().chain(tags));
    Ok(Some(attributes))
}

/// Reads `x-amz-copy-source`: `[/]bucket/key[?versionId=id]`, percent-encoded.
pub(super) fn parse_source(text: &str) -> Result<(String, String, Option<VersionId>), S3Error> {
    let refused = |message: &'static str| S3Error::argument("x-amz-copy-source", text, message);
    let (path, version) = match text.split_once("?versionId=") {
        Some((path, version)) => (path, Some(version)),
        None => (text, None),
    };
    let version = version.map(str::parse).transpose().map_err(|_| refused("Invalid version id specified"))?;
    let path =
        percent_decode_str(path).decode_utf8().map_err(|_| refused("Invalid copy source encoding."))?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = path.split_once('/').ok_or_else(|| refused("Invalid copy source object key"))?;
    names::check_bucket(bucket)?;
    if key.is_empty() {
        return Err(refused("Invalid copy source object key"));
    }
    names::check_key(key)?;
    Ok((bucket.to_owned(), key.to_owned(), version))
}

fn push_checksum_elements(xml: &mut XmlWriter, checksums: &[(String, String)]) {
    for (name, value) in checksums {
        if let Some(algorithm) = Algorithm::from_stored(name) {
            xml.text(algorithm.element(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sources() {
        let check = |text: &str, bucket: &str, key: &str, version: Option<VersionId>| {
            assert_eq!(parse_source(text).expect(text), (bucket.to_owned(), key.to_owned(), version));
        };
        check("/bucket/key", "bucket", "key", None);
        check("bucket/a%2Fb%20c", "bucket", "a/b c", None);
        check("bucket/a?b", "bucket", "a?b", None);
        check("bucket/key?versionId=null", "bucket", "key", Some(VersionId::Null));
        for bad in
            ["", "/", "bucket", "bucket/", "/bucket/k?versionId=x", "UP/key", "bucket/%ff", "bucket/../x"]
        {
            assert!(parse_source(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_source_is_parsed_without_panic(text in ".{0,40}") {
            let _ = parse_source(&text);
        }
    }
}
