//! Presigned URLs, made before the clock starts so that the client's CPU is not part of what is measured.

use anyhow::{Context, Result, anyhow};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::HeaderValue;
use http::uri::{Authority, PathAndQuery, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// Longer than any run: servers allow a week.
const EXPIRY: Duration = Duration::from_hours(24);

/// Everything but RFC 3986's unreserved characters, as signatures want it.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for paths, whose slashes stay.
const STRICT_PATH: &AsciiSet = &STRICT.remove(b'/');

/// An S3 endpoint and the key that opens it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    authority: Authority,
    region: String,
    identity: Identity,
}

impl Endpoint {
    /// `url` is `http://host[:port]`: the figures are about storage, so there is no TLS here.
    pub(crate) fn new(url: &str, region: &str, access_key: &str, secret_key: &str) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
        anyhow::ensure!(uri.scheme_str() == Some("http"), "`{url}`: only http:// endpoints are measured");
        anyhow::ensure!(matches!(uri.path(), "" | "/"), "`{url}`: an endpoint has no path");
        let authority = uri.authority().cloned().ok_or_else(|| anyhow!("`{url}` names no host"))?;
        let identity = Credentials::new(access_key, secret_key, None, None, "ringfort-bench").into();
        Ok(Self { authority, region: region.to_owned(), identity })
    }

    /// What to connect to.
    pub(crate) fn address(&self) -> (String, u16) {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        (host.to_owned(), self.authority.port_u16().unwrap_or(80))
    }

    pub(crate) fn host_header(&self) -> Result<HeaderValue> {
        Ok(HeaderValue::from_str(self.authority.as_str())?)
    }

    /// The request target for `method` on `path` (unencoded, from the slash) with `query` pairs, signed.
    pub(crate) fn presign(&self, method: &str, path: &str, query: &[(&str, &str)]) -> Result<PathAndQuery> {
        let mut target = utf8_percent_encode(path, STRICT_PATH).to_string();
        for (number, (name, value)) in query.iter().enumerate() {
            append(&mut target, number, name, value);
        }
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(EXPIRY);
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let url = format!("http://{}{target}", self.authority);
        let request = SignableRequest::new(method, url, std::iter::empty(), SignableBody::UnsignedPayload)?;
        let (instructions, _) = sign(request, &params)?.into_parts();
        for (number, (name, value)) in instructions.params().iter().enumerate() {
            append(&mut target, query.len() + number, name, value);
        }
        Ok(PathAndQuery::try_from(target)?)
    }
}

fn append(target: &mut String, number: usize, name: &str, value: &str) {
    let separator = if number == 0 { '?' } else { '&' };
    let (name, value) = (utf8_percent_encode(name, STRICT), utf8_percent_encode(value, STRICT));
    write!(target, "{separator}{name}={value}").expect("a String takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_encoded_and_signed() {
        let endpoint = Endpoint::new("http://127.0.0.1:9000", "us-east-1", "AK", "SK").unwrap();
        let target = endpoint.presign("GET", "/b/a key+1", &[("start-after", "x/y z")]).unwrap();
        assert_eq!(target.path(), "/b/a%20key%2B1");
        let query = target.query().unwrap();
        assert!(query.starts_with("start-after=x%2Fy%20z&X-Amz-Algorithm=AWS4-HMAC-SHA256&"), "{query}");
        for part in
            ["X-Amz-Credential=AK%2F", "X-Amz-Expires=86400", "X-Amz-SignedHeaders=host", "X-Amz-Signature="]
        {
            assert!(query.contains(part), "{part} in {query}");
        }
        assert_eq!(endpoint.address(), ("127.0.0.1".to_owned(), 9000));
    }

    #[test]
    fn endpoints_that_cannot_be_measured_are_refused() {
        for url in ["https://h", "h:1", "http://h/path", ""] {
            assert!(Endpoint::new(url, "r", "a", "s").is_err(), "{url}");
        }
    }
}
