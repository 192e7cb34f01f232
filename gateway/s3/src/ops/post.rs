//! POST of a form to a bucket: an upload from a browser, whose rights come from the signed policy in the form.

use super::tagging::header_of_document;
use super::{empty_reply, etag_value, header_value, push_checksums, push_version, xml_reply};
use crate::access::Requester;
use crate::auth::Payload;
use crate::body::UploadPlan;
use crate::error::{ErrorCode, S3Error};
use crate::form::{Fields, PostPolicy, form_refusal, signer_of};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::headers;
use crate::names;
use crate::operation::Operation;
use crate::target::{Query, STRICT, STRICT_PATH};
use crate::xml::XmlWriter;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use http::header::{CONTENT_TYPE, ETAG, HOST, HeaderName, HeaderValue, LOCATION, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use percent_encoding::utf8_percent_encode;
use ringfort_http::{Form, ReplyBody, RequestBody, boxed};
use ringfort_object::PutDone;

/// Fields that are headers by the same name.
const HEADERS: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "expires",
];

impl S3Gateway {
    pub(crate) async fn post_object(&self, mut call: Call, body: CallBody) -> Reply {
        let content_type = headers::text(&call.parts.headers, "content-type")?.unwrap_or_default().to_owned();
        let mut form = Form::new(body.body, &content_type).map_err(form_refusal)?;
        let config = &self.inner.config;
        let fields = Fields::read(&mut form, config.form_bytes_max).await?;

        call.key = key_of(&fields)?;
        let signer = signer_of(&fields, &*self.inner.credentials, &config.region).await?;
        let policy = fields.get("policy").map(read_policy).transpose()?;
        if let Some(policy) = &policy {
            policy.check(&fields, &call.bucket, ringfort_runtime::wall_us() / 1_000_000)?;
        }
        call.requester = Requester::of(signer);
        call.query = Query::default();
        call.parts.headers = head_of(&fields, &call.parts.headers)?;
        headers::refuse_unsupported(&call.parts.headers)?;
        let home = call.home()?;
        self.admit_to_object(Operation::PutObject, &call, home, &call.bucket, &call.key, false, None).await?;

        let (least, most) = policy.and_then(|policy| policy.length).unwrap_or((0, u64::MAX));
        let plan = UploadPlan::new(&call.parts.headers, Payload::Unsigned, most.min(config.put_bytes_max))?;
        let done = self.put_planned(&call, plan.at_least(least), file_body(form)).await?;
        reply(&call, &fields, &done)
    }
}

fn read_policy(text: &str) -> Result<PostPolicy, S3Error> {
    let document = STANDARD.decode(text).map_err(|_| ErrorCode::InvalidPolicyDocument)?;
    PostPolicy::parse(&document)
}

fn key_of(fields: &Fields) -> Result<String, S3Error> {
    let key = fields.get("key").filter(|key| !key.is_empty()).ok_or_else(|| {
        S3Error::argument(
            "key",
            "",
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
        )
    })?;
    names::check_key(key)?;
    Ok(key.to_owned())
}

/// The head that a PutObject with the same wishes would have.
fn head_of(fields: &Fields, sent: &HeaderMap) -> Result<HeaderMap, S3Error> {
    let mut head = HeaderMap::new();
    // Its end says that nothing of the file is missing.
    head.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    for name in [HOST, HeaderName::from_static("user-agent"), HeaderName::from_static("referer")] {
        head.extend(sent.get(&name).map(|value| (name, value.clone())));
    }
    for (name, value) in fields.pairs() {
        let (name, value) = match name {
            "acl" => ("x-amz-acl", value.to_owned()),
            "tagging" => ("x-amz-tagging", header_of_document(value)?),
            "x-amz-algorithm" | "x-amz-credential" | "x-amz-date" | "x-amz-signature" => continue,
            name if name.starts_with("x-amz-") || HEADERS.contains(&name) => (name, value.to_owned()),
            _ => continue,
        };
        let refused = || S3Error::argument("form", name, "The field is no header.");
        let named = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        head.append(named, HeaderValue::from_str(&value).map_err(|_| refused())?);
    }
    Ok(head)
}

/// The body of the file as if it came alone.
fn file_body(form: Form) -> RequestBody {
    boxed(StreamBody::new(stream::try_unfold(form, |mut form| async move {
        let piece = form.piece().await?;
        Ok::<_, ringfort_http::FormError>(piece.map(|piece| (Frame::data(piece), form)))
    })))
}

fn reply(call: &Call, fields: &Fields, done: &PutDone) -> Reply {
    let key = utf8_percent_encode(&call.key, STRICT_PATH);
    let at = call.url_of(&format!("{}/{key}", call.parts.uri.path().trim_end_matches('/')));
    let redirect = fields.get("success_action_redirect").or_else(|| fields.get("redirect"));
    let mut response = match redirect.and_then(|url| redirection(url, call, done)) {
        Some(response) => response,
        None => match fields.get("success_action_status") {
            Some("200") => with_location(empty_reply(StatusCode::OK), &at),
            Some("201") => with_location(created(call, &at, done), &at),
            _ => with_location(empty_reply(StatusCode::NO_CONTENT), &at),
        },
    };
    let out = response.headers_mut();
    out.insert(ETAG, etag_value(done.etag));
    push_version(out, done.version, done.versioning);
    push_checksums(out, &done.checksums);
    Ok(response)
}

fn with_location(mut response: Response<ReplyBody>, at: &str) -> Response<ReplyBody> {
    response.headers_mut().insert(LOCATION, header_value(at));
    response
}

/// A reply that sends the browser on; `None` if what the form names is no URL.
fn redirection(url: &str, call: &Call, done: &PutDone) -> Option<Response<ReplyBody>> {
    let parsed: http::Uri = url.parse().ok()?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return None;
    }
    let glue = if parsed.query().is_some() { '&' } else { '?' };
    let (bucket, key) = (utf8_percent_encode(&call.bucket, STRICT), utf8_percent_encode(&call.key, STRICT));
    let location = format!("{url}{glue}bucket={bucket}&key={key}&etag=%22{}%22", done.etag);
    let mut response = empty_reply(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(&location).ok()?);
    Some(response)
}

fn created(call: &Call, at: &str, done: &PutDone) -> Response<ReplyBody> {
    let mut xml = XmlWriter::bare(256);
    xml.open("PostResponse");
    xml.text("Location", at);
    xml.text("Bucket", &call.bucket);
    xml.text("Key", &call.key);
    xml.etag(done.etag);
    let mut response = xml_reply(xml.finish("PostResponse"));
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}
