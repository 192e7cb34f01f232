//! What breaks the identity service: a full disk, a database that is locked or damaged, tokens that are none, clients that
//! dawdle. Each is answered in the words of its dialect, and nothing that was acknowledged is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ringfort_acceptance::{Server, TmpFs, Tool, until, venv_program};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take to answer, busy or not.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

fn server(config: &str) -> Server {
    Server::with(&["--devices", "3", "--policy", "replicated:3"]).config(config).start().unwrap()
}

/// A reply: all of it as text, in two.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// A refusal in Keystone's words.
    fn is_keystone_error(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        let told = self.json();
        assert_eq!(told["error"]["code"], status, "{self:?}");
        assert!(told["error"]["title"].is_string() && told["error"]["message"].is_string(), "{self:?}");
    }
}

/// One request on a connection of its own.
fn call(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(ANSWER_LIMIT)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    // It may refuse, and close, before it has taken all.
    stream.write_all(head.as_bytes()).ok();
    stream.write_all(body.as_bytes()).ok();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).ok();
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// The identity port as the administrator meets it.
struct Cloud<'s> {
    server: &'s Server,
    token: String,
    user: String,
    project: String,
}

fn log_in_as(server: &Server, user: &str, password: &str, scope: bool) -> Answer {
    let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": {
        "name": user, "domain": {"id": "default"}, "password": password}}}});
    if scope {
        auth["scope"] = json!({"project": {"name": "admin", "domain": {"id": "default"}}});
    }
    let body = json!({"auth": auth}).to_string();
    let headers = [("content-type", "application/json")];
    call(server.identity_port(), "POST", "/v3/auth/tokens", &headers, &body)
}

fn admin_password(server: &Server) -> String {
    let openrc = server.openrc().unwrap();
    openrc.into_iter().find(|(name, _)| name == "OS_PASSWORD").unwrap().1
}

impl<'s> Cloud<'s> {
    fn log_in(server: &'s Server) -> Self {
        let answer = log_in_as(server, "admin", &admin_password(server), true);
        assert_eq!(answer.status, 201, "{answer:?}");
        let token = answer.json();
        let id = |of: &str| token["token"][of]["id"].as_str().unwrap().to_owned();
        let (user, project) = (id("user"), id("project"));
        Self { server, token: answer.header("x-subject-token").unwrap().to_owned(), user, project }
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers = [("x-auth-token", &*self.token), ("content-type", "application/json")];
        call(self.server.identity_port(), method, path, &headers, body)
    }

    fn make_project(&self, name: &str) -> Answer {
        self.call("POST", "/v3/projects", &json!({"project": {"name": name}}).to_string())
    }

    fn projects(&self) -> Vec<String> {
        let told = self.call("GET", "/v3/projects", "");
        assert_eq!(told.status, 200, "{told:?}");
        let told = told.json();
        let names = told["projects"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    fn swift(&self, method: &str, token: &str, path: &str) -> Answer {
        let path = format!("/v1/AUTH_{}{path}", self.project);
        call(self.server.swift_port(), method, &path, &[("x-auth-token", token)], "")
    }
}

fn database(server: &Server) -> PathBuf {
    server.data().join("identity/identity.db")
}

fn no_panic(server: &Server) {
    let log = server.log_text();
    assert!(!log.contains("panicked"), "{}", server.log_tail());
}

/// A file that takes what room is left.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    for size in [65_536, 4096, 512, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    path
}

#[test]
fn a_full_disk_refuses_changes_and_answers_the_rest() {
    let mut server = server("");
    let cloud = Cloud::log_in(&server);
    assert_eq!(cloud.make_project("kept").status, 201);
    server.stop().unwrap();
    // The same folder on a disk that is soon full.
    let (folder, aside) = (server.data().join("identity"), server.scratch().join("aside"));
    fs::rename(&folder, &aside).unwrap();
    let disk = TmpFs::mount(&folder, 4).unwrap();
    for entry in fs::read_dir(&aside).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, disk.path().join(from.file_name().unwrap())).unwrap();
    }
    server.start().unwrap();
    let cloud = Cloud::log_in(&server);
    let filler = fill(disk.path());
    let mut refused = 0;
    for number in 0..200 {
        let answer = cloud.make_project(&format!("number {number}"));
        if answer.status != 201 {
            answer.is_keystone_error(503);
            refused += 1;
            if refused == 3 {
                break;
            }
        }
    }
    assert_eq!(refused, 3, "the disk is not full");
    let before = cloud.projects();
    assert!(before.contains(&"kept".to_owned()), "{before:?}");
    assert_eq!(cloud.swift("GET", &cloud.token, "").status, 204, "a token opens the object store");
    let again = Cloud::log_in(&server);
    assert_eq!(again.projects(), before);
    let wrong = log_in_as(&server, "admin", "wrong", false);
    assert!(matches!(wrong.status, 401 | 503), "{wrong:?}");
    wrong.is_keystone_error(wrong.status);

    // Room is made while it runs, and used up once more.
    fs::remove_file(&filler).unwrap();
    assert_eq!(cloud.make_project("between").status, 201);
    let before = cloud.projects();
    let filler = fill(disk.path());

    // Killed and started on the full disk.
    server.kill();
    let started = server.start();
    println!("started on a full disk: {}", started.is_ok());
    fs::remove_file(&filler).unwrap();
    if started.is_err() {
        server.start().unwrap();
    }
    let cloud = Cloud::log_in(&server);
    assert_eq!(cloud.projects(), before, "what was acknowledged is there, what was refused is not");
    assert_eq!(cloud.make_project("after").status, 201, "there is room again");
    no_panic(&server);
    server.stop().unwrap();
}

/// Another process that holds the database's write lock until it is dropped.
struct Lock(Child);

impl Lock {
    fn take(database: &Path) -> Self {
        let script = "import sqlite3, sys\nopen = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                      open.execute('BEGIN IMMEDIATE')\nprint('locked', flush=True)\nsys.stdin.read()\n";
        let mut child = Command::new(venv_program("python").unwrap())
            .args(["-c", script])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "locked\n");
        Self(child)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_locked_database_is_busy_for_writers_alone() {
    let server = server("");
    let cloud = Cloud::log_in(&server);
    let lock = Lock::take(&database(&server));
    std::thread::scope(|scope| {
        let began = Instant::now();
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let cloud = &cloud;
                scope.spawn(move || cloud.make_project(&format!("busy {number}")))
            })
            .collect();
        // Meanwhile whoever only reads is served.
        assert_eq!(cloud.projects(), ["admin"]);
        assert_eq!(Cloud::log_in(&server).swift("GET", &cloud.token, "").status, 204);
        assert!(began.elapsed() < Duration::from_secs(4), "readers waited for {:?}", began.elapsed());
        for writer in writers {
            writer.join().unwrap().is_keystone_error(503);
        }
        assert!(began.elapsed() < ANSWER_LIMIT, "the last writer waited for {:?}", began.elapsed());
    });
    drop(lock);
    assert_eq!(cloud.projects(), ["admin"], "what was refused is not there");
    assert_eq!(cloud.make_project("after").status, 201);
    no_panic(&server);
}

#[test]
fn a_damaged_database_is_refused_and_left_as_it_is() {
    let mut server = server("");
    assert_eq!(Cloud::log_in(&server).make_project("kept").status, 201);
    server.stop().unwrap();
    let path = database(&server);
    let good = fs::read(&path).unwrap();
    let mut no_header = good.clone();
    no_header[..100].fill(0xff);
    let mut no_schema = good.clone();
    no_schema[100..4096].fill(0xff);
    for (name, damaged) in
        [("no header", no_header), ("no schema", no_schema), ("cut off", good[..4096].to_vec())]
    {
        for end in ["-wal", "-shm"] {
            fs::remove_file(path.with_file_name(format!("identity.db{end}"))).ok();
        }
        fs::write(&path, &damaged).unwrap();
        let said = format!("{:#}", server.start().expect_err(name));
        println!("{name}: {}", said.lines().last().unwrap_or_default());
        assert!(said.contains("identity"), "{name}: {said}");
        assert!(!said.contains("panicked"), "{name}: {said}");
        assert!(fs::read(&path).unwrap() == damaged, "{name}: the file was changed");
    }
    fs::write(&path, &good).unwrap();
    server.start().unwrap();
    assert_eq!(Cloud::log_in(&server).projects(), ["admin", "kept"]);
}

#[test]
fn tokens_that_are_none_open_nothing() {
    let server = server("");
    let cloud = Cloud::log_in(&server);
    assert_eq!(cloud.swift("PUT", &cloud.token, "/box").status, 201);
    let real = cloud.token.clone();
    let (middle, half) = (real.len() / 2, real.len() / 4);
    let flipped = |at: usize| {
        let other = if &real[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &real[..at], &real[at + 1..])
    };
    let forged: Vec<(&str, String)> = vec![
        ("no token", String::new()),
        ("a word", "token".to_owned()),
        ("begins so", "gAAAAA".to_owned()),
        ("the time changed", flipped(8)),
        ("the inside changed", flipped(middle)),
        ("the signature changed", flipped(real.len() - 8)),
        ("cut off", real[..half].to_owned()),
        ("cut off by a letter", real[..real.len() - 1].to_owned()),
        ("twice", format!("{real}{real}")),
        ("too long", "g".repeat(7000)),
        ("no letters", "%00\u{e9}/../=".to_owned()),
        ("of another kind", "AUTH_tk0123456789abcdef0123456789abcdef".to_owned()),
    ];
    for (name, token) in &forged {
        for (method, path) in
            [("GET", ""), ("GET", "/box"), ("PUT", "/box/o"), ("DELETE", "/box"), ("POST", "")]
        {
            let answer = cloud.swift(method, token, path);
            assert_eq!(answer.status, 401, "{name}, {method} {path}: {answer:?}");
            assert!(answer.body.contains("Unauthorized"), "{name}: {answer:?}");
            assert!(
                answer.header("www-authenticate").is_some_and(|realm| realm.starts_with("Swift")),
                "{name}"
            );
        }
        let headers = [("x-auth-token", &**token)];
        call(server.identity_port(), "GET", "/v3/projects", &headers, "").is_keystone_error(401);
    }
    // A token for no project has no account.
    let unscoped = log_in_as(&server, "admin", &admin_password(&server), false);
    if unscoped.json()["token"]["project"].is_null() {
        let token = unscoped.header("x-subject-token").unwrap();
        assert!(matches!(cloud.swift("GET", token, "").status, 401 | 403));
    }
    // More of them than any cache holds.
    let threads = 4;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (cloud, real) = (&cloud, &real);
            scope.spawn(move || {
                for number in 0..500 {
                    let token = format!("{}{thread:04}{number:04}", &real[..real.len() - 8]);
                    assert_eq!(cloud.swift("GET", &token, "").status, 401);
                }
            });
        }
    });
    expires(&cloud);
    assert_eq!(cloud.swift("GET", &real, "/box").status, 204, "nothing was stored, nothing removed");
    no_panic(&server);
}

/// A token of a credential that is good for a moment.
fn expires(cloud: &Cloud<'_>) {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]"
    );
    let time = time::OffsetDateTime::now_utc() + Duration::from_secs(3);
    let path = format!("/v3/users/{}/application_credentials", cloud.user);
    let wish = json!({"name": "brief", "expires_at": time.format(format).unwrap()});
    let made = cloud.call("POST", &path, &json!({"application_credential": wish}).to_string());
    assert_eq!(made.status, 201, "{made:?}");
    let made = &made.json()["application_credential"];
    let method = json!({"methods": ["application_credential"],
        "application_credential": {"id": made["id"], "secret": made["secret"]}});
    let body = json!({"auth": {"identity": method}}).to_string();
    let log_in = || call(cloud.server.identity_port(), "POST", "/v3/auth/tokens", &[], &body);
    let issued = log_in();
    let token = issued.header("x-subject-token").expect("a token").to_owned();
    assert_eq!(cloud.swift("GET", &token, "").status, 200);
    until("the token expires", Duration::from_secs(20), || cloud.swift("GET", &token, "").status == 401);
    assert_eq!(cloud.swift("PUT", &token, "/late").status, 401);
    let headers = [("x-auth-token", &*token)];
    call(cloud.server.identity_port(), "GET", "/v3/projects", &headers, "").is_keystone_error(401);
    log_in().is_keystone_error(401);
}

#[test]
fn slow_clients_of_the_identity_port_hold_up_nobody() {
    let config = "[http]\nhead_timeout = \"2 s\"\nstall_timeout = \"2 s\"\nidle_timeout = \"2 s\"\n";
    let server = server(config);
    Cloud::log_in(&server);
    let descriptors = server.descriptors().unwrap();
    let starts = [
        "POST /v3/auth/tokens HTTP/1.1\r\nx: ",
        "POST /v3/auth/tokens HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{\"auth\"",
        "",
    ];
    let slow: Vec<TcpStream> = (0..300)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", server.identity_port())).unwrap();
            stream.set_read_timeout(Some(ANSWER_LIMIT)).unwrap();
            stream.write_all(starts[number % starts.len()].as_bytes()).unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    let cloud = Cloud::log_in(&server);
    assert_eq!(cloud.projects(), ["admin"]);
    println!("a login and a listing beside {} slow clients: {:.1?}", slow.len(), began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    for mut stream in slow {
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).ok();
        let reply = String::from_utf8_lossy(&reply);
        assert!(
            reply.is_empty() || reply.starts_with("HTTP/1.1 408") || reply.starts_with("HTTP/1.1 400"),
            "{reply}"
        );
    }
    assert!(began.elapsed() < ANSWER_LIMIT, "slow clients stayed for {:?}", began.elapsed());
    // The database may have opened a connection or two more.
    until("what they held is released", ANSWER_LIMIT, || server.descriptors().unwrap() <= descriptors + 20);
    no_panic(&server);
}

/// Each is refused, and who has a token is served meanwhile.
#[test]
fn guesses_by_the_hundred_hold_up_nobody() {
    let server = server("");
    let cloud = Cloud::log_in(&server);
    std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..150)
            .map(|number| {
                let server = &server;
                scope.spawn(move || log_in_as(server, &format!("guess {number}"), "wrong", false))
            })
            .collect();
        let began = Instant::now();
        assert_eq!(cloud.swift("GET", &cloud.token, "").status, 204);
        assert_eq!(cloud.projects(), ["admin"]);
        assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
        let statuses: Vec<u16> = guesses.into_iter().map(|guess| guess.join().unwrap().status).collect();
        assert!(statuses.iter().all(|status| matches!(status, 401 | 503)), "{statuses:?}");
    });
    let (memory, _) = server.memory_mib().unwrap();
    assert!(memory < 400, "{memory} MiB");
    Cloud::log_in(&server);
    no_panic(&server);
}

/// The client that people use says what has happened instead of a trace.
#[test]
fn clients_are_told_in_words() {
    let server = server("");
    let swift = |token: &str| {
        let url = format!("http://127.0.0.1:{}/v1/AUTH_x", server.swift_port());
        let tool = Tool::new(&venv_program("swift").unwrap()).clean_home(server.scratch());
        tool.args(&["--os-auth-token", token, "--os-storage-url", &url, "stat"]).run()
    };
    let said = format!("{:#}", swift("gAAAAA").unwrap_err());
    assert!(said.contains("401") && !said.contains("Traceback"), "{said}");
}
