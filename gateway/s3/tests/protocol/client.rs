//! A client written from AWS's specification: it signs by itself, and sends what no proper client would.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ringfort_object::memory::MemoryCluster;
use ringfort_object::{ObjectStore, StoreConfig};
use ringfort_runtime::TaskGroup;
use ringfort_s3::{Credential, FixedCredentials, KeyUser, Rights, S3Config, S3Gateway};
use ringfort_test_support::PolledBody;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) const SECRET: &str = "secretsecretsecretsecretsecretsecretsecr";
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const STRICT_PATH: &AsciiSet = &STRICT.remove(b'/');

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The gateway asked for the request's body.
    pub(crate) polled: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The text of the first element of this name; empty if there is none.
    pub(crate) fn element(&self, name: &str) -> String {
        let text = self.text();
        let found = text.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once("</"));
        found.map_or(String::new(), |(value, _)| value.to_owned())
    }

    /// Status and error code.
    pub(crate) fn outcome(&self) -> (u16, String) {
        (self.status.as_u16(), self.element("Code"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        self
    }
}

/// What signs a request, and when.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) access_key: String,
    pub(crate) secret: String,
    pub(crate) stamp: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Signer {
    pub(crate) fn new() -> Self {
        Self {
            access_key: "AKID".to_owned(),
            secret: SECRET.to_owned(),
            stamp: stamp(0),
            region: "us-east-1".to_owned(),
            service: "s3".to_owned(),
        }
    }

    pub(crate) fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", &self.stamp[..8], self.region, self.service)
    }

    /// The signature of a string to sign without its first three lines.
    pub(crate) fn sign(&self, kind: &str, rest: &str) -> String {
        let text = format!("{kind}\n{}\n{}\n{rest}", self.stamp, self.scope());
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [&self.stamp[..8], &self.region, &self.service, "aws4_request", &text] {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(part.as_bytes());
            key = mac.finalize().into_bytes().to_vec();
        }
        hex::encode(key)
    }

    fn canonical(method: &str, target: &str, headers: &[(String, String)], hash: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = percent_decode_str(path).collect::<Vec<u8>>();
        let path = percent_encoding::percent_encode(&path, STRICT_PATH).to_string();
        let mut pairs: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let again = |text: &str| {
                    percent_encoding::percent_encode(&percent_decode_str(text).collect::<Vec<u8>>(), STRICT)
                        .to_string()
                };
                (again(name), again(value))
            })
            .collect();
        pairs.sort();
        let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut text = format!("{method}\n{path}\n{}\n", query.join("&"));
        for (name, value) in headers {
            let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
            writeln!(text, "{name}:{}", words.join(" ")).unwrap();
        }
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        write!(text, "\n{}\n{hash}", names.join(";")).unwrap();
        text
    }

    /// The value of `Authorization`, and the signature in it. Signs all headers given.
    pub(crate) fn authorization(
        &self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
    ) -> (String, String) {
        let mut headers = headers.to_vec();
        headers.sort();
        let hash = headers.iter().find(|(name, _)| name == "x-amz-content-sha256").map_or("", |(_, v)| v);
        let request = Self::canonical(method, target, &headers, hash);
        let signature = self.sign("AWS4-HMAC-SHA256", &hex::encode(Sha256::digest(request)));
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.access_key,
            self.scope(),
            names.join(";")
        );
        (value, signature)
    }

    /// A presigned target.
    pub(crate) fn presign(&self, method: &str, target: &str, expires: &str) -> String {
        let credential =
            utf8_percent_encode(&format!("{}/{}", self.access_key, self.scope()), STRICT).to_string();
        let glue = if target.contains('?') { '&' } else { '?' };
        let target = format!(
            "{target}{glue}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={}\
             &X-Amz-Expires={expires}&X-Amz-SignedHeaders=host",
            self.stamp
        );
        let headers = [("host".to_owned(), "h".to_owned())];
        let request = Self::canonical(method, &target, &headers, UNSIGNED);
        let signature = self.sign("AWS4-HMAC-SHA256", &hex::encode(Sha256::digest(request)));
        format!("{target}&X-Amz-Signature={signature}")
    }
}

/// The time of signatures, so many seconds from now.
pub(crate) fn stamp(offset_s: i64) -> String {
    let at = time::OffsetDateTime::now_utc() + time::Duration::seconds(offset_s);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// A gateway over a cluster in memory.
pub(crate) struct World {
    pub(crate) gateway: S3Gateway,
    pub(crate) store: ObjectStore,
    pub(crate) cluster: Arc<MemoryCluster>,
    pub(crate) tasks: TaskGroup,
}

impl World {
    /// With the bucket `box`, which the host name `box.s3.lan` names, too. Parts may be as small as 10 bytes, objects as large as 10 MB.
    pub(crate) async fn new() -> Self {
        let tasks = TaskGroup::new();
        let config = StoreConfig { reconcile_pause: Duration::ZERO, ..StoreConfig::default() };
        let (cluster, store) = MemoryCluster::store(config, &tasks);
        let keys = FixedCredentials::new([
            Credential::new("AKID", SECRET, "mine", "id", "name"),
            Credential::new("OTHER", SECRET, "other", "id2", "name2"),
            Credential::new("READER", SECRET, "mine", "id", "name").with_rights(Rights::Reader),
            Credential::new("GUEST", SECRET, "mine", "id", "name")
                .with_rights(Rights::Guest)
                .held_by(KeyUser { id: "u1".to_owned(), name: "ada".to_owned() }),
        ]);
        let config = S3Config {
            part_bytes_min: 10,
            put_bytes_max: 10_000_000,
            domains: vec!["s3.lan".to_owned()],
            ..S3Config::default()
        };
        let gateway = S3Gateway::new(store.clone(), Arc::new(keys), config);
        let world = Self { gateway, store, cluster, tasks };
        world.call("PUT", "/box", &[], "").await.good();
        world
    }

    /// Sends a signed request.
    pub(crate) async fn call(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.call_by(&Signer::new(), method, target, headers, vec![Ok(body.into())]).await
    }

    /// As [`Self::call`], with the signer and the pieces of the body given.
    pub(crate) async fn call_by(
        &self,
        signer: &Signer,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        pieces: Vec<io::Result<Bytes>>,
    ) -> Answer {
        let mut all: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let has = |all: &[(String, String)], wanted: &str| all.iter().any(|(name, _)| name == wanted);
        for (name, value) in
            [("host", "h"), ("x-amz-date", signer.stamp.as_str()), ("x-amz-content-sha256", UNSIGNED)]
        {
            if !has(&all, name) {
                all.push((name.to_owned(), value.to_owned()));
            }
        }
        let (authorization, _) = signer.authorization(method, target, &all);
        all.push(("authorization".to_owned(), authorization));
        let len: usize = pieces.iter().map(|piece| piece.as_ref().map_or(0, Bytes::len)).sum();
        if !has(&all, "content-length") && !has(&all, "transfer-encoding") && method != "GET" {
            all.push(("content-length".to_owned(), len.to_string()));
        }
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.send(method, target, &all, pieces).await
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        pieces: Vec<io::Result<Bytes>>,
    ) -> Answer {
        let (body, polled) = PolledBody::new(pieces);
        let mut request = Request::builder().method(method).uri(target).body(body).unwrap();
        for (name, value) in headers.iter().filter(|(_, value)| *value != "(none)") {
            let (name, value) =
                (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()));
            request.headers_mut().append(name, value.unwrap());
        }
        let (head, body) = self.gateway.handle(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let polled = polled.load(Ordering::Relaxed);
        Answer { status: head.status, headers: head.headers, body, polled }
    }

    /// Nothing is stored: no key, no upload, no chunk once all that runs has ended.
    pub(crate) async fn assert_empty(&self) {
        let listed = self.call("GET", "/box?versions", &[], "").await.good();
        assert!(!listed.text().contains("<Key>"), "{}", listed.text());
        self.tasks.stop().await;
        assert_eq!(self.cluster.chunk_count(), 0, "chunks are left");
    }
}
