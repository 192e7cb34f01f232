//! PUT of an object.

use super::content_type::{self, Listed, guess};
use super::object::{SYSTEM, push_written_version, written};
use crate::authorize::Need;
use crate::body::{length, read_small, upload};
use crate::containers::Container;
use crate::entity::{Link, MANIFEST, NO_BODY, SLO_ETAG, SLO_SIZE, kept};
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers::{self, Kind, expiry, metadata};
use http::{HeaderMap, StatusCode};
use ringfort_http::RequestBody;
use ringfort_object::{
    Attributes, BodyStream, CopyOptions, ETagMatch, ObjectError, PutOptions, VersionId, Versioning,
    WriteConditions,
};

impl SwiftGateway {
    pub(crate) async fn put(&self, call: Call, body: RequestBody) -> Reply {
        if headers::filled(&call.parts.headers, "x-copy-from")?.is_some() {
            return self.put_copy(call, body).await;
        }
        self.allow(&call, &call.container, Need::Write).await?;
        if call.query.has("version-id") {
            return self.put_version(call, body).await;
        }
        match call.query.get("multipart-manifest") {
            Some("put") => self.put_manifest(call, body).await,
            _ => self.put_object(call, body).await,
        }
    }

    pub(crate) async fn put_object(&self, call: Call, body: RequestBody) -> Reply {
        let head = &call.parts.headers;
        let size = length(head)?;
        if size.is_some_and(|size| size > self.inner.config.file_bytes_max) {
            return Err(SwiftError::text(StatusCode::PAYLOAD_TOO_LARGE, "Your request is too large."));
        }
        if head.contains_key("x-static-large-object") {
            return Err(SwiftError::bad_request(
                "X-Static-Large-Object is a reserved header. To create a static large object add query param \
                 multipart-manifest=put.",
            ));
        }
        let mut attributes = self.attributes(head, &call.object)?;
        let link = Link::of_request(head)?;
        if let Some(link) = &link {
            if size.is_none_or(|size| size > 0) {
                return Err(SwiftError::bad_request(NO_BODY));
            }
            self.put_link(&call, link.clone(), &mut attributes).await?;
        }
        let options = PutOptions {
            attributes,
            conditions: conditions(head)?,
            size,
            size_max: Some(self.inner.config.file_bytes_max),
            md5: given_md5(head)?,
            late_checksums: None,
        };
        self.store(&call, options, upload(body)).await
    }

    /// Stores an object under the rules of its container.
    pub(crate) async fn store(&self, call: &Call, options: PutOptions, body: BodyStream) -> Reply {
        let container = self.container(&call.account, &call.container).await?;
        self.before_write(call, &container, options.size).await?;
        let done = self.inner.objects.put(&call.path(), options, body).await?;
        let mut response = written(StatusCode::CREATED, &done.etag.to_string(), done.modified);
        push_written_version(response.headers_mut(), done.version, done.versioning);
        Ok(response)
    }

    /// What is to be done, or refused, before a container takes an object of `size` bytes.
    pub(crate) async fn before_write(
        &self,
        call: &Call,
        container: &Container,
        size: Option<u64>,
    ) -> Result<()> {
        self.check_quotas(call, container, size).await?;
        self.keep_current(call, container).await
    }

    /// What the headers of a PUT say about its object.
    pub(crate) fn attributes(&self, head: &HeaderMap, name: &str) -> Result<Attributes> {
        let given = headers::filled(head, "content-type")?.map(content_type::given);
        let detect = headers::says_yes(head, "x-detect-content-type");
        let content_type = match given.filter(|_| !detect) {
            Some(given) => given,
            None => guess(name).to_owned(),
        };
        let mut attributes = Attributes {
            content_type: Some(content_type),
            metadata: metadata(head, Kind::Object, &self.inner.config)?,
            expires_at: expiry(head)?,
            ..Attributes::default()
        };
        for name in SYSTEM {
            if let Some(value) = headers::filled(head, name)? {
                if name == MANIFEST {
                    check_manifest(value)?;
                }
                attributes.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(attributes)
    }

    /// `PUT ?version-id=`: an old version becomes the latest.
    async fn put_version(&self, call: Call, body: RequestBody) -> Reply {
        let Some(version) = super::read::version_of(&call)?.filter(|version| *version != VersionId::Null)
        else {
            return Err(SwiftError::bad_request("Invalid version parameter"));
        };
        match length(&call.parts.headers)? {
            Some(0) => drop(body),
            Some(_) => {
                return Err(SwiftError::bad_request("PUT version-id requests require a zero byte body"));
            }
            None if !read_small(body, 0).await.is_ok_and(|body| body.is_empty()) => {
                return Err(SwiftError::bad_request("PUT version-id requests require a zero byte body"));
            }
            None => {}
        }
        let container = self.container(&call.account, &call.container).await?;
        if container.info.versioning == Versioning::Off {
            return Err(crate::history::not_versioned());
        }
        let at = call.path();
        let done = self.inner.objects.copy(&at, Some(version), &at, CopyOptions::default()).await;
        let done = done.map_err(|error| match error {
            ObjectError::NoSuchVersion | ObjectError::DeleteMarker { .. } | ObjectError::NoSuchKey => {
                SwiftError::text(StatusCode::NOT_FOUND, "The specified version does not exist")
            }
            error => error.into(),
        })?;
        let mut response = written(StatusCode::CREATED, &done.put.etag.to_string(), done.put.modified);
        push_written_version(response.headers_mut(), done.put.version, done.put.versioning);
        Ok(response)
    }

    /// Makes a symlink of what is being stored.
    async fn put_link(&self, call: &Call, mut link: Link, attributes: &mut Attributes) -> Result<()> {
        let target = self.target_of(&call.account, &link)?;
        if target == call.path() {
            return Err(SwiftError::bad_request("Symlink cannot target itself"));
        }
        if !call.parts.headers.contains_key("content-type") && link.etag.is_none() {
            attributes.content_type = Some("application/symlink".to_owned());
        }
        let mut listed = Listed {
            content_type: attributes.content_type.clone().unwrap_or_default(),
            symlink_path: Some(crate::target::quote(&link.plain_path(&call.account_name))),
            ..Listed::default()
        };
        if let Some(wanted) = &link.etag {
            self.allow_at(call, &target, Need::Read).await?;
            let found = self.link_target(call, target.clone()).await;
            let location = headers::value(self.location(&target));
            let found = found.map_err(|error| match error.status() {
                StatusCode::NOT_FOUND => {
                    let text = "X-Symlink-Target does not exist";
                    SwiftError::text(StatusCode::CONFLICT, text)
                        .header(http::header::CONTENT_LOCATION, location.clone())
                }
                _ => error,
            })?;
            let found = Found { info: found };
            let slo = kept(&found.info, SLO_ETAG);
            if found.info.etag.to_string() != *wanted {
                let text = format!(
                    "Object Etag '{}' does not match X-Symlink-Target-Etag header '{wanted}'",
                    found.info.etag
                );
                return Err(SwiftError::text(StatusCode::CONFLICT, text)
                    .header(http::header::CONTENT_LOCATION, location));
            }
            if !call.parts.headers.contains_key("content-type") {
                listed.content_type = crate::entity::content_type(&found.info);
            }
            let bytes =
                kept(&found.info, SLO_SIZE).and_then(|size| size.parse().ok()).unwrap_or(found.info.size);
            listed.symlink_etag = Some(wanted.clone());
            listed.symlink_bytes = Some(bytes);
            listed.slo_etag = slo.map(str::to_owned);
            link.bytes = Some(bytes);
        }
        attributes.headers.extend(link.attributes());
        attributes.content_type = Some(listed.stored());
        Ok(())
    }
}

/// What a static link points to.
struct Found {
    info: ringfort_object::ObjectInfo,
}

/// `X-Object-Manifest` names a container and a prefix.
fn check_manifest(value: &str) -> Result<()> {
    let decoded = crate::target::unquote(value)?;
    let path = decoded.strip_prefix('/').unwrap_or(&decoded);
    let good =
        path.split_once('/').is_some_and(|(container, prefix)| !container.is_empty() && !prefix.is_empty())
            && !decoded.contains(['?', '&']);
    if good {
        return Ok(());
    }
    Err(SwiftError::bad_request("X-Object-Manifest must be in the format container/prefix"))
}

/// The MD5 that a body must have, by `ETag`.
pub(crate) fn given_md5(head: &HeaderMap) -> Result<Option<[u8; 16]>> {
    let Some(tag) = headers::filled(head, "etag")? else { return Ok(None) };
    let mut md5 = [0; 16];
    hex::decode_to_slice(tag.trim_matches('"'), &mut md5)
        .map_err(|_| SwiftError::usual(StatusCode::UNPROCESSABLE_ENTITY))?;
    Ok(Some(md5))
}

/// The conditions of a write: only that there be nothing yet.
pub(crate) fn conditions(head: &HeaderMap) -> Result<WriteConditions> {
    let if_none_match = match headers::text(head, "if-none-match")? {
        None => None,
        Some(list) if list.split(',').any(|tag| tag.trim() == "*") => Some(ETagMatch::Any),
        Some(_) => return Err(SwiftError::bad_request("If-None-Match only supports *")),
    };
    Ok(WriteConditions { if_match: None, if_none_match })
}
