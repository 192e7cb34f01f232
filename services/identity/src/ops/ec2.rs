//! `/v3/ec2tokens` and `/v3/s3tokens`: a service shows a request that somebody signed with an access key, and learns who it was.

use super::no_method;
use crate::auth::{signs_request, signs_text};
use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Verb};
use crate::time::{self, now_us};
use crate::token::{Method, Proof, Scope, Shown};
use serde_json::{Value, json};

/// How old a signed request may be.
const AGE_MAX_US: u64 = 15 * 60 * 1_000_000;

pub(crate) async fn ec2_tokens(call: &mut Call) -> Result<Answer> {
    serve(call, "ec2tokens_validate", |secret, credentials| {
        is_recent(credentials) && signs_request(secret, credentials)
    })
    .await
}

pub(crate) async fn s3_tokens(call: &mut Call) -> Result<Answer> {
    serve(call, "s3tokens_validate", |secret, credentials| {
        let text = |name: &str| credentials[name].as_str().unwrap_or_default();
        signs_text(secret, text("token"), text("signature"))
    })
    .await
}

async fn serve(call: &mut Call, action: &str, signed: fn(&str, &Value) -> bool) -> Result<Answer> {
    if call.verb != Verb::Post {
        return no_method(call.verb);
    }
    call.enforce(action, json!({})).await?;
    let mut body = call.json().await?;
    let names = ["credentials", "credential", "ec2Credentials"];
    let credentials = names.iter().find_map(|name| body.remove(*name)).unwrap_or_default();
    let access = credentials["access"].as_str().ok_or_else(ApiError::unauthorized)?;
    // One answer for a key that is not there and for a signature that is wrong.
    let found = call.service.find_ec2(access).await?;
    let (credential, caller) = found.ok_or_else(ApiError::unauthorized)?;
    if !signed(&credential.secret_key, &credentials) {
        return Err(ApiError::unauthorized());
    }
    let proof = Proof {
        user_id: caller.user_id().to_owned(),
        methods: vec![Method::Ec2],
        parent: None,
        app_credential_id: None,
        trust: None,
    };
    let scope = caller.project_id().map_or(Scope::Unscoped, |id| Scope::Project(id.to_owned()));
    let (token, caller) = call.service.issue(proof, scope).await?;
    let document = call.service.document(&caller, Shown::WithCatalog).await?;
    Ok(Answer::ok(document).with("x-subject-token", token))
}

/// Whether a signed request says that it was made within the last quarter of an hour; one that does not say is taken.
fn is_recent(credentials: &Value) -> bool {
    let told = [
        &credentials["params"]["Timestamp"],
        &credentials["headers"]["X-Amz-Date"],
        &credentials["params"]["X-Amz-Date"],
    ];
    let Some(text) = told.iter().find_map(|value| value.as_str()) else { return true };
    let basic = |text: &str| {
        // 20150830T123600Z
        let (date, time) = (text.get(..8)?, text.get(9..15)?);
        let spread = |text: &str, mark: &str, at: [usize; 2]| {
            Some([text.get(..at[0])?, text.get(at[0]..at[1])?, text.get(at[1]..)?].join(mark))
        };
        Some(format!("{}T{}Z", spread(date, "-", [4, 6])?, spread(time, ":", [2, 4])?))
    };
    let us = time::parse(text).or_else(|| time::parse(&basic(text)?));
    us.is_some_and(|us| now_us() <= us.saturating_add(AGE_MAX_US))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_requests_are_told_from_new_ones() {
        let now = time::text(now_us());
        let compact = format!("{}Z", now.split('.').next().unwrap_or_default().replace(['-', ':'], ""));
        assert!(is_recent(&json!({})));
        assert!(is_recent(&json!({"params": {"Timestamp": now}})));
        assert!(is_recent(&json!({"headers": {"X-Amz-Date": compact}})));
        for old in ["2015-08-30T12:36:00Z", "20150830T123600Z", "yesterday", "é"] {
            assert!(!is_recent(&json!({"params": {"X-Amz-Date": old}})), "{old}");
        }
    }
}
