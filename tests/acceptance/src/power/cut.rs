//! A disk as a power cut leaves it.

use super::log::{Change, Entry, SECTOR, WriteLog};
use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What becomes of writes that no flush covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unflushed {
    /// The disk had done none of them.
    Lost,
    /// The disk had done all of them.
    Kept,
    /// Of each sector any of its states since the flush, drawn from this seed: writes are reordered and torn.
    Torn(u64),
}

/// When the power goes, and what the disk did with what it had not flushed.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Number of log entries before the cut.
    pub entries: usize,
    /// What becomes of the entries since the last flush.
    pub unflushed: Unflushed,
}

/// Makes disks of cuts, each at the same moment as the one before or later.
#[derive(Debug)]
pub struct Cutter<'a> {
    log: &'a WriteLog,
    folder: PathBuf,
    disk_bytes: u64,
    /// The disk with all flushed entries before the last cut.
    base: File,
    /// Number of entries in it.
    done: usize,
}

impl<'a> Cutter<'a> {
    /// Works in `folder` on a disk of `disk_bytes` bytes.
    ///
    /// # Errors
    /// When there is no room.
    pub fn new(log: &'a WriteLog, folder: &Path, disk_bytes: u64) -> Result<Self> {
        let base = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(folder.join("flushed.img"))?;
        base.set_len(disk_bytes)?;
        Ok(Self { log, folder: folder.to_owned(), disk_bytes, base, done: 0 })
    }

    /// The image of the disk after the cut; the one made before is gone.
    ///
    /// # Errors
    /// When the cut lies before the last one, or there is no room.
    pub fn image(&mut self, cut: Cut) -> Result<PathBuf> {
        let before = self.log.entries().get(..cut.entries).context("no such entry")?;
        let flushed = before.iter().rposition(|entry| entry.flush).map_or(0, |at| at + 1);
        ensure!(self.done <= flushed, "cuts are made in order");
        for entry in &before[self.done..flushed] {
            apply(self.log, &self.base, entry)?;
        }
        self.done = flushed;

        let path = self.folder.join("cut.img");
        copy_sparse(&self.base, &path, self.disk_bytes)?;
        let image = File::options().read(true).write(true).open(&path)?;
        let rest = &before[flushed..];
        match cut.unflushed {
            Unflushed::Kept => rest.iter().try_for_each(|entry| apply(self.log, &image, entry))?,
            // A write that was to be durable by itself is.
            Unflushed::Lost => {
                rest.iter()
                    .filter(|entry| entry.durable)
                    .try_for_each(|entry| apply(self.log, &image, entry))?;
            }
            Unflushed::Torn(seed) => tear(self.log, &image, rest, seed)?,
        }
        Ok(path)
    }

    /// Bytes of writes that the cut leaves to chance.
    #[must_use]
    pub fn unflushed_bytes(&self, cut: Cut) -> u64 {
        let before = &self.log.entries()[..cut.entries];
        let flushed = before.iter().rposition(|entry| entry.flush).map_or(0, |at| at + 1);
        before[flushed..].iter().map(|entry| entry.sectors * SECTOR).sum()
    }
}

impl Drop for Cutter<'_> {
    fn drop(&mut self) {
        for name in ["flushed.img", "cut.img"] {
            fs::remove_file(self.folder.join(name)).ok();
        }
    }
}

fn apply(log: &WriteLog, image: &File, entry: &Entry) -> Result<()> {
    let data = match entry.change {
        Change::Nothing => return Ok(()),
        Change::Write(at) => log.read(at, entry.sectors)?,
        Change::Discard => return discard(image, entry),
    };
    Ok(image.write_all_at(&data, entry.sector * SECTOR)?)
}

fn discard(image: &File, entry: &Entry) -> Result<()> {
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(image, flags, entry.sector * SECTOR, entry.sectors * SECTOR)?)
}

/// Draws for each sector one of its states: as flushed, or as any of the writes since then left it.
fn tear(log: &WriteLog, image: &File, entries: &[Entry], seed: u64) -> Result<()> {
    let mut states: BTreeMap<u64, Vec<Option<u64>>> = BTreeMap::new();
    for entry in entries {
        for number in 0..entry.sectors {
            let data = match entry.change {
                Change::Nothing => continue,
                Change::Write(at) => Some(at + number * SECTOR),
                // Whether a lost discard happened or not makes no difference to anybody who may use the sector.
                Change::Discard => None,
            };
            let states = states.entry(entry.sector + number).or_default();
            if entry.durable {
                states.clear();
                // The state before it is no longer possible.
                image.write_all_at(&read_state(log, data)?, (entry.sector + number) * SECTOR)?;
            } else {
                states.push(data);
            }
        }
    }
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    for (sector, states) in states {
        let drawn = draw.random_range(0..=states.len());
        if let Some(state) = drawn.checked_sub(1) {
            image.write_all_at(&read_state(log, states[state])?, sector * SECTOR)?;
        }
    }
    Ok(())
}

fn read_state(log: &WriteLog, data: Option<u64>) -> Result<Vec<u8>> {
    data.map_or_else(|| Ok(vec![0; usize::try_from(SECTOR)?]), |at| log.read(at, 1))
}

/// Copies what is not a hole.
fn copy_sparse(from: &File, to: &Path, len: u64) -> Result<()> {
    fs::remove_file(to).ok();
    let to = File::create(to)?;
    to.set_len(len)?;
    let mut at = 0;
    while let Ok(start) = rustix::fs::seek(from, rustix::fs::SeekFrom::Data(at)) {
        let end = rustix::fs::seek(from, rustix::fs::SeekFrom::Hole(start))?;
        let mut buffer = vec![0; 1 << 20];
        at = start;
        while at < end {
            let step = usize::try_from((end - at).min(buffer.len() as u64))?;
            from.read_exact_at(&mut buffer[..step], at)?;
            to.write_all_at(&buffer[..step], at)?;
            at += step as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::log::log_of;
    use super::*;

    const FLUSH: u64 = 1;
    const DURABLE: u64 = 2;

    fn sectors(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().flat_map(|byte| [*byte; 512]).collect()
    }

    /// The first byte of each of the 8 sectors of the disk after the cut.
    fn after(log: &WriteLog, cuts: &[Cut]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let mut cutter = Cutter::new(log, dir.path(), 8 * SECTOR).unwrap();
        let paths: Vec<_> = cuts.iter().map(|cut| cutter.image(*cut).unwrap()).collect();
        fs::read(paths.last().unwrap()).unwrap().chunks(512).map(|sector| sector[0]).collect()
    }

    #[test]
    fn what_a_flush_covers_survives_and_the_rest_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let writes: [(u64, u64, &[u8]); 6] = [
            (0, 0, &sectors(&[1, 2])),
            (0, FLUSH, &[]),
            (1, 0, &sectors(&[3, 4])),
            (1, 0, &sectors(&[5])),
            (6, DURABLE, &sectors(&[9])),
            (0, FLUSH, &[]),
        ];
        fs::write(&path, log_of(&writes)).unwrap();
        let log = WriteLog::open(&path).unwrap();
        let cut = |entries, unflushed| Cut { entries, unflushed };
        let lost = |entries| after(&log, &[cut(entries, Unflushed::Lost)]);
        assert_eq!(lost(1), [0; 8]);
        assert_eq!(lost(2), [1, 2, 0, 0, 0, 0, 0, 0]);
        assert_eq!(lost(4), [1, 2, 0, 0, 0, 0, 0, 0]);
        assert_eq!(lost(5), [1, 2, 0, 0, 0, 0, 9, 0]);
        assert_eq!(lost(6), [1, 5, 4, 0, 0, 0, 9, 0]);
        assert_eq!(after(&log, &[cut(4, Unflushed::Kept)]), [1, 5, 4, 0, 0, 0, 0, 0]);
        // One cutter for one cut after the other gives the same.
        let both = [cut(2, Unflushed::Kept), cut(5, Unflushed::Lost)];
        assert_eq!(after(&log, &both), [1, 2, 0, 0, 0, 0, 9, 0]);

        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let disk = after(&log, &[cut(5, Unflushed::Torn(seed))]);
            assert_eq!([disk[0], disk[3], disk[6]], [1, 0, 9]);
            seen.insert((disk[1], disk[2]));
        }
        let all = [2, 3, 5].into_iter().flat_map(|one| [(one, 0), (one, 4)]).collect();
        assert_eq!(seen, all, "every mixture of states comes up");
    }

    #[test]
    fn cuts_go_forward() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, log_of(&[(0, FLUSH, &[]), (0, FLUSH, &[])])).unwrap();
        let log = WriteLog::open(&path).unwrap();
        let mut cutter = Cutter::new(&log, dir.path(), SECTOR).unwrap();
        let cut = |entries| Cut { entries, unflushed: Unflushed::Lost };
        assert!(cutter.image(cut(3)).is_err());
        cutter.image(cut(2)).unwrap();
        assert!(cutter.image(cut(1)).is_err());
    }
}
