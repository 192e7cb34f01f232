//! Listings as clients want them: lines, JSON or XML, by `format` or by `Accept`.

use crate::error::{Result, SwiftError};
use crate::headers;
use crate::target::Query;
use http::{HeaderMap, StatusCode};
use std::fmt::Write;

/// The form of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Xml,
    /// XML under its older name.
    TextXml,
}

const FORMATS: [(&str, &str, Format); 4] = [
    ("text", "plain", Format::Text),
    ("application", "json", Format::Json),
    ("application", "xml", Format::Xml),
    ("text", "xml", Format::TextXml),
];

impl Format {
    /// The form that a request asks for.
    pub(crate) fn of(query: &Query, headers: &HeaderMap) -> Result<Self> {
        if let Some(format) = query.get_filled("format") {
            return Ok(match format.to_ascii_lowercase().as_str() {
                "json" => Self::Json,
                "xml" => Self::Xml,
                _ => Self::Text,
            });
        }
        match headers::filled(headers, "accept")? {
            None => Ok(Self::Text),
            Some(accept) => best(accept)?.ok_or_else(|| StatusCode::NOT_ACCEPTABLE.into()),
        }
    }

    /// Its content type.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::Xml => "application/xml; charset=utf-8",
            Self::TextXml => "text/xml; charset=utf-8",
        }
    }
}

/// The form that an `Accept` header likes best; the first of equals, in our order.
fn best(accept: &str) -> Result<Option<Format>> {
    let refused = || SwiftError::bad_request("Invalid Accept header");
    let mut wishes: Vec<(&str, &str, f32)> = Vec::new();
    for part in accept.split(',') {
        let mut pieces = part.split(';').map(str::trim);
        let kind = pieces.next().unwrap_or_default();
        let (main, sub) = kind.split_once('/').ok_or_else(refused)?;
        let token = |text: &str| !text.is_empty() && !text.contains([' ', '\t', '"', '/']);
        if !token(main) || !token(sub) {
            return Err(refused());
        }
        let mut quality = 1.0;
        for parameter in pieces.filter(|parameter| !parameter.is_empty()) {
            if let Some(value) = parameter.strip_prefix("q=") {
                quality = value.parse::<f32>().map_err(|_| refused())?;
                if !(0.0..=1.0).contains(&quality) {
                    return Err(refused());
                }
            }
        }
        wishes.push((main, sub, quality));
    }
    let mut chosen: Option<(Format, f32)> = None;
    for (main, sub, format) in FORMATS {
        // The most exact wish about a type decides.
        let exactness = |wish: &&(&str, &str, f32)| (wish.0 != "*", wish.1 != "*");
        let about = wishes
            .iter()
            .filter(|wish| (wish.0 == "*" || wish.0 == main) && (wish.1 == "*" || wish.1 == sub));
        let quality = about.max_by_key(exactness).map_or(0.0, |wish| wish.2);
        if quality > chosen.map_or(0.0, |(_, best)| best) {
            chosen = Some((format, quality));
        }
    }
    Ok(chosen.map(|(format, _)| format))
}

/// Writes an XML document piece by piece.
pub(crate) struct Xml(String);

impl Xml {
    /// A document whose root has a `name`.
    pub(crate) fn root(element: &str, name: &str) -> Self {
        let mut xml = Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        xml.open_named(element, name);
        xml
    }

    pub(crate) fn open(&mut self, element: &str) {
        let _ = write!(self.0, "<{element}>");
    }

    pub(crate) fn open_named(&mut self, element: &str, name: &str) {
        let _ = write!(self.0, "<{element} name=\"");
        escape(&mut self.0, name);
        self.0.push_str("\">");
    }

    pub(crate) fn close(&mut self, element: &str) {
        let _ = write!(self.0, "</{element}>");
    }

    pub(crate) fn text(&mut self, element: &str, text: impl std::fmt::Display) {
        self.open(element);
        escape(&mut self.0, &text.to_string());
        self.close(element);
    }

    pub(crate) fn finish(mut self, element: &str) -> String {
        self.close(element);
        self.0
    }
}

/// Appends a text so that it means itself within XML or HTML; what XML cannot hold becomes a question mark.
pub(crate) fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
}

/// The text escaped for XML or HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(&mut out, text);
    out
}

/// How many entries are asked for.
pub(crate) fn limit(query: &Query, most: u32) -> Result<u32> {
    let Some(text) = query.get_filled("limit") else { return Ok(most) };
    // What is no number is not heard.
    let Ok(limit) = text.parse::<i64>() else { return Ok(most) };
    match u32::try_from(limit) {
        Ok(limit) if limit <= most => Ok(limit),
        _ if limit < 0 => Ok(most),
        _ => Err(SwiftError::precondition(format!("Maximum limit is {most}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_wish_is_heard() {
        let check = |accept: &str, wanted: Option<Format>| assert_eq!(best(accept).expect(accept), wanted);
        check("*/*", Some(Format::Text));
        check("application/json", Some(Format::Json));
        check("application/*", Some(Format::Json));
        check("text/xml", Some(Format::TextXml));
        check("application/xml;q=0.5, application/json; q=0.9", Some(Format::Json));
        check("text/plain;q=0, */*", Some(Format::Json));
        check("image/png", None);
        for bad in ["", "text", "text/plain;q=x", "text/plain;q=2", "a b/c"] {
            assert_eq!(best(bad).expect_err(bad).status(), 400, "{bad}");
        }
        let query = |text: &str| Query::parse(text).unwrap();
        let of = |text: &str| Format::of(&query(text), &HeaderMap::new()).unwrap();
        assert_eq!((of("format=JSON"), of("format=x"), of("")), (Format::Json, Format::Text, Format::Text));
    }

    #[test]
    fn limits() {
        let at = |text: &str| limit(&Query::parse(text).unwrap(), 100);
        assert_eq!(at("limit=100").unwrap(), 100);
        assert_eq!((at("limit=x").unwrap(), at("limit=-1").unwrap(), at("limit=").unwrap()), (100, 100, 100));
        assert_eq!(at("limit=101").expect_err("more").status(), 412);
    }

    #[test]
    fn xml_means_what_was_said() {
        let mut xml = Xml::root("container", "a\"&b");
        xml.text("name", "<\u{1}>\n");
        let text = xml.finish("container");
        assert!(
            text.ends_with("<container name=\"a&quot;&amp;b\"><name>&lt;?&gt;&#10;</name></container>"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn any_wish_is_read_without_panic(accept in ".{0,60}") {
            let _ = best(&accept);
        }
    }
}
