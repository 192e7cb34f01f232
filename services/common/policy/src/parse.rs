//! From a rule's text to its check: words, parentheses, and `not` over `and` over `or`.

use crate::check::{Check, Text};

/// Parentheses in each other.
const NESTED_MAX: usize = 64;

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It ends where a check is due.
    #[error("it ends too early")]
    Ends,
    /// A word that can't stand there.
    #[error("`{0}` cannot stand there")]
    Word(String),
    /// Too many parentheses in each other.
    #[error("its parentheses go too deep")]
    Deep,
}

pub(crate) fn parse(text: &str) -> Result<Check, RuleError> {
    let words = words(text);
    if words.is_empty() {
        return Ok(Check::Always);
    }
    let mut reader = Reader { words: &words, nested: 0 };
    let check = reader.any()?;
    match reader.words.first() {
        Some(word) => Err(RuleError::Word(word.clone())),
        None => Ok(check),
    }
}

/// Words by white space; parentheses at the ends of a word stand alone, those of `%(name)s` do not.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let inner = word.trim_start_matches('(');
        words.extend(std::iter::repeat_n("(".to_owned(), word.len() - inner.len()));
        let core = inner.trim_end_matches(')');
        if !core.is_empty() {
            words.push(core.to_owned());
        }
        words.extend(std::iter::repeat_n(")".to_owned(), inner.len() - core.len()));
    }
    words
}

struct Reader<'a> {
    words: &'a [String],
    nested: usize,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<&str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take_if(&mut self, wanted: &str) -> bool {
        let found = self.words.first().is_some_and(|word| word.eq_ignore_ascii_case(wanted));
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn any(&mut self) -> Result<Check, RuleError> {
        let mut checks = vec![self.all()?];
        while self.take_if("or") {
            checks.push(self.all()?);
        }
        Ok(if checks.len() == 1 { checks.remove(0) } else { Check::Any(checks) })
    }

    fn all(&mut self) -> Result<Check, RuleError> {
        let mut checks = vec![self.one()?];
        while self.take_if("and") {
            checks.push(self.one()?);
        }
        Ok(if checks.len() == 1 { checks.remove(0) } else { Check::All(checks) })
    }

    fn one(&mut self) -> Result<Check, RuleError> {
        if self.nested > NESTED_MAX {
            return Err(RuleError::Deep);
        }
        if self.take_if("not") {
            self.nested += 1;
            let inner = self.one()?;
            self.nested -= 1;
            return Ok(Check::Not(Box::new(inner)));
        }
        if self.take_if("(") {
            self.nested += 1;
            let inner = self.any()?;
            self.nested -= 1;
            return if self.take_if(")") { Ok(inner) } else { Err(RuleError::Ends) };
        }
        let word = self.take().ok_or(RuleError::Ends)?;
        check(word).ok_or_else(|| RuleError::Word(word.to_owned()))
    }
}

fn check(word: &str) -> Option<Check> {
    match word {
        "@" => return Some(Check::Always),
        "!" => return Some(Check::Never),
        _ => {}
    }
    let (kind, text) = word.split_once(':')?;
    if kind.is_empty() || text.is_empty() {
        return None;
    }
    if kind == "rule" {
        return Some(Check::Rule(text.to_owned()));
    }
    let text = match text.strip_prefix("%(").and_then(|rest| rest.strip_suffix(")s")) {
        Some(path) => Text::OfTarget(path.to_owned()),
        None => Text::Plain(text.to_owned()),
    };
    let quoted = kind.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    Some(match (kind, quoted) {
        ("role", _) => Check::Role(text),
        (_, Some(value)) => Check::Literal { value: value.to_owned(), text },
        ("None" | "True" | "False", None) => Check::Literal { value: kind.to_owned(), text },
        (path, None) => Check::Attribute { path: path.to_owned(), text },
    })
}
