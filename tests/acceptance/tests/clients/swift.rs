//! python-swiftclient, as it is now and as Debian has it, by version 1 authentication and by Keystone.

use super::*;
use std::time::{Duration, Instant};

const USERS: &str = r#"
[[swift.users]]
account = "test"
user = "tester"
key = "testing"
roles = ["admin"]

[[swift.users]]
account = "test"
user = "guest"
key = "guesting"
"#;
const LARGE: usize = 21_000_000;

/// `swift`, as one user.
struct Swift {
    tour: Tour,
    program: PathBuf,
    /// The first arguments, and the variables: who asks.
    user: Vec<String>,
    env: Vec<(String, String)>,
}

impl Swift {
    fn tool_as(&self, user: &[String], args: &[&str]) -> Tool {
        let tool =
            user.iter().fold(Tool::new(&self.program), Tool::arg).clean_home(self.tour.server.scratch());
        self.env.iter().fold(tool, |tool, (name, value)| tool.env(name, value)).args(args)
    }

    fn run(&self, args: &[&str]) -> String {
        self.tour.run(self.tool_as(&self.user, args))
    }

    /// It fails, and says `why`.
    fn refused(&self, args: &[&str], why: &str) {
        let said = self.tour.try_run(self.tool_as(&self.user, args)).expect_err("this is refused");
        assert!(format!("{said:#}").contains(why), "{args:?}, {why}: {said:#}");
    }

    fn lines(&self, args: &[&str]) -> Vec<String> {
        let mut lines: Vec<String> = self.run(args).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// What an object holds.
    fn content(&self, container: &str, object: &str, more: &[&str]) -> Vec<u8> {
        let down = self.tour.scratch("one");
        self.run(&[&["download", container, object, "-o", text(&down)], more].concat());
        fs::read(down).unwrap()
    }

    /// The value that `stat` tells under this name.
    fn told(&self, args: &[&str], name: &str) -> Option<String> {
        let said = self.run(&[&["stat"], args].concat());
        let mut pairs = said.lines().filter_map(|line| line.trim().split_once(": "));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    }

    /// Status and body of a plain request.
    fn curl(&self, args: &[&str]) -> (String, String) {
        let tool = Tool::new(Path::new("/usr/bin/curl")).args(&["--silent", "-w", "\n%{http_code}"]);
        let said = self.tour.run(tool.args(args));
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    }

    fn port(&self) -> String {
        format!("http://127.0.0.1:{}", self.tour.server.swift_port())
    }
}

/// All of it, with any `swift`.
fn tour(swift: &Swift) {
    there_and_back(swift);
    segments(swift);
    metadata_and_copies(swift);
    signed_urls_and_lists(swift);
    versions(swift);
    limits(swift);
    removal(swift);
}

/// Up, listed, down and compared.
fn there_and_back(swift: &Swift) {
    let said: serde_json::Value = serde_json::from_str(&swift.run(&["capabilities", "--json"])).unwrap();
    assert!(said["slo"].is_object() && said["bulk_delete"].is_object(), "{said}");
    assert!(swift.run(&["auth"]).contains("OS_STORAGE_URL="));
    let up = text(&swift.tour.up);

    swift.run(&["post", "first", "-m", "colour:blue"]);
    assert_eq!(swift.told(&["first"], "Meta Colour").unwrap(), "blue");
    swift.run(&["upload", "first", up, "--object-name", "in"]);
    let all = ["in/empty", "in/large file.bin", "in/middle.bin", "in/small.txt"];
    assert_eq!(swift.lines(&["list", "first"]), all);
    assert_eq!(swift.run(&["list", "first", "-d", "/"]), "in/\n");
    assert_eq!(swift.lines(&["list", "first", "-p", "in/m"]), [all[2]]);
    let long = swift.run(&["list", "first", "--long"]);
    assert!(long.contains(" 21000000 ") || long.contains("\n    21000000 "), "{long}");
    assert_eq!(swift.run(&["list", "first", "-l", "-t"]).trim(), "21704000");
    swift.run(&["download", "first", "-p", "in/", "-r", "-D", text(&swift.tour.down)]);
    assert_same(&swift.tour.up, &swift.tour.down);
    let time = |name: &str| swift.told(&["first", name], "X-Timestamp").unwrap();
    let before = time("in/small.txt");
    swift.run(&["upload", "first", up, "--object-name", "in", "--skip-identical"]);
    swift.run(&["upload", "first", up, "--object-name", "in", "--changed"]);
    assert_eq!(time("in/small.txt"), before, "what is there is not sent again");
    let part = swift.content("first", all[1], &["-H", "Range: bytes=6000000-6000099"]);
    assert_eq!(part, stream_of("large file.bin", 6_000_000, 100));
}

/// By name, by prefix, and all that there is.
fn removal(swift: &Swift) {
    // Several at once are one bulk request.
    swift.run(&["delete", "first", "in/empty", "in/large file.bin"]);
    swift.refused(&["delete", "first", "in/empty"], "404");
    swift.run(&["delete", "first", "--prefix", "in/"]);
    assert!(!swift.run(&["list", "first"]).contains("in/"));
    swift.run(&["delete", "--all"]);
    assert_eq!(swift.run(&["list"]), "");
}

/// Large objects of both kinds: whole, in their segments, overwritten, deleted with what they are made of.
fn segments(swift: &Swift) {
    let large = swift.tour.up.join("large file.bin");
    let large = text(&large);
    let segments = || swift.lines(&["list", "first_segments"]).len();
    let upload = ["upload", "-S", "5000000", "first", large, "--object-name"];
    swift.run(&[&upload[..], &["static", "--use-slo"]].concat());
    assert_eq!(segments(), 5);
    // The older one makes dynamic ones by itself and has no word for it.
    let dynamic: &[&str] =
        if swift.run(&["upload", "--help"]).contains("--use-dlo") { &["--use-dlo"] } else { &[] };
    swift.run(&[&upload[..], &["dynamic"], dynamic].concat());
    assert_eq!(segments(), 10);
    for name in ["static", "dynamic"] {
        assert_eq!(swift.told(&["first", name], "Content Length").unwrap(), LARGE.to_string());
        assert!(swift.content("first", name, &[]) == stream_of("large file.bin", 0, LARGE), "{name} differs");
        let part = swift.content("first", name, &["-H", "Range: bytes=4999990-5000009"]);
        assert_eq!(part, stream_of("large file.bin", 4_999_990, 20));
    }
    assert!(swift.told(&["first", "static"], "X-Static-Large-Object").is_some());
    assert!(swift.told(&["first", "dynamic"], "Manifest").is_some());
    // Overwritten, the segments go.
    let small = swift.tour.up.join("small.txt");
    swift.run(&["upload", "first", text(&small), "--object-name", "dynamic"]);
    assert_eq!(segments(), 5);
    swift.run(&["delete", "first", "static", "dynamic"]);
    assert_eq!(segments(), 0);
}

fn metadata_and_copies(swift: &Swift) {
    let object = ["first", "in/small.txt"];
    swift.run(&["post", "first", object[1], "-m", "mood:good", "-H", "Content-Type: text/x-plain"]);
    assert_eq!(swift.told(&object, "Meta Mood").unwrap(), "good");
    assert_eq!(swift.told(&object, "Content Type").unwrap(), "text/x-plain");
    swift.run(&["copy", "-d", "/second/copied", "-m", "size:small", object[0], object[1]]);
    assert_eq!(swift.content("second", "copied", &[]), stream_of("small.txt", 0, 4000));
    assert_eq!(swift.told(&["second", "copied"], "Meta Mood").unwrap(), "good");
    assert_eq!(swift.told(&["second", "copied"], "Meta Size").unwrap(), "small");
    swift.run(&["copy", "-M", "-d", "/second/fresh", object[0], object[1]]);
    assert_eq!(swift.told(&["second", "fresh"], "Meta Mood"), None);
    swift.run(&["post", "-m", "colour:red"]);
    assert_eq!(swift.told(&[], "Meta Colour").unwrap(), "red");
    assert!(swift.told(&[], "Containers").unwrap().parse::<u32>().unwrap() >= 3);
    swift.run(&["post", "first", "-m", "colour:"]);
    assert_eq!(swift.told(&["first"], "Meta Colour"), None);
}

/// Who is not known gets in by a signed URL, or by a list.
fn signed_urls_and_lists(swift: &Swift) {
    swift.run(&["post", "-m", "Temp-URL-Key:secret"]);
    let account = swift.told(&[], "Account").unwrap();
    let path = |object: &str| format!("/v1/{account}/second/{object}");
    let signed = |method: &str, object: &str| {
        let url = swift.run(&["tempurl", method, "600", &path(object), "secret"]);
        format!("{}{}", swift.port(), url.trim())
    };
    let url = signed("GET", "copied");
    let (status, body) = swift.curl(&[&url]);
    assert_eq!(status, "200");
    assert!(body == String::from_utf8_lossy(&stream_of("small.txt", 0, 4000)), "it differs");
    assert_eq!(swift.curl(&["-X", "DELETE", &url]).0, "401");
    assert_eq!(swift.curl(&[&url.replace("copied", "fresh")]).0, "401");
    assert_eq!(swift.curl(&["-X", "PUT", "-d", "by url", &signed("PUT", "put")]).0, "201");
    assert_eq!(swift.content("second", "put", &[]), b"by url");

    let plain = format!("{}{}", swift.port(), path("put"));
    assert_eq!(swift.curl(&[&plain]).0, "401");
    swift.run(&["post", "second", "-r", ".r:*"]);
    assert_eq!(swift.curl(&[&plain]), ("200".to_owned(), "by url".to_owned()));
    assert_eq!(swift.told(&["second"], "Read ACL").unwrap(), ".r:*");
    swift.run(&["post", "second", "-r", ""]);
    assert_eq!(swift.curl(&[&plain]).0, "401");
}

/// Containers that keep what was overwritten: by versions, and in another container.
fn versions(swift: &Swift) {
    let files = ["one", "two"].map(|name| {
        let file = swift.tour.scratch(name);
        fs::write(&file, name).unwrap();
        file
    });
    swift.run(&["post", "kept", "-H", "X-Versions-Enabled: true"]);
    let put = |container: &str| {
        for file in &files {
            swift.run(&["upload", container, text(file), "--object-name", "o"]);
        }
    };
    put("kept");
    let listed = swift.run(&["list", "kept", "--versions"]);
    let ids: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().nth(3)).collect();
    assert_eq!(ids.len(), 2, "{listed}");
    assert_eq!(swift.content("kept", "o", &[]), b"two");
    assert_eq!(swift.content("kept", "o", &["--version-id", ids[1]]), b"one");
    swift.run(&["delete", "kept", "o"]);
    assert_eq!(swift.run(&["list", "kept"]), "");
    swift.run(&["delete", "kept", "--versions"]);

    swift.run(&["post", "archive"]);
    swift.run(&["post", "stack", "-H", "X-Versions-Location: archive"]);
    put("stack");
    assert_eq!(swift.lines(&["list", "archive"]).len(), 1);
    swift.run(&["delete", "stack", "o"]);
    assert_eq!(swift.content("stack", "o", &[]), b"one", "the one before is back");
    swift.run(&["post", "stack", "-H", "X-Versions-Location:"]);
}

/// What expires goes; what is too much, or is not there, is refused.
fn limits(swift: &Swift) {
    let small = swift.tour.up.join("small.txt");
    swift.run(&["upload", "second", text(&small), "--object-name", "brief", "-H", "X-Delete-After: 2"]);
    let began = Instant::now();
    while swift.tour.try_run(swift.tool_as(&swift.user, &["stat", "second", "brief"])).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not expire");
    }
    swift.run(&["post", "small", "-H", "X-Container-Meta-Quota-Bytes: 10"]);
    swift.refused(&["upload", "small", text(&small)], "413");
    assert_eq!(swift.run(&["list", "small"]), "");
    swift.refused(&["list", "none"], "not found");
    swift.refused(&["download", "first", "none", "-o", "-"], "not found");
    swift.refused(&["stat", "first", "none"], "404");
}

/// By the names and keys of the settings.
fn by_version_1(program: &Path) -> Swift {
    let server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).config(USERS).start().unwrap();
    let url = format!("http://127.0.0.1:{}/auth/v1.0", server.swift_port());
    let user = ["-A", &url, "-U", "test:tester", "-K", "testing"].map(str::to_owned).to_vec();
    Swift { tour: Tour::on(server), program: program.to_owned(), user, env: Vec::new() }
}

/// An owner, a user without roles, one whose key is wrong: before and after a list lets the second in.
fn guests(swift: &Swift) {
    let of = |name: &str, key: &str| {
        let mut user = swift.user.clone();
        (user[3], user[5]) = (format!("test:{name}"), key.to_owned());
        user
    };
    let (guest, forger) = (of("guest", "guesting"), of("tester", "wrong"));
    let attempt = |user: &[String], args: &[&str]| swift.tour.try_run(swift.tool_as(user, args));
    let file = swift.tour.scratch("for the guest");
    fs::write(&file, "for the guest").unwrap();
    swift.run(&["upload", "shared", text(&file), "--object-name", "file"]);
    let download = ["download", "shared", "file", "-o", "-"];
    for refused in [&["list", "shared"][..], &download, &["list"]] {
        let said = format!("{:#}", attempt(&guest, refused).expect_err("a guest is not let in"));
        assert!(said.contains("403") || said.contains("Forbidden"), "{said}");
    }
    swift.run(&["post", "shared", "-r", "test:guest"]);
    assert_eq!(attempt(&guest, &download).unwrap(), "for the guest");
    assert!(attempt(&guest, &["delete", "shared", "file"]).is_err(), "a reader does not write");
    swift.run(&["post", "shared", "-w", "test:guest"]);
    attempt(&guest, &["delete", "shared", "file"]).unwrap();
    assert!(attempt(&forger, &["list"]).is_err(), "a wrong key opens nothing");
}

#[test]
fn swiftclient_current() {
    let swift = by_version_1(&venv_program("swift").unwrap());
    guests(&swift);
    tour(&swift);
    swift.tour.end("swift, current");
}

#[test]
fn swiftclient_debian() {
    let swift = by_version_1(Path::new("/usr/bin/swift"));
    tour(&swift);
    swift.tour.end("swift, Debian's");
}

#[test]
fn swiftclient_by_keystone() {
    let server = server();
    let env = server.openrc().unwrap();
    let program = venv_program("swift").unwrap();
    let swift = Swift { tour: Tour::on(server), program, user: Vec::new(), env };
    there_and_back(&swift);
    segments(&swift);
    removal(&swift);
    swift.tour.end("swift, by Keystone");
}

/// A stop and a start: what was stored is there, and so is what was said about the account.
#[test]
fn accounts_outlive_a_restart() {
    let mut swift = by_version_1(&venv_program("swift").unwrap());
    swift.run(&["post", "-m", "colour:blue"]);
    swift.run(&["post", "kept"]);
    swift.tour.server.kill();
    swift.tour.server.start().unwrap();
    assert_eq!(swift.told(&[], "Meta Colour").unwrap(), "blue");
    assert_eq!(swift.told(&[], "Containers").unwrap(), "1");
}
