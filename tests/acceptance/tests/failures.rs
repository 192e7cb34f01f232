//! The process killed and devices lost, under load: nothing acknowledged is lost, and it heals by itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use ringfort_acceptance::{Connection, Ledger, Load, Server, Status, WritePlan, body_of, read_back, wipe};
use std::time::Duration;

const HEAL_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_under_load_five_times() {
    let mut server = Server::with(&["--devices", "4", "--policy", "replicated:3"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("killed").await.unwrap();
    let load = Load::start(&keys, &WritePlan::mixed("killed", 1));
    for round in 1..=5 {
        load.progress(300).await;
        server.kill();
        let took = server.start().unwrap();
        println!("kill {round}: ready again in {took:.2?}");
    }
    load.progress(100).await;
    let ledger = load.stop().await.unwrap();
    read_back(&keys, "killed", &ledger).await.unwrap().assert_clean("kill -9 five times");
    // And once more from what is on disk alone.
    server.kill();
    server.start().unwrap();
    read_back(&keys, "killed", &ledger).await.unwrap().assert_clean("after one more");
}

/// Wipes one device under load, waits until all is whole, wipes the next; everything stays readable.
async fn lose_devices(devices: &str, policy: &str) {
    let server = Server::with(&["--devices", devices, "--policy", policy]).start().unwrap();
    let keys = server.keys().unwrap();
    let mut all: Vec<(String, Ledger)> = Vec::new();
    for (round, device) in [(1, 2), (2, 3)] {
        let bucket = format!("wiped{round}");
        server.make_bucket(&bucket).await.unwrap();
        let load = Load::start(&keys, &WritePlan::mixed(&bucket, round));
        load.progress(300).await;
        wipe(&server.device(device)).unwrap();
        load.progress(300).await;
        let known = load.stop().await.unwrap();
        let what = format!("{policy}, device {device} wiped");
        read_back(&keys, &bucket, &known).await.unwrap().assert_clean(&what);
        server.wait_anew(&format!("device-{device}"), 2, HEAL_LIMIT).unwrap();
        let took = server.wait_whole(HEAL_LIMIT).unwrap();
        let repaired = server.status().unwrap().redundancy("repaired");
        println!("{policy}: whole again {took:.1?} after that, {repaired} pieces repaired");
        assert!(repaired > 0, "a wiped device held pieces");
        all.push((bucket, known));
        // What the first round stored has lived through a repair when the second device goes.
        for (bucket, known) in &all {
            read_back(&keys, bucket, known)
                .await
                .unwrap()
                .assert_clean(&format!("{bucket} after the repair"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn device_wiped_replicated() {
    lose_devices("4", "replicated:3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_wiped_erasure() {
    lose_devices("7", "erasure:4+2").await;
}

/// Stores objects of one chunk each.
async fn fill(server: &Server, bucket: &str, count: u64, size: usize) -> Ledger {
    let mut connection = Connection::open(&server.keys().unwrap()).await.unwrap();
    let mut ledger = Ledger::default();
    for number in 0..count {
        let key = format!("k{number:04}");
        let body = body_of(&key, 1, size);
        connection.call("PUT", &format!("/{bucket}/{key}"), &[], body).await.unwrap().good().unwrap();
        ledger.acknowledge(&key, Some((1, size)));
    }
    ledger
}

/// Kills the server whenever the named work has moved some bytes, `times` times, and leaves it running.
fn kill_during(server: &mut Server, what: &str, times: u32) {
    for round in 1..=times {
        server
            .wait(&format!("{what} moves bytes"), HEAL_LIMIT, |status| status.moved(what) > Some(4 << 20))
            .unwrap();
        let said = server.operate(&["status"]).unwrap();
        let line = said.lines().find(|line| line.contains(&format!("{what}: "))).unwrap_or("nothing");
        println!("kill {round} during: {}", line.trim());
        assert!(line.contains('%') && line.contains("to go"), "no progress and no time left in:\n{said}");
        server.kill();
        server.start().unwrap();
    }
}

/// Repair, then the move to a new device, then the emptying of an old one, each killed twice on its way, under load.
#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_while_it_heals_and_moves() {
    // Slow enough to be met at work.
    let server = Server::with(&["--devices", "4", "--policy", "replicated:3"]);
    let mut server = server.config("[storage]\npace_per_s = \"6 MiB\"\n").start().unwrap();
    let keys = server.keys().unwrap();
    for bucket in ["first", "healed"] {
        server.make_bucket(bucket).await.unwrap();
    }
    let first = fill(&server, "first", 60, 1_000_000).await;
    // Less than what may be moved in the same time.
    let plan =
        WritePlan { clients: 2, sizes: vec![100, 4096, 4096, 4096, 50_000], ..WritePlan::mixed("healed", 5) };
    let load = Load::start(&keys, &plan);

    wipe(&server.device(2)).unwrap();
    server.wait_anew("device-2", 2, HEAL_LIMIT).unwrap();
    kill_during(&mut server, "repair", 2);
    server
        .wait("device 2 is full again", HEAL_LIMIT, |status| {
            status.device("device-2")["chunks"].as_u64() >= Some(40)
        })
        .unwrap();

    let fifth = server.scratch().join("fifth");
    println!("{}", server.operate(&["device", "add", fifth.to_str().unwrap()]).unwrap().trim());
    kill_during(&mut server, "rebalance", 2);
    let at_rest = |status: &Status| status.node()["rebalance"].is_null();
    server.wait("the new device has its share", HEAL_LIMIT, at_rest).unwrap();
    assert!(
        server.status().unwrap().device("fifth")["chunks"].as_u64() > Some(20),
        "the new device got its share"
    );

    println!("{}", server.operate(&["device", "drain", "1"]).unwrap().trim());
    kill_during(&mut server, "rebalance", 2);
    server.wait("device 1 is empty", HEAL_LIMIT, at_rest).unwrap();
    load.progress(50).await;
    let ledger = load.stop().await.unwrap();
    server.operate(&["device", "remove", "1"]).unwrap();
    server.wait_whole(HEAL_LIMIT).unwrap();
    read_back(&keys, "healed", &ledger).await.unwrap().assert_clean("killed while it healed and moved");
    read_back(&keys, "first", &first).await.unwrap().assert_clean("what was there before");
    // What is where it belongs can be lost again.
    wipe(&server.device(3)).unwrap();
    read_back(&keys, "first", &first).await.unwrap().assert_clean("and one more device wiped");
}

/// Two devices away at once, where data survive the loss of one: what needs them answers 503, never that it is not there,
/// and is there when they return.
#[tokio::test(flavor = "multi_thread")]
async fn more_devices_lost_than_promised_answer_503_and_come_back() {
    let server = Server::with(&["--devices", "5", "--policy", "replicated:2"]).start().unwrap();
    let keys = server.keys().unwrap();
    // A bucket's index lies in one metadata group, and some groups lose two of their three voters: buckets in many.
    let mut buckets = Vec::new();
    for number in 0..12 {
        let bucket = format!("away-{number}");
        server.make_bucket(&bucket).await.unwrap();
        let filled = fill(&server, &bucket, 5, 200_000).await;
        buckets.push((bucket, filled));
    }
    server.wait_whole(HEAL_LIMIT).unwrap();
    let aside = |number: u32| server.scratch().join(format!("aside-{number}"));
    for number in [2, 4] {
        std::fs::rename(server.device(number), aside(number)).unwrap();
    }
    let awaited = |status: &Status| {
        let reason = |device: &str| status.device(device)["reason"].to_string();
        ["device-2", "device-4"].iter().all(|device| reason(device).contains("waits for them to return"))
    };
    server.wait("both are noticed, and not made anew", HEAL_LIMIT, awaited).unwrap();
    let (mut served, mut unavailable) = (0, 0);
    let mut readers = Vec::new();
    for (bucket, filled) in &buckets {
        for key in filled.keys().keys().cloned() {
            let (keys, path) = (keys.clone(), format!("/{bucket}/{key}"));
            readers.push(tokio::spawn(async move {
                let mut connection = Connection::open(&keys).await.unwrap();
                (key, connection.call("GET", &path, &[], Bytes::new()).await.unwrap())
            }));
        }
    }
    for reader in readers {
        let (key, got) = reader.await.unwrap();
        match got.status.as_u16() {
            200 => {
                assert!(got.body == body_of(&key, 1, 200_000), "{key}: wrong data");
                served += 1;
            }
            503 => unavailable += 1,
            status => panic!("{key}: {status} {}", got.text()),
        }
    }
    println!("two of five devices away: {served} served, {unavailable} answered 503");
    assert!(served > 0 && unavailable > 0);
    let said = server.operate(&["status"]).unwrap();
    assert!(said.contains("UNAVAILABLE"), "{said}");
    for number in [2, 4] {
        std::fs::rename(aside(number), server.device(number)).unwrap();
    }
    server.wait_whole(HEAL_LIMIT).unwrap();
    for (bucket, filled) in &buckets {
        read_back(&keys, bucket, filled).await.unwrap().assert_clean("after both returned");
    }
    for device in ["device-2", "device-4"] {
        assert_eq!(server.status().unwrap().device(device)["incarnation"], 1, "it was not made anew");
    }
}
