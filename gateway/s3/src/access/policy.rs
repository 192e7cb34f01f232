//! Bucket policies: parsed and judged in full when they are set, evaluated on every access.

use super::Requester;
use super::condition::{Condition, Context};
use crate::error::{ErrorCode, S3Error};
use serde_json::{Map, Value};

/// Largest policy, as AWS has it.
pub(crate) const BYTES_MAX: usize = 20 << 10;
const RESOURCE: &str = "arn:aws:s3:";

/// What a policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    Deny,
    Silent,
}

#[derive(Debug)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    allow: bool,
    principals: Names,
    actions: Names,
    resources: Names,
    conditions: Vec<Condition>,
}

/// A list, or everything but a list.
#[derive(Debug)]
struct Names {
    not: bool,
    names: Vec<String>,
}

impl Names {
    fn matches(&self, is: impl Fn(&str) -> bool) -> bool {
        self.names.iter().any(|name| is(name)) != self.not
    }
}

fn malformed(what: &'static str) -> S3Error {
    S3Error::with(ErrorCode::MalformedPolicy, what)
}

impl Policy {
    /// Reads a policy for `bucket`.
    pub(crate) fn parse(document: &[u8], bucket: &str) -> Result<Self, S3Error> {
        if document.len() > BYTES_MAX {
            return Err(malformed("Policy exceeds the maximum allowed document size."));
        }
        // serde_json refuses documents that nest deeper than 128.
        let root: Map<String, Value> =
            serde_json::from_slice(document).map_err(|_| malformed("This policy contains invalid Json"))?;
        check_names(&root, &["Version", "Id", "Statement"])?;
        match root.get("Version") {
            None => {}
            Some(Value::String(version)) if version == "2012-10-17" || version == "2008-10-17" => {}
            Some(_) => return Err(malformed("The policy must contain a valid version string")),
        }
        let statements = match root.get("Statement") {
            Some(Value::Array(list)) if !list.is_empty() => list.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err(malformed("Missing required field Statement")),
        };
        let statements = statements.into_iter().map(|one| Statement::read(one, bucket));
        Ok(Self { statements: statements.collect::<Result<Vec<_>, _>>()? })
    }

    /// What it says of `action` on `resource` (`bucket` or `bucket/key`).
    pub(crate) fn judge(
        &self,
        requester: &Requester,
        action: &str,
        resource: &str,
        context: &Context,
    ) -> Verdict {
        let mut verdict = Verdict::Silent;
        for statement in &self.statements {
            if !statement.covers(requester, action, resource, context) {
                continue;
            }
            if !statement.allow {
                return Verdict::Deny;
            }
            verdict = Verdict::Allow;
        }
        verdict
    }

    /// Whether it lets in everybody, by AWS's meaning of the word.
    pub(crate) fn is_public(&self) -> bool {
        self.statements.iter().any(|statement| {
            let everybody = statement.principals.names.iter().any(|name| name == "*");
            statement.allow && everybody && !statement.conditions.iter().any(Condition::narrows)
        })
    }

    /// Whether a decision needs the tags that an object has.
    pub(crate) fn asks_for_tags(&self) -> bool {
        let conditions = self.statements.iter().flat_map(|statement| &statement.conditions);
        conditions.into_iter().any(|condition| condition.key().starts_with("s3:existingobjecttag/"))
    }
}

impl Statement {
    fn read(value: &Value, bucket: &str) -> Result<Self, S3Error> {
        let Value::Object(map) = value else { return Err(malformed("A statement must be an object")) };
        check_names(
            map,
            &[
                "Sid",
                "Effect",
                "Principal",
                "NotPrincipal",
                "Action",
                "NotAction",
                "Resource",
                "NotResource",
                "Condition",
            ],
        )?;
        let allow = match map.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(malformed("Missing required field Effect")),
        };
        let principals = either(map, "Principal", "NotPrincipal", read_principals)?;
        if allow && principals.not {
            // It would let in everybody but a few.
            return Err(malformed("Allow with NotPrincipal is not allowed"));
        }
        let actions = either(map, "Action", "NotAction", texts)?;
        if actions.names.iter().any(|name| name != "*" && !is_action(name)) {
            return Err(malformed("Policy has invalid action"));
        }
        let mut resources = either(map, "Resource", "NotResource", texts)?;
        for name in &mut resources.names {
            *name = resource_of(name).ok_or_else(|| malformed("Policy has invalid resource"))?;
            let (of, _) = name.split_once('/').unwrap_or((name, ""));
            if !resources.not && !like(of, bucket) {
                return Err(malformed("Policy has invalid resource"));
            }
        }
        let conditions = match map.get("Condition") {
            None => Vec::new(),
            Some(value) => Condition::read_all(value)?,
        };
        if let Some(open) = conditions.iter().find(|condition| condition.fails_open(allow)) {
            return Err(S3Error::not_implemented(open.key()));
        }
        Ok(Self { allow, principals, actions, resources, conditions })
    }

    fn covers(&self, requester: &Requester, action: &str, resource: &str, context: &Context) -> bool {
        self.principals.matches(|name| names(name, requester))
            && self.actions.matches(|name| like_caseless(name, action))
            && self.resources.matches(|name| like(name, resource))
            && self.conditions.iter().all(|condition| condition.holds(context))
    }
}

fn check_names(map: &Map<String, Value>, known: &[&str]) -> Result<(), S3Error> {
    let unknown = map.keys().any(|name| !known.contains(&name.as_str()));
    if unknown { Err(malformed("Unknown field")) } else { Ok(()) }
}

fn either(
    map: &Map<String, Value>,
    name: &str,
    not: &str,
    read: impl Fn(&Value) -> Option<Vec<String>>,
) -> Result<Names, S3Error> {
    let (value, not) = match (map.get(name), map.get(not)) {
        (Some(value), None) => (value, false),
        (None, Some(value)) => (value, true),
        _ => return Err(malformed("A required field is missing or contradicted")),
    };
    let names = read(value).filter(|names| !names.is_empty());
    Ok(Names { not, names: names.ok_or_else(|| malformed("Invalid value in policy"))? })
}

/// A text or a list of texts.
pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn read_principals(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) if text == "*" => Some(vec!["*".to_owned()]),
        Value::Object(map) => {
            let mut all = Vec::new();
            for (kind, value) in map {
                // Services and federations are nobody here, but a policy may name them.
                if !["AWS", "CanonicalUser", "Service", "Federated"].contains(&kind.as_str()) {
                    return None;
                }
                let names = texts(value)?;
                if kind == "AWS" || kind == "CanonicalUser" {
                    all.extend(names);
                } else {
                    all.extend(names.into_iter().map(|name| format!("{kind}:{name}")));
                }
            }
            Some(all)
        }
        _ => None,
    }
}

/// Whether a principal is who asks: everybody, an account, or a user of one.
fn names(principal: &str, requester: &Requester) -> bool {
    if principal == "*" {
        return true;
    }
    let (Some(account), Some(id)) = (requester.account(), requester.id()) else { return false };
    let Some(rest) = principal.strip_prefix("arn:aws:iam::") else {
        return principal == account || principal == id;
    };
    match rest.split_once(':') {
        Some((of, "root")) => of == account,
        Some((of, user)) if of.is_empty() || of == account => {
            let Some(user) = user.strip_prefix("user/") else { return false };
            // A name is unique within an account only, an id everywhere.
            user == id
                || (of == account && user == "*")
                || requester.user().is_some_and(|who| user == who.id || (of == account && user == who.name))
        }
        _ => false,
    }
}

fn is_action(name: &str) -> bool {
    let action = name.get(..3).filter(|start| start.eq_ignore_ascii_case("s3:")).map(|_| &name[3..]);
    action.is_some_and(|action| {
        !action.is_empty() && action.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'*' || b == b'?')
    })
}

/// `bucket/key` of `arn:aws:s3:::bucket/key`.
fn resource_of(text: &str) -> Option<String> {
    if text == "*" {
        return Some("*".to_owned());
    }
    let rest = text.strip_prefix(RESOURCE)?;
    // Region and account are empty in AWS's own buckets; a tenant's name may stand there.
    let name = rest.splitn(3, ':').nth(2)?;
    (!name.is_empty()).then(|| name.to_owned())
}

pub(super) fn like_caseless(pattern: &str, text: &str) -> bool {
    like(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
}

/// Whether `text` is what `pattern` says, with `*` and `?`. Linear in the text for each star, never exponential.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("box/*", "box/a/b", true),
            ("box", "box/a", false),
            ("**a**b", "xxaxxb", true),
            ("", "a", false),
        ] {
            assert_eq!(like(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn a_condition_on_what_is_not_known_must_not_open() {
        for (effect, condition, taken) in [
            ("Allow", r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, true),
            ("Deny", r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, true),
            ("Allow", r#"{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}"#, false),
            ("Deny", r#"{"StringEquals":{"aws:SourceVpc":"vpc-1"}}"#, false),
            ("Deny", r#"{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}"#, true),
            ("Deny", r#"{"Bool":{"aws:SecureTransport":"false"}}"#, true),
            ("Deny", r#"{"StringEquals":{"s3:x-amz-acl":"public-read"}}"#, true),
        ] {
            let text = format!(
                r#"{{"Statement":{{"Effect":"{effect}","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::box/*",
                "Condition":{condition}}}}}"#
            );
            assert_eq!(Policy::parse(text.as_bytes(), "box").is_ok(), taken, "{effect} {condition}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let statement = |inner: &str| format!(r#"{{"Statement":[{{{inner}}}]}}"#);
        let good =
            r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*""#;
        assert!(Policy::parse(statement(good).as_bytes(), "box").is_ok());
        for bad in [
            String::new(),
            "{}".to_owned(),
            "[]".to_owned(),
            "[".repeat(1000),
            statement(""),
            statement(&good.replace("Allow", "Maybe")),
            statement(&good.replace("s3:GetObject", "ec2:Run")),
            statement(&good.replace(":::box/", ":::other/")),
            statement(&good.replace("\"Principal\":\"*\"", "\"Principal\":{\"Robot\":\"x\"}")),
            statement(&good.replace("\"Principal\":\"*\",", "")),
            statement(&format!(r#"{good},"Condition":{{"Sounds":{{"s3:prefix":"x"}}}}"#)),
            statement(&format!(r#"{good},"Extra":1"#)),
            statement(&good.replace("Principal", "NotPrincipal")),
            format!("{}{}", statement(good), " ".repeat(BYTES_MAX)),
        ] {
            let error = Policy::parse(bad.as_bytes(), "box").expect_err(&bad);
            assert_eq!(error.code(), ErrorCode::MalformedPolicy, "{bad}");
        }
    }
}
