//! Who has which role on what.

use crate::cloud::{ADMIN_PROJECT, Cloud, field};
use serde_json::{Value, json};

pub(crate) async fn roles_reach_where_they_should(cloud: Cloud) {
    let admin = cloud.admin().await;
    let user = cloud.make("user", &admin, json!({"name": "ada", "password": "pw"})).await;
    let group = cloud.make("group", &admin, json!({"name": "g"})).await;
    let parent = cloud.make("project", &admin, json!({"name": "parent"})).await;
    let child = cloud.make("project", &admin, json!({"name": "child", "parent_id": parent})).await;
    cloud.done("PUT", &format!("/v3/groups/{group}/users/{user}"), &admin).await;
    let (member, reader) = (cloud.role("member").await, cloud.role("reader").await);
    let roles = async |project: &str| {
        let reply = cloud.log_in(json!({"id": user}), "pw", json!({"project": {"id": project}})).await;
        if reply.status == 401 { Vec::new() } else { field(&reply.of(201)["token"]["roles"], "name") }
    };
    assert!(roles(&parent).await.is_empty());
    // Through a group.
    let grant = format!("/v3/projects/{parent}/groups/{group}/roles/{reader}");
    cloud.done("PUT", &grant, &admin).await;
    cloud.done("HEAD", &grant, &admin).await;
    assert_eq!((roles(&parent).await, roles(&child).await), (vec!["reader".to_owned()], vec![]));
    // Inherited from the parent: below it, not on it.
    let inherited =
        format!("/v3/OS-INHERIT/projects/{parent}/users/{user}/roles/{member}/inherited_to_projects");
    cloud.done("PUT", &inherited, &admin).await;
    cloud.done("GET", &inherited, &admin).await;
    assert_eq!(roles(&parent).await, ["reader"]);
    assert_eq!(roles(&child).await, ["member", "reader"]);
    cloud.done("DELETE", &inherited, &admin).await;
    assert!(roles(&child).await.is_empty());
    // Inherited from the domain.
    let inherited =
        format!("/v3/OS-INHERIT/domains/default/groups/{group}/roles/{member}/inherited_to_projects");
    cloud.done("PUT", &inherited, &admin).await;
    assert_eq!(roles(&child).await, ["member", "reader"]);
    let listed = cloud.get(&format!("/v3/users/{user}/projects"), &admin).await;
    assert!(field(&listed["projects"], "id").contains(&child));
    cloud.done("DELETE", &inherited, &admin).await;
    cloud.done("DELETE", &grant, &admin).await;
    cloud.call("DELETE", &grant, &admin, Value::Null).await.of(404);
    assert!(roles(&parent).await.is_empty());
    for wrong in [
        format!("/v3/projects/{parent}/users/none/roles/{member}"),
        format!("/v3/projects/{parent}/users/{user}/roles/none"),
        format!("/v3/projects/none/users/{user}/roles/{member}"),
        format!("/v3/domains/{parent}/users/{user}/roles/{member}"),
    ] {
        cloud.call("PUT", &wrong, &admin, Value::Null).await.of(404);
    }
}

pub(crate) async fn assignments_are_listed(cloud: Cloud) {
    let admin = cloud.admin().await;
    let project = cloud.make("project", &admin, json!({"name": "p"})).await;
    let (user, token) = cloud.user_on("ada", "member", &project).await;
    let group = cloud.make("group", &admin, json!({"name": "g"})).await;
    let reader = cloud.role("reader").await;
    cloud.done("PUT", &format!("/v3/domains/default/groups/{group}/roles/{reader}"), &admin).await;
    let list = async |query: &str| {
        cloud.get(&format!("/v3/role_assignments?{query}"), &admin).await["role_assignments"].clone()
    };
    let given = list(&format!("user.id={user}&include_names=true")).await;
    assert_eq!(given.as_array().unwrap().len(), 1);
    assert_eq!(given[0]["role"]["name"], "member");
    assert_eq!(given[0]["user"]["domain"]["name"], "Default");
    assert_eq!(given[0]["scope"]["project"]["name"], "p");
    let bare = list(&format!("scope.project.id={project}")).await;
    assert_eq!(bare[0]["user"], json!({"id": user}));
    assert_eq!(list("scope.domain.id=default").await[0]["group"]["id"], *group);
    assert_eq!(list("scope.system=all").await.as_array().unwrap().len(), 1);
    // What takes effect: with implied roles, groups as their members.
    cloud.done("PUT", &format!("/v3/groups/{group}/users/{user}"), &admin).await;
    let effective = list(&format!("user.id={user}&effective&include_names")).await;
    let roles: Vec<&str> =
        effective.as_array().unwrap().iter().filter_map(|one| one["role"]["name"].as_str()).collect();
    assert_eq!(roles.iter().filter(|role| **role == "reader").count(), 2, "{effective}");
    assert!(roles.contains(&"member") && effective.as_array().unwrap().len() == 3, "{effective}");
    cloud.call("GET", "/v3/role_assignments", &token, Value::Null).await.of(403);
    cloud.call("GET", "/v3/role_assignments?user.id=a&group.id=b", &admin, Value::Null).await.of(400);
}

pub(crate) async fn implied_roles(cloud: Cloud) {
    let admin = cloud.admin().await;
    let first = cloud.make("role", &admin, json!({"name": "first"})).await;
    let second = cloud.make("role", &admin, json!({"name": "second"})).await;
    let path = format!("/v3/roles/{first}/implies/{second}");
    cloud.call("GET", &path, &admin, Value::Null).await.of(404);
    let made = cloud.call("PUT", &path, &admin, Value::Null).await.of(201);
    assert_eq!(made["role_inference"]["implies"]["name"], "second");
    cloud.get(&path, &admin).await;
    // A circle ends nobody's request.
    cloud.call("PUT", &format!("/v3/roles/{second}/implies/{first}"), &admin, Value::Null).await.of(201);
    let (_, token) = cloud.user_on("ada", "first", ADMIN_PROJECT).await;
    let headers = [("x-auth-token", token.as_str()), ("x-subject-token", &token)];
    let shown = cloud.raw("GET", "/v3/auth/tokens", &headers, bytes::Bytes::new()).await.of(200);
    assert_eq!(field(&shown["token"]["roles"], "name"), ["first", "second"]);
    let all = cloud.get("/v3/role_inferences", &admin).await;
    assert!(all["role_inferences"].as_array().unwrap().len() >= 5);
    assert_eq!(
        cloud.get(&format!("/v3/roles/{first}/implies"), &admin).await["role_inference"]["implies"][0]["id"],
        *second
    );
    cloud.done("DELETE", &path, &admin).await;
    // A domain's role takes effect by what it implies, and none that all share implies it.
    let local = cloud.make("role", &admin, json!({"name": "local", "domain_id": "default"})).await;
    let rob = cloud.make("user", &admin, json!({"name": "rob", "password": "pw"})).await;
    cloud.done("PUT", &format!("/v3/projects/{ADMIN_PROJECT}/users/{rob}/roles/{local}"), &admin).await;
    let scope = json!({"project": {"id": ADMIN_PROJECT}});
    cloud.log_in(json!({"id": rob}), "pw", scope.clone()).await.of(401);
    let effective = format!("/v3/role_assignments?effective&user.id={rob}");
    assert_eq!(cloud.get(&effective, &admin).await["role_assignments"], json!([]));
    let local_path = format!("/v3/roles/{local}/implies/{first}");
    cloud.call("PUT", &local_path, &admin, Value::Null).await.of(201);
    let shown = cloud.log_in(json!({"id": rob}), "pw", scope).await.of(201);
    assert_eq!(field(&shown["token"]["roles"], "name"), ["first"]);
    cloud.call("PUT", &format!("/v3/roles/{first}/implies/{local}"), &admin, Value::Null).await.of(403);
    let up = cloud.role("admin").await;
    cloud.call("PUT", &format!("/v3/roles/{first}/implies/{up}"), &admin, Value::Null).await.of(403);
    cloud.done("DELETE", &format!("/v3/roles/{second}"), &admin).await;
    cloud.call("GET", "/v3/roles/none", &admin, Value::Null).await.of(404);
}

/// A domain's manager keeps its users and projects and gives out the lesser roles, and nothing beyond.
pub(crate) async fn nobody_grants_more_than_they_may(cloud: Cloud) {
    let admin = cloud.admin().await;
    let domain = cloud.make("domain", &admin, json!({"name": "d"})).await;
    let boss =
        cloud.make("user", &admin, json!({"name": "boss", "domain_id": domain, "password": "pw"})).await;
    let manager = cloud.role("manager").await;
    cloud.done("PUT", &format!("/v3/domains/{domain}/users/{boss}/roles/{manager}"), &admin).await;
    let token = cloud.log_in(json!({"id": boss}), "pw", json!({"domain": {"id": domain}})).await.token();
    let project = cloud.make("project", &token, json!({"name": "p"})).await;
    let user = cloud.make("user", &token, json!({"name": "u"})).await;
    assert_eq!(cloud.get(&format!("/v3/users/{user}"), &token).await["user"]["domain_id"], *domain);
    assert_eq!(field(&cloud.get("/v3/users", &token).await["users"], "name"), ["boss", "u"]);
    assert_eq!(field(&cloud.get("/v3/projects", &token).await["projects"], "name"), ["p"]);
    let grant = async |user: &str, project: &str, role: &str| {
        let role = cloud.role(role).await;
        let path = format!("/v3/projects/{project}/users/{user}/roles/{role}");
        cloud.call("PUT", &path, &token, Value::Null).await.status
    };
    assert_eq!(grant(&user, &project, "member").await, 204);
    for (user, project, role) in [
        (&user, project.as_str(), "admin"),
        (&user, ADMIN_PROJECT, "member"),
        (&boss, ADMIN_PROJECT, "admin"),
    ] {
        assert_eq!(grant(user, project, role).await, 403, "{role}");
    }
    for (path, body) in [
        ("/v3/users", json!({"user": {"name": "x", "domain_id": "default"}})),
        ("/v3/projects", json!({"project": {"name": "x", "domain_id": "default"}})),
        ("/v3/domains", json!({"domain": {"name": "x"}})),
        ("/v3/roles", json!({"role": {"name": "x"}})),
    ] {
        cloud.call("POST", path, &token, body).await.of(403);
    }
    cloud.call("GET", "/v3/users?domain_id=default", &token, Value::Null).await.of(403);
}
