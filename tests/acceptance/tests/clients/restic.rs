//! Backups: many small objects, locks, listings, packs read back in ranges, and prunes that delete.

use super::*;

#[test]
fn restic() {
    let tour = Tour::new();
    let repository = format!("s3:{}/backups", tour.keys.endpoint);
    let tool = |args: &[&str]| {
        let tool = Tool::new(Path::new("/usr/bin/restic")).args(&["--no-cache", "--repo", &repository]);
        tool.args(args).env("RESTIC_PASSWORD", "secret")
    };
    let run = |args: &[&str]| tour.run(tool(args));
    let snapshots =
        || run(&["snapshots", "--compact"]).lines().filter(|line| line.contains("localhost")).count();
    let up = text(&tour.up);
    let backup = |tag: &str| run(&["backup", "--host", "localhost", "--tag", tag, up]);

    run(&["init"]);
    assert!(tour.try_run(tool(&["init"])).is_err(), "a repository is not made twice");
    backup("one");
    // What is restored from the first snapshot, long after it was made.
    let first = tour.scratch("first");
    make_files(&first);
    for round in 0..4_u64 {
        fs::write(tour.up.join("small.txt"), format!("changed {round}")).unwrap();
        fs::write(tour.up.join(format!("more {round}")), stream_of("more", round, 300_000)).unwrap();
        backup("more");
    }
    assert_eq!(snapshots(), 5);
    assert!(run(&["stats", "--mode", "raw-data"]).contains("Snapshots processed"));
    assert!(run(&["check", "--read-data"]).contains("no errors were found"));
    assert!(run(&["ls", "latest"]).contains("large file.bin"));
    assert!(run(&["find", "more 3"]).contains("more 3"));
    let shown = run(&["dump", "latest", text(&tour.up.join("small.txt"))]);
    assert_eq!(shown, "changed 3");
    let (one, last) =
        (id(&run(&["snapshots", "--json", "--tag", "one"])), id(&run(&["snapshots", "--json", "latest"])));
    assert!(run(&["diff", &one, &last]).contains("more 2"));
    run(&["tag", "--add", "kept", "--tag", "one"]);
    assert!(run(&["snapshots", "--tag", "kept"]).contains("kept"));

    let old = tour.scratch("old");
    run(&["restore", "--tag", "one", "latest", "--target", text(&old)]);
    assert_same(&first, &old.join(tour.up.strip_prefix("/").unwrap()));
    run(&["forget", "--tag", "more", "--keep-last", "1", "--prune"]);
    assert_eq!(snapshots(), 2);
    assert!(run(&["check", "--read-data"]).contains("no errors were found"));
    run(&["restore", "latest", "--target", text(&tour.down)]);
    assert_same(&tour.up, &tour.down.join(tour.up.strip_prefix("/").unwrap()));

    // A second password, and the first one gone.
    let password = tour.scratch("password");
    fs::write(&password, "other").unwrap();
    run(&["key", "add", "--new-password-file", text(&password)]);
    assert!(run(&["key", "list"]).lines().count() >= 4);
    let other = |args: &[&str]| tour.run(tool(args).env("RESTIC_PASSWORD", "other"));
    assert!(other(&["snapshots"]).contains("2 snapshots"));
    for what in ["index", "packs", "blobs", "keys", "locks"] {
        run(&["list", what]);
    }
    run(&["rebuild-index"]);
    run(&["unlock"]);
    run(&["prune", "--max-unused", "0"]);
    assert!(run(&["check", "--read-data"]).contains("no errors were found"));
    tour.end("restic");
}

/// The first snapshot's name in a listing.
fn id(json: &str) -> String {
    let listed: serde_json::Value = serde_json::from_str(json).unwrap();
    listed[0]["short_id"].as_str().unwrap().to_owned()
}
