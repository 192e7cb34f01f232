//! Nonsense, forgeries and other people's things: refused in Keystone's words, never a 500.

use crate::cloud::{ADMIN_PROJECT, Cloud, PASSWORD};
use bytes::Bytes;
use serde_json::{Value, json};

pub(crate) async fn what_is_wrong_is_told(cloud: Cloud) {
    let admin = cloud.admin().await;
    let post = async |path: &str, body: &str| {
        let reply = cloud.raw("POST", path, &[("x-auth-token", &admin)], body.to_owned().into()).await;
        assert!(reply.body["error"]["code"] == reply.status && reply.body["error"]["message"].is_string());
        reply.status
    };
    let deep = format!("{{\"user\": {}1{}}}", "[".repeat(5000), "]".repeat(5000));
    for (path, body, wanted) in [
        ("/v3/auth/tokens", "", 400),
        ("/v3/auth/tokens", "{", 400),
        ("/v3/auth/tokens", "[]", 400),
        ("/v3/auth/tokens", "{\"auth\": {}}", 400),
        ("/v3/auth/tokens", "{\"auth\": {\"identity\": {\"methods\": \"password\"}}}", 400),
        ("/v3/auth/tokens", "{\"auth\": {\"identity\": {\"methods\": []}}}", 401),
        ("/v3/auth/tokens", "{\"auth\": {\"identity\": {\"methods\": [\"password\"]}}}", 400),
        ("/v3/auth/tokens", "{\"auth\": {\"identity\": {\"methods\": [\"magic\"]}}}", 401),
        (
            "/v3/auth/tokens",
            "{\"auth\": {\"identity\": {\"methods\": [\"token\"], \"token\": {\"id\": \"x\"}}}}",
            404,
        ),
        ("/v3/users", "{\"user\": {}}", 400),
        ("/v3/users", "{\"user\": {\"name\": \"\"}}", 400),
        ("/v3/users", "{\"user\": {\"name\": 5}}", 400),
        ("/v3/users", "{\"user\": {\"name\": \"a\\u0000b\"}}", 400),
        ("/v3/users", "{\"user\": {\"name\": \"a\", \"enabled\": \"x\"}}", 400),
        ("/v3/users", "{\"user\": {\"name\": \"a\", \"domain_id\": \"none\"}}", 404),
        ("/v3/users", "{\"user\": {\"name\": \"admin\"}}", 409),
        ("/v3/users", deep.as_str(), 400),
        ("/v3/users", &format!("{{\"user\": \"{}\"}}", "x".repeat(200_000)), 413),
        ("/v3/nothing", "{}", 404),
        ("/v2.0/tokens", "{}", 404),
    ] {
        assert_eq!(post(path, body).await, wanted, "{path} {}", &body[..body.len().min(80)]);
    }
    for (method, path, wanted) in [
        ("DELETE", "/v3/users", 405),
        ("PUT", "/v3/auth/tokens", 405),
        ("PATCH", "/v3", 405),
        ("GET", "/v3/users/%ff", 400),
        ("GET", "/v3/users?name=%ff", 400),
        ("GET", "/v3/users/none", 404),
        ("GET", "/v3/users/a/b/c/d", 404),
        ("PATCH", "/v3/users/none", 404),
    ] {
        let reply = cloud.call(method, path, &admin, Value::Null).await;
        assert_eq!(reply.status, wanted, "{method} {path}: {}", reply.body);
    }
    // A zero character, which PostgreSQL takes in no text.
    for (path, wanted) in [("/v3/users/%00", 404), ("/v3/users?name=%00", 400)] {
        let strange = cloud.call("GET", path, &admin, Value::Null).await;
        assert_eq!(strange.status, wanted, "{path}: {}", strange.body);
    }
    let user = json!({"name": "a\u{0}", "domain": {"id": "default"}});
    cloud.log_in(user, PASSWORD, Value::Null).await.of(400);
}

/// What a member of one project, and what nobody, may do to each kind of thing: nothing.
pub(crate) async fn other_projects_are_closed(cloud: Cloud) {
    let admin = cloud.admin().await;
    let own = cloud.make("project", &admin, json!({"name": "own"})).await;
    let (_, member) = cloud.user_on("ada", "member", &own).await;
    let (_, reader) = cloud.user_on("rea", "reader", &own).await;
    let (victim, _) = cloud.user_on("vic", "member", ADMIN_PROJECT).await;
    let group = cloud.make("group", &admin, json!({"name": "g"})).await;
    let role = cloud.role("member").await;
    let key = cloud
        .call(
            "POST",
            &format!("/v3/users/{victim}/credentials/OS-EC2"),
            &admin,
            json!({"tenant_id": ADMIN_PROJECT}),
        )
        .await
        .of(201)["credential"]["access"]
        .as_str()
        .unwrap()
        .to_owned();
    let calls = [
        ("GET", "/v3/users".to_owned()),
        ("POST", "/v3/users".to_owned()),
        ("GET", format!("/v3/users/{victim}")),
        ("PATCH", format!("/v3/users/{victim}")),
        ("DELETE", format!("/v3/users/{victim}")),
        ("GET", format!("/v3/users/{victim}/groups")),
        ("GET", format!("/v3/users/{victim}/projects")),
        ("GET", format!("/v3/users/{victim}/credentials/OS-EC2")),
        ("POST", format!("/v3/users/{victim}/credentials/OS-EC2")),
        ("GET", format!("/v3/users/{victim}/credentials/OS-EC2/{key}")),
        ("DELETE", format!("/v3/users/{victim}/credentials/OS-EC2/{key}")),
        ("GET", format!("/v3/users/{victim}/application_credentials")),
        ("POST", format!("/v3/users/{victim}/application_credentials")),
        ("GET", format!("/v3/users/{victim}/access_rules")),
        ("GET", "/v3/projects".to_owned()),
        ("POST", "/v3/projects".to_owned()),
        ("GET", format!("/v3/projects/{ADMIN_PROJECT}")),
        ("PATCH", format!("/v3/projects/{own}")),
        ("DELETE", format!("/v3/projects/{own}")),
        ("PUT", format!("/v3/projects/{own}/tags")),
        ("GET", "/v3/groups".to_owned()),
        ("POST", "/v3/groups".to_owned()),
        ("GET", format!("/v3/groups/{group}")),
        ("PATCH", format!("/v3/groups/{group}")),
        ("DELETE", format!("/v3/groups/{group}")),
        ("GET", format!("/v3/groups/{group}/users")),
        ("PUT", format!("/v3/groups/{group}/users/{victim}")),
        ("GET", "/v3/domains".to_owned()),
        ("POST", "/v3/domains".to_owned()),
        ("PATCH", "/v3/domains/default".to_owned()),
        ("DELETE", "/v3/domains/default".to_owned()),
        ("GET", "/v3/roles".to_owned()),
        ("POST", "/v3/roles".to_owned()),
        ("DELETE", format!("/v3/roles/{role}")),
        ("PUT", format!("/v3/roles/{role}/implies/{role}")),
        ("GET", "/v3/role_inferences".to_owned()),
        ("GET", "/v3/role_assignments".to_owned()),
        ("PUT", format!("/v3/projects/{own}/users/{victim}/roles/{role}")),
        ("DELETE", format!("/v3/projects/{ADMIN_PROJECT}/users/{victim}/roles/{role}")),
        ("GET", format!("/v3/projects/{own}/users/{victim}/roles")),
        ("PUT", format!("/v3/domains/default/groups/{group}/roles/{role}")),
        ("PUT", format!("/v3/system/users/{victim}/roles/{role}")),
        ("PUT", format!("/v3/OS-INHERIT/domains/default/users/{victim}/roles/{role}/inherited_to_projects")),
        ("GET", "/v3/services".to_owned()),
        ("POST", "/v3/services".to_owned()),
        ("GET", "/v3/endpoints".to_owned()),
        ("POST", "/v3/endpoints".to_owned()),
        ("POST", "/v3/regions".to_owned()),
        ("PUT", "/v3/regions/r".to_owned()),
        ("DELETE", "/v3/regions/RegionOne".to_owned()),
        ("POST", "/v3/ec2tokens".to_owned()),
        ("POST", "/v3/s3tokens".to_owned()),
    ];
    let body = json!({"user": {"name": "x"}, "project": {"name": "x"}, "group": {"name": "x"}, "domain": {"name": "x"},
        "role": {"name": "x"}, "service": {"type": "x"}, "endpoint": {}, "region": {}, "tags": [],
        "tenant_id": ADMIN_PROJECT, "credentials": {"access": key}, "application_credential": {"name": "x"}});
    for (method, path) in &calls {
        for (who, token, wanted) in
            [("member", member.as_str(), 403), ("reader", &reader, 403), ("nobody", "", 401)]
        {
            let reply = cloud.call(method, path, token, body.clone()).await;
            assert_eq!(reply.status, wanted, "{method} {path} by {who}: {}", reply.body);
        }
    }
    let anonymous = cloud.raw("GET", "/v3/users", &[], Bytes::new()).await;
    assert_eq!(anonymous.status, 401);
}

pub(crate) async fn forged_tokens_are_none(cloud: Cloud) {
    let good = cloud.admin().await;
    let mut forged =
        vec![String::new(), "x".to_owned(), "x".repeat(20_000), good.to_uppercase(), good[1..].to_owned()];
    for at in (0..good.len()).step_by(7) {
        forged.push(good[..at].to_owned());
        let mut bad = good.clone().into_bytes();
        bad[at] = if bad[at] == b'B' { b'C' } else { b'B' };
        forged.push(String::from_utf8(bad).unwrap());
    }
    for token in forged.iter().filter(|token| **token != good) {
        let reply = cloud.call("GET", "/v3/users", token, Value::Null).await;
        assert_eq!(reply.status, 401, "{token}");
        let headers = [("x-auth-token", good.as_str()), ("x-subject-token", token)];
        let reply = cloud.raw("GET", "/v3/auth/tokens", &headers, Bytes::new()).await;
        assert_eq!(reply.status, 404, "{token}");
    }
    let odd = http::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    let request = http::Request::builder().uri("/v3/users").header("x-auth-token", odd);
    let request = request.body(http_body_util::Full::new(Bytes::new())).unwrap();
    assert_eq!(cloud.identity.handle(request).await.status(), 401);
}
