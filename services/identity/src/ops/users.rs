//! `/v3/users`, their passwords, groups and projects.

use super::no_method;
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Is, Verb, check_fields, collection, list_of, shown};
use crate::ops::{app_credentials, auth_lists, credentials, groups, passwords};
use crate::store::{
    Actor, DEFAULT_DOMAIN, GROUPS, PROJECTS, Record, Revoked, Store, USERS, flag_of, new_id, text_of,
};
use crate::time::{self, now_us};
use crate::token::Caller;
use serde_json::{Value, json};

const FIELDS: &[(&str, Is)] = &[
    ("name", Is::Name),
    ("enabled", Is::Flag),
    ("description", Is::OptText),
    ("domain_id", Is::OptText),
    ("default_project_id", Is::OptText),
    ("password", Is::OptText),
    ("options", Is::Object),
];

pub(crate) async fn serve(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    match (rest, call.verb) {
        ([], Verb::Get) => list(call).await,
        ([], Verb::Post) => create(call).await,
        ([id], Verb::Get) => show(call, id).await,
        ([id], Verb::Patch) => update(call, id).await,
        ([id], Verb::Delete) => delete(call, id).await,
        ([id, "password"], Verb::Post) => passwords::change(call, id).await,
        ([id, "groups"], Verb::Get) => {
            visible(call, id, "list_groups_for_user").await?;
            let ids = call.service.inner.store.groups_of(id).await?;
            let mut found = call.service.inner.store.get_many(&GROUPS, &ids).await?;
            if let Some(name) = call.asked("name") {
                found.retain(|group| text_of(group, "name") == name);
            }
            let items = found.into_iter().map(|group| shown(call, "groups", group)).collect();
            Ok(collection(call, "groups", items))
        }
        ([id, "projects"], Verb::Get) => {
            visible(call, id, "list_user_projects").await?;
            auth_lists::list_projects(call, id).await
        }
        ([id, "credentials", "OS-EC2", rest @ ..], _) => credentials::serve_ec2(call, id, rest).await,
        ([id, "application_credentials", rest @ ..], _) => app_credentials::serve(call, id, rest).await,
        ([id, "access_rules", rest @ ..], _) => app_credentials::serve_rules(call, id, rest).await,
        ([] | [_] | [_, "password" | "groups" | "projects"], other) => no_method(other),
        _ => Err(ApiError::no_path()),
    }
}

/// A user as it is shown.
pub(crate) async fn show_one(call: &Call, mut record: Record) -> Result<Value> {
    let password = call.service.inner.store.password(text_of(&record, "id")).await?;
    let expires = password.and_then(|password| password.expires_us).map(time::text);
    record.insert("password_expires_at".to_owned(), expires.into());
    if record.get("default_project_id").is_some_and(Value::is_null) {
        record.remove("default_project_id");
    }
    Ok(shown(call, "users", record))
}

/// The domain that something is made in when none is named: the caller's.
pub(crate) fn domain_of(caller: &Caller) -> &str {
    let scoped = caller.domain.as_ref().map(|domain| text_of(domain, "id"));
    scoped.or(caller.project.as_ref().map(|(_, domain)| text_of(domain, "id"))).unwrap_or(DEFAULT_DOMAIN)
}

/// The user `id`, if the caller may do this to it.
pub(crate) async fn visible(call: &mut Call, id: &str, action: &str) -> Result<Record> {
    let found = call.service.inner.store.find(&USERS, id).await?;
    // A user's own rights to itself do not depend on its still being there.
    let target = match &found {
        Some(record) => json!({"target": {"user": record}, "user_id": id}),
        None => json!({"user_id": id}),
    };
    call.enforce(action, target).await?;
    found.ok_or_else(|| ApiError::not_found("user", id))
}

async fn list(call: &mut Call) -> Result<Answer> {
    let caller = call.caller().await?;
    let domain_id = call.asked("domain_id").map_or(caller.facts["domain_id"].clone(), Value::from);
    call.enforce("list_users", json!({"target": {"domain_id": domain_id}})).await?;
    let filters = ["name", "enabled", "domain_id", "default_project_id"];
    let mut found = list_of(call, &USERS, &filters, &[]).await?;
    if let Some(own) = caller.facts["domain_id"].as_str() {
        found.retain(|user| text_of(user, "domain_id") == own || call.asked("domain_id").is_some());
    }
    let expiries = call.service.inner.store.password_expiries().await?;
    let mut items = Vec::with_capacity(found.len());
    for mut record in found {
        let expires = expiries.get(text_of(&record, "id")).map(|us| time::text(*us));
        record.insert("password_expires_at".to_owned(), expires.into());
        if record.get("default_project_id").is_some_and(Value::is_null) {
            record.remove("default_project_id");
        }
        items.push(shown(call, "users", record));
    }
    Ok(collection(call, "users", items))
}

async fn show(call: &mut Call, id: &str) -> Result<Answer> {
    let record = visible(call, id, "get_user").await?;
    Ok(Answer::ok(json!({"user": show_one(call, record).await?})))
}

async fn create(call: &mut Call) -> Result<Answer> {
    let caller = call.caller().await?;
    let mut record = call.resource("user").await?;
    let domain_id = record.get("domain_id").and_then(Value::as_str).unwrap_or(domain_of(&caller)).to_owned();
    call.enforce("create_user", json!({"target": {"user": {"domain_id": domain_id}}})).await?;
    check_fields(&record, FIELDS, &["name"])?;
    let service = call.service.clone();
    let store = &service.inner.store;
    if crate::ops::domains::find(store, &domain_id).await?.is_none() {
        return Err(ApiError::not_found("domain", &domain_id));
    }
    check_default_project(store, &record).await?;
    let password = match record.remove("password") {
        Some(Value::String(password)) => Some(passwords::prepare(&service, &record, &password).await?),
        _ => None,
    };
    let id = new_id();
    record.insert("id".to_owned(), id.clone().into());
    record.insert("domain_id".to_owned(), domain_id.into());
    record.entry("enabled").or_insert(Value::Bool(true));
    record.entry("options").or_insert_with(|| json!({}));
    record.remove("links");
    let mut transaction = store.begin().await?;
    USERS.insert(&mut transaction, &record).await?;
    if password.is_some() {
        Store::set_password(&mut transaction, &id, password.as_ref()).await?;
    }
    transaction.commit().await?;
    Ok(Answer::created(json!({"user": show_one(call, record).await?})))
}

async fn check_default_project(store: &Store, record: &Record) -> Result<()> {
    let Some(id) = record.get("default_project_id").and_then(Value::as_str) else { return Ok(()) };
    match store.find(&PROJECTS, id).await? {
        Some(project) if flag_of(&project, "is_domain") => {
            Err(ApiError::bad_request("A domain cannot be a user's default project."))
        }
        _ => Ok(()),
    }
}

async fn update(call: &mut Call, id: &str) -> Result<Answer> {
    let mut record = visible(call, id, "update_user").await?;
    let mut changes = call.resource("user").await?;
    check_fields(&changes, FIELDS, &[])?;
    for fixed in ["id", "domain_id"] {
        if changes.get(fixed).is_some_and(|value| *value != record[fixed]) {
            return Err(ApiError::bad_request(format!("Cannot change {fixed}.")));
        }
    }
    let service = call.service.clone();
    let store = &service.inner.store;
    check_default_project(store, &changes).await?;
    let password = changes.remove("password");
    let disabled = flag_of(&record, "enabled") && changes.get("enabled") == Some(&Value::Bool(false));
    if let Some(Value::Object(options)) = changes.remove("options") {
        merge_options(&mut record, options);
    }
    record.extend(changes);
    record.remove("links");
    let new = match &password {
        Some(Value::String(password)) => Some(passwords::prepare(&service, &record, password).await?),
        _ => None,
    };
    let mut transaction = store.begin().await?;
    USERS.update(&mut transaction, &record).await?;
    if password.is_some() {
        Store::set_password(&mut transaction, id, new.as_ref()).await?;
    }
    if password.is_some() || disabled {
        Store::revoke(&mut transaction, &Revoked::User(id), now_us(), service.token_lifetime_us()).await?;
    }
    transaction.commit().await?;
    if password.is_some() {
        store.clear_login_failures(id).await?;
    }
    Ok(Answer::ok(json!({"user": show_one(call, record).await?})))
}

/// Options are changed one by one; null takes one away.
fn merge_options(record: &mut Record, changes: Record) {
    let mut options = record.get("options").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, value) in changes {
        if value.is_null() {
            options.remove(&name);
        } else {
            options.insert(name, value);
        }
    }
    record.insert("options".to_owned(), Value::Object(options));
}

async fn delete(call: &mut Call, id: &str) -> Result<Answer> {
    visible(call, id, "delete_user").await?;
    let mut transaction = call.service.inner.store.begin().await?;
    Store::forget_actor(&mut transaction, &Actor::User(id.to_owned())).await?;
    USERS.delete(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(Answer::nothing())
}

/// The users of a group as they are shown.
pub(crate) async fn list_members(call: &mut Call, group_id: &str) -> Result<Answer> {
    groups::visible(call, group_id, "list_users_in_group").await?;
    let store = call.service.inner.store.clone();
    let ids = store.members_of(group_id).await?;
    let mut items = Vec::new();
    for record in store.get_many(&USERS, &ids).await? {
        items.push(show_one(call, record).await?);
    }
    Ok(collection(call, "users", items))
}
