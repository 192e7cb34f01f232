//! Ways in beside PUT: signed URLs, forms, archives; and what the other dialect stored.

use crate::client::{Swift, Who};
use bytes::Bytes;
use futures_util::stream;
use hmac::{Hmac, KeyInit, Mac};
use ringfort_object::{Attributes, ObjectPath, PutOptions};
use sha2::Sha256;

const LATER: &str = "9999999999";

fn sign(text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

async fn with_key() -> Swift {
    let swift = Swift::start();
    swift.make("c").await;
    swift.put("/c/o", b"object").await;
    swift.call(Who::Owner, "POST", "/c", &[("x-container-meta-temp-url-key", "secret")], &[]).await.is(204);
    swift
}

fn signed(method: &str, path: &str) -> String {
    let signature = sign(&format!("{method}\n{LATER}\n/v1/AUTH_test{path}"));
    format!("{path}?temp_url_sig={signature}&temp_url_expires={LATER}")
}

#[tokio::test]
async fn a_signed_url_opens_what_was_signed() {
    let swift = with_key().await;
    let nobody = |method: &'static str, url: String, body: &'static [&'static [u8]]| {
        let swift = &swift;
        async move { swift.call(Who::Nobody, method, &url, &[], body).await }
    };
    let got = nobody("GET", signed("GET", "/c/o"), &[]).await.is(200);
    assert!(got.text() == "object" && got.header("content-disposition").contains("filename=\"o\""));
    nobody("HEAD", signed("GET", "/c/o"), &[]).await.is(200);
    nobody("PUT", signed("PUT", "/c/new"), &[b"x"]).await.is(201);
    // Another method, another object, another time, no time at all.
    nobody("PUT", signed("GET", "/c/o"), &[b"x"]).await.is(401);
    nobody("DELETE", signed("PUT", "/c/o"), &[]).await.is(401);
    nobody("GET", signed("GET", "/c/o").replace("/c/o", "/c/new"), &[]).await.is(401);
    nobody("GET", signed("GET", "/c/o").replace(LATER, "9999999998"), &[]).await.is(401);
    let past = sign("GET\n1000\n/v1/AUTH_test/c/o");
    nobody("GET", format!("/c/o?temp_url_sig={past}&temp_url_expires=1000"), &[]).await.is(401);
    // A container's key opens no other container, be it by a copy or a link.
    swift.make("d").await;
    swift.put("/d/secret", b"secret object").await;
    for header in ["x-copy-from", "x-symlink-target", "x-object-manifest"] {
        let url = signed("PUT", "/c/sneaky");
        swift.call(Who::Nobody, "PUT", &url, &[(header, "d/secret")], &[]).await.is(400);
    }
    nobody("GET", signed("GET", "/d/secret"), &[]).await.is(401);
}

#[tokio::test]
async fn a_signed_prefix_opens_what_begins_so() {
    let swift = with_key().await;
    swift.put("/c/dir/a", b"a").await;
    let signature = sign(&format!("GET\n{LATER}\nprefix:/v1/AUTH_test/c/dir/"));
    let url =
        |path: &str| format!("{path}?temp_url_sig={signature}&temp_url_expires={LATER}&temp_url_prefix=dir/");
    swift.call(Who::Nobody, "GET", &url("/c/dir/a"), &[], &[]).await.is(200);
    swift.call(Who::Nobody, "GET", &url("/c/o"), &[], &[]).await.is(401);
}

#[tokio::test]
async fn a_signed_form_stores_its_files() {
    let swift = with_key().await;
    let form = |signature: &str, size: &str| {
        let mut text = String::new();
        let fields =
            [("max_file_size", size), ("max_file_count", "2"), ("expires", LATER), ("signature", signature)];
        for (name, value) in fields {
            text.push_str(&format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        for (name, body) in [("one.txt", "first file"), ("two.txt", "second file")] {
            text.push_str(&format!(
                "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\
                 Content-Type: text/x-{name}\r\n\r\n{body}\r\n"
            ));
        }
        text + "--b--\r\n"
    };
    let post = |text: String| {
        let swift = &swift;
        let headers = [("content-type", "multipart/form-data; boundary=b")];
        async move { swift.call(Who::Nobody, "POST", "/c/up/", &headers, &[text.as_bytes()]).await }
    };
    let good = sign(&format!("/v1/AUTH_test/c/up/\n\n100\n2\n{LATER}"));
    post(form(&good, "100")).await.is(201);
    let got = swift.get("/c/up/two.txt").await.is(200);
    assert_eq!((got.text().as_str(), got.header("content-type")), ("second file", "text/x-two.txt"));
    swift.call(Who::Owner, "DELETE", "/c/up/one.txt", &[], &[]).await.is(204);
    // What was not signed so is not stored.
    post(form(&good, "101")).await.is(401);
    let small = sign(&format!("/v1/AUTH_test/c/up/\n\n5\n2\n{LATER}"));
    post(form(&small, "5")).await.is(400);
    post(form(&good, "100").replace("--b\r\n", "--c\r\n")).await.is(400);
    swift.get("/c/up/one.txt").await.is(404);
}

#[tokio::test]
async fn archives_become_objects() {
    let swift = Swift::start();
    let mut archive = Vec::new();
    for (name, body) in [("made/a", &b"one"[..]), ("made/dir/b", b"two"), ("noobject", b"x")] {
        let mut block = [0_u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", body.len()).as_bytes());
        block[156] = b'0';
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend_from_slice(&block);
        archive.extend_from_slice(body);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    let report = swift.call(Who::Owner, "PUT", "?extract-archive=tar", &[], &[&archive]).await.is(200).text();
    assert!(
        report.contains("Number Files Created: 2") && report.contains("noobject, 400 Bad Request"),
        "{report}"
    );
    assert_eq!(swift.get("/made/dir/b").await.is(200).text(), "two");
    let report =
        swift.call(Who::Owner, "PUT", "/made/in?extract-archive=tar", &[], &[&archive]).await.is(200);
    assert!(report.text().contains("Number Files Created: 3"), "{}", report.text());
    assert_eq!(swift.get("/made/in/made/a").await.is(200).text(), "one");
    let cut = &archive[..600];
    let report = swift.call(Who::Owner, "PUT", "/made?extract-archive=tar", &[], &[cut]).await.is(200).text();
    assert!(report.contains("400 Bad Request"), "{report}");
    swift.call(Who::Owner, "PUT", "/made?extract-archive=zip", &[], &[b"x"]).await.is(400);
}

#[tokio::test]
async fn objects_of_the_other_dialect_are_there() {
    let swift = Swift::start();
    swift.make("c").await;
    let attributes = Attributes {
        content_type: Some("text/plain".to_owned()),
        metadata: vec![("colour".to_owned(), "blue".to_owned())],
        headers: vec![("cache-control".to_owned(), "no-cache".to_owned())],
        ..Attributes::default()
    };
    let options = PutOptions { attributes, ..PutOptions::default() };
    let body = stream::iter([Ok(Bytes::from_static(b"from elsewhere"))]);
    let at = ObjectPath::new("test", "c", "o");
    swift.objects.put(&at, options, Box::pin(body)).await.unwrap();
    let got = swift.get("/c/o").await.is(200);
    assert_eq!(got.text(), "from elsewhere");
    assert_eq!(got.header("x-object-meta-colour"), "blue");
    assert_eq!(got.header("cache-control"), "no-cache");
}
