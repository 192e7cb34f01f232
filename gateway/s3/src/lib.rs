//! The S3 dialect over the object layer.
//!
//! [`S3Gateway::handle`] turns a request of an S3 client into calls of [`ringfort_object::ObjectStore`] and its answers
//! into what AWS would have said. A request passes, in this order:
//!
//! ```text
//! target, head size -> signature (SigV4) -> route -> names, headers -> access -> operation -> reply or error in XML
//!                                                                                  |
//!                     body: aws-chunked framing, length, SHA-256, checksums -> object layer
//! ```
//!
//! Nothing polls the body before everything left of it has been decided, so a client that waits for `100 Continue` is
//! told no before it sends, and a client that does not costs no memory.

mod access;
mod admission;
mod auth;
mod body;
mod clock;
mod config;
mod credentials;
mod error;
mod form;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod headers;
mod measure;
mod names;
mod operation;
mod ops;
mod target;
mod xml;

pub use config::S3Config;
pub use credentials::{
    Credential, CredentialFuture, CredentialStore, CredentialsUnavailable, FixedCredentials, KeyUser, Rights,
};
pub use error::{ErrorCode, S3Error};
pub use gateway::S3Gateway;
pub use ringfort_http::ReplyBody;
