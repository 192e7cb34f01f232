//! Errors as Swift gives them: a status, a short body in HTML or plain text, sometimes headers.
//!
//! Clients branch on the status and print the body to a person; the few texts that they compare are made where they arise.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use ringfort_core::ErrorKind;
use ringfort_object::{BodyError, DigestMismatch, ObjectError};
use std::borrow::Cow;
use std::fmt;

/// The client went away within the body. Swift's own status; the reply hardly ever arrives.
const CLIENT_DISCONNECT: u16 = 499;

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub struct SwiftError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    body: Body,
    headers: Vec<(HeaderName, HeaderValue)>,
    internal: Option<String>,
}

#[derive(Clone, Debug)]
enum Body {
    /// The usual page of this status.
    Usual,
    Text(Cow<'static, str>),
    /// Made by somebody else: a page of a static web site.
    Made(&'static str, Bytes),
}

pub(crate) type Result<T, E = SwiftError> = std::result::Result<T, E>;

impl SwiftError {
    /// The usual page of a status.
    #[must_use]
    pub fn usual(status: StatusCode) -> Self {
        Self(Box::new(Inner { status, body: Body::Usual, headers: Vec::new(), internal: None }))
    }

    /// A status with a text of its own.
    pub fn text(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { status, body: Body::Text(text.into()), headers: Vec::new(), internal: None }))
    }

    pub(crate) fn made(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        let mut error = Self::usual(status);
        error.0.body = Body::Made(content_type, body);
        error
    }

    pub(crate) fn bad_request(text: impl Into<Cow<'static, str>>) -> Self {
        Self::text(StatusCode::BAD_REQUEST, text)
    }

    pub(crate) fn not_found() -> Self {
        Self::usual(StatusCode::NOT_FOUND)
    }

    pub(crate) fn precondition(text: impl Into<Cow<'static, str>>) -> Self {
        Self::text(StatusCode::PRECONDITION_FAILED, text)
    }

    pub(crate) fn disconnected(cause: impl fmt::Display) -> Self {
        Self::usual(StatusCode::from_u16(CLIENT_DISCONNECT).unwrap_or(StatusCode::BAD_REQUEST))
            .internal(cause)
    }

    /// Adds a header to the reply.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Notes what the log should say besides; never sent.
    #[must_use]
    pub fn internal(mut self, cause: impl fmt::Display) -> Self {
        self.0.internal = Some(cause.to_string());
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What only the log may say.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.internal.as_deref()
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The body and its type.
    pub(crate) fn page(&self) -> (&'static str, Bytes) {
        match &self.0.body {
            Body::Usual => {
                let (title, text) = usual_words(self.0.status.as_u16());
                ("text/html; charset=UTF-8", format!("<html><h1>{title}</h1><p>{text}</p></html>").into())
            }
            Body::Text(text) => ("text/plain; charset=UTF-8", Bytes::copy_from_slice(text.as_bytes())),
            Body::Made(content_type, body) => (content_type, body.clone()),
        }
    }

    /// One line about it, for the reports of bulk requests.
    pub(crate) fn status_line(&self) -> String {
        format!("{} {}", self.0.status.as_u16(), usual_words(self.0.status.as_u16()).0)
    }

    /// The kind, in the words that all crates share.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.0.status.as_u16() {
            404 => ErrorKind::NotFound,
            401 | 403 => ErrorKind::Denied,
            304 | 409 | 412 => ErrorKind::Conflict,
            413 => ErrorKind::OverQuota,
            503 => ErrorKind::Unavailable,
            507 => ErrorKind::NoSpace,
            500.. => ErrorKind::Internal,
            _ => ErrorKind::Invalid,
        }
    }
}

impl fmt::Display for SwiftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.body {
            Body::Text(text) => write!(f, "{}: {text}", self.status_line()),
            Body::Usual | Body::Made(..) => f.write_str(&self.status_line()),
        }
    }
}

impl std::error::Error for SwiftError {}

impl From<StatusCode> for SwiftError {
    fn from(status: StatusCode) -> Self {
        Self::usual(status)
    }
}

/// Title and sentence of a status.
fn usual_words(status: u16) -> (&'static str, &'static str) {
    match status {
        200 => ("OK", ""),
        201 => ("Created", ""),
        202 => ("Accepted", "The request is accepted for processing."),
        204 => ("No Content", ""),
        304 => ("Not Modified", ""),
        400 => (
            "Bad Request",
            "The server could not comply with the request since it is either malformed or otherwise incorrect.",
        ),
        401 => (
            "Unauthorized",
            "This server could not verify that you are authorized to access the document you requested.",
        ),
        403 => ("Forbidden", "Access was denied to this resource."),
        404 => ("Not Found", "The resource could not be found."),
        405 => ("Method Not Allowed", "The method is not allowed for this resource."),
        406 => ("Not Acceptable", "The resource is not available in a format acceptable to your browser."),
        408 => {
            ("Request Timeout", "The server has waited too long for the request to be sent by the client.")
        }
        409 => ("Conflict", "There was a conflict when trying to complete your request."),
        411 => ("Length Required", "Content-Length header required."),
        412 => ("Precondition Failed", "A precondition for this request was not met."),
        413 => ("Request Entity Too Large", "The body of your request was too large for this server."),
        414 => ("Request URI Too Long", "The request URI was too long for this server."),
        416 => ("Requested Range Not Satisfiable", "The Range requested is not available."),
        422 => ("Unprocessable Entity", "Unable to process the contained instructions"),
        CLIENT_DISCONNECT => ("Client Disconnect", "The client was disconnected during request."),
        500 => (
            "Internal Error",
            "The server has either erred or is incapable of performing the requested operation.",
        ),
        501 => ("Not Implemented", "The requested method is not implemented by this server."),
        503 => {
            ("Service Unavailable", "The server is currently unavailable. Please try again at a later time.")
        }
        507 => ("Insufficient Storage", "There was not enough space to save the resource."),
        _ => ("Error", ""),
    }
}

impl From<ObjectError> for SwiftError {
    fn from(error: ObjectError) -> Self {
        let cause = error.to_string();
        match error {
            ObjectError::DeleteMarker { version, latest: false, .. } => {
                let id = crate::headers::value(crate::ops::version_text(version));
                let marker = HeaderValue::from_static(crate::history::DELETED);
                Self::not_found()
                    .header(HeaderName::from_static("x-object-version-id"), id)
                    .header(http::header::CONTENT_TYPE, marker)
            }
            ObjectError::NoSuchContainer
            | ObjectError::NoSuchKey
            | ObjectError::NoSuchVersion
            | ObjectError::DeleteMarker { .. }
            | ObjectError::NoSuchUpload => Self::not_found(),
            ObjectError::ContainerTaken
            | ObjectError::ContainerAlreadyYours
            | ObjectError::ContainerNotEmpty
            | ObjectError::AccountNotEmpty => StatusCode::CONFLICT.into(),
            ObjectError::PreconditionFailed => StatusCode::PRECONDITION_FAILED.into(),
            ObjectError::NotModified { .. } => StatusCode::NOT_MODIFIED.into(),
            ObjectError::RangeNotSatisfiable { .. } => StatusCode::RANGE_NOT_SATISFIABLE.into(),
            ObjectError::EntityTooLarge { .. } => {
                Self::text(StatusCode::PAYLOAD_TOO_LARGE, "Your request is too large.")
            }
            ObjectError::BodyLength { .. } => Self::disconnected(cause),
            ObjectError::BadContainerName
            | ObjectError::KeyTooLong
            | ObjectError::BadKey
            | ObjectError::MetadataTooLarge
            | ObjectError::NoSuchPolicy { .. }
            | ObjectError::InvalidPart { .. }
            | ObjectError::InvalidPartOrder
            | ObjectError::EntityTooSmall { .. } => Self::bad_request(cause),
            ObjectError::Body(error) => body_refusal(&error),
            ObjectError::NoSpace => StatusCode::INSUFFICIENT_STORAGE.into(),
            ObjectError::Unavailable { reason } => {
                Self::usual(StatusCode::SERVICE_UNAVAILABLE).internal(reason)
            }
            ObjectError::Corrupt { .. } | ObjectError::Internal { .. } => {
                Self::usual(StatusCode::INTERNAL_SERVER_ERROR).internal(cause)
            }
        }
    }
}

/// A body that failed on its way in has said why in our own words; only its MD5 is checked by the object layer.
fn body_refusal(error: &BodyError) -> SwiftError {
    match error.downcast_ref::<SwiftError>() {
        Some(error) => error.clone(),
        None if error.downcast_ref::<DigestMismatch>().is_some() => StatusCode::UNPROCESSABLE_ENTITY.into(),
        None => SwiftError::disconnected(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_say_what_swift_says() {
        let (kind, page) = SwiftError::not_found().page();
        assert_eq!(kind, "text/html; charset=UTF-8");
        assert_eq!(page, "<html><h1>Not Found</h1><p>The resource could not be found.</p></html>");
        let (kind, page) = SwiftError::precondition("Bad URL").page();
        assert_eq!((kind, &page[..]), ("text/plain; charset=UTF-8", &b"Bad URL"[..]));
        assert_eq!(SwiftError::disconnected("x").status().as_u16(), 499);
        assert_eq!(SwiftError::not_found().status_line(), "404 Not Found");
    }
}
