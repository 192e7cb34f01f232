//! Symlinks: an empty object whose attributes name another one, perhaps with the tag that this must have.

use super::{Look, kept};
use crate::authorize::Need;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, SwiftGateway};
use crate::headers;
use crate::target::quote;
use http::header::CONTENT_LOCATION;
use http::{HeaderMap, StatusCode};
use ringfort_object::{ObjectBody, ObjectInfo, ObjectPath};

/// What is said to a symlink that comes with bytes.
pub(crate) const NO_BODY: &str = "Symlink requests require a zero byte body";

pub(crate) const TARGET: &str = "x-symlink-target";
pub(crate) const TARGET_ACCOUNT: &str = "x-symlink-target-account";
pub(crate) const TARGET_ETAG: &str = "x-symlink-target-etag";
pub(crate) const TARGET_BYTES: &str = "x-symlink-target-bytes";
/// The names under which a link is kept.
const KEPT: &str = "swift/symlink-target";
const KEPT_ACCOUNT: &str = "swift/symlink-target-account";
const KEPT_ETAG: &str = "swift/symlink-target-etag";
const KEPT_BYTES: &str = "swift/symlink-target-bytes";

/// Where a symlink points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// `container/object`, decoded.
    pub(crate) container: String,
    pub(crate) object: String,
    /// The account with its prefix, if another one was named.
    pub(crate) account_name: Option<String>,
    /// The tag that the target must have.
    pub(crate) etag: Option<String>,
    pub(crate) bytes: Option<u64>,
}

impl Link {
    /// Reads the headers of a PUT.
    pub(crate) fn of_request(headers: &HeaderMap) -> Result<Option<Self>> {
        let Some(target) = headers::text(headers, TARGET)? else { return Ok(None) };
        let refused = || {
            SwiftError::precondition(
                "X-Symlink-Target header must be of the form <container name>/<object name>",
            )
        };
        let (container, object) = match target.starts_with('/') {
            true => return Err(refused()),
            false => crate::target::container_and_object(target).ok_or_else(refused)?,
        };
        let account_name =
            headers::filled(headers, TARGET_ACCOUNT)?.map(crate::target::unquote).transpose()?;
        if account_name.as_ref().is_some_and(|name| name.contains('/')) {
            return Err(SwiftError::precondition("Account name cannot contain slashes"));
        }
        let etag = headers::filled(headers, TARGET_ETAG)?.map(|tag| tag.trim_matches('"').to_owned());
        if etag.as_ref().is_some_and(|tag| tag.contains([';', '"', '\\'])) {
            return Err(SwiftError::bad_request("Bad X-Symlink-Target-Etag format"));
        }
        Ok(Some(Self { container, object, account_name, etag, bytes: None }))
    }

    /// The attributes under which it is kept.
    pub(crate) fn attributes(&self) -> Vec<(String, String)> {
        let mut kept = vec![(KEPT.to_owned(), format!("{}/{}", self.container, self.object))];
        kept.extend(self.account_name.clone().map(|name| (KEPT_ACCOUNT.to_owned(), name)));
        kept.extend(self.etag.clone().map(|tag| (KEPT_ETAG.to_owned(), tag)));
        kept.extend(self.bytes.map(|bytes| (KEPT_BYTES.to_owned(), bytes.to_string())));
        kept
    }

    /// Shows it in the headers of a reply.
    pub(crate) fn push(&self, out: &mut HeaderMap) {
        headers::put(out, TARGET, quote(&format!("{}/{}", self.container, self.object)));
        if let Some(account) = &self.account_name {
            headers::put(out, TARGET_ACCOUNT, quote(account));
        }
        if let Some(etag) = &self.etag {
            headers::put(out, TARGET_ETAG, etag);
        }
        if let Some(bytes) = self.bytes {
            headers::put(out, TARGET_BYTES, bytes);
        }
    }

    /// The target as a path, not escaped.
    pub(crate) fn plain_path(&self, account_name: &str) -> String {
        let account = self.account_name.as_deref().unwrap_or(account_name);
        format!("/v1/{account}/{}/{}", self.container, self.object)
    }
}

/// Gives the kept attributes of a link another target account.
pub(crate) fn set_account(kept: &mut Vec<(String, String)>, account_name: &str) {
    kept.retain(|(name, _)| name != KEPT_ACCOUNT);
    kept.push((KEPT_ACCOUNT.to_owned(), account_name.to_owned()));
}

/// Where an object points, if it is a symlink.
pub(crate) fn link_of(info: &ObjectInfo) -> Option<Link> {
    let (container, object) = kept(info, KEPT)?.split_once('/')?;
    Some(Link {
        container: container.to_owned(),
        object: object.to_owned(),
        account_name: kept(info, KEPT_ACCOUNT).map(str::to_owned),
        etag: kept(info, KEPT_ETAG).map(str::to_owned),
        bytes: kept(info, KEPT_BYTES).and_then(|bytes| bytes.parse().ok()),
    })
}

impl SwiftGateway {
    /// The path that a link of this account leads to.
    pub(crate) fn target_of(&self, account: &str, link: &Link) -> Result<ObjectPath> {
        let account = match &link.account_name {
            None => account,
            Some(name) => {
                let prefix = &self.inner.config.reseller_prefix;
                name.strip_prefix(prefix).ok_or_else(SwiftError::not_found)?
            }
        };
        Ok(ObjectPath::new(account, link.container.as_str(), link.object.as_str()))
    }

    /// Goes from link to link to an object.
    pub(super) async fn follow(
        &self,
        call: &Call,
        at: ObjectPath,
        look: &Look,
    ) -> Result<(ObjectPath, ObjectInfo, Option<ObjectBody>, bool)> {
        let (mut at, mut version) = (at, look.version);
        let (mut depth, mut wanted): (u32, Option<String>) = (0, None);
        loop {
            let found = self.object(&at, version, look.open).await;
            let location = (depth > 0).then(|| self.location(&at));
            let located = |error: SwiftError| match &location {
                Some(path) => error.header(CONTENT_LOCATION, headers::value(path)),
                None => error,
            };
            let (info, body) = found.map_err(located)?;
            let link = if look.link { None } else { link_of(&info) };
            // A tag is that of the object that the link names, be it a link itself, unless this names a tag too.
            if link.as_ref().is_none_or(|link| link.etag.is_none())
                && let Some(wanted) = wanted.take().filter(|wanted| !is_tag_of(wanted, &info))
            {
                let text = format!(
                    "Object Etag '{}' does not match X-Symlink-Target-Etag header '{wanted}'",
                    info.etag
                );
                return Err(located(SwiftError::text(StatusCode::CONFLICT, text)));
            }
            let Some(link) = link else { return Ok((at, info, body, depth > 0)) };
            depth += 1;
            let most = self.inner.config.symlink_depth_max;
            if depth > most {
                let text = format!("Too many levels of symbolic links, maximum allowed is {most}");
                return Err(located(SwiftError::text(StatusCode::CONFLICT, text)));
            }
            at = self.target_of(&at.account, &link)?;
            version = None;
            match (&wanted, link.etag) {
                (Some(wanted), Some(next)) if *wanted != next => {
                    let text = "X-Symlink-Target-Etag headers do not match";
                    let error = SwiftError::text(StatusCode::CONFLICT, text);
                    return Err(error.header(CONTENT_LOCATION, headers::value(self.location(&at))));
                }
                (None, next) => wanted = next,
                _ => {}
            }
            let location = headers::value(self.location(&at));
            let allowed = self.allow_at(call, &at, Need::Read).await;
            allowed.map_err(|error| error.header(CONTENT_LOCATION, location))?;
        }
    }

    /// What a static link names: the object, or the link, whose tag it must have.
    pub(crate) async fn link_target(&self, call: &Call, at: ObjectPath) -> Result<ObjectInfo> {
        let (mut at, mut depth) = (at, 0);
        loop {
            self.allow_at(call, &at, Need::Read).await?;
            let (info, _) = self.object(&at, None, false).await?;
            let link = link_of(&info).filter(|link| link.etag.is_some());
            let Some(link) = link else { return Ok(info) };
            depth += 1;
            let most = self.inner.config.symlink_depth_max;
            if depth > most {
                let text = format!("Too many levels of symbolic links, maximum allowed is {most}");
                return Err(SwiftError::text(StatusCode::CONFLICT, text));
            }
            at = self.target_of(&at.account, &link)?;
        }
    }

    /// The path of an object as clients write it.
    pub(crate) fn location(&self, at: &ObjectPath) -> String {
        let prefix = &self.inner.config.reseller_prefix;
        quote(&format!("/v1/{prefix}{}/{}/{}", at.account, at.container, at.key))
    }
}

/// Whether an object has this tag: its own, be it the manifest of a large object.
pub(crate) fn is_tag_of(tag: &str, info: &ObjectInfo) -> bool {
    info.etag.to_string() == tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        let read = |target: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TARGET, headers::value(target));
            Link::of_request(&headers)
        };
        let link = read("c/o%20p/q").unwrap().unwrap();
        assert_eq!((link.container.as_str(), link.object.as_str()), ("c", "o p/q"));
        assert_eq!(link.plain_path("AUTH_a"), "/v1/AUTH_a/c/o p/q");
        for bad in ["", "c", "/c/o", "c/", "//o"] {
            assert_eq!(read(bad).expect_err(bad).status(), 412, "{bad}");
        }
        assert_eq!(Link::of_request(&HeaderMap::new()).unwrap(), None);
    }
}
