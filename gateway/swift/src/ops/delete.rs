//! DELETE of an object.

use super::object::VERSION_ID;
use super::read::version_of;
use crate::authorize::Need;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers;
use http::StatusCode;
use ringfort_object::{DeleteOptions, VersionId};

impl SwiftGateway {
    /// `X-If-Delete-At`: delete what expires at that time and nothing newer.
    async fn check_expiry(&self, call: &Call) -> Result<()> {
        let Some(text) = headers::text(&call.parts.headers, "x-if-delete-at")? else { return Ok(()) };
        let refused = || SwiftError::bad_request("Bad X-If-Delete-At header value");
        let wanted: u64 = text.parse().map_err(|_| refused())?;
        let found = self.object(&call.path(), None, false).await?;
        if found.0.attributes.expires_at == Some(wanted) {
            return Ok(());
        }
        Err(SwiftError::precondition("X-If-Delete-At and X-Delete-At do not match"))
    }

    pub(crate) async fn delete(&self, call: Call) -> Reply {
        self.allow(&call, &call.container, Need::Write).await?;
        if call.query.get("multipart-manifest") == Some("delete") {
            return self.delete_manifest(call).await;
        }
        self.delete_object(&call).await
    }

    pub(crate) async fn delete_object(&self, call: &Call) -> Reply {
        let version = version_of(call)?;
        self.check_expiry(call).await?;
        let container = self.container(&call.account, &call.container).await?;
        if matches!(version, Some(VersionId::At(_)))
            && container.info.versioning == ringfort_object::Versioning::Off
        {
            return Err(crate::history::not_versioned());
        }
        if version.is_none() && self.delete_kept(call, &container).await? {
            return Ok(super::empty_reply(StatusCode::NO_CONTENT));
        }
        let options = DeleteOptions { version, ..DeleteOptions::default() };
        let done = self.inner.objects.delete(&call.path(), options).await?;
        if !done.existed {
            let error = SwiftError::not_found();
            return Err(match done.version {
                // A marker was put there all the same.
                Some(marker) => {
                    let name = http::HeaderName::from_static(VERSION_ID);
                    error.header(name, headers::value(super::version_text(marker)))
                }
                None => error,
            });
        }
        let mut response = super::empty_reply(StatusCode::NO_CONTENT);
        if version.is_some() {
            let latest = match self.object(&call.path(), None, false).await {
                Ok((latest, _)) => super::version_text(latest.version),
                Err(_) => "null".to_owned(),
            };
            headers::put(response.headers_mut(), "x-object-current-version-id", latest);
        }
        if let Some(version) = done.version {
            headers::put(response.headers_mut(), VERSION_ID, super::version_text(version));
        }
        Ok(response)
    }
}
