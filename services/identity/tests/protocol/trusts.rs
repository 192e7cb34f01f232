//! Roles that are lent.

use crate::cloud::{Cloud, Reply, field};
use bytes::Bytes;
use serde_json::{Value, json};

/// Ada, who is a member of a project, and Bob, who is nothing.
struct Parties {
    project: String,
    ada: String,
    ada_token: String,
    bob: String,
}

impl Parties {
    async fn of(cloud: &Cloud) -> Self {
        let admin = cloud.admin().await;
        let project = cloud.make("project", &admin, json!({"name": "site"})).await;
        let (ada, ada_token) = cloud.user_on("ada", "member", &project).await;
        let bob = cloud.make("user", &admin, json!({"name": "bob", "password": "pw"})).await;
        Self { project, ada, ada_token, bob }
    }

    /// A trust by which Ada lends Bob `role`, with more fields.
    fn trust(&self, role: &str, more: Value) -> Value {
        let mut trust = json!({"trustor_user_id": self.ada, "trustee_user_id": self.bob, "project_id": self.project,
            "impersonation": true, "roles": [{"name": role}]});
        for (name, value) in more.as_object().into_iter().flatten() {
            trust[name] = value.clone();
        }
        json!({"trust": trust})
    }

    async fn lend(&self, cloud: &Cloud, role: &str, more: Value) -> Value {
        let reply = cloud.call("POST", "/v3/OS-TRUST/trusts", &self.ada_token, self.trust(role, more)).await;
        reply.of(201)["trust"].clone()
    }

    /// What Bob gets by a trust.
    async fn borrow(&self, cloud: &Cloud, trust: &Value) -> Reply {
        cloud.log_in(json!({"id": self.bob}), "pw", json!({"OS-TRUST:trust": {"id": trust["id"]}})).await
    }
}

async fn is_valid(cloud: &Cloud, token: &str) -> bool {
    let headers = [("x-auth-token", token), ("x-subject-token", token)];
    match cloud.raw("GET", "/v3/auth/tokens", &headers, Bytes::new()).await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

pub(crate) async fn trusts_lend_roles(cloud: Cloud) {
    let them = Parties::of(&cloud).await;
    let trust = them.lend(&cloud, "reader", json!({})).await;
    assert_eq!(field(&trust["roles"], "name"), ["reader"]);
    assert_eq!((&trust["expires_at"], &trust["remaining_uses"]), (&Value::Null, &Value::Null));
    let path = format!("/v3/OS-TRUST/trusts/{}", trust["id"].as_str().unwrap());
    assert_eq!(cloud.get(&path, &them.ada_token).await["trust"], trust);

    // Bob acts as Ada, with what she lent and no more.
    let reply = them.borrow(&cloud, &trust).await;
    let (token, body) = (reply.token(), reply.of(201));
    let shown = &body["token"];
    assert_eq!((&shown["user"]["id"], &shown["project"]["id"]), (&json!(them.ada), &json!(them.project)));
    assert_eq!(field(&shown["roles"], "name"), ["reader"]);
    assert_eq!(
        shown["OS-TRUST:trust"],
        json!({"id": trust["id"], "impersonation": true, "trustor_user": {"id": them.ada},
            "trustee_user": {"id": them.bob}})
    );
    assert!(is_valid(&cloud, &token).await);
    // Or under his own name, and with implied roles.
    let own = them.lend(&cloud, "member", json!({"impersonation": false})).await;
    let body = them.borrow(&cloud, &own).await.of(201);
    assert_eq!(body["token"]["user"]["id"], *them.bob);
    assert_eq!(field(&body["token"]["roles"], "name"), ["member", "reader"]);

    // What is lent is not handed on, and is not kept.
    let again = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}});
    cloud.call("POST", "/v3/auth/tokens", "", again).await.of(403);
    cloud.call("POST", "/v3/OS-TRUST/trusts", &token, them.trust("reader", json!({}))).await.of(403);
    let keys = format!("/v3/users/{}/credentials/OS-EC2", them.ada);
    cloud.call("POST", &keys, &token, json!({"tenant_id": them.project})).await.of(403);
    let lent = json!({"application_credential": {"name": "x"}});
    let credentials = format!("/v3/users/{}/application_credentials", them.ada);
    cloud.call("POST", &credentials, &token, lent).await.of(403);

    // It ends with the trust.
    let bob = cloud.log_in(json!({"id": them.bob}), "pw", Value::Null).await.token();
    cloud.call("DELETE", &path, &bob, Value::Null).await.of(403);
    cloud.done("DELETE", &path, &them.ada_token).await;
    assert!(!is_valid(&cloud, &token).await);
    them.borrow(&cloud, &trust).await.of(401);
    cloud.call("GET", &path, &them.ada_token, Value::Null).await.of(404);
}

pub(crate) async fn trusts_are_listed(cloud: Cloud) {
    let (them, admin) = (Parties::of(&cloud).await, cloud.admin().await);
    let trust = them.lend(&cloud, "reader", json!({})).await;
    let bob = cloud.log_in(json!({"id": them.bob}), "pw", Value::Null).await.token();
    let all = cloud.get("/v3/OS-TRUST/trusts", &admin).await;
    assert_eq!(field(&all["trusts"], "id"), [trust["id"].as_str().unwrap()]);
    assert!(all["trusts"][0].get("roles").is_none(), "{all}");
    let (given, got) = (format!("?trustor_user_id={}", them.ada), format!("?trustee_user_id={}", them.bob));
    for (query, token, wanted) in [
        ("", &them.ada_token, 403),
        (&given, &them.ada_token, 200),
        (&given, &bob, 403),
        (&got, &bob, 200),
        (&got, &them.ada_token, 403),
        (&given, &admin, 200),
    ] {
        let reply = cloud.call("GET", &format!("/v3/OS-TRUST/trusts{query}"), token, Value::Null).await;
        assert_eq!(reply.status, wanted, "{query}: {}", reply.body);
        if wanted == 200 {
            assert_eq!(reply.body["trusts"].as_array().unwrap().len(), 1, "{query}");
        }
    }
    let roles = format!("/v3/OS-TRUST/trusts/{}/roles", trust["id"].as_str().unwrap());
    assert_eq!(field(&cloud.get(&roles, &bob).await["roles"], "name"), ["reader"]);
    let (reader, member) = (cloud.role("reader").await, cloud.role("member").await);
    assert_eq!(cloud.get(&format!("{roles}/{reader}"), &bob).await["role"]["name"], "reader");
    assert_eq!(cloud.call("HEAD", &format!("{roles}/{member}"), &bob, Value::Null).await.status, 404);
    let (_, stranger) = cloud.user_on("eve", "member", &them.project).await;
    cloud.call("GET", &roles, &stranger, Value::Null).await.of(403);
}

pub(crate) async fn trusts_are_used_up_and_expire(cloud: Cloud) {
    let them = Parties::of(&cloud).await;
    let trust = them.lend(&cloud, "reader", json!({"remaining_uses": 2})).await;
    let token = them.borrow(&cloud, &trust).await.token();
    them.borrow(&cloud, &trust).await.of(201);
    them.borrow(&cloud, &trust).await.of(401);
    let path = format!("/v3/OS-TRUST/trusts/{}", trust["id"].as_str().unwrap());
    assert_eq!(cloud.get(&path, &them.ada_token).await["trust"]["remaining_uses"], 0);
    assert!(is_valid(&cloud, &token).await, "what was got with it stays");

    // A token lives no longer than its trust.
    let soon = ringfort_core::CivilTime::of(ringfort_runtime::wall_us() / 1_000_000 + 60);
    let soon = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000000Z",
        soon.year, soon.month, soon.day, soon.hour, soon.minute, soon.second
    );
    let trust = them.lend(&cloud, "reader", json!({"expires_at": soon})).await;
    assert_eq!(trust["expires_at"], *soon);
    let reply = them.borrow(&cloud, &trust).await;
    let token = reply.token();
    assert_eq!(reply.of(201)["token"]["expires_at"], *soon);
    let sql = "UPDATE trusts SET expires_us = 1 WHERE id = $1";
    cloud.db.execute(sql, &[trust["id"].as_str().unwrap().into()]).await.unwrap();
    assert!(!is_valid(&cloud, &token).await);
    them.borrow(&cloud, &trust).await.of(401);
    let path = format!("/v3/OS-TRUST/trusts/{}", trust["id"].as_str().unwrap());
    cloud.call("GET", &path, &them.ada_token, Value::Null).await.of(404);
}

/// A trust is worth what its trustor is.
pub(crate) async fn trusts_follow_their_trustor(cloud: Cloud) {
    let (them, admin) = (Parties::of(&cloud).await, cloud.admin().await);
    let trust = them.lend(&cloud, "member", json!({"impersonation": false})).await;
    let token = them.borrow(&cloud, &trust).await.token();
    let member = cloud.role("member").await;
    let grant = format!("/v3/projects/{}/users/{}/roles/{member}", them.project, them.ada);
    cloud.done("DELETE", &grant, &admin).await;
    assert!(!is_valid(&cloud, &token).await);
    them.borrow(&cloud, &trust).await.of(403);
    cloud.done("PUT", &grant, &admin).await;
    assert!(is_valid(&cloud, &token).await);
    let switch = async |user: &str, on: bool| {
        let body = json!({"user": {"enabled": on}});
        cloud.call("PATCH", &format!("/v3/users/{user}"), &admin, body).await.of(200);
    };
    switch(&them.ada, false).await;
    assert!(!is_valid(&cloud, &token).await);
    them.borrow(&cloud, &trust).await.of(403);
    switch(&them.ada, true).await;
    assert!(!is_valid(&cloud, &token).await, "it was revoked with her own");
    them.borrow(&cloud, &trust).await.of(201);
    cloud.done("DELETE", &format!("/v3/users/{}", them.ada), &admin).await;
    them.borrow(&cloud, &trust).await.of(401);
}

pub(crate) async fn nobody_lends_what_is_not_theirs(cloud: Cloud) {
    let (them, admin) = (Parties::of(&cloud).await, cloud.admin().await);
    let (_, stranger) = cloud.user_on("eve", "member", &them.project).await;
    for (token, role, more, wanted) in [
        (&admin, "reader", json!({}), 403),
        (&stranger, "reader", json!({}), 403),
        (&them.ada_token, "admin", json!({}), 404),
        (&them.ada_token, "none", json!({}), 404),
        (&them.ada_token, "reader", json!({"roles": []}), 403),
        (&them.ada_token, "reader", json!({"roles": [{}]}), 400),
        (&them.ada_token, "reader", json!({"project_id": null}), 400),
        (&them.ada_token, "reader", json!({"project_id": "none"}), 404),
        (&them.ada_token, "reader", json!({"trustee_user_id": "none"}), 404),
        (&them.ada_token, "reader", json!({"impersonation": "yes"}), 400),
        (&them.ada_token, "reader", json!({"remaining_uses": 0}), 400),
        (&them.ada_token, "reader", json!({"remaining_uses": "1"}), 400),
        (&them.ada_token, "reader", json!({"expires_at": "bad.123Z"}), 400),
        (&them.ada_token, "reader", json!({"expires_at": "2015-01-01T00:00:00Z"}), 400),
    ] {
        let body = them.trust(role, more);
        let reply = cloud.call("POST", "/v3/OS-TRUST/trusts", token, body.clone()).await;
        assert_eq!(reply.status, wanted, "{body}: {}", reply.body);
    }
    let mut partial = them.trust("reader", json!({}));
    partial["trust"].as_object_mut().unwrap().remove("impersonation");
    cloud.call("POST", "/v3/OS-TRUST/trusts", &them.ada_token, partial).await.of(400);
    assert_eq!(cloud.get("/v3/OS-TRUST/trusts", &admin).await["trusts"], json!([]));
    // Only its trustee uses it.
    let trust = them.lend(&cloud, "reader", json!({})).await;
    let scope = json!({"OS-TRUST:trust": {"id": trust["id"]}});
    let eve = json!({"name": "eve", "domain": {"id": "default"}});
    cloud.log_in(eve, "pw", scope).await.of(403);
    for (scope, wanted) in [
        (json!({"OS-TRUST:trust": {"id": "none"}}), 401),
        (json!({"OS-TRUST:trust": {}}), 400),
        (json!({"OS-TRUST:trust": []}), 400),
        (json!({"OS-TRUST:trust": {"id": trust["id"]}, "project": {"id": them.project}}), 400),
    ] {
        assert_eq!(
            cloud.log_in(json!({"id": them.bob}), "pw", scope.clone()).await.status,
            wanted,
            "{scope}"
        );
    }
    for (method, path, wanted) in [
        ("PATCH", "trusts/x", 405),
        ("DELETE", "trusts", 405),
        ("GET", "other", 404),
        ("GET", "trusts/none", 404),
    ] {
        let reply = cloud.call(method, &format!("/v3/OS-TRUST/{path}"), &them.ada_token, Value::Null).await;
        assert_eq!(reply.status, wanted, "{method} {path}");
    }
}
