//! Passwords of users: how long one lives, how a user changes its own, and which it may not take then.

use crate::auth::{Expired, check_password};
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call};
use crate::service::Identity;
use crate::store::{NewPassword, Record, Revoked, Store, USERS, flag_of};
use crate::time::now_us;
use serde_json::Value;
use std::time::Duration;

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn has_option(user: &Record, name: &str) -> bool {
    user.get("options").is_some_and(|options| options[name] == Value::Bool(true))
}

/// `password` as it is kept for `user` from now on.
pub(crate) async fn prepare(service: &Identity, user: &Record, password: &str) -> Result<NewPassword> {
    let hash = service.inner.hasher.hash(password).await?;
    let (config, created_us) = (&service.inner.config, now_us());
    let lifetime = config.password_lifetime.filter(|_| !has_option(user, "ignore_password_expiry"));
    Ok(NewPassword {
        hash,
        created_us,
        expires_us: lifetime.map(|span| created_us.saturating_add(micros(span))),
        remembered: config.password_history.saturating_sub(1),
    })
}

/// A user changes its own password, and proves it by the old one, expired or not: no token is asked for, as in Keystone.
pub(crate) async fn change(call: &mut Call, id: &str) -> Result<Answer> {
    let claim = call.resource("user").await?;
    let (Some(Value::String(old)), Some(Value::String(new))) =
        (claim.get("original_password"), claim.get("password"))
    else {
        return Err(ApiError::bad_request("'original_password' and 'password' are required properties"));
    };
    let service = call.service.clone();
    let store = &service.inner.store;
    let user = store.find(&USERS, id).await?.filter(|user| flag_of(user, "enabled"));
    check_password(&service, user.as_ref(), old, Expired::Taken).await?;
    let user = user.ok_or_else(ApiError::unauthorized)?;
    if has_option(&user, "lock_password") {
        return Err(ApiError::bad_request("Password change is not allowed for this user."));
    }
    check_age(&service, id).await?;
    check_history(&service, id, new).await?;
    let new = prepare(&service, &user, new).await?;
    let mut transaction = store.begin().await?;
    Store::set_password(&mut transaction, id, Some(&new)).await?;
    Store::revoke(&mut transaction, &Revoked::User(id), now_us(), service.token_lifetime_us()).await?;
    transaction.commit().await?;
    Ok(Answer::nothing())
}

/// Keeps a user from changing its way back through the history at once. An expired password may always be changed.
async fn check_age(service: &Identity, id: &str) -> Result<()> {
    let age = service.inner.config.password_min_age;
    let Some(kept) = service.inner.store.password(id).await? else { return Ok(()) };
    let now = now_us();
    let expired = kept.expires_us.is_some_and(|us| us <= now);
    if expired || now >= kept.created_us.saturating_add(micros(age)) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "You cannot change your password at this time due to the minimum age. Once you change your password, it must be \
         used for {} second(s) before it can be changed. Contact your administrator to reset your password.",
        age.as_secs()
    )))
}

async fn check_history(service: &Identity, id: &str, new: &str) -> Result<()> {
    let count = service.inner.config.password_history;
    if count == 0 {
        return Ok(());
    }
    let store = &service.inner.store;
    let mut hashes: Vec<String> = store.password(id).await?.into_iter().map(|kept| kept.hash).collect();
    hashes.extend(store.old_passwords(id, count - 1).await?);
    for hash in hashes {
        if service.inner.hasher.verify(new, Some(&hash)).await? {
            return Err(ApiError::bad_request(format!(
                "The new password cannot be identical to a previous password. The total number which includes the new \
                 password must be unique is {count}."
            )));
        }
    }
    Ok(())
}
