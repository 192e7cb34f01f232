//! Access control lists of buckets and objects: reading, setting, and those that come with what is made.

use super::{empty_reply, push_version, refusal, version_of, xml_reply};
use crate::access::{Acl, Owner, Ownership, setting};
use crate::admission::Home;
use crate::body::read_small;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::headers;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ringfort_object::{Attributes, GetOptions, ObjectError, UpdateOptions};

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
        Ok(xml_reply(self.acl_xml(&acl)))
    }

    fn acl_xml(&self, acl: &Acl) -> String {
        acl.to_xml(|id| self.inner.credentials.owner_name(id))
    }

    pub(crate) async fn put_bucket_acl(&self, call: &Call, body: CallBody) -> Reply {
        let home = call.home()?;
        let bytes_max = self.inner.config.xml_bytes_max;
        let document = read_small(&call.parts.headers, body.payload, body.body, bytes_max).await?;
        if home.rules.ownership == Some(Ownership::BucketOwnerEnforced) {
            return Err(ErrorCode::AccessControlListNotSupported.into());
        }
        let owner = home.rules.acl.as_ref().map_or(&home.owner, |acl| &acl.owner);
        let acl = asked_acl(&call.parts.headers, &document, owner, None)?;
        check_acl(&acl, home)?;
        self.set_setting(call, setting::ACL, acl.to_text()).await?;
        Ok(empty_reply(StatusCode::OK))
    }

    pub(crate) async fn get_object_acl(&self, call: &Call) -> Reply {
        let options = GetOptions { version: version_of(&call.query)?, ..GetOptions::default() };
        let info = self.inner.objects.head(&call.path(), options).await.map_err(|e| refusal(e, call))?;
        let acl = object_acl(&info.attributes).unwrap_or_else(|| Acl::private(call.owner()));
        let mut response = xml_reply(self.acl_xml(&acl));
        push_version(response.headers_mut(), info.version, info.versioning);
        Ok(response)
    }

    pub(crate) async fn put_object_acl(&self, call: &Call, body: CallBody) -> Reply {
        let home = call.home()?;
        let bytes_max = self.inner.config.xml_bytes_max;
        let document = read_small(&call.parts.headers, body.payload, body.body, bytes_max).await?;
        if home.rules.ownership == Some(Ownership::BucketOwnerEnforced) {
            return Err(ErrorCode::AccessControlListNotSupported.into());
        }
        let options = UpdateOptions { version: version_of(&call.query)?, ..UpdateOptions::default() };
        let change = AclChange {
            head: call.parts.headers.clone(),
            document,
            bucket_owner: home.owner.clone(),
            public_blocked: home.rules.block.acls,
        };
        let changed =
            self.inner.objects.update_attributes(&call.path(), options, move |a| change.apply(a)).await;
        let info = changed.map_err(|refused| match refused {
            Refused::Object(error) => refusal(error, call),
            Refused::List(error) => error,
        })?;
        let mut response = empty_reply(StatusCode::OK);
        push_version(response.headers_mut(), info.version, info.versioning);
        Ok(response)
    }
}

/// A list that is to be put on an object, whose owner is known only when it is.
struct AclChange {
    head: HeaderMap,
    document: Bytes,
    bucket_owner: Owner,
    public_blocked: bool,
}

/// Why it cannot be.
enum Refused {
    Object(ObjectError),
    List(S3Error),
}

impl From<ObjectError> for Refused {
    fn from(error: ObjectError) -> Self {
        Self::Object(error)
    }
}

impl AclChange {
    fn apply(&self, attributes: &mut Attributes) -> Result<(), Refused> {
        let owner = object_acl(attributes).map_or_else(|| self.bucket_owner.clone(), |acl| acl.owner);
        let acl = asked_acl(&self.head, &self.document, &owner, Some(&self.bucket_owner));
        let acl = acl.map_err(Refused::List)?;
        if self.public_blocked && acl.is_public() {
            return Err(Refused::List(ErrorCode::AccessDenied.into()));
        }
        keep_acl(attributes, &acl, &self.bucket_owner);
        Ok(())
    }
}

/// The list that a request sets: by its headers or its document.
fn asked_acl(
    head: &HeaderMap,
    document: &[u8],
    owner: &Owner,
    bucket_owner: Option<&Owner>,
) -> Result<Acl, S3Error> {
    match (Acl::from_headers(head, owner, bucket_owner)?, document.is_empty()) {
        (Some(acl), true) => Ok(acl),
        (None, false) => Acl::from_xml(document, owner),
        (Some(_), false) => {
            Err(S3Error::with(ErrorCode::UnexpectedContent, "This request does not support content"))
        }
        (None, true) => {
            Err(S3Error::with(ErrorCode::MissingSecurityHeader, "Your request was missing a required header"))
        }
    }
}

/// Puts a list among the attributes, if it is another than that of the bucket's owner alone.
fn keep_acl(attributes: &mut Attributes, acl: &Acl, bucket_owner: &Owner) {
    attributes.headers.retain(|(name, _)| name != KEPT_ACL);
    if *acl != Acl::private(bucket_owner.clone()) {
        attributes.headers.push((KEPT_ACL.to_owned(), acl.to_text()));
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
        if !full_control && asked.is_some() {
            return Err(ErrorCode::AccessControlListNotSupported.into());
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
    keep_acl(attributes, &acl, &home.owner);
    Ok(())
}
