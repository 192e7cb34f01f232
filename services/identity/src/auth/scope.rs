//! What a token shall be for.

use super::methods::domain_in;
use crate::error::{ApiError, Result};
use crate::service::Identity;
use crate::store::{PROJECTS, Record, TRUSTS, Target, USERS, text_of};
use crate::token::{Scope, is_current};
use serde_json::Value;

/// The scope in `scope`; without one the user's default project, if it has a role there, or none at all.
pub(crate) async fn wanted_scope(service: &Identity, scope: Option<&Value>, user_id: &str) -> Result<Scope> {
    let scope = match scope {
        None | Some(Value::Null) => return default_scope(service, user_id).await,
        Some(Value::String(word)) if word == "unscoped" => return Ok(Scope::Unscoped),
        Some(Value::Object(scope)) => scope,
        Some(_) => return Err(ApiError::bad_request("Invalid input for field 'scope': it is no object")),
    };
    if scope.len() > 1 {
        return Err(ApiError::bad_request("A token has one scope: a project, a domain or the system."));
    }
    match scope.iter().next().map(|(kind, content)| (kind.as_str(), content)) {
        None => Ok(Scope::Unscoped),
        Some(("project", Value::Object(project))) => {
            let id = find_project(service, project).await?;
            id.map(Scope::Project).ok_or_else(ApiError::unauthorized)
        }
        Some(("domain", domain @ Value::Object(_))) => {
            let mut named = Record::new();
            named.insert("domain".to_owned(), domain.clone());
            domain_in(service, &named).await?.map(Scope::Domain).ok_or_else(ApiError::unauthorized)
        }
        Some(("system", content)) if content["all"] == Value::Bool(true) => Ok(Scope::System),
        Some((kind, _)) => Err(ApiError::bad_request(format!("Invalid input for field 'scope': '{kind}'"))),
    }
}

async fn default_scope(service: &Identity, user_id: &str) -> Result<Scope> {
    let store = &service.inner.store;
    let user = store.find(&USERS, user_id).await?;
    let project_id = user.as_ref().map(|user| text_of(user, "default_project_id")).unwrap_or_default();
    if project_id.is_empty() || store.roles_on(user_id, &Target::project(project_id)).await?.is_empty() {
        return Ok(Scope::Unscoped);
    }
    Ok(Scope::Project(project_id.to_owned()))
}

async fn find_project(service: &Identity, project: &Record) -> Result<Option<String>> {
    match (project.get("id"), project.get("name")) {
        (Some(Value::String(id)), _) => Ok(Some(id.clone())),
        (None, Some(Value::String(name))) => {
            let Some(domain_id) = domain_in(service, project).await? else { return Ok(None) };
            let filters = [("name", Value::from(name.as_str())), ("domain_id", domain_id.into())];
            let found = service.inner.store.list(&PROJECTS, &filters).await?;
            Ok(found.first().map(|project| text_of(project, "id").to_owned()))
        }
        _ => Err(ApiError::bad_request("Invalid input for field 'project': it has no id and no name")),
    }
}

/// The trust that `scope` names, and what it is for, if it does and the user `user_id` may use it.
pub(crate) async fn wanted_trust(
    service: &Identity,
    scope: Option<&Value>,
    user_id: &str,
) -> Result<Option<(Record, Scope)>> {
    let Some(Value::Object(scope)) = scope else { return Ok(None) };
    let Some(trust) = scope.get("OS-TRUST:trust") else { return Ok(None) };
    if scope.len() > 1 {
        return Err(ApiError::bad_request(
            "A token has one scope: a project, a domain, the system or a trust.",
        ));
    }
    let id = trust["id"].as_str();
    let id =
        id.ok_or_else(|| ApiError::bad_request("Invalid input for field 'OS-TRUST:trust': it has no id"))?;
    let found = service.inner.store.find(&TRUSTS, id).await?.filter(is_current);
    let trust = found.ok_or_else(ApiError::unauthorized)?;
    if text_of(&trust, "trustee_user_id") != user_id {
        return Err(ApiError::denied("User is not a trustee."));
    }
    let scope = match text_of(&trust, "project_id") {
        "" => Scope::Unscoped,
        project_id => Scope::Project(project_id.to_owned()),
    };
    Ok(Some((trust, scope)))
}
