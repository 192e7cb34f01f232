//! What replies tell of accounts and objects.

use super::client::{Swift, Who};

#[tokio::test]
async fn metadata_of_an_object_may_be_empty() {
    let swift = Swift::start();
    swift.make("c").await;
    let empty = [("x-object-meta-note", "")];
    swift.call(Who::Owner, "PUT", "/c/o", &empty, &[b"x"]).await.is(201);
    let told = async |path: &str| swift.get(path).await.is(200).headers.get("x-object-meta-note").cloned();
    assert_eq!(told("/c/o").await.unwrap(), "");
    swift.call(Who::Owner, "COPY", "/c/o", &[("destination", "c/copy")], &[]).await.is(201);
    assert_eq!(told("/c/copy").await.unwrap(), "");
    swift.call(Who::Owner, "POST", "/c/o", &[("x-object-meta-other", "y")], &[]).await.is(202);
    assert_eq!(told("/c/o").await, None);
    swift.call(Who::Owner, "POST", "/c/o", &empty, &[]).await.is(202);
    assert_eq!(told("/c/o").await.unwrap(), "");
}

#[tokio::test]
async fn an_account_tells_what_each_policy_holds() {
    let swift = Swift::start();
    let answer = swift.call(Who::Owner, "HEAD", "", &[], &[]).await.is(204);
    assert!(answer.header("x-timestamp").parse::<f64>().unwrap() > 1e9, "one that was never used has a time");
    assert!(!answer.headers.keys().any(|name| name.as_str().contains("storage-policy")));
    swift.make("c").await;
    swift.put("/c/o", b"12345").await;
    for method in ["HEAD", "GET"] {
        let answer = swift.call(Who::Owner, method, "", &[], &[]).await;
        let told = |what: &str| answer.header(&format!("x-account-storage-policy-policy-0-{what}"));
        assert_eq!(
            (told("container-count"), told("object-count"), told("bytes-used")),
            ("1", "1", "5"),
            "{method}"
        );
    }
}
