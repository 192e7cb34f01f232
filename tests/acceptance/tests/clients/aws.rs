//! The command line of AWS, as it is now and as Debian has it.

use super::*;

/// Up, listed, down, compared, copied, versioned, uploaded in parts, removed: with any `aws`.
fn tour(aws: &Path) {
    let tour = Tour::new();
    let tool = |args: &[&str]| Tool::new(aws).args(&["--endpoint-url", &tour.keys.endpoint]).args(args);
    let run = |args: &[&str]| tour.run(tool(args));
    let refused = |args: &[&str], code: &str| {
        let said = format!("{:#}", tour.try_run(tool(args)).expect_err("this is refused"));
        assert!(said.contains(code), "{code}: {said}");
    };
    let (up, down) = (text(&tour.up), text(&tour.down));

    run(&["s3", "mb", "s3://first"]);
    run(&["s3api", "head-bucket", "--bucket", "first"]);
    run(&["s3", "cp", "--recursive", up, "s3://first/in/"]);
    let listed = run(&["s3", "ls", "--recursive", "s3://first"]);
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert!(listed.contains("21000000 in/large file.bin"), "{listed}");
    run(&["s3", "cp", "--recursive", "s3://first/in/", down]);
    assert_same(&tour.up, &tour.down);
    run(&["s3", "mv", "s3://first/in/large file.bin", "s3://first/moved.bin"]);
    let head = run(&["s3api", "head-object", "--bucket", "first", "--key", "moved.bin"]);
    assert!(head.contains("21000000"), "{head}");
    let part = tour.scratch("part");
    let get = ["s3api", "get-object", "--bucket", "first", "--key", "moved.bin"];
    run(&[&get[..], &["--range", "bytes=8388600-8388700", text(&part)]].concat());
    assert_eq!(fs::read(&part).unwrap(), stream_of("large file.bin", 8_388_600, 101));
    run(&["s3", "sync", up, "s3://first/synced/"]);
    assert_eq!(run(&["s3", "sync", up, "s3://first/synced/"]), "", "a second sync has nothing to do");
    fs::write(tour.up.join("small.txt"), "changed").unwrap();
    assert!(run(&["s3", "sync", up, "s3://first/synced/"]).contains("small.txt"));
    assert_eq!(run(&["s3", "cp", "s3://first/synced/small.txt", "-"]), "changed");
    assert!(run(&["s3", "ls", "--summarize", "s3://first/synced/"]).contains("Total Objects: 4"));

    parts(&tour, &run);
    versions(&run, &refused);
    refused(&["s3api", "get-object", "--bucket", "first", "--key", "none", text(&part)], "NoSuchKey");
    refused(&["s3api", "delete-bucket", "--bucket", "first"], "BucketNotEmpty");
    let link = run(&["s3", "presign", "s3://first/synced/small.txt"]);
    let curl = Tool::new(Path::new("/usr/bin/curl")).args(&["--silent", "--fail", link.trim()]);
    assert_eq!(tour.run(curl), "changed");

    run(&["s3", "rm", "--recursive", "s3://first"]);
    assert_eq!(run(&["s3", "ls", "--recursive", "s3://first"]), "");
    run(&["s3", "rb", "s3://first"]);
    assert_eq!(run(&["s3", "ls"]), "");
    tour.end(&aws.display().to_string());
}

/// An upload in parts by hand, one of them a copy, and a listing in pages.
fn parts(tour: &Tour, run: &dyn Fn(&[&str]) -> String) {
    let query = |args: &[&str], what: &str| {
        run(&[args, &["--query", what, "--output", "text"]].concat()).trim().to_owned()
    };
    let at = ["--bucket", "first", "--key", "parts"];
    let upload = query(&[&["s3api", "create-multipart-upload"][..], &at].concat(), "UploadId");
    let of = ["--bucket", "first", "--key", "parts", "--upload-id", &upload];
    let body = tour.scratch("first-part");
    fs::write(&body, stream_of("part", 0, 6 << 20)).unwrap();
    let put = ["s3api", "upload-part", "--part-number", "1", "--body", text(&body)];
    let first = query(&[&put[..], &of].concat(), "ETag");
    let copy = ["s3api", "upload-part-copy", "--part-number", "2", "--copy-source", "first/moved.bin"];
    let range = ["--copy-source-range", "bytes=100-199"];
    let second = query(&[&copy[..], &range, &of].concat(), "CopyPartResult.ETag");
    assert_eq!(query(&[&["s3api", "list-parts"][..], &of].concat(), "length(Parts)"), "2");
    let uploads = query(&["s3api", "list-multipart-uploads", "--bucket", "first"], "Uploads[].Key");
    assert_eq!(uploads, "parts");
    let bare = |etag: &str| etag.trim_matches('"').to_owned();
    let list = format!(
        r#"{{"Parts":[{{"PartNumber":1,"ETag":"{}"}},{{"PartNumber":2,"ETag":"{}"}}]}}"#,
        bare(&first),
        bare(&second)
    );
    run(&[&["s3api", "complete-multipart-upload", "--multipart-upload", &list][..], &of].concat());
    let whole = tour.scratch("whole");
    run(&[&["s3api", "get-object"][..], &at, &[text(&whole)]].concat());
    let expected = [stream_of("part", 0, 6 << 20), stream_of("large file.bin", 100, 100)].concat();
    assert!(fs::read(&whole).unwrap() == expected, "the parts differ");
    let pages = ["s3api", "list-objects-v2", "--bucket", "first", "--page-size", "2", "--delimiter", "/"];
    assert_eq!(
        query(&pages, "CommonPrefixes[].Prefix").split_whitespace().collect::<Vec<_>>(),
        ["in/", "synced/"]
    );
}

/// A bucket that keeps versions: an old one read, a marker taken away, all of them removed.
fn versions(run: &dyn Fn(&[&str]) -> String, refused: &dyn Fn(&[&str], &str)) {
    let query = |args: &[&str], what: &str| {
        run(&[args, &["--query", what, "--output", "text"]].concat()).trim().to_owned()
    };
    let bucket = ["--bucket", "kept"];
    let at = ["--bucket", "kept", "--key", "k"];
    run(&[&["s3api", "create-bucket"][..], &bucket].concat());
    let set = ["s3api", "put-bucket-versioning", "--versioning-configuration", "Status=Enabled"];
    run(&[&set[..], &bucket].concat());
    assert_eq!(query(&[&["s3api", "get-bucket-versioning"][..], &bucket].concat(), "Status"), "Enabled");
    let put = [&["s3api", "put-object"][..], &at].concat();
    let first = query(&put, "VersionId");
    query(&put, "VersionId");
    run(&[&["s3api", "delete-object"][..], &at].concat());
    refused(&[&["s3api", "head-object"][..], &at].concat(), "404");
    run(&[&["s3api", "head-object", "--version-id", &first][..], &at].concat());
    let all = [&["s3api", "list-object-versions"][..], &bucket].concat();
    let ids = query(&all, "[Versions[].VersionId, DeleteMarkers[].VersionId][]");
    assert_eq!(ids.split_whitespace().count(), 3, "{ids}");
    for id in ids.split_whitespace() {
        run(&[&["s3api", "delete-object", "--version-id", id][..], &at].concat());
    }
    run(&[&["s3api", "delete-bucket"][..], &bucket].concat());
}

#[test]
fn aws_current() {
    tour(&venv_program("aws").unwrap());
}

#[test]
fn aws_debian() {
    tour(Path::new("/usr/bin/aws"));
}
