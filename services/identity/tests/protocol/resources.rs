//! Domains, projects, users, groups and the catalogue: made, shown, changed, listed, removed.

use crate::cloud::{ADMIN_PROJECT, Cloud, field};
use serde_json::{Value, json};

pub(crate) async fn domains_come_and_go(cloud: Cloud) {
    let admin = cloud.admin().await;
    let body = json!({"domain": {"name": "d", "description": "x", "colour": "blue"}});
    let made = cloud.call("POST", "/v3/domains", &admin, body.clone()).await.of(201)["domain"].clone();
    let id = made["id"].as_str().unwrap();
    let wanted = json!({"id": id, "name": "d", "description": "x", "enabled": true, "options": {}, "tags": [],
        "colour": "blue", "links": {"self": format!("http://keystone.test:5000/v3/domains/{id}")}});
    assert_eq!(made, wanted);
    let path = format!("/v3/domains/{id}");
    assert_eq!(cloud.get(&path, &admin).await["domain"], wanted);
    let twice = cloud.call("POST", "/v3/domains", &admin, body).await.of(409);
    assert_eq!(twice["error"]["title"], "Conflict");
    let user = cloud.make("user", &admin, json!({"name": "u", "domain_id": id})).await;
    let group = cloud.make("group", &admin, json!({"name": "g", "domain_id": id})).await;
    let project = cloud.make("project", &admin, json!({"name": "p", "domain_id": id})).await;
    let child = cloud.make("project", &admin, json!({"name": "q", "parent_id": project})).await;
    cloud.call("DELETE", &path, &admin, Value::Null).await.of(403);
    cloud.call("PATCH", &path, &admin, json!({"domain": {"enabled": false}})).await.of(200);
    cloud.done("DELETE", &path, &admin).await;
    for gone in [
        format!("users/{user}"),
        format!("groups/{group}"),
        format!("projects/{child}"),
        format!("domains/{id}"),
    ] {
        cloud.call("GET", &format!("/v3/{gone}"), &admin, Value::Null).await.of(404);
    }
    cloud.call("DELETE", "/v3/domains/default", &admin, Value::Null).await.of(403);
}

pub(crate) async fn projects_form_a_tree(cloud: Cloud) {
    let admin = cloud.admin().await;
    let mut ids = vec![cloud.make("project", &admin, json!({"name": "p0", "tags": ["a", "b"]})).await];
    for depth in 1..5 {
        let parent = ids.last().unwrap();
        ids.push(
            cloud.make("project", &admin, json!({"name": format!("p{depth}"), "parent_id": parent})).await,
        );
    }
    let too_deep = json!({"project": {"name": "p5", "parent_id": ids[4]}});
    cloud.call("POST", "/v3/projects", &admin, too_deep).await.of(403);
    let shown = cloud.get(&format!("/v3/projects/{}?parents_as_ids", ids[2]), &admin).await;
    assert_eq!(shown["project"]["parents"], json!({(&ids[1]): {(&ids[0]): null}}));
    assert_eq!(shown["project"]["domain_id"], "default");
    let shown = cloud.get(&format!("/v3/projects/{}?subtree_as_list", ids[3]), &admin).await;
    assert_eq!(shown["project"]["subtree"][0]["project"]["id"], *ids[4]);
    let below = cloud.get(&format!("/v3/projects/{}?subtree_as_ids", ids[3]), &admin).await;
    assert_eq!(below["project"]["subtree"], json!({(&ids[4]): null}));
    cloud.call("DELETE", &format!("/v3/projects/{}", ids[0]), &admin, Value::Null).await.of(403);
    for fixed in [json!({"parent_id": ids[3]}), json!({"domain_id": "other"}), json!({"is_domain": true})] {
        let path = format!("/v3/projects/{}", ids[1]);
        cloud.call("PATCH", &path, &admin, json!({"project": fixed})).await.of(400);
    }
    // Tags.
    let tags = format!("/v3/projects/{}/tags", ids[0]);
    assert_eq!(cloud.get(&tags, &admin).await["tags"], json!(["a", "b"]));
    cloud.call("PUT", &format!("{tags}/c"), &admin, Value::Null).await.of(201);
    cloud.done("GET", &format!("{tags}/c"), &admin).await;
    cloud.done("DELETE", &format!("{tags}/a"), &admin).await;
    cloud.call("GET", &format!("{tags}/a"), &admin, Value::Null).await.of(404);
    let found = cloud.get("/v3/projects?tags=b,c", &admin).await;
    assert_eq!(field(&found["projects"], "id"), [ids[0].clone()]);
    assert_eq!(cloud.get("/v3/projects?tags=b,x", &admin).await["projects"], json!([]));
    cloud.call("PUT", &tags, &admin, json!({"tags": ["z", "z"]})).await.of(400);
    cloud.call("PUT", &tags, &admin, json!({"tags": ["z"]})).await.of(200);
    assert_eq!(cloud.get(&format!("/v3/projects/{}", ids[0]), &admin).await["project"]["tags"], json!(["z"]));
    for id in ids.iter().rev() {
        cloud.done("DELETE", &format!("/v3/projects/{id}"), &admin).await;
    }
    // A project may act as a domain.
    let body = json!({"project": {"name": "as-domain", "is_domain": true}});
    let made = cloud.call("POST", "/v3/projects", &admin, body).await.of(201)["project"].clone();
    assert_eq!((&made["domain_id"], &made["parent_id"]), (&Value::Null, &Value::Null));
    cloud.get(&format!("/v3/domains/{}", made["id"].as_str().unwrap()), &admin).await;
}

pub(crate) async fn users_and_groups(cloud: Cloud) {
    let admin = cloud.admin().await;
    let body = json!({"user": {"name": "ada", "password": "pw", "email": "ada@x", "description": null}});
    let made = cloud.call("POST", "/v3/users", &admin, body).await.of(201)["user"].clone();
    let id = made["id"].as_str().unwrap().to_owned();
    let wanted = json!({"id": id, "name": "ada", "domain_id": "default", "enabled": true, "email": "ada@x",
        "description": null, "options": {}, "password_expires_at": null,
        "links": {"self": format!("http://keystone.test:5000/v3/users/{id}")}});
    assert_eq!(made, wanted);
    let path = format!("/v3/users/{id}");
    let change = json!({"user": {"email": "b@x", "name": "grace"}});
    let changed = cloud.call("PATCH", &path, &admin, change).await.of(200);
    assert_eq!((&changed["user"]["name"], &changed["user"]["email"]), (&json!("grace"), &json!("b@x")));
    cloud.call("PATCH", &path, &admin, json!({"user": {"domain_id": "other"}})).await.of(400);
    let group = cloud.make("group", &admin, json!({"name": "g"})).await;
    let member = format!("/v3/groups/{group}/users/{id}");
    cloud.call("GET", &member, &admin, Value::Null).await.of(404);
    cloud.done("PUT", &member, &admin).await;
    cloud.done("PUT", &member, &admin).await;
    cloud.done("HEAD", &member, &admin).await;
    assert_eq!(
        field(&cloud.get(&format!("/v3/groups/{group}/users"), &admin).await["users"], "id"),
        [id.as_str()]
    );
    assert_eq!(field(&cloud.get(&format!("{path}/groups"), &admin).await["groups"], "name"), ["g"]);
    cloud.done("DELETE", &member, &admin).await;
    cloud.call("DELETE", &member, &admin, Value::Null).await.of(404);
    cloud.call("PUT", &format!("/v3/groups/{group}/users/none"), &admin, Value::Null).await.of(404);
    let renamed = json!({"group": {"name": "h", "description": "d"}});
    let renamed = cloud.call("PATCH", &format!("/v3/groups/{group}"), &admin, renamed).await.of(200);
    assert_eq!(renamed["group"]["description"], "d");
    cloud.done("PUT", &member, &admin).await;
    cloud.done("DELETE", &path, &admin).await;
    assert_eq!(cloud.get(&format!("/v3/groups/{group}/users"), &admin).await["users"], json!([]));
    cloud.done("DELETE", &format!("/v3/groups/{group}"), &admin).await;
}

pub(crate) async fn the_catalogue(cloud: Cloud) {
    let admin = cloud.admin().await;
    let service = cloud.make("service", &admin, json!({"type": "image", "name": "glance"})).await;
    let region = json!({"region": {"description": "north"}});
    cloud.call("PUT", "/v3/regions/north", &admin, region.clone()).await.of(201);
    cloud.call("PUT", "/v3/regions/north", &admin, region).await.of(409);
    let child = cloud.make("region", &admin, json!({"id": "north-1", "parent_region_id": "north"})).await;
    assert_eq!(child, "north-1");
    let lost = json!({"region": {"parent_region_id": "none"}});
    cloud.call("POST", "/v3/regions", &admin, lost).await.of(404);
    cloud.call("DELETE", "/v3/regions/north", &admin, Value::Null).await.of(403);
    let fields = json!({"service_id": service, "interface": "public", "region": "north", "url": "http://g/$(tenant_id)s"});
    let endpoint = cloud.make("endpoint", &admin, fields).await;
    let bad = json!({"endpoint": {"service_id": "none", "interface": "public", "url": "http://x"}});
    cloud.call("POST", "/v3/endpoints", &admin, bad).await.of(400);
    let bad = json!({"endpoint": {"service_id": service, "interface": "open", "url": "http://x"}});
    cloud.call("POST", "/v3/endpoints", &admin, bad).await.of(400);
    let url = async || {
        let catalog = cloud.get("/v3/auth/catalog", &admin).await["catalog"].clone();
        let image = catalog.as_array().unwrap().iter().find(|one| one["type"] == "image").cloned();
        image.map(|image| image["endpoints"].clone())
    };
    assert_eq!(url().await.unwrap()[0]["url"], format!("http://g/{ADMIN_PROJECT}"));
    assert_eq!(url().await.unwrap()[0]["region"], "north");
    let path = format!("/v3/endpoints/{endpoint}");
    cloud.call("PATCH", &path, &admin, json!({"endpoint": {"enabled": false}})).await.of(200);
    assert_eq!(url().await.unwrap(), json!([]));
    assert_eq!(
        field(&cloud.get(&format!("/v3/endpoints?service_id={service}"), &admin).await["endpoints"], "id"),
        [endpoint]
    );
    cloud.done("DELETE", &format!("/v3/services/{service}"), &admin).await;
    cloud.call("GET", &path, &admin, Value::Null).await.of(404);
    cloud.done("DELETE", "/v3/regions/north-1", &admin).await;
    cloud.done("DELETE", "/v3/regions/north", &admin).await;
}

pub(crate) async fn lists_are_filtered_and_paged(cloud: Cloud) {
    let admin = cloud.admin().await;
    for name in ["Alpha", "alphabet", "beta", "gamma"] {
        cloud.make("user", &admin, json!({"name": name, "enabled": name != "gamma"})).await;
    }
    let names =
        async |query: &str| field(&cloud.get(&format!("/v3/users?{query}"), &admin).await["users"], "name");
    assert_eq!(names("name=beta").await, ["beta"]);
    assert_eq!(names("name=none").await, Vec::<String>::new());
    assert_eq!(names("name__icontains=ALPHA").await, ["Alpha", "alphabet"]);
    assert_eq!(names("name__startswith=alpha").await, ["alphabet"]);
    assert_eq!(names("enabled=false").await, ["gamma"]);
    assert_eq!(names("unknown=x").await.len(), 5);
    let mut seen = Vec::new();
    let mut path = "/v3/users?limit=2".to_owned();
    loop {
        let page = cloud.get(&path, &admin).await;
        seen.extend(field(&page["users"], "name"));
        assert!(page["users"].as_array().unwrap().len() <= 2);
        let Some(next) = page["links"]["next"].as_str() else { break };
        path = next.strip_prefix("http://keystone.test:5000").unwrap().to_owned();
    }
    seen.sort();
    assert_eq!(seen, ["Alpha", "admin", "alphabet", "beta", "gamma"]);
}
