//! The listing of an account's containers.

use crate::clock;
use crate::error::Result;
use crate::gateway::{Call, SwiftGateway};
use crate::headers;
use crate::listing::{Format, Xml, limit};
use ringfort_object::{ContainerEntry, ContainerListRequest};
use serde_json::{Value, json};

/// Containers asked for at a time.
const PAGE: u32 = 1000;

impl SwiftGateway {
    /// The listing in the form that is asked for.
    pub(super) async fn account_listing(&self, call: &Call, format: Format) -> Result<String> {
        let most = limit(&call.query, self.inner.config.listing_limit)?;
        let entries = self.account_entries(call, most, format != Format::Text).await?;
        Ok(match format {
            Format::Text => entries.iter().map(|entry| format!("{}\n", name_of(entry))).collect(),
            Format::Json => {
                Value::Array(entries.iter().map(|entry| self.account_row(entry)).collect()).to_string()
            }
            Format::Xml | Format::TextXml => self.account_xml(&call.account_name, &entries),
        })
    }

    async fn account_entries(&self, call: &Call, most: u32, stats: bool) -> Result<Vec<ContainerEntry>> {
        let text = |name: &str| call.query.get(name).unwrap_or_default().to_owned();
        let mut request = ContainerListRequest {
            prefix: text("prefix"),
            delimiter: text("delimiter"),
            marker: text("marker"),
            end_marker: text("end_marker"),
            reverse: headers::is_true(&text("reverse")),
            stats,
            limit: 0,
        };
        let mut entries = Vec::new();
        loop {
            let left = most.saturating_sub(u32::try_from(entries.len()).unwrap_or(u32::MAX));
            request.limit = left.min(PAGE);
            if left == 0 {
                return Ok(entries);
            }
            let page = self.inner.objects.containers(&call.account, &request).await?;
            entries.extend(page.entries);
            if !page.truncated {
                return Ok(entries);
            }
            request.marker = page.next_marker;
        }
    }

    fn account_row(&self, entry: &ContainerEntry) -> Value {
        match entry {
            ContainerEntry::CommonPrefix(prefix) => json!({"subdir": prefix}),
            ContainerEntry::Container { name, created, policy, stats, .. } => {
                let stats = stats.unwrap_or_default();
                json!({
                    "name": name,
                    "count": stats.objects,
                    "bytes": stats.bytes,
                    "last_modified": clock::iso8601(*created),
                    "storage_policy": self.policy_name(*policy).unwrap_or_default(),
                })
            }
        }
    }

    fn account_xml(&self, account: &str, entries: &[ContainerEntry]) -> String {
        let mut xml = Xml::root("account", account);
        for entry in entries {
            match entry {
                ContainerEntry::CommonPrefix(prefix) => {
                    xml.open_named("subdir", prefix);
                    xml.close("subdir");
                }
                ContainerEntry::Container { name, created, policy, stats, .. } => {
                    let stats = stats.unwrap_or_default();
                    xml.open("container");
                    xml.text("name", name);
                    xml.text("count", stats.objects);
                    xml.text("bytes", stats.bytes);
                    xml.text("last_modified", clock::iso8601(*created));
                    xml.text("storage_policy", self.policy_name(*policy).unwrap_or_default());
                    xml.close("container");
                }
            }
        }
        xml.finish("account")
    }
}

fn name_of(entry: &ContainerEntry) -> &str {
    match entry {
        ContainerEntry::Container { name, .. } | ContainerEntry::CommonPrefix(name) => name,
    }
}
