//! Bodies on their way in: every way one can be wrong, and that nothing is left of it.

use crate::client::{Answer, Signer, UNSIGNED, World};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::io;

fn refused(answer: &Answer, code: &str, what: &str) {
    assert_eq!(answer.outcome(), (400, code.to_owned()), "{what}: {}", answer.text());
}

#[tokio::test]
async fn what_the_head_says_of_a_body_must_be_true() {
    let world = World::new().await;
    let md5 = STANDARD.encode(Md5::digest("abc"));
    let sha256 = hex::encode(Sha256::digest("abc"));
    let sum = STANDARD.encode(Sha256::digest("abc"));
    let large = "abc".repeat(50_000);
    for (headers, body, code) in [
        (vec![("content-md5", md5.as_str())], "abd", "BadDigest"),
        (vec![("content-md5", md5.as_str())], large.as_str(), "BadDigest"),
        (vec![("content-md5", "zzz")], "abc", "InvalidDigest"),
        (vec![("content-md5", "")], "abc", "InvalidDigest"),
        (vec![("content-md5", "YWJj")], "abc", "InvalidDigest"),
        (vec![("x-amz-content-sha256", sha256.as_str())], "abd", "XAmzContentSHA256Mismatch"),
        (vec![("x-amz-checksum-crc32", "AAAAAA==")], "abc", "BadDigest"),
        (vec![("x-amz-checksum-crc32c", "AAAAAA==")], large.as_str(), "BadDigest"),
        (vec![("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")], "abc", "BadDigest"),
        (vec![("x-amz-checksum-sha1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk=")], "abc", "BadDigest"),
        (vec![("x-amz-checksum-sha256", sum.as_str())], "abd", "BadDigest"),
        (vec![("x-amz-checksum-sha256", "AAAA")], "abc", "InvalidRequest"),
        (
            vec![("x-amz-checksum-sha256", &sum), ("x-amz-checksum-crc32", "AAAAAA==")],
            "abc",
            "InvalidRequest",
        ),
        (vec![("content-length", "4")], "abc", "IncompleteBody"),
        (vec![("content-length", "2")], "abc", "IncompleteBody"),
        (vec![("content-length", "10000001")], "abc", "EntityTooLarge"),
        (vec![("content-length", "x")], "abc", "InvalidArgument"),
    ] {
        refused(&world.call("PUT", "/box/k", &headers, body.to_owned()).await, code, &format!("{headers:?}"));
        let begun = world.call("POST", "/box/k?uploads", &[], "").await.good();
        let part = format!("/box/k?partNumber=1&uploadId={}", begun.element("UploadId"));
        refused(
            &world.call("PUT", &part, &headers, body.to_owned()).await,
            code,
            &format!("part {headers:?}"),
        );
        let listed =
            world.call("GET", &format!("/box/k?uploadId={}", begun.element("UploadId")), &[], "").await;
        assert!(!listed.good().text().contains("<Part>"), "{headers:?}");
        world.call("DELETE", &format!("/box/k?uploadId={}", begun.element("UploadId")), &[], "").await.good();
    }
    let presigned = Signer::new().presign("PUT", "/box/k", "900");
    let headers = [("host", "h"), ("content-length", "3"), ("content-md5", md5.as_str())];
    refused(&world.send("PUT", &presigned, &headers, vec![Ok("abd".into())]).await, "BadDigest", "presigned");
    world.assert_empty().await;
}

#[tokio::test]
async fn a_broken_connection_stores_nothing() {
    let world = World::new().await;
    let broken = || vec![Ok(Bytes::from(vec![1; 5000])), Err(io::Error::other("gone"))];
    for headers in [&[("content-length", "10000")][..], &[("transfer-encoding", "chunked")]] {
        let answer = world.call_by(&Signer::new(), "PUT", "/box/k", headers, broken()).await;
        refused(&answer, "IncompleteBody", "broken");
    }
    world.assert_empty().await;
}

#[tokio::test]
async fn a_chunked_transfer_needs_no_length() {
    let world = World::new().await;
    let chunked = ("transfer-encoding", "chunked");
    world.call("PUT", "/box/k", &[chunked], "of unknown length").await.good();
    assert_eq!(world.call("GET", "/box/k", &[], "").await.text(), "of unknown length");
    let sha256 = hex::encode(Sha256::digest("abc"));
    let hashed = [chunked, ("x-amz-content-sha256", sha256.as_str())];
    world.call("PUT", "/box/k", &hashed, "abc").await.good();
    refused(&world.call("PUT", "/box/k", &hashed, "abd").await, "XAmzContentSHA256Mismatch", "hash");
    refused(
        &world.call("PUT", "/box/k", &[chunked], vec![0; 10_000_001]).await,
        "EntityTooLarge",
        "too large",
    );
    let long = vec![b'x'; 3 << 20];
    let long = world.call("POST", "/box?delete", &[chunked, ("x-amz-content-sha256", &sha256)], long).await;
    refused(&long, "MaxMessageLengthExceeded", "a long document");
    assert_eq!(world.call("GET", "/box/k", &[], "").await.text(), "abc");
    let none =
        world.send("PUT", &Signer::new().presign("PUT", "/box/k", "9"), &[("host", "h")], vec![]).await;
    assert_eq!(none.outcome(), (411, "MissingContentLength".to_owned()));
}

/// An aws-chunked body of these pieces, and the headers of its request.
struct Chunked {
    signer: Signer,
    pieces: Vec<&'static str>,
    trailer: Option<(&'static str, &'static str)>,
    announced: Option<&'static str>,
    signed: bool,
}

impl Chunked {
    fn signed(pieces: &[&'static str]) -> Self {
        Self { signer: Signer::new(), pieces: pieces.to_vec(), trailer: None, announced: None, signed: true }
    }

    fn with_trailer(self, name: &'static str, value: &'static str) -> Self {
        Self { trailer: Some((name, value)), announced: Some(name), ..self }
    }

    fn hash(&self) -> &'static str {
        match (self.signed, self.trailer) {
            (true, None) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            (true, Some(_)) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            (false, _) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        }
    }

    /// Sends it after `change`.
    async fn send(&self, world: &World, change: impl FnOnce(String) -> String) -> Answer {
        const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let len: usize = self.pieces.iter().map(|piece| piece.len()).sum();
        let len = len.to_string();
        let mut headers = vec![
            ("host", "h"),
            ("x-amz-date", self.signer.stamp.as_str()),
            ("x-amz-content-sha256", self.hash()),
            ("x-amz-decoded-content-length", len.as_str()),
            ("content-encoding", "aws-chunked"),
        ];
        headers.extend(self.announced.map(|name| ("x-amz-trailer", name)));
        let owned: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (authorization, mut previous) = self.signer.authorization("PUT", "/box/k", &owned);
        let mut body = String::new();
        for piece in self.pieces.iter().chain(&[""]) {
            body.push_str(&format!("{:x}", piece.len()));
            if self.signed {
                let rest = format!("{previous}\n{EMPTY}\n{}", hex::encode(Sha256::digest(piece)));
                previous = self.signer.sign("AWS4-HMAC-SHA256-PAYLOAD", &rest);
                body.push_str(&format!(";chunk-signature={previous}"));
            }
            body.push_str("\r\n");
            if !piece.is_empty() {
                body.push_str(&format!("{piece}\r\n"));
            }
        }
        if let Some((name, value)) = self.trailer {
            body.push_str(&format!("{name}:{value}\r\n"));
            if self.signed {
                let rest =
                    format!("{previous}\n{}", hex::encode(Sha256::digest(format!("{name}:{value}\n"))));
                let signature = self.signer.sign("AWS4-HMAC-SHA256-TRAILER", &rest);
                body.push_str(&format!("x-amz-trailer-signature:{signature}\r\n"));
            }
        }
        body.push_str("\r\n");
        let body = change(body);
        let content_length = body.len().to_string();
        headers.push(("authorization", &authorization));
        headers.push(("content-length", &content_length));
        // In pieces that end anywhere.
        let pieces = body.as_bytes().chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        world.send("PUT", "/box/k", &headers, pieces).await
    }
}

#[tokio::test]
async fn chunks_are_stored_as_what_they_hold() {
    let world = World::new().await;
    let crc = ("x-amz-checksum-crc32", "DUoRhQ=="); // of "hello world"
    for signed in [true, false] {
        let plain = Chunked::signed(&["hello ", "world"]);
        let with = Chunked { signed, ..Chunked::signed(&["hello ", "world"]) }.with_trailer(crc.0, crc.1);
        for body in [plain, with] {
            let put = body.send(&world, |body| body).await.good();
            assert_eq!(put.header(crc.0), if body.trailer.is_some() { crc.1 } else { "" });
            let got = world.call("GET", "/box/k", &[], "").await.good();
            assert_eq!((got.text().as_str(), got.header("content-encoding")), ("hello world", ""));
        }
    }
}

#[tokio::test]
async fn broken_chunks_store_nothing() {
    let world = World::new().await;
    let flip = |from: &'static str, to: &'static str| move |body: String| body.replacen(from, to, 1);
    let signed = || Chunked::signed(&["hello ", "world"]);
    refused_by(&signed().send(&world, flip("hello", "hellp")).await, 403, "SignatureDoesNotMatch", "data");
    refused_by(
        &signed().send(&world, flip("chunk-signature=", "chunk-signature=0")).await,
        403,
        "SignatureDoesNotMatch",
        "signature",
    );
    refused_by(
        &signed().send(&world, flip(";chunk-signature", ";other")).await,
        400,
        "IncompleteBody",
        "no signature",
    );
    refused_by(
        &signed().send(&world, |body| body[..body.len() - 100].to_owned()).await,
        400,
        "IncompleteBody",
        "cut",
    );
    refused_by(&signed().send(&world, |body| body + "more").await, 400, "IncompleteBody", "longer");
    refused_by(&signed().send(&world, flip("6;", "zz;")).await, 400, "IncompleteBody", "size");
    refused_by(&signed().send(&world, flip("6;", "ffffffffffff;")).await, 400, "IncompleteBody", "huge size");
    let crc = "x-amz-checksum-crc32";
    for signed in [true, false] {
        let wrong = Chunked { signed, ..Chunked::signed(&["hello"]) }.with_trailer(crc, "AAAAAA==");
        refused_by(&wrong.send(&world, |body| body).await, 400, "BadDigest", "trailer");
        let bad = Chunked { signed, ..Chunked::signed(&["hello"]) }.with_trailer(crc, "AAAA");
        refused_by(&bad.send(&world, |body| body).await, 400, "InvalidRequest", "trailer text");
        let secret = Chunked { announced: None, ..wrong };
        refused_by(&secret.send(&world, |body| body).await, 400, "MalformedTrailerError", "not announced");
        let other = Chunked { announced: Some("x-amz-checksum-sha256"), ..bad };
        refused_by(&other.send(&world, |body| body).await, 400, "InvalidRequest", "another one");
    }
    let good = Chunked::signed(&["hello"]).with_trailer(crc, "NhCmhg==");
    refused_by(
        &good.send(&world, flip("NhCmhg==", "NhCmhQ==")).await,
        403,
        "SignatureDoesNotMatch",
        "signed trailer",
    );
    refused_by(
        &good.send(&world, flip("x-amz-trailer-signature", "x-amz-other")).await,
        403,
        "SignatureDoesNotMatch",
        "no signature of the trailer",
    );
    good.send(&world, |body| body).await.good();
    world.call("DELETE", "/box/k", &[], "").await.good();
    world.assert_empty().await;
}

fn refused_by(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{what}: {}", answer.text());
}

#[tokio::test]
async fn no_body_is_asked_for_before_the_head_was_accepted() {
    let world = World::new().await;
    let body = || vec![Ok(Bytes::from_static(b"abc"))];
    let stranger = Signer { secret: "x".repeat(40), ..Signer::new() };
    for (target, headers, status) in [
        ("/none/k", vec![], 404),
        ("/box/k?partNumber=1&uploadId=0000000000000001", vec![], 404),
        ("/box/k", vec![("content-length", "10000001")], 400),
        ("/box/k", vec![("x-amz-server-side-encryption", "AES256")], 501),
        ("/box/k", vec![("content-md5", "zzz")], 400),
        ("/box/k?retention", vec![], 501),
        ("/BAD/k", vec![], 400),
    ] {
        let answer = world.call_by(&Signer::new(), "PUT", target, &headers, body()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.polled),
            (status, false),
            "{target} {headers:?}: {}",
            answer.text()
        );
    }
    for answer in [
        world.call_by(&stranger, "PUT", "/box/k", &[], body()).await,
        world.send("PUT", "/box/k", &[("host", "h"), ("content-length", "3")], body()).await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.polled), (403, false), "{}", answer.text());
    }
    let good =
        world.call_by(&Signer::new(), "PUT", "/box/k", &[("x-amz-content-sha256", UNSIGNED)], body()).await;
    assert!(good.good().polled);
}
