//! Conditions on reads and writes.

use crate::client::World;
use sha2::Digest;

const OTHER: &str = "\"0123456789abcdef0123456789abcdef\"";

#[tokio::test]
async fn writes_happen_only_if_they_may() {
    let world = World::new().await;
    let first = world.call("PUT", "/box/k", &[("if-none-match", "*")], "1").await.good();
    let tag = first.header("etag").to_owned();
    let put = |headers: Vec<(&'static str, String)>| {
        let world = &world;
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            world.call("PUT", "/box/k", &headers, "2").await
        }
    };
    let refused = put(vec![("if-none-match", "*".to_owned())]).await;
    assert_eq!(refused.outcome(), (412, "PreconditionFailed".to_owned()));
    assert_eq!(refused.element("Condition"), "If-None-Match");
    assert_eq!(put(vec![("if-match", OTHER.to_owned())]).await.outcome().0, 412);
    assert_eq!(world.call("GET", "/box/k", &[], "").await.text(), "1", "a refused write wrote");
    let missing = world.call("PUT", "/box/none", &[("if-match", OTHER)], "2").await;
    assert_eq!(missing.outcome(), (404, "NoSuchKey".to_owned()));
    put(vec![("if-match", tag)]).await.good();
    assert_eq!(world.call("GET", "/box/k", &[], "").await.text(), "2");

    let copy = [("x-amz-copy-source", "/box/k"), ("if-none-match", "*")];
    world.call("PUT", "/box/copy", &copy, "").await.good();
    assert_eq!(world.call("PUT", "/box/copy", &copy, "").await.outcome().0, 412);
    let copy = [("x-amz-copy-source", "/box/k"), ("x-amz-copy-source-if-match", OTHER)];
    assert_eq!(world.call("PUT", "/box/copy", &copy, "").await.outcome().0, 412);
}

#[tokio::test]
async fn reads_say_what_changed() {
    let world = World::new().await;
    let put = world.call("PUT", "/box/k", &[], "0123456789").await.good();
    let tag = put.header("etag");
    let head = world.call("HEAD", "/box/k", &[], "").await.good();
    let changed = head.header("last-modified");
    for method in ["GET", "HEAD"] {
        for (headers, status) in [
            (vec![("if-match", tag)], 200),
            (vec![("if-match", OTHER)], 412),
            (vec![("if-none-match", tag)], 304),
            (vec![("if-none-match", OTHER)], 200),
            (vec![("if-modified-since", changed)], 304),
            (vec![("if-unmodified-since", changed)], 200),
            (vec![("if-unmodified-since", "Fri, 24 May 2013 00:00:00 GMT")], 412),
            (vec![("if-modified-since", "nonsense")], 200),
            // A matching tag makes dates moot, in both directions.
            (vec![("if-match", tag), ("if-unmodified-since", "Fri, 24 May 2013 00:00:00 GMT")], 200),
            (vec![("if-none-match", OTHER), ("if-modified-since", changed)], 200),
        ] {
            let answer = world.call(method, "/box/k", &headers, "").await;
            assert_eq!(answer.status, status, "{method} {headers:?}");
            if method == "HEAD" || status == 304 {
                assert!(answer.body.is_empty(), "{method} {headers:?} has a body");
            }
            if status == 304 {
                assert_eq!(answer.header("etag"), tag);
            }
        }
    }
}

#[tokio::test]
async fn ranges_and_those_that_no_longer_count() {
    let world = World::new().await;
    let put = world.call("PUT", "/box/k", &[], "0123456789").await.good();
    let tag = put.header("etag");
    let get = |headers: &'static [(&'static str, &'static str)]| world.call("GET", "/box/k", headers, "");
    for (range, status, body, content) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=-30", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=0-99999999999999999999", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=4-2", 200, "0123456789", ""),
        ("bytes=0-1,3-4", 200, "0123456789", ""),
        ("lines=0-1", 200, "0123456789", ""),
    ] {
        let answer = world.call("GET", "/box/k", &[("range", range)], "").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), content, "{range}");
        assert_eq!(answer.header("content-length"), body.len().to_string(), "{range}");
    }
    for range in [&[("range", "bytes=10-")], &[("range", "bytes=-0")]] {
        let answer = get(range).await;
        assert_eq!(answer.outcome(), (416, "InvalidRange".to_owned()), "{range:?}");
        assert_eq!(answer.header("content-range"), "bytes */10");
        assert_eq!(answer.element("ActualObjectSize"), "10");
    }
    let whole = get(&[("range", "bytes=2-4"), ("if-range", OTHER)]).await;
    assert_eq!((whole.status.as_u16(), whole.text().as_str()), (200, "0123456789"), "pieces of two objects");
    assert_eq!(get(&[("range", "bytes=20-"), ("if-range", OTHER)]).await.status, 200);
    let part = world.call("GET", "/box/k", &[("range", "bytes=2-4"), ("if-range", tag)], "").await;
    assert_eq!((part.status.as_u16(), part.text().as_str()), (206, "234"));
    let head = world.call("HEAD", "/box/k", &[("range", "bytes=2-4"), ("if-range", OTHER)], "").await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "10"));
}

#[tokio::test]
async fn deletes_of_an_object_of_a_known_size() {
    let world = World::new().await;
    let delete = async |size: &'static str, tag: &'static str| {
        let headers = [("x-amz-if-match-size", size), ("if-match", tag)];
        world.call("DELETE", "/box/k", if tag.is_empty() { &headers[..1] } else { &headers[..] }, "").await
    };
    world.call("PUT", "/box/k", &[], "12345").await.good();
    assert_eq!(delete("x", "").await.outcome().0, 400);
    assert_eq!(delete("4", "").await.outcome(), (412, "PreconditionFailed".to_owned()));
    assert_eq!(delete("5", OTHER).await.outcome(), (412, "PreconditionFailed".to_owned()));
    let many = async |size: &str| {
        let document = format!("<Delete><Object><Key>k</Key><Size>{size}</Size></Object></Delete>");
        let hash = hex::encode(sha2::Sha256::digest(&document));
        world.call("POST", "/box?delete", &[("x-amz-content-sha256", hash.as_str())], document).await
    };
    assert_eq!(many("4").await.good().element("Code"), "PreconditionFailed");
    assert_eq!(many("x").await.outcome(), (400, "MalformedXML".to_owned()));
    assert!(many("5").await.good().text().contains("<Deleted>"));
    world.call("PUT", "/box/k", &[], "12345").await.good();
    assert_eq!(delete("5", "").await.status, 204);
    assert_eq!(world.call("GET", "/box/k", &[], "").await.status, 404);
    assert_eq!(delete("5", "").await.status, 204, "what is not there is gone");
}

#[tokio::test]
async fn deletes_of_an_object_of_a_known_time() {
    let world = World::new().await;
    let delete = async |time: &str| {
        world.call("DELETE", "/box/k", &[("x-amz-if-match-last-modified-time", time)], "").await
    };
    let many = async |time: &str| {
        let document = format!(
            "<Delete><Object><Key>k</Key><LastModifiedTime>{time}</LastModifiedTime></Object></Delete>"
        );
        let hash = hex::encode(sha2::Sha256::digest(&document));
        world.call("POST", "/box?delete", &[("x-amz-content-sha256", hash.as_str())], document).await
    };
    assert_eq!(delete("Fri, 24 May 2013 00:00:00 GMT").await.status, 204, "what is not there is gone");
    world.call("PUT", "/box/k", &[], "12345").await.good();
    let modified = world.call("HEAD", "/box/k", &[], "").await.good().header("last-modified").to_owned();
    assert_eq!(delete("yesterday").await.outcome(), (400, "InvalidArgument".to_owned()));
    assert_eq!(
        delete("Fri, 24 May 2013 00:00:00 GMT").await.outcome(),
        (412, "PreconditionFailed".to_owned())
    );
    assert_eq!(many("2013-05-24T00:00:00Z").await.good().element("Code"), "PreconditionFailed");
    assert_eq!(many("x").await.outcome(), (400, "MalformedXML".to_owned()));
    assert_eq!(world.call("GET", "/box/k", &[], "").await.good().text(), "12345");
    assert_eq!(delete(&modified).await.status, 204);
    assert_eq!(world.call("GET", "/box/k", &[], "").await.status, 404);

    // With versions: a marker is there, and is nothing that was meant.
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    world.call("PUT", "/box?versioning", &[], on).await.good();
    let put = world.call("PUT", "/box/k", &[], "2").await.good();
    let (tag, version) = (put.header("etag").to_owned(), put.header("x-amz-version-id").to_owned());
    let modified = world.call("HEAD", "/box/k", &[], "").await.good().header("last-modified").to_owned();
    let gone = delete(&modified).await;
    assert_eq!((gone.status.as_u16(), gone.header("x-amz-delete-marker")), (204, "true"));
    for headers in [
        ("x-amz-if-match-last-modified-time", modified.as_str()),
        ("if-match", &tag),
        ("x-amz-if-match-size", "1"),
    ] {
        let refused = world.call("DELETE", "/box/k", &[headers], "").await;
        assert_eq!(refused.outcome(), (412, "PreconditionFailed".to_owned()), "{headers:?}");
    }
    let named = format!("/box/k?versionId={version}");
    let wrong = [("x-amz-if-match-last-modified-time", "Fri, 24 May 2013 00:00:00 GMT")];
    assert_eq!(world.call("DELETE", &named, &wrong, "").await.outcome().0, 412);
    let right = [("x-amz-if-match-last-modified-time", modified.as_str())];
    assert_eq!(world.call("DELETE", &named, &right, "").await.status, 204);
    assert_eq!(world.call("GET", &named, &[], "").await.status, 404);
}
