//! Who may do what, asked over the wire: every request by the owner, by another account and by nobody.

use crate::client::{Answer, Signer, World};
use bytes::Bytes;
use http_body_util::Full;
use ringfort_http::Encrypted;

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"EFFECT","Principal":PRINCIPAL,
    "Action":"ACTION","Resource":["arn:aws:s3:::box","arn:aws:s3:::box/*"]}]}"#;

fn policy(effect: &str, principal: &str, action: &str) -> String {
    POLICY.replace("EFFECT", effect).replace("PRINCIPAL", principal).replace("ACTION", action)
}

fn other() -> Signer {
    Signer { access_key: "OTHER".to_owned(), ..Signer::new() }
}

async fn by_other(world: &World, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    world.call_by(&other(), method, target, headers, vec![Ok(body.to_owned().into())]).await
}

async fn by_nobody(world: &World, method: &str, target: &str, body: &str) -> Answer {
    let len = body.len().to_string();
    let headers = [("host", "h"), ("content-length", len.as_str())];
    world.send(method, target, &headers, vec![Ok(body.to_owned().into())]).await
}

/// Requests that touch the bucket `box` or its object `key`.
const REQUESTS: &[(&str, &str)] = &[
    ("GET", "/box"),
    ("HEAD", "/box"),
    ("GET", "/box?list-type=2"),
    ("GET", "/box?versions"),
    ("GET", "/box?uploads"),
    ("GET", "/box?location"),
    ("GET", "/box?versioning"),
    ("PUT", "/box?versioning"),
    ("GET", "/box?acl"),
    ("PUT", "/box?acl"),
    ("GET", "/box?policy"),
    ("PUT", "/box?policy"),
    ("DELETE", "/box?policy"),
    ("GET", "/box?policyStatus"),
    ("GET", "/box?publicAccessBlock"),
    ("PUT", "/box?publicAccessBlock"),
    ("DELETE", "/box?publicAccessBlock"),
    ("GET", "/box?ownershipControls"),
    ("PUT", "/box?ownershipControls"),
    ("DELETE", "/box?ownershipControls"),
    ("GET", "/box?cors"),
    ("PUT", "/box?cors"),
    ("DELETE", "/box?cors"),
    ("GET", "/box?lifecycle"),
    ("PUT", "/box?lifecycle"),
    ("DELETE", "/box?lifecycle"),
    ("GET", "/box?tagging"),
    ("PUT", "/box?tagging"),
    ("DELETE", "/box?tagging"),
    ("GET", "/box?website"),
    ("DELETE", "/box?website"),
    ("GET", "/box/key"),
    ("HEAD", "/box/key"),
    ("GET", "/box/none"),
    ("GET", "/box/key?acl"),
    ("PUT", "/box/key?acl"),
    ("GET", "/box/key?tagging"),
    ("PUT", "/box/key?tagging"),
    ("DELETE", "/box/key?tagging"),
    ("GET", "/box/key?attributes"),
    ("GET", "/box/key?uploadId=0"),
    ("PUT", "/box/new"),
    ("POST", "/box/new?uploads"),
    ("PUT", "/box/new?partNumber=1&uploadId=0"),
    ("POST", "/box/new?uploadId=0"),
    ("DELETE", "/box/new?uploadId=0"),
    ("DELETE", "/box/key"),
    ("DELETE", "/box"),
];

#[tokio::test]
async fn no_request_is_open_to_another_account_or_to_nobody() {
    let world = World::new().await;
    world.call("PUT", "/box/key", &[], "x").await.good();
    for (method, target) in REQUESTS {
        for (who, answer) in [
            ("another account", by_other(&world, method, target, &[], "<x/>").await),
            ("nobody", by_nobody(&world, method, target, "<x/>").await),
        ] {
            assert_eq!(answer.status, 403, "{who}: {method} {target}: {}", answer.text());
            assert!(!answer.polled, "{who}: {method} {target} read the body");
        }
    }
    let copied = by_other(&world, "PUT", "/theirs", &[], "").await;
    assert_eq!(copied.status, 200);
    let from = [("x-amz-copy-source", "/box/key")];
    assert_eq!(by_other(&world, "PUT", "/theirs/stolen", &from, "").await.status, 403);
    let delete = "<Delete><Object><Key>key</Key></Object></Delete>";
    let hash = {
        use sha2::Digest;
        hex::encode(sha2::Sha256::digest(delete))
    };
    let headers = [("x-amz-content-sha256", hash.as_str())];
    let answer = by_other(&world, "POST", "/box?delete", &headers, delete).await.good();
    assert!(answer.text().contains("<Code>AccessDenied</Code>"), "{}", answer.text());
    assert_eq!(world.call("GET", "/box/key", &[], "").await.good().text(), "x");
    assert_eq!(by_nobody(&world, "GET", "/", "").await.status, 403);
}

#[tokio::test]
async fn a_reader_reads_and_changes_nothing() {
    let world = World::new().await;
    world.call("PUT", "/box/key", &[], "x").await.good();
    // A policy does not make a reader of the account a writer, nor does a list.
    world.call("PUT", "/box?acl", &[("x-amz-acl", "public-read-write")], "").await.good();
    let reader = Signer { access_key: "READER".to_owned(), ..Signer::new() };
    for (method, target) in REQUESTS {
        let answer = world.call_by(&reader, method, target, &[], vec![Ok("<x/>".into())]).await;
        if matches!(*method, "GET" | "HEAD") {
            assert_ne!(answer.status, 403, "{method} {target}: {}", answer.text());
        } else {
            assert_eq!(answer.status, 403, "{method} {target}: {}", answer.text());
            assert!(!answer.polled, "{method} {target} read the body");
        }
    }
    assert_eq!(world.call_by(&reader, "PUT", "/mine", &[], vec![]).await.status, 403);
    assert_eq!(world.call_by(&reader, "GET", "/", &[], vec![]).await.status, 200);
    assert_eq!(world.call("GET", "/box/key", &[], "").await.good().text(), "x");
}

#[tokio::test]
async fn a_guest_may_what_everybody_may_and_what_a_policy_allows_by_name() {
    let world = World::new().await;
    world.call("PUT", "/box/key", &[], "x").await.good();
    world.call("PUT", "/box/open", &[("x-amz-acl", "public-read")], "o").await.good();
    world.call("PUT", "/box/lent", &[("x-amz-grant-read", "id=id")], "l").await.good();
    let guest = Signer { access_key: "GUEST".to_owned(), ..Signer::new() };
    for (method, target) in REQUESTS {
        let answer = world.call_by(&guest, method, target, &[], vec![Ok("<x/>".into())]).await;
        assert_eq!(answer.status, 403, "{method} {target}: {}", answer.text());
    }
    for (method, target) in [("PUT", "/mine"), ("GET", "/"), ("GET", "/box/lent")] {
        assert_eq!(world.call_by(&guest, method, target, &[], vec![]).await.status, 403, "{target}");
    }
    assert_eq!(world.call_by(&guest, "GET", "/box/open", &[], vec![]).await.good().text(), "o");
    // By id in any account, by name within the account.
    for (user, status) in [
        ("arn:aws:iam::mine:user/ada", 200),
        ("arn:aws:iam:::user/ada", 403),
        ("arn:aws:iam::other:user/ada", 403),
        ("arn:aws:iam::mine:user/u1", 200),
        ("arn:aws:iam:::user/u1", 200),
        ("arn:aws:iam::mine:user/bob", 403),
        ("arn:aws:iam::mine:root", 200),
    ] {
        let policy = format!(
            "{{\"Version\": \"2012-10-17\", \"Statement\": [{{\"Effect\": \"Allow\", \"Principal\": {{\"AWS\": \"{user}\"}}, \
             \"Action\": \"s3:GetObject\", \"Resource\": \"arn:aws:s3:::box/*\"}}]}}"
        );
        world.call("PUT", "/box?policy", &[], policy).await.good();
        assert_eq!(world.call_by(&guest, "GET", "/box/key", &[], vec![]).await.status, status, "{user}");
        assert_eq!(world.call_by(&guest, "PUT", "/box/key", &[], vec![]).await.status, 403, "{user}");
    }
}

#[tokio::test]
async fn a_buckets_host_name_means_the_bucket() {
    let world = World::new().await;
    let host = [("host", "box.s3.lan:9000")];
    world.call("PUT", "/a/key", &host, "x").await.good();
    assert_eq!(world.call("GET", "/box/a/key", &[], "").await.good().text(), "x");
    let listed = world.call("GET", "/?list-type=2", &host, "").await.good();
    assert_eq!(listed.element("Key"), "a/key");
    assert_eq!(world.call("GET", "/", &[("host", "s3.lan")], "").await.good().element("Name"), "box");
    let headers = [("host", "box.s3.lan")];
    assert_eq!(world.send("GET", "/a/key", &headers, vec![]).await.status, 403);
    assert_eq!(world.call("GET", "/", &[("host", "none.s3.lan")], "").await.status, 404);
}

#[tokio::test]
async fn lists_of_stored_objects_change() {
    let world = World::new().await;
    world.call("PUT", "/box/key", &[("x-amz-meta-a", "1")], "x").await.good();
    let etag = world.call("GET", "/box/key", &[], "").await.good().header("etag").to_owned();
    assert_eq!(by_nobody(&world, "GET", "/box/key", "").await.status, 403);
    world.call("PUT", "/box/key?acl", &[("x-amz-acl", "public-read")], "").await.good();
    let read = by_nobody(&world, "GET", "/box/key", "").await.good();
    assert_eq!((read.header("etag"), read.header("x-amz-meta-a")), (etag.as_str(), "1"));
    let acl = world.call("GET", "/box/key?acl", &[], "").await.good().text();
    world.call("PUT", "/box/key?acl", &[], acl.clone()).await.good();
    assert_eq!(world.call("GET", "/box/key?acl", &[], "").await.good().text(), acl);
    let stolen = acl.replacen("<ID>id</ID>", "<ID>id2</ID>", 1);
    assert_eq!(world.call("PUT", "/box/key?acl", &[], stolen).await.status, 403);
    // Whoever is granted the list may change it, but does not own the object.
    world.call("PUT", "/box/key?acl", &[("x-amz-grant-write-acp", "id=id2")], "").await.good();
    by_other(&world, "PUT", "/box/key?acl", &[("x-amz-acl", "public-read")], "").await.good();
    assert_eq!(world.call("GET", "/box/key?acl", &[], "").await.good().element("ID"), "id");
    assert_eq!(world.call("PUT", "/box/none?acl", &[("x-amz-acl", "private")], "").await.status, 404);
}

#[tokio::test]
async fn lists_open_buckets_and_objects() {
    let world = World::new().await;
    world.call("PUT", "/box/open", &[("x-amz-acl", "public-read")], "x").await.good();
    world.call("PUT", "/box/theirs", &[("x-amz-grant-read", "id=id2")], "x").await.good();
    world.call("PUT", "/box/shut", &[], "x").await.good();
    let status = async |target: &str| {
        let theirs = by_other(&world, "GET", target, &[], "").await.status.as_u16();
        (theirs, by_nobody(&world, "GET", target, "").await.status.as_u16())
    };
    assert_eq!(status("/box/open").await, (200, 200));
    assert_eq!(status("/box/theirs").await, (200, 403));
    assert_eq!(status("/box/shut").await, (403, 403));
    assert_eq!(status("/box/none").await, (403, 403));
    assert_eq!(status("/box").await, (403, 403));
    world.call("PUT", "/box?acl", &[("x-amz-acl", "public-read-write")], "").await.good();
    assert_eq!(status("/box").await, (200, 200));
    // Who may list may know what is not there.
    assert_eq!(status("/box/none").await, (404, 404));
    by_other(&world, "PUT", "/box/guest", &[], "y").await.good();
    assert!(world.call("GET", "/box/guest?acl", &[], "").await.good().text().contains("<ID>id2</ID>"));
    let block = "<PublicAccessBlockConfiguration><IgnorePublicAcls>true</IgnorePublicAcls>\
        </PublicAccessBlockConfiguration>";
    world.call("PUT", "/box?publicAccessBlock", &[], block).await.good();
    assert_eq!(status("/box").await, (403, 403));
    assert_eq!(status("/box/open").await, (403, 403));
    assert_eq!(status("/box/theirs").await, (200, 403));
    let acl = world.call("GET", "/box?acl", &[], "").await.good().text();
    world.call("PUT", "/box?acl", &[], acl.clone()).await.good();
    assert_eq!(world.call("GET", "/box?acl", &[], "").await.good().text(), acl);
}

#[tokio::test]
async fn policies_allow_and_deny() {
    let world = World::new().await;
    world.call("PUT", "/box/key", &[], "x").await.good();
    let put = async |text: String| world.call("PUT", "/box?policy", &[], text).await.outcome();
    let done = (204, String::new());
    assert_eq!(put(policy("Allow", r#"{"AWS":"arn:aws:iam::other:root"}"#, "s3:GetObject")).await, done);
    assert_eq!(by_other(&world, "GET", "/box/key", &[], "").await.status, 200);
    assert_eq!(by_other(&world, "GET", "/box", &[], "").await.status, 403);
    assert_eq!(by_nobody(&world, "GET", "/box/key", "").await.status, 403);
    let status = world.call("GET", "/box?policyStatus", &[], "").await.good();
    assert_eq!(status.element("IsPublic"), "false");

    assert_eq!(put(policy("Allow", r#""*""#, "s3:*")).await, done);
    assert_eq!(by_nobody(&world, "PUT", "/box/anyone", "y").await.status, 200);
    assert_eq!(world.call("GET", "/box?policyStatus", &[], "").await.good().element("IsPublic"), "true");
    let block = "<PublicAccessBlockConfiguration><BlockPublicPolicy>true</BlockPublicPolicy>\
        <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
    world.call("PUT", "/box?publicAccessBlock", &[], block).await.good();
    assert_eq!(by_nobody(&world, "GET", "/box/key", "").await.status, 403);
    assert_eq!(put(policy("Allow", r#""*""#, "s3:*")).await, (403, "AccessDenied".to_owned()));

    // A denial holds for the owner, too, but for taking it back.
    assert_eq!(put(policy("Deny", r#""*""#, "s3:*")).await, done);
    assert_eq!(world.call("GET", "/box/key", &[], "").await.status, 403);
    assert_eq!(world.call("DELETE", "/box?policy", &[], "").await.status, 204);
    assert_eq!(world.call("GET", "/box/key", &[], "").await.status, 200);
    assert_eq!(put("{".to_owned()).await, (400, "MalformedPolicy".to_owned()));
    assert_eq!(put(String::new()).await, (400, "MissingRequestBodyError".to_owned()));
}

#[tokio::test]
async fn ownership_decides_whose_an_object_is() {
    let world = World::new().await;
    world.call("PUT", "/box?policy", &[], policy("Allow", r#""*""#, "s3:*")).await.good();
    let owner_of = async |ownership: &str, acl: &str| {
        let controls = format!(
            "<OwnershipControls><Rule><ObjectOwnership>{ownership}</ObjectOwnership></Rule></OwnershipControls>"
        );
        world.call("PUT", "/box?ownershipControls", &[], controls).await.good();
        let written = by_other(&world, "PUT", "/box/k", &[("x-amz-acl", acl)], "x").await;
        if written.status != 200 {
            return written.element("Code");
        }
        world.call("GET", "/box/k?acl", &[], "").await.good().element("ID")
    };
    assert_eq!(owner_of("ObjectWriter", "bucket-owner-full-control").await, "id2");
    assert_eq!(owner_of("BucketOwnerPreferred", "bucket-owner-full-control").await, "id");
    assert_eq!(owner_of("BucketOwnerPreferred", "private").await, "id2");
    assert_eq!(owner_of("BucketOwnerEnforced", "bucket-owner-full-control").await, "id");
    assert_eq!(owner_of("BucketOwnerEnforced", "public-read").await, "AccessControlListNotSupported");
}

#[tokio::test]
async fn uploads_of_guests_are_theirs_in_a_list() {
    let world = World::new().await;
    world.call("PUT", "/box?acl", &[("x-amz-acl", "public-read-write")], "").await.good();
    world.call("POST", "/box/a?uploads", &[], "").await.good();
    by_other(&world, "POST", "/box/b?uploads", &[], "").await.good();
    let listed = world.call("GET", "/box?uploads", &[], "").await.good().text();
    let owners: Vec<&str> =
        listed.match_indices("<Initiator><ID>").map(|(at, tag)| &listed[at + tag.len()..][..4]).collect();
    assert_eq!(owners, ["id</", "id2<"], "{listed}");
}

#[tokio::test]
async fn where_the_bucket_owns_all_no_list_is_taken_and_a_prefix_tells_what_may_be_known() {
    let world = World::new().await;
    let enforced = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>";
    world.call("PUT", "/box?ownershipControls", &[], enforced).await.good();
    for target in ["/box?acl", "/box/key?acl"] {
        let refused = world.call("PUT", target, &[("x-amz-acl", "private")], "").await;
        assert_eq!(refused.outcome(), (400, "AccessControlListNotSupported".to_owned()), "{target}");
    }
    let policy = "{\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Allow\", \"Principal\": \"*\", \"Action\": \"s3:ListBucket\", \
         \"Resource\": \"arn:aws:s3:::box\", \"Condition\": {\"StringLike\": {\"s3:prefix\": \"public/*\"}}}]}";
    world.call("PUT", "/box?policy", &[], policy).await.good();
    assert_eq!(by_other(&world, "HEAD", "/box/public/none", &[], "").await.status, 404);
    assert_eq!(by_other(&world, "HEAD", "/box/private/none", &[], "").await.status, 403);
}

#[tokio::test]
async fn what_users_of_ceph_ask_for() {
    let world = World::new().await;
    world.call("PUT", "/box/key", &[], "12345").await.good();
    let told = world.call("HEAD", "/box?read-stats=true", &[], "").await.good();
    assert_eq!((told.header("x-rgw-object-count"), told.header("x-rgw-bytes-used")), ("1", "5"));
    assert_eq!(world.call("HEAD", "/box", &[], "").await.good().header("x-rgw-object-count"), "");
    assert_eq!(world.call("GET", "/box?allow-unordered=true", &[], "").await.good().element("Key"), "key");
    let refused = world.call("GET", "/box?allow-unordered=true&delimiter=%2F", &[], "").await;
    assert_eq!(refused.outcome(), (400, "InvalidArgument".to_owned()));
}

#[tokio::test]
async fn a_policy_can_ask_for_encryption() {
    let world = World::new().await;
    world.call("PUT", "/box/key", &[], "x").await.good();
    let policy = "{\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Allow\", \"Principal\": \"*\", \"Action\": \"s3:GetObject\", \
         \"Resource\": \"arn:aws:s3:::box/*\", \"Condition\": {\"Bool\": {\"aws:SecureTransport\": \"true\"}}}]}";
    world.call("PUT", "/box?policy", &[], policy).await.good();
    for (encrypted, status) in [(false, 403), (true, 200)] {
        let mut request =
            http::Request::get("/box/key").header("host", "h").body(Full::new(Bytes::new())).unwrap();
        if encrypted {
            request.extensions_mut().insert(Encrypted);
        }
        assert_eq!(world.gateway.handle(request).await.status(), status, "encrypted: {encrypted}");
    }
}
