//! What the catalogue is made of: `/v3/regions`, `/v3/services`, `/v3/endpoints`.

use super::no_method;
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Is, Verb, check_fields, collection, list_of, shown};
use crate::store::{ENDPOINTS, REGIONS, Record, SERVICES, Store, Table, new_id};
use serde_json::{Value, json};

/// One of the three, for what they have in common.
struct Kind {
    table: &'static Table,
    plural: &'static str,
    fields: &'static [(&'static str, Is)],
    required: &'static [&'static str],
    filters: &'static [&'static str],
    defaults: fn(&mut Record),
}

const REGION: Kind = Kind {
    table: &REGIONS,
    plural: "regions",
    fields: &[("description", Is::OptText), ("parent_region_id", Is::OptText), ("id", Is::OptText)],
    required: &[],
    filters: &["parent_region_id"],
    defaults: |record| {
        if record.get("description").is_none_or(Value::is_null) {
            record.insert("description".to_owned(), "".into());
        }
        record.entry("parent_region_id").or_insert(Value::Null);
    },
};

const SERVICE: Kind = Kind {
    table: &SERVICES,
    plural: "services",
    fields: &[("type", Is::Name), ("name", Is::Name), ("description", Is::OptText), ("enabled", Is::Flag)],
    required: &["type"],
    filters: &["type", "name"],
    defaults: |record| {
        record.entry("enabled").or_insert(Value::Bool(true));
    },
};

const ENDPOINT: Kind = Kind {
    table: &ENDPOINTS,
    plural: "endpoints",
    fields: &[
        ("service_id", Is::Name),
        ("interface", Is::Name),
        ("url", Is::Name),
        ("region_id", Is::OptText),
        ("region", Is::OptText),
        ("enabled", Is::Flag),
    ],
    required: &["service_id", "interface", "url"],
    filters: &["service_id", "interface", "region_id"],
    defaults: |record| {
        record.entry("enabled").or_insert(Value::Bool(true));
        record.entry("region_id").or_insert(Value::Null);
    },
};

pub(crate) async fn regions(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    serve(call, rest, &REGION).await
}

pub(crate) async fn services(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    serve(call, rest, &SERVICE).await
}

pub(crate) async fn endpoints(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    serve(call, rest, &ENDPOINT).await
}

async fn serve(call: &mut Call, rest: &[&str], kind: &Kind) -> Result<Answer> {
    let noun = kind.table.noun;
    match (rest, call.verb) {
        ([], Verb::Get) => {
            call.enforce(&format!("list_{}", kind.plural), json!({})).await?;
            let found = list_of(call, kind.table, kind.filters, &[]).await?;
            let items = found.into_iter().map(|record| show_one(call, kind, record)).collect();
            Ok(collection(call, kind.plural, items))
        }
        ([], Verb::Post) => create(call, kind, None).await,
        // Regions have ids that people choose.
        ([id], Verb::Put) if noun == "region" => create(call, kind, Some(id)).await,
        ([id], Verb::Get) => {
            call.enforce(&format!("get_{noun}"), json!({})).await?;
            let record = call.service.inner.store.get(kind.table, id).await?;
            Ok(Answer::ok(json!({noun: show_one(call, kind, record)})))
        }
        ([id], Verb::Patch) => update(call, kind, id).await,
        ([id], Verb::Delete) => delete(call, kind, id).await,
        ([] | [_], other) => no_method(other),
        _ => Err(ApiError::no_path()),
    }
}

fn show_one(call: &Call, kind: &Kind, mut record: Record) -> Value {
    if kind.table.noun == "endpoint" {
        record.insert("region".to_owned(), record["region_id"].clone());
    }
    shown(call, kind.plural, record)
}

/// Whether what a record names is there, and what only some kinds have is right.
async fn check(call: &Call, kind: &Kind, record: &mut Record) -> Result<()> {
    let store = &call.service.inner.store;
    if kind.table.noun == "endpoint" {
        // The old name of the same thing, by which a region is made if it is not there, as in Keystone.
        if let Some(region) = record.remove("region")
            && record.get("region_id").is_none_or(Value::is_null)
        {
            if let Some(id) = region.as_str() {
                ensure_region(store, id).await?;
            }
            record.insert("region_id".to_owned(), region);
        }
        if let Some(interface) = record.get("interface").and_then(Value::as_str)
            && !["public", "internal", "admin"].contains(&interface)
        {
            return Err(ApiError::bad_request(format!("Invalid input for field 'interface': '{interface}'")));
        }
        if let Some(id) = record.get("service_id").and_then(Value::as_str) {
            let found = store.find(&SERVICES, id).await?;
            found.ok_or_else(|| ApiError::bad_request(format!("Could not find service: {id}.")))?;
        }
    }
    for name in ["region_id", "parent_region_id"] {
        let Some(id) = record.get(name).and_then(Value::as_str) else { continue };
        if store.find(&REGIONS, id).await?.is_none() {
            let message = format!("Could not find region: {id}.");
            // Keystone says so of a parent, and of an endpoint's region says that the request is wrong.
            return Err(if name == "region_id" {
                ApiError::bad_request(message)
            } else {
                ApiError::missing(message)
            });
        }
    }
    Ok(())
}

async fn ensure_region(store: &Store, id: &str) -> Result<()> {
    if id.is_empty() || id.chars().count() > 255 {
        return Err(ApiError::bad_request("Invalid input for field 'region'"));
    }
    if store.find(&REGIONS, id).await?.is_some() {
        return Ok(());
    }
    let mut record = Record::new();
    for (name, value) in [("id", id.into()), ("description", "".into()), ("parent_region_id", Value::Null)] {
        record.insert(name.to_owned(), value);
    }
    let mut transaction = store.begin().await?;
    REGIONS.insert(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(())
}

async fn create(call: &mut Call, kind: &Kind, id: Option<&str>) -> Result<Answer> {
    let noun = kind.table.noun;
    call.enforce(&format!("create_{noun}"), json!({})).await?;
    let mut record = call.resource(noun).await?;
    check_fields(&record, kind.fields, kind.required)?;
    check(call, kind, &mut record).await?;
    let own = record.get("id").and_then(Value::as_str).filter(|id| noun == "region" && !id.is_empty());
    if let (Some(id), Some(own)) = (id, own)
        && id != own
    {
        return Err(ApiError::bad_request("Conflicting region IDs specified."));
    }
    let id = id.or(own).map_or_else(new_id, str::to_owned);
    if id.chars().count() > 255 {
        return Err(ApiError::bad_request("Invalid input for field 'id': it is too long"));
    }
    let store = call.service.inner.store.clone();
    if store.find(kind.table, &id).await?.is_some() {
        return Err(ApiError::conflict(format!(
            "Conflict occurred attempting to store {noun} - Duplicate ID, {id}."
        )));
    }
    record.insert("id".to_owned(), id.into());
    (kind.defaults)(&mut record);
    record.remove("links");
    let mut transaction = store.begin().await?;
    kind.table.insert(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(Answer::created(json!({noun: show_one(call, kind, record)})))
}

async fn update(call: &mut Call, kind: &Kind, id: &str) -> Result<Answer> {
    let noun = kind.table.noun;
    call.enforce(&format!("update_{noun}"), json!({})).await?;
    let store = call.service.inner.store.clone();
    let mut record = store.get(kind.table, id).await?;
    let mut changes = call.resource(noun).await?;
    check_fields(&changes, kind.fields, &[])?;
    check(call, kind, &mut changes).await?;
    if changes.get("id").is_some_and(|value| *value != record["id"]) {
        return Err(ApiError::bad_request("Cannot change id."));
    }
    if changes.get("parent_region_id") == Some(&Value::from(id)) {
        return Err(ApiError::bad_request("A region cannot be its own parent."));
    }
    record.extend(changes);
    record.remove("links");
    let mut transaction = store.begin().await?;
    kind.table.update(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(Answer::ok(json!({noun: show_one(call, kind, record)})))
}

async fn delete(call: &mut Call, kind: &Kind, id: &str) -> Result<Answer> {
    let noun = kind.table.noun;
    call.enforce(&format!("delete_{noun}"), json!({})).await?;
    let mut transaction = call.service.inner.store.begin().await?;
    let removed = kind.table.delete(&mut transaction, id).await;
    if removed.as_ref().is_err_and(|error| error.status == ::http::StatusCode::CONFLICT) {
        return Err(ApiError::denied(format!(
            "Unable to delete {noun} {id} because something refers to it."
        )));
    }
    removed?;
    transaction.commit().await?;
    Ok(Answer::nothing())
}
