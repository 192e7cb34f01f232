//! Signatures over everything that a target and a head may hold, right and wrong. The examples that AWS publishes are
//! checked beside the code.

use crate::client::{Answer, Signer, World, stamp};

fn outcome(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{what}: {}", answer.text());
}

#[tokio::test]
async fn any_key_is_signed_and_stored_under_its_own_name() {
    let world = World::new().await;
    for (target, key) in [
        ("/box/a%20b", "a b"),
        ("/box/a+b", "a+b"),
        ("/box/a%2Bb%21%27()*", "a+b!'()*"),
        ("/box/a!b'(c)*$&,;=:@", "a!b'(c)*$&,;=:@"),
        ("/box/x%2Fy", "x/y"),
        ("/box/x%252Fy", "x%2Fy"),
        ("/box//x//y/", "/x//y/"),
        ("/box/a/../b/./c", "a/../b/./c"),
        ("/box/%C3%BC/%F0%9F%98%80", "\u{fc}/\u{1f600}"),
        ("/box/a%3Fb%23c", "a?b#c"),
        ("/box/a~b-c_d.e", "a~b-c_d.e"),
        ("/box/%7Etilde", "~tilde"),
        ("/box/%01%0A%7F", "\u{1}\n\u{7f}"),
    ] {
        world.call("PUT", target, &[], key.to_owned()).await.good();
        assert_eq!(world.call("GET", target, &[], "").await.good().text(), key, "{target}");
        let url = Signer::new().presign("GET", target, "60");
        assert_eq!(
            world.send("GET", &url, &[("host", "h")], vec![]).await.good().text(),
            key,
            "presigned {target}"
        );
        let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let listed =
            world.call("GET", &format!("/box?list-type=2&encoding-type=url&prefix={encoded}"), &[], "").await;
        assert_eq!(listed.good().element("KeyCount"), "1", "{target}");
        world.call("DELETE", target, &[], "").await.good();
    }
    world.assert_empty().await;
}

#[tokio::test]
async fn parameters_are_signed_however_they_are_written() {
    let world = World::new().await;
    world.call("PUT", "/box/a+b", &[], "").await.good();
    world.call("PUT", "/box/a%20b", &[], "").await.good();
    for (query, count) in [
        ("list-type=2&prefix=a%2Bb", "1"),
        ("list-type=2&prefix=a%20b", "1"),
        ("prefix=a&list-type=2", "2"),
        ("list-type=2&prefix=a&delimiter=%2F&x=%21%27%28", "2"),
        ("list-type=2&prefix=&start-after", "2"),
        ("list-type=2&max-keys=1", "1"),
    ] {
        let listed = world.call("GET", &format!("/box?{query}"), &[], "").await.good();
        assert_eq!(listed.element("KeyCount"), count, "{query}");
        let url = Signer::new().presign("GET", &format!("/box?{query}"), "60");
        assert_eq!(
            world.send("GET", &url, &[("host", "h")], vec![]).await.good().element("KeyCount"),
            count,
            "{query}"
        );
    }
}

#[tokio::test]
async fn presigned_requests_hold_for_their_time_and_only_as_signed() {
    let world = World::new().await;
    world.call("PUT", "/box/k", &[], "x").await.good();
    let host = [("host", "h")];
    let at = |offset_s: i64| Signer { stamp: stamp(offset_s), ..Signer::new() };
    let params = "AuthorizationQueryParametersError";
    for (name, url, status, code) in [
        ("good", at(0).presign("GET", "/box/k", "60"), 200, ""),
        ("old but within its time", at(-3600).presign("GET", "/box/k", "7200"), 200, ""),
        ("over", at(-3600).presign("GET", "/box/k", "60"), 403, "AccessDenied"),
        ("not yet", at(3600).presign("GET", "/box/k", "60"), 403, "AccessDenied"),
        ("longer than a week", at(0).presign("GET", "/box/k", "604801"), 400, params),
        ("negative", at(0).presign("GET", "/box/k", "-1"), 400, params),
        ("no number", at(0).presign("GET", "/box/k", "1e3"), 400, params),
        ("huge", at(0).presign("GET", "/box/k", "99999999999999999999"), 400, params),
        ("method", at(0).presign("PUT", "/box/k", "60"), 403, "SignatureDoesNotMatch"),
        ("key", at(0).presign("GET", "/box/other", "60").replace("other", "k"), 403, "SignatureDoesNotMatch"),
        (
            "region",
            Signer { region: "eu-west-1".to_owned(), ..at(0) }.presign("GET", "/box/k", "60"),
            400,
            params,
        ),
        (
            "service",
            Signer { service: "iam".to_owned(), ..at(0) }.presign("GET", "/box/k", "60"),
            400,
            params,
        ),
        (
            "stranger",
            Signer { access_key: "NOBODY".to_owned(), ..at(0) }.presign("GET", "/box/k", "60"),
            403,
            "InvalidAccessKeyId",
        ),
        (
            "secret",
            Signer { secret: "y".repeat(40), ..at(0) }.presign("GET", "/box/k", "60"),
            403,
            "SignatureDoesNotMatch",
        ),
        ("time", at(0).presign("GET", "/box/k", "60").replace("X-Amz-Date=2", "X-Amz-Date=x2"), 400, params),
        (
            "added",
            at(0).presign("GET", "/box/k", "60") + "&response-content-type=text/html",
            403,
            "SignatureDoesNotMatch",
        ),
        ("token", at(0).presign("GET", "/box/k?X-Amz-Security-Token=t", "60"), 400, "InvalidToken"),
        ("version 2", "/box/k?AWSAccessKeyId=AKID&Expires=1&Signature=x".to_owned(), 403, "AccessDenied"),
    ] {
        outcome(&world.send("GET", &url, &host, vec![]).await, status, code, name);
    }
    let url = at(0).presign("GET", "/box/k", "60");
    outcome(
        &world.send("GET", &url, &[("host", "other")], vec![]).await,
        403,
        "SignatureDoesNotMatch",
        "host",
    );
    outcome(&world.send("GET", &url, &[], vec![]).await, 403, "SignatureDoesNotMatch", "no host");
    let added = [("host", "h"), ("x-amz-acl", "public-read")];
    outcome(&world.send("GET", &url, &added, vec![]).await, 403, "AccessDenied", "an unsigned header");
    let both = [("host", "h"), ("authorization", "AWS4-HMAC-SHA256 x")];
    outcome(&world.send("GET", &url, &both, vec![]).await, 400, "InvalidArgument", "two signatures");
    for missing in [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    ] {
        let answer = world.send("GET", &url.replace(&format!("{missing}="), "x="), &host, vec![]).await;
        outcome(&answer, 400, params, missing);
    }
    // What the signer put into the URL counts as a header; the checksum of a body that was not there yet does not.
    let url = at(0).presign("PUT", "/box/p?x-amz-meta-colour=blue&x-amz-checksum-crc32=AAAAAA%3D%3D", "60");
    world.send("PUT", &url, &[("host", "h"), ("content-length", "3")], vec![Ok("abc".into())]).await.good();
    assert_eq!(world.call("HEAD", "/box/p", &[], "").await.good().header("x-amz-meta-colour"), "blue");
    let url = at(0).presign("PUT", "/box/q?X-Amz-Server-Side-Encryption=AES256", "60");
    let answer =
        world.send("PUT", &url, &[("host", "h"), ("content-length", "3")], vec![Ok("abc".into())]).await;
    outcome(&answer, 501, "NotImplemented", "encryption by URL");
}

#[tokio::test]
async fn signed_heads_hold_only_as_signed() {
    let world = World::new().await;
    let at = |offset_s: i64| Signer { stamp: stamp(offset_s), ..Signer::new() };
    let put = |signer: Signer, headers: &'static [(&'static str, &'static str)]| {
        let world = &world;
        async move { world.call_by(&signer, "PUT", "/box/k", headers, vec![Ok("x".into())]).await }
    };
    put(at(-800), &[]).await.good();
    put(at(800), &[("x-amz-meta-a", "  two   spaces ")]).await.good();
    outcome(&put(at(-1000), &[]).await, 403, "RequestTimeTooSkewed", "old");
    outcome(&put(at(1000), &[]).await, 403, "RequestTimeTooSkewed", "young");
    let malformed = "AuthorizationHeaderMalformed";
    let region = put(Signer { region: "eu-west-1".to_owned(), ..at(0) }, &[]).await;
    outcome(&region, 400, malformed, "region");
    assert_eq!(region.element("Region"), "us-east-1");
    outcome(&put(Signer { service: "ec2".to_owned(), ..at(0) }, &[]).await, 400, malformed, "service");
    outcome(
        &put(Signer { access_key: "NOBODY".to_owned(), ..at(0) }, &[]).await,
        403,
        "InvalidAccessKeyId",
        "key",
    );
    outcome(
        &put(Signer { secret: "z".repeat(40), ..at(0) }, &[]).await,
        403,
        "SignatureDoesNotMatch",
        "secret",
    );
    outcome(&put(at(0), &[("x-amz-security-token", "t")]).await, 400, "InvalidToken", "token");
    outcome(&put(at(0), &[("x-amz-content-sha256", "nonsense")]).await, 400, "InvalidArgument", "hash");
    let other = Signer { access_key: "OTHER".to_owned(), ..at(0) };
    outcome(&put(other, &[]).await, 403, "AccessDenied", "another account's bucket");
    for (authorization, status, code) in [
        ("", 403, "AccessDenied"),
        ("Bearer abc", 400, "InvalidArgument"),
        ("AWS AKID:c2ln", 403, "SignatureDoesNotMatch"),
        ("AWS AKID", 400, "InvalidArgument"),
        ("AWS4-HMAC-SHA256", 400, malformed),
        ("AWS4-HMAC-SHA256 Credential=AKID", 400, malformed),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=host,Signature=x", 400, malformed),
    ] {
        let headers = [("host", "h"), ("x-amz-date", &stamp(0)), ("authorization", authorization)];
        outcome(&world.send("GET", "/box/k", &headers, vec![]).await, status, code, authorization);
    }
}

#[tokio::test]
async fn refusals_tell_what_aws_tells() {
    let world = World::new().await;
    let answer = world.call("GET", "/box/no%20key", &[], "").await;
    assert_eq!(answer.header("content-type"), "application/xml");
    assert_eq!(answer.element("Resource"), "/box/no%20key");
    assert_eq!(answer.element("Key"), "no key");
    assert_eq!(answer.element("RequestId"), answer.header("x-amz-request-id"));
    assert_eq!(answer.element("HostId"), answer.header("x-amz-id-2"));
    assert!(!answer.element("Message").is_empty() && !answer.header("x-amz-request-id").is_empty());
    let head = world.call("HEAD", "/box/none", &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
    assert_eq!(world.call("HEAD", "/none", &[], "").await.status, 404);
}
