//! One keep-alive HTTP/1.1 connection, driven by whoever uses it.

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::pin::{Pin, pin};
use tokio::net::TcpStream;

/// Bytes of an error's body that are worth reading.
const ERROR_BYTES_MAX: usize = 64 * 1024;

type Wire = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// A connection: requests follow each other on it.
pub(crate) struct Connection {
    host: HeaderValue,
    sender: http1::SendRequest<Full<Bytes>>,
    /// Polled only while a request runs, in the same task: no hand-over between tasks per request.
    wire: Pin<Box<Wire>>,
    closed: bool,
}

/// What came back, the body gone to whoever looked at its frames.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Body bytes received.
    pub(crate) bytes: u64,
    /// The body, if the status says failure: the start of it.
    pub(crate) complaint: Bytes,
}

impl Connection {
    pub(crate) async fn open(address: &(String, u16), host: HeaderValue) -> Result<Self> {
        let (name, port) = address;
        let stream = TcpStream::connect((name.as_str(), *port))
            .await
            .with_context(|| format!("cannot connect to {name}:{port}"))?;
        stream.set_nodelay(true)?;
        let (sender, wire) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { host, sender, wire: Box::pin(wire), closed: false })
    }

    /// Whether the server has ended the connection: it takes no more requests.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed || self.sender.is_closed()
    }

    /// Sends one request and reads its answer; a good answer's body goes to `visit`, frame by frame.
    ///
    /// Not cancel-safe: drop the connection if the call is dropped.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        target: PathAndQuery,
        headers: HeaderMap,
        body: Bytes,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<Answer> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, self.host.clone());
        let Self { sender, wire, closed, .. } = self;
        let exchange = async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            receive(response, &mut visit).await
        };
        drive(wire, closed, exchange).await
    }
}

async fn receive(
    response: Response<Incoming>,
    visit: &mut impl FnMut(&[u8]) -> Result<()>,
) -> Result<Answer> {
    let status = response.status();
    let mut body = response.into_body();
    let (mut bytes, mut complaint) = (0, BytesMut::new());
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            bytes += data.len() as u64;
            if status.is_success() {
                visit(data)?;
            } else if complaint.len() < ERROR_BYTES_MAX {
                complaint.extend_from_slice(data);
            }
        }
    }
    Ok(Answer { status, bytes, complaint: complaint.freeze() })
}

/// Runs `exchange` to its end while also moving the connection's bytes.
async fn drive<T>(wire: &mut Pin<Box<Wire>>, closed: &mut bool, exchange: impl Future<Output = T>) -> T {
    let mut exchange = pin!(exchange);
    if !*closed {
        tokio::select! {
            biased;
            done = &mut exchange => return done,
            // What it had received is in the exchange's hands already; how it ended shows there too.
            _ = wire => *closed = true,
        }
    }
    exchange.await
}
