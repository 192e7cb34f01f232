//! The operations, one file per kind, and what they share.

mod account;
mod account_list;
mod container;
mod content_type;
mod copy;
mod delete;
mod list;
mod object;
mod post;
mod put;
mod read;
mod slo_delete;
mod slo_put;
mod versions;

pub(crate) use container::{HISTORY_LOCATION, VERSIONS_LOCATION};
pub(crate) use content_type::Listed;
pub(crate) use list::{Row, Wanted};
pub(crate) use versions::{parse as parse_version, text_of as version_text};

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use ringfort_http::ReplyBody;

/// What replies without a document of their own say about it.
const HTML: &str = "text/html; charset=UTF-8";

/// A reply without a body.
pub(crate) fn empty_reply(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(HTML));
    response
}

/// A reply with a document.
pub(crate) fn typed_reply(content_type: &'static str, text: impl Into<bytes::Bytes>) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
