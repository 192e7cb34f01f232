//! The version documents, which every client reads first.

use super::no_method;
use crate::error::Result;
use crate::http::{Answer, Call, Verb};
use ::http::StatusCode;
use serde_json::{Value, json};

/// The version that Keystone of the same features gives, and when that one came.
const ID: &str = "v3.14";
const UPDATED: &str = "2020-04-07T00:00:00Z";

fn version(call: &Call) -> Value {
    json!({
        "id": ID,
        "status": "stable",
        "updated": UPDATED,
        "links": [{"rel": "self", "href": format!("{}/", call.base())}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}

/// `GET /`: a choice of one.
pub(crate) fn all(call: &Call) -> Result<Answer> {
    match call.verb {
        Verb::Get => {
            let body = json!({"versions": {"values": [version(call)]}});
            Ok(Answer::json(StatusCode::MULTIPLE_CHOICES, body).with("location", format!("{}/", call.base())))
        }
        other => no_method(other),
    }
}

/// `GET /v3`
pub(crate) fn third(call: &Call) -> Result<Answer> {
    match call.verb {
        Verb::Get => Ok(Answer::ok(json!({"version": version(call)}))),
        other => no_method(other),
    }
}
