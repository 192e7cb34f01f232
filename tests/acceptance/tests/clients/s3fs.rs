//! A bucket as a folder: whole files rewritten for each change, folders as objects, renames as copies.

use super::*;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A mounted bucket; unmounted when dropped.
struct Mounted {
    at: PathBuf,
    child: Child,
}

impl Mounted {
    fn new(tour: &Tour, bucket: &str, at: &Path) -> Self {
        let password = tour.scratch("passwd-s3fs");
        fs::write(&password, format!("{}:{}", tour.keys.access_key, tour.keys.secret_key)).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir_all(at).unwrap();
        let options = format!(
            "url={},use_path_request_style,passwd_file={},multipart_size=5,stat_cache_expire=1",
            tour.keys.endpoint,
            password.display()
        );
        let child =
            Command::new("/usr/bin/s3fs").arg(bucket).arg(at).args(["-f", "-o", &options]).spawn().unwrap();
        let mounted = Self { at: at.to_owned(), child };
        let begun = Instant::now();
        while !fs::read_to_string("/proc/mounts").unwrap().contains(text(at)) {
            assert!(begun.elapsed() < Duration::from_secs(20), "s3fs does not mount");
            std::thread::sleep(Duration::from_millis(20));
        }
        mounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let program = if Path::new("/usr/bin/fusermount3").exists() { "fusermount3" } else { "fusermount" };
        Command::new(program).arg("-u").arg(&self.at).status().ok();
        self.child.wait().ok();
    }
}

#[test]
fn s3fs() {
    let tour = Tour::new();
    let tool = |program: &str, args: &[&Path]| {
        args.iter().fold(Tool::new(&Path::new("/usr/bin").join(program)), |tool, arg| tool.arg(arg))
    };
    let run = |program: &str, args: &[&Path]| tour.run(tool(program, args));
    let aws = |args: &[&str]| tour.run(Tool::new(&venv_program("aws").unwrap()).args(args));
    aws(&["s3", "mb", "s3://folder"]);
    let mounted = Mounted::new(&tour, "folder", &tour.scratch("mounted"));
    let at = |name: &str| mounted.at.join(name);
    let r = Path::new("-r");

    run("cp", &[r, &tour.up, &at("in")]);
    assert_same(&tour.up, &at("in"));
    for name in ["empty", "small.txt", "middle.bin", "large file.bin"] {
        run("cmp", &[&tour.up.join(name), &at("in").join(name)]);
    }
    assert_eq!(run("ls", &[&at("in")]).lines().count(), 4);
    run("mkdir", &[&at("more")]);
    run("cp", &[&at("in/small.txt"), &at("more/copied ü.txt")]);
    run("mv", &[&at("more/copied ü.txt"), &at("more/renamed")]);
    run("mv", &[&at("more"), &at("other")]);
    run("cmp", &[&at("other/renamed"), &tour.up.join("small.txt")]);
    run("ln", &[Path::new("-s"), Path::new("in/small.txt"), &at("link")]);
    assert_eq!(run("readlink", &[&at("link")]).trim(), "in/small.txt");
    run("cmp", &[&at("link"), &tour.up.join("small.txt")]);
    run("chmod", &[Path::new("640"), &at("in/small.txt")]);
    assert!(run("stat", &[Path::new("--format=%a"), &at("in/small.txt")]).contains("640"));
    run("truncate", &[Path::new("--size=1000"), &at("other/renamed")]);
    run("truncate", &[Path::new("--size=3000"), &at("other/renamed")]);
    let expected = [&stream_of("small.txt", 0, 1000)[..], &[0; 2000]].concat();
    assert!(fs::read(at("other/renamed")).unwrap() == expected, "cut and made longer, it differs");
    // In the middle of what was uploaded in parts, and at its end.
    let mut file = fs::OpenOptions::new().write(true).open(at("in/large file.bin")).unwrap();
    file.seek(SeekFrom::Start(10_000_000)).unwrap();
    file.write_all(b"changed").unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"more").unwrap();
    file.sync_all().unwrap();
    drop(file);
    let mut expected = stream_of("large file.bin", 0, 21_000_000).to_vec();
    expected[10_000_000..10_000_007].copy_from_slice(b"changed");
    expected.extend_from_slice(b"more");
    assert!(fs::read(at("in/large file.bin")).unwrap() == expected, "a changed file differs");
    assert!(run("du", &[Path::new("-sb"), &at("in")]).contains("21704004"));
    assert!(run("find", &[&mounted.at, Path::new("-name"), Path::new("*.bin")]).lines().count() == 2);
    assert!(tour.try_run(tool("cat", &[&at("none")])).is_err());
    assert!(tour.try_run(tool("rmdir", &[&at("in")])).is_err(), "it is not empty");
    run("df", &[&mounted.at]);
    // Another client sees what was written, and its objects are seen here.
    let outside = tour.scratch("outside");
    aws(&["s3", "cp", "s3://folder/in/large file.bin", text(&outside)]);
    assert!(fs::read(&outside).unwrap() == expected, "by S3 it differs");
    aws(&["s3", "cp", text(&tour.up.join("middle.bin")), "s3://folder/other/by s3"]);
    assert_eq!(run("ls", &[&at("other")]).lines().count(), 2);
    run("cmp", &[&at("other/by s3"), &tour.up.join("middle.bin")]);
    run("rm", &[&at("link")]);
    run("rm", &[r, &at("other")]);
    drop(mounted);
    // Mounted again, nothing of it came from a cache.
    let again = Mounted::new(&tour, "folder", &tour.scratch("again"));
    run("cmp", &[&again.at.join("in/large file.bin"), &outside]);
    run("rm", &[r, &again.at.join("in")]);
    assert_eq!(run("ls", &[&again.at]), "");
    drop(again);
    assert_eq!(aws(&["s3", "ls", "--recursive", "s3://folder"]), "");
    aws(&["s3", "rb", "s3://folder"]);
    tour.end("s3fs");
}
