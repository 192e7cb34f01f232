//! Pages of listings: flat bytes, read without an allocation per entry.
//!
//! ```text
//! versioning truncated count:u32 entry... [resume:string]
//! entry   00 key:string fields                   object (fields as in a version record: stamp to content type)
//!         01 prefix:string                       common prefix
//!         02 flags key:string fields             version; flags: 1 delete marker, 2 null version, 4 latest
//!         03 key:string upload(8)                upload
//! ```

use crate::codec::{Reader, Writer};
use crate::{ETag, VersionId, Versioning};
use bytes::Bytes;
use ringfort_core::HybridTime;

pub(crate) const MARKER: u8 = 1;
pub(crate) const NULL: u8 = 2;
pub(crate) const LATEST: u8 = 4;

const HEAD: usize = 6;

/// A page under construction.
pub(crate) struct PageWriter {
    out: Writer,
    pub(crate) count: u32,
}

impl PageWriter {
    pub(crate) fn new(versioning: Versioning, bytes: usize) -> Self {
        let mut out = Writer::with_capacity(bytes);
        out.u8(versioning.code()).raw(&[0; HEAD - 1]);
        Self { out, count: 0 }
    }

    pub(crate) fn object(&mut self, key: &[u8], fields: &[u8]) {
        self.out.u8(0).bytes(key).raw(fields);
        self.count += 1;
    }

    pub(crate) fn prefix(&mut self, prefix: &[u8]) {
        self.out.u8(1).bytes(prefix);
        self.count += 1;
    }

    pub(crate) fn version(&mut self, flags: u8, key: &[u8], fields: &[u8]) {
        self.out.u8(2).u8(flags).bytes(key).raw(fields);
        self.count += 1;
    }

    pub(crate) fn upload(&mut self, key: &[u8], upload: &[u8]) {
        self.out.u8(3).bytes(key).raw(upload);
        self.count += 1;
    }

    /// The page; `resume` names the key looked at last if the page ended before it was full.
    pub(crate) fn finish(mut self, truncated: bool, resume: Option<&[u8]>) -> Vec<u8> {
        self.out.0[1] = u8::from(truncated);
        self.out.0[2..HEAD].copy_from_slice(&self.count.to_be_bytes());
        if let Some(resume) = resume {
            self.out.bytes(resume);
        }
        self.out.0
    }
}

/// An entry of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageEntry<'a> {
    /// A version of a key; in a page of objects the latest one.
    Version {
        /// The key.
        key: &'a str,
        /// Which version.
        version: VersionId,
        /// Whether it is the latest.
        latest: bool,
        /// Whether it is a delete marker.
        marker: bool,
        /// Size of the body.
        size: u64,
        /// Entity tag.
        etag: ETag,
        /// When it was committed.
        modified: HybridTime,
        /// MIME type; empty if none was given.
        content_type: &'a str,
    },
    /// Keys that begin so were rolled up.
    CommonPrefix(&'a str),
    /// A multipart upload.
    Upload {
        /// The key.
        key: &'a str,
        /// The upload.
        upload: u64,
    },
}

/// A page of a shard, as it came.
#[derive(Clone, Debug, Default)]
pub struct Page {
    bytes: Bytes,
    /// Number of entries.
    pub count: u32,
    /// The shard has more.
    pub truncated: bool,
    /// The shard's versioning state.
    pub versioning: Versioning,
}

impl Page {
    /// The page in this payload. Entries are decoded as they are iterated; see [`PageEntries::is_complete`].
    #[must_use]
    pub fn decode(bytes: Bytes) -> Option<Self> {
        let mut from = Reader(&bytes);
        let versioning = Versioning::of_code(from.u8()?)?;
        let truncated = from.bool()?;
        let count = from.u32()?;
        Some(Self { bytes, count, truncated, versioning })
    }

    /// The entries in order; ends early if the bytes are damaged.
    #[must_use]
    pub fn entries(&self) -> PageEntries<'_> {
        PageEntries { from: Reader(self.bytes.get(HEAD..).unwrap_or_default()), left: self.count }
    }
}

/// Iterates the entries of a page.
#[derive(Clone, Debug)]
pub struct PageEntries<'a> {
    from: Reader<'a>,
    left: u32,
}

impl<'a> PageEntries<'a> {
    /// What is left when all entries were taken: the key looked at last, if the page ended before it was full.
    #[must_use]
    pub fn resume(mut self) -> Option<&'a str> {
        if self.left > 0 { None } else { self.from.str() }
    }

    /// Whether every entry announced was read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.left == 0
    }

    fn read(&mut self) -> Option<PageEntry<'a>> {
        let kind = self.from.u8()?;
        let flags = if kind == 2 { self.from.u8()? } else { LATEST };
        let key = self.from.str()?;
        match kind {
            0 | 2 => {
                let modified = HybridTime(self.from.u64()?);
                let md5 = self.from.array()?;
                let size = self.from.varint()?;
                let etag = ETag { md5, parts: self.from.varint_u32()? };
                let version = if flags & NULL == 0 { VersionId::At(modified) } else { VersionId::Null };
                let (latest, marker) = (flags & LATEST != 0, flags & MARKER != 0);
                let content_type = self.from.str()?;
                Some(PageEntry::Version { key, version, latest, marker, size, etag, modified, content_type })
            }
            1 => Some(PageEntry::CommonPrefix(key)),
            3 => Some(PageEntry::Upload { key, upload: self.from.u64()? }),
            _ => None,
        }
    }
}

impl<'a> Iterator for PageEntries<'a> {
    type Item = PageEntry<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let entry = self.read()?;
        self.left -= 1;
        Some(entry)
    }
}
