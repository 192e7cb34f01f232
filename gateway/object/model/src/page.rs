//! Pages of listings: flat bytes, read without an allocation per entry.
//!
//! ```text
//! versioning truncated count:u32 last:u32 tail:u32 entry... tail
//!         last, tail: offsets of the last entry and of the tail
//! tail    resume:string (00 | 01 end:string next:varint)      where the shard ends, and the one that goes on
//! entry   00 key:string fields                   object (fields as in a version record: stamp to content type)
//!         01 prefix:string                       common prefix
//!         02 flags key:string [touched(8)] fields  version; flags: 1 delete marker, 2 null version, 4 latest, 8 touched
//!         04 key:string touched(8) fields        object whose attributes were changed since
//!         03 key:string upload(8)                upload
//! ```

use crate::codec::{Reader, Writer};
use crate::record::{Front, bit};
use crate::{ETag, VersionId, Versioning};
use bytes::Bytes;
use ringfort_core::HybridTime;

pub(crate) const MARKER: u8 = 1;
pub(crate) const NULL: u8 = 2;
pub(crate) const LATEST: u8 = 4;
const TOUCHED: u8 = 8;

const HEAD: usize = 14;

/// A page under construction.
pub(crate) struct PageWriter {
    out: Writer,
    last: usize,
    pub(crate) count: u32,
}

impl PageWriter {
    pub(crate) fn new(versioning: Versioning, bytes: usize) -> Self {
        let mut out = Writer::with_capacity(bytes);
        out.u8(versioning.code()).raw(&[0; HEAD - 1]);
        Self { out, last: HEAD, count: 0 }
    }

    fn begin(&mut self, kind: u8) -> &mut Writer {
        self.last = self.out.0.len();
        self.count += 1;
        self.out.u8(kind)
    }

    pub(crate) fn object(&mut self, key: &[u8], front: &Front<'_>) {
        match front.touched {
            None => self.begin(0).bytes(key).raw(front.fields),
            Some(touched) => self.begin(4).bytes(key).u64(touched).raw(front.fields),
        };
    }

    pub(crate) fn prefix(&mut self, prefix: &[u8]) {
        self.begin(1).bytes(prefix);
    }

    pub(crate) fn version(&mut self, flags: u8, key: &[u8], front: &Front<'_>) {
        match front.touched {
            None => self.begin(2).u8(flags).bytes(key).raw(front.fields),
            Some(touched) => self.begin(2).u8(flags | TOUCHED).bytes(key).u64(touched).raw(front.fields),
        };
    }

    pub(crate) fn upload(&mut self, key: &[u8], upload: &[u8]) {
        self.begin(3).bytes(key).raw(upload);
    }

    /// The page; `resume` names the key looked at last if the page ended before it was full, `end` where the shard ends.
    pub(crate) fn finish(
        mut self,
        truncated: bool,
        resume: Option<&str>,
        end: Option<(&str, u32)>,
    ) -> Vec<u8> {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX).to_be_bytes();
        self.out.0[1] = u8::from(truncated);
        self.out.0[2..6].copy_from_slice(&self.count.to_be_bytes());
        self.out.0[6..10].copy_from_slice(&offset(self.last));
        let tail = offset(self.out.0.len());
        self.out.0[10..HEAD].copy_from_slice(&tail);
        self.out.bytes(resume.unwrap_or_default().as_bytes()).bool(end.is_some());
        if let Some((end, next)) = end {
            self.out.bytes(end.as_bytes()).varint(u64::from(next));
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
        /// When it was modified.
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
    last: usize,
    /// The key looked at last, if the page ended before it was full.
    pub resume: Option<String>,
    /// The first key that the shard no longer holds, and the number of the shard that does.
    pub end: Option<(String, u32)>,
    /// Number of entries.
    pub count: u32,
    /// The shard has more.
    pub truncated: bool,
    /// The shard's versioning state.
    pub versioning: Versioning,
}

impl Page {
    /// The page in this payload. Entries are decoded as they are iterated.
    #[must_use]
    pub fn decode(bytes: Bytes) -> Option<Self> {
        let mut from = Reader(&bytes);
        let versioning = Versioning::of_code(from.u8()?)?;
        let truncated = from.bool()?;
        let (count, last, tail) = (from.u32()?, from.u32()? as usize, from.u32()? as usize);
        let mut from = Reader(bytes.get(tail..)?);
        let resume = Some(from.str()?.to_owned()).filter(|resume| !resume.is_empty());
        let end = if from.bool()? { Some((from.str()?.to_owned(), from.varint_u32()?)) } else { None };
        from.end(())?;
        Some(Self { bytes, last, resume, end, count, truncated, versioning })
    }

    /// The last entry, if there is one and it decodes.
    #[must_use]
    pub fn last(&self) -> Option<PageEntry<'_>> {
        PageEntries { from: Reader(self.bytes.get(self.last..)?), left: self.count.min(1) }.next()
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
    fn read(&mut self) -> Option<PageEntry<'a>> {
        let kind = self.from.u8()?;
        let flags = if kind == 2 { self.from.u8()? } else { LATEST | bit(kind == 4, TOUCHED) };
        let key = self.from.str()?;
        match kind {
            0 | 2 | 4 => {
                let touched = if flags & TOUCHED == 0 { None } else { Some(HybridTime(self.from.u64()?)) };
                let stamp = HybridTime(self.from.u64()?);
                let modified = touched.unwrap_or(stamp);
                let md5 = self.from.array()?;
                let size = self.from.varint()?;
                let etag = ETag { md5, parts: self.from.varint_u32()? };
                let version = if flags & NULL == 0 { VersionId::At(stamp) } else { VersionId::Null };
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
