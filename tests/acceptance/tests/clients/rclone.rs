//! rclone, on both protocols: the same tour, and what one has stored the other finds.

use super::*;

const USERS: &str = r#"
[[swift.users]]
account = "test"
user = "tester"
key = "testing"
roles = ["admin"]
"#;

#[test]
fn rclone_s3() {
    let tour = Tour::new();
    let remote = format!(
        ":s3,provider=Other,access_key_id={},secret_access_key={},endpoint='{}':",
        tour.keys.access_key, tour.keys.secret_key, tour.keys.endpoint
    );
    round(&tour, &remote);
    // Of uploads that were left.
    tour.run(Tool::new(Path::new("/usr/bin/rclone")).args(&["cleanup", &remote]));
    tour.end("rclone, S3");
}

#[test]
fn rclone_swift() {
    let server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).config(USERS).start().unwrap();
    let tour = Tour::on(server);
    let url = format!("http://127.0.0.1:{}/auth/v1.0", tour.server.swift_port());
    round(
        &tour,
        &format!(":swift,auth='{url}',user='test:tester',key=testing,auth_version=1,chunk_size=5Mi:"),
    );
    tour.end("rclone, Swift");
}

fn round(tour: &Tour, remote: &str) {
    let tool = |args: &[&str]| {
        let config = tour.scratch("rclone.conf");
        Tool::new(Path::new("/usr/bin/rclone")).arg("--config").arg(config).args(args)
    };
    let run = |args: &[&str]| tour.run(tool(args));
    let at = |path: &str| format!("{remote}{path}");
    let (up, down) = (text(&tour.up), text(&tour.down));
    let third = at("third");
    let count = |place: &str| run(&["lsf", "-R", "--files-only", place]).lines().count();

    run(&["mkdir", &third]);
    assert!(run(&["lsd", remote]).contains("third"));
    run(&["copy", up, &third]);
    run(&["check", "--download", up, &third]);
    run(&["copy", &third, down]);
    assert_same(&tour.up, &tour.down);
    assert_eq!(run(&["ls", &third]).lines().count(), 4);
    assert!(run(&["lsl", &third]).contains("21000000"));
    assert!(run(&["size", &third]).contains("21704000"));
    assert!(run(&["md5sum", &at("third/small.txt")]).contains("small.txt"));
    let expected = stream_of("large file.bin", 6_000_000, 50);
    let part = run(&["cat", "--offset", "6000000", "--count", "50", &at("third/large file.bin")]);
    assert_eq!(part, String::from_utf8_lossy(&expected));
    run(&["copyto", &at("third/small.txt"), &at("third/sub/ü name.txt")]);
    run(&["moveto", &at("third/sub/ü name.txt"), &at("third/sub/deep/er.txt")]);
    assert!(run(&["lsf", "-R", &third]).contains("sub/deep/er.txt"));
    assert!(run(&["tree", &third]).contains("er.txt"));
    assert!(!run(&["lsf", "-R", &third]).contains("ü name.txt"), "what was moved is not there any more");
    let again = tool(&["copyurl", &format!("{}/none", tour.keys.endpoint), &at("third/none")]);
    assert!(tour.try_run(again).is_err(), "a failed download leaves nothing");

    assert!(run(&["sync", "--dry-run", "-v", up, &at("third/synced")]).is_empty());
    run(&["sync", up, &at("third/synced")]);
    assert_eq!(count(&at("third/synced")), 4);
    fs::write(tour.up.join("small.txt"), "changed").unwrap();
    fs::remove_file(tour.up.join("empty")).unwrap();
    run(&["sync", up, &at("third/synced")]);
    run(&["check", "--download", up, &at("third/synced")]);
    assert_eq!(run(&["cat", &at("third/synced/small.txt")]), "changed");
    run(&["mkdir", &at("fourth")]);
    run(&["sync", &at("third/synced"), &at("fourth/on the server")]);
    let back = tour.scratch("back");
    run(&["copy", &at("fourth/on the server"), text(&back)]);
    assert_same(&tour.up, &back);
    run(&["move", &at("fourth"), &at("third/moved")]);
    assert_eq!(count(&at("fourth")), 0);
    run(&["touch", &at("third/touched")]);
    assert!(run(&["lsjson", &third]).contains("touched"));
    run(&["deletefile", &at("third/touched")]);
    run(&["delete", "--include", "*.bin", &at("third/synced")]);
    assert_eq!(count(&at("third/synced")), 1);
    run(&["rmdirs", &at("fourth")]);
    run(&["purge", &third]);
    assert!(run(&["lsf", remote]).lines().all(|name| name != "third/"));
}
