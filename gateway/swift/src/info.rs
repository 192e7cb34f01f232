//! What is of the service and of no account: `/info`, version 1 authentication, health, the cross-domain policy.

use crate::authorize;
use crate::error::{Result, SwiftError};
use crate::gateway::{Reply, SwiftGateway};
use crate::headers;
use crate::ops::{empty_reply, typed_reply};
use crate::target::Query;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use ringfort_http::ReplyBody;
use serde_json::json;

const CROSSDOMAIN: &str = "<?xml version=\"1.0\"?>\n\
    <!DOCTYPE cross-domain-policy SYSTEM \"http://www.adobe.com/xml/dtds/cross-domain-policy.dtd\" >\n\
    <cross-domain-policy>\n<allow-access-from domain=\"*\" secure=\"false\" />\n</cross-domain-policy>";

impl SwiftGateway {
    /// Answers what is not within an account.
    pub(crate) async fn serve_itself(&self, parts: &Parts, path: &str, query: &Query) -> Reply {
        match path {
            "/info" => self.info(parts, query),
            "/healthcheck" => only_get(parts, || typed_reply("text/plain", "OK")),
            "/crossdomain.xml" => only_get(parts, || typed_reply("application/xml", CROSSDOMAIN)),
            "/auth/v1.0" | "/auth/v1" | "/v1.0/auth" => self.login(parts).await,
            // One word is no path, more of them are none of ours.
            path if path.trim_start_matches('/').contains('/') || path.starts_with("//") => {
                Err(SwiftError::not_found())
            }
            _ => Err(SwiftError::precondition("Bad URL")),
        }
    }

    fn info(&self, parts: &Parts, query: &Query) -> Reply {
        if parts.method == Method::OPTIONS {
            let mut response = empty_reply(StatusCode::OK);
            response
                .headers_mut()
                .insert(http::header::ALLOW, HeaderValue::from_static("HEAD, GET, OPTIONS"));
            return Ok(response);
        }
        // The part for administrators needs a key, and there is none.
        if query.has("swiftinfo_sig") || query.has("swiftinfo_expires") {
            return Err(StatusCode::FORBIDDEN.into());
        }
        let text = self.capabilities().to_string();
        only_get(parts, || typed_reply("application/json; charset=UTF-8", text))
    }

    /// What this gateway can do, as `/info` tells it.
    fn capabilities(&self) -> serde_json::Value {
        let config = &self.inner.config;
        let policy = |(place, (_, name)): (usize, &(u16, String))| {
            if place == 0 {
                json!({"name": name, "aliases": name, "default": true})
            } else {
                json!({"name": name, "aliases": name})
            }
        };
        let policies: Vec<_> = config.policies.iter().enumerate().map(policy).collect();
        json!({
            "swift": {
                "version": "2.38.0",
                "strict_cors_mode": true,
                "allow_account_management": false,
                "account_autocreate": true,
                "policies": policies,
                "max_file_size": config.file_bytes_max,
                "max_meta_name_length": config.meta_name_bytes_max,
                "max_meta_value_length": config.meta_value_bytes_max,
                "max_meta_count": config.meta_count_max,
                "max_meta_overall_size": config.meta_bytes_max,
                "max_header_size": config.header_value_bytes_max,
                "max_request_line": config.uri_bytes_max,
                "max_object_name_length": config.object_name_bytes_max,
                "container_listing_limit": config.listing_limit,
                "account_listing_limit": config.listing_limit,
                "max_account_name_length": config.account_name_bytes_max,
                "max_container_name_length": config.container_name_bytes_max,
                "valid_api_versions": ["v1", "v1.0"],
                "extra_header_count": 0,
            },
            "tempauth": {"account_acls": true},
            "slo": {
                "max_manifest_segments": config.manifest_segments_max,
                "max_manifest_size": config.manifest_bytes_max,
                "min_segment_size": 1,
            },
            "dlo": {"max_segments": config.listing_limit},
            "symlink": {"symloop_max": config.symlink_depth_max, "static_links": true},
            "bulk_upload": {
                "max_containers_per_extraction": config.bulk_containers_max,
                "max_failed_extractions": config.bulk_failures_max,
            },
            "bulk_delete": {
                "max_deletes_per_request": config.bulk_deletes_max,
                "max_failed_deletes": config.bulk_failures_max,
            },
            "tempurl": {
                "methods": ["GET", "HEAD", "PUT", "POST", "DELETE"],
                "allowed_digests": ["sha1", "sha256", "sha512"],
                "deprecated_digests": ["sha1"],
                "incoming_remove_headers": [],
                "incoming_allow_headers": [],
                "outgoing_remove_headers": ["x-object-meta-*"],
                "outgoing_allow_headers": ["x-object-meta-public-*"],
            },
            "formpost": {"allowed_digests": ["sha1", "sha256", "sha512"], "deprecated_digests": ["sha1"]},
            "staticweb": {},
            "container_quotas": {},
            "account_quotas": {},
            "versioned_writes": {"allowed_flags": ["x-versions-location", "x-history-location"]},
            "object_versioning": {},
            "crossdomain": {},
        })
    }

    async fn login(&self, parts: &Parts) -> Reply {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Err(StatusCode::METHOD_NOT_ALLOWED.into());
        }
        let first = |names: [&str; 2]| -> Result<Option<&str>> {
            let found = headers::text(&parts.headers, names[0])?;
            Ok(found.or(headers::text(&parts.headers, names[1])?))
        };
        let user = first(["x-auth-user", "x-storage-user"])?.unwrap_or_default();
        let key = first(["x-auth-key", "x-storage-pass"])?.unwrap_or_default();
        let login = self.inner.auth.login(user, key).await;
        let login = login.map_err(|e| SwiftError::usual(StatusCode::SERVICE_UNAVAILABLE).internal(e))?;
        let realm = user.split(':').next().filter(|account| !account.is_empty()).unwrap_or("unknown");
        let Some(login) = login else { return Err(authorize::unauthorized(realm)) };
        let config = &self.inner.config;
        let url = format!(
            "{}/v1/{}{}",
            config.public_url,
            config.reseller_prefix,
            crate::target::quote(&login.project_id)
        );
        let mut response: Response<ReplyBody> = empty_reply(StatusCode::OK);
        let out = response.headers_mut();
        headers::put(out, "x-auth-token", &login.token);
        headers::put(out, "x-storage-token", &login.token);
        headers::put(out, "x-auth-token-expires", login.expires_in_s);
        headers::put(out, "x-storage-url", url);
        Ok(response)
    }
}

fn only_get(parts: &Parts, reply: impl FnOnce() -> Response<ReplyBody>) -> Reply {
    if parts.method == Method::GET || parts.method == Method::HEAD {
        return Ok(reply());
    }
    Err(StatusCode::METHOD_NOT_ALLOWED.into())
}
