//! `/v3/projects`, their tags, and the tree that they form.

use super::{grants, no_method};
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Is, Verb, check_fields, collection, is_tag, list_of, shown};
use crate::store::{DEFAULT_DOMAIN, PROJECTS, Record, Revoked, Store, Target, flag_of, new_id, text_of};
use crate::time::now_us;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Projects above each other, their domain not counted.
const DEPTH_MAX: usize = 5;
const TAGS_MAX: usize = 80;

const FIELDS: &[(&str, Is)] = &[
    ("name", Is::ShortName),
    ("enabled", Is::Flag),
    ("description", Is::OptText),
    ("domain_id", Is::OptText),
    ("parent_id", Is::OptText),
    ("is_domain", Is::Flag),
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
        ([id, "tags"], Verb::Get) => {
            let record = visible(call, id, "get_project").await?;
            let tags = tags_of(&call.service.inner.store, &record).await?;
            Ok(collection(call, "tags", tags))
        }
        ([id, "tags"], Verb::Put) => {
            let tags = call.json().await?.remove("tags").unwrap_or(Value::Null);
            let wanted = Record::from_iter([("tags".to_owned(), tags)]);
            check_fields(&wanted, &[("tags", Is::Tags)], &["tags"])?;
            set_tags(call, id, wanted["tags"].clone()).await?;
            Ok(Answer::ok(json!({"tags": wanted["tags"], "links": {"next": null, "previous": null,
                "self": format!("{}/projects/{id}/tags", call.base())}})))
        }
        ([id, "tags"], Verb::Delete) => {
            set_tags(call, id, json!([])).await?;
            Ok(Answer::nothing())
        }
        ([id, "tags", tag], verb) => one_tag(call, id, tag, verb).await,
        ([] | [_] | [_, "tags"], other) => no_method(other),
        ([id, actors @ ("users" | "groups"), actor, "roles", rest @ ..], _) => {
            grants::serve(call, Target::project(id), actors, actor, rest, false).await
        }
        _ => Err(ApiError::no_path()),
    }
}

/// Puts in what a project or domain has although nobody said so.
pub(crate) fn set_defaults(record: &mut Record) {
    if record.get("description").is_none_or(Value::is_null) {
        record.insert("description".to_owned(), "".into());
    }
    record.entry("enabled").or_insert(Value::Bool(true));
    record.entry("options").or_insert_with(|| json!({}));
    record.entry("tags").or_insert_with(|| json!([]));
    record.remove("links");
}

/// The ids of all projects below one, or below a domain, parents first.
pub(crate) async fn below(store: &Store, id: &str) -> Result<Vec<String>> {
    let sql = "WITH RECURSIVE down (id, depth) AS (\
               SELECT id, 1 FROM projects WHERE parent_id = $1 \
               UNION ALL SELECT p.id, down.depth + 1 FROM projects p JOIN down ON p.parent_id = down.id \
               WHERE down.depth < 32) SELECT id FROM down ORDER BY depth, id";
    Ok(store.db.fetch(sql, &[id.into()]).await?.iter().map(|row| row.text(0)).collect())
}

/// Projects as they are shown.
pub(crate) async fn shown_all(call: &Call, records: Vec<Record>) -> Result<Vec<Value>> {
    Ok(records.into_iter().map(|record| show_one(call, record)).collect())
}

fn show_one(call: &Call, mut record: Record) -> Value {
    record.entry("tags").or_insert_with(|| json!([]));
    shown(call, "projects", record)
}

/// The tags of a project, which lie among its other fields.
async fn tags_of(store: &Store, record: &Record) -> Result<Vec<Value>> {
    let fresh = store.get(&PROJECTS, text_of(record, "id")).await?;
    Ok(fresh.get("tags").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// The project `id`, if the caller may do this to it.
async fn visible(call: &mut Call, id: &str, action: &str) -> Result<Record> {
    let found = call.service.inner.store.find(&PROJECTS, id).await?;
    call.enforce_on(action, "project", found.as_ref()).await?;
    found.ok_or_else(|| ApiError::not_found("project", id))
}

async fn list(call: &mut Call) -> Result<Answer> {
    let caller = call.caller().await?;
    let domain_id = call.asked("domain_id").map_or(caller.facts["domain_id"].clone(), Value::from);
    call.enforce("list_projects", json!({"target": {"domain_id": domain_id}})).await?;
    let is_domain = call.asks("is_domain");
    let filters = ["name", "enabled", "domain_id", "parent_id"];
    let mut found = list_of(call, &PROJECTS, &filters, &[("is_domain", is_domain.into())]).await?;
    // Who sees one domain only asks for no other.
    if let Some(own) = caller.facts["domain_id"].as_str()
        && call.enforce("list_projects", json!({})).await.is_err()
    {
        found.retain(|project| text_of(project, "domain_id") == own);
    }
    for (name, value) in &call.query {
        let wanted: Vec<&str> = value.split(',').collect();
        let has = |project: &Record, tag: &&str| {
            project
                .get("tags")
                .and_then(Value::as_array)
                .is_some_and(|tags| tags.iter().any(|have| have == *tag))
        };
        match name.as_str() {
            "tags" => found.retain(|project| wanted.iter().all(|tag| has(project, tag))),
            "tags-any" => found.retain(|project| wanted.iter().any(|tag| has(project, tag))),
            "not-tags" => found.retain(|project| !wanted.iter().all(|tag| has(project, tag))),
            "not-tags-any" => found.retain(|project| !wanted.iter().any(|tag| has(project, tag))),
            _ => {}
        }
    }
    let items = shown_all(call, found).await?;
    Ok(collection(call, "projects", items))
}

async fn show(call: &mut Call, id: &str) -> Result<Answer> {
    let record = visible(call, id, "get_project").await?;
    let store = call.service.inner.store.clone();
    let mut item = show_one(call, record);
    let ids_above = || async {
        let mut ids = store.ancestors(id).await?;
        // The last one is the domain, which is no parent to whoever asks.
        ids.pop();
        Ok::<_, ApiError>(ids)
    };
    if call.asks("parents_as_list") || call.asked("parents_as_list") == Some("") {
        let parents = store.get_many(&PROJECTS, &ids_above().await?).await?;
        item["parents"] = parents.into_iter().map(|one| json!({"project": show_one(call, one)})).collect();
    }
    if call.asked("parents_as_ids").is_some() {
        let nested = ids_above().await?.into_iter().rev().fold(Value::Null, |inner, id| json!({id: inner}));
        item["parents"] = nested;
    }
    if call.asked("subtree_as_list").is_some() {
        let inside = store.get_many(&PROJECTS, &below(&store, id).await?).await?;
        item["subtree"] = inside.into_iter().map(|one| json!({"project": show_one(call, one)})).collect();
    }
    if call.asked("subtree_as_ids").is_some() {
        let inside = store.get_many(&PROJECTS, &below(&store, id).await?).await?;
        item["subtree"] = tree(&inside, id);
    }
    Ok(Answer::ok(json!({"project": item})))
}

/// The ids below `root`, nested as they are.
fn tree(inside: &[Record], root: &str) -> Value {
    let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in inside {
        children.entry(text_of(one, "parent_id")).or_default().push(text_of(one, "id"));
    }
    fn nest(children: &BTreeMap<&str, Vec<&str>>, id: &str, depth: usize) -> Value {
        match children.get(id) {
            Some(ids) if depth < 32 => Value::Object(
                ids.iter().map(|id| ((*id).to_owned(), nest(children, id, depth + 1))).collect(),
            ),
            _ => Value::Null,
        }
    }
    nest(&children, root, 0)
}

async fn create(call: &mut Call) -> Result<Answer> {
    let caller = call.caller().await?;
    let mut record = call.resource("project").await?;
    let store = call.service.inner.store.clone();
    // Its domain: as told, else its parent's, else the caller's.
    let parent = match record.get("parent_id").and_then(Value::as_str) {
        Some(id) => Some(store.find(&PROJECTS, id).await?.ok_or_else(|| ApiError::not_found("project", id))?),
        None => None,
    };
    let of_parent = parent.as_ref().map(|parent| match flag_of(parent, "is_domain") {
        true => text_of(parent, "id").to_owned(),
        false => text_of(parent, "domain_id").to_owned(),
    });
    let is_domain = flag_of(&record, "is_domain");
    let told = record.get("domain_id").and_then(Value::as_str).map(str::to_owned);
    let domain_id = told.or_else(|| of_parent.clone()).unwrap_or_else(|| {
        let scoped = caller.domain.as_ref().map(|domain| text_of(domain, "id"));
        scoped
            .or(caller.project.as_ref().map(|(_, domain)| text_of(domain, "id")))
            .unwrap_or(DEFAULT_DOMAIN)
            .to_owned()
    });
    call.enforce("create_project", json!({"target": {"project": {"domain_id": domain_id}}})).await?;
    check_fields(&record, FIELDS, &["name"])?;
    set_defaults(&mut record);
    record.insert("id".to_owned(), new_id().into());
    record.insert("is_domain".to_owned(), is_domain.into());
    if is_domain {
        if parent.is_some() || record.get("domain_id").is_some_and(|id| !id.is_null()) {
            return Err(ApiError::bad_request("A project acting as a domain has no parent and no domain."));
        }
        record.insert("domain_id".to_owned(), Value::Null);
        record.insert("parent_id".to_owned(), Value::Null);
    } else {
        place(&store, &mut record, domain_id, of_parent).await?;
    }
    let mut transaction = store.begin().await?;
    PROJECTS.insert(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(Answer::created(json!({"project": show_one(call, record)})))
}

/// Puts a project into its domain and below its parent.
async fn place(
    store: &Store,
    record: &mut Record,
    domain_id: String,
    of_parent: Option<String>,
) -> Result<()> {
    if crate::ops::domains::find(store, &domain_id).await?.is_none() {
        return Err(ApiError::not_found("domain", &domain_id));
    }
    if of_parent.is_some_and(|of_parent| of_parent != domain_id) {
        return Err(ApiError::bad_request("Cannot create project, the parent is in another domain."));
    }
    match record.get("parent_id").and_then(Value::as_str) {
        Some(parent) if store.ancestors(parent).await?.len() >= DEPTH_MAX => {
            return Err(ApiError::denied(format!("Max hierarchy depth reached for {parent} branch.")));
        }
        Some(_) => {}
        None => {
            record.insert("parent_id".to_owned(), domain_id.clone().into());
        }
    }
    record.insert("domain_id".to_owned(), domain_id.into());
    Ok(())
}

async fn update(call: &mut Call, id: &str) -> Result<Answer> {
    let mut record = visible(call, id, "update_project").await?;
    let changes = call.resource("project").await?;
    check_fields(&changes, FIELDS, &[])?;
    for fixed in ["id", "domain_id", "parent_id", "is_domain"] {
        if changes.get(fixed).is_some_and(|value| *value != record[fixed]) {
            return Err(ApiError::bad_request(format!("Update of `{fixed}` is not allowed.")));
        }
    }
    let store = call.service.inner.store.clone();
    let disabled = flag_of(&record, "enabled") && changes.get("enabled") == Some(&Value::Bool(false));
    record.extend(changes);
    set_defaults(&mut record);
    let mut transaction = store.begin().await?;
    PROJECTS.update(&mut transaction, &record).await?;
    if disabled {
        let lifetime_us = call.service.token_lifetime_us();
        Store::revoke(&mut transaction, &Revoked::Project(id), now_us(), lifetime_us).await?;
    }
    transaction.commit().await?;
    Ok(Answer::ok(json!({"project": show_one(call, record)})))
}

async fn delete(call: &mut Call, id: &str) -> Result<Answer> {
    let record = visible(call, id, "delete_project").await?;
    let store = call.service.inner.store.clone();
    if flag_of(&record, "is_domain") {
        return crate::ops::domains::remove(&store, &record).await;
    }
    if !below(&store, id).await?.is_empty() {
        return Err(ApiError::denied(format!(
            "Cannot delete the project {id} since it is not a leaf in the hierarchy."
        )));
    }
    let mut transaction = store.begin().await?;
    Store::forget_target(&mut transaction, &Target::project(id)).await?;
    transaction.execute("DELETE FROM credentials WHERE project_id = $1", &[id.into()]).await?;
    let sql = "UPDATE users SET default_project_id = NULL WHERE default_project_id = $1";
    transaction.execute(sql, &[id.into()]).await?;
    PROJECTS.delete(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(Answer::nothing())
}

async fn set_tags(call: &mut Call, id: &str, tags: Value) -> Result<()> {
    visible(call, id, "update_project").await?;
    let store = call.service.inner.store.clone();
    let mut transaction = store.begin().await?;
    let mut record = PROJECTS.load(&mut transaction, id).await?;
    record.insert("tags".to_owned(), tags);
    PROJECTS.update(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(())
}

async fn one_tag(call: &mut Call, id: &str, tag: &str, verb: Verb) -> Result<Answer> {
    let action = if verb == Verb::Get { "get_project" } else { "update_project" };
    let record = visible(call, id, action).await?;
    let mut tags = tags_of(&call.service.inner.store, &record).await?;
    let at = tags.iter().position(|have| have == tag);
    match (verb, at) {
        (Verb::Get, Some(_)) => Ok(Answer::nothing()),
        (Verb::Get | Verb::Delete, None) => Err(ApiError::not_found("project tag", tag)),
        (Verb::Put, _) if !is_tag(tag) => {
            Err(ApiError::bad_request(format!("Invalid input for field 'tags': {tag}")))
        }
        (Verb::Put, Some(_)) => Ok(Answer { status: ::http::StatusCode::CREATED, ..Answer::nothing() }),
        (Verb::Put, None) if tags.len() >= TAGS_MAX => {
            Err(ApiError::bad_request("A project has 80 tags at most."))
        }
        (Verb::Put, None) => {
            tags.push(tag.into());
            set_tags(call, id, tags.into()).await?;
            Ok(Answer { status: ::http::StatusCode::CREATED, ..Answer::nothing() })
        }
        (Verb::Delete, Some(at)) => {
            tags.remove(at);
            set_tags(call, id, tags.into()).await?;
            Ok(Answer::nothing())
        }
        (other, _) => no_method(other),
    }
}
