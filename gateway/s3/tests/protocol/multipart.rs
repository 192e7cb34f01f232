//! Multipart uploads: completing again, and what does not fit.

use crate::client::{Answer, World};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const FIRST: &str = "first part, long enough";
const SECOND: &str = "second";

struct Upload<'w> {
    world: &'w World,
    id: String,
    tags: Vec<String>,
}

impl<'w> Upload<'w> {
    async fn begin(world: &'w World, headers: &[(&str, &str)]) -> Self {
        let begun = world.call("POST", "/box/k?uploads", headers, "").await.good();
        Self { world, id: begun.element("UploadId"), tags: Vec::new() }
    }

    async fn put(&mut self, number: u32, body: &'static str, headers: &[(&str, &str)]) -> Answer {
        let target = format!("/box/k?partNumber={number}&uploadId={}", self.id);
        let put = self.world.call("PUT", &target, headers, body).await.good();
        self.tags.push(put.header("etag").trim_matches('"').to_owned());
        put
    }

    /// Completes with these parts: number, tag, more elements.
    async fn complete(&self, parts: &[(u32, &str, &str)], headers: &[(&str, &str)]) -> Answer {
        let parts: String = parts
            .iter()
            .map(|(number, tag, more)| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{tag}\"</ETag>{more}</Part>")
            })
            .collect();
        let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        self.world.call("POST", &format!("/box/k?uploadId={}", self.id), headers, document).await
    }
}

#[tokio::test]
async fn completing_again_gives_the_same_answer() {
    let world = World::new().await;
    for headers in
        [&[][..], &[("x-amz-checksum-algorithm", "CRC32")], &[("x-amz-checksum-algorithm", "SHA256")]]
    {
        let mut upload = Upload::begin(&world, headers).await;
        // The declared value of a part is not needed: `sdk` alone asks for nothing.
        upload.put(1, FIRST, &[]).await;
        upload.put(2, SECOND, &[]).await;
        let parts = [(1, upload.tags[0].as_str(), ""), (2, upload.tags[1].as_str(), "")];
        let done = upload.complete(&parts, &[("if-none-match", "*")]).await.good();
        let again = upload.complete(&parts, &[("if-none-match", "*")]).await.good();
        assert_eq!(done.text(), again.text(), "{headers:?}");
        assert_eq!(world.call("GET", "/box/k", &[], "").await.text(), format!("{FIRST}{SECOND}"));
        // Another object under the key since then: the upload is over.
        world.call("PUT", "/box/k", &[], "new").await.good();
        assert_eq!(upload.complete(&parts, &[]).await.outcome(), (404, "NoSuchUpload".to_owned()));
        world.call("DELETE", "/box/k", &[], "").await.good();
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_the_upload_lives_on() {
    let world = World::new().await;
    let mut upload = Upload::begin(&world, &[]).await;
    upload.put(1, FIRST, &[]).await;
    upload.put(2, SECOND, &[]).await;
    upload.put(3, SECOND, &[]).await;
    let tags = upload.tags.clone();
    let (first, second, third) =
        ((1, tags[0].as_str(), ""), (2, tags[1].as_str(), ""), (3, tags[2].as_str(), ""));
    for (name, parts, headers, outcome) in [
        ("none", vec![], vec![], (400, "MalformedXML")),
        ("order", vec![second, first], vec![], (400, "InvalidPartOrder")),
        ("twice", vec![first, first], vec![], (400, "InvalidPartOrder")),
        ("missing", vec![first, (7, tags[0].as_str(), "")], vec![], (400, "InvalidPart")),
        ("tag", vec![(1, tags[1].as_str(), "")], vec![], (400, "InvalidPart")),
        ("no tag", vec![(1, "nonsense", "")], vec![], (400, "InvalidPart")),
        ("zero", vec![(0, tags[0].as_str(), "")], vec![], (400, "InvalidArgument")),
        ("many", vec![(10_001, tags[0].as_str(), "")], vec![], (400, "InvalidArgument")),
        ("small", vec![first, second, third], vec![], (400, "EntityTooSmall")),
        ("size", vec![first, second], vec![("x-amz-mp-object-size", "30")], (400, "InvalidRequest")),
        ("size text", vec![first, second], vec![("x-amz-mp-object-size", "x")], (400, "InvalidArgument")),
        ("if-match", vec![first, second], vec![("if-match", "*")], (404, "NoSuchKey")),
        ("no checksum", vec![first], vec![("x-amz-checksum-crc32", "AAAAAA==")], (400, "InvalidRequest")),
        ("checksum text", vec![first], vec![("x-amz-checksum-crc32", "A")], (400, "InvalidRequest")),
    ] {
        let answer = upload.complete(&parts, &headers).await;
        assert_eq!(answer.outcome(), (outcome.0, outcome.1.to_owned()), "{name}: {}", answer.text());
    }
    for document in [
        "",
        "x",
        "<CompleteMultipartUpload>",
        "<Other/>",
        "<CompleteMultipartUpload><Part/></CompleteMultipartUpload>",
    ] {
        let target = format!("/box/k?uploadId={}", upload.id);
        let answer = world.call("POST", &target, &[], document).await;
        assert_eq!(answer.outcome(), (400, "MalformedXML".to_owned()), "{document}");
    }
    world.call("PUT", "/box/k", &[], "old").await.good();
    let taken = upload.complete(&[first, second], &[("if-none-match", "*")]).await;
    assert_eq!(taken.outcome(), (412, "PreconditionFailed".to_owned()));
    assert_eq!(world.call("GET", "/box/k", &[], "").await.text(), "old");
    upload.complete(&[first, second], &[("x-amz-mp-object-size", "29")]).await.good();
    assert_eq!(world.call("GET", "/box/k", &[], "").await.text(), format!("{FIRST}{SECOND}"));
}

#[tokio::test]
async fn checksums_of_the_whole_are_verified() {
    let world = World::new().await;
    let sum = |text: &str| STANDARD.encode(Sha256::digest(text));
    let of_parts = {
        let mut both = Sha256::digest(FIRST).to_vec();
        both.extend_from_slice(&Sha256::digest(SECOND));
        STANDARD.encode(Sha256::digest(both))
    };
    for (value, outcome) in [
        (format!("{of_parts}-2"), (200, "")),
        (of_parts.clone(), (200, "")),
        (format!("{of_parts}-3"), (400, "BadDigest")),
        (sum("other"), (400, "BadDigest")),
        ("AAAA".to_owned(), (400, "InvalidRequest")),
    ] {
        let mut upload = Upload::begin(&world, &[("x-amz-checksum-algorithm", "SHA256")]).await;
        upload.put(1, FIRST, &[("x-amz-checksum-sha256", &sum(FIRST))]).await;
        upload.put(2, SECOND, &[("x-amz-checksum-sha256", &sum(SECOND))]).await;
        let parts = [(1, upload.tags[0].as_str(), ""), (2, upload.tags[1].as_str(), "")];
        let answer = upload.complete(&parts, &[("x-amz-checksum-sha256", &value)]).await;
        assert_eq!(answer.outcome(), (outcome.0, outcome.1.to_owned()), "{value}: {}", answer.text());
        if outcome.0 == 200 {
            assert_eq!(answer.element("ChecksumSHA256"), format!("{of_parts}-2"));
            assert_eq!(answer.element("ChecksumType"), "COMPOSITE");
            let head = world.call("HEAD", "/box/k", &[("x-amz-checksum-mode", "ENABLED")], "").await;
            assert_eq!(head.header("x-amz-checksum-sha256"), format!("{of_parts}-2"));
        } else {
            let other = upload.complete(&parts, &[("x-amz-checksum-crc32", "AAAAAA==")]).await;
            assert_eq!(other.outcome(), (400, "InvalidRequest".to_owned()), "another algorithm");
            let kind = upload.complete(&parts, &[("x-amz-checksum-type", "FULL_OBJECT")]).await;
            assert_eq!(kind.outcome(), (400, "InvalidRequest".to_owned()), "another type");
        }
    }
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let world = World::new().await;
    let mut upload = Upload::begin(&world, &[]).await;
    upload.put(1, FIRST, &[]).await;
    let target = format!("/box/k?uploadId={}", upload.id);
    assert_eq!(world.call("DELETE", &target, &[], "").await.status, 204);
    for (method, target) in [
        ("DELETE", target.clone()),
        ("GET", target.clone()),
        ("PUT", format!("{target}&partNumber=1")),
        ("DELETE", "/box/k?uploadId=nonsense".to_owned()),
    ] {
        let answer = world.call(method, &target, &[], "x").await;
        assert_eq!(answer.outcome(), (404, "NoSuchUpload".to_owned()), "{method} {target}");
    }
    assert!(!world.call("GET", "/box?uploads", &[], "").await.good().text().contains("<Upload>"));
}

#[tokio::test]
async fn parts_of_an_object_and_whose_an_upload_is() {
    let world = World::new().await;
    let mut upload = Upload::begin(&world, &[]).await;
    upload.put(1, FIRST, &[]).await;
    upload.put(5, SECOND, &[]).await;
    let listed = world.call("GET", &format!("/box/k?uploadId={}", upload.id), &[], "").await.good();
    assert!(listed.text().contains("<Owner><ID>id</ID><DisplayName>name</DisplayName></Owner>"));
    let tags = upload.tags.clone();
    upload.complete(&[(1, tags[0].as_str(), ""), (5, tags[1].as_str(), "")], &[]).await.good();
    let ask = async |headers: &[(&str, &str)]| {
        let all = [&[("x-amz-object-attributes", "ObjectParts,ObjectSize")], headers].concat();
        world.call("GET", "/box/k?attributes", &all, "").await
    };
    let whole = ask(&[]).await.good();
    assert_eq!((whole.element("PartsCount").as_str(), whole.element("IsTruncated").as_str()), ("2", "false"));
    let size = format!("<PartNumber>1</PartNumber><Size>{}</Size>", FIRST.len());
    assert!(whole.text().contains(&size), "{}", whole.text());
    let page = ask(&[("x-amz-max-parts", "1")]).await.good();
    assert_eq!(page.element("NextPartNumberMarker"), "1");
    assert_eq!(page.element("IsTruncated"), "true");
    let page = ask(&[("x-amz-max-parts", "1"), ("x-amz-part-number-marker", "1")]).await.good();
    assert!(page.text().contains(&format!("<Size>{}</Size>", SECOND.len())), "{}", page.text());
    assert_eq!(ask(&[("x-amz-max-parts", "x")]).await.outcome(), (400, "InvalidArgument".to_owned()));
}

#[tokio::test]
async fn parts_keep_their_checksums() {
    let world = World::new().await;
    let headers = [("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", "COMPOSITE")];
    let mut upload = Upload::begin(&world, &headers).await;
    let mut sums = Vec::new();
    for (number, body) in [(1, FIRST), (2, SECOND)] {
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, body.as_bytes());
        let sum = STANDARD.encode(&crc.to_be_bytes()[4..]);
        upload.put(number, body, &[("x-amz-checksum-crc32", &sum)]).await;
        sums.push(sum);
    }
    let of = |sum: &str| format!("<ChecksumCRC32>{sum}</ChecksumCRC32>");
    let (tags, more) = (upload.tags.clone(), [of(&sums[0]), of(&sums[1])]);
    upload.complete(&[(1, &tags[0], &more[0]), (2, &tags[1], &more[1])], &[]).await.good();
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    for (number, sum) in ["1", "2"].into_iter().zip(&sums) {
        for method in ["GET", "HEAD"] {
            let part = world.call(method, &format!("/box/k?partNumber={number}"), &mode, "").await.good();
            assert_eq!(part.header("x-amz-checksum-crc32"), sum, "{method} {number}");
            assert_eq!(part.header("x-amz-checksum-type"), "COMPOSITE");
        }
    }
    let wanted = [("x-amz-object-attributes", "ObjectParts")];
    let listed = world.call("GET", "/box/k?attributes", &wanted, "").await.good().text();
    for sum in &more {
        assert!(listed.contains(&format!("<Part>{sum}")), "{listed}");
    }
    assert!(
        world.call("HEAD", "/box/k", &mode, "").await.good().header("x-amz-checksum-crc32").ends_with("-2")
    );
    assert_eq!(
        world.call("GET", "/box/k?partNumber=1", &[], "").await.good().header("x-amz-checksum-crc32"),
        ""
    );
}
