//! POST of an object: its metadata are replaced, its bytes stay.

use super::content_type::{self, Listed};
use super::object::SYSTEM;
use super::read::version_of;
use crate::authorize::Need;
use crate::entity::link_of;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers::{self, Kind, Pairs, expiry, metadata};
use http::StatusCode;
use http::header::LOCATION;
use ringfort_object::{Attributes, ObjectInfo, UpdateOptions};

impl SwiftGateway {
    pub(crate) async fn post_object(&self, call: Call) -> Reply {
        self.allow(&call, &call.container, Need::Write).await?;
        if call.parts.headers.contains_key("x-symlink-target") {
            return Err(SwiftError::bad_request("A PUT request is required to set a symlink target"));
        }
        let at = call.path();
        if call.query.has("version-id") {
            self.object(&at, version_of(&call)?, false).await?;
            return Err(SwiftError::bad_request("POST to a specific version is not allowed"));
        }
        let posted = self.posted(&call)?;
        let options = UpdateOptions { touch: true, ..UpdateOptions::default() };
        let change = move |attributes: &mut Attributes| {
            posted.set(attributes);
            Ok::<_, SwiftError>(())
        };
        let info = self.inner.objects.update_attributes(&at, options, change).await?;
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

    /// What a POST says of an object.
    fn posted(&self, call: &Call) -> Result<Posted> {
        let head = &call.parts.headers;
        let content_type = headers::filled(head, "content-type")?.map(str::to_owned);
        let mut system = Vec::new();
        for name in SYSTEM {
            if let Some(value) = headers::filled(head, name)? {
                system.push((name.to_owned(), value.to_owned()));
            }
        }
        let metadata = metadata(head, Kind::Object, &self.inner.config)?;
        Ok(Posted { metadata, content_type, system, expires_at: expiry(head)? })
    }
}

/// What a POST says of an object: all that clients may set of it but the content type, which stays if none is given.
struct Posted {
    metadata: Pairs,
    content_type: Option<String>,
    /// Values of the headers in [`SYSTEM`].
    system: Pairs,
    expires_at: Option<u64>,
}

impl Posted {
    fn set(&self, attributes: &mut Attributes) {
        if let Some(content_type) = &self.content_type {
            let known = Listed::parse(attributes.content_type.as_deref().unwrap_or_default());
            let listed = Listed { content_type: content_type::given(content_type), ..known };
            attributes.content_type = Some(listed.stored());
        }
        attributes.metadata.clone_from(&self.metadata);
        attributes.expires_at = self.expires_at;
        // What is ours, or another dialect's, is nobody's to remove.
        attributes.headers.retain(|(name, _)| !SYSTEM.contains(&name.as_str()));
        attributes.headers.extend(self.system.iter().cloned());
    }
}
