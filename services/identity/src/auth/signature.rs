//! Signatures by an access key over somebody else's request, which a service forwards to have them checked: EC2's version 2 and 4
//! over the parts of a request, and S3's over a text. A version that is neither is refused.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use subtle::ConstantTimeEq;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ALGORITHM_4: &str = "AWS4-HMAC-SHA256";

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hmac_sha1(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("an HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn same(wanted: &str, given: &str) -> bool {
    wanted.as_bytes().ct_eq(given.as_bytes()).into()
}

/// The key of version 4 for a scope `date/region/service/aws4_request`.
fn key_4(secret: &str, scope: &str) -> Option<Vec<u8>> {
    let parts: Vec<&str> = scope.split('/').collect();
    let [date, region, service, "aws4_request"] = parts.as_slice() else { return None };
    let mut key = hmac_sha256(format!("AWS4{secret}").as_bytes(), date.as_bytes());
    for part in [region, service, "aws4_request"] {
        key = hmac_sha256(&key, part.as_bytes());
    }
    Some(key)
}

/// Whether `given` signs the text that is base64 in `token`: what S3 gateways forward to `/v3/s3tokens`.
pub(crate) fn signs_text(secret: &str, token: &str, given: &str) -> bool {
    let Ok(text) = URL_SAFE.decode(token).or_else(|_| STANDARD.decode(token)) else { return false };
    if !text.starts_with(b"AWS4") {
        return same(&STANDARD.encode(hmac_sha1(secret.as_bytes(), &text)), given);
    }
    let Ok(text) = std::str::from_utf8(&text) else { return false };
    let lines: Vec<&str> = text.split('\n').collect();
    let [ALGORITHM_4, _, scope, _] = lines.as_slice() else { return false };
    let key = key_4(secret, scope);
    key.is_some_and(|key| same(&hex::encode(hmac_sha256(&key, text.as_bytes())), given))
}

/// Whether `credentials`, the body of `/v3/ec2tokens`, is a request signed with `secret`.
pub(crate) fn signs_request(secret: &str, credentials: &Value) -> bool {
    let given = credentials["signature"].as_str().unwrap_or_default();
    let params = texts(&credentials["params"]);
    let wanted = match params.get("SignatureVersion").map(String::as_str) {
        Some("2") => version_2(secret, credentials, params),
        Some(_) => None,
        None => version_4(secret, credentials, &params),
    };
    wanted.is_some_and(|wanted| same(&wanted, given))
}

fn texts(object: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs = object.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), text(value))).collect()
}

fn query(params: &BTreeMap<String, String>) -> String {
    let encode = |text| utf8_percent_encode(text, UNRESERVED).to_string();
    let pairs: Vec<String> =
        params.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

fn version_2(secret: &str, credentials: &Value, mut params: BTreeMap<String, String>) -> Option<String> {
    params.insert("SignatureMethod".to_owned(), "HmacSHA256".to_owned());
    let (verb, host, path) =
        (credentials["verb"].as_str()?, credentials["host"].as_str()?, credentials["path"].as_str()?);
    let text = format!("{verb}\n{host}\n{path}\n{}", query(&params));
    Some(STANDARD.encode(hmac_sha256(secret.as_bytes(), text.as_bytes())))
}

fn version_4(secret: &str, credentials: &Value, params: &BTreeMap<String, String>) -> Option<String> {
    let headers: BTreeMap<String, String> = texts(&credentials["headers"])
        .into_iter()
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    let authorization = headers.get("authorization").filter(|text| text.starts_with(ALGORITHM_4));
    if authorization.is_none() && params.get("X-Amz-Algorithm").map(String::as_str) != Some(ALGORITHM_4) {
        return None;
    }
    let told = |name: &str| match authorization {
        Some(text) => text.split_once(&format!("{name}="))?.1.split(',').next().map(str::to_owned),
        None => params.get(&format!("X-Amz-{name}")).cloned(),
    };
    let (signed, credential) = (told("SignedHeaders")?, told("Credential")?);
    let (_, scope) = credential.split_once('/')?;
    let date = headers.get("x-amz-date").or_else(|| params.get("X-Amz-Date"))?;
    if !date.starts_with(scope.split('/').next()?) {
        return None;
    }
    let verb = credentials["verb"].as_str()?.to_uppercase();
    let query = if verb == "POST" { String::new() } else { query(params) };
    let lines = signed.split(';').filter_map(|name| Some(format!("{name}:{}", headers.get(name)?)));
    let lines: Vec<String> = lines.collect();
    let request = [
        &verb,
        credentials["path"].as_str()?,
        &query,
        &format!("{}\n", lines.join("\n")),
        &signed,
        credentials["body_hash"].as_str()?,
    ]
    .join("\n");
    let hash = hex::encode(Sha256::digest(request.as_bytes()));
    let text = format!("{ALGORITHM_4}\n{date}\n{scope}\n{hash}");
    Some(hex::encode(hmac_sha256(&key_4(secret, scope)?, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// From the tests of keystoneclient's `Ec2Signer`, which signs for the clients of EC2.
    #[test]
    fn requests_signed_by_others_are_recognised() {
        let secret = "89cdf9e94e2643cab35b8b8ac5a51f83";
        let mut request = json!({
            "verb": "GET", "host": "localhost", "path": "/v3/", "headers": {},
            "params": {"SignatureVersion": "2", "AWSAccessKeyId": "966afbde20b84200ae4e62e09acf46b2"},
            "signature": ""
        });
        let params = texts(&request["params"]);
        let good = version_2(secret, &request, params).unwrap();
        request["signature"] = good.into();
        assert!(signs_request(secret, &request));
        assert!(!signs_request("another", &request));
        request["path"] = "/v3/other".into();
        assert!(!signs_request(secret, &request));
        request["params"]["SignatureVersion"] = "0".into();
        assert!(!signs_request(secret, &request));
    }

    /// The example of AWS's documentation of version 4 (`GET iam ListUsers`).
    #[test]
    fn the_documented_signature_of_version_4_is_found() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let text = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
                    f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        let signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert!(signs_text(secret, &STANDARD.encode(text), signature));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
        );
        let request = json!({
            "verb": "GET", "host": "iam.amazonaws.com", "path": "/",
            "headers": {"Authorization": authorization, "Host": "iam.amazonaws.com", "X-Amz-Date": "20150830T123600Z",
                "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
            "params": {"Action": "ListUsers", "Version": "2010-05-08"},
            "body_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "signature": signature
        });
        assert!(signs_request(secret, &request));
        for (part, value) in [("verb", "PUT"), ("path", "/x"), ("body_hash", "00"), ("signature", "")] {
            let mut other = request.clone();
            other[part] = value.into();
            assert!(!signs_request(secret, &other), "{part}");
        }
        for nonsense in
            [json!(null), json!({}), json!({"headers": {"Authorization": "AWS4-HMAC-SHA256 Credential=/"}})]
        {
            assert!(!signs_request(secret, &nonsense));
        }
        assert!(!signs_text(secret, "%%%", signature) && !signs_text(secret, &STANDARD.encode("AWS4\n"), ""));
    }
}
