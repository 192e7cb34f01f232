//! Keystone v3: who somebody is, what they may touch, and where the services are.
//!
//! ```text
//!  request -> http (path, JSON) -> ops (one file per resource) -> store (records, SQL) -> SQLite or PostgreSQL
//!                                    |        \
//!                                  policy     token (Fernet), auth (passwords, scopes)
//! ```
//!
//! A token says whose it is and what for; roles, names and the catalogue are looked up each time it is shown, so whatever is
//! taken away is gone at once. Requests are routed by matching on the parts of their path: a table of a framework would need
//! its paths decoded twice and could not answer in Keystone's words.

mod auth;
mod config;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod ops;
mod password;
mod policy;
mod port;
mod service;
mod store;
mod time;
mod token;

pub use config::{IdentityConfig, ServedAt};
pub use service::{FirstAdmin, Identity, IdentityError};
pub use token::TokenKeys;
