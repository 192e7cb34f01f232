//! Writing XML: strings pushed one after the other. A listing of a thousand keys is one buffer and one pass.

use crate::access::Owner;
use crate::clock;
use crate::target::STRICT_PATH;
use percent_encoding::utf8_percent_encode;
use ringfort_core::HybridTime;
use std::fmt::{Display, Write};

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Builds one document.
pub(crate) struct XmlWriter {
    out: String,
    /// Keys are percent-encoded (`encoding-type=url`).
    url: bool,
}

impl XmlWriter {
    /// Begins a document with its root element in the S3 namespace.
    pub(crate) fn root(name: &str, capacity: usize) -> Self {
        let mut writer = Self::bare(capacity);
        writer.out.push('<');
        writer.out.push_str(name);
        writer.out.push_str(" xmlns=\"");
        writer.out.push_str(NAMESPACE);
        writer.out.push_str("\">");
        writer
    }

    /// Begins a document without a root.
    pub(crate) fn bare(capacity: usize) -> Self {
        let mut out = String::with_capacity(capacity + 128);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self { out, url: false }
    }

    /// Has [`Self::name`] percent-encode.
    pub(crate) fn encode_names(&mut self, url: bool) {
        self.url = url;
    }

    pub(crate) fn open(&mut self, element: &str) {
        self.out.push('<');
        self.out.push_str(element);
        self.out.push('>');
    }

    pub(crate) fn close(&mut self, element: &str) {
        self.out.push_str("</");
        self.out.push_str(element);
        self.out.push('>');
    }

    /// Markup as it is.
    pub(crate) fn raw(&mut self, markup: &'static str) {
        self.out.push_str(markup);
    }

    /// Text of the open element.
    pub(crate) fn content(&mut self, text: &str) {
        push_escaped(&mut self.out, text);
    }

    /// An element with text.
    pub(crate) fn text(&mut self, element: &str, text: &str) {
        self.open(element);
        push_escaped(&mut self.out, text);
        self.close(element);
    }

    /// An element with text, if there is one.
    pub(crate) fn text_if(&mut self, element: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(element, text);
        }
    }

    /// An element with a key, prefix, marker or delimiter.
    pub(crate) fn name(&mut self, element: &str, name: &str) {
        self.open(element);
        if self.url {
            self.out.extend(utf8_percent_encode(name, STRICT_PATH));
        } else {
            push_escaped(&mut self.out, name);
        }
        self.close(element);
    }

    /// An element with something whose text needs no escaping: a number, a tag, a flag.
    pub(crate) fn plain(&mut self, element: &str, value: impl Display) {
        self.open(element);
        let _ = write!(self.out, "{value}");
        self.close(element);
    }

    /// An element with a quoted entity tag.
    pub(crate) fn etag(&mut self, etag: impl Display) {
        let _ = write!(self.out, "<ETag>&quot;{etag}&quot;</ETag>");
    }

    /// An element with a time.
    pub(crate) fn time(&mut self, element: &str, time: HybridTime) {
        self.open(element);
        clock::push_iso8601(&mut self.out, time.0);
        self.close(element);
    }

    /// An owner or initiator.
    pub(crate) fn person(&mut self, element: &str, id: &str, name: &str) {
        self.open(element);
        self.text("ID", id);
        self.text("DisplayName", name);
        self.close(element);
    }

    /// As [`Self::person`].
    pub(crate) fn owner(&mut self, element: &str, owner: &Owner) {
        self.person(element, &owner.id, &owner.name);
    }

    /// Closes the root and gives the document.
    pub(crate) fn finish(mut self, root: &str) -> String {
        self.close(root);
        self.out
    }
}

/// Escapes what text may not hold. Control characters become references, as AWS writes them, though XML 1.0 has no way
/// to say most of them: clients that meet such keys ask for `encoding-type=url`.
fn push_escaped(out: &mut String, text: &str) {
    let special = |b: u8| b < 0x20 || matches!(b, b'&' | b'<' | b'>' | b'"' | b'\'');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(special) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'&' => out.push_str("&amp;"),
            b'<' => out.push_str("&lt;"),
            b'>' => out.push_str("&gt;"),
            b'"' => out.push_str("&quot;"),
            b'\'' => out.push_str("&apos;"),
            control => {
                let _ = write!(out, "&#x{control:x};");
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_names_are_encoded() {
        let mut xml = XmlWriter::root("R", 0);
        xml.text("A", "a<&>\"'\r\u{1}é");
        xml.name("K", "a b");
        xml.encode_names(true);
        xml.name("K", "a b/+\u{1}");
        xml.etag("ab-1");
        let text = xml.finish("R");
        assert_eq!(
            text.lines().nth(1),
            Some(
                "<R xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><A>a&lt;&amp;&gt;&quot;&apos;&#xd;&#x1;é</A>\
                 <K>a b</K><K>a%20b/%2B%01</K><ETag>&quot;ab-1&quot;</ETag></R>"
            )
        );
    }
}
