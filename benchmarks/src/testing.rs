//! An S3 just big enough to test the client against: objects in memory, a signature that must be there, and faults on
//! demand.

use crate::content::KeyOrder;
use crate::load::Load;
use crate::process::Watched;
use crate::sign::Endpoint;
use crate::work::Place;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What the server does wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Every so many requests is refused with SlowDown.
    pub(crate) refuse_every: Option<u64>,
    /// Bodies come back with their last byte changed.
    pub(crate) corrupt: bool,
    /// Pages lack a key.
    pub(crate) short_pages: bool,
    /// The connection ends after each answer.
    pub(crate) hang_up: bool,
}

#[derive(Default)]
struct State {
    objects: Mutex<BTreeMap<String, Bytes>>,
    requests: Mutex<u64>,
    faults: Faults,
}

/// A server on a thread of its own; it ends with the process.
pub(crate) struct TestServer {
    state: Arc<State>,
    pub(crate) endpoint: Endpoint,
}

impl TestServer {
    pub(crate) fn start(faults: Faults) -> Self {
        let state = Arc::new(State { faults, ..State::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a socket");
                serve(listener, shared).await;
            });
        });
        let endpoint = Endpoint::new(&url, "us-east-1", "AK", "SK").expect("a URL");
        Self { state, endpoint }
    }

    pub(crate) fn place(&self, order: KeyOrder) -> Place {
        Place { endpoint: self.endpoint.clone(), bucket: "b".to_owned(), prefix: "p/".to_owned(), order }
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, Bytes> {
        self.state.objects.lock().expect("no panic").clone()
    }
}

/// A load that ends by count or with its work.
pub(crate) fn load(connections: usize, operations: Option<u64>) -> Load {
    Load {
        connections,
        threads: 2,
        duration: None,
        operations,
        warmup: 0,
        timeout: Duration::from_secs(20),
        server: Watched(vec![std::process::id()]),
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&state), request));
            // A client that goes away is its own business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut response = respond(&state, &parts, body);
    if state.faults.hang_up {
        response.headers_mut().insert("connection", "close".parse().expect("a value"));
    }
    Ok(response)
}

fn respond(state: &State, parts: &http::request::Parts, body: Bytes) -> Response<Full<Bytes>> {
    let query = parts.uri.query().unwrap_or_default();
    let number = {
        let mut requests = state.requests.lock().expect("no panic");
        *requests += 1;
        *requests
    };
    if !is_signed(query) || parts.headers.get_all("host").iter().count() != 1 {
        return refuse(StatusCode::FORBIDDEN, "AccessDenied");
    }
    if state.faults.refuse_every.is_some_and(|every| number % every == 0) {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
    }
    let path = parts.uri.path();
    let mut objects = state.objects.lock().expect("no panic");
    if parts.method == Method::PUT {
        if path.matches('/').count() > 1 {
            objects.insert(path.to_owned(), body);
        }
        return Response::new(Full::default());
    }
    if query.contains("list-type=2") {
        return Response::new(Full::from(page(&objects, query, state.faults.short_pages)));
    }
    match objects.get(path) {
        Some(stored) if state.faults.corrupt => {
            let mut bytes = stored.to_vec();
            bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
            Response::new(Full::from(bytes))
        }
        Some(stored) => Response::new(Full::new(stored.clone())),
        None => refuse(StatusCode::NOT_FOUND, "NoSuchKey"),
    }
}

/// The query carries all that a presigned URL has, and a signature of the right form.
fn is_signed(query: &str) -> bool {
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value("X-Amz-Algorithm") == Some("AWS4-HMAC-SHA256")
        && value("X-Amz-Credential").is_some_and(|credential| credential.starts_with("AK%2F"))
        && value("X-Amz-SignedHeaders") == Some("host")
        && ["X-Amz-Date", "X-Amz-Expires"].iter().all(|name| value(name).is_some())
        && value("X-Amz-Signature")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn page(objects: &BTreeMap<String, Bytes>, query: &str, short: bool) -> String {
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let after = value("start-after").map_or(String::new(), |key| format!("/b/{}", key.replace("%2F", "/")));
    let most: usize = value("max-keys").and_then(|most| most.parse().ok()).unwrap_or(1000);
    let listed = objects.keys().filter(|key| **key > after).take(most - usize::from(short));
    let filler = "x".repeat(80);
    let entry = |key: &String| format!("<Contents><Key>{}</Key><ETag>{filler}</ETag></Contents>", &key[3..]);
    format!("<ListBucketResult>{}</ListBucketResult>", listed.map(entry).collect::<String>())
}

fn refuse(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let xml = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
    let mut response = Response::new(Full::from(xml));
    *response.status_mut() = status;
    response
}
