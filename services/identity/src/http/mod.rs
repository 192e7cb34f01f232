//! Requests as the operations see them, and replies as Keystone writes them.

mod call;
mod fields;
mod listing;

pub(crate) use call::{Answer, Call, Verb};
pub(crate) use fields::{Is, check_fields, is_tag};
pub(crate) use listing::{collection, list_of, shown};

use crate::error::ApiError;
use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use ::http::{HeaderValue, Method, Response, StatusCode};
use ringfort_http::{ReplyBody, RequestId};

/// The reply to a request, answered or refused.
pub(crate) fn reply(
    answer: Result<Answer, ApiError>,
    method: &Method,
    id: RequestId,
    public_url: &str,
) -> Response<ReplyBody> {
    let mut refused = None;
    let answer = answer.unwrap_or_else(|error| {
        refused = Some(error.status);
        Answer::json(error.status, error.body())
    });
    let text = answer.body.map(|body| body.to_string()).unwrap_or_default();
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = answer.status;
    let out = response.headers_mut();
    out.insert(VARY, HeaderValue::from_static("X-Auth-Token"));
    let digits = format!("{:032x}", id.number());
    let request_id = format!(
        "req-{}-{}-{}-{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..]
    );
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        out.insert("x-openstack-request-id", value);
    }
    if refused == Some(StatusCode::UNAUTHORIZED)
        && let Ok(value) = HeaderValue::from_str(&format!("Keystone uri=\"{public_url}/v3\""))
    {
        out.insert(WWW_AUTHENTICATE, value);
    }
    if refused == Some(StatusCode::SERVICE_UNAVAILABLE) {
        out.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            out.insert(name, value);
        }
    }
    if answer.status != StatusCode::NO_CONTENT {
        out.insert(CONTENT_LENGTH, text.len().into());
    }
    if !text.is_empty() {
        out.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if *method != Method::HEAD {
        *response.body_mut() = ReplyBody::whole(text);
    }
    response
}
