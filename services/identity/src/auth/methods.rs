//! The ways to prove who one is: a password, a token, an application credential.

use crate::error::{ApiError, Result};
use crate::service::Identity;
use crate::store::{APP_CREDENTIALS, PROJECTS, Record, USERS, flag_of, text_of};
use crate::time::now_us;
use crate::token::{Method, Proof, Scope, is_current};
use serde_json::Value;

/// Checks everything in `identity`, the first part of a request for a token. All methods named must agree on the user.
/// Answers the proof, and the scope that comes with it if there is no choice.
pub(crate) async fn prove(service: &Identity, identity: &Record) -> Result<(Proof, Option<Scope>)> {
    let methods = identity.get("methods").and_then(Value::as_array);
    let methods = methods.ok_or_else(|| ApiError::bad_request("'methods' is a required property"))?;
    let mut proof: Option<Proof> = None;
    let mut bound = None;
    for method in methods {
        let name =
            method.as_str().ok_or_else(|| ApiError::bad_request("A method is not of type 'string'"))?;
        let content = || match identity.get(name) {
            Some(Value::Object(content)) => Ok(content),
            _ => Err(ApiError::bad_request(format!(
                "Expecting to find {name} in identity. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error."
            ))),
        };
        let next = match name {
            "password" => by_password(service, content()?).await?,
            "token" => by_token(service, content()?).await?,
            "application_credential" => {
                let (next, scope) = by_app_credential(service, content()?).await?;
                bound = Some(scope);
                next
            }
            // Whatever else there may be is no way in.
            _ => return Err(ApiError::unauthorized()),
        };
        proof = Some(match proof {
            None => next,
            Some(before) if before.user_id == next.user_id => Proof {
                methods: [before.methods, next.methods].concat(),
                parent: before.parent.or(next.parent),
                app_credential_id: before.app_credential_id.or(next.app_credential_id),
                ..next
            },
            Some(_) => return Err(ApiError::unauthorized()),
        });
    }
    proof.map(|proof| (proof, bound)).ok_or_else(ApiError::unauthorized)
}

fn part<'a>(record: &'a Record, name: &str) -> Result<&'a Record> {
    match record.get(name) {
        Some(Value::Object(part)) => Ok(part),
        _ => Err(ApiError::bad_request(format!("'{name}' is a required property"))),
    }
}

fn text_in<'a>(record: &'a Record, name: &str) -> Result<&'a str> {
    match record.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(ApiError::bad_request(format!("'{name}' is not of type 'string'"))),
        None => Err(ApiError::bad_request(format!("'{name}' is a required property"))),
    }
}

/// The id of the domain that a user or project is named in: by id or by name.
pub(super) async fn domain_in(service: &Identity, record: &Record) -> Result<Option<String>> {
    let domain = part(record, "domain")?;
    if domain.contains_key("id") {
        return Ok(Some(text_in(domain, "id")?.to_owned()));
    }
    let name = text_in(domain, "name")?;
    let filters = [("name", Value::from(name)), ("domain_id", Value::Null), ("is_domain", true.into())];
    let found = service.inner.store.list(&PROJECTS, &filters).await?;
    Ok(found.first().map(|domain| text_of(domain, "id").to_owned()))
}

/// The user that `record` names, by id or by name and domain, if there is one.
async fn user_in(service: &Identity, record: &Record) -> Result<Option<Record>> {
    if record.contains_key("id") {
        return service.inner.store.find(&USERS, text_in(record, "id")?).await;
    }
    let name = text_in(record, "name")?;
    match domain_in(service, record).await? {
        Some(domain_id) => service.inner.store.user_named(name, &domain_id).await,
        None => Ok(None),
    }
}

async fn by_password(service: &Identity, content: &Record) -> Result<Proof> {
    let claim = part(content, "user")?;
    let password = text_in(claim, "password")?;
    let user = user_in(service, claim).await?;
    check_password(service, user.as_ref(), password, Expired::Refused).await?;
    let user_id = user.map(|user| text_of(&user, "id").to_owned()).ok_or_else(ApiError::unauthorized)?;
    Ok(Proof { user_id, methods: vec![Method::Password], parent: None, app_credential_id: None, trust: None })
}

/// What becomes of a password that has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    Refused,
    /// It still proves who it is that wants a new one.
    Taken,
}

/// Whether `password` is the user's. Takes as long for a user who is not there, and counts what fails.
pub(crate) async fn check_password(
    service: &Identity,
    user: Option<&Record>,
    password: &str,
    expired: Expired,
) -> Result<()> {
    let inner = &service.inner;
    let Some(user) = user else {
        inner.hasher.verify(password, None).await?;
        return Err(ApiError::unauthorized());
    };
    let user_id = text_of(user, "id");
    let counts = inner.config.lockout_failures > 0
        && user["options"]["ignore_lockout_failure_attempts"] != Value::Bool(true);
    let lockout_us = u64::try_from(inner.config.lockout.as_micros()).unwrap_or(u64::MAX);
    let (failures, last_us) = if counts { inner.store.login_failures(user_id).await? } else { (0, 0) };
    let locked = failures >= inner.config.lockout_failures && now_us() < last_us.saturating_add(lockout_us);
    let kept = inner.store.password(user_id).await?;
    let lives = |us| us > now_us() || expired == Expired::Taken;
    let usable = kept.filter(|kept| !(counts && locked) && kept.expires_us.is_none_or(lives));
    if inner.hasher.verify(password, usable.as_ref().map(|kept| kept.hash.as_str())).await? {
        if failures > 0 {
            inner.store.clear_login_failures(user_id).await?;
        }
        return Ok(());
    }
    // A locked user's count rests, so that the lock ends although somebody goes on trying.
    if counts && !locked {
        inner.store.note_login_failure(user_id, now_us(), lockout_us).await?;
    }
    Err(ApiError::unauthorized())
}

async fn by_token(service: &Identity, content: &Record) -> Result<Proof> {
    let token = text_in(content, "id")?;
    // A token that is none is not found, as in Keystone; in `X-Auth-Token` it would be nobody's.
    let found = service.validate(token).await?;
    let caller = found.ok_or_else(|| ApiError::missing("Could not find token."))?;
    // It would outgrow the roles that are lent.
    if caller.is_delegated() {
        return Err(ApiError::forbidden("rescope a token of an application credential or a trust"));
    }
    Ok(Proof {
        user_id: caller.user_id().to_owned(),
        methods: vec![Method::Token],
        parent: Some(caller.payload),
        app_credential_id: None,
        trust: None,
    })
}

async fn by_app_credential(service: &Identity, content: &Record) -> Result<(Proof, Scope)> {
    let secret = text_in(content, "secret")?;
    let store = &service.inner.store;
    let credential = if content.contains_key("id") {
        store.find(&APP_CREDENTIALS, text_in(content, "id")?).await?
    } else {
        let name = text_in(content, "name")?;
        let owner = user_in(service, part(content, "user")?).await?;
        let owner_id = owner.as_ref().map(|user| text_of(user, "id")).unwrap_or_default();
        let filters = [("name", Value::from(name)), ("user_id", owner_id.into())];
        store.list(&APP_CREDENTIALS, &filters).await?.into_iter().next()
    };
    let hash = credential.as_ref().map(|credential| text_of(credential, "secret_hash"));
    let same = service.inner.hasher.verify(secret, hash).await?;
    let credential = credential.filter(|credential| same && is_current(credential));
    let credential = credential.ok_or_else(ApiError::unauthorized)?;
    let user = store.find(&USERS, text_of(&credential, "user_id")).await?;
    let user = user.filter(|user| flag_of(user, "enabled")).ok_or_else(ApiError::unauthorized)?;
    let proof = Proof {
        user_id: text_of(&user, "id").to_owned(),
        methods: vec![Method::AppCredential],
        parent: None,
        app_credential_id: Some(text_of(&credential, "id").to_owned()),
        trust: None,
    };
    Ok((proof, Scope::Project(text_of(&credential, "project_id").to_owned())))
}
