//! `/v3/auth/...`: what a caller's own token reaches.

use super::no_method;
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Verb, collection, shown};
use crate::ops::{domains, projects};
use crate::store::{Assignment, PROJECTS, Record, TargetKind, flag_of, text_of};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(crate) async fn serve(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    if !matches!(rest, ["catalog" | "projects" | "domains" | "system"]) {
        return Err(ApiError::no_path());
    }
    if call.verb != Verb::Get {
        return no_method(call.verb);
    }
    match rest {
        ["catalog"] => catalog(call).await,
        ["projects"] => {
            let caller = call.enforce("get_auth_projects", json!({})).await?;
            list_projects(call, caller.user_id()).await
        }
        ["domains"] => {
            let caller = call.enforce("get_auth_domains", json!({})).await?;
            let found = domains_of(call, caller.user_id()).await?;
            let items = found.into_iter().map(|domain| shown(call, "domains", domains::as_domain(domain)));
            let items = items.collect();
            Ok(collection(call, "domains", items))
        }
        _ => {
            let caller = call.enforce("get_auth_system", json!({})).await?;
            let held = call.service.inner.store.held_by(caller.user_id()).await?;
            let system = held.iter().any(|one| one.target.kind == TargetKind::System);
            let items = if system { vec![json!({"all": true})] } else { Vec::new() };
            Ok(collection(call, "system", items))
        }
    }
}

async fn catalog(call: &mut Call) -> Result<Answer> {
    let caller = call.enforce("get_auth_catalog", json!({})).await?;
    if caller.project.is_none() && caller.domain.is_none() && caller.facts["system_scope"].is_null() {
        return Err(ApiError::denied("An unscoped token has no catalog."));
    }
    let catalog: Vec<Value> = call.service.catalog(&caller).await?;
    Ok(collection(call, "catalog", catalog))
}

/// The answer that lists the enabled projects on which a user has a role.
pub(crate) async fn list_projects(call: &Call, user_id: &str) -> Result<Answer> {
    let store = &call.service.inner.store;
    let held = store.held_by(user_id).await?;
    let mut ids: BTreeSet<String> = direct(&held, TargetKind::Project);
    for above in held.iter().filter(|one| one.inherited) {
        ids.extend(projects::below(store, &above.target.id).await?);
    }
    let ids: Vec<String> = ids.into_iter().collect();
    let mut found = store.get_many(&PROJECTS, &ids).await?;
    found.retain(|project| flag_of(project, "enabled"));
    if let Some(name) = call.asked("name") {
        found.retain(|project| text_of(project, "name") == name);
    }
    let items = projects::shown_all(call, found).await?;
    Ok(collection(call, "projects", items))
}

/// The enabled domains on which a user has a role.
async fn domains_of(call: &Call, user_id: &str) -> Result<Vec<Record>> {
    let store = &call.service.inner.store;
    let ids: Vec<String> = direct(&store.held_by(user_id).await?, TargetKind::Domain).into_iter().collect();
    let mut found = store.get_many(&PROJECTS, &ids).await?;
    found.retain(|domain| flag_of(domain, "enabled"));
    Ok(found)
}

fn direct(held: &[Assignment], kind: TargetKind) -> BTreeSet<String> {
    let of_kind = held.iter().filter(|one| one.target.kind == kind && !one.inherited);
    of_kind.map(|one| one.target.id.clone()).collect()
}
