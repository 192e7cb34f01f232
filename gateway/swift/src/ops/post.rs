//! POST of an object: its metadata are replaced, its bytes stay.

use super::content_type::{self, Listed};
use super::object::SYSTEM;
use super::read::version_of;
use crate::authorize::Need;
use crate::entity::link_of;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers::{self, Kind, expiry, metadata};
use http::StatusCode;
use http::header::LOCATION;
use ringfort_object::{Attributes, CopyOptions, ObjectInfo};

impl SwiftGateway {
    pub(crate) async fn post_object(&self, call: Call) -> Reply {
        self.allow(&call, &call.container, Need::Write).await?;
        if call.parts.headers.contains_key("x-symlink-target") {
            return Err(SwiftError::bad_request("A PUT request is required to set a symlink target"));
        }
        let at = call.path();
        let (info, _) = self.object(&at, version_of(&call)?, false).await?;
        if call.query.has("version-id") {
            return Err(SwiftError::bad_request("POST to a specific version is not allowed"));
        }
        let attributes = self.posted(&call, &info)?;
        let options = CopyOptions { replace: Some(attributes), ..CopyOptions::default() };
        self.inner.objects.copy(&at, None, &at, options).await?;
        if let Some(link) = link_of(&info) {
            return Err(self.elsewhere(&call, &link.plain_path(&call.account_name), &info));
        }
        Ok(super::empty_reply(StatusCode::ACCEPTED))
    }

    /// What was posted to a link stays with the link: the client is sent to its target.
    fn elsewhere(&self, call: &Call, path: &str, info: &ObjectInfo) -> SwiftError {
        let text = "The requested POST was applied to a symlink. POST directly to the target to apply requested \
                    metadata.";
        let query = call.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let location = headers::value(format_args!("{}{query}", crate::target::quote(path)));
        let mut shown = http::HeaderMap::new();
        if let Some(link) = link_of(info) {
            link.push(&mut shown);
        }
        let error = SwiftError::text(StatusCode::TEMPORARY_REDIRECT, text).header(LOCATION, location);
        shown.iter().fold(error, |error, (name, value)| error.header(name.clone(), value.clone()))
    }

    /// The attributes that an object has after a POST.
    fn posted(&self, call: &Call, info: &ObjectInfo) -> Result<Attributes> {
        let head = &call.parts.headers;
        let given = metadata(head, Kind::Object, &self.inner.config)?;
        let mut attributes = Attributes {
            content_type: info.attributes.content_type.clone(),
            metadata: given.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            checksums: info.attributes.checksums.clone(),
            expires_at: expiry(head)?,
            headers: Vec::new(),
        };
        if let Some(content_type) = headers::filled(head, "content-type")? {
            let known = Listed::parse(info.attributes.content_type.as_deref().unwrap_or_default());
            let listed = Listed { content_type: content_type::given(content_type), ..known };
            attributes.content_type = Some(listed.stored());
        }
        // What is ours, or another dialect's, is nobody's to remove.
        let ours = |name: &str| !SYSTEM.contains(&name);
        attributes.headers = info.attributes.headers.iter().filter(|(name, _)| ours(name)).cloned().collect();
        for name in SYSTEM {
            if let Some(value) = headers::filled(head, name)? {
                attributes.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(attributes)
    }
}
