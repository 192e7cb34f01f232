//! Who may do what: by the account's owner, by the account's list, by the container's list, by a signed URL.
//!
//! Asked in the order of what it costs: roles are at hand, lists are looked up only for those whose roles do not suffice.

use crate::acl::{self, Access, ContainerList};
use crate::containers::Container;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, SwiftGateway};
use crate::headers;
use http::header::{REFERER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use ringfort_object::ObjectPath;

/// What a signed URL or form stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The only container it opens, if it was signed with a container's key.
    pub(crate) container: Option<String>,
}

/// What is to be done in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To read an object.
    Read,
    /// To see the container itself or its listing.
    List,
    /// To write or delete an object.
    Write,
}

/// Headers that only the owner sees and sets.
const OWNERS: [&str; 9] = [
    "x-container-read",
    "x-container-write",
    "x-container-sync-key",
    "x-container-sync-to",
    "x-account-meta-temp-url-key",
    "x-account-meta-temp-url-key-2",
    "x-container-meta-temp-url-key",
    "x-container-meta-temp-url-key-2",
    "x-account-access-control",
];

/// Takes away what only the owner may see or set.
pub(crate) fn strip_owners(headers: &mut HeaderMap) {
    for name in OWNERS {
        headers.remove(name);
    }
}

/// A refusal: 401 to whom nobody knows, 403 to the others.
pub(crate) fn denied(call: &Call) -> SwiftError {
    if call.identity.is_some() { StatusCode::FORBIDDEN.into() } else { unauthorized(&call.account_name) }
}

/// Asks for a token.
pub(crate) fn unauthorized(account_name: &str) -> SwiftError {
    let realm = crate::target::quote(account_name);
    let challenge = headers::value(format_args!("Swift realm=\"{realm}\""));
    SwiftError::usual(StatusCode::UNAUTHORIZED).header(WWW_AUTHENTICATE, challenge)
}

impl SwiftGateway {
    /// How far the caller may go in the account, by role or by the account's list.
    pub(crate) async fn account_access(&self, call: &Call) -> Result<Access> {
        let Some(who) = &call.identity else { return Ok(Access::None) };
        if who.reseller_admin {
            return Ok(Access::Owner);
        }
        let own = who.project_id == call.account;
        if own && who.is_owner() {
            return Ok(Access::Owner);
        }
        let by_role = if own && who.is_reader() { Access::Read } else { Access::None };
        let list = self.account_list(&call.account).await?;
        Ok(by_role.max(acl::account_access(&list, who)))
    }

    /// Refuses a caller who may not do this in `container`. What is missing is found missing by whoever may know.
    pub(crate) async fn allow(&self, call: &Call, container: &str, need: Need) -> Result<()> {
        let enough = match need {
            Need::Read | Need::List => call.access >= Access::Read,
            Need::Write => call.access >= Access::ReadWrite,
        };
        if enough || call.grant.as_ref().is_some_and(|grant| opens(grant, container)) {
            return Ok(());
        }
        match self.container_if_any(&call.account, container).await? {
            Some(found) if list_allows(call, &found, need) => Ok(()),
            _ => Err(denied(call)),
        }
    }
}

/// As [`SwiftGateway::allow`], for a path that may lie in another account.
impl SwiftGateway {
    pub(crate) async fn allow_at(&self, call: &Call, at: &ObjectPath, need: Need) -> Result<()> {
        if at.account == call.account {
            return self.allow(call, &at.container, need).await;
        }
        let prefix = &self.inner.config.reseller_prefix;
        let mut there = Call {
            account: at.account.clone(),
            account_name: format!("{prefix}{}", at.account),
            access: Access::None,
            grant: None,
            container: at.container.clone(),
            object: at.key.clone(),
            ..call.clone()
        };
        there.access = self.account_access(&there).await?;
        self.allow(&there, &at.container, need).await
    }
}

fn opens(grant: &Grant, container: &str) -> bool {
    grant.container.as_deref().is_none_or(|only| only == container)
}

fn list_allows(call: &Call, container: &Container, need: Need) -> bool {
    let name = if need == Need::Write { "x-container-write" } else { "x-container-read" };
    let Some(list) = container.get(name).filter(|list| !list.is_empty()) else { return false };
    let list = ContainerList::parse(list);
    let referrer = call.parts.headers.get(REFERER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let as_page = match need {
        Need::Read => list.allows_referrer(referrer),
        Need::List => list.lists() && list.allows_referrer(referrer),
        Need::Write => false,
    };
    as_page || call.identity.as_ref().is_some_and(|who| list.allows_user(who))
}
