//! Tokens: sealed texts that say who somebody is until they expire or are revoked.

mod document;
mod fernet;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod issue;
mod keys;
mod payload;
mod validate;

pub(crate) use document::Shown;
pub(crate) use issue::Proof;
pub use keys::TokenKeys;
pub(crate) use payload::{Method, Scope};
pub(crate) use validate::{Caller, is_current};
