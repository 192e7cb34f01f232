//! Starting, stopping, looking, and refusing what is wrong, as an operator meets it.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints rates"
)]

use bytes::Bytes;
use ringfort_acceptance::{Connection, Keys, Server, body_of};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_figures_are_as_documented() {
    let mut server = Server::with(&["--devices", "4", "--policy", "replicated:3"]).start().unwrap();
    assert_eq!(mode(&server.data().join("s3.env")), 0o600);
    assert_eq!(mode(&server.data().join("admin.sock")), 0o600);
    assert_eq!(mode(&server.data().join("keys/master.key")), 0o600);
    let secret = server.keys().unwrap().secret_key;
    for entry in fs::read_dir(server.data().join("keys")).unwrap() {
        let text = fs::read(entry.unwrap().path()).unwrap();
        assert!(!text.windows(secret.len()).any(|window| window == secret.as_bytes()), "a secret lies open");
    }
    server.make_bucket("bbb").await.unwrap();
    let status = server.operate(&["status"]).unwrap();
    println!("{status}");
    for wanted in ["share one disk", "replicated:3", "Backlog", "free of"] {
        assert!(status.contains(wanted), "no `{wanted}` in:\n{status}");
    }
    let json = server.status().unwrap();
    assert_eq!(json.node()["devices"].as_array().unwrap().len(), 4);
    assert!(server.operate(&["device", "list"]).unwrap().contains("device-4"));
    assert!(server.operate(&["ring", "show"]).unwrap().contains("replicated:3"));
    let metrics = server.metrics_port("/metrics").unwrap();
    for wanted in ["ringfort_http_requests_total", "process_resident_memory_bytes", "ringfort_device_bytes"] {
        assert!(metrics.contains(wanted), "no {wanted} in:\n{metrics}");
    }
    assert!(server.metrics_port("/health/live").unwrap().starts_with("HTTP/1.1 200"));
    let took = server.stop().unwrap();
    println!("a clean stop took {took:.2?}");
    let again = server.start().unwrap();
    println!("a start took {again:.2?}");
    let mut connection = Connection::open(&server.keys().unwrap()).await.unwrap();
    connection.call("HEAD", "/bbb", &[], Bytes::new()).await.unwrap().good().unwrap();
}

/// A request whose body is on its way, and one whose reply is, when SIGTERM comes: both end well, and so does the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_end() {
    const SIZE: usize = 24 << 20;
    let mut server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap();
    server.make_bucket("stop").await.unwrap();
    let keys = server.keys().unwrap();
    let mut connection = Connection::open(&keys).await.unwrap();
    let old = body_of("old", 1, SIZE);
    connection.call("PUT", "/stop/old", &[], old.clone()).await.unwrap().good().unwrap();
    let mut upload = raw(&server, &keys, "PUT", "/stop/new", &format!("content-length: {SIZE}\r\n"));
    let new = body_of("new", 1, SIZE);
    upload.write_all(&new[..SIZE / 2]).unwrap();
    let mut download = raw(&server, &keys, "GET", "/stop/old", "");
    let mut reply = vec![0; 1000];
    download.read_exact(&mut reply).unwrap();
    server.terminate().unwrap();
    // It has begun to stop when it takes no new connections.
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", server.s3_port())).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(10), "it goes on taking connections");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    upload.write_all(&new[SIZE / 2..]).unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    download.read_to_end(&mut reply).unwrap();
    assert!(reply.ends_with(&old), "the reply was cut short");
    let took = server.wait_end().unwrap();
    println!("stopped {took:.2?} after the last request");
    assert!(took < Duration::from_secs(5), "{took:?}");
    server.start().unwrap();
    let mut connection = Connection::open(&keys).await.unwrap();
    let got = connection.call("GET", "/stop/new", &[], Bytes::new()).await.unwrap().good().unwrap();
    assert!(got.body == new, "what was acknowledged while stopping is there");
}

/// A client that never ends its request does not hold the process up for longer than it was told to wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_ever() {
    let server = Server::with(&["--devices", "1"]).config("[http]\ndrain = \"1 s\"\n");
    let mut server = server.start().unwrap();
    server.make_bucket("stop").await.unwrap();
    let mut stalled = raw(&server, &server.keys().unwrap(), "PUT", "/stop/never", "content-length: 1000\r\n");
    stalled.write_all(b"only this").unwrap();
    let took = server.stop().unwrap();
    println!("stopped in {took:.2?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

/// Sends the head of a signed request.
fn raw(server: &Server, keys: &Keys, method: &str, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.s3_port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (target, host) = (keys.presign(method, path, &[]), keys.authority());
    let head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\nhost: {host}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn one_process_per_folder() {
    let server = Server::with(&["--devices", "1"]).start().unwrap();
    let said = Server::with(&["--devices", "1"]).data(server.data()).start_refused().unwrap();
    assert!(said.contains("in use by another ringfort process"), "{said}");
    assert!(server.metrics_port("/health/ready").unwrap().starts_with("HTTP/1.1 200"), "the first goes on");
}

#[test]
fn wrong_settings_are_told_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringfort.toml");
    fs::write(&file, "bind = \"nowhere\"\ncolour = \"red\"\n[http]\nidle_timeout = 5\n").unwrap();
    let said = Server::with(&["--config", file.to_str().unwrap()]).start_refused().unwrap();
    for wanted in ["bind", "colour", "http.idle_timeout"] {
        assert!(said.contains(wanted), "no `{wanted}` in: {said}");
    }
    let said = Server::with(&["--devices", "2", "--policy", "erasure:4+2"]).start_refused().unwrap();
    assert!(said.contains("needs 6 devices"), "{said}");
    fs::write(&file, "bind = [").unwrap();
    let said = Server::with(&["--config", file.to_str().unwrap()]).start_refused().unwrap();
    assert!(said.contains("no TOML"), "{said}");
}

#[test]
fn strange_folders_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("FORMAT"), "ringfort data folder, format 99\n").unwrap();
    let said = Server::with(&["--devices", "1"]).data(folder.path()).start_refused().unwrap();
    assert!(said.contains("start a newer one"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "precious").unwrap();
    let said = Server::with(&["--devices", "1"]).data(folder.path()).start_refused().unwrap();
    assert!(said.contains("left alone"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    // A device of another cluster.
    let mut first = Server::with(&["--devices", "1"]).start().unwrap();
    first.stop().unwrap();
    let device = first.device(1);
    let said = Server::with(&["--device", device.to_str().unwrap()]).start_refused().unwrap();
    assert!(said.contains("belongs to cluster"), "{said}");
    first.start().unwrap();
}

#[test]
fn a_taken_port_is_told() {
    let mut server = Server::with(&["--devices", "1"]).start().unwrap();
    let port = server.s3_port();
    server.stop().unwrap();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = format!("{:#}", server.start().unwrap_err());
    assert!(said.contains("cannot listen on") && said.contains(&port.to_string()), "{said}");
}
