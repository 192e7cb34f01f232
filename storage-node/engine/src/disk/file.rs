//! A real folder.
//!
//! Extents are set aside with `fallocate` and not written ahead: writing every byte twice would halve the throughput of large
//! bodies. The first sync of a fresh region commits the file system's extent conversion beside the data; a recycled extent
//! has no such cost, and extents are recycled.

use super::{Disk, DiskFile, SyncPoint};
use rustix::fs::{Advice, FallocateFlags, Mode, OFlags};
use rustix::io::ReadWriteFlags;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most pieces one system call takes.
const IOV_MAX: usize = 1024;

/// A folder of the file system.
pub(crate) struct FileDisk {
    path: PathBuf,
    dir: File,
}

impl FileDisk {
    /// Opens the folder, creating it if need be.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        if let Some(parent) = path.parent() {
            File::open(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), dir: File::open(path)? })
    }

    fn open_with(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let fd = rustix::fs::open(
            self.path.join(name),
            flags | OFlags::RDWR | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o600),
        )?;
        Ok(File::from(fd))
    }
}

impl Disk for FileDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.open_with(name, OFlags::CREATE | OFlags::TRUNC)?;
        if bytes > 0 {
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
                Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes)?,
                other => other?,
            }
        }
        Ok(Arc::new(RealFile { file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile { file: self.open_with(name, OFlags::empty())? }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self, _point: SyncPoint) -> io::Result<()> {
        self.dir.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn write_at(&self, pieces: &[IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        for group in pieces.chunks(IOV_MAX) {
            let mut owned: Vec<IoSlice<'_>> = group.to_vec();
            let mut rest = owned.as_mut_slice();
            while rest.iter().any(|piece| !piece.is_empty()) {
                let written = match rustix::io::pwritev(&self.file, rest, offset) {
                    Err(rustix::io::Errno::INTR) => continue,
                    other => other?,
                };
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                offset += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match rustix::io::pread(&self.file, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        let wanted = buffer.len();
        match rustix::io::preadv2(&self.file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT)
        {
            Ok(read) => Ok(read == wanted),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INTR) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self, _point: SyncPoint) -> io::Result<()> {
        rustix::fs::fdatasync(&self.file).map_err(Into::into)
    }

    fn let_go(&self, offset: u64, bytes: u64) {
        if let Err(error) = rustix::fs::fadvise(&self.file, offset, NonZeroU64::new(bytes), Advice::DontNeed)
        {
            tracing::debug!(%error, "the page cache keeps what was written");
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}
