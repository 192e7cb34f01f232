//! Every port under TLS, with the clients that people use, and a certificate that is replaced under them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ringfort_acceptance::{Authority, Server, Tool, stream_of, until, venv_program};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// The serial number of the certificate that the port shows.
fn serial(port: u16) -> Option<String> {
    let script = format!(
        "openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    );
    let said = Command::new("sh").args(["-c", &script]).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
}

#[test]
fn aws_and_curl_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path()).unwrap();
    let server = Server::with(&["--devices", "1"]).tls(&authority).unwrap().start().unwrap();
    let keys = server.keys().unwrap();
    assert!(keys.endpoint.starts_with("https://"), "{}", keys.endpoint);
    let env = fs::read_to_string(server.data().join("s3.env")).unwrap();
    assert!(env.contains(&format!("AWS_CA_BUNDLE={}\n", authority.ca().display())), "{env}");

    let (up, down) = (server.scratch().join("up"), server.scratch().join("down"));
    fs::write(&up, stream_of("up", 0, 21_000_000)).unwrap();
    let (up, down) = (up.to_str().unwrap(), down.to_str().unwrap());
    for (number, aws) in [Path::new("/usr/bin/aws"), &venv_program("aws").unwrap()].into_iter().enumerate() {
        let run = |args: &[&str]| {
            let ca = authority.ca();
            let tool =
                Tool::new(aws).args(&["--endpoint-url", &keys.endpoint, "--ca-bundle"]).arg(&ca).args(args);
            tool.aws(&keys, server.scratch()).run().unwrap()
        };
        let (bucket, object) = (format!("s3://tls-{number}"), format!("s3://tls-{number}/up"));
        run(&["s3", "mb", &bucket]);
        run(&["s3", "cp", up, &object]);
        run(&["s3", "cp", &object, down]);
        assert!(fs::read(down).unwrap() == fs::read(up).unwrap());
    }

    let before = serial(server.s3_port()).unwrap();
    authority.renew().unwrap();
    until("the new certificate is shown", LIMIT, || {
        serial(server.s3_port()).is_some_and(|now| now != before)
    });
    assert!(server.metrics_port("/health/live").unwrap().contains("200"));
    assert!(server.operate(&["status"]).unwrap().contains("device"));
}

#[test]
fn a_certificate_that_is_none_is_told_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path()).unwrap();
    let (certificate, _) = authority.renew().unwrap();
    let path = certificate.to_str().unwrap();
    let data = folder.path().join("data");
    let args = ["--devices", "1", "--tls-certificate", path, "--tls-key", path];
    let said = Server::with(&args).data(&data).start_refused().unwrap();
    assert!(said.contains("no private key in PEM form"), "{said}");
    assert!(!data.exists());
}
