//! `/v3/credentials`, and the EC2 form of them: `/v3/users/{id}/credentials/OS-EC2`. An EC2 credential is an access key of S3: its
//! id is the hash of its access key, as in Keystone, so that it is found by either. What is secret lies sealed in the database.

use super::{no_method, users};
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Is, Verb, check_fields, collection, list_of, shown};
use crate::service::Identity;
use crate::store::{CREDENTIALS, PROJECTS, Record, new_id, text_of};
use crate::time::now_us;
use rand::Rng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const FIELDS: &[(&str, Is)] =
    &[("type", Is::Name), ("user_id", Is::Name), ("project_id", Is::OptText), ("blob", Is::Text)];

/// The id of the credential with this access key.
pub(crate) fn id_of(access_key: &str) -> String {
    hex::encode(Sha256::digest(access_key.as_bytes()))
}

pub(crate) async fn serve(call: &mut Call, rest: &[&str]) -> Result<Answer> {
    match (rest, call.verb) {
        ([], Verb::Get) => list(call).await,
        ([], Verb::Post) => create(call).await,
        ([id], Verb::Get) => {
            let record = visible(call, id, "get_credential").await?;
            Ok(Answer::ok(json!({"credential": show_one(call, record)?})))
        }
        ([id], Verb::Patch) => update(call, id).await,
        ([id], Verb::Delete) => {
            visible(call, id, "delete_credential").await?;
            remove(call, id).await
        }
        ([] | [_], other) => no_method(other),
        _ => Err(ApiError::no_path()),
    }
}

/// `/v3/users/{id}/credentials/OS-EC2...`
pub(crate) async fn serve_ec2(call: &mut Call, user_id: &str, rest: &[&str]) -> Result<Answer> {
    match (rest, call.verb) {
        ([], Verb::Get) => {
            users::visible(call, user_id, "ec2_list_credentials").await?;
            let filters = [("user_id", Value::from(user_id)), ("type", "ec2".into())];
            let found = call.service.inner.store.list(&CREDENTIALS, &filters).await?;
            let items: Result<Vec<Value>> = found.into_iter().map(|record| as_ec2(call, &record)).collect();
            Ok(collection(call, "credentials", items?))
        }
        ([], Verb::Post) => create_ec2(call, user_id).await,
        ([access], Verb::Get) => {
            let record = visible_ec2(call, user_id, access, "ec2_get_credential").await?;
            Ok(Answer::ok(json!({"credential": as_ec2(call, &record)?})))
        }
        ([access], Verb::Delete) => {
            visible_ec2(call, user_id, access, "ec2_delete_credential").await?;
            remove(call, &id_of(access)).await
        }
        ([] | [_], other) => no_method(other),
        _ => Err(ApiError::no_path()),
    }
}

/// A token got with an application credential or a trust makes and reads no credentials: they would outlive and outgrow it.
async fn refuse_lent(call: &mut Call) -> Result<()> {
    if call.caller().await?.is_delegated() {
        return Err(ApiError::forbidden("Delegated tokens cannot access credentials directly"));
    }
    Ok(())
}

/// The secret part of a credential.
pub(crate) fn open_blob(service: &Identity, record: &Record) -> Result<String> {
    let opened = service.inner.keys.open_secret(text_of(record, "blob"));
    opened.ok_or_else(|| ApiError::internal("a credential was sealed under another key"))
}

fn seal_blob(call: &Call, record: &mut Record) {
    let sealed = call.service.inner.keys.seal_secret(text_of(record, "blob"), now_us());
    record.insert("blob".to_owned(), sealed.into());
}

fn show_one(call: &Call, mut record: Record) -> Result<Value> {
    record.insert("blob".to_owned(), open_blob(&call.service, &record)?.into());
    Ok(shown(call, "credentials", record))
}

fn as_ec2(call: &Call, record: &Record) -> Result<Value> {
    let blob: Value = serde_json::from_str(&open_blob(&call.service, record)?).unwrap_or_default();
    let user_id = text_of(record, "user_id");
    let access = blob["access"].as_str().unwrap_or_default();
    let link = format!("{}/users/{user_id}/credentials/OS-EC2/{access}", call.base());
    Ok(
        json!({"user_id": user_id, "tenant_id": record["project_id"], "access": access, "secret": blob["secret"],
        "trust_id": null, "links": {"self": link}}),
    )
}

/// The credential `id`, if the caller may do this to it.
async fn visible(call: &mut Call, id: &str, action: &str) -> Result<Record> {
    refuse_lent(call).await?;
    let found = call.service.inner.store.find(&CREDENTIALS, id).await?;
    call.enforce_on(action, "credential", found.as_ref()).await?;
    found.ok_or_else(|| ApiError::not_found("credential", id))
}

async fn visible_ec2(call: &mut Call, user_id: &str, access: &str, action: &str) -> Result<Record> {
    refuse_lent(call).await?;
    let found = call.service.inner.store.find(&CREDENTIALS, &id_of(access)).await?;
    let found =
        found.filter(|record| text_of(record, "user_id") == user_id && text_of(record, "type") == "ec2");
    // A key that is gone is told so to anybody with a token: nobody finds out by guessing which there are.
    call.caller().await?;
    let record = found.ok_or_else(|| ApiError::not_found("credential", access))?;
    call.enforce_on(action, "credential", Some(&record)).await?;
    Ok(record)
}

async fn list(call: &mut Call) -> Result<Answer> {
    refuse_lent(call).await?;
    let caller = call.caller().await?;
    call.enforce("list_credentials", json!({"target": {"credential": {"user_id": caller.user_id()}}}))
        .await?;
    let found = list_of(call, &CREDENTIALS, &["user_id", "type"], &[]).await?;
    let mut items = Vec::new();
    for record in found {
        if call.enforce_on("get_credential", "credential", Some(&record)).await.is_ok() {
            items.push(show_one(call, record)?);
        }
    }
    Ok(collection(call, "credentials", items))
}

/// The access key in the blob of an EC2 credential.
fn access_in(record: &Record) -> Result<String> {
    let blob: Value = serde_json::from_str(text_of(record, "blob"))
        .map_err(|_| ApiError::bad_request("Invalid blob in credential"))?;
    match (blob["access"].as_str(), blob["secret"].as_str()) {
        (Some(access), Some(_)) if !access.is_empty() => Ok(access.to_owned()),
        _ => Err(ApiError::bad_request("Expecting to find access and secret in blob.")),
    }
}

async fn create(call: &mut Call) -> Result<Answer> {
    let caller = call.caller().await?;
    let mut record = call.resource("credential").await?;
    record.entry("user_id").or_insert_with(|| caller.user_id().into());
    call.enforce_on("create_credential", "credential", Some(&record)).await?;
    refuse_lent(call).await?;
    check_fields(&record, FIELDS, &["type", "blob"])?;
    let store = call.service.inner.store.clone();
    if store.find(&crate::store::USERS, text_of(&record, "user_id")).await?.is_none() {
        return Err(ApiError::not_found("user", text_of(&record, "user_id")));
    }
    let id = if text_of(&record, "type").eq_ignore_ascii_case("ec2") {
        if text_of(&record, "project_id").is_empty() {
            return Err(ApiError::bad_request("Expecting to find project_id in credential."));
        }
        id_of(&access_in(&record)?)
    } else {
        new_id()
    };
    if let Some(project_id) = record.get("project_id").and_then(Value::as_str) {
        store.get(&PROJECTS, project_id).await?;
    }
    record.entry("project_id").or_insert(Value::Null);
    add(call, &mut record, id).await?;
    Ok(Answer::created(json!({"credential": show_one(call, record)?})))
}

async fn add(call: &Call, record: &mut Record, id: String) -> Result<()> {
    let store = &call.service.inner.store;
    if store.find(&CREDENTIALS, &id).await?.is_some() {
        let message = format!("Conflict occurred attempting to store credential - Duplicate ID, {id}.");
        return Err(ApiError::conflict(message));
    }
    record.insert("id".to_owned(), id.into());
    record.remove("links");
    seal_blob(call, record);
    let mut transaction = store.begin().await?;
    CREDENTIALS.insert(&mut transaction, record).await?;
    transaction.commit().await.map_err(ApiError::from)
}

async fn update(call: &mut Call, id: &str) -> Result<Answer> {
    let mut record = visible(call, id, "update_credential").await?;
    let changes = call.resource("credential").await?;
    check_fields(&changes, FIELDS, &[])?;
    if changes.get("id").is_some_and(|value| *value != record["id"]) {
        return Err(ApiError::bad_request("Cannot change id."));
    }
    record.insert("blob".to_owned(), open_blob(&call.service, &record)?.into());
    record.extend(changes);
    // It may be given away only to whom the caller could have made it for.
    call.enforce_on("update_credential", "credential", Some(&record)).await?;
    // Its id stays, so that a key whose access was changed here is found by nobody.
    if text_of(&record, "type").eq_ignore_ascii_case("ec2") {
        access_in(&record)?;
    }
    record.remove("links");
    seal_blob(call, &mut record);
    let mut transaction = call.service.inner.store.begin().await?;
    CREDENTIALS.update(&mut transaction, &record).await?;
    transaction.commit().await?;
    Ok(Answer::ok(json!({"credential": show_one(call, record)?})))
}

async fn remove(call: &Call, id: &str) -> Result<Answer> {
    let mut transaction = call.service.inner.store.begin().await?;
    CREDENTIALS.delete(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(Answer::nothing())
}

async fn create_ec2(call: &mut Call, user_id: &str) -> Result<Answer> {
    let body = call.json().await?;
    let target = json!({"target": {"credential": {"user_id": user_id}}, "user_id": user_id});
    call.enforce("ec2_create_credential", target).await?;
    refuse_lent(call).await?;
    let store = call.service.inner.store.clone();
    store.get(&crate::store::USERS, user_id).await?;
    let project_id = body.get("tenant_id").or_else(|| body.get("project_id")).and_then(Value::as_str);
    let project_id = project_id.ok_or_else(|| ApiError::bad_request("'tenant_id' is a required property"))?;
    store.get(&PROJECTS, project_id).await?;
    let secret = hex::encode(rand::rng().random::<[u8; 20]>());
    let access = new_id();
    let blob = json!({"access": access, "secret": secret, "trust_id": null}).to_string();
    let mut record = Record::new();
    for (name, value) in [("user_id", user_id), ("project_id", project_id), ("type", "ec2"), ("blob", &blob)]
    {
        record.insert(name.to_owned(), value.into());
    }
    add(call, &mut record, id_of(&access)).await?;
    Ok(Answer::created(json!({"credential": as_ec2(call, &record)?})))
}
