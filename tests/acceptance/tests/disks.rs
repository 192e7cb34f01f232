//! Disks that flip bits, fail, or are full: found, served around, and told in words.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use ringfort_acceptance::{
    Connection, Ledger, Load, LoopDisk, Server, WritePlan, body_of, flip_bits, read_back, wipe,
};
use std::path::Path;
use std::time::{Duration, Instant};

const HEAL_LIMIT: Duration = Duration::from_secs(120);

fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "sst")
}

/// Files of the log: everything large that is not RocksDB's.
fn is_log(path: &Path) -> bool {
    let large = std::fs::metadata(path).is_ok_and(|facts| facts.len() > 1 << 20);
    large && !is_index(path) && !path.components().any(|part| part.as_os_str() == "index")
}

/// Flips bits in files of device 1 while the server is down; afterwards any two other devices may be lost in turn.
async fn flip_and_heal(index_too: bool) {
    let mut server = Server::with(&["--devices", "4", "--policy", "replicated:3"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("flipped").await.unwrap();
    let load = Load::start(&keys, &WritePlan { clients: 4, ..WritePlan::mixed("flipped", 3) });
    load.progress(1500).await;
    let ledger = load.stop().await.unwrap();
    server.stop().unwrap();
    let logs = flip_bits(&server.device(1), if index_too { 300_000 } else { 50_000 }, &is_log).unwrap();
    let index = if index_too { flip_bits(&server.device(1), 20_000, &is_index).unwrap() } else { 0 };
    println!("flipped {logs} bits in the logs and {index} in the index of device 1");
    assert!(logs > 10, "no log was found to damage");
    assert!(index > 0 || !index_too, "no index file was found to damage");
    server.start().unwrap();
    read_back(&keys, "flipped", &ledger).await.unwrap().assert_clean("served around the damage");
    let said = server.operate(&["scrub"]).unwrap();
    println!("scrub: {}", said.trim());
    server.wait_whole(HEAL_LIMIT).unwrap();
    let repaired = server.status().unwrap().redundancy("repaired");
    println!("{repaired} pieces repaired");
    assert!(repaired > 0, "nothing was repaired");
    // Only if the damaged copies were really made good does the loss of other devices cost nothing.
    for device in [2, 3] {
        wipe(&server.device(device)).unwrap();
        server.wait_anew(&format!("device-{device}"), 2, HEAL_LIMIT).unwrap();
        server.wait_whole(HEAL_LIMIT).unwrap();
        let tally = read_back(&keys, "flipped", &ledger).await.unwrap();
        tally.assert_clean(&format!("after the repair, device {device} wiped"));
    }
    let said = server.operate(&["scrub"]).unwrap();
    println!("scrub: {}", said.trim());
    assert_eq!(server.status().unwrap().node()["scrub"]["damaged"], 0, "the damage is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn bits_flipped_in_log_and_index_are_found_served_around_and_repaired() {
    flip_and_heal(true).await;
}

/// The index is good and names what is damaged: bodies of small objects in the log entries too.
#[tokio::test(flavor = "multi_thread")]
async fn bits_flipped_in_the_log_are_found_served_around_and_repaired() {
    flip_and_heal(false).await;
}

/// The disk of one of four devices fails under load: the device leaves, the others serve, and a new disk takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_leaves_service() {
    let folder = tempfile::Builder::new().tempdir_in(Server::scratch_parent().unwrap()).unwrap();
    let disk = LoopDisk::mount(folder.path(), 3000).unwrap();
    let devices: Vec<String> = [folder.path().join("a"), folder.path().join("b"), folder.path().join("c")]
        .into_iter()
        .chain([disk.path().join("d")])
        .flat_map(|path| ["--device".to_owned(), path.display().to_string()])
        .collect();
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    let mut server = Server::with(&devices).args(&["--policy", "replicated:3"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("failed").await.unwrap();
    let load = Load::start(&keys, &WritePlan::mixed("failed", 7));
    load.progress(300).await;
    disk.fail().unwrap();
    load.progress(300).await;
    let health = |wanted: &'static str| {
        move |status: &ringfort_acceptance::Status| status.device("disk/d")["health"] == wanted
    };
    server.wait("the device is out of service", HEAL_LIMIT, health("failed")).unwrap();
    println!("the device: {}", server.status().unwrap().device("disk/d")["reason"]);
    let ledger = load.stop().await.unwrap();
    read_back(&keys, "failed", &ledger).await.unwrap().assert_clean("a disk failed under load");
    // A restart beside the broken disk.
    server.kill();
    server.start().unwrap();
    read_back(&keys, "failed", &ledger).await.unwrap().assert_clean("restarted beside a failed disk");
    server.wait("the device stays out", HEAL_LIMIT, health("failed")).unwrap();
    let _disk = disk.replace().unwrap();
    server.wait_anew("disk/d", 2, HEAL_LIMIT).unwrap();
    let took = server.wait_whole(HEAL_LIMIT).unwrap();
    println!("whole {took:.1?} after a new disk came");
    read_back(&keys, "failed", &ledger).await.unwrap().assert_clean("a new disk in its place");
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
    assert_eq!(refused.element("Code").as_deref(), Some("InsufficientStorage"));
    let small = connection.call("PUT", "/full/small", &[], body_of("small", 1, 500)).await.unwrap();
    assert_eq!(small.status, 507, "a small object needs room too: {}", small.text());
    let status = server.status().unwrap();
    assert!(status.reasons().contains("full"), "{}", status.reasons());
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
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("room again {:.1?} after the deletes", began.elapsed());
    read_back(&keys, "full", &ledger).await.unwrap().assert_clean("full device, half of it deleted");
}
