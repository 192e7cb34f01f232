//! Signed requests, made before the clock starts so that the client's CPU is not part of what is measured: presigned URLs, and
//! puts whose bodies are protected as SDKs protect them.

use anyhow::{Context, Result, anyhow};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use http::uri::{Authority, PathAndQuery, Uri};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// Longer than any run: servers allow a week.
const EXPIRY: Duration = Duration::from_hours(24);

/// Everything but RFC 3986's unreserved characters, as signatures want it.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for paths, whose slashes stay.
const STRICT_PATH: &AsciiSet = &STRICT.remove(b'/');

/// How the body of a put is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Its SHA-256 is signed.
    Signed,
    /// `aws-chunked` with a CRC-64/NVME behind it: what SDKs send by default since 2025.
    Trailer,
}

/// The checksum's header.
const TRAILER: &str = "x-amz-checksum-crc64nvme";

/// `body` as the one chunk of an `aws-chunked` request, its checksum behind it.
pub(crate) fn chunk(body: &[u8]) -> Bytes {
    let checksum = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, body).to_be_bytes();
    let mut sent = BytesMut::with_capacity(body.len() + 100);
    sent.put_slice(format!("{:x}\r\n", body.len()).as_bytes());
    sent.put_slice(body);
    sent.put_slice(format!("\r\n0\r\n{TRAILER}:{}\r\n\r\n", STANDARD.encode(checksum)).as_bytes());
    sent.freeze()
}

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

    /// A put of `body` on `path` (unencoded, from the slash), signed by header: its target, and its headers beside `host` and
    /// `content-length`. Servers accept it for a quarter of an hour.
    pub(crate) fn sign_put(
        &self,
        path: &str,
        body: &[u8],
        protection: Protection,
    ) -> Result<(PathAndQuery, HeaderMap)> {
        let target = utf8_percent_encode(path, STRICT_PATH).to_string();
        let length = body.len().to_string();
        let (payload, more) = match protection {
            Protection::Signed => (SignableBody::Bytes(body), vec![]),
            Protection::Trailer => {
                let more = vec![
                    ("content-encoding", "aws-chunked"),
                    ("x-amz-decoded-content-length", length.as_str()),
                    ("x-amz-trailer", TRAILER),
                ];
                (SignableBody::StreamingUnsignedPayloadTrailer, more)
            }
        };
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let url = format!("http://{}{target}", self.authority);
        let request = SignableRequest::new("PUT", url, more.iter().copied(), payload)?;
        let (instructions, _) = sign(request, &params)?.into_parts();
        let mut headers = HeaderMap::new();
        for (name, value) in more.into_iter().chain(instructions.headers()) {
            headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        Ok((PathAndQuery::try_from(target)?, headers))
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
    fn protected_puts_say_how() {
        let endpoint = Endpoint::new("http://127.0.0.1:9000", "us-east-1", "AK", "SK").unwrap();
        let (target, headers) = endpoint.sign_put("/b/a key", b"", Protection::Signed).unwrap();
        assert_eq!(target.path(), "/b/a%20key");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(headers["x-amz-content-sha256"], empty);
        assert!(headers["authorization"].to_str().unwrap().contains("/us-east-1/s3/aws4_request"));
        let (_, headers) = endpoint.sign_put("/b/k", b"123456789", Protection::Trailer).unwrap();
        assert_eq!(headers["x-amz-content-sha256"], "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        assert_eq!(headers["x-amz-decoded-content-length"], "9");
        // The check value of CRC-64/NVME is ae8b14860a799888.
        let sent = chunk(b"123456789");
        assert_eq!(&sent[..], b"9\r\n123456789\r\n0\r\nx-amz-checksum-crc64nvme:rosUhgp5mIg=\r\n\r\n");
    }

    #[test]
    fn endpoints_that_cannot_be_measured_are_refused() {
        for url in ["https://h", "h:1", "http://h/path", ""] {
            assert!(Endpoint::new(url, "r", "a", "s").is_err(), "{url}");
        }
    }
}
