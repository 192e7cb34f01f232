//! The process killed, devices lost, bits flipped, the disk full: nothing acknowledged is lost, and it heals by itself.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints rates"
)]

use bytes::Bytes;
use ringfort_acceptance::{
    Connection, Ledger, Load, LoadPlan, LoopDisk, Server, body_of, flip_bits, read_back, wipe,
};
use std::path::Path;
use std::time::{Duration, Instant};

const HEAL_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_under_load_five_times() {
    let mut server = Server::with(&["--devices", "4", "--policy", "replicated:3"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("killed").await.unwrap();
    let load = Load::start(&keys, &LoadPlan::mixed("killed", 1));
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
    server.make_bucket("wiped").await.unwrap();
    let mut ledger = Ledger::default();
    for (round, device) in [(1, 2), (2, 3)] {
        let bucket = format!("wiped{round}");
        server.make_bucket(&bucket).await.unwrap();
        let load = Load::start(&keys, &LoadPlan::mixed(&bucket, round));
        load.progress(300).await;
        wipe(&server.device(device)).unwrap();
        load.progress(300).await;
        let known = load.stop().await.unwrap();
        read_back(&keys, &bucket, &known)
            .await
            .unwrap()
            .assert_clean(&format!("{policy}, device {device} wiped"));
        let took = server.wait_whole(HEAL_LIMIT).unwrap();
        println!("{policy}: whole again {took:.1?} after the load, {:?}", server.redundancy().unwrap());
        ledger.tried += known.tried;
        // What the first round stored has lived through a repair when the second device goes.
        read_back(&keys, &bucket, &known).await.unwrap().assert_clean("after the repair");
        if round == 2 {
            println!("{policy}: {} writes tried in all", ledger.tried);
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

fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "sst")
}

/// Files of the log: everything large that is not RocksDB's.
fn is_log(path: &Path) -> bool {
    let large = std::fs::metadata(path).is_ok_and(|facts| facts.len() > 1 << 20);
    large && !is_index(path) && !path.components().any(|part| part.as_os_str() == "index")
}

#[tokio::test(flavor = "multi_thread")]
async fn bits_flipped_are_found_served_around_and_repaired() {
    let mut server = Server::with(&["--devices", "4", "--policy", "replicated:3"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("flipped").await.unwrap();
    let load = Load::start(&keys, &LoadPlan { clients: 4, ..LoadPlan::mixed("flipped", 3) });
    load.progress(1500).await;
    let ledger = load.stop().await.unwrap();
    server.stop().unwrap();
    let logs = flip_bits(&server.device(1), 300_000, &is_log).unwrap();
    let index = flip_bits(&server.device(1), 20_000, &is_index).unwrap();
    println!("flipped {logs} bits in the logs and {index} in the index of device 1");
    assert!(logs > 10, "no log was found to damage");
    assert!(index > 0, "no index file was found to damage");
    server.start().unwrap();
    read_back(&keys, "flipped", &ledger).await.unwrap().assert_clean("served around the damage");
    let said = server.operate(&["scrub"]).unwrap();
    println!("scrub: {}", said.trim());
    server.wait_whole(HEAL_LIMIT).unwrap();
    let repaired = server.redundancy().unwrap();
    println!("repaired: {repaired:?}");
    assert!(repaired.repaired > 0, "nothing was repaired: {repaired:?}");
    // Only if the damaged copies were really made good does the loss of other devices cost nothing.
    for device in [2, 3] {
        wipe(&server.device(device)).unwrap();
        server.wait_whole(HEAL_LIMIT).unwrap();
        let tally = read_back(&keys, "flipped", &ledger).await.unwrap();
        tally.assert_clean(&format!("after the repair, device {device} wiped"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_device_refuses_and_deletes() {
    const SIZE: usize = 4 << 20;
    let folder = tempfile::Builder::new().tempdir_in(Server::scratch_parent().unwrap()).unwrap();
    let disk = LoopDisk::mount(folder.path(), 1200).unwrap();
    let device = disk.path().join("device");
    let mut server =
        Server::with(&["--device", device.to_str().unwrap(), "--policy", "replicated:1"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("full").await.unwrap();
    let mut connection = Connection::open(&keys).await.unwrap();
    let mut ledger = Ledger::default();
    let mut refused = None;
    for number in 0..400 {
        let key = format!("k{number:04}");
        let reply =
            connection.call("PUT", &format!("/full/{key}"), &[], body_of(&key, 1, SIZE)).await.unwrap();
        if reply.status.is_success() {
            ledger.acknowledge(&key, Some((1, SIZE)));
        } else {
            ledger.doubt(&key, None);
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("1.2 GiB hold no 1.6 GiB");
    println!("full after {} objects: {} {:?}", ledger.acknowledged, refused.status, refused.element("Code"));
    assert_eq!(refused.status, 507, "{}", refused.text());
    read_back(&keys, "full", &ledger).await.unwrap().assert_clean("full device");
    // A restart on the full disk, then deletes: they always work, and make room again.
    server.kill();
    server.start().unwrap();
    let mut connection = Connection::open(&keys).await.unwrap();
    let stored: Vec<String> = ledger.keys().keys().cloned().collect();
    for key in stored.iter().take(stored.len() / 2) {
        let reply = connection.call("DELETE", &format!("/full/{key}"), &[], Bytes::new()).await.unwrap();
        assert_eq!(reply.status, 204, "a delete on a full disk: {}", reply.text());
        ledger.acknowledge(key, None);
    }
    let began = Instant::now();
    let key = "again";
    loop {
        let reply = connection.call("PUT", "/full/again", &[], body_of(key, 2, SIZE)).await.unwrap();
        if reply.status.is_success() {
            ledger.acknowledge(key, Some((2, SIZE)));
            break;
        }
        assert!(began.elapsed() < HEAL_LIMIT, "deleting made no room: {}", reply.text());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("room again {:.1?} after the deletes", began.elapsed());
    read_back(&keys, "full", &ledger).await.unwrap().assert_clean("full device, half of it deleted");
}
