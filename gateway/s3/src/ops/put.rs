//! PutObject.

use super::{empty_reply, etag_value, push_checksums, push_version, refusal};
use crate::body::UploadPlan;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::headers;
use http::StatusCode;
use http::header::ETAG;
use ringfort_http::RequestBody;
use ringfort_object::{PutDone, PutOptions};

impl S3Gateway {
    pub(crate) async fn put_object(&self, call: &Call, body: CallBody) -> Reply {
        let head = &call.parts.headers;
        let plan = UploadPlan::new(head, body.payload, self.inner.config.put_bytes_max)?;
        let done = self.put_planned(call, plan, body.body).await?;
        let mut response = empty_reply(StatusCode::OK);
        let out = response.headers_mut();
        out.insert(ETAG, etag_value(done.etag));
        push_version(out, done.version, done.versioning);
        push_checksums(out, &done.checksums);
        Ok(response)
    }

    /// Stores a body as the object that the request names.
    pub(super) async fn put_planned(
        &self,
        call: &Call,
        plan: UploadPlan,
        body: RequestBody,
    ) -> Result<PutDone, S3Error> {
        let head = &call.parts.headers;
        let conditions = headers::write_conditions(head)?;
        let must_exist = conditions.if_match.is_some();
        let options = PutOptions {
            attributes: super::attributes_of_new(call)?,
            conditions,
            size: plan.size,
            size_max: Some(self.inner.config.put_bytes_max),
            md5: plan.md5,
            late_checksums: None,
        };
        let (upload, late) = plan.open(body, None);
        let options = PutOptions { late_checksums: Some(late), ..options };
        let put = self.inner.objects.put(&call.path(), options, Box::pin(upload)).await;
        put.map_err(|error| write_refusal(refusal(error, call), must_exist, call))
    }
}

/// A write under `If-Match` on a key that is not there is answered 404, as AWS does.
pub(super) fn write_refusal(error: S3Error, must_exist: bool, call: &Call) -> S3Error {
    match error.code() {
        ErrorCode::NoSuchVersion if must_exist => {
            S3Error::from(ErrorCode::NoSuchKey).detail("Key", &call.key)
        }
        ErrorCode::PreconditionFailed => {
            let condition = if must_exist { "If-Match" } else { "If-None-Match" };
            error.detail("Condition", condition)
        }
        _ => error,
    }
}
