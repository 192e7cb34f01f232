//! Devices join, leave and come back, under load: what must move moves, nothing else does, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ringfort_acceptance::{Load, Server, Status, WritePlan, read_back, wipe};
use serde_json::Value;
use std::time::{Duration, Instant};

const MOVE_LIMIT: Duration = Duration::from_secs(120);

/// What `ring plan` says a new device takes: it alone takes, the others give, and all give about its share.
fn check_plan(server: &Server, folder: &str) {
    let plan: Value =
        serde_json::from_str(&server.operate(&["ring", "plan", "--json", "--add", folder]).unwrap()).unwrap();
    let policy = &plan["policies"][0];
    let (moves, places) = (policy["moves"].as_u64().unwrap(), policy["places"].as_u64().unwrap());
    println!("the plan: {moves} of {places} places move, {} bytes, eta {} s", plan["bytes"], plan["eta_s"]);
    // A fifth of the places, and within 5 % of it.
    assert!(moves.abs_diff(places / 5) * 20 <= places / 5, "{moves} of {places}");
    let takers = policy["devices"].as_array().unwrap().iter().filter(|device| device["takes"] != 0);
    assert_eq!(takers.map(|device| device["takes"].as_u64().unwrap()).collect::<Vec<_>>(), [moves]);
    assert!(!plan["reasons"].as_array().unwrap().is_empty(), "{plan}");
}

fn at_rest(status: &Status) -> bool {
    status.node()["rebalance"].is_null()
}

/// Asks for a change until it is made: it is refused while the one before is under way.
async fn until_done(server: &Server, change: &[&str]) -> Duration {
    let began = Instant::now();
    while let Err(error) = server.operate(change) {
        assert!(began.elapsed() < MOVE_LIMIT, "{error:#}\n{}", server.operate(&["status"]).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_joins_leaves_and_comes_back() {
    let mut server = Server::with(&["--devices", "4", "--policy", "replicated:3"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("moved").await.unwrap();
    let load = Load::start(&keys, &WritePlan::mixed("moved", 11));
    load.progress(400).await;

    let folder = server.scratch().join("fifth");
    let folder = folder.to_str().unwrap();
    check_plan(&server, folder);
    println!("{}", server.operate(&["device", "add", folder]).unwrap().trim());
    load.progress(200).await;
    server.wait("the new device has its share", MOVE_LIMIT, at_rest).unwrap();
    let status = server.status().unwrap();
    let (new, old) = (&status.device("fifth")["chunks"], &status.device("device-3")["chunks"]);
    println!("chunks on the new device: {new}, on an old one: {old}");
    assert!(new.as_u64().unwrap() * 2 > old.as_u64().unwrap(), "the new device got less than its share");

    println!("{}", server.operate(&["device", "drain", "5"]).unwrap().trim());
    let took = until_done(&server, &["device", "remove", "5"]).await;
    println!("device 5 was empty {took:.1?} later");
    load.progress(100).await;
    // Its folder still holds what was there: it is told so, and nothing is deleted.
    let refused = server.operate(&["device", "add", folder]).unwrap_err().to_string();
    assert!(refused.contains("as device 5, and was left alone"), "{refused}");
    wipe(std::path::Path::new(folder)).unwrap();
    until_done(&server, &["device", "add", folder]).await;
    load.progress(100).await;
    let ledger = load.stop().await.unwrap();
    server.wait_whole(MOVE_LIMIT).unwrap();
    let status = server.status().unwrap();
    assert_eq!(status.device("fifth")["id"], 6, "a device that comes back is a new one");
    assert!(status.device("fifth")["chunks"].as_u64() > Some(0));
    read_back(&keys, "moved", &ledger)
        .await
        .unwrap()
        .assert_clean("a device added, drained, removed, added again");
    // The next start knows of it, whatever --devices says.
    server.stop().unwrap();
    server.start().unwrap();
    read_back(&keys, "moved", &ledger).await.unwrap().assert_clean("after a restart");
    server.wait_whole(MOVE_LIMIT).unwrap();
}

/// A change that is held moves nothing, and one that is taken back leaves things as they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_ring_change_is_held_and_taken_back() {
    let server = Server::with(&["--devices", "4", "--policy", "replicated:2"]);
    let server = server.config("[storage]\npace_per_s = \"4 MiB\"\n").start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("held").await.unwrap();
    let plan = WritePlan { sizes: vec![500_000], clients: 4, ..WritePlan::mixed("held", 13) };
    let load = Load::start(&keys, &plan);
    load.progress(120).await;
    let ledger = load.stop().await.unwrap();
    server.wait_whole(MOVE_LIMIT).unwrap();
    server.operate(&["device", "drain", "2"]).unwrap();
    server.wait("it moves", MOVE_LIMIT, |status| status.moved("rebalance") > Some(0)).unwrap();
    server.operate(&["ring", "pause"]).unwrap();
    assert!(server.operate(&["status"]).unwrap().contains("paused"));
    let held = |server: &Server| server.status().unwrap().device("device-2")["chunks"].as_u64().unwrap();
    // What was under way when it was held has ended when two looks agree.
    let before = held(&server);
    assert!(before > 0, "it was over before it was held");
    read_back(&keys, "held", &ledger).await.unwrap().assert_clean("while the change is held");
    server.operate(&["ring", "revert"]).unwrap();
    server.wait_whole(MOVE_LIMIT).unwrap();
    let status = server.status().unwrap();
    assert_eq!(status.device("device-2")["ring_state"], "active");
    println!("device 2 held {before} chunks when the change was held, and {} in the end", held(&server));
    assert!(held(&server) >= before, "what had left came back");
    read_back(&keys, "held", &ledger).await.unwrap().assert_clean("after the change was taken back");
}
