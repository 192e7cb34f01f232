//! The accept loop, and the life of a port.

use crate::connection::{ConnectionState, IncomingBody, NotedBody, NotedStream, Phase, RequestGuard};
use crate::meter::Meter;
use crate::sweeper::Sweeper;
use crate::{Encrypted, Limits, Listener, RequestId};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ringfort_core::ErrorKind;
use ringfort_runtime::TaskGroup;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Headers for which hyper has room without asking for memory.
const HEADERS_USUAL: usize = 100;
/// How often connections are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// How often a stopping port looks for connections that are done.
const DRAIN_INTERVAL: Duration = Duration::from_millis(10);
/// How long an accept loop waits when the process is out of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ServerError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

impl ServerError {
    /// What a caller can do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Conflict
    }
}

/// One open port. Dropping it leaves the port open: call [`Self::stop`].
pub struct Server {
    shared: Arc<Shared>,
    tasks: TaskGroup,
}

struct Shared {
    sweeper: Sweeper,
    limits: Limits,
    stopping: AtomicBool,
}

impl Server {
    /// Opens a TCP port.
    pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
        TcpListener::bind(address).await.map_err(|source| ServerError { address, source })
    }

    /// Serves `listener` under the name `port` (a metrics label) until [`Self::stop`]: every request reaches `service`
    /// with a [`RequestId`] in its extensions, and the client's [`SocketAddr`] if it has one; [`Encrypted`] says that nobody reads along.
    ///
    /// The service's future is dropped when the client goes away, so work that must not be halved runs in a task of its
    /// own.
    pub fn start<L, S, F, B>(
        port: &'static str,
        mut listener: L,
        limits: Limits,
        tasks: &TaskGroup,
        service: S,
    ) -> Self
    where
        L: Listener,
        S: Fn(Request<IncomingBody>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let sweeper = Sweeper::new(limits.clone(), Meter::new(port));
        let shared = Arc::new(Shared { sweeper, limits, stopping: AtomicBool::new(false) });
        let tasks = tasks.child();

        let sweeping = Arc::clone(&shared);
        tasks.spawn_until_stopped(async move {
            let mut tick = tokio::time::interval(SWEEP_INTERVAL);
            loop {
                tick.tick().await;
                sweeping.sweeper.sweep();
            }
        });

        let accepting = Arc::clone(&shared);
        let encrypted = listener.is_encrypted();
        let owner = tasks.clone();
        let stop = tasks.stopping();
        tasks.spawn(async move {
            let slots = Arc::new(Semaphore::new(accepting.limits.connections_max));
            let next = AtomicU64::new(0);
            loop {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                let stream = tokio::select! {
                    stream = listener.accept() => stream,
                    () = stop.cancelled() => return,
                };
                match stream {
                    Ok((stream, peer)) => {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        let state = accepting.sweeper.add(id);
                        let service = service.clone();
                        let service = move |mut request: Request<IncomingBody>| {
                            if let Some(peer) = peer {
                                request.extensions_mut().insert(peer);
                            }
                            if encrypted {
                                request.extensions_mut().insert(Encrypted);
                            }
                            service(request)
                        };
                        let connection =
                            run_connection(Arc::clone(&accepting), id, state, stream, service, slot);
                        accepting.sweeper.set_task(id, owner.spawn(connection).abort_handle());
                    }
                    Err(error) => {
                        // A client that left while it waited, or no descriptors: neither ends the port.
                        tracing::debug!(%error, port, "accept failed");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                }
            }
        });
        Self { shared, tasks }
    }

    /// Stops accepting, closes connections that are between requests, lets running requests end for at most `drain`, and
    /// returns once no connection is left.
    pub async fn stop(&self, drain: Duration) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.tasks.stopping().cancel();
        let deadline = Instant::now() + drain;
        let mut quiet = Vec::new();
        while self.shared.sweeper.close_quiet(&mut quiet) > 0 && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_INTERVAL).await;
        }
        self.shared.sweeper.close_all();
        self.tasks.stop().await;
    }

    /// The histograms of request times of these ports, in Prometheus's text form.
    #[must_use]
    pub fn request_seconds<'a>(servers: impl IntoIterator<Item = &'a Self>) -> String {
        let name = Meter::SECONDS;
        let mut text = format!(
            "# HELP {name} Time from a request's head to the end of its reply.\n# TYPE {name} histogram\n"
        );
        for server in servers {
            server.shared.sweeper.meter.write_seconds(&mut text);
        }
        text
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.sweeper.len()
    }
}

async fn run_connection<T, S, F, B>(
    shared: Arc<Shared>,
    id: u64,
    state: Arc<ConnectionState>,
    stream: T,
    service: S,
    slot: tokio::sync::OwnedSemaphorePermit,
) where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<IncomingBody>) -> F + Send + Sync,
    F: Future<Output = Response<B>> + Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let owner = Arc::clone(&shared);
    let _gone = RequestGuard::new(move || {
        owner.sweeper.remove(id);
        drop(slot);
    });
    let io = TokioIo::new(NotedStream::new(stream, Arc::clone(&state)));
    let answer = service_fn(|request| answer(&shared, &state, &service, request));
    let mut builder = http1::Builder::new();
    if shared.limits.headers_max != HEADERS_USUAL {
        builder.max_headers(shared.limits.headers_max);
    }
    let served = builder
        // The sweeper does this without a timer per request.
        .header_read_timeout(None)
        .max_buf_size(shared.limits.buffer_bytes_max)
        .serve_connection(io, answer)
        .await;
    if let Err(error) = served {
        // Malformed heads (hyper has answered 400), broken and vanished clients: theirs, not ours.
        tracing::debug!(%error, "connection ended early");
    }
}

async fn answer<S, F, B>(
    shared: &Arc<Shared>,
    state: &Arc<ConnectionState>,
    service: &S,
    mut request: Request<Incoming>,
) -> Result<Response<NotedBody<B, RequestGuard<impl FnOnce() + Send + 'static + use<S, F, B>>>>, Infallible>
where
    S: Fn(Request<IncomingBody>) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes>,
{
    let started = Instant::now();
    state.enter(Phase::Busy);
    let id = RequestId::generate();
    // A client that asked for a `100 Continue` and is answered without one may take its next answer on this connection for
    // the rest of this one (botocore does): there is none for an empty body, and none before a refusal.
    let expects = request.headers().contains_key(header::EXPECT);
    let empty = request.body().is_end_stream();
    let response = if let Some(status) = refused_head(&request, &shared.limits) {
        let mut response = Response::new(None);
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response.headers_mut().insert("x-request-id", id.header_value());
        response
    } else {
        request.extensions_mut().insert(id);
        let request = request.map(|body| IncomingBody::new(body, Arc::clone(state)));
        ringfort_runtime::with_request(id.number(), service(request)).await.map(Some)
    };
    let (mut head, body) = response.into_parts();
    let unread = expects && (empty || !head.status.is_success());
    if unread || shared.stopping.load(Ordering::Relaxed) {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let (shared, state, status) = (Arc::clone(shared), Arc::clone(state), head.status);
    let guard = RequestGuard::new(move || {
        shared.sweeper.meter.answered(status, started.elapsed());
        state.enter(Phase::Idle);
    });
    Ok(Response::from_parts(head, NotedBody::new(body, guard)))
}

/// Why no service may see a request with this head.
fn refused_head(request: &Request<Incoming>, limits: &Limits) -> Option<StatusCode> {
    if head_bytes(request) > limits.head_bytes_max {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    // Two of them, or none, and what stands between client and server may have seen another request (RFC 9112, 3.2).
    let hosts = request.headers().get_all(header::HOST).iter().take(2).count();
    let needed = usize::from(request.version() == Version::HTTP_11);
    (!(needed..=1).contains(&hosts)).then_some(StatusCode::BAD_REQUEST)
}

fn head_bytes(request: &Request<Incoming>) -> usize {
    let uri = request.uri();
    let target = uri.path().len() + uri.query().map_or(0, str::len);
    target
        + request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}
