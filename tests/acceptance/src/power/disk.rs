//! File systems on a disk whose writes are logged, and on an image of one.

use super::log::SECTOR;
use crate::Tool;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// A file system in an image file.
#[derive(Debug)]
pub struct ImageDisk {
    device: String,
    mounted: PathBuf,
}

impl ImageDisk {
    /// Makes a file system in the file, or takes the one that is there, and mounts it at `mounted`. Needs root.
    fn mount(file: &Path, mounted: &Path, make: bool) -> Result<Self> {
        fs::create_dir_all(mounted)?;
        let device =
            Tool::new(Path::new("losetup")).args(&["-f", "--show"]).arg(file).run()?.trim().to_owned();
        let disk = Self { device, mounted: mounted.to_owned() };
        if make {
            // Without a lazy part, so that the log is not full of it.
            let lazy = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
            let mkfs = Tool::new(Path::new("/sbin/mkfs.ext4")).args(&["-q", "-F", "-m", "0", "-E", lazy]);
            mkfs.arg(&disk.device).run()?;
        }
        Tool::new(Path::new("mount")).arg(&disk.device).arg(mounted).run()?;
        Ok(disk)
    }

    /// Mounts what is in `image`, as after a power cut: the file system's journal is replayed. Needs root.
    ///
    /// # Errors
    /// When it can't be mounted.
    pub fn open(image: &Path, mounted: &Path) -> Result<Self> {
        Self::mount(image, mounted, false)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mounted
    }
}

impl Drop for ImageDisk {
    fn drop(&mut self) {
        // Not mounted if mounting is what failed.
        let there = is_mounted(&self.device);
        if there && let Err(error) = Tool::new(Path::new("umount")).arg(&self.mounted).run() {
            eprintln!("{error:#}");
        }
        if let Err(error) = Tool::new(Path::new("losetup")).args(&["-d", &self.device]).run() {
            eprintln!("{error:#}");
        }
    }
}

/// A mounted file system all of whose writes and flushes are logged.
#[derive(Debug)]
pub struct RecordedDisk {
    // Before the daemon that serves it.
    disk: Option<ImageDisk>,
    daemon: Child,
    log: PathBuf,
    folder: PathBuf,
}

impl RecordedDisk {
    /// Makes one of `mib` MiB with its files in `folder`. Needs root, FUSE and `qemu-storage-daemon`.
    ///
    /// # Errors
    /// When one of them is missing.
    pub fn mount(folder: &Path, mib: u64) -> Result<Self> {
        let (image, log, export) =
            (folder.join("recorded.img"), folder.join("writes.log"), folder.join("export"));
        File::create(&image)?.set_len(mib << 20)?;
        File::create(&log)?;
        File::create(&export)?;
        // Nothing crashes but what the log tells: the daemon's own files need no syncing.
        let file = |name: &str, path: &Path| {
            format!("driver=file,node-name={name},filename={},cache.no-flush=on", path.display())
        };
        let said = folder.join("daemon.txt");
        let daemon = Command::new("qemu-storage-daemon")
            .args(["--blockdev", &file("disk", &image), "--blockdev", &file("log", &log)])
            .args([
                "--blockdev",
                &format!("driver=blklogwrites,node-name=logged,file=disk,log=log,log-sector-size={SECTOR}"),
            ])
            .args([
                "--export",
                &format!("type=fuse,id=export,node-name=logged,mountpoint={},writable=on", export.display()),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said)?)
            .spawn()
            .context("qemu-storage-daemon is missing: `make prepare-test` installs it")?;
        let mut recorded = Self { disk: None, daemon, log, folder: folder.to_owned() };
        recorded.wait_for_export(&export, mib << 20, &said)?;
        recorded.disk = Some(ImageDisk::mount(&export, &folder.join("recorded"), true)?);
        Ok(recorded)
    }

    fn wait_for_export(&mut self, export: &Path, bytes: u64, said: &Path) -> Result<()> {
        let began = Instant::now();
        while fs::metadata(export).map_or(0, |facts| facts.len()) != bytes {
            if let Some(status) = self.daemon.try_wait()? {
                bail!("qemu-storage-daemon ended, {status}: {}", fs::read_to_string(said)?);
            }
            ensure!(began.elapsed() < LIMIT, "no export after {LIMIT:?}: {}", fs::read_to_string(said)?);
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join("recorded")
    }

    /// The log, which grows with every write before the write is answered: its length is the clock of this disk.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Unmounts it and ends the log.
    ///
    /// # Errors
    /// When the daemon does not stop.
    pub fn finish(mut self) -> Result<()> {
        self.disk = None;
        let pid =
            rustix::process::Pid::from_raw(i32::try_from(self.daemon.id())?).context("a child has a pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let began = Instant::now();
        while self.daemon.try_wait()?.is_none() {
            ensure!(began.elapsed() < LIMIT, "qemu-storage-daemon does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for RecordedDisk {
    fn drop(&mut self) {
        self.disk = None;
        self.daemon.kill().ok();
        self.daemon.wait().ok();
        // A killed daemon leaves the mount of its export.
        let export = self.folder.join("export");
        if is_mounted(&export.display().to_string()) {
            Tool::new(Path::new("umount")).arg("-l").arg(&export).run().ok();
        }
    }
}

/// Whether something that calls itself `source` is mounted anywhere.
fn is_mounted(source: &str) -> bool {
    fs::read_to_string("/proc/mounts")
        .is_ok_and(|mounts| mounts.lines().any(|line| line.split(' ').next() == Some(source)))
}
