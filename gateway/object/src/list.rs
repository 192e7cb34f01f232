//! Listings. A page may take several answers: from several shards, or from one that gave up after stepping over many delete
//! markers.

use crate::shards::is_routing;
use crate::store::CallError;
use crate::types::{ListEntry, ListedObject, ListedVersion, UploadEntry, VersionEntry};
use crate::{
    ListRequest, ObjectError, ObjectStore, UploadId, UploadListRequest, UploadPage, VersionId,
    VersionListRequest, VersionPage,
};
use ringfort_core::HybridTime;
use ringfort_object_model::{
    Command, ContainerRecord, KeyRange, Page, PageEntries, PageEntry, Query, Refusal, ShardId,
};
use std::slice;
use std::sync::Arc;

/// A page of a listing, kept as it came over the wire.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    pub(crate) pages: Vec<Page>,
    pub(crate) len: usize,
    /// There are more entries; go on with [`Self::next_marker`].
    pub truncated: bool,
    /// The last key or common prefix of a truncated page.
    pub next_marker: String,
}

impl ListPage {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the page has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entries in order.
    #[must_use]
    pub fn entries(&self) -> ListEntries<'_> {
        ListEntries { pages: self.pages.iter(), page: None }
    }
}

/// Iterates a page's entries.
#[derive(Clone, Debug)]
pub struct ListEntries<'a> {
    pages: slice::Iter<'a, Page>,
    page: Option<PageEntries<'a>>,
}

impl<'a> Iterator for ListEntries<'a> {
    type Item = ListEntry<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.page.as_mut().and_then(Iterator::next) {
                Some(PageEntry::Version { key, size, etag, modified, content_type, .. }) => {
                    return Some(ListEntry::Object(ListedObject { key, size, etag, modified, content_type }));
                }
                Some(PageEntry::CommonPrefix(prefix)) => return Some(ListEntry::CommonPrefix(prefix)),
                Some(PageEntry::Upload { .. }) => {}
                None => self.page = Some(self.pages.next()?.entries()),
            }
        }
    }
}

/// The marker that goes on after an entry: key, and stamp of a version or upload.
#[derive(Clone, Debug, Default)]
struct Position {
    key: String,
    version: Option<VersionId>,
    upload: u64,
}

impl Position {
    fn after(entry: &PageEntry<'_>) -> Self {
        match *entry {
            PageEntry::Version { key, version, .. } => {
                Self { key: key.to_owned(), version: Some(version), upload: 0 }
            }
            PageEntry::CommonPrefix(prefix) => Self { key: prefix.to_owned(), version: None, upload: 0 },
            PageEntry::Upload { key, upload } => Self { key: key.to_owned(), version: None, upload },
        }
    }
}

/// Which listing.
#[derive(Clone, Copy)]
enum Kind {
    Objects,
    Versions,
    Uploads,
}

/// A listing as asked for.
struct Wanted<'r> {
    kind: Kind,
    range: KeyRange<'r>,
    start: Position,
}

/// The pages of a listing, and where it goes on.
struct Gathered {
    pages: Vec<Page>,
    len: usize,
    next: Option<Position>,
}

impl ObjectStore {
    /// A page of objects in order of their keys' bytes.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`].
    pub async fn list(
        &self,
        account: &str,
        container: &str,
        request: &ListRequest,
    ) -> Result<ListPage, ObjectError> {
        if request.reverse {
            return self.list_reverse(account, container, request).await;
        }
        let range = KeyRange {
            prefix: &request.prefix,
            delimiter: &request.delimiter,
            end: &request.end_marker,
            limit: request.limit,
            ..KeyRange::default()
        };
        let start = Position { key: request.marker.clone(), ..Position::default() };
        let wanted = Wanted { kind: Kind::Objects, range, start };
        let Gathered { pages, len, next } = self.gather(account, container, &wanted).await?;
        let truncated = next.is_some();
        Ok(ListPage { pages, len, truncated, next_marker: next.unwrap_or_default().key })
    }

    /// A page of object versions.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`].
    pub async fn list_versions(
        &self,
        account: &str,
        container: &str,
        request: &VersionListRequest,
    ) -> Result<VersionPage, ObjectError> {
        let range = KeyRange {
            prefix: &request.prefix,
            delimiter: &request.delimiter,
            limit: request.limit,
            ..KeyRange::default()
        };
        let start = Position { key: request.key_marker.clone(), version: request.version_marker, upload: 0 };
        let wanted = Wanted { kind: Kind::Versions, range, start };
        let gathered = self.gather(account, container, &wanted).await?;
        let entries = gathered.pages.iter().flat_map(Page::entries).filter_map(version_entry).collect();
        let truncated = gathered.next.is_some();
        let next = gathered.next.unwrap_or_default();
        Ok(VersionPage { entries, truncated, next_key_marker: next.key, next_version_marker: next.version })
    }

    /// A page of a container's uploads.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`].
    pub async fn list_uploads(
        &self,
        account: &str,
        container: &str,
        request: &UploadListRequest,
    ) -> Result<UploadPage, ObjectError> {
        let range = KeyRange {
            prefix: &request.prefix,
            delimiter: &request.delimiter,
            limit: request.limit,
            ..KeyRange::default()
        };
        let upload = request.upload_marker.map_or(0, |upload| upload.0.0);
        let start = Position { key: request.key_marker.clone(), version: None, upload };
        let wanted = Wanted { kind: Kind::Uploads, range, start };
        let gathered = self.gather(account, container, &wanted).await?;
        let entries = gathered.pages.iter().flat_map(Page::entries).filter_map(upload_entry).collect();
        let truncated = gathered.next.is_some();
        let next = gathered.next.unwrap_or_default();
        let next_upload_marker = (next.upload > 0).then_some(UploadId(HybridTime(next.upload)));
        Ok(UploadPage { entries, truncated, next_key_marker: next.key, next_upload_marker })
    }

    async fn gather(
        &self,
        account: &str,
        container: &str,
        wanted: &Wanted<'_>,
    ) -> Result<Gathered, ObjectError> {
        let mut attempt = 0;
        loop {
            let record = self.record(account, container).await?;
            match self.gather_from(&record, wanted).await {
                Err(CallError::Refused(refusal)) if is_routing(refusal) && attempt < 5 => {
                    attempt += 1;
                    self.settle(account, container, record.shard(0), refusal, attempt).await?;
                }
                ended => return Ok(ended?),
            }
        }
    }

    /// Walks the shards from the one the record names for the beginning of the range. Each answer says where its shard ends and
    /// which one goes on, so a record that is behind costs nothing but a hop.
    async fn gather_from(
        &self,
        record: &Arc<ContainerRecord>,
        wanted: &Wanted<'_>,
    ) -> Result<Gathered, CallError> {
        let mut gathered = Gathered { pages: Vec::new(), len: 0, next: None };
        let Wanted { kind, range: KeyRange { prefix, end: range_end, limit, .. }, .. } = *wanted;
        if limit == 0 {
            return Ok(gathered);
        }
        let now = ringfort_runtime::wall_us() / 1_000_000;
        let mut at = wanted.start.clone();
        let (mut resume, mut low) = (String::new(), String::new());
        let mut shard = record.shard_of(if at.key.as_str() > prefix { &at.key } else { prefix }).id;
        loop {
            let left = limit - u32::try_from(gathered.len).unwrap_or(limit).min(limit);
            // With nothing left, one more entry anywhere ahead decides whether the page is truncated.
            let (marker, resume_at) = (at.key.as_str(), resume.as_str());
            let range =
                KeyRange { limit: left.max(1), marker, resume: resume_at, low: &low, now, ..wanted.range };
            let mut page = self.ask(kind, shard, range, &at).await;
            if matches!(page, Err(CallError::Refused(Refusal::Below))) && !low.is_empty() {
                // The keys were given to this shard just now, and nobody has told it.
                self.execute(shard.slot(), &Command::Serve { shard, begin: &low }, Vec::new()).await?;
                page = self.ask(kind, shard, range, &at).await;
            }
            let page = page?;
            let (next, truncated) = (page.end.clone(), page.truncated);
            if left == 0 && page.count > 0 {
                gathered.next = Some(at);
                return Ok(gathered);
            }
            resume = page.resume.clone().unwrap_or_default();
            if page.count > 0 {
                let last = page.last().ok_or(CallError::Refused(Refusal::Damaged))?;
                at = Position::after(&last);
                gathered.len += page.count as usize;
                gathered.pages.push(page);
            }
            if !resume.is_empty() {
                continue;
            }
            if truncated {
                gathered.next = Some(at);
                return Ok(gathered);
            }
            match next {
                Some((end, number)) if in_range(&end, prefix, range_end) => {
                    shard.number = number;
                    low = end;
                }
                _ => return Ok(gathered),
            }
        }
    }

    async fn ask(
        &self,
        kind: Kind,
        shard: ShardId,
        range: KeyRange<'_>,
        at: &Position,
    ) -> Result<Page, CallError> {
        let query = match kind {
            Kind::Objects => Query::List { shard, range },
            Kind::Versions => Query::Versions { shard, range, after: at.version },
            Kind::Uploads => Query::Uploads { shard, range, after: at.upload },
        };
        let (payload, _) = self.query(shard.slot(), &query).await?;
        Page::decode(payload).ok_or(CallError::Refused(Refusal::Damaged))
    }
}

/// Whether keys from `begin` on can be in a range.
fn in_range(begin: &str, prefix: &str, end: &str) -> bool {
    (begin <= prefix || begin.starts_with(prefix)) && (end.is_empty() || begin < end)
}

fn version_entry(entry: PageEntry<'_>) -> Option<VersionEntry> {
    match entry {
        PageEntry::Version { key, version, latest, marker, size, etag, modified, content_type } => {
            Some(VersionEntry::Version(ListedVersion {
                key: key.to_owned(),
                version,
                latest,
                delete_marker: marker,
                size,
                etag,
                modified,
                content_type: content_type.to_owned(),
            }))
        }
        PageEntry::CommonPrefix(prefix) => Some(VersionEntry::CommonPrefix(prefix.to_owned())),
        PageEntry::Upload { .. } => None,
    }
}

fn upload_entry(entry: PageEntry<'_>) -> Option<UploadEntry> {
    match entry {
        PageEntry::Upload { key, upload } => {
            Some(UploadEntry::Upload { key: key.to_owned(), upload: UploadId(HybridTime(upload)) })
        }
        PageEntry::CommonPrefix(prefix) => Some(UploadEntry::CommonPrefix(prefix.to_owned())),
        PageEntry::Version { .. } => None,
    }
}
