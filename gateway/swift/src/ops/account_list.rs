//! The listing of an account's containers.
//!
//! It is read forwards, whatever its order: reversed, the last entries are kept in a ring that holds one listing.

use crate::clock;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, SwiftGateway};
use crate::headers;
use crate::listing::{Format, Xml, limit};
use futures_util::{StreamExt, TryStreamExt, stream};
use ringfort_object::ContainerInfo;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Containers asked for at a time.
const PAGE: u32 = 1000;
/// Containers counted side by side.
const COUNTS: usize = 16;

/// An entry before its container was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Container(String),
    Prefix(String),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Container(name) | Self::Prefix(name) => name,
        }
    }
}

/// A container with its counts, or names that begin alike.
type Row = Result<(String, ContainerInfo), String>;

impl SwiftGateway {
    /// The listing in the form that is asked for.
    pub(super) async fn account_listing(&self, call: &Call, format: Format) -> Result<String> {
        let most = limit(&call.query, self.inner.config.listing_limit)?;
        let entries = self.account_entries(call, most as usize).await?;
        if format == Format::Text {
            return Ok(entries.iter().map(|entry| format!("{}\n", entry.name())).collect());
        }
        let rows = stream::iter(entries).map(|entry| async move {
            let name = match entry {
                Entry::Prefix(prefix) => return Ok::<_, SwiftError>(Some(Err(prefix))),
                Entry::Container(name) => name,
            };
            let found = self.container_if_any(&call.account, &name).await?;
            Ok(found.map(|container| Ok((name, container.info))))
        });
        let rows: Vec<Option<Row>> = rows.buffered(COUNTS).try_collect().await?;
        let rows = rows.iter().flatten();
        Ok(if format.is_xml() {
            self.account_xml(&call.account_name, rows)
        } else {
            Value::Array(rows.map(|row| self.account_row(row)).collect()).to_string()
        })
    }

    async fn account_entries(&self, call: &Call, most: usize) -> Result<Vec<Entry>> {
        let text = |name: &str| call.query.get(name).unwrap_or_default();
        let reverse = headers::is_true(text("reverse"));
        let (prefix, delimiter) = (text("prefix"), text("delimiter"));
        let (start, end) =
            if reverse { (text("end_marker"), text("marker")) } else { (text("marker"), text("end_marker")) };
        let mut marker = start.to_owned();
        let mut found: VecDeque<Entry> = VecDeque::new();
        if most == 0 {
            return Ok(Vec::new());
        }
        'pages: loop {
            let page = self.inner.objects.list_containers(&call.account, prefix, &marker, PAGE).await?;
            for container in &page.containers {
                if !end.is_empty() && container.name.as_str() >= end {
                    break 'pages;
                }
                let entry = entry_of(&container.name, prefix, delimiter);
                // The marker may be names that begin alike, and these come after it.
                if entry.name() == start || found.back() == Some(&entry) {
                    continue;
                }
                found.push_back(entry);
                if found.len() > most {
                    if !reverse {
                        found.pop_back();
                        break 'pages;
                    }
                    found.pop_front();
                }
            }
            match page.containers.last() {
                Some(last) if page.truncated => marker = after(found.back(), &last.name),
                _ => break,
            }
        }
        let mut entries = Vec::from(found);
        if reverse {
            entries.reverse();
        }
        Ok(entries)
    }

    fn account_row(&self, row: &Row) -> Value {
        match row {
            Err(prefix) => json!({"subdir": prefix}),
            Ok((name, info)) => json!({
                "name": name,
                "count": info.objects,
                "bytes": info.bytes,
                "last_modified": clock::iso8601(info.created),
                "storage_policy": self.policy_name(info.policy).unwrap_or_default(),
            }),
        }
    }

    fn account_xml<'r>(&self, account: &str, rows: impl Iterator<Item = &'r Row>) -> String {
        let mut xml = Xml::root("account", account);
        for row in rows {
            match row {
                Err(prefix) => {
                    xml.open_named("subdir", prefix);
                    xml.close("subdir");
                }
                Ok((name, info)) => {
                    xml.open("container");
                    xml.text("name", name);
                    xml.text("count", info.objects);
                    xml.text("bytes", info.bytes);
                    xml.text("last_modified", clock::iso8601(info.created));
                    xml.text("storage_policy", self.policy_name(info.policy).unwrap_or_default());
                    xml.close("container");
                }
            }
        }
        xml.finish("account")
    }
}

/// A name, or what it has in common with others up to the delimiter.
fn entry_of(name: &str, prefix: &str, delimiter: &str) -> Entry {
    let rest = name.get(prefix.len()..).unwrap_or_default();
    match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
        Some(at) => Entry::Prefix(name[..prefix.len() + at + delimiter.len()].to_owned()),
        None => Entry::Container(name.to_owned()),
    }
}

/// Where the listing goes on: after everything that begins alike, if that is what it has come to.
fn after(last: Option<&Entry>, name: &str) -> String {
    match last {
        Some(Entry::Prefix(prefix)) if name.starts_with(prefix.as_str()) => format!("{prefix}{}", char::MAX),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_alike_are_one_entry() {
        assert_eq!(entry_of("test-a", "", "-"), Entry::Prefix("test-".to_owned()));
        assert_eq!(entry_of("test-a", "test-", "-"), Entry::Container("test-a".to_owned()));
        assert_eq!(entry_of("a--b", "", "--"), Entry::Prefix("a--".to_owned()));
        assert_eq!(entry_of("a", "", ""), Entry::Container("a".to_owned()));
        let prefix = Entry::Prefix("a-".to_owned());
        assert!(after(Some(&prefix), "a-x").as_str() > "a-zzz");
        assert_eq!(after(Some(&prefix), "b"), "b");
    }
}
