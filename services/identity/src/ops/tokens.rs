//! `/v3/auth/tokens`: get one, look at one, end one.

use super::no_method;
use crate::auth::{prove, wanted_scope, wanted_trust};
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Verb};
use crate::store::{Revoked, Store};
use crate::time::now_us;
use crate::token::{Caller, Shown};
use serde_json::{Value, json};

pub(crate) async fn serve(call: &mut Call) -> Result<Answer> {
    match call.verb {
        Verb::Post => create(call).await,
        Verb::Get => show(call).await,
        Verb::Delete => revoke(call).await,
        other => no_method(other),
    }
}

fn shown(call: &Call) -> Shown {
    if call.query.iter().any(|(name, _)| name == "nocatalog") {
        Shown::WithoutCatalog
    } else {
        Shown::WithCatalog
    }
}

async fn create(call: &mut Call) -> Result<Answer> {
    let auth = call.resource("auth").await?;
    let Some(Value::Object(identity)) = auth.get("identity") else {
        return Err(ApiError::bad_request("'identity' is a required property"));
    };
    let service = call.service.clone();
    let (mut proof, bound) = prove(&service, identity).await?;
    let scope = match bound {
        // An application credential is for one project, and for nothing else.
        Some(_) if auth.get("scope").is_some_and(|scope| !scope.is_null()) => {
            return Err(ApiError::unauthorized());
        }
        Some(scope) => scope,
        None => match wanted_trust(&service, auth.get("scope"), &proof.user_id).await? {
            Some((trust, scope)) => {
                proof.trust = Some(trust);
                scope
            }
            None => wanted_scope(&service, auth.get("scope"), &proof.user_id).await?,
        },
    };
    let (token, caller) = service.issue(proof, scope).await?;
    let document = service.document(&caller, shown(call)).await?;
    Ok(Answer::created(document).with("x-subject-token", token))
}

/// The token that the request is about, if the caller may do this to it.
async fn subject(call: &mut Call, action: &str) -> Result<(String, Caller)> {
    call.caller().await?;
    let token = call.header("x-subject-token").map(str::to_owned);
    let token = token.ok_or_else(|| ApiError::bad_request("The header X-Subject-Token is missing."))?;
    let found = call.service.validate(&token).await?;
    let user_id = found.as_ref().map(|found| found.user_id().to_owned());
    let allowed = call.enforce(action, json!({"target": {"token": {"user_id": user_id}}})).await;
    match (found, allowed) {
        (Some(found), Ok(_)) => Ok((token, found)),
        (Some(_), Err(error)) => Err(error),
        // Nothing is learned of a token that is none.
        (None, _) => Err(ApiError::missing("Could not find token.")),
    }
}

async fn show(call: &mut Call) -> Result<Answer> {
    let action = if call.is_head { "check_token" } else { "validate_token" };
    let (token, found) = subject(call, action).await?;
    let document = call.service.document(&found, shown(call)).await?;
    Ok(Answer::ok(document).with("x-subject-token", token))
}

async fn revoke(call: &mut Call) -> Result<Answer> {
    let (_, found) = subject(call, "revoke_token").await?;
    let inner = &call.service.inner;
    let mut transaction = inner.store.begin().await?;
    let audit_id = found.payload.audit_id.text();
    let lifetime_us = call.service.token_lifetime_us();
    // Tokens that were got with it stay valid, as in Keystone.
    Store::revoke(&mut transaction, &Revoked::Token(&audit_id), now_us(), lifetime_us).await?;
    transaction.commit().await?;
    Ok(Answer::nothing())
}
