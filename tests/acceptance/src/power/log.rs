//! Reading the log of writes that qemu's `blklogwrites` keeps, in the format of Linux's `dm-log-writes`.
//!
//! All integers little-endian; a *sector* is the log's own (512 bytes here). The first sector is the header, then the
//! entries follow each other, each one sector and the data of its write:
//!
//! ```text
//!  header: | magic u64 | version u64 | entries u64 | sector bytes u32 |
//!  entry:  | sector u64 | sectors u64 | flags u64 | bytes of a mark u64 |
//!  flags:  1 flush, 2 the write is durable by itself, 4 discard (no data follow), 8 mark
//! ```
//!
//! The number of entries in the header is updated now and then; the log's length is what tells how many there are.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u64 = 0x006a_7366_7773_6872;
/// Bytes of a sector, as [`super::RecordedDisk`] sets it.
pub(crate) const SECTOR: u64 = 512;

const FLUSH: u64 = 1;
const DURABLE: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// What an entry did to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Wrote the bytes that lie at this offset of the log.
    Write(u64),
    /// Gave the sectors back; they read as zeros.
    Discard,
    /// Nothing.
    Nothing,
}

/// One entry of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// First sector of the disk.
    pub(crate) sector: u64,
    /// Number of sectors.
    pub(crate) sectors: u64,
    /// What was done to them.
    pub(crate) change: Change,
    /// Everything before this entry is durable when it is.
    pub(crate) flush: bool,
    /// It is durable when it is done, whatever came before.
    pub(crate) durable: bool,
    /// Length of the log up to and with this entry.
    pub(crate) end: u64,
}

/// The log of a disk that is written no more.
#[derive(Debug)]
pub struct WriteLog {
    file: File,
    entries: Vec<Entry>,
}

impl WriteLog {
    /// Reads the entries; the data stay in the file.
    ///
    /// # Errors
    /// When the log is none, or ends within an entry.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let len = file.metadata()?.len();
        let header = words(&file, 0)?;
        ensure!(header[0] == MAGIC && header[1] == 1, "{} is no log of writes", path.display());
        ensure!(header[3] & 0xffff_ffff == SECTOR, "sectors of {} bytes", header[3] & 0xffff_ffff);
        let mut entries = Vec::new();
        let mut at = SECTOR;
        while at + SECTOR <= len {
            let [sector, sectors, flags, mark_bytes] = words(&file, at)?;
            ensure!(flags < 32, "flags {flags:#x} at {at} of the log");
            let data = at + SECTOR;
            let (change, bytes) = match flags {
                _ if flags & MARK != 0 => (Change::Nothing, mark_bytes.next_multiple_of(SECTOR)),
                _ if flags & DISCARD != 0 => (Change::Discard, 0),
                _ if sectors == 0 => (Change::Nothing, 0),
                _ => (Change::Write(data), sectors * SECTOR),
            };
            at = data + bytes;
            ensure!(at <= len, "the log ends within an entry");
            let (flush, durable) = (flags & FLUSH != 0, flags & DURABLE != 0);
            entries.push(Entry { sector, sectors, change, flush, durable, end: at });
        }
        Ok(Self { file, entries })
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The data of a write, which lie at `at`.
    pub(crate) fn read(&self, at: u64, sectors: u64) -> Result<Vec<u8>> {
        let mut data = vec![0; usize::try_from(sectors * SECTOR)?];
        self.file.read_exact_at(&mut data, at)?;
        Ok(data)
    }

    /// Number of entries in a log of `bytes` bytes.
    #[must_use]
    pub fn entries_within(&self, bytes: u64) -> usize {
        self.entries.partition_point(|entry| entry.end <= bytes)
    }

    /// Length of the log up to entry `entries`.
    #[must_use]
    pub fn length_of(&self, entries: usize) -> u64 {
        entries.checked_sub(1).and_then(|last| self.entries.get(last)).map_or(SECTOR, |entry| entry.end)
    }

    /// Numbers of entries that flush, from entry `from` to before entry `to`.
    #[must_use]
    pub fn flushes(&self, from: usize, to: usize) -> Vec<usize> {
        (from..to).filter(|at| self.entries[*at].flush).collect()
    }
}

fn words(file: &File, at: u64) -> Result<[u64; 4]> {
    let mut bytes = [0; 32];
    file.read_exact_at(&mut bytes, at)?;
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Ok(words)
}

/// The bytes of a log, for tests.
#[cfg(test)]
pub(crate) fn log_of(entries: &[(u64, u64, &[u8])]) -> Vec<u8> {
    let sector_of = |words: [u64; 4]| {
        let mut bytes = words.map(u64::to_le_bytes).concat();
        bytes.resize(512, 0);
        bytes
    };
    let mut log = sector_of([MAGIC, 1, 0, SECTOR]);
    for (sector, flags, data) in entries {
        log.extend(sector_of([*sector, data.len() as u64 / SECTOR, *flags, 0]));
        log.extend_from_slice(data);
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_the_length_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let bytes = log_of(&[(3, 0, &[7; 1024]), (0, FLUSH, &[]), (9, DURABLE, &[8; 512])]);
        std::fs::write(&path, &bytes).unwrap();
        let log = WriteLog::open(&path).unwrap();
        assert_eq!(log.entries().len(), 3);
        assert_eq!((log.entries()[0].sector, log.entries()[0].sectors), (3, 2));
        assert_eq!(log.read(1024, 2).unwrap(), [7; 1024]);
        assert_eq!(log.flushes(0, 3), [1]);
        assert!(log.entries()[2].durable && !log.entries()[2].flush);
        for (len, within) in [(0, 0), (512, 0), (2047, 0), (2048, 1), (2560, 2), (bytes.len() as u64, 3)] {
            assert_eq!(log.entries_within(len), within, "{len}");
        }
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(WriteLog::open(&path).is_err(), "a torn entry");
    }
}
