//! What is refused, in Swift's words, with nothing stored.

use crate::client::{Swift, Who};
use ringfort_swift::SwiftConfig;

/// What is wrong, the path, the headers, and the status that says so.
type Case<'c> = (&'c str, &'c str, &'c [(&'c str, &'c str)], u16);

#[tokio::test]
async fn uploads_that_are_wrong_leave_nothing() {
    let config = SwiftConfig { file_bytes_max: 1000, ..SwiftConfig::default() };
    let swift = Swift::with(config);
    swift.make("c").await;
    let long_name = format!("/c/{}", "n".repeat(1025));
    let cases: &[Case<'_>] = &[
        ("no length", "/c/o", &[("transfer-encoding", "gzip")], 501),
        ("a length that is none", "/c/o", &[("content-length", "x")], 400),
        ("a wrong tag", "/c/o", &[("etag", "0123456789abcdef0123456789abcdef")], 422),
        ("a tag that is none", "/c/o", &[("etag", "x")], 422),
        ("too long", "/c/o", &[("content-length", "1001")], 413),
        ("a longer length than body", "/c/o", &[("content-length", "10")], 499),
        ("a shorter length than body", "/c/o", &[("content-length", "2")], 499),
        ("in the past", "/c/o", &[("x-delete-at", "1")], 400),
        ("no time", "/c/o", &[("x-delete-after", "soon")], 400),
        ("no such container", "/none/o", &[], 404),
        ("a reserved header", "/c/o", &[("x-static-large-object", "true")], 400),
        ("an odd condition", "/c/o", &[("if-none-match", "\"a\"")], 400),
        ("an empty name", "/c/o", &[("x-object-meta-", "v")], 400),
        ("a name that is too long", &long_name, &[], 400),
    ];
    for (what, path, headers, status) in cases {
        let answer = swift.call(Who::Owner, "PUT", path, headers, &[b"body"]).await;
        assert_eq!(answer.status, *status, "{what}: {}", answer.text());
        assert_eq!(swift.get("/c").await.status, 204, "{what}: something was stored");
    }
    let chunked = [("transfer-encoding", "chunked")];
    swift.call(Who::Owner, "PUT", "/c/o", &chunked, &[&[0; 600], &[0; 600]]).await.is(413);
    assert_eq!(swift.get("/c").await.status, 204);
    swift.call(Who::Owner, "PUT", "/c/o", &chunked, &[&[0; 600], &[0; 400]]).await.is(201);
    swift.call(Who::Owner, "PUT", "/c/o", &[("if-none-match", "*")], &[b"x"]).await.is(412);
}

#[tokio::test]
async fn metadata_over_the_limits_is_refused() {
    let swift = Swift::start();
    swift.make("c").await;
    let long = "v".repeat(257);
    swift.call(Who::Owner, "POST", "/c", &[("x-container-meta-a", &long)], &[]).await.is(400);
    swift.call(Who::Owner, "PUT", "/c/o", &[("x-object-meta-a", &long)], &[b"x"]).await.is(400);
    swift.call(Who::Owner, "POST", "", &[("x-account-meta-a", &long)], &[]).await.is(400);
    // It may not grow over the limit by little either.
    let value = "v".repeat(250);
    let mut last = 0;
    for n in 0..20 {
        let name = format!("x-container-meta-{n:04}");
        last = swift.call(Who::Owner, "POST", "/c", &[(&name, &value)], &[]).await.status.as_u16();
    }
    assert_eq!(last, 400);
    let huge = "x".repeat(9000);
    swift.call(Who::Owner, "GET", "/c", &[("x-anything", &huge)], &[]).await.is(400);
}

#[tokio::test]
async fn containers_are_refused_in_swifts_words() {
    let swift = Swift::start();
    let long = format!("/{}", "n".repeat(256));
    swift.call(Who::Owner, "PUT", &long, &[], &[]).await.is(400);
    swift.call(Who::Owner, "PUT", "/c", &[("x-storage-policy", "none")], &[]).await.is(400);
    swift.call(Who::Owner, "PUT", "/c", &[("x-container-read", ".r:")], &[]).await.is(400);
    swift.call(Who::Owner, "PUT", "/c", &[("x-container-meta-quota-bytes", "x")], &[]).await.is(400);
    swift.call(Who::Owner, "PUT", "/c", &[("x-versions-location", "a/b")], &[]).await.is(412);
    let both = [("x-versions-location", "v"), ("x-history-location", "h")];
    swift.call(Who::Owner, "PUT", "/c", &both, &[]).await.is(400);
    let mixed = [("x-versions-location", "v"), ("x-versions-enabled", "true")];
    swift.call(Who::Owner, "PUT", "/c", &mixed, &[]).await.is(400);
    swift.call(Who::Owner, "HEAD", "/c", &[], &[]).await.is(404);
    swift.make("c").await;
    swift.call(Who::Owner, "PUT", "/c", &[], &[]).await.is(202);
    swift.put("/c/o", b"x").await;
    swift.call(Who::Owner, "DELETE", "/c", &[], &[]).await.is(409);
    swift.call(Who::Owner, "GET", "/c?limit=10001", &[], &[]).await.is(412);
    swift.call(Who::Owner, "GET", "/c", &[("accept", "image/png")], &[]).await.is(406);
    swift.call(Who::Owner, "PATCH", "/c", &[], &[]).await.is(405);
    swift.call(Who::Owner, "DELETE", "/none", &[], &[]).await.is(404);
}

#[tokio::test]
async fn old_versions_are_told_apart() {
    let swift = Swift::start();
    swift.call(Who::Owner, "PUT", "/c", &[("x-versions-enabled", "true")], &[]).await.is(201);
    let first = swift.put("/c/o", b"first").await.header("x-object-version-id").to_owned();
    let second = swift.put("/c/o", b"second").await.header("x-object-version-id").to_owned();
    assert!(first < second, "{first} {second}");
    assert_eq!(swift.get(&format!("/c/o?version-id={first}")).await.is(200).text(), "first");
    swift.call(Who::Owner, "DELETE", "/c/o", &[], &[]).await.is(204);
    swift.get("/c/o").await.is(404);
    let listed = swift.get("/c?versions").await.is(200).text();
    assert_eq!(listed.matches("version_id").count(), 3, "{listed}");
    assert!(listed.contains("swift_versions_deleted=1"), "{listed}");
    // Back again.
    swift.call(Who::Owner, "PUT", &format!("/c/o?version-id={first}"), &[], &[]).await.is(201);
    assert_eq!(swift.get("/c/o").await.is(200).text(), "first");
    for bad in ["x", "-1", "99999999999999999999"] {
        swift.get(&format!("/c/o?version-id={bad}")).await.is(400);
    }
    swift.get("/c/o?version-id=1.000001").await.is(404);
    swift.make("plain").await;
    swift.put("/plain/o", b"x").await;
    swift.call(Who::Owner, "DELETE", &format!("/plain/o?version-id={first}"), &[], &[]).await.is(400);
}

#[tokio::test]
async fn copies_in_another_container_come_back() {
    let swift = Swift::start();
    swift.make("old").await;
    swift.call(Who::Owner, "PUT", "/c", &[("x-versions-location", "old")], &[]).await.is(201);
    for body in [&b"one"[..], b"two", b"three"] {
        swift.put("/c/o", body).await;
    }
    assert_eq!(swift.get("/old").await.is(200).text().lines().count(), 2);
    for body in ["two", "one"] {
        swift.call(Who::Owner, "DELETE", "/c/o", &[], &[]).await.is(204);
        assert_eq!(swift.get("/c/o").await.is(200).text(), body);
    }
    swift.call(Who::Owner, "DELETE", "/c/o", &[], &[]).await.is(204);
    swift.get("/c/o").await.is(404);
    // Without the other container nothing is lost in silence.
    swift.call(Who::Owner, "POST", "/c", &[("x-versions-location", "gone")], &[]).await.is(204);
    swift.put("/c/o", b"one").await;
    swift.call(Who::Owner, "PUT", "/c/o", &[], &[b"two"]).await.is(412);
    assert_eq!(swift.get("/c/o").await.is(200).text(), "one");
}
