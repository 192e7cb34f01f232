//! Starting, stopping, looking, and refusing what is wrong, as an operator meets it.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints rates"
)]

use bytes::Bytes;
use ringfort_acceptance::{Connection, Server, body_of, read_back};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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
    assert_eq!(json["node"]["devices"].as_array().unwrap().len(), 4);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_added_drained_and_removed() {
    let mut server = Server::with(&["--devices", "4", "--policy", "replicated:3"]).start().unwrap();
    let keys = server.keys().unwrap();
    server.make_bucket("moved").await.unwrap();
    let mut connection = Connection::open(&keys).await.unwrap();
    let mut ledger = ringfort_acceptance::Ledger::default();
    for number in 0..200 {
        let key = format!("k{number}");
        connection
            .call("PUT", &format!("/moved/{key}"), &[], body_of(&key, 1, 100_000))
            .await
            .unwrap()
            .good()
            .unwrap();
        ledger.acknowledge(&key, Some((1, 100_000)));
    }
    let folder = server.scratch().join("fifth");
    let said = server.operate(&["device", "add", folder.to_str().unwrap()]).unwrap();
    println!("{}", said.trim());
    server.wait_whole(std::time::Duration::from_secs(120)).unwrap();
    read_back(&keys, "moved", &ledger).await.unwrap().assert_clean("a device added");
    let status = server.status().unwrap();
    let devices = status["node"]["devices"].as_array().unwrap().clone();
    let id = |end: &str| {
        let device =
            devices.iter().find(|device| device["path"].as_str().is_some_and(|path| path.ends_with(end)));
        device.unwrap()["id"].as_u64().unwrap().to_string()
    };
    let fifth = devices.iter().find(|device| device["path"].as_str().unwrap().ends_with("fifth")).unwrap();
    assert!(fifth["chunks"].as_u64().unwrap() > 0, "the new device got no data: {fifth}");
    let first = id("device-1");
    println!("{}", server.operate(&["device", "drain", &first]).unwrap().trim());
    let began = std::time::Instant::now();
    while let Err(error) = server.operate(&["device", "remove", &first]) {
        assert!(began.elapsed().as_secs() < 120, "{error:#}\n{}", server.operate(&["status"]).unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    println!("device 1 was empty after {:.1?}", began.elapsed());
    read_back(&keys, "moved", &ledger).await.unwrap().assert_clean("a device drained and removed");
    // The next start knows of it, whatever --devices says.
    server.stop().unwrap();
    server.start().unwrap();
    read_back(&keys, "moved", &ledger).await.unwrap().assert_clean("after a restart");
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
