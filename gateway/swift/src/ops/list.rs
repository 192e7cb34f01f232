//! The listing of a container.

use super::content_type::Listed;
use super::typed_reply;
use crate::clock;
use crate::error::Result;
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers;
use crate::listing::{Format, Xml, limit};
use http::StatusCode;
use ringfort_core::HybridTime;
use ringfort_object::{ETag, GetOptions, ListEntry, ListRequest, ListedObject, ObjectError, ObjectPath};
use serde_json::{Value, json};

/// Entries asked for at a time.
const PAGE: u32 = 1000;

/// One row of a listing.
pub(crate) enum Row {
    Object {
        name: String,
        bytes: u64,
        etag: ETag,
        modified: HybridTime,
        listed: Listed,
        /// The content type as it is stored.
        raw_type: String,
    },
    Prefix(String),
}

/// Which rows.
pub(crate) struct Wanted {
    pub(crate) prefix: String,
    pub(crate) delimiter: String,
    pub(crate) marker: String,
    pub(crate) end: String,
    pub(crate) limit: u32,
    /// Only what lies directly in the folder that is the prefix.
    pub(crate) folder: bool,
    /// From the last name to the first; `marker` and `end` are where the listing begins and ends all the same.
    pub(crate) reverse: bool,
}

impl Wanted {
    /// What begins so.
    pub(crate) fn prefix(prefix: &str, limit: u32) -> Self {
        Self {
            prefix: prefix.to_owned(),
            delimiter: String::new(),
            marker: String::new(),
            end: String::new(),
            limit,
            folder: false,
            reverse: false,
        }
    }

    fn of(call: &Call, most: u32) -> Result<Self> {
        let text = |name: &str| call.query.get(name).unwrap_or_default().to_owned();
        let mut wanted = Self {
            prefix: text("prefix"),
            delimiter: text("delimiter"),
            marker: text("marker"),
            end: text("end_marker"),
            limit: limit(&call.query, most)?,
            folder: false,
            reverse: call.query.get("reverse").is_some_and(headers::is_true),
        };
        if let Some(path) = call.query.get("path") {
            wanted.prefix = match path {
                "" => String::new(),
                path => format!("{}/", path.trim_end_matches('/')),
            };
            "/".clone_into(&mut wanted.delimiter);
            wanted.folder = true;
        }
        Ok(wanted)
    }
}

impl SwiftGateway {
    pub(crate) async fn list_container(&self, call: &Call) -> Reply {
        let versions = call.query.has("versions");
        let format =
            if versions { self.version_format(call)? } else { Format::of(&call.query, &call.parts.headers)? };
        let wanted = Wanted::of(call, self.inner.config.listing_limit)?;
        let container = self.container(&call.account, &call.container).await?;
        let text = if versions {
            self.version_listing(call).await?
        } else {
            let rows = self.rows(&call.account, &call.container, wanted).await?;
            text_of(&call.container, &rows, format)
        };
        let mut response = typed_reply(format.content_type(), text);
        if http_body::Body::is_end_stream(response.body()) {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        self.push_container(response.headers_mut(), call, &container);
        Ok(response)
    }

    /// The rows of a listing, page by page.
    pub(crate) async fn rows(&self, account: &str, container: &str, wanted: Wanted) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut request = ListRequest {
            prefix: wanted.prefix.clone(),
            delimiter: wanted.delimiter,
            marker: wanted.marker,
            end_marker: wanted.end,
            reverse: wanted.reverse,
            limit: 0,
        };
        loop {
            let left = wanted.limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
            if left == 0 {
                return Ok(rows);
            }
            request.limit = left.min(PAGE);
            let page = self.inner.objects.list(account, container, &request).await?;
            for entry in page.entries() {
                match entry {
                    ListEntry::Object(object) if wanted.folder && object.key == wanted.prefix => {}
                    ListEntry::Object(object) => rows.push(row_of(object)),
                    ListEntry::CommonPrefix(prefix) if wanted.folder => {
                        rows.extend(self.folder_row(account, container, prefix).await?);
                    }
                    ListEntry::CommonPrefix(prefix) => rows.push(Row::Prefix(prefix.to_owned())),
                }
            }
            if !page.truncated {
                return Ok(rows);
            }
            request.marker = page.next_marker;
        }
    }

    /// An object whose name ends with a slash stands for a folder.
    async fn folder_row(&self, account: &str, container: &str, name: &str) -> Result<Option<Row>> {
        let at = ObjectPath::new(account, container, name);
        match self.inner.objects.head(&at, GetOptions::default()).await {
            Ok(info) => Ok(Some(Row::Object {
                name: name.to_owned(),
                bytes: info.size,
                etag: info.etag,
                modified: info.modified,
                listed: Listed::parse(info.attributes.content_type.as_deref().unwrap_or_default()),
                raw_type: info.attributes.content_type.unwrap_or_default(),
            })),
            Err(ObjectError::NoSuchKey | ObjectError::DeleteMarker { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn row_of(object: ListedObject<'_>) -> Row {
    Row::Object {
        name: object.key.to_owned(),
        bytes: object.size,
        etag: object.etag,
        modified: object.modified,
        listed: Listed::parse(object.content_type),
        raw_type: object.content_type.to_owned(),
    }
}

fn text_of(container: &str, rows: &[Row], format: Format) -> String {
    match format {
        Format::Text => rows.iter().map(|row| format!("{}\n", row.name())).collect(),
        Format::Json => Value::Array(rows.iter().map(|row| row.json()).collect()).to_string(),
        Format::Xml | Format::TextXml => {
            let mut xml = Xml::root("container", container);
            rows.iter().for_each(|row| row.xml(&mut xml));
            xml.finish("container")
        }
    }
}

impl Row {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Object { name, .. } | Self::Prefix(name) => name,
        }
    }

    fn json(&self) -> Value {
        let (name, bytes, etag, modified, listed) = match self {
            Self::Prefix(prefix) => return json!({"subdir": prefix}),
            Self::Object { name, bytes, etag, modified, listed, .. } => (name, bytes, etag, modified, listed),
        };
        let mut row = json!({
            "name": name,
            "bytes": listed.bytes.unwrap_or(*bytes),
            "hash": etag.to_string(),
            "content_type": listed.content_type,
            "last_modified": clock::iso8601(*modified),
        });
        if let Some(tag) = &listed.slo_etag {
            row["slo_etag"] = json!(format!("\"{tag}\""));
        }
        if let Some(path) = &listed.symlink_path {
            row["symlink_path"] = json!(path);
        }
        if let Some(etag) = &listed.symlink_etag {
            row["symlink_etag"] = json!(etag);
        }
        if let Some(bytes) = listed.symlink_bytes {
            row["symlink_bytes"] = json!(bytes);
        }
        row
    }

    fn xml(&self, xml: &mut Xml) {
        match self {
            Self::Prefix(prefix) => {
                xml.open_named("subdir", prefix);
                xml.text("name", prefix);
                xml.close("subdir");
            }
            Self::Object { name, bytes, etag, modified, listed, .. } => {
                xml.open("object");
                xml.text("name", name);
                xml.text("hash", etag);
                xml.text("bytes", listed.bytes.unwrap_or(*bytes));
                xml.text("content_type", &listed.content_type);
                xml.text("last_modified", clock::iso8601(*modified));
                xml.close("object");
            }
        }
    }
}
