//! Uploads by forms, as browsers send them.

use crate::client::{Answer, SECRET, Signer, World, stamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

const CONDITIONS: &str = r#"[{"bucket":"box"},["starts-with","$key","up/a"],["starts-with","$x-amz-meta-a",""],
    ["content-length-range",2,10],{"success_action_status":"201"}]"#;

fn policy(conditions: &str) -> String {
    let stamp = stamp(60);
    let expires = format!(
        "{}-{}-{}T{}:{}:{}.000Z",
        &stamp[..4],
        &stamp[4..6],
        &stamp[6..8],
        &stamp[9..11],
        &stamp[11..13],
        &stamp[13..15]
    );
    STANDARD.encode(format!(r#"{{"expiration":"{expires}","conditions":{conditions}}}"#))
}

/// The signature of a policy, by version 4.
fn signature(policy: &str) -> String {
    let signer = Signer::new();
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [&signer.stamp[..8], "us-east-1", "s3", "aws4_request", policy] {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(part.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    hex::encode(key)
}

pub(crate) async fn post(world: &World, fields: &[(&str, &str)], file: &str) -> Answer {
    let mut body = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| *value != "(none)") {
        body += &format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    body += &format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\dir\\a.txt\"\r\n\r\n{file}\r\n--b--\r\n"
    );
    let len = body.len().to_string();
    let head = [
        ("host", "h"),
        ("content-type", "multipart/form-data; boundary=b"),
        ("content-length", len.as_str()),
    ];
    let pieces = body.as_bytes().chunks(100).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
    world.send("POST", "/box", &head, pieces).await
}

/// The fields of a good form, of which some are changed.
pub(crate) async fn post_signed(world: &World, changes: &[(&str, &str)], file: &str) -> Answer {
    let policy = policy(CONDITIONS);
    let (signature, signer) = (signature(&policy), Signer::new());
    let credential = format!("AKID/{}", signer.scope());
    let mut fields = vec![
        ("key", "up/${filename}"),
        ("x-amz-meta-a", "1"),
        ("success_action_status", "201"),
        ("policy", policy.as_str()),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", credential.as_str()),
        ("x-amz-date", signer.stamp.as_str()),
        ("x-amz-signature", signature.as_str()),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.push((name, value));
    }
    post(world, &fields, file).await
}

#[tokio::test]
async fn a_signed_form_uploads() {
    let world = World::new().await;
    let answer = post_signed(&world, &[], "hello").await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.element("Key"), "up/a.txt");
    let read = world.call("GET", "/box/up/a.txt", &[], "").await.good();
    assert_eq!((read.text().as_str(), read.header("x-amz-meta-a")), ("hello", "1"));

    let policy = policy(r#"[{"bucket":"box"},{"key":"k"},["starts-with","$success_action_redirect",""]]"#);
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(policy.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let fields = [
        ("key", "k"),
        ("AWSAccessKeyId", "AKID"),
        ("policy", policy.as_str()),
        ("signature", signature.as_str()),
        ("success_action_redirect", "http://page/done?a=b"),
    ];
    let answer = post(&world, &fields, "by version 2").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let location = answer.header("location");
    assert!(location.starts_with("http://page/done?a=b&bucket=box&key=k&etag=%22"), "{location}");
}

#[tokio::test]
async fn bad_forms_store_nothing() {
    let world = World::new().await;
    let many = "x".repeat(21_000);
    for (change, file, outcome) in [
        (("key", "(none)"), "hello", (400, "InvalidArgument")),
        (("key", "other/k"), "hello", (403, "AccessDenied")),
        (("x-amz-meta-b", "1"), "hello", (403, "AccessDenied")),
        (("x-amz-meta-a", many.as_str()), "hello", (400, "MaxPostPreDataLengthExceededError")),
        (("x-amz-signature", "00"), "hello", (403, "SignatureDoesNotMatch")),
        (("x-amz-signature", "(none)"), "hello", (400, "InvalidArgument")),
        (("x-amz-credential", "AKID"), "hello", (400, "InvalidArgument")),
        (("x-amz-date", "yesterday"), "hello", (400, "InvalidArgument")),
        (("x-amz-algorithm", "MD5"), "hello", (400, "InvalidArgument")),
        (("policy", "e30="), "hello", (403, "SignatureDoesNotMatch")),
        (("policy", "(none)"), "hello", (400, "InvalidArgument")),
        (("x-amz-checksum-crc32", "AAAAAA=="), "hello", (400, "BadDigest")),
        (("x-ignore-a", ""), "h", (400, "EntityTooSmall")),
        (("x-ignore-a", ""), "hello hello", (400, "EntityTooLarge")),
    ] {
        let answer = post_signed(&world, &[change], file).await;
        assert_eq!(answer.outcome(), (outcome.0, outcome.1.to_owned()), "{} {file}", change.0);
    }
    // Without a policy it is nobody's.
    assert_eq!(post(&world, &[("key", "k")], "hello").await.outcome(), (403, "AccessDenied".to_owned()));
    world.assert_empty().await;
}

#[tokio::test]
async fn a_form_of_nobody_uploads_where_all_may_write() {
    let world = World::new().await;
    world.call("PUT", "/box?acl", &[("x-amz-acl", "public-read-write")], "").await.good();
    let tags = "<Tagging><TagSet><Tag><Key>t</Key><Value>1</Value></Tag></TagSet></Tagging>";
    let fields = [("key", "k"), ("acl", "public-read"), ("tagging", tags), ("Content-Type", "text/plain")];
    assert_eq!(post(&world, &fields, "hello").await.status, 204);
    let headers = [("host", "h")];
    let read = world.send("GET", "/box/k", &headers, vec![]).await.good();
    assert_eq!((read.text().as_str(), read.header("content-type")), ("hello", "text/plain"));
    assert_eq!(read.header("x-amz-tagging-count"), "1");
}
