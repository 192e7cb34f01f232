//! The certificate that ports show, read from two PEM files and read again when they change.

use super::server_config;
use arc_swap::ArcSwap;
use ringfort_core::{ErrorKind, with_causes};
use ringfort_runtime::TaskGroup;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file holds no PEM of the wanted kind.
    #[error("{path} holds no {what} in PEM form")]
    Pem {
        /// The file.
        path: PathBuf,
        /// A certificate or a private key.
        what: &'static str,
        /// What the parser says.
        source: pem::Error,
    },
    /// The key is of no use, or not the certificate's.
    #[error("the private key does not fit the certificate")]
    Key(#[from] rustls::Error),
}

impl CertificateError {
    /// What a caller can do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The certificate in use, shared by all ports.
#[derive(Clone, Debug)]
pub struct Certificates {
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Shown {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

impl Certificates {
    /// Reads a chain, the server's certificate first, and its private key.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else, or the two do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let current = ArcSwap::from_pointee(read_pair(certificate, key)?);
        let shown = Arc::new(Shown { certificate: certificate.to_owned(), key: key.to_owned(), current });
        let config = Arc::new(server_config(shown.clone())?);
        Ok(Self { shown, config })
    }

    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Reads the files again. If that fails, the certificate from before stays in use.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn reload(&self) -> Result<(), CertificateError> {
        self.shown.current.store(Arc::new(read_pair(&self.shown.certificate, &self.shown.key)?));
        Ok(())
    }

    /// Reads the files again whenever one of them changes, until the group stops. The two may change one after the other:
    /// what does not fit yet is tried again.
    pub fn follow_changes(&self, tasks: &TaskGroup) {
        let (certificates, blocking) = (self.clone(), tasks.clone());
        let mut seen = certificates.shown.stamps();
        let mut pending = false;
        tasks.spawn_until_stopped(async move {
            let mut tick = tokio::time::interval(LOOK_INTERVAL);
            loop {
                tick.tick().await;
                let looked = certificates.clone();
                let look = move || {
                    let now = looked.shown.stamps();
                    let changed = pending || now != seen;
                    (now, changed.then(|| looked.reload()))
                };
                // Two small files, but perhaps on a disk that hangs.
                let Ok((now, outcome)) = blocking.spawn_blocking(look).await else { return };
                seen = now;
                match outcome {
                    None => {}
                    Some(Ok(())) => {
                        pending = false;
                        tracing::info!("a new TLS certificate is in use");
                    }
                    Some(Err(error)) => {
                        if !pending {
                            tracing::warn!(
                                error = with_causes(&error),
                                "a new TLS certificate cannot be used; the one before stays"
                            );
                        }
                        pending = true;
                    }
                }
            }
        });
    }
}

impl Shown {
    /// What changes when a file is replaced.
    fn stamps(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.certificate, &self.key].map(|path| {
            let facts = fs::metadata(path).ok()?;
            Some((facts.modified().ok()?, facts.len()))
        })
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read_pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let bytes = |path: &Path| {
        fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
    };
    let not_pem = |path: &Path, what| {
        let path = path.to_owned();
        move |source| CertificateError::Pem { path, what, source }
    };
    let chain = CertificateDer::pem_slice_iter(&bytes(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(not_pem(certificate, "certificate"))?;
    let private = PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(not_pem(key, "private key"))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Ok(CertifiedKey::from_der(chain, private, &provider)?)
}
