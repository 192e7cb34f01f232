//! Refusals in Keystone's words: a status, and `{"error": {"code", "message", "title"}}`.

use http::StatusCode;
use ringfort_core::{ErrorKind, with_causes};
use ringfort_db::DbError;
use serde_json::{Value, json};

pub(crate) type Result<T> = std::result::Result<T, ApiError>;

/// A request that is refused, or failed.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    message: String,
    /// What went wrong inside, for the log alone.
    pub(crate) cause: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), cause: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// One text for every reason, so that nobody learns which it was.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "The request you have made requires authentication.")
    }

    pub(crate) fn forbidden(action: &str) -> Self {
        Self::denied(format!("You are not authorized to perform the requested action: {action}."))
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn not_found(noun: &str, id: &str) -> Self {
        Self::missing(format!("Could not find {noun}: {id}."))
    }

    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn no_path() -> Self {
        Self::missing("The resource could not be found.")
    }

    pub(crate) fn no_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for the requested URL.")
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub(crate) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Request is too large.")
    }

    pub(crate) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The service is temporarily unable to serve the request; try again.",
        )
    }

    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        let message = "An unexpected error prevented the server from fulfilling your request.";
        Self { cause: Some(cause.into()), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, message) }
    }

    pub(crate) fn body(&self) -> Value {
        let title = self.status.canonical_reason().unwrap_or("Error");
        json!({"error": {"code": self.status.as_u16(), "message": self.message, "title": title}})
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        let cause = Some(with_causes(&error));
        match error.kind() {
            ErrorKind::Unavailable => Self { cause, ..Self::busy() },
            ErrorKind::Conflict => {
                let message = "Conflict occurred attempting to store the resource.";
                Self { cause, ..Self::conflict(message) }
            }
            _ => Self::internal(with_causes(&error)),
        }
    }
}
