//! `ringfort admin`: users, projects, roles and access keys, for an operator at the machine who needs no password.

use super::show;
use crate::admin::AdminClient;
use crate::args::{AdminAction, AdminArgs, KeyAction, ProjectAction, Target, UserAction};
use crate::secrets::draw_password;
use anyhow::{Context, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// The API of the identity service behind the admin socket.
struct Api(AdminClient);

impl Api {
    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.0.get(&format!("/v1/identity{path}")).await
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.0.post(&format!("/v1/identity{path}"), body).await
    }

    /// The one record of `plural` called `name` in `domain`, or with that id.
    async fn find(&self, plural: &str, name: &str, domain: Option<&str>) -> anyhow::Result<Value> {
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let domain = domain.map(|id| format!("&domain_id={id}")).unwrap_or_default();
        let found = self.get(&format!("/v3/{plural}?name={encoded}{domain}")).await?;
        match found[plural].as_array().map(Vec::as_slice) {
            Some([one]) => Ok(one.clone()),
            Some([]) => {
                let noun = plural.trim_end_matches('s');
                let found = self.get(&format!("/v3/{plural}/{encoded}")).await;
                Ok(found.with_context(|| format!("there is no {noun} `{name}`"))?[noun].clone())
            }
            _ => bail!("there are several {plural} called `{name}`: name the one by its id"),
        }
    }

    async fn domain(&self, name: &str) -> anyhow::Result<String> {
        id_of(&self.find("domains", name, None).await?)
    }
}

fn id_of(record: &Value) -> anyhow::Result<String> {
    record["id"].as_str().map(str::to_owned).context("the answer has no id: is it another version?")
}

pub(crate) async fn run(args: &AdminArgs) -> anyhow::Result<()> {
    match &args.action {
        AdminAction::User(action) => user(action).await,
        AdminAction::Project(action) => project(action).await,
        AdminAction::Key(action) => key(action).await,
        AdminAction::Grant(grant) => {
            let api = Api(AdminClient::new(&grant.target.data));
            let domain = api.domain(&grant.domain).await?;
            let user = id_of(&api.find("users", &grant.user, Some(&domain)).await?)?;
            let project = id_of(&api.find("projects", &grant.project, Some(&domain)).await?)?;
            let role = id_of(&api.find("roles", &grant.role, None).await?)?;
            let path = format!("/v1/identity/v3/projects/{project}/users/{user}/roles/{role}");
            if grant.revoke {
                let () = api.0.delete(&path).await?;
                say!("User {} is no longer {} of project {}.", grant.user, grant.role, grant.project);
            } else {
                let () = api.0.put(&path).await?;
                say!("User {} is {} of project {}.", grant.user, grant.role, grant.project);
            }
            Ok(())
        }
        AdminAction::Openrc(target) => openrc(target).await,
        AdminAction::RotateTokenKeys(target) => {
            let count: usize = AdminClient::new(&target.data).post("/v1/identity-keys/rotate", &()).await?;
            say!("Tokens are sealed under a new key; {count} key(s) open them.");
            Ok(())
        }
    }
}

async fn openrc(target: &Target) -> anyhow::Result<()> {
    let path: String = AdminClient::new(&target.data).post("/v1/openrc", &()).await?;
    say!("The administrator has a new password, which stands in {path}.");
    Ok(())
}

async fn user(action: &UserAction) -> anyhow::Result<()> {
    match action {
        UserAction::List { show } => {
            let api = Api(AdminClient::new(&show.target.data));
            let found = api.get("/v3/users").await?["users"].clone();
            print_list(&found, &["name", "id", "domain_id", "enabled"], show.json)
        }
        UserAction::Create { target, name, domain } => {
            let api = Api(AdminClient::new(&target.data));
            let domain_id = api.domain(domain).await?;
            let password = draw_password(20);
            let body = json!({"user": {"name": name, "domain_id": domain_id, "password": password}});
            let made = api.post("/v3/users", &body).await?;
            say!("User {name} has id {}.\nIts password, shown once: {password}", id_of(&made["user"])?);
            Ok(())
        }
        UserAction::Password { target, name, domain } => {
            let api = Api(AdminClient::new(&target.data));
            let domain_id = api.domain(domain).await?;
            let id = id_of(&api.find("users", name, Some(&domain_id)).await?)?;
            let password = draw_password(20);
            let body = json!({"user": {"password": password}});
            let _: Value = api.0.patch(&format!("/v1/identity/v3/users/{id}"), &body).await?;
            say!("The new password of {name}, shown once: {password}\nIts tokens are no longer valid.");
            Ok(())
        }
        UserAction::Delete { target, name, domain } => {
            let api = Api(AdminClient::new(&target.data));
            let domain_id = api.domain(domain).await?;
            let id = id_of(&api.find("users", name, Some(&domain_id)).await?)?;
            let () = api.0.delete(&format!("/v1/identity/v3/users/{id}")).await?;
            say!("User {name} is gone, and its access keys with it.");
            Ok(())
        }
    }
}

async fn project(action: &ProjectAction) -> anyhow::Result<()> {
    match action {
        ProjectAction::List { show } => {
            let api = Api(AdminClient::new(&show.target.data));
            let found = api.get("/v3/projects").await?["projects"].clone();
            print_list(&found, &["name", "id", "domain_id", "enabled"], show.json)
        }
        ProjectAction::Create { target, name, domain } => {
            let api = Api(AdminClient::new(&target.data));
            let domain_id = api.domain(domain).await?;
            let body = json!({"project": {"name": name, "domain_id": domain_id}});
            let made = api.post("/v3/projects", &body).await?;
            say!("Project {name} has id {}.", id_of(&made["project"])?);
            Ok(())
        }
    }
}

async fn key(action: &KeyAction) -> anyhow::Result<()> {
    match action {
        KeyAction::List { show, user, domain } => {
            let api = Api(AdminClient::new(&show.target.data));
            let domain_id = api.domain(domain).await?;
            let user = id_of(&api.find("users", user, Some(&domain_id)).await?)?;
            let path = format!("/v3/users/{user}/credentials/OS-EC2");
            let mut found = api.get(&path).await?["credentials"].clone();
            // A list is for reading; the secret was shown when the key was made.
            for one in found.as_array_mut().into_iter().flatten() {
                one.as_object_mut().map(|fields| fields.remove("secret"));
            }
            print_list(&found, &["access", "tenant_id"], show.json)
        }
        KeyAction::Create { target, user, project, domain } => {
            let api = Api(AdminClient::new(&target.data));
            let domain_id = api.domain(domain).await?;
            let user = id_of(&api.find("users", user, Some(&domain_id)).await?)?;
            let project = id_of(&api.find("projects", project, Some(&domain_id)).await?)?;
            let path = format!("/v3/users/{user}/credentials/OS-EC2");
            let made = api.post(&path, &json!({"tenant_id": project})).await?["credential"].clone();
            let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
            say!("AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}", text("access"), text("secret"));
            Ok(())
        }
        KeyAction::Delete { target, user, access, domain } => {
            let api = Api(AdminClient::new(&target.data));
            let domain_id = api.domain(domain).await?;
            let user = id_of(&api.find("users", user, Some(&domain_id)).await?)?;
            let access = utf8_percent_encode(access, NON_ALPHANUMERIC);
            let path = format!("/v1/identity/v3/users/{user}/credentials/OS-EC2/{access}");
            let () = api.0.delete(&path).await?;
            say!("The access key is gone.");
            Ok(())
        }
    }
}

fn print_list(found: &Value, columns: &[&str], json: bool) -> anyhow::Result<()> {
    if json {
        return show::json(found);
    }
    let cell = |one: &Value, name: &str| match &one[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let row = |one: &Value| columns.iter().map(|name| cell(one, name)).collect();
    say!("{}", show::table(columns, &[], found.as_array().into_iter().flatten().map(row)));
    Ok(())
}
