//! Tar archives, entry by entry and piece by piece.
//!
//! Understood are the old form, ustar with its prefix, GNU's long names and pax headers (path, size, and the attributes
//! that carry a content type and metadata). Numbers are octal or GNU's base 256.

use crate::body::Source;
use crate::error::{Result, SwiftError};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use std::pin::Pin;

const BLOCK: usize = 512;
/// Largest pax header or long name.
const NOTE_BYTES_MAX: u64 = 64 << 10;

/// The bytes of an archive.
pub(crate) type Input = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A file of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) size: u64,
    /// It has bytes of its own: no folder, link or device.
    pub(crate) is_file: bool,
    pub(crate) content_type: Option<String>,
    /// Metadata of the object.
    pub(crate) metadata: Vec<(String, String)>,
}

/// What a pax header says of the next entry.
#[derive(Default)]
struct Notes {
    path: Option<String>,
    size: Option<u64>,
    content_type: Option<String>,
    metadata: Vec<(String, String)>,
}

/// An archive being read.
pub(crate) struct Tar {
    input: Input,
    buffer: BytesMut,
    ended: bool,
    /// Bytes of the current entry that were not given out, and the padding after them.
    left: u64,
    padding: u64,
}

impl Tar {
    /// An archive in these bytes.
    pub(crate) fn new(input: Input) -> Self {
        Self { input, buffer: BytesMut::new(), ended: false, left: 0, padding: 0 }
    }

    async fn fill(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        match self.input.next().await {
            Some(piece) => {
                self.buffer.extend_from_slice(&piece?);
                Ok(true)
            }
            None => {
                self.ended = true;
                Ok(false)
            }
        }
    }

    async fn block(&mut self) -> Result<Option<BytesMut>> {
        while self.buffer.len() < BLOCK {
            if !self.fill().await? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(invalid("the archive is cut short"))
                };
            }
        }
        Ok(Some(self.buffer.split_to(BLOCK)))
    }

    async fn skip(&mut self, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            if self.buffer.is_empty() && !self.fill().await? {
                return Err(invalid("the archive is cut short"));
            }
            let step = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.buffer.len());
            let _ = self.buffer.split_to(step);
            bytes -= step as u64;
        }
        Ok(())
    }

    /// The next entry; what is left of the one before is passed over.
    pub(crate) async fn next_entry(&mut self) -> Result<Option<Entry>> {
        let rest = std::mem::take(&mut self.left).saturating_add(std::mem::take(&mut self.padding));
        self.skip(rest).await?;
        let mut notes = Notes::default();
        loop {
            let Some(block) = self.block().await? else { return Ok(None) };
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check_sum(&block)?;
            let size = number(&block[124..136])?;
            match block[156] {
                b'L' => notes.path = Some(text(&self.note(size).await?)),
                b'x' => notes.read(&self.note(size).await?)?,
                // Links of long names, and headers for the whole archive, say nothing about objects.
                b'K' | b'g' => {
                    self.note(size).await?;
                }
                kind => return Ok(Some(self.begin(&block, kind, size, notes))),
            }
        }
    }

    fn begin(&mut self, block: &[u8], kind: u8, size: u64, notes: Notes) -> Entry {
        let is_file = matches!(kind, b'0' | 0 | b'7');
        let size = notes.size.unwrap_or(size);
        self.left = if is_file || kind == b'S' { size } else { 0 };
        self.padding = padding(self.left);
        let path = notes.path.unwrap_or_else(|| path_of(block));
        // The old form writes folders as files whose name ends with a slash.
        let is_file = is_file && !path.ends_with('/');
        Entry { path, size, is_file, content_type: notes.content_type, metadata: notes.metadata }
    }

    async fn note(&mut self, size: u64) -> Result<Vec<u8>> {
        let len = usize::try_from(size).ok().filter(|_| size <= NOTE_BYTES_MAX);
        let len = len.ok_or_else(|| invalid("a header is too large"))?;
        while self.buffer.len() < len {
            if !self.fill().await? {
                return Err(invalid("the archive is cut short"));
            }
        }
        let note = self.buffer.split_to(len).to_vec();
        self.skip(padding(size)).await?;
        Ok(note)
    }
}

impl Source for Tar {
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.buffer.is_empty() && !self.fill().await? {
            return Err(invalid("the archive is cut short"));
        }
        let step = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.buffer.len());
        self.left -= step as u64;
        Ok(Some(self.buffer.split_to(step).freeze()))
    }
}

impl Notes {
    /// Reads the records of a pax header: `LENGTH NAME=VALUE\n`, the length being that of the whole record.
    fn read(&mut self, mut bytes: &[u8]) -> Result<()> {
        let broken = || invalid("a pax header is broken");
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
            let len: usize = std::str::from_utf8(&bytes[..space])
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(broken)?;
            if len <= space + 1 || len > bytes.len() || bytes[len - 1] != b'\n' {
                return Err(broken());
            }
            let record = text(&bytes[space + 1..len - 1]);
            bytes = &bytes[len..];
            let Some((name, value)) = record.split_once('=') else { return Err(broken()) };
            let attribute = ["SCHILY.xattr.user.", "LIBARCHIVE.xattr.user."]
                .iter()
                .find_map(|start| name.strip_prefix(start));
            match (name, attribute) {
                ("path", _) => self.path = Some(value.to_owned()),
                ("size", _) => self.size = Some(value.parse().map_err(|_| broken())?),
                (_, Some("mime_type")) => self.content_type = Some(value.to_owned()),
                (_, Some(attribute)) => {
                    if let Some(name) = attribute.strip_prefix("meta.") {
                        self.metadata.push((name.to_ascii_lowercase(), value.to_owned()));
                    }
                }
                (_, None) => {}
            }
        }
        Ok(())
    }
}

const fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn invalid(why: &str) -> SwiftError {
    SwiftError::bad_request(format!("Invalid Tar File: {why}"))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn path_of(block: &[u8]) -> String {
    let name = text(&block[..100]);
    let prefix =
        if &block[257..262] == b"ustar" && block[262] == 0 { text(&block[345..500]) } else { String::new() };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

/// An octal number, or one in base 256 whose first bit is set.
fn number(field: &[u8]) -> Result<u64> {
    let broken = || invalid("a number is broken");
    if field[0] & 0x80 != 0 {
        let mut value = u64::from(field[0] & 0x7f);
        for byte in &field[1..] {
            value = value
                .checked_mul(256)
                .and_then(|value| value.checked_add(u64::from(*byte)))
                .ok_or_else(broken)?;
        }
        return Ok(value);
    }
    let digits = text(field);
    let digits = digits.trim();
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).map_err(|_| broken())
}

fn check_sum(block: &[u8]) -> Result<()> {
    let spaced = |at: usize| (148..156).contains(&at);
    let sum: u64 =
        block.iter().enumerate().map(|(at, byte)| if spaced(at) { 32 } else { u64::from(*byte) }).sum();
    if number(&block[148..156])? == sum { Ok(()) } else { Err(invalid("a checksum is wrong")) }
}

/// Reads an archive that is at hand, arriving in steps.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn whole(archive: &[u8], step: usize) -> Result<Vec<(Entry, Vec<u8>)>> {
    use futures_util::{FutureExt, stream};
    let pieces: Vec<_> = archive.chunks(step.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let mut tar = Tar::new(Box::pin(stream::iter(pieces)));
    let all = async move {
        let mut found = Vec::new();
        while let Some(entry) = tar.next_entry().await? {
            let mut body = Vec::new();
            while let Some(piece) = tar.piece().await? {
                body.extend_from_slice(&piece);
            }
            found.push((entry, body));
        }
        Ok(found)
    };
    all.now_or_never().unwrap_or(Ok(Vec::new()))
}

/// A small archive: a folder, a file with attributes, a file with a long name.
#[cfg(test)]
pub(crate) fn example() -> Vec<u8> {
    let mut archive = Vec::new();
    let mut add = |name: &str, kind: u8, body: &[u8]| {
        let mut block = [0_u8; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", body.len()).as_bytes());
        block[156] = kind;
        block[257..263].copy_from_slice(b"ustar\0");
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend_from_slice(&block);
        archive.extend_from_slice(body);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    };
    add("folder/", b'5', b"");
    let mut pax = Vec::new();
    for record in ["SCHILY.xattr.user.mime_type=text/x", "SCHILY.xattr.user.meta.Colour=blue"] {
        let len = record.len() + 4;
        pax.extend_from_slice(format!("{len} {record}\n").as_bytes());
    }
    add("pax", b'x', &pax);
    add("folder/a", b'0', b"hello");
    let long = format!("folder/{}", "n".repeat(150));
    add("././@LongLink", b'L', [long.as_bytes(), b"\0"].concat().as_slice());
    add("folder/nnn", b'0', &[7; 700]);
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_however_they_arrive() {
        for step in [1, 7, 512, 10_000] {
            let found = whole(&example(), step).expect("an archive");
            let names: Vec<&str> = found.iter().map(|(entry, _)| entry.path.as_str()).collect();
            let long = format!("folder/{}", "n".repeat(150));
            assert_eq!(names, ["folder/", "folder/a", &long], "in steps of {step}");
            assert_eq!(found[1].1, b"hello");
            assert_eq!(found[1].0.content_type.as_deref(), Some("text/x"));
            assert_eq!(found[1].0.metadata, [("colour".to_owned(), "blue".to_owned())]);
            assert_eq!((found[0].0.is_file, found[2].1.len()), (false, 700));
        }
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert_eq!(whole(b"", 1).expect("empty"), []);
        assert!(whole(&[b'x'; 600], 600).is_err());
        let archive = example();
        assert!(whole(&archive[..BLOCK * 4 + 3], 512).is_err(), "cut short");
        let mut bomb = example();
        // A long name that claims to be larger than any name.
        let at = BLOCK * 5;
        bomb[at + 124..at + 135].copy_from_slice(b"77777777777");
        assert!(whole(&bomb, 512).is_err());
    }
}
