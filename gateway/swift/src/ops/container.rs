//! Containers: made, described, changed, deleted. Their listing is in `list`.

use super::empty_reply;
use crate::acl::{self, Access};
use crate::authorize::{Need, denied, strip_owners};
use crate::clock;
use crate::containers::{self, Container, set};
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers::{self, Kind, Pairs, check_grown, metadata};
use crate::target::{quote, unquote};
use http::header::{ACCEPT_RANGES, CONTENT_TYPE, HeaderValue, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};
use ringfort_core::HybridTime;
use ringfort_http::RequestBody;
use ringfort_object::{CreateContainer, Created, Versioning};

pub(crate) const VERSIONS_LOCATION: &str = "x-versions-location";
pub(crate) const HISTORY_LOCATION: &str = "x-history-location";
const VERSIONS_ENABLED: &str = "x-versions-enabled";
/// When the metadata last changed, in microseconds since the Unix epoch.
const CHANGED: &str = "swift/changed";
const LISTS: [&str; 2] = ["x-container-read", "x-container-write"];

/// What a PUT or POST asks for.
struct Changes {
    /// Values by name; an empty one removes.
    values: Pairs,
    versioning: Option<bool>,
}

impl SwiftGateway {
    pub(crate) async fn run_container(&self, call: Call, body: RequestBody) -> Reply {
        drop(body);
        match call.method().as_str() {
            "GET" => {
                self.allow(&call, &call.container, Need::List).await?;
                self.list_container(&call).await
            }
            "HEAD" => {
                self.allow(&call, &call.container, Need::List).await?;
                self.head_container(&call).await
            }
            "PUT" | "POST" | "DELETE" if call.access < Access::ReadWrite => Err(denied(&call)),
            "PUT" => self.put_container(&call).await,
            "POST" => self.post_container(&call).await,
            "DELETE" => self.delete_container(&call).await,
            _ => Err(StatusCode::METHOD_NOT_ALLOWED.into()),
        }
    }

    async fn head_container(&self, call: &Call) -> Reply {
        let format = crate::listing::Format::of(&call.query, &call.parts.headers)?;
        let container = self.container(&call.account, &call.container).await?;
        let mut response = empty_reply(StatusCode::NO_CONTENT);
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        self.push_container(out, call, &container);
        Ok(response)
    }

    /// Describes a container in the headers of a reply.
    pub(super) fn push_container(&self, out: &mut HeaderMap, call: &Call, container: &Container) {
        let info = &container.info;
        out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers::put(out, "x-container-object-count", info.objects);
        headers::put(out, "x-container-bytes-used", info.bytes);
        headers::put(out, "x-timestamp", clock::timestamp(info.created));
        headers::put(out, "x-put-timestamp", clock::timestamp(info.created));
        let changed =
            container.get(CHANGED).and_then(|time| time.parse().ok()).map_or(info.created, HybridTime);
        out.insert(LAST_MODIFIED, headers::value(clock::http_date(changed)));
        if let Some(name) = self.policy_name(info.policy) {
            headers::put(out, "x-storage-policy", name);
        }
        match info.versioning {
            Versioning::Off => {}
            Versioning::Enabled => headers::put(out, VERSIONS_ENABLED, "True"),
            Versioning::Suspended => headers::put(out, VERSIONS_ENABLED, "False"),
        }
        for (name, value) in container.metadata() {
            headers::put(out, name, value);
        }
        for name in LISTS {
            if let Some(value) = container.get(name) {
                headers::put(out, name, value);
            }
        }
        for name in [VERSIONS_LOCATION, HISTORY_LOCATION] {
            if let Some(location) = container.get(name) {
                headers::put(out, name, quote(location));
            }
        }
        if !call.is_owner() {
            strip_owners(out);
        }
    }

    async fn put_container(&self, call: &Call) -> Reply {
        let changes = self.changes(call)?;
        let policy = self.policy_of(call)?;
        let known = self.container_if_any(&call.account, &call.container).await?;
        if let Some(known) = known {
            if policy.is_some_and(|policy| policy != known.info.policy) {
                return Err(StatusCode::CONFLICT.into());
            }
            self.change(call, &known, changes).await?;
            return Ok(empty_reply(StatusCode::ACCEPTED));
        }
        let mut values = Pairs::new();
        changes.values.iter().for_each(|(name, value)| set(&mut values, name, value));
        check_grown(&values, Kind::Container, &self.inner.config)?;
        refuse_two_versionings(&values, changes.versioning == Some(true))?;
        let versioning = if changes.versioning == Some(true) { Versioning::Enabled } else { Versioning::Off };
        let options = CreateContainer { policy, versioning, metadata: values, alias_required: false };
        match self.inner.objects.create_container(&call.account, &call.container, options).await? {
            Created::New => Ok(empty_reply(StatusCode::CREATED)),
            // Another request was first.
            Created::AlreadyYours => {
                let known = self.container(&call.account, &call.container).await?;
                self.change(call, &known, changes).await?;
                Ok(empty_reply(StatusCode::ACCEPTED))
            }
        }
    }

    async fn post_container(&self, call: &Call) -> Reply {
        let changes = self.changes(call)?;
        let known = self.container(&call.account, &call.container).await?;
        self.change(call, &known, changes).await?;
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }

    async fn delete_container(&self, call: &Call) -> Reply {
        self.inner.objects.delete_container(&call.account, &call.container).await?;
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }

    /// The name of a storage policy.
    pub(crate) fn policy_name(&self, id: u16) -> Option<&str> {
        self.inner.config.policies.iter().find(|(known, _)| *known == id).map(|(_, name)| name.as_str())
    }

    fn policy_of(&self, call: &Call) -> Result<Option<u16>> {
        let Some(name) = headers::filled(&call.parts.headers, "x-storage-policy")? else { return Ok(None) };
        let known = self.inner.config.policies.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        let (id, _) =
            known.ok_or_else(|| SwiftError::bad_request(format!("Invalid X-Storage-Policy '{name}'")))?;
        Ok(Some(*id))
    }

    /// Reads the changes that a request asks for.
    fn changes(&self, call: &Call) -> Result<Changes> {
        let head = &call.parts.headers;
        let mut values: Pairs = metadata(head, Kind::Container, &self.inner.config)?
            .into_iter()
            .map(|(name, value)| (format!("{}{name}", Kind::Container.prefix()), value))
            .collect();
        check_quotas(&values)?;
        for name in LISTS {
            if let Some(list) = headers::text(head, name)? {
                values.push((name.to_owned(), acl::clean(name, list)?));
            } else if head.contains_key(format!("x-remove-{}", &name[2..])) && call.is_owner() {
                values.push((name.to_owned(), String::new()));
            }
        }
        self.location_changes(head, &mut values)?;
        let versioning = headers::filled(head, VERSIONS_ENABLED)?.map(|word| {
            let no = ["false", "0", "no", "off", "f", "n"].iter().any(|no| word.eq_ignore_ascii_case(no));
            if headers::is_true(word) || no {
                Ok(headers::is_true(word))
            } else {
                Err(SwiftError::bad_request(format!("Invalid value for {VERSIONS_ENABLED}: {word}")))
            }
        });
        Ok(Changes { values, versioning: versioning.transpose()? })
    }

    /// The two ways to keep old versions in another container; setting one ends the other.
    fn location_changes(&self, head: &HeaderMap, values: &mut Pairs) -> Result<()> {
        let versions = headers::text(head, VERSIONS_LOCATION)?;
        let history = headers::text(head, HISTORY_LOCATION)?;
        if versions.is_some_and(|name| !name.is_empty()) && history.is_some_and(|name| !name.is_empty()) {
            return Err(SwiftError::bad_request(
                "Only one of X-Versions-Location or X-History-Location may be specified",
            ));
        }
        let removed = ["x-remove-versions-location", "x-remove-history-location"]
            .iter()
            .any(|name| head.contains_key(*name));
        let pairs =
            [(VERSIONS_LOCATION, versions, HISTORY_LOCATION), (HISTORY_LOCATION, history, VERSIONS_LOCATION)];
        let mut any = false;
        for (name, given, other) in pairs {
            let Some(given) = given.filter(|name| !name.is_empty()) else { continue };
            let location = unquote(given)?;
            if location.contains('/') {
                return Err(SwiftError::precondition(format!(
                    "Container name cannot contain slashes: {location}"
                )));
            }
            values.push((name.to_owned(), location));
            values.push((other.to_owned(), String::new()));
            any = true;
        }
        if !any && (removed || versions.is_some() || history.is_some()) {
            values.push((VERSIONS_LOCATION.to_owned(), String::new()));
            values.push((HISTORY_LOCATION.to_owned(), String::new()));
        }
        Ok(())
    }

    async fn change(&self, call: &Call, known: &Container, changes: Changes) -> Result<()> {
        let enabled = changes.versioning.unwrap_or(known.info.versioning == Versioning::Enabled);
        let limits = self.inner.config.clone();
        let change = move |values: &mut Pairs| {
            changes.values.iter().for_each(|(name, value)| set(values, name, value));
            check_grown(values, Kind::Container, &limits)?;
            refuse_two_versionings(values, enabled)?;
            // A change to what there is already is one too: its time is told.
            set(values, CHANGED, &ringfort_runtime::wall_us().to_string());
            Ok::<_, SwiftError>(())
        };
        self.inner.objects.update_container_metadata(&call.account, &call.container, change).await?;
        let wanted = match (changes.versioning, known.info.versioning) {
            (Some(true), _) => Versioning::Enabled,
            (Some(false), Versioning::Enabled) => Versioning::Suspended,
            (_, now) => now,
        };
        if wanted != known.info.versioning {
            self.inner.objects.set_versioning(&call.account, &call.container, wanted).await?;
        }
        Ok(())
    }
}

fn refuse_two_versionings(values: &Pairs, enabled: bool) -> Result<()> {
    let located =
        [VERSIONS_LOCATION, HISTORY_LOCATION].iter().any(|name| containers::get(values, name).is_some());
    if enabled && located {
        return Err(SwiftError::bad_request(
            "Cannot enable object versioning on a container that is already using the legacy versioned writes feature.",
        ));
    }
    Ok(())
}

fn check_quotas(values: &Pairs) -> Result<()> {
    for what in ["bytes", "count"] {
        let name = format!("{}quota-{what}", Kind::Container.prefix());
        let quota = containers::get(values, &name).unwrap_or_default();
        if !quota.is_empty() && quota.parse::<u64>().is_err() {
            return Err(SwiftError::bad_request(format!("Invalid {what} quota.")));
        }
    }
    Ok(())
}
