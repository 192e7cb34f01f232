//! The policy of a POSTed form: what its signer lets the form say.

use super::Fields;
use crate::clock;
use crate::error::{ErrorCode, S3Error};
use serde_json::{Map, Value};

/// Fields that need no condition.
const FREE: [&str; 9] = [
    "policy",
    "signature",
    "awsaccesskeyid",
    "file",
    "x-amz-signature",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
];

#[derive(Debug, PartialEq, Eq)]
enum Condition {
    Equals(String, String),
    StartsWith(String, String),
}

/// A policy that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PostPolicy {
    expires_s: u64,
    conditions: Vec<Condition>,
    /// Sizes that the file may have, if the policy says so.
    pub(crate) length: Option<(u64, u64)>,
}

fn invalid(what: &str) -> S3Error {
    S3Error::with(ErrorCode::InvalidPolicyDocument, format!("Invalid Policy: {what}."))
}

fn refused(what: &str) -> S3Error {
    S3Error::with(ErrorCode::AccessDenied, format!("Invalid according to Policy: {what}"))
}

impl PostPolicy {
    pub(crate) fn parse(document: &[u8]) -> Result<Self, S3Error> {
        let root: Map<String, Value> =
            serde_json::from_slice(document).map_err(|_| invalid("Invalid JSON"))?;
        let expires = root.get("expiration").and_then(Value::as_str);
        let expires_s = expires.ok_or_else(|| invalid("Policy missing expiration"))?;
        let expires_s = read_time(expires_s).ok_or_else(|| invalid("Invalid 'expiration' value"))?;
        let Some(Value::Array(all)) = root.get("conditions") else {
            return Err(invalid("Policy missing conditions"));
        };
        let mut policy = Self { expires_s, conditions: Vec::new(), length: None };
        for condition in all {
            policy.add(condition)?;
        }
        Ok(policy)
    }

    fn add(&mut self, condition: &Value) -> Result<(), S3Error> {
        match condition {
            Value::Object(map) if map.len() == 1 => {
                for (name, value) in map {
                    let value = value.as_str().ok_or_else(|| invalid("Invalid Simple-Condition"))?;
                    self.conditions.push(Condition::Equals(name.to_ascii_lowercase(), value.to_owned()));
                }
                Ok(())
            }
            Value::Array(list) => {
                let [Value::String(operator), first, second] = &list[..] else {
                    return Err(invalid("Invalid condition"));
                };
                self.add_operator(&operator.to_ascii_lowercase(), first, second)
            }
            _ => Err(invalid("Invalid Simple-Condition")),
        }
    }

    fn add_operator(&mut self, operator: &str, first: &Value, second: &Value) -> Result<(), S3Error> {
        if operator == "content-length-range" {
            let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
            let (Some(least), Some(most)) = (number(first), number(second)) else {
                return Err(invalid("Invalid content-length-range"));
            };
            let (known_least, known_most) = self.length.unwrap_or((0, u64::MAX));
            self.length = Some((least.max(known_least), most.min(known_most)));
            return Ok(());
        }
        let name = first.as_str().and_then(|name| name.strip_prefix('$'));
        let (Some(name), Some(value)) = (name, second.as_str()) else {
            return Err(invalid("Invalid condition"));
        };
        let (name, value) = (name.to_ascii_lowercase(), value.to_owned());
        self.conditions.push(match operator {
            "eq" => Condition::Equals(name, value),
            "starts-with" => Condition::StartsWith(name, value),
            _ => return Err(invalid("Invalid condition operation")),
        });
        Ok(())
    }

    /// Whether the form is what its signer lets it be. `bucket` is where it was sent to.
    pub(crate) fn check(&self, fields: &Fields, bucket: &str, now_s: u64) -> Result<(), S3Error> {
        if now_s > self.expires_s {
            return Err(refused("Policy expired."));
        }
        let value = |name: &str| if name == "bucket" { Some(bucket) } else { fields.get(name) };
        for condition in &self.conditions {
            let (name, kept) = match condition {
                Condition::Equals(name, wanted) => (name, value(name) == Some(wanted.as_str())),
                Condition::StartsWith(name, start) => {
                    (name, value(name).is_some_and(|value| starts(name, value, start)))
                }
            };
            if !kept {
                return Err(refused(&format!("Policy Condition failed: [\"{name}\"]")));
            }
        }
        let named = |wanted: &str| {
            self.conditions.iter().any(|condition| {
                let (Condition::Equals(name, _) | Condition::StartsWith(name, _)) = condition;
                name == wanted
            })
        };
        let free = |name: &str| {
            FREE.contains(&name) || name.starts_with("x-ignore-") || name.starts_with("x-amz-checksum-")
        };
        let mut all = std::iter::once("bucket").chain(fields.names());
        match all.find(|name| !free(name) && !named(name)) {
            None => Ok(()),
            Some(extra) => Err(refused(&format!("Extra input fields: {extra}"))),
        }
    }
}

/// Each of several content types must begin so.
fn starts(name: &str, value: &str, start: &str) -> bool {
    match name {
        "content-type" => value.split(',').all(|one| one.trim_start().starts_with(start)),
        _ => value.starts_with(start),
    }
}

/// Seconds since the epoch of `2007-12-01T12:00:00.000Z`.
fn read_time(text: &str) -> Option<u64> {
    let whole = text.strip_suffix('Z')?;
    let (whole, fraction) = whole.split_once('.').unwrap_or((whole, ""));
    let shaped = whole.len() == 19
        && whole.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    if !shaped || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    clock::parse_amz_date(&format!("{}Z", whole.replace(['-', ':'], "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"expiration":"2013-05-24T00:00:01.000Z","conditions":[{"bUcKeT":"box"},
        ["StArTs-WiTh","$KeY","user/"],{"acl":"private"},["starts-with","$Content-Type","image/"],
        ["content-length-range",1,"10"],["eq","$x-amz-meta-a","1"]]}"#;

    fn fields(changes: &[(&str, &str)]) -> Fields {
        let mut all = vec![
            ("key", "user/a"),
            ("acl", "private"),
            ("content-type", "image/png,image/gif"),
            ("x-amz-meta-a", "1"),
            ("x-ignore-me", "2"),
            ("policy", "p"),
        ];
        for (name, value) in changes {
            all.retain(|(known, _)| known != name);
            if *value != "(none)" {
                all.push((name, value));
            }
        }
        Fields::of(all)
    }

    #[test]
    fn conditions() {
        let policy = PostPolicy::parse(POLICY.as_bytes()).expect("a policy");
        assert_eq!(policy.length, Some((1, 10)));
        let check = |changes: &[(&str, &str)], bucket, now_s| policy.check(&fields(changes), bucket, now_s);
        const NOW: u64 = 1_369_353_600;
        assert!(check(&[], "box", NOW).is_ok());
        assert!(check(&[], "box", NOW + 2).is_err(), "expired");
        assert!(check(&[], "other", NOW).is_err(), "another bucket");
        for bad in [
            ("key", "other/a"),
            ("key", "(none)"),
            ("acl", "public-read"),
            ("content-type", "image/png,text/html"),
            ("x-amz-meta-a", "(none)"),
            ("x-amz-meta-b", ""),
        ] {
            let error = check(&[bad], "box", NOW).expect_err(bad.0);
            assert_eq!(error.code(), ErrorCode::AccessDenied, "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for (from, to) in [
            ("expiration", "EXPIRATION"),
            ("\"conditions\"", "\"CONDITIONS\""),
            ("2013-05-24T00:00:01.000Z", "2013-05-24 00:00:01+00:00"),
            ("2013-05-24T00:00:01.000Z", "2013-05-24T00:00:0\u{e4}"),
            ("{\"acl\":\"private\"}", "{}"),
            ("1,\"10\"", "-1,0"),
            ("1,\"10\"", "0"),
            ("\"eq\"", "\"ends-with\""),
            ("\"$x-amz", "\"x-amz"),
            ("]]}", "]]"),
        ] {
            let error = PostPolicy::parse(POLICY.replace(from, to).as_bytes()).expect_err(to);
            assert_eq!(error.code(), ErrorCode::InvalidPolicyDocument, "{to}");
        }
    }
}
