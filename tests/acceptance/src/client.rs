//! One kept-open connection to the S3 port.

use crate::Keys;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The content of the first XML element `name`.
    #[must_use]
    pub fn element(&self, name: &str) -> Option<String> {
        self.elements(name).into_iter().next()
    }

    /// The contents of all XML elements `name`; enough for names that nothing escapes.
    #[must_use]
    pub fn elements(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let ends = text.split(&open).skip(1).filter_map(|rest| rest.split_once(&close));
        ends.map(|(content, _)| content.to_owned()).collect()
    }

    /// The reply, if it is a success.
    ///
    /// # Errors
    /// With status and body, if it is none.
    pub fn good(self) -> Result<Self> {
        ensure!(self.status.is_success(), "{}: {}", self.status, self.text());
        Ok(self)
    }
}

/// An HTTP/1.1 connection with presigned requests.
pub struct Connection {
    keys: Keys,
    sender: SendRequest<BoxBody<Bytes, Infallible>>,
}

impl Connection {
    /// Connects to the endpoint in `keys`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(keys: &Keys) -> Result<Self> {
        let stream = TcpStream::connect(keys.authority()).await.context("connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { keys: keys.clone(), sender })
    }

    /// Sends a request and reads the whole reply.
    ///
    /// # Errors
    /// When the connection breaks or nothing comes for a minute.
    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply> {
        self.call_with(method, path, query, body, &[]).await
    }

    /// Like [`Self::call`], with further headers.
    ///
    /// # Errors
    /// When the connection breaks or nothing comes for a minute.
    pub async fn call_with(
        &mut self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Result<Reply> {
        let call = async {
            let response = self.send(method, path, query, body, headers).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Reply { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(TIMEOUT, call).await.context("no reply in a minute")?
    }

    /// Sends a request; the reply's body is for the caller to read.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Result<http::Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.keys.presign(method, path, query))
            .header("host", self.keys.authority());
        if matches!(method, "PUT" | "POST") {
            // Also for an empty body, where hyper would leave it out.
            request = request.header("content-length", body.len());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request.body(Full::new(body).boxed())?).await?)
    }

    /// All keys of a bucket, page by page.
    ///
    /// # Errors
    /// When a page is no success.
    pub async fn list(&mut self, bucket: &str) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("list-type", "2")];
            if let Some(token) = &token {
                query.push(("continuation-token", token));
            }
            let page = self.call("GET", &format!("/{bucket}"), &query, Bytes::new()).await?.good()?;
            keys.extend(page.elements("Key"));
            token = page.element("NextContinuationToken");
            if token.is_none() {
                return Ok(keys);
            }
        }
    }
}
