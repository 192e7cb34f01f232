//! What programs in Rust do with a bucket: a tour of the SDK's calls, what comes back compared, errors told by type.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, Delete,
    MetadataDirective, ObjectAttributes, ObjectIdentifier, Tag, Tagging, VersioningConfiguration,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use ringfort_acceptance::{Server, Tool, stream_of};
use ringfort_acceptance_aws_sdk::client;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::time::Duration;

const BUCKET: &str = "tour";
const PART: usize = 5 << 20;

/// The answer is a refusal with this status and code.
fn refused<T: Debug, E: ProvideErrorMetadata + Debug>(
    answer: Result<T, SdkError<E, HttpResponse>>,
    status: u16,
    code: &str,
) {
    let error = answer.expect_err(code);
    assert_eq!(error.raw_response().map(|raw| raw.status().as_u16()), Some(status), "{error:?}");
    // A reply to HEAD, or that nothing has changed, has no body to tell a code.
    assert!(code.is_empty() || error.code() == Some(code), "{code}: {error:?}");
}

async fn put(client: &Client, key: &str, body: &[u8]) {
    let body = ByteStream::from(body.to_vec());
    client.put_object().bucket(BUCKET).key(key).body(body).send().await.unwrap();
}

async fn get(client: &Client, key: &str) -> Vec<u8> {
    let reply = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
    reply.body.collect().await.unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_sdk() {
    let server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap();
    let (client, sent) = client(&server.keys().unwrap());
    buckets(&client).await;
    objects(&client).await;
    checksums(&client, server.scratch()).await;
    listings(&client).await;
    copies_and_tags(&client).await;
    parts(&client).await;
    versions(&client).await;
    presigned(&client).await;
    removal(&client).await;
    println!("aws-sdk-s3: {} requests", sent.count());
    assert!(sent.count() >= 30, "a tour is of thirty calls at least");
}

async fn buckets(client: &Client) {
    client.create_bucket().bucket(BUCKET).send().await.unwrap();
    client.head_bucket().bucket(BUCKET).send().await.unwrap();
    let all = client.list_buckets().send().await.unwrap();
    assert_eq!(all.buckets().iter().filter_map(|bucket| bucket.name()).collect::<Vec<_>>(), [BUCKET]);
    let place = client.get_bucket_location().bucket(BUCKET).send().await.unwrap();
    assert!(place.location_constraint().is_none_or(|place| place.as_str().is_empty()), "{place:?}");
    let missing = client.head_bucket().bucket("nowhere").send().await.unwrap_err();
    assert!(missing.into_service_error().is_not_found());
    let missing = client.list_objects_v2().bucket("nowhere").send().await.unwrap_err();
    assert!(missing.into_service_error().is_no_such_bucket());
    refused(client.create_bucket().bucket("Not_A_Name").send().await, 400, "InvalidBucketName");
}

async fn objects(client: &Client) {
    let body = stream_of("object", 0, 700_000);
    let done = client.put_object().bucket(BUCKET).key("a/b c+ü.bin").body(ByteStream::from(body.clone()));
    let done = done.content_type("text/x-plain").metadata("colour", "red").send().await.unwrap();
    let etag = done.e_tag().unwrap().to_owned();
    let head = client.head_object().bucket(BUCKET).key("a/b c+ü.bin").send().await.unwrap();
    assert_eq!((head.content_length(), head.content_type()), (Some(700_000), Some("text/x-plain")));
    assert_eq!(head.metadata().unwrap()["colour"], "red");
    assert_eq!(head.e_tag(), Some(&*etag));
    assert!(get(client, "a/b c+ü.bin").await == body, "the object differs");

    let of = || client.get_object().bucket(BUCKET).key("a/b c+ü.bin");
    let part = of().range("bytes=600000-600099").send().await.unwrap();
    assert_eq!(part.content_range(), Some("bytes 600000-600099/700000"));
    assert_eq!(part.body.collect().await.unwrap().to_vec(), stream_of("object", 600_000, 100));
    refused(of().range("bytes=700000-").send().await, 416, "InvalidRange");
    refused(of().if_none_match(&etag).send().await, 304, "");
    refused(of().if_match("\"none\"").send().await, 412, "PreconditionFailed");
    of().if_match(&etag).send().await.unwrap();
    let again = client.put_object().bucket(BUCKET).key("a/b c+ü.bin").if_none_match("*");
    refused(again.send().await, 412, "PreconditionFailed");
    let missing = client.get_object().bucket(BUCKET).key("none").send().await.unwrap_err();
    assert!(missing.into_service_error().is_no_such_key());
    let missing = client.head_object().bucket(BUCKET).key("none").send().await.unwrap_err();
    assert!(missing.into_service_error().is_not_found());
}

/// In a header, and behind a body that is sent as it is read.
async fn checksums(client: &Client, scratch: &Path) {
    let body = stream_of("sums", 0, 300_000);
    let file = scratch.join("sums");
    fs::write(&file, &body).unwrap();
    let algorithms = [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ];
    for algorithm in algorithms {
        let bodies = [ByteStream::from(body.clone()), ByteStream::from_path(&file).await.unwrap()];
        let mut seen = Vec::new();
        for body_sent in bodies {
            let key = format!("sums/{algorithm}");
            let put = client.put_object().bucket(BUCKET).key(&key).body(body_sent);
            put.checksum_algorithm(algorithm.clone()).send().await.unwrap();
            let get = client.get_object().bucket(BUCKET).key(&key).checksum_mode(ChecksumMode::Enabled);
            let reply = get.send().await.unwrap();
            let told = match algorithm {
                ChecksumAlgorithm::Crc32 => reply.checksum_crc32(),
                ChecksumAlgorithm::Crc32C => reply.checksum_crc32_c(),
                ChecksumAlgorithm::Crc64Nvme => reply.checksum_crc64_nvme(),
                ChecksumAlgorithm::Sha1 => reply.checksum_sha1(),
                _ => reply.checksum_sha256(),
            };
            seen.push(told.expect("a checksum is told").to_owned());
            // The SDK computes it again as it reads, and fails if it differs.
            assert!(reply.body.collect().await.unwrap().to_vec() == body, "{algorithm}");
        }
        assert_eq!(seen[0], seen[1], "{algorithm}");
    }
    let wrong = client.put_object().bucket(BUCKET).key("wrong").body(ByteStream::from_static(b"x"));
    refused(wrong.checksum_crc32("AAAAAA==").send().await, 400, "BadDigest");
    let wrong = client.put_object().bucket(BUCKET).key("wrong").body(ByteStream::from_static(b"x"));
    refused(wrong.content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await, 400, "BadDigest");
    refused(client.head_object().bucket(BUCKET).key("wrong").send().await, 404, "");
}

async fn listings(client: &Client) {
    for number in 0..25 {
        put(client, &format!("page/{number:02}/x"), b"").await;
    }
    let list = || client.list_objects_v2().bucket(BUCKET).prefix("page/");
    let mut pages = list().into_paginator().page_size(7).send();
    let (mut keys, mut count) = (Vec::new(), 0);
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        count += 1;
        keys.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
    }
    assert_eq!((keys.len(), count), (25, 4));
    assert!(keys.is_sorted());
    let rolled = list().delimiter("/").start_after("page/19/x").send().await.unwrap();
    let prefixes: Vec<_> = rolled.common_prefixes().iter().filter_map(|prefix| prefix.prefix()).collect();
    assert_eq!(prefixes, ["page/20/", "page/21/", "page/22/", "page/23/", "page/24/"]);
    let older = client.list_objects().bucket(BUCKET).prefix("page/0").max_keys(3).send().await.unwrap();
    assert_eq!((older.contents().len(), older.is_truncated()), (3, Some(true)));
}

async fn copies_and_tags(client: &Client) {
    let copy = || client.copy_object().bucket(BUCKET).copy_source("tour/a/b%20c%2B%C3%BC.bin");
    copy().key("copy").send().await.unwrap();
    assert!(get(client, "copy").await == stream_of("object", 0, 700_000), "the copy differs");
    let replaced = copy().key("replaced").metadata_directive(MetadataDirective::Replace);
    replaced.metadata("colour", "blue").send().await.unwrap();
    let head = client.head_object().bucket(BUCKET).key("replaced").send().await.unwrap();
    assert_eq!(head.metadata().unwrap()["colour"], "blue");
    let none = client.copy_object().bucket(BUCKET).key("copy").copy_source("tour/none");
    refused(none.send().await, 404, "NoSuchKey");

    let tags =
        Tagging::builder().tag_set(Tag::builder().key("a").value("1 2").build().unwrap()).build().unwrap();
    let of = client.put_object_tagging().bucket(BUCKET).key("copy").tagging(tags.clone());
    of.send().await.unwrap();
    let told = client.get_object_tagging().bucket(BUCKET).key("copy").send().await.unwrap();
    assert_eq!(told.tag_set(), tags.tag_set());
    client.delete_object_tagging().bucket(BUCKET).key("copy").send().await.unwrap();
    let told = client.get_object_tagging().bucket(BUCKET).key("copy").send().await.unwrap();
    assert!(told.tag_set().is_empty());
    client.put_bucket_tagging().bucket(BUCKET).tagging(tags.clone()).send().await.unwrap();
    let told = client.get_bucket_tagging().bucket(BUCKET).send().await.unwrap();
    assert_eq!(told.tag_set(), tags.tag_set());
    client.delete_bucket_tagging().bucket(BUCKET).send().await.unwrap();
    refused(client.get_bucket_tagging().bucket(BUCKET).send().await, 404, "NoSuchTagSet");
}

async fn parts(client: &Client) {
    let of = client.create_multipart_upload().bucket(BUCKET).key("parts");
    let upload = of.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    let upload = upload.upload_id().unwrap();
    let bodies = [stream_of("part", 0, PART), stream_of("part", PART as u64, 100_000)];
    let mut done = CompletedMultipartUpload::builder();
    for (number, body) in (1..).zip(&bodies) {
        let part = client.upload_part().bucket(BUCKET).key("parts").upload_id(upload).part_number(number);
        let part = part.checksum_algorithm(ChecksumAlgorithm::Sha256).body(ByteStream::from(body.clone()));
        let part = part.send().await.unwrap();
        let (etag, sum) = (part.e_tag().unwrap(), part.checksum_sha256().unwrap());
        let part = CompletedPart::builder().part_number(number).e_tag(etag).checksum_sha256(sum);
        done = done.parts(part.build());
    }
    let listed = client.list_parts().bucket(BUCKET).key("parts").upload_id(upload).send().await.unwrap();
    assert_eq!(listed.parts().len(), 2);
    let uploads = client.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    assert_eq!(uploads.uploads().iter().filter_map(|one| one.key()).collect::<Vec<_>>(), ["parts"]);
    let complete = client.complete_multipart_upload().bucket(BUCKET).key("parts").upload_id(upload);
    let complete = complete.multipart_upload(done.build()).send().await.unwrap();
    assert!(complete.e_tag().unwrap().ends_with("-2\""), "{complete:?}");
    assert!(get(client, "parts").await == bodies.concat(), "the parts differ");
    let second = client.get_object().bucket(BUCKET).key("parts").part_number(2).send().await.unwrap();
    assert_eq!((second.parts_count(), second.content_length()), (Some(2), Some(100_000)));
    let told = client.get_object_attributes().bucket(BUCKET).key("parts");
    let told = told.object_attributes(ObjectAttributes::ObjectParts).send().await.unwrap();
    assert_eq!(told.object_parts().unwrap().total_parts_count(), Some(2));

    let upload = client.create_multipart_upload().bucket(BUCKET).key("left").send().await.unwrap();
    let upload = upload.upload_id().unwrap();
    let copy = client.upload_part_copy().bucket(BUCKET).key("left").upload_id(upload).part_number(1);
    let copy = copy.copy_source("tour/parts").copy_source_range("bytes=0-99").send().await.unwrap();
    assert!(copy.copy_part_result().unwrap().e_tag().is_some());
    let abort = || client.abort_multipart_upload().bucket(BUCKET).key("left").upload_id(upload);
    abort().send().await.unwrap();
    let gone = client.list_parts().bucket(BUCKET).key("left").upload_id(upload).send().await;
    refused(gone, 404, "NoSuchUpload");
}

async fn versions(client: &Client) {
    let bucket = "kept";
    client.create_bucket().bucket(bucket).send().await.unwrap();
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket(bucket).versioning_configuration(on).send().await.unwrap();
    let told = client.get_bucket_versioning().bucket(bucket).send().await.unwrap();
    assert_eq!(told.status(), Some(&BucketVersioningStatus::Enabled));
    let mut ids = Vec::new();
    for text in ["one", "two"] {
        let put = client.put_object().bucket(bucket).key("k").body(ByteStream::from_static(text.as_bytes()));
        ids.push(put.send().await.unwrap().version_id().unwrap().to_owned());
    }
    let marker = client.delete_object().bucket(bucket).key("k").send().await.unwrap();
    assert_eq!(marker.delete_marker(), Some(true));
    ids.push(marker.version_id().unwrap().to_owned());
    let gone = client.get_object().bucket(bucket).key("k").send().await.unwrap_err();
    assert!(gone.into_service_error().is_no_such_key());
    let first = client.get_object().bucket(bucket).key("k").version_id(&ids[0]).send().await.unwrap();
    assert_eq!(first.body.collect().await.unwrap().to_vec(), b"one");
    let all = client.list_object_versions().bucket(bucket).send().await.unwrap();
    assert_eq!((all.versions().len(), all.delete_markers().len()), (2, 1));
    refused(client.delete_bucket().bucket(bucket).send().await, 409, "BucketNotEmpty");
    for id in &ids {
        client.delete_object().bucket(bucket).key("k").version_id(id).send().await.unwrap();
    }
    client.delete_bucket().bucket(bucket).send().await.unwrap();
}

/// URLs that another program opens.
async fn presigned(client: &Client) {
    let hour = || PresigningConfig::expires_in(Duration::from_secs(3600)).unwrap();
    let curl = |args: &[&str]| {
        Tool::new(Path::new("/usr/bin/curl")).args(&["--silent", "--show-error", "--fail"]).args(args).run()
    };
    let url = client.put_object().bucket(BUCKET).key("by url").presigned(hour()).await.unwrap();
    curl(&["-X", "PUT", "-d", "by url", url.uri()]).unwrap();
    assert_eq!(get(client, "by url").await, b"by url");
    let url = client.get_object().bucket(BUCKET).key("by url").presigned(hour()).await.unwrap();
    assert_eq!(curl(&[url.uri()]).unwrap(), "by url");
    let other = url.uri().replace("by%20url", "copy");
    assert!(curl(&[&other]).is_err(), "the URL of one object opened another");
}

async fn removal(client: &Client) {
    refused(client.delete_bucket().bucket(BUCKET).send().await, 409, "BucketNotEmpty");
    client.delete_object().bucket(BUCKET).key("by url").send().await.unwrap();
    let mut pages = client.list_objects_v2().bucket(BUCKET).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        let keys = page.contents().iter().filter_map(|object| object.key());
        let ids = keys.map(|key| ObjectIdentifier::builder().key(key).build().unwrap()).collect();
        let all = Delete::builder().set_objects(Some(ids)).build().unwrap();
        let count = all.objects().len();
        let done = client.delete_objects().bucket(BUCKET).delete(all).send().await.unwrap();
        assert_eq!((done.deleted().len(), done.errors().len()), (count, 0));
    }
    client.delete_bucket().bucket(BUCKET).send().await.unwrap();
    let gone = client.delete_bucket().bucket(BUCKET).send().await;
    refused(gone, 404, "NoSuchBucket");
}
