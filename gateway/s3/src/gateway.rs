//! From a request to its reply: authentication, routing, names, the operation, and errors in AWS's words.

use crate::access::{Owner, Requester, setting};
use crate::admission::Home;
use crate::auth::{Payload, Rules, authenticate};
use crate::config::S3Config;
use crate::credentials::CredentialStore;
use crate::error::{ErrorCode, S3Error};
use crate::headers;
use crate::measure::Meters;
use crate::names;
use crate::operation::{Operation, route};
use crate::ops::{cors, refusal};
use crate::target::{Query, Target};
use crate::xml::XmlWriter;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use ringfort_http::{Encrypted, RequestId};
use ringfort_http::{ReplyBody, RequestBody, boxed};
use ringfort_object::{ObjectPath, ObjectStore};
use std::sync::Arc;

/// The S3 dialect. A cheap clone.
#[derive(Clone)]
pub struct S3Gateway {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) objects: ObjectStore,
    pub(crate) config: S3Config,
    pub(crate) credentials: Arc<dyn CredentialStore>,
    meters: Meters,
    host_id: HeaderValue,
}

/// A request that is authenticated and routed.
pub(crate) struct Call {
    pub(crate) parts: Parts,
    pub(crate) query: Query,
    pub(crate) requester: Requester,
    /// The version of the signature, as policies name it; empty if there is none.
    pub(crate) signature_version: &'static str,
    /// The bucket, where the request names one that is there.
    pub(crate) home: Option<Home>,
    /// Empty where the path names none.
    pub(crate) bucket: String,
    /// Empty where the path names none.
    pub(crate) key: String,
}

/// The body of a request, not polled yet, and how it is protected.
pub(crate) struct CallBody {
    pub(crate) payload: Payload,
    pub(crate) body: RequestBody,
}

impl Call {
    /// The account that has the bucket; the requester's where there is none.
    pub(crate) fn account(&self) -> &str {
        match &self.home {
            Some(home) => &home.account,
            None => self.requester.account().unwrap_or_default(),
        }
    }

    /// The owner of the bucket; the requester where there is none.
    pub(crate) fn owner(&self) -> Owner {
        self.home.as_ref().map_or_else(|| self.requester.owner(), |home| home.owner.clone())
    }

    /// The bucket.
    pub(crate) fn home(&self) -> Result<&Home, S3Error> {
        self.home
            .as_ref()
            .ok_or_else(|| S3Error::from(ErrorCode::NoSuchBucket).detail("BucketName", &self.bucket))
    }

    /// Whether nobody could read along.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.parts.extensions.get::<Encrypted>().is_some()
    }

    /// Where the client finds what its request names, as it called the host.
    pub(crate) fn url_of(&self, path: &str) -> String {
        let host = self.parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        format!("http{}://{host}{path}", if self.is_encrypted() { "s" } else { "" })
    }

    pub(crate) fn path(&self) -> ObjectPath {
        ObjectPath::new(self.account(), self.bucket.as_str(), self.key.as_str())
    }
}

pub(crate) type Reply = Result<Response<ReplyBody>, S3Error>;

impl S3Gateway {
    /// A gateway over `objects`. Install a metrics recorder before, if there shall be one.
    #[must_use]
    pub fn new(objects: ObjectStore, credentials: Arc<dyn CredentialStore>, config: S3Config) -> Self {
        let host_id = HeaderValue::from_str(&config.host_id).unwrap_or(HeaderValue::from_static("ringfort"));
        Self { inner: Arc::new(Inner { objects, config, credentials, meters: Meters::new(), host_id }) }
    }

    /// Answers one request.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the reply, never half a write: the object layer owns its commits.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<ReplyBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let started = ringfort_runtime::boot_time();
        let (parts, body) = request.into_parts();
        let request_id = parts.extensions.get::<RequestId>().copied().unwrap_or_else(RequestId::generate);
        let (method, uri) = (parts.method.clone(), parts.uri.clone());

        let page = self.sender_page(&parts).await;
        let mut operation = None;
        let reply = match &page {
            _ if method == Method::OPTIONS => {
                cors::preflight(&parts.headers, page.as_ref().and_then(|page| page.rules.as_deref()))
            }
            _ => self.serve(parts, boxed(body), &mut operation).await,
        };
        let mut response = reply.unwrap_or_else(|error| {
            log_refusal(&error, request_id, operation, &method);
            self.inner.meters.refused(error.code().name());
            error_reply(&error, &method, uri.path(), request_id, &self.inner.config.host_id)
        });
        let headers = response.headers_mut();
        headers.insert("x-amz-request-id", request_id.header_value());
        headers.insert("x-amz-id-2", self.inner.host_id.clone());
        if let Some(page) = page.filter(|_| method != Method::OPTIONS) {
            page.decorate(headers);
        }
        let took = ringfort_runtime::boot_time().saturating_sub(started);
        self.inner.meters.note(operation, response.status(), took);
        response
    }

    async fn serve(&self, parts: Parts, body: RequestBody, operation: &mut Option<Operation>) -> Reply {
        let (found, mut call, body) = self.admit(parts, body, operation).await?;
        if !call.bucket.is_empty() && found != Operation::CreateBucket {
            let home = self.home_of(&call.requester, &call.bucket).await;
            call.home = home.map_err(|error| refusal(error, &call))?;
            check_expected_owner(&call)?;
        }
        if found == Operation::PostObject {
            call.home()?;
            // Decided when the form has said who sends it.
            return Box::pin(self.post_object(call, body)).await;
        }
        if call.home.is_some() || call.bucket.is_empty() || found == Operation::CreateBucket {
            self.admit_to_operation(found, &call).await?;
        } else {
            // Whoever asks: that a name is free is no secret.
            call.home()?;
        }
        self.run(found, &call, body).await
    }

    /// Everything that is decided by the head of the request and the access key that it names.
    async fn admit(
        &self,
        mut parts: Parts,
        body: RequestBody,
        operation: &mut Option<Operation>,
    ) -> Result<(Operation, Call, CallBody), S3Error> {
        let config = &self.inner.config;
        headers::check_size(&parts.headers, config.header_bytes_max)?;
        let target = Target::of_request(&parts, config.uri_bytes_max, &config.domains)?;
        let now_s = ringfort_runtime::wall_us() / 1_000_000;
        let rules = Rules { region: &config.region, now_s, skew_max: config.skew_max };
        let known = authenticate(&parts, &target, &*self.inner.credentials, rules).await?;

        let query = known.query.as_ref().unwrap_or(&target.query);
        if known.presigned {
            headers::take_from_query(&mut parts.headers, query)?;
        }
        let found = route(&parts.method, target.bucket(), target.key(), query, &parts.headers)?;
        *operation = Some(found);
        if let Some(bucket) = target.bucket() {
            names::check_bucket(bucket)?;
        }
        if let Some(key) = target.key() {
            names::check_key(key)?;
        }
        headers::refuse_unsupported(&parts.headers)?;
        let bucket = target.bucket().unwrap_or_default().to_owned();
        let key = target.key().unwrap_or_default().to_owned();
        let query = known.query.unwrap_or(target.query);
        let requester = Requester::of(known.credential);
        let signature_version = known.version;
        let call = Call { parts, query, requester, signature_version, home: None, bucket, key };
        Ok((found, call, CallBody { payload: known.payload, body }))
    }

    async fn run(&self, operation: Operation, call: &Call, body: CallBody) -> Reply {
        match operation {
            Operation::GetObject => self.get_object(call).await,
            Operation::HeadObject => self.head_object(call).await,
            Operation::PutObject => self.put_object(call, body).await,
            Operation::DeleteObject => self.delete_object(call).await,
            Operation::ListObjects => self.list_objects(call).await,
            Operation::ListObjectsV2 => self.list_objects_v2(call).await,
            // The rarer ones apart, so that the future of a read or write of an object stays small.
            _ => Box::pin(self.run_rare(operation, call, body)).await,
        }
    }

    async fn run_rare(&self, operation: Operation, call: &Call, body: CallBody) -> Reply {
        match operation {
            Operation::ListBuckets => self.list_buckets(call).await,
            Operation::CreateBucket => self.create_bucket(call, body).await,
            Operation::HeadBucket => self.head_bucket(call).await,
            Operation::DeleteBucket => self.delete_bucket(call).await,
            Operation::GetBucketLocation => self.get_bucket_location(call).await,
            Operation::GetBucketVersioning => self.get_bucket_versioning(call).await,
            Operation::PutBucketVersioning => self.put_bucket_versioning(call, body).await,
            Operation::GetBucketAcl => self.get_bucket_acl(call).await,
            Operation::GetObjectAcl => self.get_object_acl(call).await,
            Operation::PutBucketAcl => self.put_bucket_acl(call, body).await,
            Operation::PutObjectAcl => self.put_object_acl(call, body).await,
            Operation::PutObjectTagging => self.put_object_tagging(call, body).await,
            Operation::DeleteObjectTagging => self.delete_object_tagging(call).await,
            Operation::GetObjectTagging => self.get_object_tagging(call).await,
            Operation::ListObjectVersions => self.list_object_versions(call).await,
            Operation::ListMultipartUploads => self.list_multipart_uploads(call).await,
            Operation::DeleteObjects => self.delete_objects(call, body).await,
            Operation::CopyObject => self.copy_object(call).await,
            Operation::GetObjectAttributes => self.get_object_attributes(call).await,
            Operation::CreateMultipartUpload => self.create_multipart_upload(call).await,
            Operation::UploadPart => self.upload_part(call, body).await,
            Operation::UploadPartCopy => self.upload_part_copy(call).await,
            Operation::CompleteMultipartUpload => self.complete_multipart_upload(call, body).await,
            Operation::AbortMultipartUpload => self.abort_multipart_upload(call).await,
            Operation::ListParts => self.list_parts(call).await,
            Operation::GetBucketPolicy => self.get_bucket_policy(call),
            Operation::PutBucketPolicy => self.put_bucket_policy(call, body).await,
            Operation::DeleteBucketPolicy => self.remove_setting(call, setting::POLICY).await,
            Operation::GetBucketPolicyStatus => self.get_bucket_policy_status(call),
            Operation::GetPublicAccessBlock => self.get_public_access_block(call),
            Operation::PutPublicAccessBlock => self.put_public_access_block(call, body).await,
            Operation::DeletePublicAccessBlock => self.remove_setting(call, setting::BLOCK_PUBLIC).await,
            Operation::GetBucketOwnershipControls => self.get_bucket_ownership_controls(call),
            Operation::PutBucketOwnershipControls => self.put_bucket_ownership_controls(call, body).await,
            Operation::DeleteBucketOwnershipControls => self.remove_setting(call, setting::OWNERSHIP).await,
            Operation::GetBucketCors => self.get_bucket_cors(call),
            Operation::PutBucketCors => self.put_bucket_cors(call, body).await,
            Operation::DeleteBucketCors => self.remove_setting(call, setting::CORS).await,
            Operation::GetBucketLifecycleConfiguration => self.get_bucket_lifecycle(call),
            Operation::PutBucketLifecycleConfiguration => self.put_bucket_lifecycle(call, body).await,
            Operation::DeleteBucketLifecycle => self.delete_bucket_lifecycle(call).await,
            Operation::GetBucketTagging => self.get_bucket_tagging(call),
            Operation::PutBucketTagging => self.put_bucket_tagging(call, body).await,
            Operation::DeleteBucketTagging => self.remove_setting(call, setting::TAGGING).await,
            Operation::GetUnset => self.get_unset(call).await,
            Operation::DeleteUnset => self.delete_unset(call).await,
            Operation::GetObject
            | Operation::HeadObject
            | Operation::PutObject
            | Operation::PostObject
            | Operation::DeleteObject
            | Operation::ListObjects
            | Operation::ListObjectsV2 => {
                Err(S3Error::from(ErrorCode::InternalError).internal("routed twice"))
            }
        }
    }
}

fn check_expected_owner(call: &Call) -> Result<(), S3Error> {
    let expected = headers::text(&call.parts.headers, "x-amz-expected-bucket-owner")?;
    match (expected, &call.home) {
        (Some(expected), Some(home)) if expected != home.account && expected != home.owner.id => {
            Err(ErrorCode::AccessDenied.into())
        }
        _ => Ok(()),
    }
}

fn log_refusal(error: &S3Error, request_id: RequestId, operation: Option<Operation>, method: &Method) {
    let operation = operation.map_or("none", Operation::name);
    let code = error.code().name();
    if error.code().status() >= 500 && error.code() != ErrorCode::NotImplemented {
        tracing::warn!(%request_id, operation, %method, code, cause = error.cause(), "request failed: {}", error.message());
    } else {
        tracing::debug!(%request_id, operation, %method, code, cause = error.cause(), "request refused: {}", error.message());
    }
}

fn error_reply(
    error: &S3Error,
    method: &Method,
    path: &str,
    request_id: RequestId,
    host_id: &str,
) -> Response<ReplyBody> {
    let status = StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let bodyless = method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    let body = if bodyless {
        ReplyBody::empty()
    } else {
        ReplyBody::whole(error_xml(error, path, request_id, host_id))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if !bodyless {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    for (name, value) in error.headers() {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

fn error_xml(error: &S3Error, path: &str, request_id: RequestId, host_id: &str) -> String {
    let mut xml = XmlWriter::bare(512);
    xml.open("Error");
    xml.text("Code", error.code().name());
    xml.text("Message", error.message());
    for (name, value) in error.details() {
        xml.text(name, value);
    }
    xml.text("Resource", path);
    xml.plain("RequestId", request_id);
    xml.text("HostId", host_id);
    xml.finish("Error")
}
