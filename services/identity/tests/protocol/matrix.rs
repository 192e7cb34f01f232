//! The matrix: every operation by everybody who has no business with it.

use crate::cloud::{ADMIN_PROJECT, Cloud};
use serde_json::{Value, json};

/// Open to whoever has a token: what it holds, and what clients must know before they choose.
const OPEN: &[&str] =
    &["/v3/auth/catalog", "/v3/auth/projects", "/v3/auth/domains", "/v3/auth/system", "/v3/regions"];

/// What is asked: in paths and bodies USER, PROJECT, ROLE, GROUP and KEY stand for ids of somebody else's.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("GET", "/v3/auth/catalog", ""),
    ("GET", "/v3/auth/projects", ""),
    ("GET", "/v3/auth/domains", ""),
    ("GET", "/v3/auth/system", ""),
    ("GET", "/v3/domains", ""),
    ("POST", "/v3/domains", r#"{"domain": {"name": "mine"}}"#),
    ("PATCH", "/v3/domains/default", r#"{"domain": {"description": "mine"}}"#),
    ("DELETE", "/v3/domains/default", ""),
    ("GET", "/v3/projects", ""),
    ("GET", "/v3/projects/PROJECT", ""),
    ("POST", "/v3/projects", r#"{"project": {"name": "mine"}}"#),
    ("PATCH", "/v3/projects/PROJECT", r#"{"project": {"enabled": false}}"#),
    ("DELETE", "/v3/projects/PROJECT", ""),
    ("PUT", "/v3/projects/PROJECT/tags/mine", ""),
    ("DELETE", "/v3/projects/PROJECT/tags", ""),
    ("GET", "/v3/users", ""),
    ("GET", "/v3/users/USER", ""),
    ("POST", "/v3/users", r#"{"user": {"name": "mine"}}"#),
    ("PATCH", "/v3/users/USER", r#"{"user": {"password": "mine"}}"#),
    ("DELETE", "/v3/users/USER", ""),
    ("POST", "/v3/users/USER/password", r#"{"user": {"original_password": "guess", "password": "mine"}}"#),
    ("GET", "/v3/users/USER/groups", ""),
    ("GET", "/v3/users/USER/projects", ""),
    ("GET", "/v3/users/USER/credentials/OS-EC2", ""),
    ("POST", "/v3/users/USER/credentials/OS-EC2", r#"{"tenant_id": "PROJECT"}"#),
    ("GET", "/v3/users/USER/credentials/OS-EC2/KEY", ""),
    ("DELETE", "/v3/users/USER/credentials/OS-EC2/KEY", ""),
    ("GET", "/v3/users/USER/application_credentials", ""),
    ("POST", "/v3/users/USER/application_credentials", r#"{"application_credential": {"name": "mine"}}"#),
    ("GET", "/v3/users/USER/access_rules", ""),
    ("GET", "/v3/groups", ""),
    ("GET", "/v3/groups/GROUP", ""),
    ("GET", "/v3/groups/GROUP/users", ""),
    ("POST", "/v3/groups", r#"{"group": {"name": "mine"}}"#),
    ("PATCH", "/v3/groups/GROUP", r#"{"group": {"name": "mine"}}"#),
    ("DELETE", "/v3/groups/GROUP", ""),
    ("PUT", "/v3/groups/GROUP/users/USER", ""),
    ("DELETE", "/v3/groups/GROUP/users/USER", ""),
    ("GET", "/v3/roles", ""),
    ("GET", "/v3/roles/ROLE", ""),
    ("POST", "/v3/roles", r#"{"role": {"name": "mine"}}"#),
    ("PATCH", "/v3/roles/ROLE", r#"{"role": {"name": "mine"}}"#),
    ("DELETE", "/v3/roles/ROLE", ""),
    ("PUT", "/v3/roles/ROLE/implies/ROLE", ""),
    ("GET", "/v3/role_inferences", ""),
    ("GET", "/v3/role_assignments", ""),
    ("GET", "/v3/projects/PROJECT/users/USER/roles", ""),
    ("PUT", "/v3/projects/PROJECT/users/USER/roles/ROLE", ""),
    ("DELETE", "/v3/projects/PROJECT/users/USER/roles/ROLE", ""),
    ("PUT", "/v3/projects/PROJECT/groups/GROUP/roles/ROLE", ""),
    ("PUT", "/v3/domains/default/users/USER/roles/ROLE", ""),
    ("GET", "/v3/system/users/USER/roles", ""),
    ("PUT", "/v3/system/users/USER/roles/ROLE", ""),
    ("PUT", "/v3/OS-INHERIT/projects/PROJECT/users/USER/roles/ROLE/inherited_to_projects", ""),
    (
        "POST",
        "/v3/credentials",
        r#"{"credential": {"type": "ec2", "user_id": "USER", "project_id": "PROJECT", "blob": "{\"access\": \"a\", \"secret\": \"s\"}"}}"#,
    ),
    ("POST", "/v3/ec2tokens", r#"{"credentials": {"access": "KEY"}}"#),
    ("POST", "/v3/s3tokens", r#"{"credentials": {"access": "KEY", "signature": "AAAA", "token": "AAAA"}}"#),
    ("GET", "/v3/OS-TRUST/trusts", ""),
    ("GET", "/v3/OS-TRUST/trusts?trustor_user_id=USER", ""),
    (
        "POST",
        "/v3/OS-TRUST/trusts",
        r#"{"trust": {"trustor_user_id": "USER", "trustee_user_id": "USER", "impersonation": true, "project_id": "PROJECT", "roles": [{"id": "ROLE"}]}}"#,
    ),
    ("GET", "/v3/regions", ""),
    ("POST", "/v3/regions", r#"{"region": {"id": "mine"}}"#),
    ("DELETE", "/v3/regions/RegionOne", ""),
    ("GET", "/v3/services", ""),
    ("POST", "/v3/services", r#"{"service": {"type": "mine"}}"#),
    ("GET", "/v3/endpoints", ""),
    (
        "POST",
        "/v3/endpoints",
        r#"{"endpoint": {"interface": "public", "service_id": "x", "url": "http://mine"}}"#,
    ),
];

/// Everything that the requests could change, as an administrator sees it.
async fn state(cloud: &Cloud, admin: &str, user: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let of_user = format!("/v3/users/{user}/credentials/OS-EC2");
    let lists = [
        "domains",
        "projects",
        "users",
        "groups",
        "roles",
        "regions",
        "services",
        "endpoints",
        "role_assignments",
    ];
    for path in lists.iter().map(|list| format!("/v3/{list}")).chain([of_user]) {
        all.push(cloud.get(&path, admin).await);
    }
    all
}

pub(crate) async fn nothing_is_open_to_who_has_no_business_there(cloud: Cloud) {
    let admin = cloud.admin().await;
    let (user, token) = cloud.user_on("ada", "member", ADMIN_PROJECT).await;
    let group = cloud.make("group", &admin, json!({"name": "crew"})).await;
    let path = format!("/v3/users/{user}/credentials/OS-EC2");
    let made = cloud.call("POST", &path, &token, json!({"tenant_id": ADMIN_PROJECT})).await.of(201);
    let key = made["credential"]["access"].as_str().unwrap().to_owned();
    let role = cloud.role("reader").await;
    let site = cloud.make("project", &admin, json!({"name": "site"})).await;
    let mut callers = vec![("nobody", String::new()), ("who forges", "gAAAAABforged".to_owned())];
    for role in ["reader", "member", "manager"] {
        callers.push((role, cloud.user_on(&format!("a {role}"), role, &site).await.1));
    }
    let before = state(&cloud, &admin, &user).await;
    for (who, token) in &callers {
        for (method, path, body) in REQUESTS {
            let fill = |text: &str| {
                text.replace("USER", &user)
                    .replace("PROJECT", ADMIN_PROJECT)
                    .replace("ROLE", &role)
                    .replace("GROUP", &group)
                    .replace("KEY", &key)
            };
            let body = if body.is_empty() { Value::Null } else { serde_json::from_str(&fill(body)).unwrap() };
            let reply = cloud.call(method, &fill(path), token, body).await;
            let known = !matches!(*who, "nobody" | "who forges");
            // Its owner proves by the old password who changes it, and needs no token for that.
            let wanted: &[u16] = match *path {
                "/v3/users/USER/password" => &[401],
                _ if !known => &[401],
                open if OPEN.contains(&open) && *method == "GET" => &[200],
                // A manager sees the roles that managers of a domain may give, as in Keystone.
                "/v3/roles/ROLE" if *who == "manager" && *method == "GET" => &[200],
                _ => &[403, 404],
            };
            assert!(
                wanted.contains(&reply.status),
                "{method} {path} by {who}: {} {}",
                reply.status,
                reply.body
            );
        }
    }
    assert_eq!(state(&cloud, &admin, &user).await, before, "a refused request has changed something");
}
