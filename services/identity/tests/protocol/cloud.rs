//! A cloud of one service, and a client of it.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use ringfort_db::Db;
use ringfort_identity::{FirstAdmin, Identity, IdentityConfig, ServedAt, TokenKeys};
use ringfort_runtime::TaskGroup;
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) type Scenario = fn(Cloud) -> Pin<Box<dyn Future<Output = ()>>>;

pub(crate) const ADMIN_PROJECT: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const PASSWORD: &str = "first-password";
/// Failed logins before a user is locked out.
pub(crate) const FAILURES: u64 = 3;

pub(crate) struct Cloud {
    pub(crate) identity: Identity,
    pub(crate) db: Db,
    pub(crate) keys: TokenKeys,
    _folder: Option<TempDir>,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// The body, if the status is `wanted`.
    pub(crate) fn of(self, wanted: u16) -> Value {
        assert_eq!(self.status, wanted, "{}", self.body);
        self.body
    }

    pub(crate) fn token(&self) -> String {
        self.headers["x-subject-token"].to_str().unwrap().to_owned()
    }
}

fn config() -> IdentityConfig {
    IdentityConfig {
        public_url: "http://keystone.test:5000".to_owned(),
        lockout_failures: FAILURES,
        lockout: Duration::from_secs(3600),
        services: vec![ServedAt {
            kind: "object-store".to_owned(),
            name: "swift".to_owned(),
            url: "http://swift.test/v1/AUTH_%(project_id)s".to_owned(),
        }],
        ..IdentityConfig::default()
    }
}

impl Cloud {
    pub(crate) async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::sqlite(&folder.path().join("identity.db")).await.unwrap();
        Self::on(db, Some(folder)).await
    }

    pub(crate) async fn on(db: Db, folder: Option<TempDir>) -> Self {
        Self::open(db, folder, config()).await
    }

    /// Another service on the same database, whose settings are changed.
    pub(crate) async fn with(&self, change: impl FnOnce(&mut IdentityConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        Self::open(self.db.clone(), None, config).await
    }

    async fn open(db: Db, folder: Option<TempDir>, config: IdentityConfig) -> Self {
        let keys = TokenKeys::new(&[[1; 32]], &[2; 32]);
        let admin = FirstAdmin { project_id: ADMIN_PROJECT.to_owned(), password: PASSWORD.to_owned() };
        let tasks = TaskGroup::new();
        let identity = Identity::open(db.clone(), keys.clone(), &admin, config, &tasks).await.unwrap();
        Self { identity, db, keys, _folder: folder }
    }

    pub(crate) async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Reply {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.identity.handle(request.body(Full::new(body)).unwrap()).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> Reply {
        let bytes = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        self.raw(method, path, &[("x-auth-token", token)], bytes).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Value {
        self.call("GET", path, token, Value::Null).await.of(200)
    }

    /// The id of a resource that is made by this.
    pub(crate) async fn make(&self, noun: &str, token: &str, fields: Value) -> String {
        let plural = if noun == "policy" { "policies".to_owned() } else { format!("{noun}s") };
        let made = self.call("POST", &format!("/v3/{plural}"), token, json!({noun: fields})).await.of(201);
        made[noun]["id"].as_str().unwrap().to_owned()
    }

    /// `PUT`s or `DELETE`s what answers with nothing.
    pub(crate) async fn done(&self, method: &str, path: &str, token: &str) {
        let reply = self.call(method, path, token, Value::Null).await;
        assert_eq!(
            StatusCode::from_u16(reply.status).unwrap(),
            StatusCode::NO_CONTENT,
            "{method} {path}: {}",
            reply.body
        );
    }

    pub(crate) async fn log_in(&self, user: Value, password: &str, scope: Value) -> Reply {
        let mut user = user;
        user["password"] = password.into();
        let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": user}}});
        if !scope.is_null() {
            auth["scope"] = scope;
        }
        self.call("POST", "/v3/auth/tokens", "", json!({"auth": auth})).await
    }

    /// The administrator's token.
    pub(crate) async fn admin(&self) -> String {
        let user = json!({"name": "admin", "domain": {"name": "Default"}});
        let scope = json!({"project": {"name": "admin", "domain": {"id": "default"}}});
        let reply = self.log_in(user, PASSWORD, scope).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.token()
    }

    /// A new user `name` with password `pw` who has `role` on the project: its id, and a token.
    pub(crate) async fn user_on(&self, name: &str, role: &str, project: &str) -> (String, String) {
        let admin = self.admin().await;
        let user = self.make("user", &admin, json!({"name": name, "password": "pw"})).await;
        let role = self.role(role).await;
        self.done("PUT", &format!("/v3/projects/{project}/users/{user}/roles/{role}"), &admin).await;
        let reply = self.log_in(json!({"id": user}), "pw", json!({"project": {"id": project}})).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        let token = reply.token();
        (user, token)
    }

    /// The id of a role.
    pub(crate) async fn role(&self, name: &str) -> String {
        let found = self.get(&format!("/v3/roles?name={name}"), &self.admin().await).await;
        found["roles"][0]["id"].as_str().unwrap().to_owned()
    }
}

/// The names or other texts of a list.
pub(crate) fn field(list: &Value, name: &str) -> Vec<String> {
    let mut texts: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one[name].as_str().unwrap_or_default().to_owned())
        .collect();
    texts.sort();
    texts
}
