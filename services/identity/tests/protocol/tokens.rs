//! Getting tokens, showing them, and how they end.

use crate::cloud::{ADMIN_PROJECT, Cloud, FAILURES, PASSWORD, field};
use serde_json::{Value, json};

pub(crate) async fn a_password_gets_a_token(cloud: Cloud) {
    let versions = cloud.raw("GET", "/", &[], bytes::Bytes::new()).await;
    assert_eq!(versions.headers["location"], "http://keystone.test:5000/v3/");
    assert_eq!(versions.of(300)["versions"]["values"][0]["status"], "stable");
    let version = cloud.raw("GET", "/v3/", &[], bytes::Bytes::new()).await;
    assert_eq!(version.headers["vary"], "X-Auth-Token");
    assert_eq!(version.of(200)["version"]["links"][0]["href"], "http://keystone.test:5000/v3/");

    let user = json!({"name": "admin", "domain": {"id": "default"}});
    let scope = json!({"project": {"id": ADMIN_PROJECT}});
    let reply = cloud.log_in(user.clone(), PASSWORD, scope).await;
    let token = reply.token();
    let shown = reply.of(201)["token"].clone();
    assert_eq!(shown["methods"], json!(["password"]));
    assert_eq!(shown["user"]["domain"], json!({"id": "default", "name": "Default"}));
    assert_eq!(shown["project"]["id"], ADMIN_PROJECT);
    assert_eq!(field(&shown["roles"], "name"), ["admin", "manager", "member", "reader"]);
    let endpoints =
        shown["catalog"].as_array().unwrap().iter().find(|one| one["type"] == "object-store").unwrap();
    assert_eq!(endpoints["endpoints"][0]["url"], format!("http://swift.test/v1/AUTH_{ADMIN_PROJECT}"));

    let headers = [("x-auth-token", token.as_str()), ("x-subject-token", &token)];
    let again = cloud.raw("GET", "/v3/auth/tokens", &headers, bytes::Bytes::new()).await;
    assert_eq!(again.of(200)["token"], shown);
    let bare = cloud.raw("GET", "/v3/auth/tokens?nocatalog", &headers, bytes::Bytes::new()).await.of(200);
    assert!(bare["token"].get("catalog").is_none());
    let head = cloud.raw("HEAD", "/v3/auth/tokens", &headers, bytes::Bytes::new()).await;
    assert_eq!((head.status, head.body), (200, Value::Null));

    for (user, password) in
        [(user, "wrong"), (json!({"name": "nobody", "domain": {"id": "default"}}), PASSWORD)]
    {
        let reply = cloud.log_in(user, password, Value::Null).await;
        assert_eq!(reply.headers["www-authenticate"], "Keystone uri=\"http://keystone.test:5000/v3\"");
        let wanted = json!({"code": 401, "title": "Unauthorized",
            "message": "The request you have made requires authentication."});
        assert_eq!(reply.of(401)["error"], wanted);
    }
}

pub(crate) async fn scopes_are_what_was_given(cloud: Cloud) {
    let admin = cloud.admin().await;
    let project = cloud.make("project", &admin, json!({"name": "p"})).await;
    let (user, _) = cloud.user_on("ada", "member", &project).await;
    let who = json!({"id": user});
    let unscoped = cloud.log_in(who.clone(), "pw", json!("unscoped")).await;
    let first = unscoped.token();
    let shown = unscoped.of(201);
    assert!(shown["token"].get("catalog").is_none() && shown["token"].get("roles").is_none());
    for (scope, wanted) in [
        (json!({"project": {"id": project}}), 201),
        (json!({"project": {"name": "p", "domain": {"name": "Default"}}}), 201),
        (json!({"project": {"id": ADMIN_PROJECT}}), 401),
        (json!({"project": {"id": "none"}}), 401),
        (json!({"domain": {"id": "default"}}), 401),
        (json!({"system": {"all": true}}), 401),
        (json!({"system": {"all": true}, "domain": {"id": "default"}}), 400),
        (json!({"project": {}}), 400),
    ] {
        let reply = cloud.log_in(who.clone(), "pw", scope.clone()).await;
        assert_eq!(reply.status, wanted, "{scope}: {}", reply.body);
    }
    // A token stands in for the password, in the same chain and until the same time.
    let auth = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": first}},
        "scope": {"project": {"id": project}}}});
    let second = cloud.call("POST", "/v3/auth/tokens", "", auth).await.of(201)["token"].clone();
    assert_eq!(second["methods"], json!(["password", "token"]));
    assert_eq!(second["expires_at"], shown["token"]["expires_at"]);
    assert_eq!(second["audit_ids"][1], shown["token"]["audit_ids"][0]);

    let domain_role = cloud.role("reader").await;
    cloud.done("PUT", &format!("/v3/domains/default/users/{user}/roles/{domain_role}"), &admin).await;
    cloud.done("PUT", &format!("/v3/system/users/{user}/roles/{domain_role}"), &admin).await;
    let domain = cloud.log_in(who.clone(), "pw", json!({"domain": {"name": "Default"}})).await.of(201);
    assert_eq!(domain["token"]["domain"]["id"], "default");
    let system = cloud.log_in(who.clone(), "pw", json!({"system": {"all": true}})).await.of(201);
    assert_eq!(system["token"]["system"], json!({"all": true}));
    let listed = cloud.get("/v3/auth/projects", &first).await;
    assert_eq!(field(&listed["projects"], "id"), [project.as_str()]);
    assert_eq!(field(&cloud.get("/v3/auth/domains", &first).await["domains"], "id"), ["default"]);
    assert_eq!(cloud.get("/v3/auth/system", &first).await["system"], json!([{"all": true}]));
    cloud.call("GET", "/v3/auth/catalog", &first, Value::Null).await.of(403);
    // Without a scope the default project is meant.
    let change = json!({"user": {"default_project_id": project}});
    cloud.call("PATCH", &format!("/v3/users/{user}"), &admin, change).await.of(200);
    let chosen = cloud.log_in(who, "pw", Value::Null).await.of(201);
    assert_eq!(chosen["token"]["project"]["id"], *project);
}

async fn works(cloud: &Cloud, token: &str) -> bool {
    match cloud.call("GET", "/v3/auth/projects", token, Value::Null).await.status {
        200 => true,
        401 => false,
        other => panic!("answered {other}"),
    }
}

pub(crate) async fn tokens_end(cloud: Cloud) {
    let (_, token) = cloud.user_on("ada", "member", ADMIN_PROJECT).await;
    let (_, other) = cloud.user_on("bob", "member", ADMIN_PROJECT).await;
    let about = |caller: &str, subject: &str| {
        [("x-auth-token", caller.to_owned()), ("x-subject-token", subject.to_owned())]
    };
    let end = async |caller: &str, subject: &str| {
        let headers = about(caller, subject);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        cloud.raw("DELETE", "/v3/auth/tokens", &headers, bytes::Bytes::new()).await.status
    };
    assert_eq!(end(&other, &token).await, 403, "another's token");
    assert_eq!(end(&token, "gAAAA").await, 404, "no token");
    assert_eq!(end(&token, &token).await, 204);
    assert!(!works(&cloud, &token).await && works(&cloud, &other).await);
    assert_eq!(end(&cloud.admin().await, &token).await, 404);
    // The keys change: tokens stay as long as theirs is kept.
    cloud.keys.replace(&[[5; 32], [1; 32]]);
    assert!(works(&cloud, &other).await && works(&cloud, &cloud.admin().await).await);
    cloud.keys.replace(&[[6; 32], [5; 32]]);
    assert!(!works(&cloud, &other).await);
}

pub(crate) async fn revocations_reach_tokens(cloud: Cloud) {
    let admin = cloud.admin().await;
    let project = cloud.make("project", &admin, json!({"name": "p"})).await;
    let (user, _) = cloud.user_on("ada", "member", &project).await;
    let role = cloud.role("member").await;
    let fresh = async |password: &str| {
        let reply = cloud.log_in(json!({"id": user}), password, json!({"project": {"id": project}})).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.token()
    };
    let set = async |path: &str, body: Value| cloud.call("PATCH", path, &admin, body).await.of(200);
    let user_path = format!("/v3/users/{user}");
    let project_path = format!("/v3/projects/{project}");

    for (path, noun) in [(&user_path, "user"), (&project_path, "project")] {
        let token = fresh("pw").await;
        set(path, json!({noun: {"enabled": false}})).await;
        assert!(!works(&cloud, &token).await, "{noun} disabled");
        set(path, json!({noun: {"enabled": true}})).await;
        assert!(!works(&cloud, &token).await, "{noun} enabled again does not bring it back");
        assert!(works(&cloud, &fresh("pw").await).await);
    }
    let token = fresh("pw").await;
    let grant = format!("{project_path}/users/{user}/roles/{role}");
    cloud.done("DELETE", &grant, &admin).await;
    assert!(!works(&cloud, &token).await, "role taken away");
    cloud.done("PUT", &grant, &admin).await;

    let token = fresh("pw").await;
    let change = json!({"user": {"original_password": "pw", "password": "pw2"}});
    assert_eq!(cloud.call("POST", &format!("{user_path}/password"), "", change.clone()).await.status, 204);
    assert!(!works(&cloud, &token).await, "password changed");
    assert_eq!(cloud.call("POST", &format!("{user_path}/password"), "", change).await.status, 401);
    let token = fresh("pw2").await;
    set(&user_path, json!({"user": {"password": "pw3"}})).await;
    assert!(!works(&cloud, &token).await, "password set");

    let domain = cloud.make("domain", &admin, json!({"name": "d"})).await;
    let member =
        cloud.make("user", &admin, json!({"name": "m", "domain_id": domain, "password": "pw"})).await;
    let token = cloud.log_in(json!({"id": member}), "pw", Value::Null).await.token();
    assert!(works(&cloud, &token).await);
    set(&format!("/v3/domains/{domain}"), json!({"domain": {"enabled": false}})).await;
    assert!(!works(&cloud, &token).await, "domain disabled");
    assert_eq!(cloud.log_in(json!({"id": member}), "pw", Value::Null).await.status, 401);

    let token = fresh("pw3").await;
    cloud.done("DELETE", &user_path, &admin).await;
    assert!(!works(&cloud, &token).await, "user deleted");
}

pub(crate) async fn failures_lock_out(cloud: Cloud) {
    let (user, _) = cloud.user_on("ada", "member", ADMIN_PROJECT).await;
    let log_in = async |password: &str| cloud.log_in(json!({"id": user}), password, Value::Null).await.status;
    for _ in 1..FAILURES {
        assert_eq!(log_in("wrong").await, 401);
    }
    assert_eq!(log_in("pw").await, 201, "one try was left");
    for _ in 0..FAILURES {
        assert_eq!(log_in("wrong").await, 401, "a success began the count anew");
    }
    assert_eq!(log_in("pw").await, 401, "locked out");
    // An administrator sets a new password, which unlocks.
    let admin = cloud.admin().await;
    let change = json!({"user": {"password": "pw2"}});
    cloud.call("PATCH", &format!("/v3/users/{user}"), &admin, change).await.of(200);
    assert_eq!(log_in("pw2").await, 201);
    let exempt = json!({"user": {"options": {"ignore_lockout_failure_attempts": true}}});
    cloud.call("PATCH", &format!("/v3/users/{user}"), &admin, exempt).await.of(200);
    for _ in 0..=FAILURES {
        assert_eq!(log_in("wrong").await, 401);
    }
    assert_eq!(log_in("pw2").await, 201);
}
