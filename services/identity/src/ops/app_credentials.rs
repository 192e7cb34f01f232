//! `/v3/users/{id}/application_credentials`: passwords for programs, which lend some of their owner's roles on one project; and
//! `/v3/users/{id}/access_rules`, which say what such a program may call.

use super::{no_method, roles, users};
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Is, Verb, check_fields, collection, list_of, shown};
use crate::store::{ACCESS_RULES, APP_CREDENTIALS, ROLES, Record, flag_of, new_id, text_of};
use crate::time;
use crate::token::Caller;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use ringfort_db::Transaction;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const FIELDS: &[(&str, Is)] = &[
    ("name", Is::Name),
    ("description", Is::OptText),
    ("secret", Is::OptText),
    ("expires_at", Is::OptText),
    ("unrestricted", Is::Flag),
    ("roles", Is::List),
    ("access_rules", Is::List),
];
const ACCESS_RULES_MAX: usize = 100;

pub(crate) async fn serve(call: &mut Call, user_id: &str, rest: &[&str]) -> Result<Answer> {
    match (rest, call.verb) {
        ([], Verb::Get) => list(call, user_id).await,
        ([], Verb::Post) => create(call, user_id).await,
        ([id], Verb::Get) => {
            let record = visible(call, user_id, id, "get_application_credential").await?;
            Ok(Answer::ok(json!({"application_credential": show_one(call, record).await?})))
        }
        ([id], Verb::Delete) => {
            visible(call, user_id, id, "delete_application_credential").await?;
            refuse_restricted(call).await?;
            let mut transaction = call.service.inner.store.begin().await?;
            APP_CREDENTIALS.delete(&mut transaction, id).await?;
            transaction.commit().await?;
            Ok(Answer::nothing())
        }
        ([] | [_], other) => no_method(other),
        _ => Err(ApiError::no_path()),
    }
}

/// `/v3/users/{id}/access_rules...`
pub(crate) async fn serve_rules(call: &mut Call, user_id: &str, rest: &[&str]) -> Result<Answer> {
    let (one, action) = match (rest, call.verb) {
        ([], Verb::Get) => (None, "list_access_rules"),
        ([id], Verb::Get) => (Some(*id), "get_access_rule"),
        ([id], Verb::Delete) => (Some(*id), "delete_access_rule"),
        ([] | [_], other) => return no_method(other),
        _ => return Err(ApiError::no_path()),
    };
    users::visible(call, user_id, action).await?;
    let plural = format!("users/{user_id}/access_rules");
    let bare = |mut record: Record| {
        record.remove("user_id");
        record
    };
    let Some(id) = one else {
        let fixed = [("user_id", Value::from(user_id))];
        let found = list_of(call, &ACCESS_RULES, &["service", "path", "method"], &fixed).await?;
        let items = found.into_iter().map(|record| shown(call, &plural, bare(record))).collect();
        return Ok(collection(call, "access_rules", items));
    };
    let store = call.service.inner.store.clone();
    let record = store.get(&ACCESS_RULES, id).await?;
    if text_of(&record, "user_id") != user_id {
        return Err(ApiError::not_found("access rule", id));
    }
    if call.verb == Verb::Get {
        return Ok(Answer::ok(json!({"access_rule": shown(call, &plural, bare(record))})));
    }
    let owned = store.list(&APP_CREDENTIALS, &[("user_id", user_id.into())]).await?;
    if owned.iter().any(|credential| credential["access_rules"].to_string().contains(id)) {
        return Err(ApiError::denied(format!("Could not delete access rule {id}: it is in use.")));
    }
    let mut transaction = store.begin().await?;
    ACCESS_RULES.delete(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(Answer::nothing())
}

async fn show_one(call: &Call, mut record: Record) -> Result<Value> {
    let user_id = text_of(&record, "user_id").to_owned();
    let ids = record["roles"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    let roles = call.service.inner.store.get_many(&ROLES, &ids).await?;
    let roles = roles.iter().map(|role| {
        json!({"id": role["id"], "name": role["name"], "domain_id": role["domain_id"],
            "description": role["description"], "options": {}})
    });
    record.insert("roles".to_owned(), roles.collect());
    let expires = record.remove("expires_us").and_then(|us| us.as_u64()).map(time::text);
    // The only time that Keystone writes without its zone.
    let expires = expires.map(|text| text.trim_end_matches('Z').to_owned());
    record.insert("expires_at".to_owned(), expires.into());
    record.remove("secret_hash");
    record.remove("user_id");
    if record["access_rules"].is_null() {
        record.remove("access_rules");
    }
    record.insert("system".to_owned(), Value::Null);
    Ok(shown(call, &format!("users/{user_id}/application_credentials"), record))
}

async fn visible(call: &mut Call, user_id: &str, id: &str, action: &str) -> Result<Record> {
    users::visible(call, user_id, action).await?;
    let found = call.service.inner.store.find(&APP_CREDENTIALS, id).await?;
    let found = found.filter(|record| text_of(record, "user_id") == user_id);
    found.ok_or_else(|| ApiError::not_found("application credential", id))
}

/// A program whose credential is restricted makes no others.
async fn refuse_restricted(call: &mut Call) -> Result<()> {
    let caller = call.caller().await?;
    if caller.trust.is_some() {
        return Err(ApiError::forbidden("manage application credentials by a token of a trust"));
    }
    match &caller.app_credential {
        Some(credential) if !flag_of(credential, "unrestricted") => Err(ApiError::forbidden(
            "Using method 'application_credential' is not allowed for managing additional application credentials",
        )),
        _ => Ok(()),
    }
}

async fn list(call: &mut Call, user_id: &str) -> Result<Answer> {
    users::visible(call, user_id, "list_application_credentials").await?;
    let found = list_of(call, &APP_CREDENTIALS, &["name"], &[("user_id", user_id.into())]).await?;
    let mut items = Vec::new();
    for record in found {
        items.push(show_one(call, record).await?);
    }
    Ok(collection(call, "application_credentials", items))
}

async fn create(call: &mut Call, user_id: &str) -> Result<Answer> {
    let user = users::visible(call, user_id, "create_application_credential").await?;
    refuse_restricted(call).await?;
    let caller = call.caller().await?;
    let mut asked = call.resource("application_credential").await?;
    check_fields(&asked, FIELDS, &["name"])?;
    let project_id =
        caller.project_id().ok_or_else(|| ApiError::bad_request("The token is not scoped to a project."))?;
    let expires_us = time::not_past("expires_at", asked.get("expires_at").and_then(Value::as_str))?;
    let roles = lent_roles(call, &caller, asked.get("roles")).await?;
    let secret = match asked.remove("secret") {
        Some(Value::String(secret)) if !secret.is_empty() => secret,
        _ => URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 64]>()),
    };
    let secret_hash = call.service.inner.hasher.hash(&secret).await?;
    let mut transaction = call.service.inner.store.begin().await?;
    let rules = match asked.get("access_rules").and_then(Value::as_array) {
        Some(rules) => save_rules(&mut transaction, user_id, rules).await?,
        None => Value::Null,
    };
    let mut record = Record::new();
    for (name, value) in [
        ("id", new_id().into()),
        ("user_id", user["id"].clone()),
        ("project_id", project_id.into()),
        ("name", asked["name"].clone()),
        ("description", asked.get("description").cloned().unwrap_or_default()),
        ("secret_hash", secret_hash.into()),
        ("expires_us", expires_us.into()),
        ("unrestricted", flag_of(&asked, "unrestricted").into()),
        ("roles", roles.into_iter().collect()),
        ("access_rules", rules),
    ] {
        record.insert(name.to_owned(), value);
    }
    APP_CREDENTIALS.insert(&mut transaction, &record).await?;
    transaction.commit().await?;
    let mut shown = show_one(call, record).await?;
    // The only time that anybody sees it.
    shown["secret"] = secret.into();
    Ok(Answer::created(json!({"application_credential": shown})))
}

/// The roles (ids) that a new credential lends: those asked for, of which the caller's token has every one, or all of these.
async fn lent_roles(call: &Call, caller: &Caller, asked: Option<&Value>) -> Result<BTreeSet<String>> {
    let asked = asked.and_then(Value::as_array).filter(|asked| !asked.is_empty());
    let Some(asked) = asked else { return Ok(caller.role_ids()) };
    let store = &call.service.inner.store;
    let roles = store.with_implied(roles::ids_of(store, asked).await?).await?;
    if roles.is_subset(&caller.role_ids()) {
        return Ok(roles);
    }
    Err(ApiError::bad_request(
        "Invalid application credential: Cannot create an application credential with unassigned role",
    ))
}

/// Keeps access rules, each once for its user, and answers them with their ids.
async fn save_rules(transaction: &mut Transaction, user_id: &str, rules: &[Value]) -> Result<Value> {
    if rules.len() > ACCESS_RULES_MAX {
        return Err(ApiError::bad_request("Invalid input for field 'access_rules': too many"));
    }
    let mut kept = Vec::new();
    for rule in rules {
        if let Some(id) = rule["id"].as_str() {
            let known = ACCESS_RULES.load(transaction, id).await?;
            if text_of(&known, "user_id") != user_id {
                return Err(ApiError::not_found("access rule", id));
            }
            kept.push(json!({"id": id, "service": known["service"], "path": known["path"], "method": known["method"]}));
            continue;
        }
        let (Some(service), Some(path), Some(method)) =
            (rule["service"].as_str(), rule["path"].as_str(), rule["method"].as_str())
        else {
            return Err(ApiError::bad_request("An access rule has a service, a path and a method"));
        };
        if !["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method)
            || !path.starts_with('/')
        {
            return Err(ApiError::bad_request("Invalid input for field 'access_rules'"));
        }
        let sql =
            "SELECT id FROM access_rules WHERE user_id = $1 AND service = $2 AND path = $3 AND method = $4";
        let found =
            transaction.fetch(sql, &[user_id.into(), service.into(), path.into(), method.into()]).await?;
        let id = match found.first() {
            Some(row) => row.text(0),
            None => {
                let record = json!({"id": new_id(), "user_id": user_id, "service": service, "path": path, "method": method});
                let Value::Object(record) = record else { continue };
                ACCESS_RULES.insert(transaction, &record).await?;
                text_of(&record, "id").to_owned()
            }
        };
        kept.push(json!({"id": id, "service": service, "path": path, "method": method}));
    }
    Ok(kept.into())
}
