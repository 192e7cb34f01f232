//! What no proper client sends, by raw sockets: a clear answer each, nothing stored, nothing leaked.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints rates"
)]

use bytes::Bytes;
use ringfort_acceptance::{Connection, Keys, Server};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.s3_port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Sends bytes and reads until the server closes.
fn talk(server: &Server, bytes: &[u8]) -> String {
    let mut stream = connect(server);
    // The server may refuse, and close, before it has taken all.
    stream.write_all(bytes).ok();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).ok();
    String::from_utf8_lossy(&reply).into_owned()
}

/// A signed request with these headers and body, by hand.
fn signed(keys: &Keys, method: &str, path: &str, rest: &str) -> Vec<u8> {
    let target = keys.presign(method, path, &[]);
    format!("{method} {target} HTTP/1.1\r\nconnection: close\r\nhost: {}\r\n{rest}", keys.authority())
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_a_clear_answer_and_nothing_is_stored() {
    let server = Server::with(&["--devices", "1"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("bad").await.unwrap();
    let descriptors = server.descriptors().unwrap();
    let host = keys.authority();

    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n".to_vec(), "HTTP/1.1 400", ""),
        ("no version", b"GET /\r\n\r\n".to_vec(), "HTTP/1.1 400", ""),
        ("no host", b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_vec(), "HTTP/1.1 40", ""),
        (
            "huge header",
            format!(
                "GET / HTTP/1.1\r\nconnection: close\r\nhost: {host}\r\nx: {}\r\n\r\n",
                "y".repeat(600_000)
            )
            .into_bytes(),
            "HTTP/1.1 4",
            "",
        ),
        (
            "many headers",
            format!("GET / HTTP/1.1\r\nconnection: close\r\nhost: {host}\r\n{}\r\n", "a: b\r\n".repeat(500))
                .into_bytes(),
            "HTTP/1.1 431",
            "",
        ),
        (
            "unsigned",
            format!("GET /bad HTTP/1.1\r\nconnection: close\r\nhost: {host}\r\n\r\n").into_bytes(),
            "HTTP/1.1 403",
            "AccessDenied",
        ),
        (
            "wrong signature",
            signed(&Keys { secret_key: "x".repeat(40), ..keys.clone() }, "GET", "/bad", "\r\n"),
            "HTTP/1.1 403",
            "SignatureDoesNotMatch",
        ),
        (
            "unknown key",
            signed(&Keys { access_key: "RFNOBODY".to_owned(), ..keys.clone() }, "GET", "/bad", "\r\n"),
            "HTTP/1.1 403",
            "InvalidAccessKeyId",
        ),
        (
            "bad bucket name",
            signed(&keys, "PUT", "/..", "content-length: 0\r\n\r\n"),
            "HTTP/1.1 400",
            "InvalidBucketName",
        ),
        (
            "long key",
            signed(&keys, "PUT", &format!("/bad/{}", "k".repeat(1025)), "content-length: 0\r\n\r\n"),
            "HTTP/1.1 400",
            "KeyTooLong",
        ),
        ("no length", signed(&keys, "PUT", "/bad/k", "\r\n"), "HTTP/1.1 411", "MissingContentLength"),
        (
            "wrong md5",
            signed(
                &keys,
                "PUT",
                "/bad/k",
                "content-md5: AAAAAAAAAAAAAAAAAAAAAA==\r\ncontent-length: 3\r\n\r\nabc",
            ),
            "HTTP/1.1 400",
            "BadDigest",
        ),
        (
            "bad md5",
            signed(&keys, "PUT", "/bad/k", "content-md5: zzz\r\ncontent-length: 3\r\n\r\nabc"),
            "HTTP/1.1 400",
            "InvalidDigest",
        ),
        (
            "conflicting lengths",
            signed(&keys, "PUT", "/bad/k", "content-length: 3\r\ncontent-length: 4\r\n\r\nabc"),
            "HTTP/1.1 400",
            "",
        ),
    ];
    for (name, bytes, status, code) in &cases {
        let reply = talk(&server, bytes);
        println!("{name}: {}", reply.lines().next().unwrap_or("closed"));
        assert!(reply.starts_with(status), "{name}: {reply}");
        assert!(reply.contains(code), "{name}: {reply}");
    }

    // Bodies that end early: the client hangs up, or says that it is done.
    for _ in 0..50 {
        let mut stream = connect(&server);
        stream
            .write_all(&signed(&keys, "PUT", "/bad/cut", "content-length: 1000000\r\n\r\nonly this"))
            .unwrap();
        drop(stream);
        let mut stream = connect(&server);
        stream
            .write_all(&signed(&keys, "PUT", "/bad/cut", "content-length: 1000000\r\n\r\nonly this"))
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end(&mut Vec::new()).ok();
    }
    // Readers that leave in the middle.
    let mut connection = Connection::open(&keys).await.unwrap();
    let large = Bytes::from(vec![7; 40_000_000]);
    connection.call("PUT", "/bad/large", &[], large).await.unwrap().good().unwrap();
    for _ in 0..50 {
        let mut stream = connect(&server);
        stream.write_all(&signed(&keys, "GET", "/bad/large", "\r\n")).unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
    }
    let (memory, _) = server.memory_mib().unwrap();
    assert!(memory < 400, "readers that left hold {memory} MiB");
    connection.call("DELETE", "/bad/large", &[], Bytes::new()).await.unwrap().good().unwrap();
    let malformed = connection
        .call_with(
            "POST",
            "/bad",
            &[("delete", "")],
            Bytes::from("<Delete><Object>"),
            &[("content-md5", "2/tgmBdmQLO+511KLYgSag==")],
        )
        .await
        .unwrap();
    assert_eq!(
        (malformed.status.as_u16(), malformed.element("Code").as_deref()),
        (400, Some("MalformedXML"))
    );
    let website = connection.call("GET", "/bad", &[("analytics", "")], Bytes::new()).await.unwrap();
    assert_eq!(website.status, 501, "{}", website.text());
    assert_eq!(connection.list("bad").await.unwrap(), Vec::<String>::new(), "something bad was stored");
    drop(connection);

    // Everything those clients held is released.
    let began = Instant::now();
    while server.descriptors().unwrap() > descriptors + 4 {
        assert!(began.elapsed() < Duration::from_secs(30), "descriptors leak");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let log = server.log_tail();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn slow_clients_do_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ringfort.toml");
    std::fs::write(
        &config,
        "[http]\nhead_timeout = \"1 s\"\nstall_timeout = \"1 s\"\nidle_timeout = \"2 s\"\n",
    )
    .unwrap();
    let server = Server::with(&["--devices", "1", "--config", config.to_str().unwrap()]).start().unwrap();
    let keys = server.keys().unwrap();
    for (name, start) in [
        ("a head that drips", b"GET / HTTP/1.1\r\nx: ".to_vec()),
        ("a body that stalls", signed(&keys, "PUT", "/none/k", "content-length: 100\r\n\r\nabc")),
        ("nothing at all", Vec::new()),
    ] {
        let began = Instant::now();
        let mut stream = connect(&server);
        stream.write_all(&start).unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).ok();
        println!("{name}: closed after {:.1?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10), "{name}");
    }
    assert!(server.metrics_port("/health/live").unwrap().contains("200"));
}
