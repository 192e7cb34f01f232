//! Nothing is open to another project, to nobody, or to a reader who would write, unless a list says so.

use crate::client::{Swift, Who};

/// What a caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Read,
    Write,
    /// To own the account.
    Own,
}

/// Method, path, headers, body, and what it needs.
type Operation = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static [u8], Needs);

/// Every operation.
const OPERATIONS: &[Operation] = &[
    ("HEAD", "", &[], b"", Needs::Read),
    ("GET", "", &[], b"", Needs::Read),
    ("GET", "?format=json", &[], b"", Needs::Read),
    ("POST", "", &[("x-account-meta-a", "b")], b"", Needs::Own),
    ("HEAD", "/c", &[], b"", Needs::Read),
    ("GET", "/c", &[], b"", Needs::Read),
    ("GET", "/c?versions", &[], b"", Needs::Read),
    ("PUT", "/new", &[], b"", Needs::Write),
    ("POST", "/c", &[("x-container-meta-a", "b")], b"", Needs::Write),
    ("DELETE", "/empty", &[], b"", Needs::Write),
    ("HEAD", "/c/o", &[], b"", Needs::Read),
    ("GET", "/c/o", &[], b"", Needs::Read),
    ("GET", "/c/slo", &[], b"", Needs::Read),
    ("GET", "/c/dlo", &[], b"", Needs::Read),
    ("GET", "/c/link", &[], b"", Needs::Read),
    ("GET", "/c/slo?multipart-manifest=get", &[], b"", Needs::Read),
    ("PUT", "/c/p", &[], b"body", Needs::Write),
    ("PUT", "/c/p", &[("x-copy-from", "c/o")], b"", Needs::Write),
    ("COPY", "/c/o", &[("destination", "c/p")], b"", Needs::Write),
    ("PUT", "/c/p?multipart-manifest=put", &[], b"[{\"path\":\"/c/o\"}]", Needs::Write),
    ("PUT", "/c/p", &[("x-symlink-target", "c/o")], b"", Needs::Write),
    ("POST", "/c/o", &[("x-object-meta-a", "b")], b"", Needs::Write),
    ("DELETE", "/c/gone", &[], b"", Needs::Write),
];

async fn prepared() -> Swift {
    let swift = Swift::start();
    swift.make("c").await;
    swift.make("empty").await;
    swift.put("/c/o", b"object").await;
    swift.put("/c/gone", b"object").await;
    swift.put("/c/slo?multipart-manifest=put", b"[{\"path\":\"/c/o\"}]").await;
    let owner = |path: &'static str, headers: &'static [(&str, &str)]| {
        let swift = &swift;
        async move { swift.call(Who::Owner, "PUT", path, headers, &[]).await.is(201) }
    };
    owner("/c/dlo", &[("x-object-manifest", "c/o")]).await;
    owner("/c/link", &[("x-symlink-target", "c/o")]).await;
    swift
}

fn may(who: Who, needs: Needs) -> bool {
    match who {
        Who::Owner | Who::Operator => true,
        Who::Reader => needs == Needs::Read,
        Who::Guest | Who::Stranger | Who::Forger | Who::Nobody => false,
    }
}

#[tokio::test]
async fn every_operation_is_closed_to_whoever_was_not_let_in() {
    for who in Who::ALL {
        for (method, path, headers, body, needs) in OPERATIONS {
            let swift = prepared().await;
            let body: &[&[u8]] = if body.is_empty() { &[] } else { &[body] };
            let answer = swift.call(who, method, path, headers, body).await;
            let what = format!("{who:?} {method} {path} {headers:?}: {} {}", answer.status, answer.text());
            if may(who, *needs) {
                assert!(answer.status.is_success(), "{what}");
            } else {
                let wanted = if matches!(who, Who::Forger | Who::Nobody) { 401 } else { 403 };
                assert_eq!(answer.status, wanted, "{what}");
                assert!(!answer.polled, "the body was asked for: {what}");
                assert!(!answer.text().contains("object"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn bulk_requests_report_what_they_may_not() {
    for who in [Who::Reader, Who::Guest, Who::Stranger, Who::Nobody] {
        let swift = prepared().await;
        let said = swift.call(who, "POST", "?bulk-delete", &[], &[b"/c/o\n/empty\n"]).await;
        assert!(said.status == 401 || said.text().contains("Number Deleted: 0"), "{who:?} {}", said.text());
        swift.get("/c/o").await.is(200);
        swift.call(Who::Owner, "HEAD", "/empty", &[], &[]).await.is(204);
    }
}

#[tokio::test]
async fn a_list_of_the_container_lets_in_whom_it_names() {
    let swift = prepared().await;
    let lists = [("x-container-read", "test:guest,other"), ("x-container-write", "*:other:stranger")];
    swift.call(Who::Owner, "POST", "/c", &lists, &[]).await.is(204);
    swift.call(Who::Guest, "GET", "/c/o", &[], &[]).await.is(200);
    swift.call(Who::Guest, "GET", "/c", &[], &[]).await.is(200);
    swift.call(Who::Guest, "PUT", "/c/p", &[], &[b"x"]).await.is(403);
    swift.call(Who::Stranger, "GET", "/c/o", &[], &[]).await.is(200);
    swift.call(Who::Stranger, "PUT", "/c/p", &[], &[b"x"]).await.is(201);
    swift.call(Who::Stranger, "DELETE", "/c/p", &[], &[]).await.is(204);
    swift.call(Who::Stranger, "PUT", "/new", &[], &[]).await.is(403);
    swift.call(Who::Stranger, "GET", "", &[], &[]).await.is(403);
    swift.call(Who::Nobody, "GET", "/c/o", &[], &[]).await.is(401);
    // The lists themselves are the owner's.
    let seen = swift.call(Who::Guest, "HEAD", "/c", &[], &[]).await.is(204);
    assert_eq!(seen.header("x-container-read"), "");
    let seen = swift.call(Who::Owner, "HEAD", "/c", &[], &[]).await.is(204);
    assert_eq!(seen.header("x-container-read"), "test:guest,other");
}

#[tokio::test]
async fn a_public_container_is_read_and_not_listed() {
    let swift = prepared().await;
    swift.call(Who::Owner, "POST", "/c", &[("x-container-read", ".r:*")], &[]).await.is(204);
    swift.call(Who::Nobody, "GET", "/c/o", &[], &[]).await.is(200);
    swift.call(Who::Nobody, "GET", "/c", &[], &[]).await.is(401);
    swift.call(Who::Nobody, "PUT", "/c/o", &[], &[b"x"]).await.is(401);
    let open = [("x-container-read", ".r:*,.rlistings,.r:-bad.example")];
    swift.call(Who::Owner, "POST", "/c", &open, &[]).await.is(204);
    swift.call(Who::Nobody, "GET", "/c", &[], &[]).await.is(200);
    let from_bad = [("referer", "http://bad.example/page")];
    swift.call(Who::Nobody, "GET", "/c/o", &from_bad, &[]).await.is(401);
}

#[tokio::test]
async fn a_list_of_the_account_lets_in_by_degrees() {
    let swift = prepared().await;
    let post = |list: &'static str| {
        let swift = &swift;
        async move {
            let headers = [("x-account-access-control", list)];
            swift.call(Who::Owner, "POST", "", &headers, &[]).await.is(204)
        }
    };
    post("{\"read-only\":[\"other:stranger\"]}").await;
    swift.call(Who::Stranger, "GET", "/c/o", &[], &[]).await.is(200);
    swift.call(Who::Stranger, "PUT", "/c/p", &[], &[b"x"]).await.is(403);
    post("{\"read-write\":[\"other:stranger\"]}").await;
    swift.call(Who::Stranger, "PUT", "/c/p", &[], &[b"x"]).await.is(201);
    swift.call(Who::Stranger, "PUT", "/new", &[], &[]).await.is(201);
    swift.call(Who::Stranger, "POST", "", &[("x-account-meta-a", "b")], &[]).await.is(403);
    post("{\"admin\":[\"other:stranger\"]}").await;
    swift.call(Who::Stranger, "POST", "", &[("x-account-meta-a", "b")], &[]).await.is(204);
    post("").await;
    swift.call(Who::Stranger, "GET", "/c/o", &[], &[]).await.is(403);
}

#[tokio::test]
async fn segments_and_targets_are_read_by_whoever_may() {
    let swift = prepared().await;
    swift.make("open").await;
    swift.call(Who::Owner, "POST", "/open", &[("x-container-read", ".r:*")], &[]).await.is(204);
    swift.put("/open/slo?multipart-manifest=put", b"[{\"path\":\"/c/o\"}]").await;
    let headers = [("x-symlink-target", "c/o")];
    swift.call(Who::Owner, "PUT", "/open/link", &headers, &[]).await.is(201);
    let headers = [("x-object-manifest", "c/o")];
    swift.call(Who::Owner, "PUT", "/open/dlo", &headers, &[]).await.is(201);
    // The container is open, what its objects are made of is not.
    for path in ["/open/slo", "/open/link", "/open/dlo"] {
        let answer = swift.call(Who::Nobody, "GET", path, &[], &[]).await;
        assert!(
            answer.status.is_client_error() && !answer.text().contains("object"),
            "{path} {}",
            answer.status
        );
    }
}

#[tokio::test]
async fn accounts_of_ours_are_nobodys() {
    let swift = prepared().await;
    swift.call(Who::Owner, "POST", "", &[("x-account-meta-a", "b")], &[]).await.is(204);
    for who in Who::ALL {
        let answer = swift.call(who, "GET", "/v1/AUTH_.swift", &[], &[]).await;
        assert!(answer.status == 403 || answer.status == 401, "{who:?} {}", answer.status);
        let answer = swift.call(who, "GET", "/v1/OTHER_test", &[], &[]).await;
        assert!(answer.status == 403 || answer.status == 401, "{who:?} {}", answer.status);
    }
}

#[tokio::test]
async fn quotas_are_set_from_above() {
    let swift = prepared().await;
    let quota = [("x-account-quota-bytes", "10")];
    swift.call(Who::Owner, "POST", "", &quota, &[]).await.is(403);
    swift.call(Who::Operator, "POST", "", &quota, &[]).await.is(204);
    let refused = swift.call(Who::Owner, "PUT", "/c/p", &[], &[b"0123456789"]).await.is(413);
    assert!(!refused.polled, "the body was asked for");
    swift.get("/c/p").await.is(404);
    swift.call(Who::Operator, "PUT", "/c/p", &[], &[b"0123456789"]).await.is(201);
}
