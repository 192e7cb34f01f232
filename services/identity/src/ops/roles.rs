//! `/v3/roles`, and which role implies which.

use super::no_method;
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Is, Verb, check_fields, collection, list_of, shown};
use crate::store::{ROLES, Record, Store, new_id, text_of};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const FIELDS: &[(&str, Is)] =
    &[("name", Is::Name), ("description", Is::OptText), ("domain_id", Is::OptText), ("options", Is::Object)];

pub(crate) async fn serve(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    match (rest, call.verb) {
        ([], Verb::Get) => list(call).await,
        ([], Verb::Post) => create(call).await,
        ([id], Verb::Get) => {
            let record = visible(call, id, "get_role").await?;
            Ok(Answer::ok(json!({"role": shown(call, "roles", record)})))
        }
        ([id], Verb::Patch) => update(call, id).await,
        ([id], Verb::Delete) => {
            visible(call, id, "delete_role").await?;
            let mut transaction = call.service.inner.store.begin().await?;
            ROLES.delete(&mut transaction, id).await?;
            transaction.commit().await?;
            Ok(Answer::nothing())
        }
        ([id, "implies"], Verb::Get) => list_implied(call, id).await,
        ([id, "implies", implied], verb) => one_implied(call, id, implied, verb).await,
        ([] | [_] | [_, "implies"], other) => no_method(other),
        _ => Err(ApiError::no_path()),
    }
}

async fn visible(call: &mut Call, id: &str, action: &str) -> Result<Record> {
    let found = call.service.inner.store.find(&ROLES, id).await?;
    call.enforce_on(action, "role", found.as_ref()).await?;
    found.ok_or_else(|| ApiError::not_found("role", id))
}

async fn list(call: &mut Call) -> Result<Answer> {
    call.enforce("list_roles", json!({})).await?;
    // Without a domain in the query, the roles of no domain.
    let fixed: &[(&str, Value)] =
        if call.asked("domain_id").is_some() { &[] } else { &[("domain_id", Value::Null)] };
    let found = list_of(call, &ROLES, &["name", "domain_id"], fixed).await?;
    let items = found.into_iter().map(|record| shown(call, "roles", record)).collect();
    Ok(collection(call, "roles", items))
}

async fn create(call: &mut Call) -> Result<Answer> {
    call.enforce("create_role", json!({})).await?;
    let mut record = call.resource("role").await?;
    check_fields(&record, FIELDS, &["name"])?;
    let store = call.service.inner.store.clone();
    if let Some(domain_id) = record.get("domain_id").and_then(Value::as_str)
        && crate::ops::domains::find(&store, domain_id).await?.is_none()
    {
        return Err(ApiError::not_found("domain", domain_id));
    }
    record.insert("id".to_owned(), new_id().into());
    for (name, value) in [("domain_id", Value::Null), ("description", Value::Null), ("options", json!({}))] {
        record.entry(name).or_insert(value);
    }
    record.remove("links");
    let mut transaction = store.begin().await?;
    ROLES.insert(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(Answer::created(json!({"role": shown(call, "roles", record)})))
}

async fn update(call: &mut Call, id: &str) -> Result<Answer> {
    let mut record = visible(call, id, "update_role").await?;
    let changes = call.resource("role").await?;
    check_fields(&changes, FIELDS, &[])?;
    for fixed in ["id", "domain_id"] {
        if changes.get(fixed).is_some_and(|value| *value != record[fixed]) {
            return Err(ApiError::bad_request(format!("Cannot change {fixed}.")));
        }
    }
    record.extend(changes);
    record.remove("links");
    let mut transaction = call.service.inner.store.begin().await?;
    ROLES.update(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(Answer::ok(json!({"role": shown(call, "roles", record)})))
}

/// A role as a rule of inference names it.
fn brief(call: &Call, record: &Record) -> Value {
    let link = format!("{}/roles/{}", call.base(), text_of(record, "id"));
    json!({"id": record["id"], "name": record["name"], "links": {"self": link}})
}

async fn list_implied(call: &mut Call, id: &str) -> Result<Answer> {
    let prior = visible(call, id, "list_implied_roles").await?;
    let store = call.service.inner.store.clone();
    let ids = store.implications().await?.into_iter().filter(|(prior, _)| prior == id);
    let ids: Vec<String> = ids.map(|(_, implied)| implied).collect();
    let implied = store.get_many(&ROLES, &ids).await?;
    let implied: Vec<Value> = implied.iter().map(|role| brief(call, role)).collect();
    let link = format!("{}/roles/{id}/implies", call.base());
    Ok(Answer::ok(json!({"role_inference": {"prior_role": brief(call, &prior), "implies": implied},
        "links": {"self": link}})))
}

async fn one_implied(call: &mut Call, id: &str, implied_id: &str, verb: Verb) -> Result<Answer> {
    let action = match verb {
        Verb::Get => {
            if call.is_head {
                "check_implied_role"
            } else {
                "get_implied_role"
            }
        }
        Verb::Put => "create_implied_role",
        Verb::Delete => "delete_implied_role",
        other => return no_method(other),
    };
    let prior = visible(call, id, action).await?;
    let store = call.service.inner.store.clone();
    let implied = store.get(&ROLES, implied_id).await?;
    let there = store.implications().await?.contains(&(id.to_owned(), implied_id.to_owned()));
    if verb != Verb::Put && !there {
        return Err(ApiError::missing(format!("{id} does not imply {implied_id}.")));
    }
    let link = format!("{}/roles/{id}/implies/{implied_id}", call.base());
    let body = json!({"role_inference": {"prior_role": brief(call, &prior), "implies": brief(call, &implied)},
        "links": {"self": link}});
    let values = [id.into(), implied_id.into()];
    match verb {
        Verb::Get if call.is_head => Ok(Answer::nothing()),
        Verb::Get => Ok(Answer::ok(body)),
        Verb::Put => {
            // To imply an administrator would make one of everybody who has the role.
            // And a domain's roles are not for other domains' users to get by one that all share.
            let into_domain = prior["domain_id"].is_null() && !implied["domain_id"].is_null();
            if text_of(&implied, "name") == "admin" || into_domain {
                return Err(ApiError::denied(format!("{implied_id} cannot be an implied role.")));
            }
            let mut transaction = store.begin().await?;
            let sql =
                "INSERT INTO implied_roles (prior_id, implied_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            transaction.execute(sql, &values).await?;
            transaction.commit().await?;
            Ok(Answer::created(body))
        }
        _ => {
            let sql = "DELETE FROM implied_roles WHERE prior_id = $1 AND implied_id = $2";
            store.db.execute(sql, &values).await?;
            Ok(Answer::nothing())
        }
    }
}

/// `GET /v3/role_inferences`
pub(crate) async fn inferences(call: &mut Call) -> Result<Answer> {
    if call.verb != Verb::Get {
        return no_method(call.verb);
    }
    call.enforce("list_role_inference_rules", json!({})).await?;
    let store = call.service.inner.store.clone();
    let roles = store.list(&ROLES, &[]).await?;
    let by_id: BTreeMap<&str, &Record> = roles.iter().map(|role| (text_of(role, "id"), role)).collect();
    let mut rules: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (prior, implied) in store.implications().await? {
        if let Some(role) = by_id.get(implied.as_str()) {
            rules.entry(prior).or_default().push(brief(call, role));
        }
    }
    let rules = rules.into_iter().filter_map(|(prior, implies)| {
        Some(json!({"prior_role": brief(call, by_id.get(prior.as_str())?), "implies": implies}))
    });
    let rules: Vec<Value> = rules.collect();
    let link = format!("{}/role_inferences", call.base());
    Ok(Answer::ok(json!({"role_inferences": rules, "links": {"self": link}})))
}

/// The names of all roles, by id.
pub(crate) async fn by_id(store: &Store) -> Result<BTreeMap<String, Record>> {
    let roles = store.list(&ROLES, &[]).await?;
    Ok(roles.into_iter().map(|role| (text_of(&role, "id").to_owned(), role)).collect())
}

/// The ids of the roles that a client names, each by its id or by its name.
pub(crate) async fn ids_of(store: &Store, named: &[Value]) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for role in named {
        let found = match (role["id"].as_str(), role["name"].as_str()) {
            (Some(id), _) => store.find(&ROLES, id).await?,
            (None, Some(name)) => {
                let filters = [("name", Value::from(name)), ("domain_id", Value::Null)];
                store.list(&ROLES, &filters).await?.into_iter().next()
            }
            (None, None) => {
                return Err(ApiError::bad_request("Invalid input for field 'roles': no id and no name"));
            }
        };
        let found = found.ok_or_else(|| ApiError::not_found("role", &role.to_string()))?;
        ids.insert(text_of(&found, "id").to_owned());
    }
    Ok(ids)
}
