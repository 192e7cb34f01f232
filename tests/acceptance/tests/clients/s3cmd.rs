//! s3cmd, with its own signatures, listings and checksums.

use super::*;

#[test]
fn s3cmd() {
    let tour = Tour::new();
    let config = tour.scratch("s3cfg");
    let host = tour.keys.authority();
    let settings = format!(
        "[default]\naccess_key = {}\nsecret_key = {}\nhost_base = {host}\nhost_bucket = {host}\nuse_https = False\n\
         bucket_location = us-east-1\nmultipart_chunk_size_mb = 5\n",
        tour.keys.access_key, tour.keys.secret_key
    );
    fs::write(&config, settings).unwrap();
    fs::create_dir_all(&tour.down).unwrap();
    let tool = |args: &[&str]| {
        Tool::new(Path::new("/usr/bin/s3cmd")).arg("-c").arg(&config).arg("--no-progress").args(args)
    };
    let run = |args: &[&str]| tour.run(tool(args));
    let (up, down) = (format!("{}/", tour.up.display()), format!("{}/", tour.down.display()));
    let lines = |place: &str| run(&["ls", "--recursive", place]).lines().count();

    run(&["mb", "s3://second"]);
    assert!(run(&["ls"]).contains("s3://second"));
    assert!(run(&["info", "s3://second"]).contains("Location:  us-east-1"));
    run(&["put", "--recursive", &up, "s3://second/in/"]);
    assert_eq!(lines("s3://second"), 4);
    run(&["get", "--recursive", "s3://second/in/", &down]);
    assert_same(&tour.up, &tour.down);
    assert!(run(&["ls", "--list-md5", "s3://second/in/small.txt"]).contains(&md5(&tour, "small.txt")));
    run(&["cp", "s3://second/in/small.txt", "s3://second/copy.txt"]);
    assert!(run(&["info", "s3://second/copy.txt"]).contains("4000"));
    run(&["cp", "--recursive", "s3://second/in/", "s3://second/again/"]);
    assert_eq!(lines("s3://second/again/"), 4);
    run(&["mv", "s3://second/copy.txt", "s3://second/moved to/ü+.txt"]);
    let one = tour.scratch("one");
    run(&["get", "s3://second/moved to/ü+.txt", text(&one)]);
    assert_eq!(fs::read(&one).unwrap(), stream_of("small.txt", 0, 4000));
    assert!(tour.try_run(tool(&["get", "s3://second/copy.txt", text(&tour.scratch("none"))])).is_err());
    assert!(run(&["du", "s3://second/in/"]).contains("21704000"));
    run(&["modify", "--add-header", "x-amz-meta-colour:blue", "s3://second/in/small.txt"]);
    assert!(run(&["info", "s3://second/in/small.txt"]).contains("x-amz-meta-colour: blue"));
    run(&["put", "--mime-type", "text/x-plain", text(&tour.up.join("small.txt")), "s3://second/typed"]);
    assert!(run(&["info", "s3://second/typed"]).contains("text/x-plain"));

    run(&["sync", &up, "s3://second/synced/"]);
    assert!(!run(&["sync", &up, "s3://second/synced/"]).contains("upload:"), "nothing is left to do");
    fs::write(tour.up.join("small.txt"), "changed").unwrap();
    fs::remove_file(tour.up.join("empty")).unwrap();
    let done = run(&["sync", "--delete-removed", &up, "s3://second/synced/"]);
    assert!(done.contains("upload:") && done.contains("delete:"), "{done}");
    let back = tour.scratch("back");
    fs::create_dir_all(&back).unwrap();
    run(&["sync", "s3://second/synced/", &format!("{}/", back.display())]);
    assert_same(&tour.up, &back);

    let link = run(&["signurl", "s3://second/synced/small.txt", "+600"]);
    let curl = Tool::new(Path::new("/usr/bin/curl")).args(&["--silent", "--fail", link.trim()]);
    assert_eq!(tour.run(curl), "changed");
    run(&["multipart", "s3://second"]);
    run(&["del", "s3://second/typed"]);
    run(&["del", "--recursive", "--force", "s3://second/in/"]);
    assert_eq!(lines("s3://second/in/"), 0);
    assert!(tour.try_run(tool(&["rb", "s3://second"])).is_err(), "it is not empty");
    run(&["del", "--recursive", "--force", "s3://second"]);
    run(&["rb", "s3://second"]);
    assert_eq!(run(&["ls"]), "");
    tour.end("s3cmd");
}

/// The MD5 of a file, by another program.
fn md5(tour: &Tour, name: &str) -> String {
    let said = Tool::new(Path::new("/usr/bin/md5sum")).arg(tour.up.join(name)).run().unwrap();
    said.split_whitespace().next().unwrap().to_owned()
}
