//! What a password may be, and for how long.

use crate::cloud::Cloud;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::time::Duration;

/// Changes a user's own password; the status.
async fn change(cloud: &Cloud, user: &str, old: &str, new: &str) -> u16 {
    let body = json!({"user": {"original_password": old, "password": new}});
    cloud.call("POST", &format!("/v3/users/{user}/password"), "", body).await.status
}

pub(crate) async fn old_passwords_are_remembered(cloud: Cloud) {
    let cloud = cloud.with(|config| config.password_history = 2).await;
    let admin = cloud.admin().await;
    let user = cloud.make("user", &admin, json!({"name": "ada", "password": "a"})).await;
    for (old, new, wanted) in [
        ("a", "a", 400),
        ("a", "b", 204),
        ("b", "a", 400),
        ("b", "b", 400),
        ("wrong", "c", 401),
        ("b", "c", 204),
        ("c", "b", 400),
        ("c", "a", 204),
    ] {
        assert_eq!(change(&cloud, &user, old, new).await, wanted, "{old} to {new}");
    }
    // An administrator may give any.
    let reset = json!({"user": {"password": "a"}});
    cloud.call("PATCH", &format!("/v3/users/{user}"), &admin, reset).await.of(200);
    // What is not asked for is not kept.
    let loose = cloud.with(|_| ()).await;
    assert_eq!(change(&loose, &user, "a", "a").await, 204);
    let kept = cloud.db.fetch("SELECT COUNT(*) FROM old_passwords", &[]).await.unwrap();
    assert_eq!(kept[0].int(0), 0);
}

pub(crate) async fn a_password_stays_a_while(cloud: Cloud) {
    let cloud = cloud.with(|config| config.password_min_age = Duration::from_secs(3600)).await;
    let admin = cloud.admin().await;
    let user = cloud.make("user", &admin, json!({"name": "ada", "password": "a"})).await;
    assert_eq!(change(&cloud, &user, "a", "b").await, 400);
    let loose = cloud.with(|_| ()).await;
    assert_eq!(change(&loose, &user, "a", "b").await, 204);
    let locked = json!({"user": {"options": {"lock_password": true}}});
    cloud.call("PATCH", &format!("/v3/users/{user}"), &admin, locked).await.of(200);
    assert_eq!(change(&loose, &user, "b", "c").await, 400);
}

pub(crate) async fn passwords_expire(cloud: Cloud) {
    let strict = cloud.with(|config| config.password_lifetime = Some(Duration::from_micros(1))).await;
    let admin = strict.admin().await;
    let user = strict.make("user", &admin, json!({"name": "ada", "password": "a"})).await;
    let shown = strict.get(&format!("/v3/users/{user}"), &admin).await;
    assert!(shown["user"]["password_expires_at"].is_string(), "{shown}");
    let listed = strict.get("/v3/users?name=ada", &admin).await;
    assert_eq!(listed["users"][0]["password_expires_at"], shown["user"]["password_expires_at"]);
    strict.log_in(json!({"id": user}), "a", Value::Null).await.of(401);
    // It still proves who it is that wants a new one, and that one lives as long as the settings of today say.
    assert_eq!(change(&cloud, &user, "b", "c").await, 401);
    assert_eq!(change(&cloud, &user, "a", "b").await, 204);
    cloud.log_in(json!({"id": user}), "b", Value::Null).await.of(201);
    let forever = json!({"name": "rob", "password": "a", "options": {"ignore_password_expiry": true}});
    let robot = strict.make("user", &admin, forever).await;
    strict.log_in(json!({"id": robot}), "a", Value::Null).await.of(201);
}

/// Whoever operates the machine does as an administrator does, whatever the rules say.
pub(crate) async fn operators_need_no_token(cloud: Cloud) {
    let cloud = cloud.with(|config| config.policy = Some("admin_required: \"!\"".to_owned())).await;
    let call = async |method: &str, path: &str, body: Value| {
        let bytes = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder().method(method).uri(path).body(Full::new(bytes)).unwrap();
        let (head, body) = cloud.identity.handle_as_operator(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), serde_json::from_slice::<Value>(&bytes).unwrap_or_default())
    };
    let named = json!({"user": {"name": "ada", "password": "a"}});
    let (status, made) = call("POST", "/v3/users", named.clone()).await;
    assert_eq!((status, &made["user"]["domain_id"]), (201, &json!("default")));
    let user = made["user"]["id"].as_str().unwrap();
    assert_eq!(call("POST", "/v3/users", named.clone()).await.0, 409);
    let (_, project) = call("POST", "/v3/projects", json!({"project": {"name": "p"}})).await;
    let key = json!({"tenant_id": project["project"]["id"]});
    let (status, made) = call("POST", &format!("/v3/users/{user}/credentials/OS-EC2"), key).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(call("GET", "/v3/users/none", Value::Null).await.0, 404);
    assert_eq!(call("DELETE", &format!("/v3/users/{user}"), Value::Null).await.0, 204);
    // The same request through the port asks for a token.
    cloud.call("POST", "/v3/users", "", named).await.of(401);
}
