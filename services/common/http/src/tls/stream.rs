//! A TLS connection that shakes hands when it is first used.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::{Accept, TlsAcceptor, server};

/// A connection under TLS.
pub struct TlsStream<T>(State<T>);

enum State<T> {
    Handshake(Box<(Accept<T>, Pin<Box<Sleep>>)>),
    Open(Box<server::TlsStream<T>>),
    /// The handshake failed; hyper hears it once, and afterwards that the connection is closed.
    Failed,
}

impl<T: AsyncRead + AsyncWrite + Unpin> TlsStream<T> {
    pub(super) fn begin(acceptor: &TlsAcceptor, stream: T, handshake_max: Duration) -> Self {
        let limit = Box::pin(tokio::time::sleep(handshake_max));
        Self(State::Handshake(Box::new((acceptor.accept(stream), limit))))
    }

    /// The open stream, once the hands are shaken.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut server::TlsStream<T>>>> {
        if let State::Handshake(handshake) = &mut self.0 {
            let (accept, limit) = &mut **handshake;
            let done = match Pin::new(accept).poll(cx) {
                Poll::Ready(done) => done,
                Poll::Pending => {
                    ready!(limit.as_mut().poll(cx));
                    Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))
                }
            };
            match done {
                Ok(stream) => self.0 = State::Open(Box::new(stream)),
                Err(error) => {
                    self.0 = State::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.0 {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(&mut **stream))),
            State::Handshake(_) | State::Failed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            // Nothing was said under TLS: there is nothing to end.
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }
}
