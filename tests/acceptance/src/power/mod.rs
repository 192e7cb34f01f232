//! Power cuts without a machine to cut off: every write that a disk was given is logged, and a disk as a cut would have
//! left it is made from the log for any moment.
//!
//! ```text
//!  ringfort -> ext4 -> loop device -> FUSE file of qemu-storage-daemon -> blklogwrites -> image
//!                                                                              +-------> log of writes and flushes
//! ```
//!
//! Kill -9 says nothing about `fsync`: the page cache survives it. Here only what reached the disk counts, and of that only
//! what a flush covered: the rest a cut may keep, lose, or keep in part, sector by sector.

mod cut;
mod disk;
mod history;
mod log;

pub use cut::{Cut, Cutter, Unflushed};
pub use disk::{ImageDisk, RecordedDisk};
pub use history::{History, Recorder};
pub use log::WriteLog;
