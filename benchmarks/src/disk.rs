//! What a data folder takes on its disk.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;
/// How often a folder that should settle is looked at.
const SETTLE_STEP: Duration = Duration::from_secs(3);

/// Refuses folders in memory: an fsync costs nothing there, and the figures would be lies.
pub(crate) fn ensure_on_disk(folder: &Path) -> Result<()> {
    let stat = rustix::fs::statfs(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
    let magic = u64::try_from(stat.f_type).unwrap_or_default();
    ensure!(
        magic != TMPFS_MAGIC && magic != RAMFS_MAGIC,
        "{} lies in memory (tmpfs), where synced writes cost nothing; give a folder on a disk",
        folder.display()
    );
    Ok(())
}

/// Bytes allocated to everything under `folder`, as `du` counts.
pub(crate) fn used_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            // A file that a compaction has just removed takes no space.
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(bytes)
}

/// [`used_bytes`] once it has stayed the same (to 0.1 %) for three looks, or after `limit`.
pub(crate) fn settled_bytes(folder: &Path, limit: Duration) -> Result<u64> {
    let start = Instant::now();
    let (mut last, mut same) = (used_bytes(folder)?, 0);
    while same < 2 && start.elapsed() < limit {
        std::thread::sleep(SETTLE_STEP);
        let now = used_bytes(folder)?;
        same = if now.abs_diff(last) * 1000 <= last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        let before = used_bytes(folder.path()).unwrap();
        fs::write(folder.path().join("d/f"), vec![1; 100_000]).unwrap();
        let file = fs::File::open(folder.path().join("d/f")).unwrap();
        file.sync_all().unwrap();
        let more = used_bytes(folder.path()).unwrap() - before;
        assert!((100_000..140_000).contains(&more), "{more}");
    }

    #[test]
    fn memory_is_refused() {
        assert!(ensure_on_disk(Path::new("/dev/shm")).is_err());
        assert!(ensure_on_disk(Path::new("/nowhere/at/all")).is_err());
    }
}
