//! Presigned S3 URLs, written from the specification: a second opinion beside the library that the gateway uses.

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;
use time::OffsetDateTime;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// What `s3.env` holds.
#[derive(Clone, Debug)]
pub struct Keys {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: String,
    /// `AWS_ENDPOINT_URL`.
    pub endpoint: String,
    /// `AWS_REGION`.
    pub region: String,
}

impl Keys {
    /// Reads the lines of an `s3.env`.
    ///
    /// # Errors
    /// When one of the four is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let pairs: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let get = |name: &str| {
            pairs.get(name).map(|value| (*value).to_owned()).with_context(|| format!("no {name}"))
        };
        Ok(Self {
            access_key: get("AWS_ACCESS_KEY_ID")?,
            secret_key: get("AWS_SECRET_ACCESS_KEY")?,
            endpoint: get("AWS_ENDPOINT_URL")?,
            region: get("AWS_REGION")?,
        })
    }

    /// `host:port` of the endpoint.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }

    /// The request target of `method path?query`, signed for a quarter of an hour. `path` is not encoded yet.
    #[must_use]
    pub fn presign(&self, method: &str, path: &str, query: &[(&str, &str)]) -> String {
        let now = OffsetDateTime::now_utc();
        let date = format!("{:04}{:02}{:02}", now.year(), u8::from(now.month()), now.day());
        let stamp = format!("{date}T{:02}{:02}{:02}Z", now.hour(), now.minute(), now.second());
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        let credential = format!("{}/{scope}", self.access_key);
        let mut pairs: Vec<(String, String)> = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &stamp),
            ("X-Amz-Expires", "900"),
            ("X-Amz-SignedHeaders", "host"),
        ]
        .iter()
        .chain(query)
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
        pairs.sort();
        let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let path = utf8_percent_encode(path, PATH).to_string();
        let request =
            format!("{method}\n{path}\n{query}\nhost:{}\n\nhost\nUNSIGNED-PAYLOAD", self.authority());
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for part in [date.as_str(), &self.region, "s3", "aws4_request", &text] {
            key = keyed(&key, part);
        }
        let mut target = format!("{path}?{query}&X-Amz-Signature=");
        for byte in key {
            write!(target, "{byte:02x}").expect("writing to a string");
        }
        target
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
