//! Access control lists of buckets and objects: reading, setting, and those that come with what is made.

use super::{empty_reply, push_version, refusal, xml_reply};
use crate::access::{Acl, Owner, Ownership, setting};
use crate::admission::Home;
use crate::body::read_small;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::headers;
use http::{HeaderMap, StatusCode};
use ringfort_object::{Attributes, GetOptions};

/// Name under which an object's list is kept among its headers: no header can be called so.
pub(crate) const KEPT_ACL: &str = "s3:acl";

/// The list that an object has of its own.
pub(crate) fn object_acl(attributes: &Attributes) -> Option<Acl> {
    let (_, text) = attributes.headers.iter().find(|(name, _)| name == KEPT_ACL)?;
    Acl::of_text(text)
}

impl S3Gateway {
    pub(crate) async fn get_bucket_acl(&self, call: &Call) -> Reply {
        let home = call.home()?;
        let acl = home.rules.acl.clone().unwrap_or_else(|| Acl::private(home.owner.clone()));
        Ok(xml_reply(acl.to_xml()))
    }

    pub(crate) async fn put_bucket_acl(&self, call: &Call, body: CallBody) -> Reply {
        let home = call.home()?;
        let bytes_max = self.inner.config.xml_bytes_max;
        let document = read_small(&call.parts.headers, body.payload, body.body, bytes_max).await?;
        let asked = Acl::from_headers(&call.parts.headers, &home.owner, None)?;
        let acl = match (asked, document.is_empty()) {
            (Some(acl), true) => acl,
            (None, false) => Acl::from_xml(&document, &home.owner)?,
            (Some(_), false) => {
                return Err(S3Error::with(
                    ErrorCode::UnexpectedContent,
                    "This request does not support content",
                ));
            }
            (None, true) => {
                return Err(S3Error::with(
                    ErrorCode::MissingSecurityHeader,
                    "Your request was missing a required header",
                ));
            }
        };
        check_acl(&acl, home)?;
        self.set_setting(call, setting::ACL, acl.to_text()).await?;
        Ok(empty_reply(StatusCode::OK))
    }

    pub(crate) async fn get_object_acl(&self, call: &Call) -> Reply {
        let options = GetOptions { version: super::version_of(&call.query)?, ..GetOptions::default() };
        let info = self.inner.objects.head(&call.path(), options).await.map_err(|e| refusal(e, call))?;
        let acl = object_acl(&info.attributes).unwrap_or_else(|| Acl::private(call.owner()));
        let mut response = xml_reply(acl.to_xml());
        push_version(response.headers_mut(), info.version, info.versioning);
        Ok(response)
    }
}

/// Whether the bucket's switches allow such a list.
pub(super) fn check_acl(acl: &Acl, home: &Home) -> Result<(), S3Error> {
    if home.rules.ownership == Some(Ownership::BucketOwnerEnforced) && !acl.is_owner_only() {
        return Err(ErrorCode::AccessControlListNotSupported.into());
    }
    if home.rules.block.acls && acl.is_public() {
        return Err(ErrorCode::AccessDenied.into());
    }
    Ok(())
}

/// Adds the list that a new object gets to its attributes, if it is another than that of its bucket's owner alone.
pub(super) fn add_acl(attributes: &mut Attributes, head: &HeaderMap, call: &Call) -> Result<(), S3Error> {
    let home = call.home()?;
    attributes.headers.retain(|(name, _)| name != KEPT_ACL);
    let asked = Acl::from_headers(head, &call.requester.owner(), Some(&home.owner))?;
    if home.rules.ownership == Some(Ownership::BucketOwnerEnforced) {
        // The one list that says what is so anyway.
        let full_control = headers::text(head, "x-amz-acl")? == Some("bucket-owner-full-control");
        if !full_control && let Some(acl) = &asked {
            check_acl(acl, home)?;
        }
        return Ok(());
    }
    let full_control = headers::text(head, "x-amz-acl")? == Some("bucket-owner-full-control");
    let owner: Owner = match home.rules.ownership {
        Some(Ownership::BucketOwnerPreferred) if full_control => home.owner.clone(),
        _ => call.requester.owner(),
    };
    let acl = match asked {
        Some(acl) if owner == acl.owner => acl,
        _ => Acl::private(owner),
    };
    check_acl(&acl, home)?;
    if acl != Acl::private(home.owner.clone()) {
        attributes.headers.push((KEPT_ACL.to_owned(), acl.to_text()));
    }
    Ok(())
}
