//! A large file and many small ones, within the memory promised.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints rates"
)]

use bytes::Bytes;
use http_body_util::BodyExt;
use ringfort_acceptance::{Connection, Keys, Ledger, Server, body_of, read_back, stream_of};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// Promised: under this load, less than 400 MB.
const MEMORY_MIB_MAX: u64 = 400_000_000 / MIB;
/// Promised: idle, less than 120 MB.
const IDLE_MIB_MAX: u64 = 120_000_000 / MIB;

#[tokio::test(flavor = "multi_thread")]
async fn idle_memory() {
    let server = Server::with(&["--devices", "4", "--policy", "replicated:3"]).start().unwrap();
    // Nothing is left to do: the first check of everything is over.
    server.wait_whole(Duration::from_secs(60)).unwrap();
    let (now, most) = server.memory_mib().unwrap();
    println!("idle: {now} MiB resident, {most} MiB at most");
    assert!(now <= IDLE_MIB_MAX, "{now} MiB");
}

/// 3 GiB in 48 parts, four at a time, and back in one stream.
#[tokio::test(flavor = "multi_thread")]
async fn three_gib_file() {
    const PARTS: u64 = 48;
    const PART: u64 = 64 * MIB;
    let server = Server::with(&["--devices", "3", "--policy", "replicated:2"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("large").await.unwrap();
    let mut main = Connection::open(&keys).await.unwrap();
    let began = Instant::now();
    let created =
        main.call("POST", "/large/file", &[("uploads", "")], Bytes::new()).await.unwrap().good().unwrap();
    let upload = created.element("UploadId").unwrap();
    let mut under_way = VecDeque::new();
    let mut etags = Vec::new();
    for number in 1..=PARTS {
        if under_way.len() == 4 {
            let done: tokio::task::JoinHandle<String> = under_way.pop_front().unwrap();
            etags.push(done.await.unwrap());
        }
        let (keys, upload) = (keys.clone(), upload.clone());
        under_way.push_back(tokio::spawn(async move {
            let body = stream_of("large", (number - 1) * PART, usize::try_from(PART).unwrap());
            let query = [("partNumber", number.to_string()), ("uploadId", upload)];
            let query: Vec<(&str, &str)> =
                query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut connection = Connection::open(&keys).await.unwrap();
            let reply = connection.call("PUT", "/large/file", &query, body).await.unwrap().good().unwrap();
            reply.headers["etag"].to_str().unwrap().to_owned()
        }));
    }
    for done in under_way {
        etags.push(done.await.unwrap());
    }
    let parts = etags.iter().zip(1..).map(|(etag, number): (&String, u32)| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    });
    let body = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.collect::<String>());
    let query = [("uploadId", upload.as_str())];
    main.call("POST", "/large/file", &query, body.into()).await.unwrap().good().unwrap();
    let put = began.elapsed();

    let began = Instant::now();
    let response = main.send("GET", "/large/file", &[], Bytes::new(), &[]).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-length"].to_str().unwrap(), (PARTS * PART).to_string());
    let mut body = response.into_body();
    let (mut got, mut hash) = (0, blake3::Hasher::new());
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        got += data.len() as u64;
        hash.update(&data);
    }
    let fetched = began.elapsed();
    let wanted = tokio::task::spawn_blocking(|| {
        let mut hash = blake3::Hasher::new();
        for number in 0..PARTS {
            hash.update(&stream_of("large", number * PART, usize::try_from(PART).unwrap()));
        }
        hash.finalize()
    });
    let (now, most) = server.memory_mib().unwrap();
    let rate = |took: Duration| (PARTS * PART) as f64 / 1e6 / took.as_secs_f64();
    println!(
        "3 GiB: tried 1, acknowledged 1; put in {put:.1?} ({:.0} MB/s), fetched in {fetched:.1?} ({:.0} MB/s); \
         {now} MiB resident, {most} MiB at most",
        rate(put),
        rate(fetched)
    );
    assert_eq!(got, PARTS * PART);
    assert_eq!(hash.finalize(), wanted.await.unwrap(), "the file came back changed");
    assert!(most <= MEMORY_MIB_MAX, "{most} MiB resident at most");
}

/// Puts `count` objects of about 1 KiB over `clients` connections.
async fn put_many(keys: &Keys, bucket: &str, count: u64, clients: u64) -> Ledger {
    let next = Arc::new(AtomicU64::new(0));
    let mut running = Vec::new();
    for _ in 0..clients {
        let (keys, bucket, next) = (keys.clone(), bucket.to_owned(), Arc::clone(&next));
        running.push(tokio::spawn(async move {
            let mut ledger = Ledger::default();
            let mut connection = Connection::open(&keys).await.unwrap();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return ledger;
                }
                let key = format!("d{:03}/k{number:07}", number % 1000);
                let size = 1024;
                let path = format!("/{bucket}/{key}");
                let reply = connection.call("PUT", &path, &[], body_of(&key, 1, size)).await.unwrap();
                if reply.status.is_success() {
                    ledger.acknowledge(&key, Some((1, size)));
                } else {
                    assert!(reply.status.is_server_error(), "{}", reply.text());
                    ledger.doubt(&key, Some((1, size)));
                }
            }
        }));
    }
    let mut all = Ledger::default();
    for client in running {
        all.merge(client.await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_thousand_objects_listed() {
    let server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("many").await.unwrap();
    let began = Instant::now();
    let ledger = put_many(&keys, "many", 100_000, 64).await;
    let put = began.elapsed();
    let began = Instant::now();
    let listed = Connection::open(&keys).await.unwrap().list("many").await.unwrap();
    let took = began.elapsed();
    assert!(listed.is_sorted(), "a listing is in order");
    let tally = read_back(&keys, "many", &ledger).await.unwrap();
    let (now, most) = server.memory_mib().unwrap();
    println!(
        "100 000 objects put in {put:.1?}, {} listed in {took:.1?}; {now} MiB, {most} MiB at most",
        listed.len()
    );
    tally.assert_clean("many small objects");
    assert_eq!(tally.acknowledged, 100_000, "a healthy server acknowledges everything");
    assert_eq!(listed.len(), 100_000);
    assert!(most <= MEMORY_MIB_MAX, "{most} MiB resident at most");
}

/// Kill -9 with a million objects, and ready again in under five seconds.
#[tokio::test(flavor = "multi_thread")]
async fn nightly_restart_with_a_million_objects() {
    let mut server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("million").await.unwrap();
    let ledger = put_many(&keys, "million", 1_000_000, 64).await;
    for _ in 0..3 {
        server.kill();
        let took = server.start().unwrap();
        println!("ready {took:.2?} after kill -9 with {} objects", ledger.acknowledged);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    let listed = Connection::open(&keys).await.unwrap().list("million").await.unwrap();
    let tally = ledger.tally();
    println!("restart: {tally}, listed {}", listed.len());
    assert!(listed.len() as u64 >= ledger.acknowledged);
}
