//! Walking the records of an extent, and telling the end of the log from damage.
//!
//! A bad place is the end of the log only in the newest extent and above everything that any record, or the index, says was
//! synced. Anywhere else it is damage: it is reported, and the walk goes on at the next good header.

use crate::EngineError;
use crate::disk::DiskFile;
use crate::format::chunk::{self, BLOCK};
use crate::format::record::MAGIC;
use crate::format::{ChunkMeta, Decoded, HEADER_LEN, Kind, RecordHeader, Salt};
use std::io;

/// Bytes read ahead.
const WINDOW: usize = 256 << 10;

/// What is read at once where reading a window fails.
const PAGE: usize = 4 << 10;

/// A reader of one extent.
pub(crate) struct Scan<'a> {
    file: &'a dyn DiskFile,
    salt: Salt,
    size: u64,
    window: Vec<u8>,
    window_at: u64,
    /// Up to where something could not be read, and why.
    unreadable: Option<(u64, io::Error)>,
}

/// What is done with each record, or with where a bad stretch begins.
type Visit<'a> = &'a mut dyn FnMut(Result<Found<'_>, (u32, &str)>) -> Result<(), EngineError>;

/// How far a record can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// All of it.
    Good,
    /// All but blocks of the body.
    BodyDamaged,
    /// Only the header.
    PayloadDamaged,
}

/// One record.
pub(crate) struct Found<'a> {
    pub(crate) offset: u32,
    pub(crate) header: RecordHeader,
    /// The payload; without the body if bodies are not read.
    pub(crate) payload: &'a [u8],
    pub(crate) health: Health,
}

/// What a walk knows beforehand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Whether later extents exist, so that this one is known to be complete.
    pub(crate) complete: bool,
    /// Everything below was synced, as the index knows.
    pub(crate) synced: u32,
    /// Whether bodies are read and verified.
    pub(crate) bodies: bool,
}

/// Where and how a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Where the records end. If there is a seal it is here, so that a walk from this place finds it again.
    pub(crate) offset: u32,
    pub(crate) sealed: bool,
    /// Bytes of records after the end that are not believed.
    pub(crate) cut: u32,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, salt: Salt, size: u64) -> Self {
        Self { file, salt, size, window: Vec::new(), window_at: 0, unreadable: None }
    }

    /// Bytes at a place; fewer at the end of the file.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let len = len.min(usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX));
        let loaded = self.window_at..self.window_at + self.window.len() as u64;
        if at < loaded.start || at + len as u64 > loaded.end {
            let wanted =
                len.max(WINDOW).min(usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX));
            self.window.clear();
            self.window.resize(wanted, 0);
            if let Ok(read) = self.file.read_at(&mut self.window, at) {
                self.window.truncate(read);
            } else {
                self.read_what_can_be(at);
            }
            self.window_at = at;
        }
        let from = usize::try_from(at - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(from..).map_or(&[], |rest| &rest[..len.min(rest.len())]))
    }

    /// Fills the window page by page, with zeros for what cannot be read: no checksum vouches for them.
    fn read_what_can_be(&mut self, at: u64) {
        let (file, mut place) = (self.file, at);
        for page in self.window.chunks_mut(PAGE) {
            let read = file.read_at(page, place).unwrap_or_else(|error| {
                tracing::error!(extent = self.salt.extent, offset = place, %error, "a page cannot be read");
                let upto = place + page.len() as u64;
                if self.unreadable.as_ref().is_none_or(|(known, _)| *known < upto) {
                    self.unreadable = Some((upto, error));
                }
                0
            });
            page[read..].fill(0);
            place += page.len() as u64;
        }
    }

    fn header(&mut self, at: u32) -> io::Result<Decoded> {
        let (salt, size) = (self.salt, self.size);
        let decoded = RecordHeader::decode(salt, at, self.bytes(u64::from(at), HEADER_LEN)?);
        Ok(match decoded {
            Decoded::Record(header) if u64::from(at) + header.footprint() > size => Decoded::NoRecord,
            other => other,
        })
    }

    /// The first good header at or after `from`.
    fn next_header(&mut self, from: u32) -> io::Result<Option<(u32, RecordHeader)>> {
        let mut at = from.next_multiple_of(8);
        while u64::from(at) + HEADER_LEN as u64 <= self.size {
            let window = self.bytes(u64::from(at), WINDOW)?;
            if window.len() < HEADER_LEN {
                break;
            }
            let candidates: Vec<u32> = (0..window.len() - HEADER_LEN + 1)
                .step_by(8)
                .filter(|place| &window[*place..*place + 4] == MAGIC)
                .filter_map(|place| u32::try_from(place).ok()?.checked_add(at))
                .collect();
            let searched = (window.len() - HEADER_LEN + 8) & !7;
            for candidate in candidates {
                if let Decoded::Record(header) = self.header(candidate)? {
                    return Ok(Some((candidate, header)));
                }
            }
            at = match at.checked_add(u32::try_from(searched).unwrap_or(u32::MAX)) {
                Some(next) => next,
                None => break,
            };
        }
        Ok(None)
    }

    /// Up to where the records themselves say that everything was synced, and where the last of them ends.
    fn proven(&mut self, from: u32) -> io::Result<(u32, u32)> {
        let (mut at, mut synced, mut last) = (from, 0, from);
        loop {
            let header = match self.header(at)? {
                Decoded::Record(header) => Some((at, header)),
                _ => self.next_header(at.saturating_add(8))?,
            };
            let Some((found, header)) = header else { return Ok((synced, last)) };
            synced = synced.max(header.synced);
            at = found + u32::try_from(header.footprint()).unwrap_or(u32::MAX - found);
            last = at;
        }
    }

    fn payload(&mut self, at: u32, header: &RecordHeader, bodies: bool) -> io::Result<(&[u8], Health)> {
        let start = u64::from(at) + HEADER_LEN as u64;
        let wanted = if header.kind.has_body() && !bodies {
            let meta = ChunkMeta::decode_head(self.bytes(start, chunk::META_LEN)?);
            let head = meta.map_or(chunk::META_LEN, |meta| meta.head_len());
            head.min(header.length as usize)
        } else {
            header.length as usize
        };
        let payload = self.bytes(start, wanted)?;
        let health = check(header, payload, bodies);
        Ok((payload, health))
    }

    fn read_error(&self, error: io::Error) -> EngineError {
        EngineError::io(format!("read extent {:x}", self.salt.extent))(error)
    }

    /// The end of the log at `at`, unless what follows cannot be read: nobody knows then where the log ends.
    fn end(&mut self, at: u32, last: u32) -> Result<End, EngineError> {
        match self.unreadable.take() {
            Some((upto, error)) if upto > u64::from(at) => Err(self.read_error(error)),
            _ => Ok(End { offset: at, sealed: false, cut: last.saturating_sub(at) }),
        }
    }

    /// Visits the records from `from` on; `visit` is given `Err` for a bad stretch, with where it begins and why. What cannot be
    /// read counts as bad, except where the log may end.
    pub(crate) fn walk(&mut self, from: u32, rule: Rule, visit: Visit<'_>) -> Result<End, EngineError> {
        let (proven, last) = match rule.complete {
            true => (u32::MAX, 0),
            false => self.proven(from).map_err(|error| self.read_error(error))?,
        };
        let proven = proven.max(rule.synced);
        let mut at = from;
        loop {
            match self.header(at).map_err(|error| self.read_error(error))? {
                Decoded::Record(header) if header.kind == Kind::Seal => {
                    return Ok(End { offset: at, sealed: true, cut: 0 });
                }
                Decoded::Record(header) => {
                    let salt = self.salt;
                    let (payload, health) = self
                        .payload(at, &header, rule.bodies)
                        .map_err(|error| EngineError::io(format!("read extent {:x}", salt.extent))(error))?;
                    if health != Health::Good && at >= proven {
                        return self.end(at, last);
                    }
                    visit(Ok(Found { offset: at, header, payload, health }))?;
                    at += u32::try_from(header.footprint()).unwrap_or(u32::MAX);
                }
                Decoded::UnknownVersion(version) => {
                    return Err(EngineError::NewerFormat {
                        found: u32::from(version),
                        known: crate::format::file::VERSION,
                    });
                }
                Decoded::NoRecord if at >= proven => return self.end(at, last),
                Decoded::NoRecord => {
                    visit(Err((at, "no good record header where one has to be")))?;
                    match self.next_header(at + 8).map_err(|error| self.read_error(error))? {
                        Some((next, _)) => at = next,
                        None if rule.complete => return Ok(End { offset: at, sealed: true, cut: 0 }),
                        None => return self.end(at.max(rule.synced), 0),
                    }
                }
            }
        }
    }
}

/// Whether a payload is what its header says.
fn check(header: &RecordHeader, payload: &[u8], bodies: bool) -> Health {
    if !header.kind.has_body() {
        let good = payload.len() == header.length as usize && crc32fast::hash(payload) == header.payload_crc;
        return if good { Health::Good } else { Health::PayloadDamaged };
    }
    let Some(meta) = ChunkMeta::decode_head(payload) else { return Health::PayloadDamaged };
    let Some(head) = payload.get(..meta.head_len()) else { return Health::PayloadDamaged };
    if crc32fast::hash(head) != header.payload_crc
        || meta.head_len() + meta.body_len as usize != header.length as usize
    {
        return Health::PayloadDamaged;
    }
    if !bodies {
        return Health::Good;
    }
    let Some(meta) = ChunkMeta::decode(payload) else { return Health::BodyDamaged };
    let seed = chunk::seed(&meta.key);
    let table = head[chunk::META_LEN..]
        .chunks_exact(4)
        .map(|crc| u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]));
    let blocks = payload[meta.head_len()..].chunks(BLOCK).enumerate();
    let good = table.zip(blocks).all(|(crc, (number, block))| chunk::block_crc(seed, number, block) == crc);
    if good { Health::Good } else { Health::BodyDamaged }
}
