//! Requests of web pages from elsewhere: what the container's metadata allow them.

use crate::containers::Container;
use crate::error::Result;
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers;
use crate::ops::empty_reply;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Response, StatusCode};
use ringfort_http::ReplyBody;

const ALLOW_ORIGIN: &str = "x-container-meta-access-control-allow-origin";
const EXPOSE: &str = "x-container-meta-access-control-expose-headers";
const MAX_AGE: &str = "x-container-meta-access-control-max-age";

const SIMPLE: [&str; 10] = [
    "cache-control",
    "content-language",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
    "etag",
    "x-timestamp",
    "x-trans-id",
    "x-openstack-request-id",
];

impl SwiftGateway {
    /// `OPTIONS`: which methods there are, and whether a page from elsewhere may use them.
    pub(crate) async fn options(&self, call: &Call) -> Reply {
        let methods = match (call.container.is_empty(), call.object.is_empty()) {
            (true, _) => "HEAD, GET, POST, OPTIONS",
            (false, true) => "HEAD, GET, PUT, POST, DELETE, OPTIONS",
            (false, false) => "HEAD, GET, PUT, POST, COPY, DELETE, OPTIONS",
        };
        let mut response = empty_reply(StatusCode::OK);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        let head = &call.parts.headers;
        let Some(origin) = head.get(ORIGIN) else { return Ok(response) };
        if call.container.is_empty() {
            return Ok(response);
        }
        let container = self.container_if_any(&call.account, &call.container).await?;
        let wanted = headers::text(head, ACCESS_CONTROL_REQUEST_METHOD.as_str())?.unwrap_or_default();
        let known = methods.split(", ").any(|method| method == wanted);
        let Some(container) = container.filter(|container| known && allows(container, origin)) else {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            return Ok(response);
        };
        let out = response.headers_mut();
        push_origin(out, &container, origin);
        out.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        if let Some(age) = container.get(MAX_AGE) {
            out.insert(ACCESS_CONTROL_MAX_AGE, headers::value(age));
        }
        if let Some(wanted) = head.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            out.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            out.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
        }
        Ok(response)
    }

    /// Tells the browser of a page from elsewhere that the page may see the reply, if it may.
    pub(crate) async fn share(
        &self,
        account: &str,
        container: &str,
        origin: &HeaderValue,
        response: &mut Response<ReplyBody>,
    ) -> Result<()> {
        let Some(container) = self.container_if_any(account, container).await? else { return Ok(()) };
        if !allows(&container, origin) {
            return Ok(());
        }
        let out = response.headers_mut();
        let mut exposed: Vec<String> = SIMPLE.iter().map(|name| (*name).to_owned()).collect();
        let metadata = |name: &&http::HeaderName| {
            name.as_str().starts_with("x-container-meta") || name.as_str().starts_with("x-object-meta")
        };
        exposed.extend(out.keys().filter(metadata).map(|name| name.as_str().to_owned()));
        let also = container.get(EXPOSE).unwrap_or_default().split(' ').filter(|name| !name.is_empty());
        exposed.extend(also.map(str::to_ascii_lowercase));
        exposed.dedup();
        out.insert(ACCESS_CONTROL_EXPOSE_HEADERS, headers::value(exposed.join(", ")));
        push_origin(out, &container, origin);
        Ok(())
    }
}

fn allows(container: &Container, origin: &HeaderValue) -> bool {
    let list = container.get(ALLOW_ORIGIN).unwrap_or_default();
    list.split(' ')
        .map(str::trim)
        .any(|allowed| !allowed.is_empty() && (allowed == "*" || allowed.as_bytes() == origin.as_bytes()))
}

fn push_origin(out: &mut HeaderMap, container: &Container, origin: &HeaderValue) {
    if container.get(ALLOW_ORIGIN).is_some_and(|list| list.trim() == "*") {
        out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else {
        out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        out.append(VARY, HeaderValue::from_static("Origin"));
    }
}
