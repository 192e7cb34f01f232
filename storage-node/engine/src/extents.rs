//! The extent files of a device: which there are, how to get a fresh one, and how to let one go.

use crate::disk::{Disk, DiskFile, SyncPoint};
use crate::format::file::{EXTENT_HEADER_LEN, encode_extent};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// Name of an extent's file.
pub(crate) fn name(id: u64) -> String {
    format!("{id:016x}.extent")
}

/// The extent a file of this name is.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".extent")?;
    let id = (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten()?;
    // No device lives to use as many; a stray name must not use up the ids that are left.
    (1..1 << 48).contains(&id).then_some(id)
}

/// Name of a file set aside for the next extent.
pub(crate) const SPARE: &str = "spare";

/// One extent file.
#[derive(Clone)]
pub(crate) struct Extent {
    pub(crate) file: Arc<dyn DiskFile>,
    /// Length of the file.
    pub(crate) size: u64,
    /// Where its records end.
    pub(crate) used: u32,
    pub(crate) sealed: bool,
}

/// The extents of a device.
pub(crate) struct Extents {
    disk: Arc<dyn Disk>,
    log: u64,
    extent_bytes: u64,
    map: Mutex<BTreeMap<u64, Extent>>,
    /// Whether a file named [`SPARE`] is ready. Held while spares are made or taken.
    spare: Mutex<bool>,
}

impl Extents {
    pub(crate) fn new(disk: Arc<dyn Disk>, log: u64, extent_bytes: u64) -> Self {
        Self { disk, log, extent_bytes, map: Mutex::default(), spare: Mutex::new(false) }
    }

    pub(crate) fn get(&self, id: u64) -> Option<Extent> {
        self.map.lock().get(&id).cloned()
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.map.lock().contains_key(&id)
    }

    pub(crate) fn insert(&self, id: u64, extent: Extent) {
        self.map.lock().insert(id, extent);
    }

    pub(crate) fn update(&self, id: u64, change: impl FnOnce(&mut Extent)) {
        if let Some(extent) = self.map.lock().get_mut(&id) {
            change(extent);
        }
    }

    /// All extents, oldest first.
    pub(crate) fn all(&self) -> Vec<(u64, Extent)> {
        self.map.lock().iter().map(|(id, extent)| (*id, extent.clone())).collect()
    }

    /// The oldest extent; beyond all ids if there is none.
    pub(crate) fn first_id(&self) -> u64 {
        self.map.lock().keys().next().copied().unwrap_or(u64::MAX)
    }

    pub(crate) fn last_id(&self) -> u64 {
        self.map.lock().keys().next_back().copied().unwrap_or(0)
    }

    /// Sets a file aside for the next extent, if there is none, so that the writer need not wait for it.
    pub(crate) fn prepare_spare(&self) -> io::Result<()> {
        let mut ready = self.spare.lock();
        if !*ready {
            self.disk.create(SPARE, self.extent_bytes)?;
            *ready = true;
        }
        Ok(())
    }

    /// Makes the next extent. Its header is durable before it has its name, and its name before any record in it counts; so an
    /// extent that is there has a good header, and the one before it is complete.
    pub(crate) fn activate(&self, id: u64) -> io::Result<Extent> {
        let mut ready = self.spare.lock();
        let file =
            if *ready { self.disk.open(SPARE)? } else { self.disk.create(SPARE, self.extent_bytes)? };
        *ready = false;
        file.write_at(&[IoSlice::new(&encode_extent(self.log, id))], 0)?;
        file.sync(SyncPoint::ExtentHeader)?;
        self.disk.rename(SPARE, &name(id))?;
        self.disk.sync_dir(SyncPoint::ExtentName)?;
        let extent = Extent { file, size: self.extent_bytes, used: EXTENT_HEADER_LEN, sealed: false };
        self.insert(id, extent.clone());
        Ok(extent)
    }

    /// Lets an extent go whose records nothing needs. Its file becomes the next spare if there is none, which saves the file
    /// system the work of finding and converting blocks; a record of its former life is never believed (see the record's salt).
    pub(crate) fn free(&self, id: u64) -> io::Result<()> {
        let Some(extent) = self.map.lock().remove(&id) else { return Ok(()) };
        let mut ready = self.spare.lock();
        if !*ready && extent.size == self.extent_bytes {
            self.disk.rename(&name(id), SPARE)?;
            *ready = true;
        } else {
            self.disk.remove(&name(id))?;
        }
        // The name must be gone for good before the file is used again: under its old name it would be a damaged extent.
        self.disk.sync_dir(SyncPoint::ExtentFreed)
    }

    /// Makes durable what a killed process may have left in the page cache, before anything is built upon it. Older extents were
    /// durable before the newest had its name.
    pub(crate) fn settle(&self) -> io::Result<()> {
        self.disk.sync_dir(SyncPoint::RecoveryNames)?;
        let newest = self.map.lock().values().next_back().cloned();
        newest.map_or(Ok(()), |extent| extent.file.sync(SyncPoint::RecoveryRead))
    }

    /// Notes the spare found at open. It is thrown away: whether its space was set aside is not known.
    pub(crate) fn drop_spare(&self, names: &[String]) -> io::Result<()> {
        for name in names.iter().filter(|name| *name == SPARE) {
            self.disk.remove(name)?;
        }
        Ok(())
    }

    /// Bytes of all extent files.
    pub(crate) fn bytes(&self) -> u64 {
        self.map.lock().values().map(|extent| extent.size).sum()
    }

    pub(crate) fn count(&self) -> u64 {
        self.map.lock().len() as u64
    }

    /// Bytes the file system still gives.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    pub(crate) fn extent_bytes(&self) -> u64 {
        self.extent_bytes
    }
}
