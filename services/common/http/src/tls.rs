//! TLS on a port, with certificates that are replaced without a restart.
//!
//! The handshake happens in the connection's own task, at its first read, so that a slow client keeps nobody from being
//! accepted and counts among the connections of its port. A new certificate serves the connections that begin after it;
//! those that are open keep theirs, and sessions may be resumed.

mod certificate;
mod stream;

pub use certificate::{CertificateError, Certificates};
pub use stream::TlsStream;

use crate::Listener;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;

/// A listener whose connections speak TLS 1.2 or 1.3.
pub struct TlsListener<L> {
    inner: L,
    acceptor: TlsAcceptor,
    handshake_max: Duration,
}

impl<L: Listener> TlsListener<L> {
    /// Connections of `inner`, under whatever certificate is there when they begin. A client that has not shaken hands
    /// within `handshake_max` is let go.
    #[must_use]
    pub fn new(inner: L, certificates: &Certificates, handshake_max: Duration) -> Self {
        Self { inner, acceptor: TlsAcceptor::from(certificates.server_config()), handshake_max }
    }
}

impl<L: Listener> Listener for TlsListener<L> {
    type Stream = TlsStream<L::Stream>;

    async fn accept(&mut self) -> io::Result<(Self::Stream, Option<SocketAddr>)> {
        let (stream, peer) = self.inner.accept().await?;
        Ok((TlsStream::begin(&self.acceptor, stream, self.handshake_max), peer))
    }

    fn is_encrypted(&self) -> bool {
        true
    }
}

/// A port with TLS if there are certificates, else in the clear.
#[must_use]
pub fn maybe_tls<L: Listener>(
    inner: L,
    certificates: Option<&Certificates>,
    handshake_max: Duration,
) -> Either<L, TlsListener<L>> {
    match certificates {
        Some(certificates) => Either::Right(TlsListener::new(inner, certificates, handshake_max)),
        None => Either::Left(inner),
    }
}

/// What all ports have in common; the certificate comes from `certificates`.
fn server_config(
    certificates: Arc<dyn rustls::server::ResolvesServerCert>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(config)
}
