//! Where connections come from.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

/// A source of connections: TCP for the ports, a unix socket for the operator commands.
pub trait Listener: Send + 'static {
    /// One connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, set up to send small answers at once, and the address of who is at its other end, if it
    /// has one.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;

    /// Whether its connections are encrypted.
    fn is_encrypted(&self) -> bool {
        false
    }
}

/// In the extensions of a request that came over an encrypted connection.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted;

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, peer) = Self::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((stream, Some(peer)))
    }
}

impl<A: Listener, B: Listener> Listener for Either<A, B> {
    type Stream = Either<A::Stream, B::Stream>;

    async fn accept(&mut self) -> io::Result<(Self::Stream, Option<SocketAddr>)> {
        match self {
            Self::Left(one) => one.accept().await.map(|(stream, peer)| (Either::Left(stream), peer)),
            Self::Right(other) => other.accept().await.map(|(stream, peer)| (Either::Right(stream), peer)),
        }
    }

    fn is_encrypted(&self) -> bool {
        match self {
            Self::Left(one) => one.is_encrypted(),
            Self::Right(other) => other.is_encrypted(),
        }
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        Ok((Self::accept(self).await?.0, None))
    }
}
