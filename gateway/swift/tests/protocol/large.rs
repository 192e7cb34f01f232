//! Large objects and links: what they read as, and what happens when they lead in circles or change.

use crate::client::{Swift, Who};

async fn segments() -> Swift {
    let swift = Swift::start();
    swift.make("c").await;
    for (name, byte) in [("a", b'a'), ("b", b'b')] {
        // Larger than a chunk of this cluster.
        swift.put(&format!("/c/seg/{name}"), &[byte; 1500]).await;
    }
    swift
}

#[tokio::test]
async fn a_static_large_object_reads_as_its_segments() {
    let swift = segments().await;
    let manifest = br#"[{"path":"/c/seg/a"},{"data":"aGVsbG8="},{"path":"/c/seg/b","range":"-500"}]"#;
    let put = swift.put("/c/slo?multipart-manifest=put", manifest).await;
    let got = swift.get("/c/slo").await.is(200);
    assert_eq!(got.header("content-length"), "2005");
    assert_eq!(got.header("etag"), put.header("etag"));
    assert_eq!(got.header("x-static-large-object"), "True");
    let whole = [vec![b'a'; 1500], b"hello".to_vec(), vec![b'b'; 500]].concat();
    assert!(got.body == whole);
    let range = |text: &'static str| {
        let swift = &swift;
        async move { swift.call(Who::Owner, "GET", "/c/slo", &[("range", text)], &[]).await }
    };
    let part = range("bytes=1498-1506").await.is(206);
    assert_eq!((part.text().as_str(), part.header("content-range")), ("aahellobb", "bytes 1498-1506/2005"));
    range("bytes=2005-").await.is(416);
    let parts = range("bytes=0-1,2003-2004").await.is(206);
    assert!(
        parts.text().contains("\r\n\r\naa\r\n") && parts.text().contains("\r\n\r\nbb\r\n"),
        "{}",
        parts.text()
    );
    assert_eq!(parts.header("content-length"), parts.body.len().to_string());
    let listed = swift.get("/c?format=json&prefix=slo").await.text();
    assert!(listed.contains("\"bytes\":2005") && listed.contains("slo_etag"), "{listed}");
    let manifest = swift.get("/c/slo?multipart-manifest=get").await.is(200).text();
    assert!(manifest.contains("/c/seg/a") && manifest.contains("\"range\":\"1000-1499\""), "{manifest}");
}

#[tokio::test]
async fn a_segment_that_changed_is_not_passed_off() {
    let swift = segments().await;
    let manifest = br#"[{"path":"/c/seg/a"},{"path":"/c/seg/b"}]"#;
    swift.put("/c/slo?multipart-manifest=put", manifest).await;
    swift.put("/c/seg/b", &[b'x'; 1500]).await;
    let got = swift.get("/c/slo").await;
    assert!(got.broke && !got.text().contains('x'), "the reply breaks off where it would lie");
    swift.put("/c/seg/a", b"other").await;
    swift.get("/c/slo").await.is(409);
    swift.call(Who::Owner, "DELETE", "/c/seg/a", &[], &[]).await.is(204);
    swift.get("/c/slo").await.is(409);
}

#[tokio::test]
async fn manifests_that_lie_or_loop_are_refused() {
    let swift = segments().await;
    let put = |manifest: &'static str| {
        let swift = &swift;
        let path = "/c/slo?multipart-manifest=put";
        async move { swift.call(Who::Owner, "PUT", path, &[], &[manifest.as_bytes()]).await }
    };
    for bad in [
        r#"[{"path":"/c/slo"}]"#,
        r#"[{"path":"/c/none"}]"#,
        r#"[{"path":"/c/seg/a","size_bytes":1}]"#,
        r#"[{"path":"/c/seg/a","etag":"0123456789abcdef0123456789abcdef"}]"#,
        r#"[{"path":"/c/seg/a","range":"9000-"}]"#,
        r#"[{"path":"/none/a"}]"#,
        "[[[[[[[[",
        "{}",
    ] {
        put(bad).await.is(400);
        swift.get("/c/slo").await.is(404);
    }
    // Two that name each other: the second is made before the first is changed.
    swift.put("/c/one?multipart-manifest=put", br#"[{"path":"/c/seg/a"}]"#).await;
    swift.put("/c/two?multipart-manifest=put", br#"[{"path":"/c/one"}]"#).await;
    swift.put("/c/one?multipart-manifest=put", br#"[{"path":"/c/two"}]"#).await;
    let got = swift.get("/c/one").await;
    assert!(got.status == 409 || got.broke, "{} {}", got.status, got.text());
    // Deep, but finite: each one holds the one before.
    let mut last = "/c/seg/a".to_owned();
    for depth in 1..=11 {
        let name = format!("/c/deep{depth}");
        let manifest = format!(r#"[{{"path":"{last}"}}]"#);
        swift.put(&format!("{name}?multipart-manifest=put"), manifest.as_bytes()).await;
        let status = swift.get(&name).await.status;
        assert_eq!(status, if depth <= 10 { 200 } else { 409 }, "at depth {depth}");
        last = name;
    }
}

#[tokio::test]
async fn a_manifest_and_its_segments_go_together() {
    let swift = segments().await;
    swift.put("/c/inner?multipart-manifest=put", br#"[{"path":"/c/seg/a"}]"#).await;
    swift.put("/c/outer?multipart-manifest=put", br#"[{"path":"/c/inner"},{"path":"/c/seg/b"}]"#).await;
    let report =
        swift.call(Who::Owner, "DELETE", "/c/outer?multipart-manifest=delete", &[], &[]).await.is(200);
    assert!(report.text().contains("Number Deleted: 4"), "{}", report.text());
    assert_eq!(swift.get("/c").await.is(204).text(), "");
}

#[tokio::test]
async fn a_dynamic_large_object_reads_as_what_begins_so() {
    let swift = segments().await;
    let headers = [("x-object-manifest", "c/seg/")];
    swift.call(Who::Owner, "PUT", "/c/dlo", &headers, &[]).await.is(201);
    let got = swift.get("/c/dlo").await.is(200);
    assert_eq!((got.header("content-length"), got.body.len()), ("3000", 3000));
    let part = swift.call(Who::Owner, "GET", "/c/dlo", &[("range", "bytes=1499-1500")], &[]).await.is(206);
    assert_eq!(part.text(), "ab");
    swift.put("/c/seg/c", b"c").await;
    assert_eq!(swift.get("/c/dlo").await.body.len(), 3001);
    swift.call(Who::Owner, "PUT", "/c/bad", &[("x-object-manifest", "c")], &[]).await.is(400);
}

#[tokio::test]
async fn links_lead_somewhere_or_end() {
    let swift = segments().await;
    let link = |name: &'static str, target: &'static str| {
        let swift = &swift;
        async move { swift.call(Who::Owner, "PUT", name, &[("x-symlink-target", target)], &[]).await.is(201) }
    };
    link("/c/one", "c/seg/a").await;
    let got = swift.get("/c/one").await.is(200);
    assert_eq!((got.body.len(), got.header("content-location")), (1500, "/v1/AUTH_test/c/seg/a"));
    assert_eq!(swift.get("/c/one?symlink=get").await.is(200).header("x-symlink-target"), "c/seg/a");
    link("/c/ping", "c/pong").await;
    link("/c/pong", "c/ping").await;
    swift.get("/c/ping").await.is(409);
    link("/c/broken", "c/none").await;
    swift.get("/c/broken").await.is(404);
    swift.call(Who::Owner, "PUT", "/c/self", &[("x-symlink-target", "c/self")], &[]).await.is(400);
    swift.call(Who::Owner, "PUT", "/c/fat", &[("x-symlink-target", "c/one")], &[b"body"]).await.is(400);
    // A static link holds its target to its tag.
    let etag = swift.get("/c/seg/a").await.header("etag").to_owned();
    let headers = [("x-symlink-target", "c/seg/a"), ("x-symlink-target-etag", etag.as_str())];
    swift.call(Who::Owner, "PUT", "/c/static", &headers, &[]).await.is(201);
    swift.get("/c/static").await.is(200);
    swift.put("/c/seg/a", b"changed").await;
    swift.get("/c/static").await.is(409);
    swift.call(Who::Owner, "PUT", "/c/static2", &headers, &[]).await.is(409);
}
