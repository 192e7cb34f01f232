//! FormPost: uploads from a browser's form, signed with a key of the account or container.
//!
//! The fields come before the files, and the signature covers the path, where to go afterwards, how large and how many
//! the files may be, and until when. Files are stored as they arrive.

mod multipart;

use multipart::Multipart;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use multipart::whole;

use crate::authorize::Grant;
use crate::body::at_hand;
use crate::clock;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers;
use crate::ops::{empty_reply, typed_reply};
use crate::target::unquote;
use crate::tempurl::{Digest, Key};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use ringfort_http::{RequestBody, header_attributes};
use ringfort_object::PutOptions;
use std::collections::BTreeMap;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

/// Longest value of a field.
const FIELD_BYTES_MAX: usize = 4096;
/// Most fields of a form.
const FIELDS_MAX: usize = 100;

type Fields = BTreeMap<String, String>;

/// How a form ended.
struct Outcome {
    status: StatusCode,
    message: String,
}

/// The boundary of a form, if the request is one.
pub(crate) fn boundary_of(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (kind, found) = header_attributes(text);
    if kind != "multipart/form-data" {
        return None;
    }
    found.into_iter().find(|(name, _)| name == "boundary").map(|(_, value)| value)
}

impl SwiftGateway {
    /// Takes a form in.
    pub(crate) async fn form_post(&self, call: Call, body: RequestBody, boundary: &str) -> Reply {
        let parts = Arc::new(Mutex::new(Multipart::new(body, boundary)?));
        let keys = self.signing_keys(&call.account, &call.container).await?;
        let mut fields = Fields::new();
        let outcome = self.take_parts(&call, &parts, &keys, &mut fields).await?;
        let status = outcome.status;
        let line = SwiftError::usual(status).status_line();
        let Some(redirect) = fields.get("redirect").filter(|redirect| !redirect.is_empty()) else {
            let text = match outcome.message.as_str() {
                "" => line,
                message => format!("{line}\r\nFormPost: {message}"),
            };
            let mut response = typed_reply("text/plain", text);
            *response.status_mut() = status;
            return Ok(response);
        };
        let mark = if redirect.contains('?') { '&' } else { '?' };
        let (code, message) = (status.as_u16(), crate::tempurl::quote_segment(&outcome.message));
        let mut response = empty_reply(StatusCode::SEE_OTHER);
        let location = format!("{redirect}{mark}status={code}&message={message}");
        response.headers_mut().insert(LOCATION, headers::value(location));
        Ok(response)
    }

    async fn take_parts(
        &self,
        call: &Call,
        parts: &Arc<Mutex<Multipart>>,
        keys: &[Key],
        fields: &mut Fields,
    ) -> Result<Outcome> {
        let mut files = 0_u64;
        let mut last = None;
        loop {
            let Some(head) = parts.lock().await.next_part().await? else { break };
            let named =
                |name: &str| head.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
            let (kind, about) = header_attributes(named("content-disposition").unwrap_or_default());
            let about =
                |name: &str| about.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
            let filename = about("filename").filter(|name| kind == "form-data" && !name.is_empty());
            let Some(filename) = filename else {
                let text = parts.lock().await.text(FIELD_BYTES_MAX).await?;
                if let Some(name) = about("name").filter(|_| fields.len() < FIELDS_MAX) {
                    fields.insert(
                        name.to_ascii_lowercase(),
                        text.trim_end_matches(['\r', '\n', '-']).to_owned(),
                    );
                }
                continue;
            };
            files += 1;
            if files > number(fields, "max_file_count", "max_file_count not an integer")? {
                let message = "Max File Count Exceeded".to_owned();
                return Ok(Outcome { status: StatusCode::BAD_REQUEST, message });
            }
            let mut of_file = fields.clone();
            for name in ["content-type", "content-encoding"] {
                if let Some(value) = named(name) {
                    of_file.entry(name.to_owned()).or_insert_with(|| value.to_owned());
                }
            }
            let status = self.store_file(call, parts, keys, &of_file, &filename).await?;
            last = Some(status);
            if !status.is_success() {
                break;
            }
        }
        Ok(match last {
            Some(status) => Outcome { status, message: String::new() },
            None => Outcome { status: StatusCode::BAD_REQUEST, message: "No Files To Process".to_owned() },
        })
    }

    async fn store_file(
        &self,
        call: &Call,
        parts: &Arc<Mutex<Multipart>>,
        keys: &[Key],
        fields: &Fields,
        filename: &str,
    ) -> Result<StatusCode> {
        let bytes_max = number(fields, "max_file_size", "max_file_size not an integer")?;
        if number(fields, "expires", "expired not an integer")? < clock::now_s() {
            return Err(unauthorized("Form Expired"));
        }
        let path = unquote(call.parts.uri.path())?;
        let container = signer_of(&path, fields, keys)?;
        let mut there = call.clone();
        there.parts.method = Method::PUT;
        there.parts.headers = file_headers(fields)?;
        there.grant = Some(Grant { container });
        there.identity = None;
        there.access = crate::acl::Access::None;
        there.query = crate::target::Query::default();
        there.object =
            if call.object.is_empty() { filename.to_owned() } else { format!("{}{filename}", call.object) };
        self.check_names(&there.account_name, &there.container, &there.object)?;
        let options = PutOptions {
            attributes: self.attributes(&there.parts.headers, &there.object)?,
            size_max: Some(bytes_max.min(self.inner.config.file_bytes_max)),
            ..PutOptions::default()
        };
        match self.store(&there, options, at_hand(Arc::clone(parts))).await {
            Ok(response) => Ok(response.status()),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE && error.cause().is_none() => {
                Err(SwiftError::bad_request("FormPost: max_file_size exceeded"))
            }
            Err(error) => Ok(error.status()),
        }
    }
}

fn number(fields: &Fields, name: &str, words: &str) -> Result<u64> {
    let text = fields.get(name).map_or("0", String::as_str);
    let text = if text.is_empty() { "0" } else { text };
    text.trim().parse().map_err(|_| SwiftError::bad_request(format!("FormPost: {words}")))
}

fn unauthorized(message: &str) -> SwiftError {
    SwiftError::text(StatusCode::UNAUTHORIZED, format!("FormPost: {message}"))
}

/// The container that the key of a form's signature opens; none for the whole account.
fn signer_of(path: &str, fields: &Fields, keys: &[Key]) -> Result<Option<String>> {
    let field = |name: &str, unset: &'static str| {
        fields.get(name).map(String::as_str).filter(|value| !value.is_empty()).unwrap_or(unset).to_owned()
    };
    let text = format!(
        "{path}\n{}\n{}\n{}\n{}",
        field("redirect", ""),
        field("max_file_size", "0"),
        field("max_file_count", "0"),
        field("expires", "0")
    );
    let refused = || unauthorized("Invalid Signature");
    let (digest, signature) = Digest::of_signature(&field("signature", "")).ok_or_else(refused)?;
    let signer = keys.iter().find(|(key, _)| bool::from(digest.hmac(key, &text).ct_eq(&signature)));
    signer.map(|(_, container)| container.clone()).ok_or_else(refused)
}

/// What the fields say about the object.
fn file_headers(fields: &Fields) -> Result<HeaderMap> {
    let mut out = HeaderMap::new();
    for (field, header, words) in [
        ("x_delete_at", "x-delete-at", "x_delete_at not an integer: Unix timestamp required."),
        ("x_delete_after", "x-delete-after", "x_delete_after not an integer: Number of seconds required."),
    ] {
        if let Some(value) = fields.get(field) {
            let value: i64 =
                value.trim().parse().map_err(|_| SwiftError::bad_request(format!("FormPost: {words}")))?;
            headers::put(&mut out, header, value);
        }
    }
    for name in ["content-type", "content-encoding"] {
        if let Some(value) = fields.get(name).filter(|value| !value.is_empty()) {
            headers::put(&mut out, name, value);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_signed_as_it_is() {
        let path = "/v1/AUTH_a/c/prefix";
        let text = format!("{path}\nhttps://x\n100\n2\n9999999999");
        let mut fields: Fields = [
            ("redirect", "https://x"),
            ("max_file_size", "100"),
            ("max_file_count", "2"),
            ("expires", "9999999999"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        let signature = hex::encode(Digest::Sha256.hmac("key", &text));
        fields.insert("signature".to_owned(), signature);
        let keys: [Key; 2] = [("other".to_owned(), None), ("key".to_owned(), Some("c".to_owned()))];
        assert_eq!(signer_of(path, &fields, &keys).unwrap(), Some("c".to_owned()));
        assert_eq!(signer_of("/v1/AUTH_a/d", &fields, &keys).expect_err("elsewhere").status(), 401);
        fields.insert("max_file_size".to_owned(), "101".to_owned());
        assert!(signer_of(path, &fields, &keys).is_err());
    }
}
