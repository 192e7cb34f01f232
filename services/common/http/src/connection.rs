//! One connection: what the sweeper needs to know about it, kept in a few atomics by the I/O wrapper and the service.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where a connection is in its life. `Idle -> Head -> Busy -> Idle -> ...`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for the first byte of a request.
    Idle,
    /// Reads a head.
    Head,
    /// A request is being answered.
    Busy,
    /// All is said; what the client still sends is thrown away, for a time that has its own limit.
    Lingering,
}

/// The server's coarse clock: milliseconds, set by the sweeper.
#[derive(Debug, Default)]
pub(crate) struct CoarseClock(AtomicU64);

impl CoarseClock {
    pub(crate) fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set_ms(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

/// Bytes that went over the connections of a port.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

/// What the sweeper looks at.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    clock: Arc<CoarseClock>,
    traffic: Arc<Traffic>,
    phase: AtomicU8,
    /// When the phase began.
    since_ms: AtomicU64,
    /// When a byte last moved.
    moved_ms: AtomicU64,
    read_waits: AtomicBool,
    write_waits: AtomicBool,
    /// Number of the present request, and of the last one of which nothing more is expected from the client.
    request: AtomicU64,
    heard: AtomicU64,
}

impl ConnectionState {
    pub(crate) fn new(clock: Arc<CoarseClock>, traffic: Arc<Traffic>) -> Self {
        let now = clock.now_ms();
        Self {
            clock,
            traffic,
            phase: AtomicU8::new(Phase::Idle as u8),
            since_ms: AtomicU64::new(now),
            moved_ms: AtomicU64::new(now),
            read_waits: AtomicBool::new(false),
            write_waits: AtomicBool::new(false),
            request: AtomicU64::new(0),
            heard: AtomicU64::new(0),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Lingering,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let now = self.clock.now_ms();
        self.since_ms.store(now, Ordering::Relaxed);
        self.moved_ms.store(now, Ordering::Relaxed);
        if phase == Phase::Busy {
            self.request.fetch_add(1, Ordering::Relaxed);
        }
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// The request has come whole, or nobody wants the rest of it.
    fn hear(&self, request: u64) {
        self.heard.fetch_max(request, Ordering::Relaxed);
    }

    pub(crate) fn in_phase_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.since_ms.load(Ordering::Relaxed))
    }

    /// How long the client has kept us waiting, if it does. The connection is read while a request is worked on, too, to
    /// notice a client that leaves: that is no waiting.
    pub(crate) fn stalled_ms(&self, now_ms: u64) -> Option<u64> {
        let heard = self.heard.load(Ordering::Relaxed) == self.request.load(Ordering::Relaxed);
        let reads = self.read_waits.load(Ordering::Relaxed) && !heard;
        let waits = reads || self.write_waits.load(Ordering::Relaxed);
        waits.then(|| now_ms.saturating_sub(self.moved_ms.load(Ordering::Relaxed)))
    }

    pub(crate) fn write_waits(&self) -> bool {
        self.write_waits.load(Ordering::Relaxed)
    }

    fn moved(&self) {
        self.moved_ms.store(self.clock.now_ms(), Ordering::Relaxed);
    }

    fn did_read(&self, bytes: usize) {
        self.moved();
        self.traffic.received.fetch_add(bytes as u64, Ordering::Relaxed);
        if bytes > 0 && self.phase() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }
}

/// The end of a connection whose client may still be sending: what arrives is thrown away for a while. Closing at once
/// would answer it by a reset, and a reset may overtake the reply that says why.
struct Linger {
    ends: Pin<Box<tokio::time::Sleep>>,
    bytes_left: usize,
}

impl Linger {
    /// How long, and how much, is thrown away at most.
    const TIME_MAX: Duration = Duration::from_secs(10);
    const BYTES_MAX: usize = 1 << 30;

    fn new() -> Self {
        Self { ends: Box::pin(tokio::time::sleep(Self::TIME_MAX)), bytes_left: Self::BYTES_MAX }
    }

    /// Ready once the client has ended its side, too, or enough was thrown away.
    fn poll<T: AsyncRead + Unpin>(&mut self, stream: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        while self.ends.as_mut().poll(cx).is_pending() && self.bytes_left > 0 {
            let mut buffer = ReadBuf::uninit(&mut buffer);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.bytes_left = self.bytes_left.saturating_sub(buffer.filled().len());
                }
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A stream that notes its progress.
pub(crate) struct NotedStream<T> {
    inner: T,
    state: Arc<ConnectionState>,
    /// Once everything was sent and the end of it announced.
    linger: Option<Linger>,
}

impl<T> NotedStream<T> {
    pub(crate) fn new(inner: T, state: Arc<ConnectionState>) -> Self {
        Self { inner, state, linger: None }
    }

    fn note_write(&self, polled: &Poll<io::Result<usize>>) {
        self.state.write_waits.store(polled.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(bytes @ 1..)) = polled {
            self.state.moved();
            self.state.traffic.sent.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for NotedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.state.read_waits.store(polled.is_pending(), Ordering::Relaxed);
        if polled.is_ready() {
            self.state.did_read(buf.filled().len() - before);
        }
        polled
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for NotedStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note_write(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note_write(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, linger, state } = &mut *self;
        if linger.is_none() {
            ready!(Pin::new(&mut *inner).poll_shutdown(cx))?;
        }
        let linger = linger.get_or_insert_with(|| {
            state.enter(Phase::Lingering);
            Linger::new()
        });
        linger.poll(inner, cx)
    }
}

/// The body of a request, on its way from the client: with it the port knows who waits for whom.
#[derive(Debug)]
pub struct IncomingBody {
    inner: Incoming,
    state: Arc<ConnectionState>,
    request: u64,
}

impl IncomingBody {
    pub(crate) fn new(inner: Incoming, state: Arc<ConnectionState>) -> Self {
        let request = state.request.load(Ordering::Relaxed);
        if inner.is_end_stream() {
            state.hear(request);
        }
        Self { inner, state, request }
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        self.state.hear(self.request);
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.inner.is_end_stream() {
            self.state.hear(self.request);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Runs once when a request's answer has been produced whole, or was given up.
pub(crate) struct RequestGuard<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> RequestGuard<F> {
    pub(crate) fn new(end: F) -> Self {
        Self(Some(end))
    }
}

impl<F: FnOnce()> Drop for RequestGuard<F> {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

/// A reply body that tells when it ends. `None` is the empty body of an answer of our own.
pub(crate) struct NotedBody<B, G> {
    inner: Option<Pin<Box<B>>>,
    _guard: G,
}

impl<B, G> NotedBody<B, G> {
    pub(crate) fn new(inner: Option<B>, guard: G) -> Self {
        Self { inner: inner.map(Box::pin), _guard: guard }
    }
}

impl<B: Body, G: Unpin> Body for NotedBody<B, G> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match &mut self.inner {
            Some(inner) => inner.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), |inner| inner.size_hint())
    }
}
