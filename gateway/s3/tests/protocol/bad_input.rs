//! Requests that ask for what cannot be: names, parameters, documents.

use crate::client::{Answer, World};

fn outcome(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{what}: {}", answer.text());
}

#[tokio::test]
async fn names() {
    let world = World::new().await;
    let long_key = format!("/box/{}", "k".repeat(1025));
    let long_bucket = format!("/{}", "b".repeat(64));
    for (target, status, code) in [
        ("/..", 400, "InvalidBucketName"),
        ("/ab", 400, "InvalidBucketName"),
        ("/Box", 400, "InvalidBucketName"),
        ("/10.0.0.1", 400, "InvalidBucketName"),
        ("/b%00x", 400, "InvalidBucketName"),
        (long_bucket.as_str(), 400, "InvalidBucketName"),
        ("/b%ffx", 400, "InvalidURI"),
        (long_key.as_str(), 400, "KeyTooLongError"),
        ("/box/%ff", 400, "InvalidURI"),
        ("/box/a%00b", 400, "InvalidURI"),
        ("/box/..", 400, "InvalidURI"),
        ("/box/a/../../other", 400, "InvalidURI"),
    ] {
        // A body that is no UTF-8 cannot be signed, and need not be.
        outcome(&world.call("PUT", target, &[], "").await, status, code, target);
    }
    world.call("PUT", &format!("/box/{}", "k".repeat(1024)), &[], "").await.good();
    world.call("PUT", "/box/a/..", &[], "").await.good();
}

#[tokio::test]
async fn parameters_and_headers() {
    let world = World::new().await;
    world.call("PUT", "/box/k", &[], "x").await.good();
    let long = "x".repeat(2049);
    for (method, target, headers, status, code) in [
        ("GET", "/box?max-keys=x", vec![], 400, "InvalidArgument"),
        ("GET", "/box?max-keys=-1", vec![], 400, "InvalidArgument"),
        ("GET", "/box?max-keys=99999999999", vec![], 400, "InvalidArgument"),
        ("GET", "/box?encoding-type=base64", vec![], 400, "InvalidArgument"),
        ("GET", "/box?list-type=2&continuation-token=%21", vec![], 400, "InvalidArgument"),
        ("GET", "/box?versions&version-id-marker=null", vec![], 400, "InvalidArgument"),
        ("GET", "/?max-buckets=0", vec![], 400, "InvalidArgument"),
        ("GET", "/box/k?versionId=", vec![], 400, "InvalidArgument"),
        ("GET", "/box/k?versionId=x", vec![], 400, "InvalidArgument"),
        ("GET", "/box/k?versionId=0000000000000001", vec![], 404, "NoSuchVersion"),
        ("GET", "/box/k?partNumber=0", vec![], 400, "InvalidArgument"),
        ("GET", "/box/k?partNumber=2", vec![], 416, "InvalidPartNumber"),
        ("GET", "/box/k?partNumber=1", vec![("range", "bytes=0-0")], 400, "InvalidRequest"),
        ("PUT", "/box/k?partNumber=0&uploadId=0000000000000001", vec![], 400, "InvalidArgument"),
        ("PUT", "/box/k?partNumber=10001&uploadId=0000000000000001", vec![], 400, "InvalidArgument"),
        ("PUT", "/box/n", vec![("x-amz-meta-a", long.as_str())], 400, "MetadataTooLarge"),
        ("PUT", "/box/n", vec![("x-amz-storage-class", "COLD")], 400, "InvalidStorageClass"),
        ("PUT", "/box/n", vec![("x-amz-server-side-encryption", "AES256")], 501, "NotImplemented"),
        ("PUT", "/box/n", vec![("x-amz-expected-bucket-owner", "someone")], 403, "AccessDenied"),
        ("PUT", "/box/n", vec![("x-amz-copy-source", "nonsense")], 400, "InvalidArgument"),
        ("PUT", "/box/n", vec![("x-amz-copy-source", "/box/%ff")], 400, "InvalidArgument"),
        ("PUT", "/box/n", vec![("x-amz-copy-source", "/box/none")], 404, "NoSuchKey"),
        ("PUT", "/box/n", vec![("x-amz-copy-source", "/none/k")], 404, "NoSuchBucket"),
        ("PUT", "/box/k", vec![("x-amz-copy-source", "/box/k")], 400, "InvalidRequest"),
        (
            "PUT",
            "/box/n",
            vec![("x-amz-copy-source", "/box/k"), ("x-amz-metadata-directive", "MIX")],
            400,
            "InvalidArgument",
        ),
        ("POST", "/box", vec![], 405, "MethodNotAllowed"),
        ("POST", "/box/k", vec![], 405, "MethodNotAllowed"),
        ("PATCH", "/box/k", vec![], 405, "MethodNotAllowed"),
        ("DELETE", "/", vec![], 405, "MethodNotAllowed"),
        ("POST", "/box", vec![("content-type", "multipart/form-data")], 400, "MalformedPOSTRequest"),
        ("PUT", "/box?replication", vec![], 501, "NotImplemented"),
        ("DELETE", "/none", vec![], 404, "NoSuchBucket"),
        ("DELETE", "/box", vec![], 409, "BucketNotEmpty"),
    ] {
        outcome(
            &world.call(method, target, &headers, "").await,
            status,
            code,
            &format!("{method} {target} {headers:?}"),
        );
    }
    // What AWS ignores is ignored.
    world
        .call("GET", "/box?unknown=1&x-id=ListObjects&list-type=2&continuation-token=", &[], "")
        .await
        .good();
    let target = format!("/box?x={}", "y".repeat(17_000));
    outcome(&world.call("GET", &target, &[], "").await, 414, "URITooLong", "target");
    let big = "z".repeat(17_000);
    outcome(
        &world.call("GET", "/box", &[("x-big", &big)], "").await,
        400,
        "RequestHeaderSectionTooLarge",
        "head",
    );
    assert!(
        !world.call("GET", "/box?prefix=n", &[], "").await.good().text().contains("<Key>"),
        "something was stored"
    );
}

#[tokio::test]
async fn documents() {
    let world = World::new().await;
    let objects = |count: usize| {
        let objects: String = (0..count).map(|n| format!("<Object><Key>{n}</Key></Object>")).collect();
        format!("<Delete>{objects}</Delete>")
    };
    let deep = "<a>".repeat(100_000);
    let wide = format!("<Delete>{}</Delete>", "<a/>".repeat(200_000));
    let entity = "<!DOCTYPE d [<!ENTITY a 'b'>]><Delete><Object><Key>&a;</Key></Object></Delete>";
    for (target, document, code) in [
        ("/box?delete", String::new(), "MissingRequestBodyError"),
        ("/box?delete", "nonsense".to_owned(), "MalformedXML"),
        ("/box?delete", "<Delete><Object><Key>a".to_owned(), "MalformedXML"),
        ("/box?delete", "<Delete></Delete>".to_owned(), "MalformedXML"),
        ("/box?delete", "<Delete><Object></Object></Delete>".to_owned(), "MalformedXML"),
        ("/box?delete", "<Delet><Object><Key>a</Key></Object></Delet>".to_owned(), "MalformedXML"),
        ("/box?delete", entity.to_owned(), "MalformedXML"),
        ("/box?delete", deep, "MalformedXML"),
        ("/box?delete", wide, "MalformedXML"),
        ("/box?delete", objects(1001), "MalformedXML"),
        ("/box?delete", "x".repeat((2 << 20) + 1), "MaxMessageLengthExceeded"),
        ("/box?versioning", "<VersioningConfiguration><Status>On</Status></VersioningConfiguration>".to_owned(), "MalformedXML"),
        ("/box?versioning", "<VersioningConfiguration/>".to_owned(), "IllegalVersioningConfigurationException"),
        ("/new", "<CreateBucketConfiguration><LocationConstraint>mars</LocationConstraint></CreateBucketConfiguration>".to_owned(), "InvalidLocationConstraint"),
        ("/new", "<Nonsense/>".to_owned(), "MalformedXML"),
    ] {
        let method = if target.ends_with("delete") { "POST" } else { "PUT" };
        let sum = {
            use base64::Engine;
            use md5::Digest;
            base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(&document))
        };
        let shown: String = document.chars().take(80).collect();
        let answer = world.call(method, target, &[("content-md5", &sum)], document).await;
        outcome(&answer, 400, code, &format!("{target} {shown}"));
    }
    let bare = world.call("POST", "/box?delete", &[], objects(1)).await;
    outcome(&bare, 400, "InvalidRequest", "nothing vouches for the document");
    assert_eq!(world.call("HEAD", "/new", &[], "").await.status, 404);
    let many = world
        .call("POST", "/box?delete", &[("x-amz-content-sha256", &sha256(&objects(1000)))], objects(1000))
        .await;
    assert_eq!(many.good().text().matches("<Deleted>").count(), 1000);
    // Keys that cannot be are answered one by one.
    let mixed = "<Delete><Object><Key>good</Key></Object><Object><Key>a/../../b</Key></Object></Delete>";
    let answer =
        world.call("POST", "/box?delete", &[("x-amz-content-sha256", &sha256(mixed))], mixed).await.good();
    assert_eq!(
        (answer.text().matches("<Deleted>").count(), answer.element("Code")),
        (1, "InvalidURI".to_owned())
    );
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text))
}
