//! Who signed the policy of a form: by version 4, or by version 2, which the forms of many pages still have.

use super::Fields;
use crate::auth::Scope;
use crate::clock;
use crate::credentials::{self, Credential, CredentialStore};
use crate::error::{ErrorCode, S3Error};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// The credential that signed the policy, if the signature holds; `None` of a form without a policy.
pub(crate) async fn signer_of(
    fields: &Fields,
    credentials: &dyn CredentialStore,
    region: &str,
) -> Result<Option<Arc<Credential>>, S3Error> {
    let Some(policy) = fields.get("policy") else {
        let signed = ["signature", "x-amz-signature"].iter().any(|name| fields.get(name).is_some());
        return if signed { Err(missing("policy")) } else { Ok(None) };
    };
    if fields.get("x-amz-security-token").is_some() {
        // Keys here are long-lived ones, to which no token belongs.
        return Err(ErrorCode::InvalidToken.into());
    }
    let credential = match fields.get("x-amz-algorithm") {
        Some("AWS4-HMAC-SHA256") => by_version_4(fields, policy, credentials, region).await?,
        Some(other) => {
            return Err(S3Error::argument(
                "X-Amz-Algorithm",
                other,
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"",
            ));
        }
        None => by_version_2(fields, policy, credentials).await?,
    };
    Ok(Some(credential))
}

fn missing(field: &'static str) -> S3Error {
    S3Error::argument(field, "", format!("Bucket POST must contain a field named '{field}'."))
}

fn check(provided: &str, computed: &str, credential: &Credential) -> Result<(), S3Error> {
    if provided.as_bytes().ct_eq(computed.as_bytes()).into() {
        return Ok(());
    }
    Err(S3Error::from(ErrorCode::SignatureDoesNotMatch)
        .detail("AWSAccessKeyId", credential.access_key())
        .detail("SignatureProvided", provided.chars().take(64).collect::<String>()))
}

async fn by_version_4(
    fields: &Fields,
    policy: &str,
    credentials: &dyn CredentialStore,
    region: &str,
) -> Result<Arc<Credential>, S3Error> {
    let get = |name: &'static str| fields.get(name).ok_or_else(|| missing(name));
    let scope = get("x-amz-credential")?;
    let scope = Scope::parse(scope).ok_or_else(|| {
        S3Error::argument(
            "X-Amz-Credential",
            scope,
            "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed",
        )
    })?;
    let date = get("x-amz-date")?;
    if scope.region != region || !scope.is_of_s3() {
        return Err(S3Error::argument(
            "X-Amz-Credential",
            scope.region,
            format!(
                "Error parsing the X-Amz-Credential parameter; the region or service is wrong; expecting '{region}' and 's3'"
            ),
        ));
    }
    let time_s = clock::parse_amz_date(date).filter(|_| date.get(..8) == Some(scope.date));
    let time_s = time_s.ok_or_else(|| {
        S3Error::argument(
            "X-Amz-Date",
            date,
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
        )
    })?;
    let credential = credentials::find(credentials, scope.access_key).await?;
    let time = UNIX_EPOCH + Duration::from_secs(time_s);
    let key = generate_signing_key(credential.secret(), time, scope.region, "s3");
    check(get("x-amz-signature")?, &calculate_signature(key, policy.as_bytes()), &credential)?;
    Ok(credential)
}

async fn by_version_2(
    fields: &Fields,
    policy: &str,
    credentials: &dyn CredentialStore,
) -> Result<Arc<Credential>, S3Error> {
    let access_key = fields.get("awsaccesskeyid").ok_or_else(|| missing("AWSAccessKeyId"))?;
    let signature = fields.get("signature").ok_or_else(|| missing("signature"))?;
    let credential = credentials::find(credentials, access_key).await?;
    let mut mac = Hmac::<Sha1>::new_from_slice(credential.secret().as_bytes())
        .map_err(|error| S3Error::from(ErrorCode::InternalError).internal(error))?;
    mac.update(policy.as_bytes());
    check(signature, &STANDARD.encode(mac.finalize().into_bytes()), &credential)?;
    Ok(credential)
}
