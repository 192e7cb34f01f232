//! A policy file: JSON, or the part of YAML that such files use, which is one `"name": "rule"` a line.

use std::collections::BTreeMap;

/// Why a text is no policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It begins as JSON and is no object of texts.
    #[error("the policy file is no JSON object of texts: {0}")]
    Json(String),
    /// A line that is no rule.
    #[error("line {0} of the policy file is not `\"name\": \"rule\"`")]
    Line(usize),
}

pub(crate) fn read(text: &str) -> Result<BTreeMap<String, String>, FileError> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| FileError::Json(error.to_string()));
    }
    let mut rules = BTreeMap::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line == "---" {
            continue;
        }
        let rule = scalar(line).and_then(|(name, rest)| {
            let (text, rest) = scalar(rest.trim_start().strip_prefix(':')?.trim_start())?;
            let rest = rest.trim_start();
            (rest.is_empty() || rest.starts_with('#')).then_some((name, text))
        });
        let (name, text) = rule.ok_or(FileError::Line(number))?;
        rules.insert(name, text);
    }
    Ok(rules)
}

/// The scalar that `text` begins with, quoted or plain, and what follows it.
fn scalar(text: &str) -> Option<(String, &str)> {
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            let (inner, rest) = rest.split_once(quote)?;
            return Some((inner.to_owned(), rest));
        }
    }
    // A plain name ends at a colon that a space follows, a plain value at a comment.
    let end = text.find(": ").or_else(|| text.find(" #")).unwrap_or(text.len());
    let plain = text[..end].trim_end();
    (!plain.is_empty()).then(|| (plain.to_owned(), &text[end..]))
}
