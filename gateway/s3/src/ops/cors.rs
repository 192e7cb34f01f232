//! Cross-origin rules of a bucket: setting them, answering a browser's preflight, and the headers of other replies.

use super::{empty_reply, header_value, xml_reply};
use crate::access::{Requester, setting};
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::target::Target;
use crate::xml::{self, Node};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use ringfort_http::ReplyBody;

const RULES_MAX: usize = 100;
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

/// One CORSRule.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    origins: Vec<String>,
    methods: Vec<String>,
    headers: Vec<String>,
    expose: Vec<String>,
    max_age_s: Option<u32>,
}

impl Rule {
    fn read(node: &Node) -> Result<Self, S3Error> {
        if node.name != "CORSRule" {
            return Err(ErrorCode::MalformedXML.into());
        }
        let all = |name: &str| -> Vec<String> {
            node.children.iter().filter(|c| c.name == name).map(|c| c.text.trim().to_owned()).collect()
        };
        let rule = Self {
            origins: all("AllowedOrigin"),
            methods: all("AllowedMethod"),
            headers: all("AllowedHeader"),
            expose: all("ExposeHeader"),
            max_age_s: node
                .child_text("MaxAgeSeconds")
                .map(|text| text.trim().parse().map_err(|_| S3Error::from(ErrorCode::MalformedXML)))
                .transpose()?,
        };
        if rule.origins.is_empty() || rule.methods.is_empty() {
            return Err(ErrorCode::MalformedXML.into());
        }
        if let Some(method) = rule.methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
            let message =
                format!("Found unsupported HTTP method in CORS config. Unsupported method is {method}");
            return Err(S3Error::with(ErrorCode::InvalidRequest, message));
        }
        let stars = |text: &String| text.matches('*').count() > 1;
        if rule.origins.iter().chain(&rule.headers).any(stars) {
            return Err(S3Error::with(
                ErrorCode::InvalidRequest,
                "AllowedOrigin and AllowedHeader can not have more than one wildcard.",
            ));
        }
        Ok(rule)
    }

    fn origin(&self, origin: &str) -> Option<&str> {
        self.origins.iter().find(|allowed| matches(allowed, origin)).map(String::as_str)
    }

    fn allows_header(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.headers.iter().any(|allowed| matches(&allowed.to_ascii_lowercase(), &name))
    }
}

/// Whether `text` is `allowed`, in which one star may stand for anything.
fn matches(allowed: &str, text: &str) -> bool {
    match allowed.split_once('*') {
        None => allowed == text,
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

pub(crate) fn read_rules(document: &[u8]) -> Result<Vec<Rule>, S3Error> {
    let root = xml::parse(document, "CORSConfiguration")?;
    if root.children.is_empty() || root.children.len() > RULES_MAX {
        return Err(ErrorCode::MalformedXML.into());
    }
    root.children.iter().map(Rule::read).collect()
}

/// The headers that a page of `origin` may see, if a rule lets it.
fn push(out: &mut HeaderMap, rule: &Rule, origin: &str) {
    let Some(allowed) = rule.origin(origin) else { return };
    let shown = if allowed == "*" { "*" } else { origin };
    out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, header_value(shown));
    if shown != "*" {
        out.insert("access-control-allow-credentials", HeaderValue::from_static("true"));
    }
    out.insert(ACCESS_CONTROL_ALLOW_METHODS, header_value(rule.methods.join(", ")));
    if !rule.expose.is_empty() {
        out.insert(ACCESS_CONTROL_EXPOSE_HEADERS, header_value(rule.expose.join(", ")));
    }
    if let Some(seconds) = rule.max_age_s {
        out.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
    }
    out.insert(
        VARY,
        HeaderValue::from_static("Origin, Access-Control-Request-Headers, Access-Control-Request-Method"),
    );
}

/// The page of a browser that sends a request, and what the bucket says about such pages.
pub(crate) struct FromPage {
    origin: String,
    method: String,
    /// None where the bucket has none.
    pub(crate) rules: Option<Vec<Rule>>,
}

impl FromPage {
    /// Adds to the reply what a rule says about the page.
    pub(crate) fn decorate(&self, out: &mut HeaderMap) {
        let of = |rule: &&Rule| rule.origin(&self.origin).is_some() && rule.methods.contains(&self.method);
        if let Some(rule) = self.rules.iter().flatten().find(of) {
            push(out, rule, &self.origin);
        }
    }
}

/// Answers a preflight.
pub(crate) fn preflight(head: &HeaderMap, rules: Option<&[Rule]>) -> Reply {
    let get = |name| head.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let refused = |message: &'static str| S3Error::with(ErrorCode::AccessForbidden, message);
    let Some(origin) = get(ORIGIN) else {
        return Err(S3Error::with(
            ErrorCode::BadRequest,
            "Insufficient information. Origin request header needed.",
        ));
    };
    let method = get(ACCESS_CONTROL_REQUEST_METHOD)
        .filter(|method| METHODS.contains(method))
        .ok_or_else(|| S3Error::with(ErrorCode::BadRequest, "Invalid Access-Control-Request-Method: null"))?;
    let rules = rules.ok_or_else(|| refused("CORSResponse: CORS is not enabled for this bucket."))?;
    let asked = get(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
    let names: Vec<&str> = asked.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let rule = rules.iter().find(|rule| {
        rule.origin(origin).is_some()
            && rule.methods.iter().any(|allowed| allowed == method)
            && names.iter().all(|name| rule.allows_header(name))
    });
    let rule = rule.ok_or_else(|| {
        refused("CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.")
    })?;
    let mut response: Response<ReplyBody> = empty_reply(StatusCode::OK);
    push(response.headers_mut(), rule, origin);
    if !names.is_empty() {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_HEADERS, header_value(names.join(", ")));
    }
    Ok(response)
}

impl S3Gateway {
    /// What concerns the page that a request comes from; refusals, too, must be readable for the pages that may ask.
    pub(crate) async fn sender_page(&self, parts: &Parts) -> Option<FromPage> {
        let get = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let origin = get(ORIGIN)?.to_owned();
        let method = get(ACCESS_CONTROL_REQUEST_METHOD).unwrap_or(parts.method.as_str()).to_owned();
        let config = &self.inner.config;
        let target = Target::of_request(parts, config.uri_bytes_max, &config.domains).ok()?;
        let home = self.home_of(&Requester::Anonymous, target.bucket()?).await.ok()??;
        let text = home.settings.get(setting::CORS);
        Some(FromPage { origin, method, rules: text.and_then(|text| read_rules(text.as_bytes()).ok()) })
    }

    pub(crate) fn get_bucket_cors(&self, call: &Call) -> Reply {
        let text = call.home()?.settings.get(setting::CORS);
        let text = text.ok_or_else(|| {
            S3Error::from(ErrorCode::NoSuchCORSConfiguration).detail("BucketName", &call.bucket)
        })?;
        Ok(xml_reply(text.to_owned()))
    }

    pub(crate) async fn put_bucket_cors(&self, call: &Call, body: CallBody) -> Reply {
        let document = self.document_of(call, body).await?;
        read_rules(&document)?;
        // XML that was parsed is UTF-8.
        self.set_setting(call, setting::CORS, String::from_utf8_lossy(&document).into_owned()).await?;
        Ok(empty_reply(StatusCode::OK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<Rule> {
        let document = b"<CORSConfiguration><CORSRule><AllowedOrigin>https://*.example.com</AllowedOrigin>\
            <AllowedMethod>GET</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader><MaxAgeSeconds>30</MaxAgeSeconds>\
            </CORSRule><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>PUT</AllowedMethod></CORSRule>\
            </CORSConfiguration>";
        read_rules(document).expect("rules")
    }

    #[test]
    fn preflights() {
        let check = |origin: &'static str, method: &'static str, asked: &'static str| {
            let mut head = HeaderMap::new();
            head.insert(ORIGIN, HeaderValue::from_static(origin));
            head.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static(method));
            head.insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static(asked));
            let reply = preflight(&head, Some(&rules())).map_err(|error| error.code());
            reply.map(|reply| reply.headers()[ACCESS_CONTROL_ALLOW_ORIGIN].to_str().expect("text").to_owned())
        };
        assert_eq!(
            check("https://a.example.com", "GET", "X-Amz-Date").as_deref(),
            Ok("https://a.example.com")
        );
        assert_eq!(check("https://a.example.com", "GET", "other"), Err(ErrorCode::AccessForbidden));
        assert_eq!(check("https://example.com", "GET", ""), Err(ErrorCode::AccessForbidden));
        assert_eq!(check("https://b", "PUT", "").as_deref(), Ok("*"));
        assert_eq!(check("https://b", "TRACE", ""), Err(ErrorCode::BadRequest));
    }

    #[test]
    fn bad_rules_are_refused() {
        for (inner, code) in [
            ("", ErrorCode::MalformedXML),
            ("<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>", ErrorCode::MalformedXML),
            (
                "<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>get</AllowedMethod></CORSRule>",
                ErrorCode::InvalidRequest,
            ),
            (
                "<CORSRule><AllowedOrigin>*a*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>",
                ErrorCode::InvalidRequest,
            ),
        ] {
            let document = format!("<CORSConfiguration>{inner}</CORSConfiguration>");
            assert_eq!(read_rules(document.as_bytes()).expect_err(inner).code(), code, "{inner}");
        }
    }
}
