//! Lists: filtered by their query, paged, linked.

use super::call::{Answer, Call};
use crate::error::Result;
use crate::store::{LIST_MAX, Record, Table, text_of};
use serde_json::{Map, Value, json};

/// A record as it is shown, with its link.
pub(crate) fn shown(call: &Call, plural: &str, mut record: Record) -> Value {
    let link = format!("{}/{plural}/{}", call.base(), text_of(&record, "id"));
    record.insert("links".to_owned(), json!({"self": link}));
    Value::Object(record)
}

/// The records of `table` that the query asks for by `filters`, its columns by exact value and any field by Keystone's
/// `name__contains` and the like; `fixed` holds besides.
pub(crate) async fn list_of(
    call: &Call,
    table: &Table,
    filters: &[&str],
    fixed: &[(&str, Value)],
) -> Result<Vec<Record>> {
    let mut exact: Vec<(&str, Value)> = fixed.to_vec();
    let mut later = Vec::new();
    for (name, value) in &call.query {
        let (field, comparison) = name.split_once("__").unwrap_or((name, "equals"));
        let Some(known) = filters.iter().find(|known| **known == field) else { continue };
        match (table.filter_value(known, value), comparison) {
            (Some(value), "equals") => exact.push((known, value)),
            _ => later.push((*known, comparison, value.as_str())),
        }
    }
    let mut records = call.service.inner.store.list(table, &exact).await?;
    records.retain(|record| later.iter().all(|(field, how, wanted)| matches(record, field, how, wanted)));
    Ok(records)
}

fn matches(record: &Record, field: &str, how: &str, wanted: &str) -> bool {
    let text = text_of(record, field);
    let (low, wanted_low) = (text.to_lowercase(), wanted.to_lowercase());
    match how {
        "equals" => text == wanted,
        "contains" => text.contains(wanted),
        "icontains" => low.contains(&wanted_low),
        "startswith" => text.starts_with(wanted),
        "istartswith" => low.starts_with(&wanted_low),
        "endswith" => text.ends_with(wanted),
        "iendswith" => low.ends_with(&wanted_low),
        "iexact" | "iequals" => low == wanted_low,
        _ => true,
    }
}

/// The answer that lists `items` under `plural`: the page that `limit` and `marker` ask for, and whether it was cut.
pub(crate) fn collection(call: &Call, plural: &str, mut items: Vec<Value>) -> Answer {
    if let Some(marker) = call.asked("marker")
        && let Some(at) = items.iter().position(|item| item["id"] == *marker)
    {
        items.drain(..=at);
    }
    let limit = call.asked("limit").and_then(|text| text.parse::<usize>().ok()).filter(|limit| *limit > 0);
    let mut next = Value::Null;
    let cut = items.len() > LIST_MAX;
    items.truncate(LIST_MAX);
    if let Some(limit) = limit
        && items.len() > limit
    {
        items.truncate(limit);
        if let Some(last) = items.last().and_then(|item| item["id"].as_str()) {
            let path = call.target.split('?').next().unwrap_or_default();
            next =
                format!("{}{path}?limit={limit}&marker={last}", call.service.inner.config.public_url).into();
        }
    }
    let link = format!("{}{}", call.service.inner.config.public_url, call.target);
    let mut body = Map::new();
    body.insert(plural.to_owned(), items.into());
    body.insert("links".to_owned(), json!({"next": next, "self": link, "previous": null}));
    if cut {
        body.insert("truncated".to_owned(), true.into());
    }
    Answer::ok(Value::Object(body))
}
