//! The disk under the log: one folder of extent files. Two forms: a real folder, and a simulated disk that loses what was
//! not synced.

mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod sim;

pub(crate) use file::FileDisk;

use std::io::{self, IoSlice};
use std::sync::Arc;

/// Every place where the engine makes something durable has a name, so that a test can leave out just that one and show that
/// it is noticed (docs/testing.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SyncPoint {
    /// The records of a group commit, before they are acknowledged.
    LogBatch,
    /// An extent that is full, before anything is written to the next.
    ExtentSeal,
    /// The header of a new extent, before it gets its name.
    ExtentHeader,
    /// The folder, after a new extent got its name and before a record in it counts.
    ExtentName,
    /// The newest extent, before recovery believes what it reads there: a killed process may have left it in the page cache.
    RecoveryRead,
    /// The folder, for the same reason, and after the format file got its name.
    RecoveryNames,
    /// An extent that recovery cut, before the next is used.
    RecoveryCut,
    /// The content of the format file, before it gets its name.
    FormatFile,
    /// The folder, after an extent was unlinked or set aside: before its name may be seen again as a spare.
    ExtentFreed,
}

/// One folder of files.
pub(crate) trait Disk: Send + Sync {
    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates a file, with space for `bytes` set aside; one of this name is replaced.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that exists.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file; durable after [`Self::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; durable after [`Self::sync_dir`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names durable.
    fn sync_dir(&self, point: SyncPoint) -> io::Result<()>;
    /// Bytes the file system still gives.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// One file.
pub(crate) trait DiskFile: Send + Sync {
    /// Writes all bytes at `offset`.
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Fills `buffer` from `offset`; answers how much there was before the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Like [`Self::read_at`] for a whole buffer if that needs no waiting; `false` if it would.
    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool>;
    /// Makes written bytes durable.
    fn sync(&self, point: SyncPoint) -> io::Result<()>;
    /// Says that synced bytes will hardly be read soon; a hint.
    fn let_go(&self, offset: u64, bytes: u64);
    /// Cuts or extends the file.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Length of the file.
    fn len(&self) -> io::Result<u64>;
}
