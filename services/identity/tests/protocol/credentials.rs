//! Access keys, application credentials, and what lies in the database.

use crate::cloud::{ADMIN_PROJECT, Cloud, field};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use ringfort_identity_api::IdentityPort;
use serde_json::{Value, json};
use sha1::Sha1;

pub(crate) async fn ec2_credentials(cloud: Cloud) {
    let admin = cloud.admin().await;
    let (user, token) = cloud.user_on("ada", "member", ADMIN_PROJECT).await;
    let (_, other) = cloud.user_on("bob", "member", ADMIN_PROJECT).await;
    let path = format!("/v3/users/{user}/credentials/OS-EC2");
    let body = json!({"tenant_id": ADMIN_PROJECT});
    cloud.call("POST", &path, &other, body.clone()).await.of(403);
    let made = cloud.call("POST", &path, &token, body).await.of(201)["credential"].clone();
    let (access, secret) = (made["access"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(made["links"]["self"], format!("http://keystone.test:5000{path}/{access}"));
    let one = format!("{path}/{access}");
    assert_eq!(cloud.get(&one, &token).await["credential"]["secret"], *secret);
    cloud.call("GET", &one, &other, Value::Null).await.of(403);
    assert_eq!(field(&cloud.get(&path, &token).await["credentials"], "access"), [access]);
    // The same in the other API, for its owner only.
    assert_eq!(cloud.get("/v3/credentials", &token).await["credentials"].as_array().unwrap().len(), 1);
    assert_eq!(cloud.get("/v3/credentials", &other).await["credentials"], json!([]));

    // A gateway asks.
    let found = cloud.identity.ec2_credential(access).await.unwrap().unwrap();
    assert_eq!((found.secret_key.as_str(), found.holder.user_id.as_str()), (secret, user.as_str()));
    assert_eq!(found.holder.project.unwrap().id, ADMIN_PROJECT);
    assert!(cloud.identity.ec2_credential("none").await.unwrap().is_none());
    // A service forwards what somebody signed.
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(b"a text to sign");
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let ask = |signature: &str| json!({"credentials": {"access": access, "signature": signature, "token": STANDARD.encode("a text to sign")}});
    let known = cloud.call("POST", "/v3/s3tokens", &admin, ask(&signature)).await.of(200);
    assert_eq!(
        (&known["token"]["user"]["id"], &known["token"]["project"]["id"]),
        (&json!(user), &json!(ADMIN_PROJECT))
    );
    cloud.call("POST", "/v3/s3tokens", &admin, ask("AAAA")).await.of(401);
    cloud.call("POST", "/v3/s3tokens", &token, ask(&signature)).await.of(403);
    cloud.call("POST", "/v3/ec2tokens", &admin, json!({"credentials": {}})).await.of(401);
    cloud.call("POST", "/v3/ec2tokens", &admin, json!({"credentials": 5})).await.of(401);
    // A user who is disabled has no key.
    let disable = json!({"user": {"enabled": false}});
    cloud.call("PATCH", &format!("/v3/users/{user}"), &admin, disable).await.of(200);
    assert!(cloud.identity.ec2_credential(access).await.unwrap().is_none());
    cloud
        .call("PATCH", &format!("/v3/users/{user}"), &admin, json!({"user": {"enabled": true}}))
        .await
        .of(200);
    cloud.done("DELETE", &one, &admin).await;
    cloud.call("GET", &one, &other, Value::Null).await.of(404);
    assert!(cloud.identity.ec2_credential(access).await.unwrap().is_none());
}

pub(crate) async fn application_credentials(cloud: Cloud) {
    let admin = cloud.admin().await;
    let (user, token) = cloud.user_on("ada", "member", ADMIN_PROJECT).await;
    let path = format!("/v3/users/{user}/application_credentials");
    let make = async |fields: Value| {
        cloud.call("POST", &path, &token, json!({"application_credential": fields})).await
    };
    make(json!({"name": "x", "roles": [{"name": "admin"}]})).await.of(400);
    make(json!({"name": "x", "expires_at": "2001-01-01T00:00:00Z"})).await.of(400);
    let made =
        make(json!({"name": "app", "roles": [{"name": "reader"}]})).await.of(201)["application_credential"]
            .clone();
    assert_eq!((&made["project_id"], &made["unrestricted"]), (&json!(ADMIN_PROJECT), &json!(false)));
    make(json!({"name": "app"})).await.of(409);
    cloud.call("POST", &path, &admin, json!({"application_credential": {"name": "y"}})).await.of(403);
    let id = made["id"].as_str().unwrap();
    assert!(
        cloud.get(&format!("{path}/{id}"), &token).await["application_credential"].get("secret").is_none()
    );
    let log_in = async |claim: Value, scope: Value| {
        let mut auth =
            json!({"identity": {"methods": ["application_credential"], "application_credential": claim}});
        if !scope.is_null() {
            auth["scope"] = scope;
        }
        cloud.call("POST", "/v3/auth/tokens", "", json!({"auth": auth})).await
    };
    let claim = json!({"id": id, "secret": made["secret"]});
    let reply = log_in(claim.clone(), Value::Null).await;
    let lent = reply.token();
    let shown = reply.of(201)["token"].clone();
    assert_eq!(field(&shown["roles"], "name"), ["reader"]);
    assert_eq!(shown["application_credential"]["restricted"], true);
    let by_name = json!({"name": "app", "secret": made["secret"], "user": {"id": user}});
    log_in(by_name, Value::Null).await.of(201);
    log_in(json!({"id": id, "secret": "wrong"}), Value::Null).await.of(401);
    log_in(claim.clone(), json!({"project": {"id": ADMIN_PROJECT}})).await.of(401);
    // What it lends does not grow.
    let rescope = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": lent}}}});
    cloud.call("POST", "/v3/auth/tokens", "", rescope).await.of(403);
    cloud.call("POST", &path, &lent, json!({"application_credential": {"name": "z"}})).await.of(403);
    cloud.call("GET", "/v3/credentials", &lent, Value::Null).await.of(403);
    // Access rules bound what it may call, here too.
    let rules = json!([{"service": "identity", "method": "GET", "path": "/v3/auth/projects"}]);
    let bound =
        make(json!({"name": "bound", "access_rules": rules})).await.of(201)["application_credential"].clone();
    let bound = log_in(json!({"id": bound["id"], "secret": bound["secret"]}), Value::Null).await.token();
    cloud.get("/v3/auth/projects", &bound).await;
    cloud.call("GET", "/v3/auth/catalog", &bound, Value::Null).await.of(401);
    assert_eq!(cloud.identity.holder_of(&bound).await.unwrap().unwrap().access_rules.unwrap().len(), 1);
    let listed = cloud.get(&format!("/v3/users/{user}/access_rules"), &token).await["access_rules"].clone();
    assert_eq!(field(&listed, "path"), ["/v3/auth/projects"]);
    let rule = format!("/v3/users/{user}/access_rules/{}", listed[0]["id"].as_str().unwrap());
    cloud.call("DELETE", &rule, &token, Value::Null).await.of(403);
    // It ends with the role that it lends, and when it is removed.
    let role = cloud.role("member").await;
    let grant = format!("/v3/projects/{ADMIN_PROJECT}/users/{user}/roles/{role}");
    cloud.done("DELETE", &grant, &admin).await;
    cloud.call("GET", "/v3/auth/projects", &lent, Value::Null).await.of(401);
    log_in(claim.clone(), Value::Null).await.of(401);
    cloud.done("PUT", &grant, &admin).await;
    let lent = log_in(claim.clone(), Value::Null).await.token();
    cloud.done("DELETE", &format!("{path}/{id}"), &admin).await;
    cloud.call("GET", "/v3/auth/projects", &lent, Value::Null).await.of(401);
    log_in(claim, Value::Null).await.of(401);
}

/// Nothing that opens anything can be read in the database.
pub(crate) async fn secrets_are_sealed(cloud: Cloud) {
    let (user, token) = cloud.user_on("ada", "member", ADMIN_PROJECT).await;
    let path = format!("/v3/users/{user}/credentials/OS-EC2");
    let body = json!({"tenant_id": ADMIN_PROJECT});
    let made = cloud.call("POST", &path, &token, body).await.of(201)["credential"].clone();
    let rows = cloud.db.fetch("SELECT blob FROM credentials", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].text(0).contains(made["secret"].as_str().unwrap()));
    for row in cloud.db.fetch("SELECT hash FROM passwords", &[]).await.unwrap() {
        assert!(row.text(0).starts_with("$argon2id$"), "{}", row.text(0));
    }
}
