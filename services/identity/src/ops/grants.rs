//! Giving and taking roles: `/v3/{projects,domains}/{id}/{users,groups}/{id}/roles/{id}`, the same under `/v3/system` and, for what
//! is inherited, under `/v3/OS-INHERIT`; and `/v3/role_assignments`.

mod listing;

pub(crate) use listing::list_assignments;

use super::no_method;
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Verb, collection, shown};
use crate::store::{Actor, Assignment, GROUPS, PROJECTS, ROLES, Record, Target, TargetKind, USERS, flag_of};
use serde_json::{Map, Value, json};

/// `/v3/system/{users,groups}/{id}/roles...`
pub(crate) async fn serve_system(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    match rest {
        [actors @ ("users" | "groups"), actor, "roles", rest @ ..] => {
            serve(call, Target::system(), actors, actor, rest, false).await
        }
        _ => Err(ApiError::no_path()),
    }
}

/// `/v3/OS-INHERIT/{projects,domains}/{id}/{users,groups}/{id}/roles[/{id}]/inherited_to_projects`
pub(crate) async fn serve_inherited(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    let [targets, id, actors @ ("users" | "groups"), actor, "roles", role @ .., "inherited_to_projects"] =
        rest
    else {
        return Err(ApiError::no_path());
    };
    let target = match *targets {
        "projects" => Target::project(id),
        "domains" => Target::domain(id),
        _ => return Err(ApiError::no_path()),
    };
    serve(call, target, actors, actor, role, true).await
}

/// One role of an actor on a target, or the list of them.
pub(crate) async fn serve(
    call: &mut Call,
    target: Target,
    actors: &str,
    actor_id: &str,
    rest: &[&str],
    inherited: bool,
) -> Result<Answer> {
    let is_user = actors == "users";
    let actor = if is_user { Actor::User(actor_id.to_owned()) } else { Actor::Group(actor_id.to_owned()) };
    let system = target.kind == TargetKind::System;
    let store = call.service.inner.store.clone();
    let action = match (rest, call.verb) {
        ([], Verb::Get) => {
            if system {
                "list_system_grants"
            } else {
                "list_grants"
            }
        }
        ([_], Verb::Get) => {
            if system {
                "check_system_grant"
            } else {
                "check_grant"
            }
        }
        ([_], Verb::Put) => {
            if system {
                "create_system_grant"
            } else {
                "create_grant"
            }
        }
        ([_], Verb::Delete) => {
            if system {
                "revoke_system_grant"
            } else {
                "revoke_grant"
            }
        }
        ([] | [_], other) => return no_method(other),
        _ => return Err(ApiError::no_path()),
    };
    let found_actor = store.find(if is_user { &USERS } else { &GROUPS }, actor_id).await?;
    let found_target = if system { None } else { store.find(&PROJECTS, &target.id).await? };
    let found_target =
        found_target.filter(|record| flag_of(record, "is_domain") == (target.kind == TargetKind::Domain));
    let role = match rest {
        [role_id] => store.find(&ROLES, role_id).await?,
        _ => None,
    };
    let mut facts = Map::new();
    let mut note = |noun: &str, record: &Option<Record>| {
        if let Some(record) = record {
            facts.insert(noun.to_owned(), Value::Object(record.clone()));
        }
    };
    note(if is_user { "user" } else { "group" }, &found_actor);
    note(if target.kind == TargetKind::Domain { "domain" } else { "project" }, &found_target);
    note("role", &role);
    call.enforce(action, json!({"target": facts})).await?;

    // Taking away works although the actor is gone; giving does not.
    if found_actor.is_none() && call.verb != Verb::Delete {
        return Err(ApiError::not_found(if is_user { "user" } else { "group" }, actor_id));
    }
    if found_target.is_none() && !system {
        let noun = if target.kind == TargetKind::Domain { "domain" } else { "project" };
        return Err(ApiError::not_found(noun, &target.id));
    }
    let [role_id] = rest else { return list_roles(call, &actor, &target, inherited).await };
    let Some(role) = role else { return Err(ApiError::not_found("role", role_id)) };
    let assignment = Assignment { actor, target, role_id: (*role_id).to_owned(), inherited };
    match call.verb {
        Verb::Get => check(call, &assignment, &role).await,
        Verb::Put => {
            check_role_domain(&role, found_target.as_ref())?;
            let mut transaction = store.begin().await?;
            assignment.insert(&mut transaction).await?;
            transaction.commit().await?;
            Ok(Answer::nothing())
        }
        _ => {
            let mut transaction = store.begin().await?;
            if !assignment.delete(&mut transaction).await? {
                return Err(missing(role_id));
            }
            transaction.commit().await?;
            Ok(Answer::nothing())
        }
    }
}

fn missing(role_id: &str) -> ApiError {
    ApiError::missing(format!("Could not find role assignment with role: {role_id}."))
}

/// A role of a domain is given on what belongs to that domain.
fn check_role_domain(role: &Record, target: Option<&Record>) -> Result<()> {
    let (Some(of_role), Some(target)) = (role["domain_id"].as_str(), target) else { return Ok(()) };
    let of_target = target["domain_id"].as_str().or_else(|| target["id"].as_str());
    if of_target == Some(of_role) {
        Ok(())
    } else {
        Err(ApiError::denied("The role belongs to another domain."))
    }
}

async fn list_roles(call: &Call, actor: &Actor, target: &Target, inherited: bool) -> Result<Answer> {
    let store = &call.service.inner.store;
    let held = store.assignments(Some(actor), Some(target), None, Some(inherited)).await?;
    let ids: Vec<String> = held.into_iter().map(|one| one.role_id).collect();
    let roles = store.get_many(&ROLES, &ids).await?;
    let items = roles.into_iter().map(|role| shown(call, "roles", role)).collect();
    Ok(collection(call, "roles", items))
}

async fn check(call: &Call, assignment: &Assignment, _role: &Record) -> Result<Answer> {
    let Assignment { actor, target, role_id, inherited } = assignment;
    let store = &call.service.inner.store;
    let held = store.assignments(Some(actor), Some(target), Some(role_id), Some(*inherited)).await?;
    if held.is_empty() { Err(missing(role_id)) } else { Ok(Answer::nothing()) }
}
