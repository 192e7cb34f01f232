//! A client of the gateway that sends what no proper client would, and sees whether its body was asked for.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use ringfort_object::memory::MemoryCluster;
use ringfort_object::{ObjectStore, StoreConfig};
use ringfort_runtime::TaskGroup;
use ringfort_swift::{Authenticator, SwiftConfig, SwiftGateway, TempAuth, TempAuthUser};
use ringfort_test_support::PolledBody;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The gateway asked for the request's body.
    pub(crate) polled: bool,
    /// The body broke off.
    pub(crate) broke: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Owns the account `test`.
    Owner,
    /// Reads the account `test`.
    Reader,
    /// Belongs to the account `test` and has no role.
    Guest,
    /// Owns another account.
    Stranger,
    /// Owns every account.
    Operator,
    /// Has a token that is none.
    Forger,
    /// Has no token.
    Nobody,
}

impl Who {
    pub(crate) const ALL: [Self; 7] =
        [Self::Owner, Self::Reader, Self::Guest, Self::Stranger, Self::Operator, Self::Forger, Self::Nobody];
}

/// A gateway over a new cluster.
pub(crate) struct Swift {
    gateway: SwiftGateway,
    pub(crate) objects: ObjectStore,
    auth: TempAuth,
    _cluster: Arc<MemoryCluster>,
    _tasks: TaskGroup,
}

impl Swift {
    pub(crate) fn start() -> Self {
        Self::with(SwiftConfig::default())
    }

    pub(crate) fn with(config: SwiftConfig) -> Self {
        let tasks = TaskGroup::new();
        let store_config = StoreConfig { reconcile_pause: Duration::ZERO, ..StoreConfig::default() };
        let (cluster, objects) = MemoryCluster::store(store_config, &tasks);
        let user = |account: &str, user: &str, role: &[&str]| TempAuthUser {
            account: account.to_owned(),
            user: user.to_owned(),
            key: "key".to_owned(),
            roles: role.iter().map(|role| (*role).to_owned()).collect(),
        };
        let users = vec![
            user("test", "owner", &["admin"]),
            user("test", "reader", &["reader"]),
            user("test", "guest", &[]),
            user("other", "stranger", &["admin"]),
            user("ops", "operator", &["reseller_admin"]),
        ];
        let auth = TempAuth::new(users, [1; 32], Duration::from_secs(600));
        let gateway = SwiftGateway::new(objects.clone(), Arc::new(auth.clone()), config);
        Self { gateway, objects, auth, _cluster: cluster, _tasks: tasks }
    }

    async fn token(&self, who: Who) -> Option<String> {
        let user = match who {
            Who::Owner => "test:owner",
            Who::Reader => "test:reader",
            Who::Guest => "test:guest",
            Who::Stranger => "other:stranger",
            Who::Operator => "ops:operator",
            Who::Forger => return Some("AUTH_tk00000000".to_owned()),
            Who::Nobody => return None,
        };
        Some(self.auth.login(user, "key").await.unwrap().unwrap().token)
    }

    /// One request; the path begins after `/v1/AUTH_test` unless it is a whole one.
    pub(crate) async fn call(
        &self,
        who: Who,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[&[u8]],
    ) -> Answer {
        let whole = path.starts_with("/v1/") || path.starts_with("/info") || path.starts_with("/auth");
        let uri = if whole { path.to_owned() } else { format!("/v1/AUTH_test{path}") };
        let pieces = body.iter().map(|piece| Ok(Bytes::copy_from_slice(piece)));
        let mut request = Request::builder().method(method).uri(uri);
        let given = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !given("content-length") && !given("transfer-encoding") {
            request = request.header("content-length", body.iter().map(|piece| piece.len()).sum::<usize>());
        }
        if let Some(token) = self.token(who).await {
            request = request.header("x-auth-token", token);
        }
        for (name, value) in headers {
            request = request.header(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let (body, polled) = PolledBody::new(pieces);
        let response = self.gateway.handle(request.body(body).unwrap()).await;
        let (head, mut rest) = response.into_parts();
        let (mut whole, mut broke) = (Vec::new(), false);
        while let Some(frame) = rest.frame().await {
            match frame {
                Ok(frame) => whole.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(_) => {
                    broke = true;
                    break;
                }
            }
        }
        let polled = polled.load(Ordering::Relaxed);
        Answer { status: head.status, headers: head.headers, body: whole.into(), polled, broke }
    }

    /// The owner stores an object.
    pub(crate) async fn put(&self, path: &str, body: &[u8]) -> Answer {
        self.call(Who::Owner, "PUT", path, &[], &[body]).await.is(201)
    }

    /// The owner reads an object.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Who::Owner, "GET", path, &[], &[]).await
    }

    /// The owner makes a container.
    pub(crate) async fn make(&self, name: &str) {
        self.call(Who::Owner, "PUT", &format!("/{name}"), &[], &[]).await.is(201);
    }
}
