//! From who asks to whether they may: finds the bucket, gathers what the decision needs, and asks [`access::authorize`].

use crate::access::{self, Ask, BucketRules, Context, Decision, Object, Owner, Requester, setting};
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, S3Gateway};
use crate::headers;
use crate::operation::Operation;
use crate::ops::{self, object_acl, tags_of};
use ringfort_object::{ContainerSettings, GetOptions, ObjectError, ObjectPath, VersionId};
use std::net::SocketAddr;

/// Where a bucket is.
#[derive(Debug)]
pub(crate) struct Home {
    /// The account that has it.
    pub(crate) account: String,
    pub(crate) owner: Owner,
    pub(crate) settings: ContainerSettings,
    pub(crate) rules: BucketRules,
}

impl S3Gateway {
    /// Finds a bucket: the requester's own, or that of whoever holds the name.
    pub(crate) async fn home_of(
        &self,
        requester: &Requester,
        bucket: &str,
    ) -> Result<Option<Home>, ObjectError> {
        let objects = &self.inner.objects;
        if let Some(account) = requester.account() {
            match objects.container_settings(account, bucket).await {
                Ok(settings) => {
                    return Ok(Some(home(account.to_owned(), requester.owner(), bucket, settings)?));
                }
                Err(ObjectError::NoSuchContainer) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(account) = objects.container_owner(bucket).await? else { return Ok(None) };
        let settings = match objects.container_settings(&account, bucket).await {
            Ok(settings) => settings,
            Err(ObjectError::NoSuchContainer) => return Ok(None),
            Err(error) => return Err(error),
        };
        let owner = settings.get(setting::OWNER).and_then(Owner::of_text);
        let owner = owner.unwrap_or_else(|| Owner { id: account.clone(), name: account.clone() });
        Ok(Some(home(account, owner, bucket, settings)?))
    }

    /// Whether the requester may do what the request asks for.
    pub(crate) async fn admit_to_operation(&self, operation: Operation, call: &Call) -> Result<(), S3Error> {
        if operation == Operation::DeleteObjects {
            // Decided key by key.
            return Ok(());
        }
        let version = call.query.get("versionId").and_then(|text| text.parse().ok());
        let versioned = call.query.has("versionId");
        match &call.home {
            None => {
                let rules = BucketRules::default();
                let context = Context::default();
                let ask = ask_of(operation, &call.requester, None, &rules, "", versioned, &context);
                answer(access::authorize(&ask))
            }
            Some(home) => {
                self.admit_to_object(operation, call, home, &call.bucket, &call.key, versioned, version).await
            }
        }
    }

    /// Whether the requester may do this to an object (or the bucket, where `key` is empty), which need not be the one
    /// that the request names.
    #[allow(clippy::too_many_arguments, reason = "an object and a question about it")]
    pub(crate) async fn admit_to_object(
        &self,
        operation: Operation,
        call: &Call,
        home: &Home,
        bucket: &str,
        key: &str,
        versioned: bool,
        version: Option<VersionId>,
    ) -> Result<(), S3Error> {
        let mut context = Context::default();
        if home.rules.policy.is_some() {
            context = context_of(call);
        }
        let resource = if key.is_empty() { bucket.to_owned() } else { format!("{bucket}/{key}") };
        let account = Some(home.account.as_str());
        let ask = ask_of(operation, &call.requester, account, &home.rules, &resource, versioned, &context);
        match access::authorize(&ask) {
            Decision::NeedsObject => {}
            decided => return answer(decided),
        }
        let at = ObjectPath::new(home.account.as_str(), bucket, key);
        let found = self.inner.objects.head(&at, GetOptions { version, ..GetOptions::default() }).await;
        let (acl, missing) = match found {
            Ok(info) => {
                for (name, value) in tags_of(&info.attributes) {
                    context.add(&format!("s3:ExistingObjectTag/{name}"), value);
                }
                (object_acl(&info.attributes), None)
            }
            Err(
                error @ (ObjectError::NoSuchKey
                | ObjectError::NoSuchVersion
                | ObjectError::DeleteMarker { .. }
                | ObjectError::BadKey),
            ) => (None, Some(ops::refusal(error, call))),
            Err(error) => return Err(ops::refusal(error, call)),
        };
        let object = acl.as_ref().map_or(Object::Plain, Object::Listed);
        let ask = Ask {
            object,
            ..ask_of(operation, &call.requester, account, &home.rules, &resource, versioned, &context)
        };
        let decided = access::authorize(&ask);
        if decided == Decision::Allowed {
            return Ok(());
        }
        if let Some(error) = missing {
            // Who may list the bucket may know that the key is not there; to others it is the same as one they may not see.
            context.add("s3:prefix", key);
            let list = ask_of(
                Operation::ListObjects,
                &call.requester,
                account,
                &home.rules,
                bucket,
                false,
                &context,
            );
            if access::authorize(&list) == Decision::Allowed {
                return Err(error);
            }
        }
        Err(ErrorCode::AccessDenied.into())
    }
}

fn home(
    account: String,
    owner: Owner,
    bucket: &str,
    settings: ContainerSettings,
) -> Result<Home, ObjectError> {
    let rules = BucketRules::of(bucket, &settings)
        .map_err(|error| ObjectError::Corrupt { what: error.cause().unwrap_or_default().to_owned() })?;
    Ok(Home { account, owner, settings, rules })
}

fn ask_of<'a>(
    operation: Operation,
    requester: &'a Requester,
    account: Option<&'a str>,
    rules: &'a BucketRules,
    resource: &'a str,
    versioned: bool,
    context: &'a Context,
) -> Ask<'a> {
    Ask { operation, requester, account, rules, resource, versioned, object: Object::Unknown, context }
}

fn answer(decision: Decision) -> Result<(), S3Error> {
    if decision == Decision::Allowed { Ok(()) } else { Err(ErrorCode::AccessDenied.into()) }
}

/// The condition keys of a request.
fn context_of(call: &Call) -> Context {
    let mut context = Context::default();
    for (parameter, key) in [
        ("prefix", "s3:prefix"),
        ("delimiter", "s3:delimiter"),
        ("max-keys", "s3:max-keys"),
        ("versionId", "s3:VersionId"),
    ] {
        if let Some(value) = call.query.get(parameter) {
            context.add(key, value);
        }
    }
    for header in access::HEADERS {
        if let Ok(Some(value)) = headers::text(&call.parts.headers, header) {
            context.add(&format!("s3:{header}"), value.trim_start_matches('/'));
        }
    }
    for (header, key) in [("user-agent", "aws:UserAgent"), ("referer", "aws:Referer")] {
        if let Ok(Some(value)) = headers::text(&call.parts.headers, header) {
            context.add(key, value);
        }
    }
    if let Ok(tags) = ops::tags_of_header(&call.parts.headers) {
        for (name, value) in tags {
            context.add(&format!("s3:RequestObjectTag/{name}"), value);
            context.add("s3:RequestObjectTagKeys", name);
        }
    }
    if let Some(peer) = call.parts.extensions.get::<SocketAddr>() {
        context.add("aws:SourceIp", peer.ip().to_canonical().to_string());
    }
    context.add("aws:SecureTransport", call.is_encrypted().to_string());
    context.add("aws:CurrentTime", (ringfort_runtime::wall_us() / 1_000_000).to_string());
    context.add("aws:EpochTime", (ringfort_runtime::wall_us() / 1_000_000).to_string());
    if !call.signature_version.is_empty() {
        context.add("s3:signatureversion", call.signature_version);
    }
    if let Some(id) = call.requester.id() {
        match call.requester.user() {
            Some(user) => {
                context.add("aws:userid", &user.id);
                context.add("aws:username", &user.name);
            }
            None => context.add("aws:userid", id),
        }
        context.add("aws:PrincipalAccount", call.requester.account().unwrap_or_default());
    }
    context
}
