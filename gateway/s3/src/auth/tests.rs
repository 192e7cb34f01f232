//! AWS's published examples, and every way a signature can be wrong.

use super::examples::{EMPTY, NOW, PRESIGNED, at, chunked, get_example, head, signed};
use super::*;
use crate::body::UploadPlan;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Full;
use proptest::prelude::*;
use ringfort_http::boxed;

fn presigned(uri: &str) -> Parts {
    head("GET", uri, &[("host", "examplebucket.s3.amazonaws.com")])
}

#[test]
fn published_header_examples_hold() {
    const NAMES: &str = "host;x-amz-content-sha256;x-amz-date";
    at(&get_example(), NOW).expect("GET");
    let put = signed(
        "PUT",
        "/test$file.text",
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
    at(&put, NOW).expect("PUT");
    for (uri, signature) in [
        ("/?lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/?max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ] {
        at(&signed("GET", uri, EMPTY, &[], NAMES, signature), NOW).expect(uri);
    }
}

#[test]
fn published_presigned_example_holds_until_it_expires() {
    at(&presigned(PRESIGNED), NOW + 86_400).expect("presigned");
    let expired = at(&presigned(PRESIGNED), NOW + 86_401).expect_err("expired");
    assert_eq!((expired.code(), expired.message()), (ErrorCode::AccessDenied, "Request has expired"));
    assert_eq!(at(&presigned(PRESIGNED), NOW - 901).expect_err("early").code(), ErrorCode::AccessDenied);
}

#[test]
fn whatever_is_changed_is_noticed() {
    let check = |what: &str, parts: Parts, now_s: u64, expected: ErrorCode| {
        assert_eq!(at(&parts, now_s).expect_err(what).code(), expected, "{what}");
    };
    let changed = |change: &dyn Fn(&mut Parts)| {
        let mut parts = get_example();
        change(&mut parts);
        parts
    };
    let authorization = |from: &str, to: &str| {
        changed(&|p| {
            let old = p.headers["authorization"].to_str().expect("text").replace(from, to);
            p.headers.insert("authorization", old.parse().expect("value"));
        })
    };
    let unsigned = at(&changed(&|p| drop(p.headers.remove("authorization"))), NOW).expect("anonymous");
    assert!(unsigned.credential.is_none());
    check("method", changed(&|p| p.method = http::Method::PUT), NOW, ErrorCode::SignatureDoesNotMatch);
    check(
        "path",
        changed(&|p| p.uri = "/test.txu".parse().expect("uri")),
        NOW,
        ErrorCode::SignatureDoesNotMatch,
    );
    check(
        "query",
        changed(&|p| p.uri = "/test.txt?acl".parse().expect("uri")),
        NOW,
        ErrorCode::SignatureDoesNotMatch,
    );
    check(
        "header",
        changed(&|p| drop(p.headers.insert("range", "bytes=0-8".parse().expect("v")))),
        NOW,
        ErrorCode::SignatureDoesNotMatch,
    );
    check(
        "unsigned",
        changed(&|p| drop(p.headers.insert("x-amz-acl", "private".parse().expect("v")))),
        NOW,
        ErrorCode::AccessDenied,
    );
    check(
        "hash",
        changed(&|p| drop(p.headers.remove("x-amz-content-sha256"))),
        NOW,
        ErrorCode::InvalidRequest,
    );
    check("late", get_example(), NOW + 901, ErrorCode::RequestTimeTooSkewed);
    check("signature", authorization("f0e8", "f0e9"), NOW, ErrorCode::SignatureDoesNotMatch);
    check(
        "empty signature",
        authorization("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", ""),
        NOW,
        ErrorCode::SignatureDoesNotMatch,
    );
    check("key", authorization("AKIAIOSFODNN7EXAMPLE", "AKIAOTHER"), NOW, ErrorCode::InvalidAccessKeyId);
    check("region", authorization("us-east-1", "eu-west-1"), NOW, ErrorCode::AuthorizationHeaderMalformed);
    check("service", authorization("/s3/", "/ec2/"), NOW, ErrorCode::AuthorizationHeaderMalformed);
    check("date", authorization("20130524", "20130523"), NOW, ErrorCode::AuthorizationHeaderMalformed);
    check("host", authorization("host;", ""), NOW, ErrorCode::AccessDenied);
    check("version 2", authorization("AWS4-HMAC-SHA256 ", "AWS x:y "), NOW, ErrorCode::InvalidAccessKeyId);
    check("version 5", authorization("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA999"), NOW, ErrorCode::InvalidRequest);
    let query = |from: &str, to: &str| presigned(&PRESIGNED.replace(from, to));
    check("expires", query("=86400", "=86401"), NOW, ErrorCode::SignatureDoesNotMatch);
    check("week", query("=86400", "=604801"), NOW, ErrorCode::AuthorizationQueryParametersError);
    check("number", query("=86400", "=x"), NOW, ErrorCode::AuthorizationQueryParametersError);
    check("added", query("?", "?acl&"), NOW, ErrorCode::SignatureDoesNotMatch);
    check(
        "no signature",
        query("&X-Amz-Signature=", "&x="),
        NOW,
        ErrorCode::AuthorizationQueryParametersError,
    );
}

async fn receive(parts: &Parts, body: Vec<u8>) -> Result<usize, S3Error> {
    let known = at(parts, NOW)?;
    let plan = UploadPlan::new(&parts.headers, known.payload, 5 << 30)?;
    let (mut upload, _late) = plan.open(boxed(Full::new(Bytes::from(body))), None);
    let mut len = 0;
    while let Some(piece) = upload.next().await {
        len += piece.map_err(|e| e.downcast_ref::<S3Error>().expect("our error").clone())?.len();
    }
    Ok(len)
}

#[tokio::test]
async fn published_chunked_examples_hold_and_a_flipped_byte_does_not() {
    for trailer in [false, true] {
        let (parts, body) = chunked(trailer);
        assert_eq!(receive(&parts, body.clone()).await.expect("chunked"), 66_560, "trailer: {trailer}");
        let mut flipped = body.clone();
        flipped[1000] ^= 1;
        assert_eq!(
            receive(&parts, flipped).await.expect_err("flipped").code(),
            ErrorCode::SignatureDoesNotMatch
        );
        let cut = body[..70_000.min(body.len() - 200)].to_vec();
        assert_eq!(receive(&parts, cut).await.expect_err("cut").code(), ErrorCode::IncompleteBody);
    }
}

proptest! {
    #[test]
    fn any_authorization_and_query_are_refused_without_panic(header in "[ -~]{0,120}", query in "[!$-;=?-~]{0,120}") {
        let uri = format!("/b/k?{query}");
        prop_assume!(uri.parse::<http::Uri>().is_ok());
        let taken = at(&head("GET", &uri, &[("authorization", &header), ("host", "h")]), NOW);
        prop_assert!(!taken.is_ok_and(|known| known.credential.is_some()));
        let taken = at(&head("GET", &uri, &[("host", "h")]), NOW);
        prop_assert!(!taken.is_ok_and(|known| known.credential.is_some()));
    }

    /// The fields are well-formed, so these reach the signing crate, whose panics this looks for.
    #[test]
    fn any_target_and_header_are_signed_again_without_panic(path in "[!$-;=@-Z_a-z~]{0,60}", query in "[!$-;=?-Z_a-z~]{0,60}", value in "[ -~é]{0,30}") {
        let uri = format!("/{path}?{query}");
        prop_assume!(uri.parse::<http::Uri>().is_ok());
        let mut parts = get_example();
        parts.uri = uri.parse().expect("checked");
        parts.headers.insert("range", http::HeaderValue::from_bytes(value.as_bytes()).expect("value"));
        prop_assert!(at(&parts, NOW).is_err());
    }
}
