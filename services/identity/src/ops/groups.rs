//! `/v3/groups` and who is in them.

use super::{no_method, users};
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Is, Verb, check_fields, collection, list_of, shown};
use crate::store::{Actor, GROUPS, Record, Store, USERS, new_id, text_of};
use serde_json::{Value, json};

const FIELDS: &[(&str, Is)] = &[("name", Is::Name), ("description", Is::OptText), ("domain_id", Is::OptText)];

pub(crate) async fn serve(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    match (rest, call.verb) {
        ([], Verb::Get) => list(call).await,
        ([], Verb::Post) => create(call).await,
        ([id], Verb::Get) => {
            let record = visible(call, id, "get_group").await?;
            Ok(Answer::ok(json!({"group": shown(call, "groups", record)})))
        }
        ([id], Verb::Patch) => update(call, id).await,
        ([id], Verb::Delete) => delete(call, id).await,
        ([id, "users"], Verb::Get) => users::list_members(call, id).await,
        ([id, "users", user], verb) => member(call, id, user, verb).await,
        ([] | [_] | [_, "users"], other) => no_method(other),
        _ => Err(ApiError::no_path()),
    }
}

/// The group `id`, if the caller may do this to it.
pub(crate) async fn visible(call: &mut Call, id: &str, action: &str) -> Result<Record> {
    let found = call.service.inner.store.find(&GROUPS, id).await?;
    call.enforce_on(action, "group", found.as_ref()).await?;
    found.ok_or_else(|| ApiError::not_found("group", id))
}

async fn list(call: &mut Call) -> Result<Answer> {
    let caller = call.caller().await?;
    let own = caller.facts["domain_id"].clone();
    let domain_id = call.asked("domain_id").map_or(own.clone(), Value::from);
    call.enforce("list_groups", json!({"target": {"group": {"domain_id": domain_id}}})).await?;
    let mut found = list_of(call, &GROUPS, &["name", "domain_id"], &[]).await?;
    if let Some(own) = own.as_str() {
        found.retain(|group| text_of(group, "domain_id") == own || call.asked("domain_id").is_some());
    }
    let items = found.into_iter().map(|record| shown(call, "groups", record)).collect();
    Ok(collection(call, "groups", items))
}

fn set_defaults(record: &mut Record) {
    if record.get("description").is_none_or(Value::is_null) {
        record.insert("description".to_owned(), "".into());
    }
    record.remove("links");
}

async fn create(call: &mut Call) -> Result<Answer> {
    let caller = call.caller().await?;
    let mut record = call.resource("group").await?;
    let domain_id =
        record.get("domain_id").and_then(Value::as_str).unwrap_or(users::domain_of(&caller)).to_owned();
    call.enforce("create_group", json!({"target": {"group": {"domain_id": domain_id}}})).await?;
    check_fields(&record, FIELDS, &["name"])?;
    let store = call.service.inner.store.clone();
    if crate::ops::domains::find(&store, &domain_id).await?.is_none() {
        return Err(ApiError::not_found("domain", &domain_id));
    }
    set_defaults(&mut record);
    record.insert("id".to_owned(), new_id().into());
    record.insert("domain_id".to_owned(), domain_id.into());
    let mut transaction = store.begin().await?;
    GROUPS.insert(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(Answer::created(json!({"group": shown(call, "groups", record)})))
}

async fn update(call: &mut Call, id: &str) -> Result<Answer> {
    let mut record = visible(call, id, "update_group").await?;
    let changes = call.resource("group").await?;
    check_fields(&changes, FIELDS, &[])?;
    for fixed in ["id", "domain_id"] {
        if changes.get(fixed).is_some_and(|value| *value != record[fixed]) {
            return Err(ApiError::bad_request(format!("Cannot change {fixed}.")));
        }
    }
    record.extend(changes);
    set_defaults(&mut record);
    let mut transaction = call.service.inner.store.begin().await?;
    GROUPS.update(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(Answer::ok(json!({"group": shown(call, "groups", record)})))
}

async fn delete(call: &mut Call, id: &str) -> Result<Answer> {
    visible(call, id, "delete_group").await?;
    let mut transaction = call.service.inner.store.begin().await?;
    Store::forget_actor(&mut transaction, &Actor::Group(id.to_owned())).await?;
    GROUPS.delete(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(Answer::nothing())
}

async fn member(call: &mut Call, id: &str, user_id: &str, verb: Verb) -> Result<Answer> {
    let action = match verb {
        Verb::Get => "check_user_in_group",
        Verb::Put => "add_user_to_group",
        Verb::Delete => "remove_user_from_group",
        other => return no_method(other),
    };
    let store = call.service.inner.store.clone();
    let (group, user) = (store.find(&GROUPS, id).await?, store.find(&USERS, user_id).await?);
    let of = |record: &Option<Record>| record.as_ref().map(|record| record["domain_id"].clone());
    call.enforce(
        action,
        json!({"target": {"group": {"domain_id": of(&group)}, "user": {"domain_id": of(&user)}}}),
    )
    .await?;
    if group.is_none() {
        return Err(ApiError::not_found("group", id));
    }
    if user.is_none() {
        return Err(ApiError::not_found("user", user_id));
    }
    let missing = || ApiError::missing(format!("User '{user_id}' not found in group '{id}'."));
    if verb == Verb::Get {
        let inside = store.members_of(id).await?.iter().any(|member| member == user_id);
        return if inside { Ok(Answer::nothing()) } else { Err(missing()) };
    }
    let mut transaction = store.begin().await?;
    if verb == Verb::Put {
        Store::join_group(&mut transaction, id, user_id).await?;
    } else if !Store::leave_group(&mut transaction, id, user_id).await? {
        return Err(missing());
    }
    transaction.commit().await?;
    Ok(Answer::nothing())
}
