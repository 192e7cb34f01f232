//! Bad and slow clients against a real port, by raw sockets.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints rates"
)]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use ringfort_http::{IncomingBody, Limits, RequestId, Server};
use ringfort_runtime::TaskGroup;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(20);
/// Longer than a client may stall, and than it takes to notice.
const WORK: Duration = Duration::from_millis(2500);

fn short() -> Limits {
    Limits {
        connections_max: 4,
        head_bytes_max: 4096,
        head_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(1500),
        stall_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// Answers with the request id, after reading the whole body; `/slow` waits first, and `/work` waits then.
async fn echo(request: Request<IncomingBody>) -> Response<Full<Bytes>> {
    let id = *request.extensions().get::<RequestId>().expect("the server sets it");
    let path = request.uri().path().to_owned();
    if path == "/slow" {
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    if path == "/refused" {
        return Response::new(Full::from("no"));
    }
    let got = request.into_body().collect().await.map(|body| body.to_bytes().len());
    let began = Instant::now();
    while path == "/work" && began.elapsed() < WORK {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let text = if path == "/large" { "x".repeat(64 << 20) } else { format!("{id} {got:?}") };
    Response::new(Full::from(text))
}

async fn start(limits: Limits) -> (Server, SocketAddr, TaskGroup) {
    let tasks = TaskGroup::new();
    let listener = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    (Server::start("test", listener, limits, &tasks, echo), address, tasks)
}

/// Sends `bytes` and reads until the server closes, within [`LIMIT`].
async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("closed in time").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until `done`, at most [`LIMIT`].
async fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "did not happen in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn good_requests_get_an_id_each() {
    let (server, address, _tasks) = start(short()).await;
    let answer = talk(
        address,
        b"GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    );
    let answer = answer.await;
    let ids: Vec<&str> =
        answer.lines().filter(|line| line.contains("Ok(0)")).map(|line| &line[..16]).collect();
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert!(!ids.is_empty(), "{answer}");
    server.stop(LIMIT).await;
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn bad_heads_are_refused_and_forgotten() {
    let (server, address, _tasks) = start(short()).await;
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(5000));
    let endless = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}", "y".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    for (bytes, wanted) in [
        (&b"\x00\xff\x16\x03\x01garbage\r\n\r\n"[..], "HTTP/1.1 400"),
        (b"GET / HTTP/9.9\r\n\r\n", "HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", "HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n", "HTTP/1.1 400"),
        (b"GET / HTTP/1.0\r\nhost: x\r\nhost: x\r\n\r\n", "HTTP/1.0 400"),
        (b"GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200"),
        (b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", "HTTP/1.1 400"),
        (b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: +3\r\n\r\nabc", "HTTP/1.1 400"),
        (b"PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\nabc", "HTTP/1.1 400"),
        (b"PUT / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400"),
        (long.as_bytes(), "HTTP/1.1 431"),
        (many.as_bytes(), "HTTP/1.1 431"),
        (endless.as_bytes(), "HTTP/1.1 431"),
        (b"GET / HT", ""),
    ] {
        let answer = talk(address, bytes).await;
        assert!(
            answer.starts_with(wanted),
            "{:?}: {answer}",
            String::from_utf8_lossy(&bytes[..20.min(bytes.len())])
        );
    }
    until(|| server.connections() == 0).await;
}

/// botocore takes the next answer on such a connection for the rest of this one and waits for its end.
#[tokio::test]
async fn an_answer_without_the_continue_asked_for_ends_the_connection() {
    let (server, address, _tasks) = start(short()).await;
    let head = "PUT /x HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n";
    let empty = talk(address, format!("{head}content-length: 0\r\n\r\n").as_bytes()).await;
    assert!(empty.starts_with("HTTP/1.1 200") && empty.contains("connection: close"), "{empty}");
    let body = talk(address, format!("{head}content-length: 3\r\n\r\nabc").as_bytes()).await;
    assert!(body.starts_with("HTTP/1.1 100") && !body.contains("connection: close"), "{body}");
    server.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let patient = Limits { stall_timeout: LIMIT, idle_timeout: LIMIT, ..short() };
    let (server, address, _tasks) = start(patient).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Answered without a look at the body, of which far more is sent than any socket buffers.
    stream.write_all(b"PUT /refused HTTP/1.1\r\nhost: x\r\ncontent-length: 64000000\r\n\r\n").await.unwrap();
    for _ in 0..64 {
        stream.write_all(&[7; 1_000_000]).await.expect("no reset while the body is sent");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(stream);
    until(|| server.connections() == 0).await;
}

#[tokio::test]
async fn slow_clients_are_closed() {
    let (server, address, _tasks) = start(short()).await;
    // A head that drips for ever, each byte in good time.
    let mut drip = TcpStream::connect(address).await.unwrap();
    let start = Instant::now();
    while drip.write_all(b"G").await.is_ok() {
        assert!(start.elapsed() < LIMIT, "a dripping head was kept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A body that never comes, an idle connection, and a reply nobody reads.
    talk(address, b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly this").await;
    talk(address, b"").await;
    let mut deaf = TcpStream::connect(address).await.unwrap();
    deaf.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(|| server.connections() == 1).await;
    until(|| server.connections() == 0).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let (server, address, _tasks) = start(short()).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(TcpStream::connect(address).await.unwrap());
    }
    until(|| server.connections() == 4).await;
    // The fifth is served as soon as one of the four leaves.
    let fifth = tokio::spawn(async move {
        talk(address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!fifth.is_finished());
    open.pop();
    assert!(fifth.await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_stop_drains() {
    let (server, address, _tasks) = start(Limits { stall_timeout: LIMIT, ..short() }).await;
    let _idle = TcpStream::connect(address).await.unwrap();
    let running = tokio::spawn(async move { talk(address, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await });
    until(|| server.connections() == 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.stop(LIMIT).await;
    let answer = running.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn a_client_that_waits_for_a_long_answer_is_not_a_slow_one() {
    let (server, address, _tasks) = start(short()).await;
    for request in [
        &b"GET /work HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"[..],
        b"PUT /work HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
        b"PUT /work HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let answer = talk(address, request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?} to {}", String::from_utf8_lossy(request));
    }
    server.stop(LIMIT).await;
}
