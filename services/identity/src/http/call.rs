//! One request: its path in parts, its query, its JSON, and who sent it.

use crate::error::{ApiError, Result};
use crate::service::Identity;
use crate::store::Record;
use crate::token::Caller;
use ::http::request::Parts;
use ::http::{HeaderMap, Method, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http_body_util::BodyDataStream;
use percent_encoding::percent_decode_str;
use ringfort_http::{RequestBody, query_pairs};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Keystone's limit of a request's body.
const BODY_MAX: usize = 114_688;

/// The methods that any resource knows. `HEAD` is `Get` whose body nobody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Other,
}

pub(crate) struct Call {
    pub(crate) service: Identity,
    pub(crate) verb: Verb,
    method: Method,
    /// Asked for the head alone.
    pub(crate) is_head: bool,
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// Path and query as they came, for the links of a list.
    pub(crate) target: String,
    /// Under a lock only so that the whole may be shared: a body by itself may not.
    body: Mutex<Option<RequestBody>>,
    caller: Option<Arc<Caller>>,
}

/// What a request is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Value>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn json(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new() }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(crate) fn created(body: Value) -> Self {
        Self::json(StatusCode::CREATED, body)
    }

    pub(crate) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Call {
    pub(crate) fn new(service: Identity, parts: Parts, body: RequestBody) -> Result<Self> {
        let verb = match parts.method {
            Method::GET | Method::HEAD => Verb::Get,
            Method::POST => Verb::Post,
            Method::PUT => Verb::Put,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ => Verb::Other,
        };
        let bad = |_| ApiError::bad_request("The request's path or query is not UTF-8.");
        let decode = |part: &str| percent_decode_str(part).decode_utf8().map(std::borrow::Cow::into_owned);
        let path = parts.uri.path().split('/').filter(|part| !part.is_empty());
        let path = path.map(decode).collect::<std::result::Result<Vec<String>, _>>().map_err(bad)?;
        let query = query_pairs(parts.uri.query().unwrap_or_default(), false).map_err(bad)?;
        if path.iter().any(|part| part.contains('\0')) {
            return Err(ApiError::no_path());
        }
        if query.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(ApiError::bad_request("The query contains a zero character."));
        }
        let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let is_head = parts.method == Method::HEAD;
        Ok(Self {
            service,
            verb,
            method: parts.method,
            is_head,
            path,
            query,
            headers: parts.headers,
            target,
            body: Mutex::new(Some(body)),
            caller: None,
        })
    }

    /// Lets this request do anything, without a token.
    pub(crate) fn set_operator(&mut self) {
        self.caller = Some(Arc::new(Caller::operator()));
    }

    /// The value of a query parameter.
    pub(crate) fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a query parameter is there and not false, as Keystone reads flags.
    pub(crate) fn asks(&self, name: &str) -> bool {
        self.asked(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// The header `name`, if it is a text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The JSON object of the body.
    pub(crate) async fn json(&mut self) -> Result<Record> {
        let bytes = self.read().await?;
        if bytes.is_empty() {
            return Err(ApiError::bad_request("The request has no body."));
        }
        match serde_json::from_slice(&bytes) {
            // PostgreSQL stores any character but this one, and no name has it.
            Ok(value) if has_zero(&value) => Err(ApiError::bad_request("A text contains a zero character.")),
            Ok(Value::Object(record)) => Ok(record),
            Ok(_) => Err(ApiError::bad_request("The request body is not a JSON object.")),
            Err(_) => Err(ApiError::bad_request(
                "The server could not comply with the request since it is either malformed or otherwise incorrect. \
                 The client is assumed to be in error.",
            )),
        }
    }

    /// The object under `noun` in the JSON of the body.
    pub(crate) async fn resource(&mut self, noun: &str) -> Result<Record> {
        match self.json().await?.remove(noun) {
            Some(Value::Object(record)) => Ok(record),
            _ => Err(ApiError::bad_request(format!("'{noun}' is a required property"))),
        }
    }

    async fn read(&mut self) -> Result<Bytes> {
        let body = self.body.get_mut().ok().and_then(Option::take);
        let Some(body) = body else { return Ok(Bytes::new()) };
        let mut whole = BytesMut::new();
        let mut pieces = BodyDataStream::new(body);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| ApiError::bad_request("The request's body broke off."))?;
            if whole.len() + piece.len() > BODY_MAX {
                return Err(ApiError::too_large());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Who sent this request, by its `X-Auth-Token`.
    pub(crate) async fn caller(&mut self) -> Result<Arc<Caller>> {
        if let Some(caller) = &self.caller {
            return Ok(Arc::clone(caller));
        }
        let token = self.header("x-auth-token").ok_or_else(ApiError::unauthorized)?.to_owned();
        let caller = self.service.validate(&token).await?.ok_or_else(ApiError::unauthorized)?;
        // What an application credential may be used for holds here too.
        if let Some(rules) = caller.access_rules() {
            let (method, path) = (self.method.as_str(), self.target.split('?').next().unwrap_or_default());
            if !rules.iter().any(|rule| rule.covers("identity", method, path)) {
                return Err(ApiError::unauthorized());
            }
        }
        let caller = Arc::new(caller);
        self.caller = Some(Arc::clone(&caller));
        Ok(caller)
    }

    /// The caller, if the rule `identity:<action>` lets it touch `target`.
    pub(crate) async fn enforce(&mut self, action: &str, target: Value) -> Result<Arc<Caller>> {
        let caller = self.caller().await?;
        let rule = format!("identity:{action}");
        if caller.is_operator || self.service.inner.policy.allows(&rule, &caller.facts, &target) {
            return Ok(caller);
        }
        Err(ApiError::forbidden(&rule))
    }

    /// As [`Self::enforce`], where the target is one record: `target.<noun>.<field>`.
    pub(crate) async fn enforce_on(
        &mut self,
        action: &str,
        noun: &str,
        record: Option<&Record>,
    ) -> Result<Arc<Caller>> {
        let target = match record {
            Some(record) => json!({"target": {noun: record}}),
            None => json!({}),
        };
        self.enforce(action, target).await
    }

    /// The URL of this service's version 3.
    pub(crate) fn base(&self) -> String {
        format!("{}/v3", self.service.inner.config.public_url)
    }
}

/// Whether a text in `value` has a zero character. The parser bounds how deep it goes.
fn has_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_zero),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_zero(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
