//! What is set about a bucket or comes with an object: tags, cross-origin rules, lifecycle rules.

use crate::client::World;
use ringfort_core::{SLOT_COUNT, SlotId};

#[tokio::test]
async fn tags_of_buckets_and_objects() {
    let world = World::new().await;
    let tags = "<Tagging><TagSet><Tag><Key>a b</Key><Value>&lt;1&gt;</Value></Tag></TagSet></Tagging>";
    world.call("PUT", "/box?tagging", &[], tags).await.good();
    let got = world.call("GET", "/box?tagging", &[], "").await.good().text();
    assert!(got.contains("<Tag><Key>a b</Key><Value>&lt;1&gt;</Value></Tag>"), "{got}");
    assert_eq!(world.call("DELETE", "/box?tagging", &[], "").await.status, 204);
    assert_eq!(world.call("GET", "/box?tagging", &[], "").await.outcome(), (404, "NoSuchTagSet".to_owned()));

    world.call("PUT", "/box/key", &[("x-amz-tagging", "a=1&b=%26")], "x").await.good();
    let read = world.call("GET", "/box/key", &[], "").await.good();
    assert_eq!(read.header("x-amz-tagging-count"), "2");
    assert!(read.headers.keys().all(|name| !name.as_str().contains("s3")), "{:?}", read.headers);
    world.call("PUT", "/box/copy", &[("x-amz-copy-source", "/box/key")], "").await.good();
    let copied = world.call("GET", "/box/copy?tagging", &[], "").await.good().text();
    assert!(copied.contains("<Key>b</Key><Value>&amp;</Value>"), "{copied}");
    let replace =
        [("x-amz-copy-source", "/box/key"), ("x-amz-tagging-directive", "REPLACE"), ("x-amz-tagging", "c=3")];
    world.call("PUT", "/box/copy", &replace, "").await.good();
    let copied = world.call("GET", "/box/copy?tagging", &[], "").await.good().text();
    assert!(copied.contains("<TagSet><Tag><Key>c</Key>") && !copied.contains("<Key>b</Key>"), "{copied}");
    for bad in ["a=1&a=2", &"k".repeat(129), "=1"] {
        let refused = world.call("PUT", "/box/n", &[("x-amz-tagging", bad)], "x").await;
        assert_eq!(refused.outcome(), (400, "InvalidTag".to_owned()), "{bad}");
        assert!(!refused.polled);
    }
}

#[tokio::test]
async fn tags_of_stored_objects_change() {
    let world = World::new().await;
    let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    world.call("PUT", "/box?versioning", &[], versioning).await.good();
    let old = world.call("PUT", "/box/key", &[], "old").await.good().header("x-amz-version-id").to_owned();
    world.call("PUT", "/box/key", &[("x-amz-tagging", "a=1")], "new").await.good();
    let tags = "<Tagging><TagSet><Tag><Key>b</Key><Value>2</Value></Tag></TagSet></Tagging>";
    let of_old = format!("/box/key?tagging&versionId={old}");
    let set = world.call("PUT", &of_old, &[], tags).await.good();
    assert_eq!(set.header("x-amz-version-id"), old);
    assert!(world.call("GET", &of_old, &[], "").await.good().text().contains("<Key>b</Key>"));
    let latest = world.call("GET", "/box/key?tagging", &[], "").await.good().text();
    assert!(latest.contains("<Key>a</Key>") && !latest.contains("<Key>b</Key>"), "{latest}");
    assert_eq!(world.call("DELETE", "/box/key?tagging", &[], "").await.status, 204);
    assert!(!world.call("GET", "/box/key?tagging", &[], "").await.good().text().contains("<Tag>"));
    assert_eq!(world.call("GET", "/box/key", &[], "").await.good().text(), "new");
    let bad = tags.replace("<Key>b</Key>", "<Key></Key>");
    assert_eq!(world.call("PUT", "/box/key?tagging", &[], bad).await.outcome().1, "InvalidTag");
    assert_eq!(world.call("PUT", "/box/none?tagging", &[], tags).await.outcome().1, "NoSuchKey");
}

#[tokio::test]
async fn pages_of_other_origins() {
    let world = World::new().await;
    let rules = "<CORSConfiguration><CORSRule><AllowedOrigin>https://*.example.com</AllowedOrigin>\
        <AllowedMethod>GET</AllowedMethod><ExposeHeader>ETag</ExposeHeader></CORSRule></CORSConfiguration>";
    world.call("PUT", "/box?cors", &[], rules).await.good();
    assert_eq!(world.call("GET", "/box?cors", &[], "").await.good().text(), rules);
    let ask = async |origin: &'static str, method: &'static str| {
        let headers = [("host", "h"), ("origin", origin), ("access-control-request-method", method)];
        world.send("OPTIONS", "/box/key", &headers, vec![]).await
    };
    let allowed = ask("https://a.example.com", "GET").await.good();
    assert_eq!(allowed.header("access-control-allow-origin"), "https://a.example.com");
    assert_eq!(ask("https://a.example.com", "PUT").await.outcome(), (403, "AccessForbidden".to_owned()));
    assert_eq!(ask("https://example.org", "GET").await.outcome(), (403, "AccessForbidden".to_owned()));
    // A refusal must be readable for the page.
    let headers = [("host", "h"), ("origin", "https://a.example.com")];
    let refused = world.send("GET", "/box/key", &headers, vec![]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("access-control-allow-origin"), "https://a.example.com");
    assert_eq!(refused.header("access-control-expose-headers"), "ETag");
    let none = world.send("OPTIONS", "/box/key", &[("host", "h")], vec![]).await;
    assert_eq!(none.outcome(), (400, "BadRequest".to_owned()));
}

#[tokio::test]
async fn lifecycle_rules_come_back() {
    let world = World::new().await;
    let rules = "<LifecycleConfiguration><Rule><Filter><Prefix>log/</Prefix></Filter><Status>Enabled</Status>\
        <Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>";
    world.call("PUT", "/box?lifecycle", &[], rules).await.good();
    let got = world.call("GET", "/box?lifecycle", &[], "").await.good();
    assert_eq!((got.element("Days").as_str(), got.element("Prefix").as_str()), ("3", "log/"));
    assert!(!got.element("ID").is_empty());
    world.call("DELETE", "/box?lifecycle", &[], "").await.good();
    let gone = world.call("GET", "/box?lifecycle", &[], "").await;
    assert_eq!(gone.outcome(), (404, "NoSuchLifecycleConfiguration".to_owned()));
}

#[tokio::test]
async fn expired_objects_go() {
    let world = World::new().await;
    world.call("PUT", "/box/log/1", &[("x-amz-tagging", "a=b")], "x").await.good();
    world.call("PUT", "/box/log/2", &[], "x").await.good();
    world.call("PUT", "/box/kept", &[("x-amz-tagging", "a=b")], "x").await.good();
    let rules = "<LifecycleConfiguration><Rule><Filter><And><Prefix>log/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag>\
        </And></Filter><Status>Enabled</Status><Expiration><Date>2020-01-01</Date></Expiration></Rule>\
        </LifecycleConfiguration>";
    world.call("PUT", "/box?lifecycle", &[], rules).await.good();
    for slot in 0..SLOT_COUNT {
        world.store.run_lifecycle(SlotId(slot)).await.unwrap();
    }
    assert_eq!(world.call("GET", "/box/log/1", &[], "").await.outcome(), (404, "NoSuchKey".to_owned()));
    world.call("GET", "/box/log/2", &[], "").await.good();
    world.call("GET", "/box/kept", &[], "").await.good();
}
