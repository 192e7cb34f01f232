//! AWS's published examples, and every way a signature can be wrong.

use super::*;
use crate::body::{UploadPlan, boxed};
use crate::credentials::FixedCredentials;
use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body_util::Full;
use proptest::prelude::*;

const NOW: u64 = 1_369_353_600; // 20130524T000000Z
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const CREDENTIAL: &str =
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";

fn keys() -> FixedCredentials {
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    FixedCredentials::new([Credential::new("AKIAIOSFODNN7EXAMPLE", secret, "account", "id", "name")])
}

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn at(parts: &Parts, now_s: u64) -> Result<Authenticated, S3Error> {
    let target = Target::parse(&parts.uri, 1 << 14)?;
    let rules = Rules { region: "us-east-1", now_s, skew_max: Duration::from_secs(900) };
    authenticate(parts, &target, &keys(), rules)
}

fn signed(method: &str, uri: &str, hash: &str, more: &[(&str, &str)], names: &str, signature: &str) -> Parts {
    let authorization = format!("{CREDENTIAL},SignedHeaders={names},Signature={signature}");
    let mut headers = vec![("x-amz-content-sha256", hash), ("x-amz-date", "20130524T000000Z")];
    headers.push(("authorization", &authorization));
    if !more.iter().any(|(name, _)| *name == "host") {
        headers.push(("host", "examplebucket.s3.amazonaws.com"));
    }
    headers.extend_from_slice(more);
    head(method, uri, &headers)
}

fn get_example() -> Parts {
    signed(
        "GET",
        "/test.txt",
        EMPTY,
        &[("range", "bytes=0-9")],
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    )
}

const PRESIGNED: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524\
    %2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

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
    check("anonymous", changed(&|p| drop(p.headers.remove("authorization"))), NOW, ErrorCode::AccessDenied);
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
    check("version 2", authorization("AWS4-HMAC-SHA256 ", "AWS x:y "), NOW, ErrorCode::InvalidRequest);
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

fn chunked(trailer: bool) -> (Parts, Vec<u8>) {
    let (hash, names, seed, sums): (_, _, _, [&str; 3]) = if trailer {
        (
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
            [
                "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
            ],
        )
    } else {
        (
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
            [
                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
            ],
        )
    };
    let mut headers = vec![
        ("host", "s3.amazonaws.com"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ];
    headers.push(if trailer {
        ("x-amz-trailer", "x-amz-checksum-crc32c")
    } else {
        ("content-length", "66824")
    });
    let mut body = Vec::new();
    for (size, sum) in [65_536, 1024, 0].into_iter().zip(sums) {
        body.extend_from_slice(format!("{size:x};chunk-signature={sum}\r\n").as_bytes());
        body.extend_from_slice(&vec![b'a'; size]);
        if size > 0 {
            body.extend_from_slice(b"\r\n");
        }
    }
    if trailer {
        body.extend_from_slice(
            b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:\
            d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
        );
    }
    body.extend_from_slice(b"\r\n");
    (signed("PUT", "/examplebucket/chunkObject.txt", hash, &headers, names, seed), body)
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
    fn any_authorization_and_query_are_refused_without_panic(header in "[ -~]{0,120}", query in "[!-~]{0,120}") {
        let uri = format!("/b/k?{query}");
        prop_assume!(uri.parse::<http::Uri>().is_ok());
        prop_assert!(at(&head("GET", &uri, &[("authorization", &header), ("host", "h")]), NOW).is_err());
        prop_assert!(at(&head("GET", &uri, &[("host", "h")]), NOW).is_err());
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
