//! Reading the few XML documents that clients send.
//!
//! A document becomes a small tree under limits: size (the caller's), depth and number of elements. Document type
//! declarations are refused, so there are no entities to expand; attributes and namespaces carry nothing that S3 asks for.

use crate::error::{ErrorCode, S3Error};
use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;

const DEPTH_MAX: usize = 8;
/// A completion names up to 10000 parts with a number, a tag and a checksum each.
const ELEMENTS_MAX: usize = 100_000;

/// An element.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Its text, without that of its children.
    pub(crate) text: String,
    pub(crate) children: Vec<Node>,
}

impl Node {
    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of this name.
    pub(crate) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }
}

/// Reads a document whose root must be `root`.
pub(crate) fn parse(document: &[u8], root: &str) -> Result<Node, S3Error> {
    let text = std::str::from_utf8(document).map_err(|_| ErrorCode::MalformedXML)?;
    let node = parse_tree(text.trim_start_matches('\u{feff}')).ok_or(ErrorCode::MalformedXML)?;
    if node.name == root { Ok(node) } else { Err(ErrorCode::MalformedXML.into()) }
}

fn parse_tree(text: &str) -> Option<Node> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    let mut elements = 0;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                elements += 1;
                if elements > ELEMENTS_MAX || open.len() == DEPTH_MAX || root.is_some() {
                    return None;
                }
                open.push(named(start.local_name().as_ref()));
            }
            Event::Empty(empty) => {
                elements += 1;
                if elements > ELEMENTS_MAX || root.is_some() {
                    return None;
                }
                close(named(empty.local_name().as_ref()), &mut open, &mut root);
            }
            Event::End(_) => {
                let node = open.pop()?;
                close(node, &mut open, &mut root);
            }
            Event::Text(text) => match open.last_mut() {
                Some(node) => node.text.push_str(&text.xml10_content()),
                None if text.trim().is_empty() => {}
                None => return None,
            },
            Event::CData(text) => open.last_mut()?.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => open.last_mut()?.text.push(resolve(&reference)?),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::DocType(_) => return None,
            Event::Eof => return if open.is_empty() { root } else { None },
        }
    }
}

fn named(name: &str) -> Node {
    Node { name: name.to_owned(), ..Node::default() }
}

fn close(mut node: Node, open: &mut [Node], root: &mut Option<Node>) {
    if !node.children.is_empty() {
        // White space between elements.
        node.text.clear();
    }
    match open.last_mut() {
        Some(parent) => parent.children.push(node),
        None => *root = Some(node),
    }
}

fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character);
    }
    match &**reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_document() {
        let document = b"<?xml version='1.0'?>\n<Delete xmlns='x'>\n <Quiet>true</Quiet><Object><Key>a&amp;b&#x41; </Key></Object>\
            <Object><Key><![CDATA[<x>]]></Key></Object><Empty/></Delete>\n";
        let root = parse(document, "Delete").expect("parsed");
        assert_eq!(root.child_text("Quiet"), Some("true"));
        let keys: Vec<_> =
            root.children.iter().filter(|c| c.name == "Object").map(|o| o.child_text("Key")).collect();
        assert_eq!(keys, [Some("a&bA "), Some("<x>")]);
        assert_eq!(root.child("Empty"), Some(&Node { name: "Empty".to_owned(), ..Node::default() }));
    }

    #[test]
    fn what_is_refused() {
        let deep = "<a>".repeat(20) + &"</a>".repeat(20);
        for bad in [
            "",
            "text",
            "<a>",
            "</a>",
            "<a></b>",
            "<b></b>",
            "<a></a><a></a>",
            "<a>&unknown;</a>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "<a>&#xffffffff;</a>",
            deep.as_str(),
        ] {
            assert_eq!(parse(bad.as_bytes(), "a").expect_err(bad).code(), ErrorCode::MalformedXML);
        }
        assert!(parse(b"<a>\xff</a>", "a").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[<>/a&;!\\[\\]'\"=# -]{0,80}") {
            let _ = parse(text.as_bytes(), "a");
        }
    }
}
