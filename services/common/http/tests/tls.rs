//! A port under TLS: certificates that change while it is open, and clients that do not speak it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use rcgen::CertifiedKey;
use ringfort_http::{CertificateError, Certificates, Encrypted, IncomingBody, Limits, Server, TlsListener};
use ringfort_runtime::TaskGroup;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const LIMIT: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// A folder with a certificate for `localhost` and its key.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> (Self, CertificateDer<'static>) {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        let certificate = files.renew();
        (files, certificate)
    }

    fn paths(&self) -> (PathBuf, PathBuf) {
        (self.dir.path().join("tls.crt"), self.dir.path().join("tls.key"))
    }

    /// Writes another certificate in the place of the one before.
    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = self.paths();
        fs::write(certificate, cert.pem()).unwrap();
        fs::write(key, signing_key.serialize_pem()).unwrap();
        cert.der().clone()
    }

    fn read(&self) -> Result<Certificates, CertificateError> {
        let (certificate, key) = self.paths();
        Certificates::read(&certificate, &key)
    }
}

async fn start(certificates: &Certificates, tasks: &TaskGroup) -> (Server, SocketAddr) {
    let port = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = port.local_addr().unwrap();
    let port = TlsListener::new(port, certificates, Duration::from_millis(300));
    let server =
        Server::start("test", port, Limits::default(), tasks, |request: Request<IncomingBody>| async move {
            let encrypted = request.extensions().get::<Encrypted>().is_some();
            Response::new(Full::new(Bytes::from_static(if encrypted {
                b"hello"
            } else {
                b"who reads along?"
            })))
        });
    (server, address)
}

/// Shakes hands, trusting only `certificate`.
async fn connect(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_new_certificate_needs_no_restart() {
    let ((files, first), tasks) = (Files::new(), TaskGroup::new());
    let certificates = files.read().unwrap();
    let (server, address) = start(&certificates, &tasks).await;
    let mut early = connect(address, &first).await.unwrap();

    certificates.follow_changes(&tasks);
    let second = files.renew();
    let began = Instant::now();
    while connect(address, &second).await.is_err() {
        assert!(began.elapsed() < LIMIT, "the new certificate is not shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(connect(address, &first).await.is_err(), "the old certificate is still shown");
    assert!(ask(&mut early).await.ends_with("hello"), "an open connection lives on");

    // A key that does not fit keeps the certificate in use.
    fs::write(files.paths().0, rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap().cert.pem())
        .unwrap();
    assert!(certificates.reload().is_err());
    assert!(ask(&mut connect(address, &second).await.unwrap()).await.ends_with("hello"));
    server.stop(LIMIT).await;
}

/// What the port says to these bytes, until it closes.
async fn talk(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("closed in time").ok();
    answer
}

#[tokio::test]
async fn who_does_not_speak_tls_is_let_go() {
    let ((files, certificate), tasks) = (Files::new(), TaskGroup::new());
    let (server, address) = start(&files.read().unwrap(), &tasks).await;
    let (plain, silent, half) =
        tokio::join!(talk(address, REQUEST), talk(address, b""), talk(address, &[22, 3, 1, 2, 0, 1]));
    for answer in [plain, silent, half] {
        assert!(!answer.windows(5).any(|part| part == b"hello"), "{answer:?}");
    }
    assert!(ask(&mut connect(address, &certificate).await.unwrap()).await.ends_with("hello"));
    let began = Instant::now();
    while server.connections() > 0 {
        assert!(began.elapsed() < LIMIT, "a connection is left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.stop(LIMIT).await;
}

#[test]
fn files_that_are_no_certificate_are_told() {
    let (files, _) = Files::new();
    let (certificate, key) = files.paths();
    let fault = |certificate: &Path, key: &Path| Certificates::read(certificate, key).unwrap_err();
    assert!(matches!(fault(Path::new("/nowhere"), &key), CertificateError::Read { .. }));
    assert!(matches!(fault(&key, &key), CertificateError::Pem { what: "certificate", .. }));
    assert!(matches!(fault(&certificate, &certificate), CertificateError::Pem { what: "private key", .. }));
    let (others, _) = Files::new();
    assert!(matches!(fault(&certificate, &others.paths().1), CertificateError::Key(_)));
}
