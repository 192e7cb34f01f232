//! The matrix over the wire: every operation by everybody, as a request that would be carried out for the bucket's owner.
//!
//! That the owner's succeeds is what makes the refusals of the others tell something. Which operation a request has been
//! taken for is read from the gateway's own counters, which also name all operations that there are.

use crate::client::{Answer, Signer, World};
use crate::requests::{REQUESTS, Row};
use crate::{forms, requests};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_default_local_recorder,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Requests by the operation that the gateway took them for.
#[derive(Default)]
struct Seen {
    counts: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

impl Seen {
    /// Every operation that there is.
    fn known(&self) -> BTreeSet<String> {
        self.counts.lock().unwrap().keys().filter(|name| *name != "none").cloned().collect()
    }

    /// The operations since it was asked last.
    fn take(&self) -> Vec<String> {
        let counts = self.counts.lock().unwrap();
        let seen = counts.iter().filter(|(_, count)| count.swap(0, Ordering::Relaxed) > 0);
        seen.map(|(name, _)| name.clone()).collect()
    }
}

impl Recorder for Seen {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let operation = key.labels().find(|label| label.key() == "operation");
        match operation.filter(|_| key.name() == "ringfort_s3_requests_total") {
            None => Counter::noop(),
            Some(label) => {
                let mut counts = self.counts.lock().unwrap();
                Counter::from_arc(counts.entry(label.value().to_owned()).or_default().clone())
            }
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Who asks: the access key, or none.
type Caller = Option<&'static str>;

const OWNER: Caller = Some("AKID");
const READER: Caller = Some("READER");
const STRANGERS: [Caller; 3] = [Some("OTHER"), Some("GUEST"), None];

/// What else is so that a policy could open things to the wrong ones by: it names an account that nobody here has.
const FOR_OTHERS: &str = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::third:root"},"Action":"s3:*",
    "Resource":"arn:aws:s3:::*"}}"#;

/// Lets everybody do what `list` (`Action` or `NotAction`) says.
fn policy(list: &str, actions: &[&str]) -> String {
    let actions = actions.join("\",\"");
    format!(
        r#"{{"Statement":{{"Effect":"Allow","Principal":"*","{list}":["{actions}"],"Resource":"arn:aws:s3:::*"}}}}"#
    )
}

/// A world with all that the requests are about, and the id of an upload and the tag of its part.
struct Stage<'s> {
    world: World,
    seen: &'s Seen,
    upload: String,
    part_tag: String,
}

impl<'s> Stage<'s> {
    async fn set(seen: &'s Seen, policy: &str) -> Self {
        let world = World::new().await;
        for (target, body) in requests::SETUP {
            world.call("PUT", target, &[], *body).await.good();
        }
        for bucket in ["/box?policy", "/bare?policy"] {
            world.call("PUT", bucket, &[], policy.to_owned()).await.good();
        }
        let upload = world.call("POST", "/box/up?uploads", &[], "").await.good().element("UploadId");
        let part = format!("/box/up?partNumber=1&uploadId={upload}");
        let part = world.call("PUT", &part, &[], "a part, long enough").await.good();
        let part_tag = part.header("etag").trim_matches('"').to_owned();
        seen.take();
        Self { world, seen, upload, part_tag }
    }

    fn fill(&self, text: &str) -> String {
        text.replace("UPLOAD", &self.upload).replace("PART_TAG", &self.part_tag)
    }

    /// Asks, and holds against the table what the gateway has understood.
    async fn ask(&self, who: Caller, row: &Row) -> Answer {
        let answer = if row.method == "FORM" { self.post(who).await } else { self.send(who, row).await };
        assert_eq!(self.seen.take(), [row.operation], "{row:?}: {}", answer.text());
        answer
    }

    async fn post(&self, who: Caller) -> Answer {
        match who {
            None => forms::post(&self.world, &[("key", "up/a.txt")], "hello").await,
            Some(key) => {
                let credential = format!("{key}/{}", Signer::new().scope());
                forms::post_signed(&self.world, &[("x-amz-credential", &credential)], "hello").await
            }
        }
    }

    async fn send(&self, who: Caller, row: &Row) -> Answer {
        let (target, body) = (self.fill(row.target), self.fill(row.body));
        let md5 = STANDARD.encode(Md5::digest(&body));
        let mut headers = row.headers.to_vec();
        if row.operation == "DeleteObjects" {
            headers.push(("content-md5", &md5));
        }
        match who {
            Some(key) => {
                let signer = Signer { access_key: key.to_owned(), ..Signer::new() };
                self.world.call_by(&signer, row.method, &target, &headers, vec![Ok(body.into())]).await
            }
            None => {
                let len = body.len().to_string();
                headers.extend([("host", "h"), ("content-length", len.as_str())]);
                self.world.send(row.method, &target, &headers, vec![Ok(body.into())]).await
            }
        }
    }

    async fn is_refused(&self, who: Caller, row: &Row) {
        let answer = self.ask(who, row).await;
        // Whoever sends a list of keys is told of each; who a form is from stands in it.
        let reads_body = matches!(row.operation, "DeleteObjects" | "PostObject");
        let status = if row.operation == "DeleteObjects" { 200 } else { 403 };
        assert_eq!(answer.status, status, "{who:?} {row:?}: {}", answer.text());
        if row.method != "HEAD" {
            assert_eq!(answer.element("Code"), "AccessDenied", "{who:?} {row:?}: {}", answer.text());
        }
        assert!(reads_body || !answer.polled, "{who:?} {row:?} read the body");
    }

    async fn is_done(&self, who: Caller, row: &Row) {
        let answer = self.ask(who, row).await;
        let done = answer.status.is_success() && answer.element("Code").is_empty();
        assert!(done, "{who:?} {row:?}: {}: {}", answer.status, answer.text());
    }

    /// Everything that the requests could change, as owners see it.
    async fn state(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for target in requests::STATE {
            let target = self.fill(target);
            let read = self.world.call("GET", &target, &[], "").await.good();
            all.push((target, format!("{} {}", read.header("x-amz-tagging-count"), read.text())));
        }
        let other = Signer { access_key: "OTHER".to_owned(), ..Signer::new() };
        let theirs = self.world.call_by(&other, "GET", "/", &[], vec![]).await.good();
        all.push(("buckets of the other account".to_owned(), theirs.text()));
        self.seen.take();
        all
    }
}

#[tokio::test]
async fn every_operation_is_in_the_matrix() {
    let seen = Seen::default();
    let _recording = set_default_local_recorder(&seen);
    let _world = World::new().await;
    let rows: BTreeSet<String> = REQUESTS.iter().map(|row| row.operation.to_owned()).collect();
    assert_eq!(rows, seen.known());
}

#[tokio::test]
async fn what_the_owner_may_is_refused_to_strangers_and_readers_only_read() {
    let seen = Seen::default();
    let _recording = set_default_local_recorder(&seen);
    for row in REQUESTS {
        let stage = Stage::set(&seen, FOR_OTHERS).await;
        let before = stage.state().await;
        for who in STRANGERS {
            // Everybody with an account has buckets of their own.
            if row.actions.is_empty() && who == Some("OTHER") {
                continue;
            }
            stage.is_refused(who, row).await;
        }
        if matches!(row.method, "GET" | "HEAD") {
            stage.is_done(READER, row).await;
        } else {
            stage.is_refused(READER, row).await;
        }
        assert_eq!(stage.state().await, before, "{row:?} was refused and has changed something");
        stage.is_done(OWNER, row).await;
    }
}

#[tokio::test]
async fn a_policy_opens_an_operation_by_its_own_action_and_by_no_other() {
    let seen = Seen::default();
    let _recording = set_default_local_recorder(&seen);
    for row in REQUESTS.iter().filter(|row| !row.actions.is_empty()) {
        for who in STRANGERS {
            let stage = Stage::set(&seen, &policy("Action", row.actions)).await;
            stage.is_done(who, row).await;
        }
        for missing in row.actions {
            let stage = Stage::set(&seen, &policy("NotAction", &[missing])).await;
            let before = stage.state().await;
            for who in STRANGERS {
                stage.is_refused(who, row).await;
            }
            assert_eq!(stage.state().await, before, "{row:?} without {missing} has changed something");
        }
    }
}
