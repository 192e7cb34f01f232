//! `POST /v3/auth/tokens`: from what a client says to a token.

mod methods;
mod scope;
mod signature;

pub(crate) use methods::{Expired, check_password, prove};
pub(crate) use scope::{wanted_scope, wanted_trust};
pub(crate) use signature::{signs_request, signs_text};
