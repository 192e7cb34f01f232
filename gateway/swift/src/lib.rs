//! The Swift dialect over the object layer.
//!
//! [`SwiftGateway::handle`] turns a request of a Swift client into calls of [`ringfort_object::ObjectStore`] and its answers
//! into what Swift would have said. The account `AUTH_{project}` is the object layer's account `{project}`, a container is
//! a container, so the same objects are reached through S3. A request passes, in this order:
//!
//! ```text
//! target, lengths -> /info and the like
//!       |
//!    token or signed URL -> access to the account -> operation -> reply or error
//!                                                        |
//!                        lists of the container, quotas, conditions; then body -> object layer
//! ```
//!
//! Nothing polls the body before everything left of it has been decided.

mod accounts;
mod acl;
mod authorize;
mod body;
mod bulk;
mod clock;
mod config;
mod containers;
mod cors;
mod entity;
mod error;
mod formpost;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod headers;
mod history;
mod identity;
mod info;
mod listing;
mod measure;
mod ops;
mod quota;
mod ranges;
mod staticweb;
mod target;
mod tempauth;
mod tempurl;

pub use config::SwiftConfig;
pub use error::SwiftError;
pub use gateway::SwiftGateway;
pub use identity::{AuthFuture, AuthUnavailable, Authenticator, Identity, Login};
pub use ringfort_http::ReplyBody;
pub use tempauth::{TempAuth, TempAuthUser};
