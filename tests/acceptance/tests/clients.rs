//! Round trips with the clients that people use.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints rates"
)]

use ringfort_acceptance::{Server, Tool, package_folder, stream_of, venv_program};
use std::fs;
use std::path::Path;

fn server() -> Server {
    Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap()
}

/// Small, middle-sized and multipart files.
fn make_files(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, len) in
        [("empty", 0), ("small.txt", 4000), ("middle.bin", 700_000), ("large file.bin", 21_000_000)]
    {
        fs::write(folder.join(name), stream_of(name, 0, len)).unwrap();
    }
}

fn assert_same(a: &Path, b: &Path) {
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(a), names(b));
    for name in names(a) {
        assert!(fs::read(a.join(&name)).unwrap() == fs::read(b.join(&name)).unwrap(), "{name:?} differs");
    }
}

/// Up, listed, down, compared, copied, removed: with any `aws`.
fn aws_round_trip(aws: &Path) {
    let server = server();
    let keys = server.keys().unwrap();
    let (up, down) = (server.scratch().join("up"), server.scratch().join("down"));
    make_files(&up);
    let run = |args: &[&str]| {
        let tool = Tool::new(aws).args(&["--endpoint-url", &keys.endpoint]).args(args);
        tool.aws(&keys, server.scratch()).run().unwrap()
    };
    let (up_text, down_text) = (up.to_str().unwrap(), down.to_str().unwrap());
    run(&["s3", "mb", "s3://first"]);
    run(&["s3", "cp", "--recursive", up_text, "s3://first/in/"]);
    let listed = run(&["s3", "ls", "--recursive", "s3://first"]);
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert!(listed.contains("21000000 in/large file.bin"), "{listed}");
    run(&["s3", "cp", "--recursive", "s3://first/in/", down_text]);
    assert_same(&up, &down);
    run(&["s3", "mv", "s3://first/in/large file.bin", "s3://first/moved.bin"]);
    let head = run(&["s3api", "head-object", "--bucket", "first", "--key", "moved.bin"]);
    assert!(head.contains("21000000"), "{head}");
    let part = server.scratch().join("part");
    let part_text = part.to_str().unwrap();
    let range = [
        "s3api",
        "get-object",
        "--bucket",
        "first",
        "--key",
        "moved.bin",
        "--range",
        "bytes=8388600-8388700",
    ];
    run(&[&range[..], &[part_text]].concat());
    assert_eq!(fs::read(&part).unwrap(), stream_of("large file.bin", 8_388_600, 101));
    run(&["s3", "sync", up_text, "s3://first/synced/"]);
    assert_eq!(run(&["s3", "sync", up_text, "s3://first/synced/"]), "", "a second sync has nothing to do");
    run(&["s3", "rm", "--recursive", "s3://first"]);
    assert_eq!(run(&["s3", "ls", "--recursive", "s3://first"]), "");
    run(&["s3", "rb", "s3://first"]);
    assert_eq!(run(&["s3", "ls"]), "");
}

#[test]
fn aws_current() {
    aws_round_trip(&venv_program("aws").unwrap());
}

#[test]
fn aws_debian() {
    aws_round_trip(Path::new("/usr/bin/aws"));
}

#[test]
fn boto3() {
    let server = server();
    let script = package_folder().join("clients/boto3_tour.py");
    let tour = Tool::new(&venv_program("python").unwrap()).arg(script);
    let said = tour.aws(&server.keys().unwrap(), server.scratch()).run().unwrap();
    print!("{said}");
    assert!(said.ends_with("all steps passed\n"), "{said}");
}

#[test]
fn minio() {
    let server = server();
    let script = package_folder().join("clients/minio_tour.py");
    let tour = Tool::new(&venv_program("python").unwrap()).arg(script);
    let said = tour.aws(&server.keys().unwrap(), server.scratch()).run().unwrap();
    assert!(said.ends_with("all steps passed\n"), "{said}");
}

/// Backups: many small objects, locks, listings, packs read back in ranges, and a prune that deletes.
#[test]
fn restic() {
    let server = server();
    let keys = server.keys().unwrap();
    let (up, down) = (server.scratch().join("up"), server.scratch().join("down"));
    make_files(&up);
    let repository = format!("s3:{}/backups", keys.endpoint);
    let run = |args: &[&str]| {
        let tool =
            Tool::new(Path::new("/usr/bin/restic")).args(&["--no-cache", "--repo", &repository]).args(args);
        tool.aws(&keys, server.scratch()).env("RESTIC_PASSWORD", "secret").run().unwrap()
    };
    let (up_text, down_text) = (up.to_str().unwrap(), down.to_str().unwrap());
    run(&["init"]);
    run(&["backup", up_text]);
    fs::write(up.join("small.txt"), "changed").unwrap();
    run(&["backup", up_text]);
    run(&["forget", "--keep-last", "1", "--prune"]);
    assert!(run(&["check", "--read-data"]).contains("no errors were found"));
    run(&["restore", "latest", "--target", down_text]);
    assert_same(&up, &down.join(up.strip_prefix("/").unwrap()));
}

/// By hand: signed by curl, by presigned URL, with and without `Expect: 100-continue`, of known and unknown length.
#[test]
fn curl() {
    let server = server();
    let keys = server.keys().unwrap();
    let file = server.scratch().join("file");
    let text = stream_of("curl", 0, 3_000_000);
    fs::write(&file, &text).unwrap();
    let run = |args: &[&str]| {
        let tool =
            Tool::new(Path::new("/usr/bin/curl")).args(&["--silent", "--show-error", "--max-time", "60"]);
        tool.args(args).aws(&keys, server.scratch()).run().unwrap()
    };
    let user = format!("{}:{}", keys.access_key, keys.secret_key);
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    let signed = [
        "--aws-sigv4",
        "aws:amz:us-east-1:s3",
        "--user",
        &user,
        "--header",
        "x-amz-content-sha256: UNSIGNED-PAYLOAD",
    ];
    let url = |path: &str| format!("{}{path}", keys.endpoint);
    let put = |more: &[&str], path: &str| {
        let upload = ["--upload-file", file.to_str().unwrap()];
        run(&[&status[..], &signed, &upload, more, &[&url(path)]].concat())
    };
    assert_eq!(run(&[&status[..], &signed, &["--request", "PUT", &url("/fourth")]].concat()), "200");
    let got = server.scratch().join("got");
    for (path, more) in [
        ("/fourth/plain", &[][..]),
        ("/fourth/%C3%BC%2B%20x//y", &["--header", "Expect: 100-continue"]),
        ("/fourth/no-expect", &["--header", "Expect:"]),
        ("/fourth/chunked", &["--header", "Transfer-Encoding: chunked"]),
    ] {
        assert_eq!(put(more, path), "200", "{path}");
        run(&[&signed[..], &["--output", got.to_str().unwrap(), &url(path)]].concat());
        assert!(fs::read(&got).unwrap() == text, "{path}");
    }
    let presigned = |method: &str, path: &str| url(&keys.presign(method, path, &[]));
    let by_url = ["--upload-file", file.to_str().unwrap(), &presigned("PUT", "/fourth/by url+")];
    assert_eq!(run(&[&status[..], &by_url].concat()), "200");
    run(&["--range", "100-199", "--output", got.to_str().unwrap(), &presigned("GET", "/fourth/by url+")]);
    assert!(fs::read(&got).unwrap() == text[100..200]);
    // A refusal is heard although far more than any buffer holds is being sent, asked for or not.
    let large = server.scratch().join("large");
    fs::File::create(&large).unwrap().set_len(200_000_000).unwrap();
    for expect in ["Expect:", "Expect: 100-continue"] {
        let refused =
            ["--header", expect, "--upload-file", large.to_str().unwrap(), &url("/fourth/anonymous")];
        assert!(run(&refused).contains("<Code>AccessDenied</Code>"), "{expect}");
    }
}

#[test]
fn s3cmd() {
    let server = server();
    let keys = server.keys().unwrap();
    let config = server.scratch().join("s3cfg");
    let host = keys.authority();
    let text = format!(
        "[default]\naccess_key = {}\nsecret_key = {}\nhost_base = {host}\nhost_bucket = {host}\nuse_https = False\n\
         bucket_location = us-east-1\nmultipart_chunk_size_mb = 5\n",
        keys.access_key, keys.secret_key
    );
    fs::write(&config, text).unwrap();
    let (up, down) = (server.scratch().join("up"), server.scratch().join("down"));
    make_files(&up);
    fs::create_dir_all(&down).unwrap();
    let run = |args: &[&str]| {
        let tool = Tool::new(Path::new("/usr/bin/s3cmd")).arg("-c").arg(&config).arg("--no-progress");
        tool.args(args).aws(&keys, server.scratch()).run().unwrap()
    };
    run(&["mb", "s3://second"]);
    run(&["put", "--recursive", &format!("{}/", up.display()), "s3://second/in/"]);
    assert_eq!(run(&["ls", "--recursive", "s3://second"]).lines().count(), 4);
    run(&["get", "--recursive", "s3://second/in/", &format!("{}/", down.display())]);
    assert_same(&up, &down);
    run(&["cp", "s3://second/in/small.txt", "s3://second/copy.txt"]);
    assert!(run(&["info", "s3://second/copy.txt"]).contains("4000"));
    run(&["del", "--recursive", "--force", "s3://second"]);
    run(&["rb", "s3://second"]);
}

#[test]
fn rclone() {
    let server = server();
    let keys = server.keys().unwrap();
    let (up, down) = (server.scratch().join("up"), server.scratch().join("down"));
    make_files(&up);
    let remote = format!(
        ":s3,provider=Other,access_key_id={},secret_access_key={},endpoint='{}':third",
        keys.access_key, keys.secret_key, keys.endpoint
    );
    let run = |args: &[&str]| {
        let config = server.scratch().join("rclone.conf");
        let tool = Tool::new(Path::new("/usr/bin/rclone")).arg("--config").arg(config).args(args);
        tool.aws(&keys, server.scratch()).run().unwrap()
    };
    let (up_text, down_text) = (up.to_str().unwrap(), down.to_str().unwrap());
    run(&["mkdir", &remote]);
    run(&["copy", up_text, &remote]);
    run(&["check", up_text, &remote]);
    run(&["copy", &remote, down_text]);
    assert_same(&up, &down);
    assert_eq!(run(&["ls", &remote]).lines().count(), 4);
    run(&["purge", &remote]);
}
