//! `ringfort up` and its commands as an operator meets them: what is refused leaves no trace and says what to do, what is
//! missing is told, a stop finishes what it began, and figures, log lines and health mean what they say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use ringfort_acceptance::{Connection, Launch, Server, Tool, body_of, snapshot, venv_program};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Promised: idle, less than 120 MB.
const IDLE_BYTES_MAX: u64 = 120_000_000;

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().tempdir_in(Server::scratch_parent().unwrap()).unwrap()
}

/// Starts where it has to refuse: the words are there, and nothing below `watched` is other than before.
fn refused(launch: Launch, watched: &Path, wanted: &[&str]) {
    let before = snapshot(watched).unwrap();
    let said = launch.refused().unwrap();
    for words in wanted {
        assert!(said.contains(words), "no `{words}` in:\n{said}");
    }
    assert_eq!(before, snapshot(watched).unwrap(), "a refused start changed something:\n{said}");
}

/// A data folder that has been up once, stopped.
fn stopped(devices: u32) -> Server {
    let mut server = Server::with(&["--devices", &devices.to_string()]).start().unwrap();
    server.stop().unwrap();
    server
}

#[test]
fn what_cannot_be_a_device_is_refused_before_anything_is_written() {
    let scratch = folder();
    let root = scratch.path();
    let other = stopped(1);
    fs::create_dir_all(root.join("taken")).unwrap();
    fs::write(root.join("taken/thesis.tex"), "precious").unwrap();
    fs::write(root.join("file"), "").unwrap();
    fs::create_dir_all(root.join("real")).unwrap();
    std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
    let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let foreign = other.device(1).to_str().unwrap().to_owned();
    let check = |devices: &[&str], wanted: &[&str]| {
        let mut args = Vec::new();
        devices.iter().for_each(|device| args.extend(["--device", *device]));
        refused(Launch::new(&root.join("data"), &args), root, wanted);
        assert!(!root.join("data").exists(), "a refused start made the data folder");
    };
    check(&[&foreign], &[&foreign, "belongs to cluster", "as device 1", "left alone"]);
    check(&[&at("taken")], &["not empty", "left alone"]);
    check(&[&at("file")], &["not a folder"]);
    check(&[&at("real"), &at("link")], &["given twice"]);
    check(&[&at("a"), &at("x/../a")], &["given twice"]);
    check(&[&at("a"), &at("a/b")], &["within each other"]);
    check(&[&at("data")], &["the data folder itself"]);
    // All faults at once.
    check(
        &[&at("file"), &at("taken"), &foreign],
        &["3 fault(s)", "not a folder", "not empty", "belongs to cluster"],
    );
    // And the corrected command works.
    let mut server = Server::with(&["--device", &at("real")]).data(&root.join("data")).start().unwrap();
    server.stop().unwrap();
}

#[test]
fn a_read_only_and_a_full_disk_are_told() {
    let scratch = folder();
    let root = scratch.path();
    let mounted = ringfort_acceptance::TmpFs::mount(&root.join("small"), 64).unwrap();
    let device = mounted.path().join("d").to_str().unwrap().to_owned();
    let launch = || Launch::new(&root.join("data"), &["--device", &device]);
    refused(launch(), root, &[&device, "MiB free", "384 MiB"]);
    mounted.make_read_only().unwrap();
    refused(launch(), root, &[&device, "read-only"]);
    refused(Launch::new(&mounted.path().join("data"), &["--devices", "1"]), root, &["read-only"]);
}

#[test]
fn without_permission_nothing_is_touched() {
    // Not below the build folder, which other users may not reach.
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    let data = root.join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("FORMAT"), "ringfort data folder, format 1\n").unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    // The nobody user may neither look into a folder of somebody else's nor make one.
    refused(Launch::new(&data, &[]).as_nobody(), root, &["Permission denied", "run ringfort as"]);
    refused(Launch::new(&root.join("new"), &["--devices", "1"]).as_nobody(), root, &["cannot write to"]);
}

/// Changes one file in three ways; each is refused by name, and with the file back the folder starts.
fn spoil(server: &mut Server, name: &str, wanted_when_missing: &str) {
    let path = server.data().join(name);
    let good = fs::read(&path).unwrap();
    let facts = fs::metadata(&path).unwrap().permissions();
    let check = |wanted: &[&str]| refused(Launch::new(server.data(), &[]), server.data(), wanted);
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    check(&["is damaged", "put back a copy"]);
    fs::write(&path, "").unwrap();
    check(&["is damaged", "put back a copy"]);
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 4;
    fs::write(&path, &flipped).unwrap();
    check(&["is damaged", "put back a copy"]);
    fs::remove_file(&path).unwrap();
    check(&[name.rsplit('/').next().unwrap(), wanted_when_missing]);
    fs::write(&path, &good).unwrap();
    fs::set_permissions(&path, facts).unwrap();
}

#[test]
fn spoilt_files_are_named_and_nothing_is_made_in_their_place() {
    let mut server = stopped(3);
    let key = server.keys().unwrap().access_key;
    spoil(&mut server, "cluster.json", "is missing");
    spoil(&mut server, "devices.toml", "is missing");
    spoil(&mut server, "keys/master.key", "is missing");
    spoil(&mut server, "keys/access-keys.sealed", "is missing");
    let format = server.data().join("FORMAT");
    fs::write(&format, "ringfort data folder, format 7\n").unwrap();
    refused(Launch::new(server.data(), &[]), server.data(), &["format 7", "start a newer one"]);
    fs::write(&format, "ringfort data folder, format 1\n").unwrap();
    let master = server.data().join("keys/master.key");
    fs::set_permissions(&master, fs::Permissions::from_mode(0o640)).unwrap();
    refused(Launch::new(server.data(), &[]), server.data(), &["can be read by others", "chmod 600"]);
    fs::set_permissions(&master, fs::Permissions::from_mode(0o600)).unwrap();
    // A key file of the right form that is another folder's.
    let right = fs::read(&master).unwrap();
    fs::write(&master, "ab".repeat(32)).unwrap();
    refused(Launch::new(server.data(), &[]), server.data(), &["not sealed under the key in master.key"]);
    fs::write(&master, right).unwrap();
    server.start().unwrap();
    assert_eq!(server.keys().unwrap().access_key, key, "the same account as before");
}

#[test]
fn a_device_of_a_newer_format_or_another_cluster_stops_the_start() {
    let mut server = stopped(3);
    let other = stopped(1);
    let identity = server.device(2).join("device.json");
    let good = fs::read_to_string(&identity).unwrap();
    fs::write(&identity, good.replace("\"format\": 1", "\"format\": 9")).unwrap();
    refused(Launch::new(server.data(), &[]), server.data(), &["device-2", "format 9", "start a newer one"]);
    fs::write(&identity, fs::read(other.device(1).join("device.json")).unwrap()).unwrap();
    refused(
        Launch::new(server.data(), &[]),
        server.data(),
        &["device-2", "belongs to cluster", "left alone"],
    );
    fs::write(&identity, &good).unwrap();
    // The same device in two places.
    fs::write(&identity, fs::read(server.device(1).join("device.json")).unwrap()).unwrap();
    refused(
        Launch::new(server.data(), &[]),
        server.data(),
        &["device-2 holds device 1, and so does", "device-1: one of them is a copy"],
    );
    fs::write(&identity, good).unwrap();
    // Two that changed places are still themselves.
    let (one, two, aside) = (server.device(1), server.device(2), server.data().join("aside"));
    for (from, to) in [(&one, &aside), (&two, &one), (&aside, &two)] {
        fs::rename(from, to).unwrap();
    }
    server.start().unwrap();
    server.wait_whole(Duration::from_secs(60)).unwrap();
    assert!(server.operate(&["status"]).unwrap().starts_with("Data     SAFE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_serves_when_a_device_is_missing_and_status_says_so() {
    let mut server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap();
    server.make_bucket("kept").await.unwrap();
    let body = body_of("k", 1, 300_000);
    let mut connection = Connection::open(&server.keys().unwrap()).await.unwrap();
    connection.call("PUT", "/kept/k", &[], body.clone()).await.unwrap().good().unwrap();
    server.stop().unwrap();
    // A file in the place of the folder: nothing can be formatted there.
    let (device, aside) = (server.device(1), server.data().join("aside"));
    fs::rename(&device, &aside).unwrap();
    fs::write(&device, "no folder").unwrap();
    server.start().unwrap();
    let mut connection = Connection::open(&server.keys().unwrap()).await.unwrap();
    let reply = connection.call("GET", "/kept/k", &[], Bytes::new()).await.unwrap().good().unwrap();
    assert!(reply.body == body, "the bytes differ");
    let status = server.operate(&["status"]).unwrap();
    for wanted in ["DEGRADED", "Device 1 is absent", "device-1", "Not a directory"] {
        assert!(status.contains(wanted), "no `{wanted}` in:\n{status}");
    }
    let listed = server.operate(&["device", "list"]).unwrap();
    assert!(listed.contains("Device 1 is absent"), "{listed}");
    assert_eq!(server.metric("ringfort_device_in_service{device=\"1\"}").unwrap(), Some(0.0));
    assert!(server.log().len() < 64 << 10, "a missing device floods the log:\n{}", server.log_tail());
    server.stop().unwrap();
    // Two of three: nothing can be decided, and the refusal names both.
    fs::rename(server.device(2), server.data().join("aside-2")).unwrap();
    fs::write(server.device(2), "no folder").unwrap();
    let said = Launch::new(server.data(), &[]).refused().unwrap();
    for wanted in ["too few devices", "device-1", "device-2"] {
        assert!(said.contains(wanted), "no `{wanted}` in:\n{said}");
    }
    for (name, aside) in [(1, "aside"), (2, "aside-2")] {
        fs::remove_file(server.device(name)).unwrap();
        fs::rename(server.data().join(aside), server.device(name)).unwrap();
    }
    server.start().unwrap();
    server.wait_whole(Duration::from_secs(60)).unwrap();
    let status = server.operate(&["status"]).unwrap();
    assert!(status.contains("SAFE") && status.contains("nothing waits"), "{status}");
}

#[test]
fn wrong_settings_name_file_and_value() {
    let scratch = folder();
    let root = scratch.path();
    let file = root.join("ringfort.toml");
    let config = file.to_str().unwrap();
    let check = |content: &[u8], wanted: &[&str]| {
        fs::write(&file, content).unwrap();
        refused(Launch::new(&root.join("data"), &["--config", config]), root, wanted);
    };
    check(b"\xff\xfe", &[config, "UTF-8"]);
    check(b"bind = \"127.0.0.1\"\nbind = \"::1\"\n", &[config, "duplicate key"]);
    check(
        b"public_host = \"a;b\"\nport_base = 0\n[storage]\nreserve = \"1 XB\"\nscrub_every = \"1 s\"\n[log]\nlevel = 1\n",
        &["5 fault(s)", "public_host", "port_base", "storage.reserve", "storage.scrub_every", "log.level"],
    );
    check(b"policies = [\"replicated:2\", \"replicated:2\"]\n", &["replicated:2 is given twice"]);
    fs::remove_file(&file).unwrap();
    refused(Launch::new(&root.join("data"), &["--config", config]), root, &[config, "No such file"]);
    refused(
        Launch::new(&root.join("data"), &["--bind", "192.0.2.1"]),
        root,
        &["cannot listen on 192.0.2.1", "--bind"],
    );
}

/// The last three lines that `up` prints to try, as a person would paste them, with each aws.
#[test]
fn printed_commands_work_when_pasted() {
    let server = Server::with(&["--devices", "3"]).data_named("it's mine").start().unwrap();
    server.wait_whole(Duration::from_secs(60)).unwrap();
    let printed = server.log_tail();
    let try_these: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| ["set -a", "aws ", "'", "/"].iter().any(|begins| line.starts_with(begins)))
        .collect();
    assert_eq!(try_these.len(), 4, "{printed}");
    for aws in [PathBuf::from("/usr/bin/aws"), venv_program("aws").unwrap()] {
        let bin = server.scratch().join("bin");
        fs::remove_dir_all(&bin).ok();
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(&aws, bin.join("aws")).unwrap();
        let script = format!("set -e\nPATH={}:$PATH\n{}\n", bin.display(), try_these.join("\n"));
        let said = Tool::new(Path::new("/bin/sh"))
            .args(&["-c", &script])
            .clean_home(server.scratch())
            .run()
            .unwrap();
        assert!(said.contains("upload: ") && said.contains("Data     SAFE"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_is_under_way_and_a_second_signal_does_not_wait() {
    let mut server = Server::with(&["--devices", "1"]).start().unwrap();
    server.make_bucket("slow").await.unwrap();
    let keys = server.keys().unwrap();
    let body = body_of("k", 1, 4 << 20);
    // A client that has sent half when the signal comes.
    let mut upload = ringfort_acceptance::HalfUpload::begin(&keys, "/slow/k", &body).await.unwrap();
    server.signal(false).unwrap();
    ringfort_acceptance::until("the port is closed", Duration::from_secs(5), || {
        std::net::TcpStream::connect(("127.0.0.1", server.s3_port())).is_err()
    });
    let ready = server.metrics_port("/health/ready").unwrap();
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("stopping"), "{ready}");
    assert!(server.metrics_port("/health/live").unwrap().starts_with("HTTP/1.1 200"));
    assert!(upload.finish().await.unwrap().contains(" 200 "), "the upload under way was cut");
    assert!(server.ended(Duration::from_secs(10)).unwrap().success());
    server.start().unwrap();
    let mut connection = Connection::open(&server.keys().unwrap()).await.unwrap();
    let reply = connection.call("GET", "/slow/k", &[], Bytes::new()).await.unwrap().good().unwrap();
    assert!(reply.body == body, "an upload acknowledged during the stop is not there");

    // This client never sends the rest; nobody waits for it after the second signal.
    let _upload = ringfort_acceptance::HalfUpload::begin(&keys, "/slow/other", &body).await.unwrap();
    server.signal(true).unwrap();
    ringfort_acceptance::until("the stop began", Duration::from_secs(5), || {
        std::net::TcpStream::connect(("127.0.0.1", server.s3_port())).is_err()
    });
    let began = Instant::now();
    server.signal(true).unwrap();
    let status = server.ended(Duration::from_secs(5)).unwrap();
    println!("a second signal ended it in {:.2?}, {status}", began.elapsed());
    assert!(!status.success() && server.log_tail().contains("second signal"), "{}", server.log_tail());
    server.start().unwrap();
    let mut connection = Connection::open(&server.keys().unwrap()).await.unwrap();
    connection.call("HEAD", "/slow/k", &[], Bytes::new()).await.unwrap().good().unwrap();
    let half = connection.call("HEAD", "/slow/other", &[], Bytes::new()).await.unwrap();
    assert_eq!(half.status, 404, "half an upload became an object");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_named_and_logged() {
    let builder =
        Server::with(&["--devices", "3", "--log-json"]).env("RINGFORT_LOG", "info,ringfort_s3=debug");
    let server = builder.start().unwrap();
    server.make_bucket("seen").await.unwrap();
    let mut connection = Connection::open(&server.keys().unwrap()).await.unwrap();
    let put = connection.call("PUT", "/seen/k", &[], body_of("k", 1, 100_000)).await.unwrap().good().unwrap();
    assert_eq!(put.headers["x-amz-request-id"].len(), 16);
    connection.call("GET", "/seen/k", &[], Bytes::new()).await.unwrap().good().unwrap();
    let missing = connection.call("GET", "/seen/none", &[], Bytes::new()).await.unwrap();
    let id = missing.headers["x-amz-request-id"].to_str().unwrap().to_owned();
    assert_eq!(missing.element("RequestId"), Some(id.clone()), "reply and error name the same request");
    for (sample, least) in [
        ("ringfort_s3_requests_total{operation=\"PutObject\",outcome=\"ok\"}", 1.0),
        ("ringfort_s3_errors_total{code=\"NoSuchKey\"}", 1.0),
        ("ringfort_s3_request_seconds_count{operation=\"GetObject\"}", 2.0),
        ("ringfort_http_bytes_total{port=\"s3\",direction=\"received\"}", 100_000.0),
        ("ringfort_http_bytes_total{port=\"s3\",direction=\"sent\"}", 100_000.0),
        ("ringfort_http_request_seconds_count{port=\"s3\"}", 4.0),
        ("ringfort_group_has_leader{group=\"0\"}", 1.0),
        ("ringfort_device_bytes{device=\"1\",what=\"capacity\"}", 1.0),
        ("ringfort_device_queue_requests{device=\"3\"}", 0.0),
        ("ringfort_repair_backlog{what=\"missing\"}", 0.0),
    ] {
        // The counts of a port are published twice a second.
        ringfort_acceptance::until(sample, Duration::from_secs(5), || {
            server.metric(sample).unwrap().is_some_and(|value| value >= least)
        });
    }
    let page = server.metrics_port("/metrics").unwrap();
    let (_, page) = page.split_once("\r\n\r\n").unwrap();
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let told = |what: &str| {
            page.contains(&format!("# {what} {family} ")) || page.contains(&format!("# {what} {name} "))
        };
        assert!(told("HELP") && told("TYPE"), "{name} is not described");
    }
    let log = server.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()));
    let about = lines.iter().find(|line| line["request_id"] == id.as_str());
    assert_eq!(about.expect("the log names the request")["code"], "NoSuchKey", "{log}");
}

#[test]
fn operator_commands_are_plain_about_what_they_do() {
    let server = Server::with(&["--devices", "4"]).start().unwrap();
    let fails = |args: &[&str], wanted: &[&str]| {
        let said = format!("{:#}", server.operate(args).unwrap_err());
        for words in wanted {
            assert!(said.contains(words), "no `{words}` in:\n{said}");
        }
    };
    fails(&["device", "drain", "99"], &["there is no device 99", "request "]);
    fails(&["device", "remove", "2"], &["device 2 is active", "drain it first"]);
    let file = server.scratch().join("file");
    fs::write(&file, "").unwrap();
    let before = fs::read(server.data().join("devices.toml")).unwrap();
    fails(&["device", "add", file.to_str().unwrap()], &["not a folder"]);
    fails(&["ring", "plan", "--add", file.to_str().unwrap()], &["not a folder"]);
    fails(&["device", "add", server.device(1).to_str().unwrap()], &["as device 1"]);
    assert_eq!(before, fs::read(server.data().join("devices.toml")).unwrap());
    // The plan comes before the deed.
    let drained = server.operate(&["device", "drain", "1"]).unwrap();
    let (plan, deed) = (drained.find("would move").unwrap(), drained.find("Device 1 drains").unwrap());
    assert!(plan < deed, "{drained}");
    let scrubbed = server.operate(&["scrub"]).unwrap();
    assert!(scrubbed.contains("all good"), "{scrubbed}");
    // Whoever reads a part of an answer breaks nothing.
    let script = format!(
        "{} status --data {} | head -n 1",
        Server::program().unwrap().display(),
        server.data().display()
    );
    let said = Tool::new(Path::new("/bin/bash")).args(&["-o", "pipefail", "-c", &script]).run().unwrap();
    assert!(said.starts_with("Data "), "{said}");
    let nobody =
        Tool::new(&Server::program().unwrap()).args(&["status", "--data", "/nonexistent"]).run().unwrap_err();
    assert!(format!("{nobody:#}").contains("no running ringfort answers in /nonexistent"), "{nobody:#}");
}

#[test]
fn idle_memory_and_start_time() {
    for (devices, policy) in [("1", "replicated:1"), ("4", "replicated:3"), ("7", "erasure:4+2")] {
        let mut server = Server::with(&["--devices", devices, "--policy", policy]).start().unwrap();
        server.wait_whole(Duration::from_secs(60)).unwrap();
        let (now, most) = server.memory_mib().unwrap();
        server.kill();
        let again = server.start().unwrap();
        println!(
            "{devices} device(s), {policy}: {now} MiB idle, {most} MiB at most; ready {again:.2?} after kill -9"
        );
        assert!(most << 20 < IDLE_BYTES_MAX, "{most} MiB");
        assert!(again < Duration::from_secs(5));
    }
}
