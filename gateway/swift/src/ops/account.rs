//! Accounts: their metadata, and the listing of their containers.

use super::{empty_reply, typed_reply};
use crate::acl::{self, Access};
use crate::authorize::denied;
use crate::clock;
use crate::containers::{self, set};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers::{self, Kind, Pairs, check_grown, metadata};
use crate::listing::Format;
use crate::quota;
use http::header::{ACCEPT_RANGES, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use ringfort_core::HybridTime;
use ringfort_http::RequestBody;
use ringfort_object::AccountInfo;

/// The access list of an account.
const LIST: &str = "x-account-access-control";

impl SwiftGateway {
    pub(crate) async fn run_account(&self, call: Call, body: RequestBody) -> Reply {
        drop(body);
        match call.method().as_str() {
            "GET" | "HEAD" if call.access < Access::Read => Err(denied(&call)),
            "GET" | "HEAD" => self.read_account(&call).await,
            "POST" if !call.is_owner() => Err(denied(&call)),
            "POST" => self.post_account(&call).await,
            // Accounts come and go with their projects.
            "PUT" | "DELETE" if call.is_reseller_admin() => Err(StatusCode::METHOD_NOT_ALLOWED.into()),
            "PUT" | "DELETE" => Err(denied(&call)),
            _ => Err(StatusCode::METHOD_NOT_ALLOWED.into()),
        }
    }

    async fn post_account(&self, call: &Call) -> Reply {
        let config = &self.inner.config;
        let given = metadata(&call.parts.headers, Kind::Account, config)?;
        let list = headers::text(&call.parts.headers, LIST)?.map(acl::clean_account).transpose()?;
        let quotas = quota::of_request(call)?;
        let limits = config.clone();
        let change = move |kept: &mut Pairs| {
            for (name, value) in given.iter().filter(|(name, _)| name != "quota-bytes") {
                set(kept, &format!("{}{name}", Kind::Account.prefix()), value);
            }
            for (name, value) in &quotas {
                set(kept, name, value);
            }
            if let Some(list) = &list {
                set(kept, LIST, list);
            }
            check_grown(kept, Kind::Account, &limits)
        };
        self.inner.objects.update_account_metadata(&call.account, change).await?;
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }

    async fn read_account(&self, call: &Call) -> Reply {
        let format = Format::of(&call.query, &call.parts.headers)?;
        let account = self.inner.objects.account(&call.account).await?;
        let mut response = if call.method() == Method::HEAD {
            empty_reply(StatusCode::NO_CONTENT)
        } else {
            let text = self.account_listing(call, format).await?;
            let mut response = typed_reply(format.content_type(), text);
            if http_body::Body::is_end_stream(response.body()) {
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            response
        };
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        push_account(out, &account);
        self.push_policies(out, &account);
        if !call.is_owner() {
            crate::authorize::strip_owners(out);
        }
        Ok(response)
    }

    /// What the containers of each policy hold.
    fn push_policies(&self, out: &mut HeaderMap, account: &AccountInfo) {
        for (policy, used) in &account.policies {
            let Some(name) = self.policy_name(*policy) else { continue };
            let name = format!("x-account-storage-policy-{}", name.to_ascii_lowercase());
            headers::put(out, &format!("{name}-container-count"), used.containers);
            headers::put(out, &format!("{name}-object-count"), used.stats.objects);
            headers::put(out, &format!("{name}-bytes-used"), used.stats.bytes);
        }
    }
}

fn push_account(out: &mut HeaderMap, account: &AccountInfo) {
    let known = &account.metadata;
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers::put(out, "x-account-container-count", account.containers);
    headers::put(out, "x-account-object-count", account.objects);
    headers::put(out, "x-account-bytes-used", account.bytes);
    // An account that was never used is as old as the question.
    let created = account.created.unwrap_or_else(|| HybridTime(ringfort_runtime::wall_us()));
    headers::put(out, "x-timestamp", clock::timestamp(created));
    for (name, value) in containers::user(known, Kind::Account) {
        headers::put(out, name, value);
    }
    for name in quota::ACCOUNT {
        if let Some(value) = containers::get(known, name) {
            headers::put(out, name, value);
            if name == quota::ACCOUNT[0] {
                headers::put(out, "x-account-meta-quota-bytes", value);
            }
        }
    }
    if let Some(list) = containers::get(known, LIST) {
        headers::put(out, LIST, list);
    }
}
