//! `/v3/domains`: each is kept as a project at the root.

use super::{grants, no_method};
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Is, Verb, check_fields, collection, list_of, shown};
use crate::ops::projects::set_defaults;
use crate::store::{
    DEFAULT_DOMAIN, GROUPS, PROJECTS, ROLES, Record, Revoked, Store, Target, USERS, flag_of, new_id, text_of,
};
use crate::time::now_us;
use serde_json::{Value, json};

const FIELDS: &[(&str, Is)] = &[
    ("name", Is::ShortName),
    ("enabled", Is::Flag),
    ("description", Is::OptText),
    ("tags", Is::Tags),
    ("options", Is::Object),
];

pub(crate) async fn serve(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    match (rest, call.verb) {
        ([], Verb::Get) => list(call).await,
        ([], Verb::Post) => create(call).await,
        ([id], Verb::Get) => show(call, id).await,
        ([id], Verb::Patch) => update(call, id).await,
        ([id], Verb::Delete) => delete(call, id).await,
        ([] | [_], other) => no_method(other),
        ([id, actors @ ("users" | "groups"), actor, "roles", rest @ ..], _) => {
            grants::serve(call, Target::domain(id), actors, actor, rest, false).await
        }
        ([_, "config", ..], Verb::Get) => Err(ApiError::missing("Could not find domain configuration.")),
        _ => Err(ApiError::no_path()),
    }
}

/// A project that is a domain, as the domain API shows it.
pub(crate) fn as_domain(mut record: Record) -> Record {
    for name in ["domain_id", "parent_id", "is_domain"] {
        record.remove(name);
    }
    record.entry("tags").or_insert_with(|| json!([]));
    record
}

/// The domain `id`, if there is one.
pub(crate) async fn find(store: &Store, id: &str) -> Result<Option<Record>> {
    Ok(store.find(&PROJECTS, id).await?.filter(|record| flag_of(record, "is_domain")))
}

async fn get(store: &Store, id: &str) -> Result<Record> {
    find(store, id).await?.ok_or_else(|| ApiError::not_found("domain", id))
}

async fn list(call: &mut Call) -> Result<Answer> {
    let caller = call.caller().await?;
    let target = json!({"target": {"domain": {"id": caller.facts["domain_id"]}}});
    let all = call.enforce("list_domains", json!({})).await;
    if all.is_err() {
        call.enforce("list_domains", target).await?;
    }
    let mut found = list_of(call, &PROJECTS, &["name", "enabled"], &[("is_domain", true.into())]).await?;
    if all.is_err() {
        found.retain(|domain| domain["id"] == caller.facts["domain_id"]);
    }
    let items = found.into_iter().map(|record| shown(call, "domains", as_domain(record))).collect();
    Ok(collection(call, "domains", items))
}

async fn show(call: &mut Call, id: &str) -> Result<Answer> {
    let found = find(&call.service.inner.store, id).await?;
    call.enforce_on("get_domain", "domain", found.as_ref()).await?;
    let record = found.ok_or_else(|| ApiError::not_found("domain", id))?;
    Ok(Answer::ok(json!({"domain": shown(call, "domains", as_domain(record))})))
}

async fn create(call: &mut Call) -> Result<Answer> {
    call.enforce("create_domain", json!({})).await?;
    let mut record = call.resource("domain").await?;
    check_fields(&record, FIELDS, &["name"])?;
    let id = match record.remove("explicit_domain_id") {
        Some(Value::String(id)) if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => id,
        Some(_) => return Err(ApiError::bad_request("Invalid input for field 'explicit_domain_id'")),
        None => new_id(),
    };
    set_defaults(&mut record);
    record.insert("id".to_owned(), id.into());
    record.insert("is_domain".to_owned(), true.into());
    record.insert("domain_id".to_owned(), Value::Null);
    record.insert("parent_id".to_owned(), Value::Null);
    let mut transaction = call.service.inner.store.begin().await?;
    PROJECTS.insert(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(Answer::created(json!({"domain": shown(call, "domains", as_domain(record))})))
}

async fn update(call: &mut Call, id: &str) -> Result<Answer> {
    call.enforce("update_domain", json!({})).await?;
    let store = call.service.inner.store.clone();
    let mut record = get(&store, id).await?;
    let changes = call.resource("domain").await?;
    check_fields(&changes, FIELDS, &[])?;
    let disabled = flag_of(&record, "enabled") && changes.get("enabled") == Some(&Value::Bool(false));
    let fixed = ["id", "is_domain", "domain_id", "parent_id"];
    record.extend(changes.into_iter().filter(|(name, _)| !fixed.contains(&name.as_str())));
    set_defaults(&mut record);
    let mut transaction = store.begin().await?;
    PROJECTS.update(&mut transaction, &record).await?;
    if disabled {
        let lifetime_us = call.service.token_lifetime_us();
        Store::revoke(&mut transaction, &Revoked::Domain(id), now_us(), lifetime_us).await?;
    }
    transaction.commit().await?;
    Ok(Answer::ok(json!({"domain": shown(call, "domains", as_domain(record))})))
}

async fn delete(call: &mut Call, id: &str) -> Result<Answer> {
    call.enforce("delete_domain", json!({})).await?;
    let store = call.service.inner.store.clone();
    remove(&store, &get(&store, id).await?).await
}

/// Removes a domain that is disabled, and all that is in it.
pub(crate) async fn remove(store: &Store, record: &Record) -> Result<Answer> {
    let id = text_of(record, "id");
    if id == DEFAULT_DOMAIN {
        return Err(ApiError::denied("The default domain cannot be deleted."));
    }
    if flag_of(record, "enabled") {
        return Err(ApiError::denied("Cannot delete a domain that is enabled, please disable it first."));
    }
    let mut transaction = store.begin().await?;
    // Deepest first: nothing is left whose parent is gone.
    let inside = crate::ops::projects::below(store, id).await?;
    for project_id in inside.iter().rev() {
        Store::forget_target(&mut transaction, &Target::project(project_id)).await?;
        PROJECTS.delete(&mut transaction, project_id).await?;
    }
    for (table, kind) in [(&USERS, "user"), (&GROUPS, "group")] {
        let sql = format!(
            "DELETE FROM assignments WHERE actor_kind = $1 AND actor_id IN (SELECT id FROM {} WHERE domain_id = $2)",
            table.name
        );
        transaction.execute(&sql, &[kind.into(), id.into()]).await?;
    }
    for table in [&USERS, &GROUPS, &ROLES] {
        let sql = format!("DELETE FROM {} WHERE domain_id = $1", table.name);
        transaction.execute(&sql, &[id.into()]).await?;
    }
    Store::forget_target(&mut transaction, &Target::domain(id)).await?;
    PROJECTS.delete(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(Answer::nothing())
}
