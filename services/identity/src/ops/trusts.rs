//! `/v3/OS-TRUST/trusts`: a user (the trustor) lends some of its roles on a project to another (the trustee), who then gets tokens
//! with these roles, under its own name or the trustor's, until the trust is taken back, expires or is used up. A trust is not
//! handed on: whoever acts by one makes none.

use super::{no_method, roles};
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Is, Verb, check_fields, collection, list_of, shown};
use crate::store::{PROJECTS, ROLES, Record, Store, TRUSTS, Target, USERS, flag_of, new_id, text_of};
use crate::time::{self, now_us};
use crate::token::is_current;
use serde_json::{Value, json};

const FIELDS: &[(&str, Is)] = &[
    ("trustor_user_id", Is::Name),
    ("trustee_user_id", Is::Name),
    ("project_id", Is::OptText),
    ("impersonation", Is::Flag),
    ("expires_at", Is::OptText),
    ("roles", Is::List),
];
const PLURAL: &str = "OS-TRUST/trusts";

/// `/v3/OS-TRUST...`
pub(crate) async fn serve(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    match (rest, call.verb) {
        (["trusts"], Verb::Get) => list(call).await,
        (["trusts"], Verb::Post) => create(call).await,
        (["trusts", id], Verb::Get) => {
            let record = visible(call, id, "get_trust").await?;
            Ok(Answer::ok(json!({"trust": show_one(call, record).await?})))
        }
        (["trusts", id], Verb::Delete) => {
            visible(call, id, "delete_trust").await?;
            let mut transaction = call.service.inner.store.begin().await?;
            TRUSTS.delete(&mut transaction, id).await?;
            transaction.commit().await?;
            Ok(Answer::nothing())
        }
        (["trusts", id, "roles"], Verb::Get) => {
            let record = visible(call, id, "list_roles_for_trust").await?;
            let roles = lent(call, &record).await?;
            Ok(collection(call, "roles", roles))
        }
        (["trusts", id, "roles", role_id], Verb::Get) => {
            let record = visible(call, id, "get_role_for_trust").await?;
            let found = lent(call, &record).await?.into_iter().find(|role| role["id"] == **role_id);
            let role = found.ok_or_else(|| ApiError::not_found("role", role_id))?;
            Ok(Answer::ok(json!({"role": role})))
        }
        (["trusts"] | ["trusts", _] | ["trusts", _, "roles"] | ["trusts", _, "roles", _], other) => {
            no_method(other)
        }
        _ => Err(ApiError::no_path()),
    }
}

/// The trust `id`, if the caller may do this to it. One that has expired is gone.
async fn visible(call: &mut Call, id: &str, action: &str) -> Result<Record> {
    call.caller().await?;
    let found = call.service.inner.store.find(&TRUSTS, id).await?.filter(is_current);
    let record = found.ok_or_else(|| ApiError::not_found("trust", id))?;
    call.enforce_on(action, "trust", Some(&record)).await?;
    Ok(record)
}

/// The roles that a trust lends, as they are shown.
async fn lent(call: &Call, record: &Record) -> Result<Vec<Value>> {
    let ids = record["roles"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    let roles = call.service.inner.store.get_many(&ROLES, &ids).await?;
    Ok(roles.into_iter().map(|role| shown(call, "roles", role)).collect())
}

/// A trust as lists show it: without its roles.
fn show_brief(call: &Call, mut record: Record) -> Value {
    let expires = record.remove("expires_us").and_then(|us| us.as_u64()).map(time::text);
    record.insert("expires_at".to_owned(), expires.into());
    record.insert("deleted_at".to_owned(), Value::Null);
    record.insert("redelegation_count".to_owned(), 0.into());
    record.remove("roles");
    shown(call, PLURAL, record)
}

async fn show_one(call: &Call, record: Record) -> Result<Value> {
    let roles = lent(call, &record).await?;
    let link = format!("{}/{PLURAL}/{}/roles", call.base(), text_of(&record, "id"));
    let mut trust = show_brief(call, record);
    trust["roles"] = roles.into();
    trust["roles_links"] = json!({"self": link, "next": null, "previous": null});
    Ok(trust)
}

async fn list(call: &mut Call) -> Result<Answer> {
    let mut asked = false;
    for (field, action) in
        [("trustor_user_id", "list_trusts_for_trustor"), ("trustee_user_id", "list_trusts_for_trustee")]
    {
        if let Some(user_id) = call.asked(field).map(str::to_owned) {
            call.enforce(action, json!({"target": {"trust": {field: user_id}}})).await?;
            asked = true;
        }
    }
    if !asked {
        call.enforce("list_trusts", json!({})).await?;
    }
    let mut found = list_of(call, &TRUSTS, &["trustor_user_id", "trustee_user_id"], &[]).await?;
    found.retain(is_current);
    let items = found.into_iter().map(|record| show_brief(call, record)).collect();
    Ok(collection(call, "trusts", items))
}

async fn create(call: &mut Call) -> Result<Answer> {
    let caller = call.caller().await?;
    let asked = call.resource("trust").await?;
    check_fields(&asked, FIELDS, &["trustor_user_id", "trustee_user_id", "impersonation"])?;
    let (trustor, trustee) = (text_of(&asked, "trustor_user_id"), text_of(&asked, "trustee_user_id"));
    call.enforce("create_trust", json!({"target": {"trust": {"trustor_user_id": trustor}}})).await?;
    // It would outlive and outgrow what was lent to the caller.
    if caller.is_delegated() {
        return Err(ApiError::forbidden("create a trust by a token that was got with another's roles"));
    }
    let store = call.service.inner.store.clone();
    for user_id in [trustor, trustee] {
        store.get(&USERS, user_id).await?;
    }
    let project_id = asked.get("project_id").and_then(Value::as_str);
    let roles = lent_roles(&store, &asked, trustor, project_id).await?;
    let uses = remaining_uses(&asked)?;
    let expires_us = time::not_past("expires_at", asked.get("expires_at").and_then(Value::as_str))?;
    let mut record = Record::new();
    for (name, value) in [
        ("id", new_id().into()),
        ("trustor_user_id", trustor.into()),
        ("trustee_user_id", trustee.into()),
        ("project_id", project_id.into()),
        ("impersonation", flag_of(&asked, "impersonation").into()),
        ("expires_us", expires_us.into()),
        ("remaining_uses", uses.into()),
        ("roles", roles.into()),
    ] {
        record.insert(name.to_owned(), value);
    }
    let mut transaction = store.begin().await?;
    // Here, so that nobody has to sweep those that are over.
    let now = i64::try_from(now_us()).unwrap_or(i64::MAX);
    transaction.execute("DELETE FROM trusts WHERE expires_us < $1", &[now.into()]).await?;
    TRUSTS.insert(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(Answer::created(json!({"trust": show_one(call, record).await?})))
}

/// The roles (ids) that a new trust lends, all of which the trustor has on the project now.
async fn lent_roles(
    store: &Store,
    asked: &Record,
    trustor: &str,
    project_id: Option<&str>,
) -> Result<Vec<String>> {
    let asked = asked.get("roles").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(project_id) = project_id else {
        return match asked {
            [] => Ok(Vec::new()),
            _ => Err(ApiError::bad_request("Roles are lent on a project, and none is named.")),
        };
    };
    if asked.is_empty() {
        return Err(ApiError::forbidden("At least one role should be specified"));
    }
    store.get(&PROJECTS, project_id).await?;
    let roles = roles::ids_of(store, asked).await?;
    let held = store.roles_on(trustor, &Target::project(project_id)).await?;
    match roles.iter().find(|id| !held.contains(*id)) {
        Some(id) => Err(ApiError::not_found("role", id)),
        None => Ok(roles.into_iter().collect()),
    }
}

fn remaining_uses(asked: &Record) -> Result<Option<i64>> {
    match asked.get("remaining_uses") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(uses) if uses > 0 => Ok(Some(uses)),
            _ => Err(ApiError::bad_request("remaining_uses must be a positive integer or null.")),
        },
    }
}

impl Store {
    /// Uses a trust once; whether it was not used up.
    pub(crate) async fn use_trust(&self, id: &str) -> Result<bool> {
        let sql = "UPDATE trusts SET remaining_uses = remaining_uses - 1 \
                   WHERE id = $1 AND (remaining_uses IS NULL OR remaining_uses > 0)";
        Ok(self.db.execute(sql, &[id.into()]).await? > 0)
    }
}
