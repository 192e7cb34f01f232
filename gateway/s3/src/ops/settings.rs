//! What the owner of a bucket sets about access to it: policy, public access block, ownership controls.

use super::{empty_reply, refusal, xml_reply};
use crate::access::{BlockPublic, Ownership, Policy, setting};
use crate::body::read_small;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::xml::{self, XmlWriter};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use ringfort_http::ReplyBody;

impl S3Gateway {
    pub(super) async fn set_setting(
        &self,
        call: &Call,
        name: &'static str,
        value: String,
    ) -> Result<(), S3Error> {
        self.set_settings(call, vec![(name, Some(value))]).await
    }

    /// Sets or removes several settings at once.
    pub(super) async fn set_settings(
        &self,
        call: &Call,
        settings: Vec<(&'static str, Option<String>)>,
    ) -> Result<(), S3Error> {
        let set = self.inner.objects.set_container_settings(call.account(), &call.bucket, settings);
        set.await.map_err(|e| refusal(e, call))
    }

    /// Removes a setting; one that is not there is removed.
    pub(crate) async fn remove_setting(&self, call: &Call, name: &'static str) -> Reply {
        if call.home()?.settings.get(name).is_some() {
            self.set_settings(call, vec![(name, None)]).await?;
        }
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }

    /// The document that a request brings to set something.
    pub(super) async fn document_of(&self, call: &Call, body: CallBody) -> Result<Bytes, S3Error> {
        let bytes_max = self.inner.config.xml_bytes_max;
        let document = read_small(&call.parts.headers, body.payload, body.body, bytes_max).await?;
        if document.is_empty() { Err(ErrorCode::MissingRequestBodyError.into()) } else { Ok(document) }
    }

    pub(crate) fn get_bucket_policy(&self, call: &Call) -> Reply {
        let text = call.home()?.settings.get(setting::POLICY).ok_or_else(|| missing_policy(call))?;
        let mut response = Response::new(ReplyBody::whole(text.to_owned()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    pub(crate) async fn put_bucket_policy(&self, call: &Call, body: CallBody) -> Reply {
        let home = call.home()?;
        let document = self.document_of(call, body).await?;
        let policy = Policy::parse(&document, &call.bucket)?;
        if home.rules.block.policy && policy.is_public() {
            return Err(ErrorCode::AccessDenied.into());
        }
        // JSON that was parsed is UTF-8.
        let text = String::from_utf8_lossy(&document).into_owned();
        self.set_setting(call, setting::POLICY, text).await?;
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }

    pub(crate) fn get_bucket_policy_status(&self, call: &Call) -> Reply {
        const ROOT: &str = "PolicyStatus";
        let rules = &call.home()?.rules;
        let by_list = rules.acl.as_ref().is_some_and(|acl| acl.is_public()) && !rules.block.ignore_acls;
        if rules.policy.is_none() && rules.acl.is_none() {
            return Err(missing_policy(call));
        }
        let mut xml = XmlWriter::root(ROOT, 128);
        let by_policy = rules.policy.as_ref().is_some_and(Policy::is_public);
        xml.plain("IsPublic", by_policy || by_list);
        Ok(xml_reply(xml.finish(ROOT)))
    }

    pub(crate) fn get_public_access_block(&self, call: &Call) -> Reply {
        const ROOT: &str = "PublicAccessBlockConfiguration";
        let home = call.home()?;
        if home.settings.get(setting::BLOCK_PUBLIC).is_none() {
            return Err(S3Error::from(ErrorCode::NoSuchPublicAccessBlockConfiguration)
                .detail("BucketName", &call.bucket));
        }
        let block = home.rules.block;
        let mut xml = XmlWriter::root(ROOT, 256);
        xml.plain("BlockPublicAcls", block.acls);
        xml.plain("IgnorePublicAcls", block.ignore_acls);
        xml.plain("BlockPublicPolicy", block.policy);
        xml.plain("RestrictPublicBuckets", block.restrict_buckets);
        Ok(xml_reply(xml.finish(ROOT)))
    }

    pub(crate) async fn put_public_access_block(&self, call: &Call, body: CallBody) -> Reply {
        let document = self.document_of(call, body).await?;
        let block = read_block(&document)?;
        self.set_setting(call, setting::BLOCK_PUBLIC, block.to_text()).await?;
        Ok(empty_reply(StatusCode::OK))
    }

    pub(crate) fn get_bucket_ownership_controls(&self, call: &Call) -> Reply {
        const ROOT: &str = "OwnershipControls";
        let ownership = call.home()?.rules.ownership.ok_or_else(|| {
            S3Error::from(ErrorCode::OwnershipControlsNotFoundError).detail("BucketName", &call.bucket)
        })?;
        let mut xml = XmlWriter::root(ROOT, 128);
        xml.open("Rule");
        xml.text("ObjectOwnership", ownership.name());
        xml.close("Rule");
        Ok(xml_reply(xml.finish(ROOT)))
    }

    pub(crate) async fn put_bucket_ownership_controls(&self, call: &Call, body: CallBody) -> Reply {
        let document = self.document_of(call, body).await?;
        let ownership = read_ownership(&document)?;
        let acl = call.home()?.rules.acl.as_ref();
        if ownership == Ownership::BucketOwnerEnforced && acl.is_some_and(|acl| !acl.is_owner_only()) {
            return Err(ErrorCode::InvalidBucketAclWithObjectOwnership.into());
        }
        self.set_setting(call, setting::OWNERSHIP, ownership.name().to_owned()).await?;
        Ok(empty_reply(StatusCode::OK))
    }
}

fn missing_policy(call: &Call) -> S3Error {
    S3Error::from(ErrorCode::NoSuchBucketPolicy).detail("BucketName", &call.bucket)
}

pub(super) fn read_block(document: &[u8]) -> Result<BlockPublic, S3Error> {
    let root = xml::parse(document, "PublicAccessBlockConfiguration")?;
    let flag = |name| match root.child_text(name).map(str::trim) {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(S3Error::from(ErrorCode::MalformedXML)),
    };
    Ok(BlockPublic {
        acls: flag("BlockPublicAcls")?,
        ignore_acls: flag("IgnorePublicAcls")?,
        policy: flag("BlockPublicPolicy")?,
        restrict_buckets: flag("RestrictPublicBuckets")?,
    })
}

pub(super) fn read_ownership(document: &[u8]) -> Result<Ownership, S3Error> {
    let root = xml::parse(document, "OwnershipControls")?;
    let [rule] = &root.children[..] else { return Err(ErrorCode::MalformedXML.into()) };
    let name = rule.child_text("ObjectOwnership").unwrap_or_default();
    Ownership::parse(name.trim()).ok_or_else(|| ErrorCode::MalformedXML.into())
}
