//! The identity service with the client that operators use, on the built binary.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ringfort_acceptance::{Keys, Server, Tool, until, venv_program};
use ringfort_test_support::PostgresServer;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn server() -> Server {
    Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap()
}

/// `openstack ARGS`, with these variables beside those of `openrc`.
fn try_openstack(server: &Server, env: &[(&str, &str)], args: &[&str]) -> anyhow::Result<String> {
    let mut tool = Tool::new(&venv_program("openstack")?).args(args).clean_home(server.scratch());
    for (name, value) in server.openrc()? {
        tool = tool.env(&name, &value);
    }
    env.iter().fold(tool, |tool, (name, value)| tool.env(name, value)).run()
}

fn openstack(server: &Server, args: &[&str]) -> String {
    try_openstack(server, &[], args).unwrap()
}

fn json(server: &Server, args: &[&str]) -> Value {
    let all: Vec<&str> = args.iter().chain(&["-f", "json"]).copied().collect();
    serde_json::from_str(&openstack(server, &all)).unwrap()
}

/// What an operator does on the first day: log in, look around, make a project, a user and a role.
#[test]
fn an_operator_sets_up_a_project() {
    set_up_a_project(server());
}

/// The same with the records in a PostgreSQL database.
#[test]
fn an_operator_sets_up_a_project_on_postgresql() {
    let postgres = PostgresServer::start();
    let config = format!("[identity]\ndatabase = \"{}\"\n", postgres.database("keystone"));
    let server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).config(&config);
    set_up_a_project(server.start().unwrap());
}

fn set_up_a_project(mut server: Server) {
    let mode = fs::metadata(server.data().join("openrc")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = json(&server, &["token", "issue"]);
    // The administrator's project is the account whose buckets the first access key sees.
    let admin_project = token["project_id"].as_str().unwrap().to_owned();
    let catalog = json(&server, &["catalog", "list"]);
    let types: Vec<&str> =
        catalog.as_array().unwrap().iter().filter_map(|one| one["Type"].as_str()).collect();
    for wanted in ["identity", "object-store", "s3"] {
        assert!(types.contains(&wanted), "{types:?}");
    }
    let swift_url = format!("http://127.0.0.1:{}/v1/AUTH_{admin_project}", server.swift_port());
    assert!(catalog.to_string().contains(&swift_url), "{catalog}");

    openstack(&server, &["domain", "create", "branch"]);
    let project =
        json(&server, &["project", "create", "site", "--domain", "branch", "--description", "a site"]);
    assert_eq!(project["description"], "a site");
    openstack(
        &server,
        &["user", "create", "ada", "--domain", "branch", "--password", "lovelace", "--email", "a@b.c"],
    );
    openstack(&server, &["role", "create", "auditor"]);
    for role in ["auditor", "member"] {
        let grant = ["role", "add", role, "--user", "ada", "--user-domain", "branch", "--project", "site"];
        let grant: Vec<&str> = grant.iter().chain(&["--project-domain", "branch"]).copied().collect();
        openstack(&server, &grant);
    }
    let given =
        json(&server, &["role", "assignment", "list", "--names", "--user", "ada", "--user-domain", "branch"]);
    let names: Vec<&str> = given.as_array().unwrap().iter().filter_map(|one| one["Role"].as_str()).collect();
    assert!(names.contains(&"auditor") && names.contains(&"member"), "{given}");

    let ada = [
        ("OS_USERNAME", "ada"),
        ("OS_PASSWORD", "lovelace"),
        ("OS_USER_DOMAIN_NAME", "branch"),
        ("OS_PROJECT_NAME", "site"),
        ("OS_PROJECT_DOMAIN_NAME", "branch"),
    ];
    let issue = ["token", "issue", "-f", "json"];
    let hers: Value = serde_json::from_str(&try_openstack(&server, &ada, &issue).unwrap()).unwrap();
    assert_eq!(hers["project_id"], project["id"]);
    let refused = format!("{:#}", try_openstack(&server, &ada, &["user", "list"]).unwrap_err());
    assert!(refused.contains("403"), "{refused}");

    // All of it outlives a kill.
    server.kill();
    server.start().unwrap();
    assert_eq!(json(&server, &["token", "issue"])["project_id"], *admin_project);
    try_openstack(&server, &ada, &issue).unwrap();
    openstack(&server, &["user", "set", "--disable", "ada", "--domain", "branch"]);
    let refused = format!("{:#}", try_openstack(&server, &ada, &issue).unwrap_err());
    assert!(refused.contains("401"), "{refused}");
}

/// One token for all services: Swift with it, under another user's project, and after it is revoked.
#[test]
fn tokens_open_the_object_store() {
    let server = server();
    let swift = venv_program("swift").unwrap();
    let run = |env: &[(&str, &str)], args: &[&str]| {
        let mut tool = Tool::new(&swift).args(args).clean_home(server.scratch());
        for (name, value) in server.openrc().unwrap() {
            tool = tool.env(&name, &value);
        }
        env.iter().fold(tool, |tool, (name, value)| tool.env(name, value)).run()
    };
    let file = server.scratch().join("file");
    fs::write(&file, b"through swift").unwrap();
    let file = file.to_str().unwrap();
    run(&[], &["upload", "shared", file, "--object-name", "file"]).unwrap();
    assert!(openstack(&server, &["object", "list", "shared", "-f", "value"]).contains("file"));
    // The first access key sees the same bucket.
    let keys = server.keys().unwrap();
    let aws = Tool::new(std::path::Path::new("/usr/bin/aws")).aws(&keys, server.scratch());
    let seen =
        aws.args(&["--endpoint-url", &keys.endpoint, "s3", "cp", "s3://shared/file", "-"]).run().unwrap();
    assert_eq!(seen, "through swift");

    openstack(&server, &["project", "create", "site"]);
    for (user, role) in [("ada", "member"), ("rea", "reader")] {
        openstack(&server, &["user", "create", user, "--password", "pw"]);
        openstack(&server, &["role", "add", role, "--user", user, "--project", "site"]);
    }
    let ada = [("OS_USERNAME", "ada"), ("OS_PASSWORD", "pw"), ("OS_PROJECT_NAME", "site")];
    let reader = [("OS_USERNAME", "rea"), ("OS_PASSWORD", "pw"), ("OS_PROJECT_NAME", "site")];
    run(&ada, &["post", "own"]).unwrap();
    assert_eq!(run(&ada, &["list"]).unwrap().trim(), "own");
    assert_eq!(run(&reader, &["list"]).unwrap().trim(), "own");
    assert!(run(&reader, &["post", "another"]).is_err(), "a reader does not write");

    let issued = try_openstack(&server, &ada, &["token", "issue", "-f", "value", "-c", "id"]).unwrap();
    let (token, url) = (issued.trim(), format!("http://127.0.0.1:{}", server.swift_port()));
    let project = json(&server, &["project", "show", "site"])["id"].as_str().unwrap().to_owned();
    let status = |path: &str| {
        let curl =
            Tool::new(std::path::Path::new("curl")).args(&["-s", "-o", "/dev/null", "-w", "%{http_code}"]);
        curl.args(&["-H", &format!("X-Auth-Token: {token}"), &format!("{url}{path}")]).run().unwrap()
    };
    let account = format!("/v1/AUTH_{project}");
    assert_eq!(status(&account), "200");
    assert_eq!(status("/v1/AUTH_0123456789abcdef0123456789abcdef"), "403");
    try_openstack(&server, &ada, &["token", "revoke", token]).unwrap();
    until("the token is refused", Duration::from_secs(5), || status(&account) == "401");
}

/// The access keys that `openstack ec2 credentials create` makes open the S3 port: by role, and no longer once they are gone.
#[test]
fn access_keys_open_the_s3_port() {
    let server = server();
    openstack(&server, &["project", "create", "site"]);
    for (user, role) in [("ada", "member"), ("rea", "reader")] {
        openstack(&server, &["user", "create", user, "--password", "pw"]);
        openstack(&server, &["role", "add", role, "--user", user, "--project", "site"]);
    }
    let first = server.keys().unwrap();
    let key_of = |user: &str| {
        // Who may not write makes no key either, but may be given one.
        let made = json(&server, &["ec2", "credentials", "create", "--user", user, "--project", "site"]);
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Keys { access_key: text("access"), secret_key: text("secret"), ..first.clone() }
    };
    let (ada, rea) = (key_of("ada"), key_of("rea"));
    let s3 = |keys: &Keys, args: &[&str]| {
        let aws = Tool::new(&venv_program("aws").unwrap()).aws(keys, server.scratch());
        aws.args(&["--endpoint-url", &first.endpoint]).args(args).run()
    };
    let file = server.scratch().join("hers");
    fs::write(&file, b"through a key of a project").unwrap();
    s3(&ada, &["s3", "mb", "s3://site-data"]).unwrap();
    s3(&ada, &["s3", "cp", file.to_str().unwrap(), "s3://site-data/file"]).unwrap();
    assert_eq!(s3(&rea, &["s3", "cp", "s3://site-data/file", "-"]).unwrap(), "through a key of a project");
    let refused = format!("{:#}", s3(&rea, &["s3", "rm", "s3://site-data/file"]).unwrap_err());
    assert!(refused.contains("AccessDenied"), "a reader does not delete: {refused}");
    let refused = format!("{:#}", s3(&first, &["s3", "ls", "s3://site-data"]).unwrap_err());
    assert!(refused.contains("AccessDenied"), "another project: {refused}");
    // The project owns what its users make, and Swift shows the same.
    let owner: Value =
        serde_json::from_str(&s3(&ada, &["s3api", "get-bucket-acl", "--bucket", "site-data"]).unwrap())
            .unwrap();
    let project = json(&server, &["project", "show", "site"])["id"].clone();
    assert_eq!((&owner["Owner"]["ID"], owner["Owner"]["DisplayName"].as_str()), (&project, Some("site")));
    let hers = [("OS_USERNAME", "ada"), ("OS_PASSWORD", "pw"), ("OS_PROJECT_NAME", "site")];
    let listed = try_openstack(&server, &hers, &["object", "list", "site-data", "-f", "value"]).unwrap();
    assert_eq!(listed.trim(), "file");

    openstack(&server, &["role", "remove", "reader", "--user", "rea", "--project", "site"]);
    let gone = || {
        s3(&rea, &["s3", "ls", "s3://site-data"])
            .is_err_and(|error| format!("{error:#}").contains("InvalidAccessKeyId"))
    };
    until("a user without a role is refused", Duration::from_secs(10), gone);
    try_openstack(&server, &hers, &["ec2", "credentials", "delete", &ada.access_key]).unwrap();
    let gone =
        || s3(&ada, &["s3", "ls"]).is_err_and(|error| format!("{error:#}").contains("InvalidAccessKeyId"));
    until("a deleted key is refused", Duration::from_secs(10), gone);
}

/// `ringfort admin` needs no password: it makes what the clients then log in with, and renews the keys of tokens.
#[test]
fn an_operator_at_the_machine() {
    let mut server = server();
    let admin = |server: &Server, args: &[&str]| {
        let all: Vec<&str> = ["admin"].iter().chain(args).copied().collect();
        server.operate(&all)
    };
    admin(&server, &["project", "create", "site"]).unwrap();
    let said = admin(&server, &["user", "create", "ada"]).unwrap();
    let password = said.lines().find_map(|line| line.strip_prefix("Its password, shown once: ")).unwrap();
    admin(&server, &["grant", "member", "--user", "ada", "--project", "site"]).unwrap();
    let said = admin(&server, &["key", "create", "--user", "ada", "--project", "site"]).unwrap();
    let access = said.lines().find_map(|line| line.strip_prefix("AWS_ACCESS_KEY_ID=")).unwrap();
    let again = format!("{:#}", admin(&server, &["user", "create", "ada"]).unwrap_err());
    assert!(again.contains("Duplicate entry"), "{again}");
    let nobody = ["grant", "member", "--user", "nobody", "--project", "site"];
    let nobody = format!("{:#}", admin(&server, &nobody).unwrap_err());
    assert!(nobody.contains("there is no user `nobody`"), "{nobody}");

    let ada = [("OS_USERNAME", "ada"), ("OS_PASSWORD", password), ("OS_PROJECT_NAME", "site")];
    let issue = ["token", "issue", "-f", "value", "-c", "id"];
    let token = |server: &Server| try_openstack(server, &ada, &issue).map(|said| said.trim().to_owned());
    let keys = try_openstack(&server, &ada, &["ec2", "credentials", "list", "-f", "value"]).unwrap();
    assert!(keys.contains(access), "{keys}");
    let secret = said.lines().find_map(|line| line.strip_prefix("AWS_SECRET_ACCESS_KEY=")).unwrap();
    let first = server.keys().unwrap();
    let key = Keys { access_key: access.to_owned(), secret_key: secret.to_owned(), ..first };
    let aws = Tool::new(&venv_program("aws").unwrap()).aws(&key, server.scratch());
    aws.args(&["--endpoint-url", &key.endpoint, "s3", "mb", "s3://hers"]).run().unwrap();
    try_openstack(&server, &ada, &["container", "create", "own"]).unwrap();
    let listed: Value = serde_json::from_str(&admin(&server, &["user", "list", "--json"]).unwrap()).unwrap();
    assert!(listed.as_array().unwrap().iter().any(|user| user["name"] == "ada"), "{listed}");
    assert!(!admin(&server, &["key", "list", "--user", "ada"]).unwrap().contains("secret"));

    // Whether the port takes a token, which shows itself.
    let valid = |server: &Server, token: &str| {
        let curl = Tool::new(std::path::Path::new("curl"));
        let curl = curl.args(&["-s", "-o", "/dev/null", "-w", "%{http_code}"]);
        let curl = curl.args(&["-H", &format!("X-Auth-Token: {token}")]);
        let curl = curl.args(&["-H", &format!("X-Subject-Token: {token}")]);
        let url = format!("http://127.0.0.1:{}/v3/auth/tokens", server.identity_port());
        match curl.arg(url).run().unwrap().as_str() {
            "200" => true,
            "401" => false,
            other => panic!("{other}"),
        }
    };
    let old = token(&server).unwrap();
    let said = admin(&server, &["rotate-token-keys"]).unwrap();
    assert!(said.contains("2 key(s)"), "{said}");
    let new = token(&server).unwrap();
    assert!(valid(&server, &old) && valid(&server, &new));
    // The keys outlive a kill.
    server.kill();
    server.start().unwrap();
    assert!(valid(&server, &old) && valid(&server, &new));
    // Four are kept: with the third more, the old token's is gone, and the new one's is not.
    for _ in 0..3 {
        admin(&server, &["rotate-token-keys"]).unwrap();
    }
    assert!(!valid(&server, &old) && valid(&server, &new));

    admin(&server, &["user", "password", "ada"]).unwrap();
    assert!(!valid(&server, &new), "a new password ends the tokens");
    assert!(format!("{:#}", token(&server).unwrap_err()).contains("401"));
    let revoke = ["grant", "member", "--user", "ada", "--project", "site", "--revoke"];
    admin(&server, &revoke).unwrap();
    admin(&server, &["key", "delete", access, "--user", "ada"]).unwrap();
    assert!(!admin(&server, &["key", "list", "--user", "ada"]).unwrap().contains(access));
    admin(&server, &["user", "delete", "ada"]).unwrap();
    // Whoever lost the administrator's password gets another.
    openstack(&server, &["user", "set", "admin", "--password", "forgotten"]);
    assert!(try_openstack(&server, &[], &issue).is_err());
    admin(&server, &["openrc"]).unwrap();
    openstack(&server, &issue);
    server.kill();
    server.start().unwrap();
    openstack(&server, &issue);
    assert!(!admin(&server, &["user", "list"]).unwrap().contains("ada"));
}

/// A user lends a role to another, who works with it until it is taken back.
#[test]
fn trusts_lend_roles() {
    let server = server();
    openstack(&server, &["user", "create", "bob", "--password", "pw"]);
    let lend = ["trust", "create", "--project", "admin", "--role", "member", "--impersonate", "admin", "bob"];
    let trust = json(&server, &lend)["id"].as_str().unwrap().to_owned();
    let bob = [("OS_USERNAME", "bob"), ("OS_PASSWORD", "pw"), ("OS_PROJECT_NAME", "")];
    let with = [bob.as_slice(), &[("OS_TRUST_ID", trust.as_str())]].concat();
    assert!(try_openstack(&server, &bob, &["container", "list"]).is_err(), "he has no role of his own");
    try_openstack(&server, &with, &["container", "create", "lent"]).unwrap();
    assert!(openstack(&server, &["container", "list", "-f", "value"]).contains("lent"));
    let refused = format!("{:#}", try_openstack(&server, &with, &["user", "list"]).unwrap_err());
    assert!(refused.contains("403"), "no more than was lent: {refused}");
    assert_eq!(json(&server, &["trust", "show", &trust])["is_impersonation"], true);
    assert!(openstack(&server, &["trust", "list", "-f", "value"]).contains(&trust));
    openstack(&server, &["trust", "delete", &trust]);
    let refused = format!("{:#}", try_openstack(&server, &with, &["container", "list"]).unwrap_err());
    assert!(refused.contains("401"), "{refused}");
}
