//! Checks, and whether they hold.

use serde_json::Value;
use std::collections::BTreeMap;

/// What a check is asked about.
pub(crate) struct Context<'a> {
    pub(crate) rules: &'a BTreeMap<String, Check>,
    pub(crate) caller: &'a Value,
    pub(crate) target: &'a Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Always,
    Never,
    Not(Box<Check>),
    All(Vec<Check>),
    Any(Vec<Check>),
    /// Another rule.
    Rule(String),
    /// A role of the caller.
    Role(Text),
    /// The caller's attribute by its path, against a text.
    Attribute {
        path: String,
        text: Text,
    },
    /// A fixed value against a text.
    Literal {
        value: String,
        text: Text,
    },
}

/// A text that may stand for an attribute of the target: `%(path)s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Plain(String),
    OfTarget(String),
}

impl Text {
    fn resolve(&self, target: &Value) -> Option<String> {
        match self {
            Self::Plain(text) => Some(text.clone()),
            Self::OfTarget(path) => shown(find(target, path)?),
        }
    }
}

impl Check {
    pub(crate) fn holds(&self, context: &Context<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Not(inner) => !inner.holds(context),
            Self::All(all) => all.iter().all(|check| check.holds(context)),
            Self::Any(any) => any.iter().any(|check| check.holds(context)),
            Self::Rule(name) => context.rules.get(name).is_some_and(|check| check.holds(context)),
            Self::Role(text) => {
                let Some(wanted) = text.resolve(context.target) else { return false };
                let roles = context.caller.get("roles").and_then(Value::as_array);
                roles.is_some_and(|roles| {
                    roles.iter().filter_map(Value::as_str).any(|role| role.eq_ignore_ascii_case(&wanted))
                })
            }
            Self::Attribute { path, text } => {
                let (found, wanted) = (find(context.caller, path), text.resolve(context.target));
                let (Some(found), Some(wanted)) = (found, wanted) else { return false };
                // Two nothings are not the same thing: nobody owns what has no owner. `domain_id:None` asks for it by name.
                if found.is_null() && matches!(text, Text::OfTarget(_)) {
                    return false;
                }
                match found {
                    Value::Array(items) => items.iter().any(|item| shown(item).as_ref() == Some(&wanted)),
                    one => shown(one) == Some(wanted),
                }
            }
            Self::Literal { value, text } => text.resolve(context.target).as_ref() == Some(value),
        }
    }

    /// The rules that this one names.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Rule(name) => vec![name],
            Self::Not(inner) => inner.names(),
            Self::All(all) | Self::Any(all) => all.iter().flat_map(Self::names).collect(),
            _ => Vec::new(),
        }
    }
}

/// The attribute at a dotted path; the whole path may also be one key.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(found) = value.get(path) {
        return Some(found);
    }
    path.split('.').try_fold(value, |value, key| value.get(key))
}

/// A value as Python prints it, which is what rules are compared with.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("None".to_owned()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}
