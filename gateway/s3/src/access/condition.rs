//! Conditions of policy statements: operators over the keys of a request.

use super::policy::{like, texts};
use crate::clock;
use crate::error::{ErrorCode, S3Error};
use serde_json::Value;
use std::net::IpAddr;

/// Headers of a request that conditions may ask for as `s3:NAME`.
pub(crate) const HEADERS: [&str; 11] = [
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-metadata-directive",
    "x-amz-storage-class",
    "x-amz-content-sha256",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
    "x-amz-grant-full-control",
    "x-amz-server-side-encryption",
];
/// Other keys that the gateway knows the value of, where a request has one; in lower case.
const SUPPLIED: [&str; 15] = [
    "s3:prefix",
    "s3:delimiter",
    "s3:max-keys",
    "s3:versionid",
    "s3:requestobjecttagkeys",
    "s3:signatureversion",
    "aws:sourceip",
    "aws:useragent",
    "aws:referer",
    "aws:currenttime",
    "aws:epochtime",
    "aws:userid",
    "aws:username",
    "aws:principalaccount",
    "aws:securetransport",
];

/// What is known of a request, by condition key in lower case.
#[derive(Debug, Default)]
pub(crate) struct Context(Vec<(String, Vec<String>)>);

impl Context {
    pub(crate) fn add(&mut self, key: &str, value: impl Into<String>) {
        let key = key.to_ascii_lowercase();
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value.into()),
            None => self.0.push((key, vec![value.into()])),
        }
    }

    fn get(&self, key: &str) -> Option<&[String]> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, values)| values.as_slice())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equals,
    EqualsIgnoreCase,
    Like,
    NumericEquals,
    NumericLess,
    NumericLessEquals,
    NumericGreater,
    NumericGreaterEquals,
    DateEquals,
    DateLess,
    DateLessEquals,
    DateGreater,
    DateGreaterEquals,
    Bool,
    Ip,
    Null,
}

/// How the values of a key that has several are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Many {
    Any,
    All,
}

#[derive(Debug)]
pub(crate) struct Condition {
    test: Test,
    negated: bool,
    if_exists: bool,
    many: Option<Many>,
    key: String,
    values: Vec<String>,
}

fn malformed(what: &'static str) -> S3Error {
    S3Error::with(ErrorCode::MalformedPolicy, what)
}

fn operator(name: &str) -> Option<(Test, bool)> {
    Some(match name {
        "StringEquals" | "ArnEquals" => (Test::Equals, false),
        "StringNotEquals" | "ArnNotEquals" => (Test::Equals, true),
        "StringEqualsIgnoreCase" => (Test::EqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Test::EqualsIgnoreCase, true),
        "StringLike" | "ArnLike" => (Test::Like, false),
        "StringNotLike" | "ArnNotLike" => (Test::Like, true),
        "NumericEquals" => (Test::NumericEquals, false),
        "NumericNotEquals" => (Test::NumericEquals, true),
        "NumericLessThan" => (Test::NumericLess, false),
        "NumericGreaterThanEquals" => (Test::NumericGreaterEquals, false),
        "NumericLessThanEquals" => (Test::NumericLessEquals, false),
        "NumericGreaterThan" => (Test::NumericGreater, false),
        "DateEquals" => (Test::DateEquals, false),
        "DateNotEquals" => (Test::DateEquals, true),
        "DateLessThan" => (Test::DateLess, false),
        "DateGreaterThanEquals" => (Test::DateGreaterEquals, false),
        "DateLessThanEquals" => (Test::DateLessEquals, false),
        "DateGreaterThan" => (Test::DateGreater, false),
        "Bool" => (Test::Bool, false),
        "IpAddress" => (Test::Ip, false),
        "NotIpAddress" => (Test::Ip, true),
        "Null" => (Test::Null, false),
        _ => return None,
    })
}

impl Condition {
    pub(super) fn read_all(value: &Value) -> Result<Vec<Self>, S3Error> {
        let Value::Object(operators) = value else { return Err(malformed("Invalid Condition")) };
        let mut all = Vec::new();
        for (name, keys) in operators {
            let Value::Object(keys) = keys else { return Err(malformed("Invalid Condition")) };
            let (many, base) = match name.split_once(':') {
                Some(("ForAnyValue", base)) => (Some(Many::Any), base),
                Some(("ForAllValues", base)) => (Some(Many::All), base),
                Some(_) => return Err(malformed("Invalid Condition type")),
                None => (None, name.as_str()),
            };
            let (base, if_exists) = base.strip_suffix("IfExists").map_or((base, false), |base| (base, true));
            let (test, negated) = operator(base).ok_or_else(|| malformed("Invalid Condition type"))?;
            for (key, values) in keys {
                let values = scalars(values).ok_or_else(|| malformed("Invalid Condition value"))?;
                let condition =
                    Self { test, negated, if_exists, many, key: key.to_ascii_lowercase(), values };
                condition.check()?;
                all.push(condition);
            }
        }
        Ok(all)
    }

    fn check(&self) -> Result<(), S3Error> {
        if !self.key.contains(':') || self.values.is_empty() {
            return Err(malformed("Policy has an invalid condition key"));
        }
        let good = |value: &String| match self.test {
            Test::NumericEquals
            | Test::NumericLess
            | Test::NumericLessEquals
            | Test::NumericGreater
            | Test::NumericGreaterEquals => number(value).is_some(),
            Test::DateEquals
            | Test::DateLess
            | Test::DateLessEquals
            | Test::DateGreater
            | Test::DateGreaterEquals => date(value).is_some(),
            Test::Bool | Test::Null => matches!(value.to_ascii_lowercase().as_str(), "true" | "false"),
            Test::Ip => network(value).is_some(),
            Test::Equals | Test::EqualsIgnoreCase | Test::Like => true,
        };
        if self.values.iter().all(good) { Ok(()) } else { Err(malformed("Invalid Condition value")) }
    }

    /// Whether a statement with this condition would let in whom it means to keep out, because the gateway never knows the
    /// key: one that allows although it holds for nobody in particular, or denies and never holds.
    pub(super) fn fails_open(&self, allow: bool) -> bool {
        let key = self.key.as_str();
        let supplied = SUPPLIED.contains(&key)
            || key.strip_prefix("s3:").is_some_and(|name| HEADERS.contains(&name))
            || key.starts_with("s3:requestobjecttag/")
            || key.starts_with("s3:existingobjecttag/");
        !supplied && self.holds(&Context::default()) == allow
    }

    /// The key in lower case.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn holds(&self, context: &Context) -> bool {
        let found = context.get(&self.key);
        if self.test == Test::Null {
            return self.values.iter().any(|value| value.eq_ignore_ascii_case("true") == found.is_none());
        }
        let Some(found) = found else {
            // A key that is not there equals nothing: only negated tests hold.
            return self.if_exists || self.many == Some(Many::All) || (self.negated && self.many.is_none());
        };
        let one = |value: &String| self.values.iter().any(|wanted| self.test(wanted, value)) != self.negated;
        match self.many {
            Some(Many::All) => found.iter().all(one),
            Some(Many::Any) | None => found.iter().any(one),
        }
    }

    fn test(&self, wanted: &str, value: &str) -> bool {
        let numbers = || Some((number(value)?, number(wanted)?));
        let dates = || Some((date(value)?, date(wanted)?));
        match self.test {
            Test::Equals => wanted == value,
            Test::EqualsIgnoreCase => wanted.eq_ignore_ascii_case(value),
            Test::Like => like(wanted, value),
            Test::NumericEquals => numbers().is_some_and(|(a, b)| a == b),
            Test::NumericLess => numbers().is_some_and(|(a, b)| a < b),
            Test::NumericLessEquals => numbers().is_some_and(|(a, b)| a <= b),
            Test::NumericGreater => numbers().is_some_and(|(a, b)| a > b),
            Test::NumericGreaterEquals => numbers().is_some_and(|(a, b)| a >= b),
            Test::DateEquals => dates().is_some_and(|(a, b)| a == b),
            Test::DateLess => dates().is_some_and(|(a, b)| a < b),
            Test::DateLessEquals => dates().is_some_and(|(a, b)| a <= b),
            Test::DateGreater => dates().is_some_and(|(a, b)| a > b),
            Test::DateGreaterEquals => dates().is_some_and(|(a, b)| a >= b),
            Test::Bool => wanted.eq_ignore_ascii_case(value),
            Test::Ip => within(wanted, value),
            Test::Null => false,
        }
    }

    /// Whether it keeps a statement for everybody from being public: it names who or where, without a wildcard.
    pub(super) fn narrows(&self) -> bool {
        const NAMES: [&str; 9] = [
            "aws:sourceip",
            "aws:sourcearn",
            "aws:sourcevpc",
            "aws:sourcevpce",
            "aws:sourceaccount",
            "aws:sourceowner",
            "aws:userid",
            "aws:principalorgid",
            "s3:dataaccesspointaccount",
        ];
        if self.negated || self.if_exists || !NAMES.contains(&self.key.as_str()) {
            return false;
        }
        match self.test {
            Test::Ip => self.values.iter().all(|value| network(value).is_some_and(|(_, bits)| bits >= 8)),
            Test::Equals | Test::EqualsIgnoreCase => true,
            Test::Like => self.values.iter().all(|value| !value.contains(['*', '?'])),
            _ => false,
        }
    }
}

fn scalars(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        one_value => one(one_value).map(|text| vec![text]).or_else(|| texts(value)),
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Seconds since the epoch of an ISO 8601 date, or of such a number.
fn date(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let whole = match digits.len() {
        8 => format!("{digits}T000000Z"),
        _ => digits,
    };
    clock::parse_amz_date(&whole)
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let address: IpAddr = address.parse().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(bits_max), |bits| bits.parse().ok().filter(|bits| *bits <= bits_max))?;
    Some((address, bits))
}

fn within(wanted: &str, value: &str) -> bool {
    let (Some((net, bits)), Ok(address)) = (network(wanted), value.parse::<IpAddr>()) else { return false };
    match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            u32::from(net) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            u128::from(net) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators() {
        let mut context = Context::default();
        context.add("s3:prefix", "public/a");
        context.add("s3:max-keys", "7");
        context.add("aws:SourceIp", "10.1.2.3");
        context.add("aws:CurrentTime", "1369353600");
        context.add("aws:SecureTransport", "false");
        context.add("s3:RequestObjectTagKeys", "a");
        context.add("s3:RequestObjectTagKeys", "b");
        for (text, expected) in [
            (r#"{"StringLike":{"s3:prefix":"public/*"}}"#, true),
            (r#"{"StringEquals":{"S3:Prefix":["x","public/a"]}}"#, true),
            (r#"{"StringNotEquals":{"s3:prefix":"public/a"}}"#, false),
            (r#"{"StringNotEquals":{"s3:delimiter":"/"}}"#, true),
            (r#"{"StringEquals":{"s3:delimiter":"/"}}"#, false),
            (r#"{"StringEqualsIfExists":{"s3:delimiter":"/"}}"#, true),
            (r#"{"NumericLessThanEquals":{"s3:max-keys":7}}"#, true),
            (r#"{"NumericGreaterThan":{"s3:max-keys":"7"}}"#, false),
            (r#"{"NumericGreaterThan":{"s3:max-keys":["9","6"]}}"#, true),
            (r#"{"NumericGreaterThanEquals":{"s3:max-keys":7}}"#, true),
            // What is not there is not greater than anything, nor is what is no number.
            (r#"{"NumericGreaterThan":{"s3:delimiter":0}}"#, false),
            (r#"{"NumericGreaterThan":{"s3:prefix":0}}"#, false),
            (r#"{"DateGreaterThan":{"s3:delimiter":"2013-05-24"}}"#, false),
            (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, true),
            (r#"{"NotIpAddress":{"aws:SourceIp":"10.1.2.3"}}"#, false),
            (r#"{"DateLessThan":{"aws:CurrentTime":"2013-05-24T00:00:01Z"}}"#, true),
            (r#"{"DateGreaterThan":{"aws:CurrentTime":"2013-05-24"}}"#, false),
            (r#"{"Null":{"s3:delimiter":true}}"#, true),
            (r#"{"Null":{"s3:prefix":"true"}}"#, false),
            (r#"{"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":["a","b","c"]}}"#, true),
            (r#"{"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":["a"]}}"#, false),
            (r#"{"ForAnyValue:StringEquals":{"s3:RequestObjectTagKeys":["b"]}}"#, true),
            (r#"{"Bool":{"aws:SecureTransport":"false"}}"#, true),
            (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, false),
        ] {
            let value = serde_json::from_str(text).expect(text);
            let conditions = Condition::read_all(&value).expect(text);
            assert_eq!(conditions.iter().all(|condition| condition.holds(&context)), expected, "{text}");
        }
    }
}
