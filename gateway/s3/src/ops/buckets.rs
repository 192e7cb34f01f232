//! Operations on buckets.

use super::{PAGE_MAX, empty_reply, header_value, refusal, xml_reply};
use crate::access::{Acl, Ownership, setting};
use crate::body::read_small;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::headers;
use crate::xml::{self, XmlWriter};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use ringfort_object::{CreateContainer, Created, Versioning};

/// Most buckets of one page, by AWS's default.
const BUCKETS_MAX: u32 = 10_000;

impl S3Gateway {
    pub(crate) async fn list_buckets(&self, call: &Call) -> Reply {
        const ROOT: &str = "ListAllMyBucketsResult";
        let limit = match call.query.get_filled("max-buckets") {
            None => BUCKETS_MAX,
            Some(text) => text.parse().ok().filter(|n| (1..=BUCKETS_MAX).contains(n)).ok_or_else(|| {
                S3Error::argument(
                    "max-buckets",
                    text,
                    "Argument max-buckets must be an integer between 1 and 10000",
                )
            })?,
        };
        let prefix = call.query.get("prefix").unwrap_or_default();
        let mut marker = token_of(call)?;
        let mut xml = XmlWriter::root(ROOT, 4096);
        xml.open("Buckets");
        let mut left = limit;
        let truncated = loop {
            let take = left.min(PAGE_MAX);
            let listing = self.inner.objects.list_containers(call.account(), prefix, &marker, take).await;
            let page = listing.map_err(|e| refusal(e, call))?;
            for bucket in &page.containers {
                xml.open("Bucket");
                xml.text("Name", &bucket.name);
                xml.time("CreationDate", bucket.created);
                xml.text("BucketRegion", &self.inner.config.region);
                xml.close("Bucket");
            }
            left = left.saturating_sub(u32::try_from(page.containers.len()).unwrap_or(u32::MAX));
            match page.containers.last() {
                Some(last) => marker.clone_from(&last.name),
                None => break false,
            }
            if !page.truncated || left == 0 {
                break page.truncated;
            }
        };
        xml.close("Buckets");
        xml.owner("Owner", &call.owner());
        if truncated {
            xml.text("ContinuationToken", &URL_SAFE_NO_PAD.encode(&marker));
        }
        if !prefix.is_empty() {
            xml.text("Prefix", prefix);
        }
        Ok(xml_reply(xml.finish(ROOT)))
    }

    pub(crate) async fn create_bucket(&self, call: &Call, body: CallBody) -> Reply {
        let head = &call.parts.headers;
        if headers::text(head, "x-amz-bucket-object-lock-enabled")?
            .is_some_and(|v| v.eq_ignore_ascii_case("true"))
        {
            return Err(S3Error::not_implemented("x-amz-bucket-object-lock-enabled"));
        }
        let metadata = first_settings(call)?;
        let document = read_small(head, body.payload, body.body, self.inner.config.xml_bytes_max).await?;
        if !document.is_empty() {
            let asked = read_location(&document)?;
            if !asked.is_empty() && asked != self.inner.config.region {
                return Err(
                    S3Error::from(ErrorCode::InvalidLocationConstraint).detail("LocationConstraint", asked)
                );
            }
        }
        let options = CreateContainer { alias_required: true, metadata, ..CreateContainer::default() };
        let created = self.inner.objects.create_container(call.account(), &call.bucket, options).await;
        match created.map_err(|e| refusal(e, call))? {
            // Only the oldest region forgives this.
            Created::AlreadyYours if self.inner.config.region != "us-east-1" => {
                return Err(
                    S3Error::from(ErrorCode::BucketAlreadyOwnedByYou).detail("BucketName", &call.bucket)
                );
            }
            Created::New | Created::AlreadyYours => {}
        }
        let mut response = empty_reply(StatusCode::OK);
        response.headers_mut().insert(LOCATION, header_value(format_args!("/{}", call.bucket)));
        Ok(response)
    }

    pub(crate) async fn head_bucket(&self, call: &Call) -> Reply {
        let found = self.inner.objects.container(call.account(), &call.bucket).await;
        let info = found.map_err(|e| refusal(e, call))?;
        let mut response = empty_reply(StatusCode::OK);
        let out = response.headers_mut();
        out.insert("x-amz-bucket-region", header_value(&self.inner.config.region));
        if call.query.get("read-stats") == Some("true") {
            // Ceph's, which its users' tools ask for.
            out.insert("x-rgw-object-count", HeaderValue::from(info.objects));
            out.insert("x-rgw-bytes-used", HeaderValue::from(info.bytes));
        }
        Ok(response)
    }

    pub(crate) async fn delete_bucket(&self, call: &Call) -> Reply {
        self.inner
            .objects
            .delete_container(call.account(), &call.bucket)
            .await
            .map_err(|e| refusal(e, call))?;
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }

    pub(crate) async fn get_bucket_location(&self, call: &Call) -> Reply {
        const ROOT: &str = "LocationConstraint";
        self.inner.objects.container(call.account(), &call.bucket).await.map_err(|e| refusal(e, call))?;
        let mut xml = XmlWriter::root(ROOT, 128);
        if self.inner.config.region != "us-east-1" {
            xml.content(&self.inner.config.region);
        }
        Ok(xml_reply(xml.finish(ROOT)))
    }

    pub(crate) async fn get_bucket_versioning(&self, call: &Call) -> Reply {
        const ROOT: &str = "VersioningConfiguration";
        let info =
            self.inner.objects.container(call.account(), &call.bucket).await.map_err(|e| refusal(e, call))?;
        let mut xml = XmlWriter::root(ROOT, 128);
        match info.versioning {
            Versioning::Off => {}
            Versioning::Enabled => xml.text("Status", "Enabled"),
            Versioning::Suspended => xml.text("Status", "Suspended"),
        }
        Ok(xml_reply(xml.finish(ROOT)))
    }

    pub(crate) async fn put_bucket_versioning(&self, call: &Call, body: CallBody) -> Reply {
        let bytes_max = self.inner.config.xml_bytes_max;
        let document = read_small(&call.parts.headers, body.payload, body.body, bytes_max).await?;
        if document.is_empty() {
            return Err(ErrorCode::MissingRequestBodyError.into());
        }
        let versioning = read_versioning(&document)?;
        let set = self.inner.objects.set_versioning(call.account(), &call.bucket, versioning).await;
        set.map_err(|e| refusal(e, call))?;
        Ok(empty_reply(StatusCode::OK))
    }
}

/// What a new bucket says about access.
fn first_settings(call: &Call) -> Result<Vec<(String, String)>, S3Error> {
    let (head, owner) = (&call.parts.headers, call.requester.owner());
    let mut settings = vec![(setting::OWNER.to_owned(), owner.to_text())];
    let ownership = match headers::text(head, "x-amz-object-ownership")? {
        None => None,
        Some(name) => Some(Ownership::parse(name).ok_or_else(|| {
            S3Error::argument("x-amz-object-ownership", name, "Invalid x-amz-object-ownership header")
        })?),
    };
    if let Some(ownership) = ownership {
        settings.push((setting::OWNERSHIP.to_owned(), ownership.name().to_owned()));
    }
    if let Some(acl) = Acl::from_headers(head, &owner, None)? {
        if ownership == Some(Ownership::BucketOwnerEnforced) && !acl.is_owner_only() {
            return Err(ErrorCode::InvalidBucketAclWithObjectOwnership.into());
        }
        settings.push((setting::ACL.to_owned(), acl.to_text()));
    }
    Ok(settings)
}

/// The region that a CreateBucketConfiguration asks for; empty for the default one.
pub(super) fn read_location(document: &[u8]) -> Result<String, S3Error> {
    let root = xml::parse(document, "CreateBucketConfiguration")?;
    if let Some(extra) = root.children.iter().find(|child| child.name != "LocationConstraint") {
        return Err(match extra.name.as_str() {
            "Location" | "Bucket" | "Tags" => S3Error::not_implemented(&extra.name),
            _ => ErrorCode::MalformedXML.into(),
        });
    }
    Ok(root.child_text("LocationConstraint").unwrap_or_default().to_owned())
}

/// The state that a VersioningConfiguration asks for.
pub(super) fn read_versioning(document: &[u8]) -> Result<Versioning, S3Error> {
    let root = xml::parse(document, "VersioningConfiguration")?;
    if root.child_text("MfaDelete").is_some_and(|mfa| mfa != "Disabled") {
        return Err(S3Error::not_implemented("MfaDelete"));
    }
    match root.child_text("Status") {
        Some("Enabled") => Ok(Versioning::Enabled),
        Some("Suspended") => Ok(Versioning::Suspended),
        Some(_) => Err(ErrorCode::MalformedXML.into()),
        None => Err(ErrorCode::IllegalVersioningConfigurationException.into()),
    }
}

fn token_of(call: &Call) -> Result<String, S3Error> {
    let Some(token) = call.query.get_filled("continuation-token") else { return Ok(String::new()) };
    let marker = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    marker.ok_or_else(|| {
        S3Error::argument("continuation-token", token, "The continuation token provided is incorrect")
    })
}
