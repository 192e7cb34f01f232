//! Whether the fields of a resource are what they may be, told in the words of Keystone's schemas.

use crate::error::{ApiError, Result};
use crate::store::Record;
use serde_json::Value;

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    /// A text of 1 to 255 characters.
    Name,
    /// A text of 1 to 64 characters.
    ShortName,
    /// A text.
    Text,
    /// A text, or null.
    OptText,
    Flag,
    Object,
    /// A list of texts of 1 to 255 characters without slashes and commas.
    Tags,
    List,
}

/// Checks the fields of `record` that `rules` name, and that the `required` ones are there.
pub(crate) fn check_fields(record: &Record, rules: &[(&str, Is)], required: &[&str]) -> Result<()> {
    if let Some(missing) = required.iter().find(|name| !record.contains_key(**name)) {
        return Err(ApiError::bad_request(format!("'{missing}' is a required property")));
    }
    for (name, is) in rules {
        if let Some(value) = record.get(*name) {
            check(name, value, *is)?;
        }
    }
    // A record's own id and links are the server's to say; other fields may be anything, within reason.
    match record.keys().find(|name| name.chars().count() > 255) {
        Some(_) => Err(ApiError::bad_request("The name of a field is longer than 255 characters.")),
        None => Ok(()),
    }
}

fn check(name: &str, value: &Value, is: Is) -> Result<()> {
    let refuse =
        |reason: String| Err(ApiError::bad_request(format!("Invalid input for field '{name}': {reason}")));
    let wrong = |kind: &str| refuse(format!("{} is not of type '{kind}'", python(value)));
    match (is, value) {
        (Is::Name | Is::ShortName, Value::String(text)) if text.trim().is_empty() => {
            refuse(format!("{} is too short", python(value)))
        }
        (Is::Name, Value::String(text)) if text.chars().count() > 255 => {
            refuse(format!("{} is too long", python(value)))
        }
        (Is::ShortName, Value::String(text)) if text.chars().count() > 64 => {
            refuse(format!("{} is too long", python(value)))
        }
        (Is::Name | Is::ShortName | Is::Text | Is::OptText, Value::String(text)) if text.contains('\0') => {
            refuse("it contains a zero character".to_owned())
        }
        (Is::Name | Is::ShortName | Is::Text | Is::OptText, Value::String(_))
        | (Is::OptText, Value::Null)
        | (Is::Flag, Value::Bool(_))
        | (Is::Object, Value::Object(_))
        | (Is::List, Value::Array(_)) => Ok(()),
        (Is::Tags, Value::Array(tags)) => check_tags(name, tags),
        (Is::Name | Is::ShortName | Is::Text, _) => wrong("string"),
        (Is::OptText, _) => wrong("string', 'null"),
        (Is::Flag, _) => wrong("boolean"),
        (Is::Object, _) => wrong("object"),
        (Is::Tags | Is::List, _) => wrong("array"),
    }
}

fn check_tags(name: &str, tags: &[Value]) -> Result<()> {
    let refuse =
        |reason: String| Err(ApiError::bad_request(format!("Invalid input for field '{name}': {reason}")));
    if tags.len() > 80 {
        return refuse("it has more than 80 items".to_owned());
    }
    for (at, tag) in tags.iter().enumerate() {
        match tag {
            Value::String(text) if is_tag(text) => {}
            _ => return refuse(format!("{} is no tag", python(tag))),
        }
        if tags[..at].contains(tag) {
            return refuse("it has non-unique elements".to_owned());
        }
    }
    Ok(())
}

/// Whether a project may have this tag.
pub(crate) fn is_tag(text: &str) -> bool {
    (1..=255).contains(&text.chars().count()) && !text.contains([',', '/', '\0'])
}

/// A value as Python shows it, cut to what fits a message.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => format!("'{}'", text.chars().take(300).collect::<String>()),
        other => other.to_string().chars().take(300).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_refused_in_the_words_of_a_schema() {
        let check = |record: Value, wanted: &str| {
            let Value::Object(record) = record else { panic!("an object") };
            let rules =
                [("name", Is::Name), ("enabled", Is::Flag), ("description", Is::OptText), ("tags", Is::Tags)];
            let outcome = check_fields(&record, &rules, &["name"]);
            match outcome {
                Ok(()) => assert_eq!(wanted, ""),
                Err(error) => {
                    let body = error.body().to_string();
                    assert!(!wanted.is_empty() && body.contains(wanted), "{body}");
                }
            }
        };
        check(json!({"name": "a", "enabled": true, "description": null, "other": [1]}), "");
        check(json!({}), "'name' is a required property");
        check(json!({"name": 5}), "5 is not of type 'string'");
        check(json!({"name": null}), "None is not of type 'string'");
        check(json!({"name": "  "}), "is too short");
        check(json!({"name": "x".repeat(256)}), "is too long");
        check(json!({"name": "a", "enabled": "yes"}), "'yes' is not of type 'boolean'");
        check(json!({"name": "a", "tags": ["a", "a"]}), "non-unique");
        check(json!({"name": "a", "tags": ["a,b"]}), "no tag");
    }
}
