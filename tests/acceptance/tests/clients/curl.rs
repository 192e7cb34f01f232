//! Requests made by hand: what no library hides.

use super::*;

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
