//! The data folder: who may use it, which format it has, and what it remembers between runs.
//!
//! ```text
//!  DIR/FORMAT        "ringfort data folder, format 1": read before anything else is believed
//!  DIR/lock          held (flock) while a process serves the folder
//!  DIR/devices.toml  the device folders, as `device add` and `device remove` left them
//!  DIR/keys/         key file and sealed secrets (see `secrets`)
//!  DIR/s3.env        the first access key, for clients on this host
//!  DIR/admin.sock    the operator commands' way in
//! ```
//!
//! The storage node keeps the cluster's identity and its devices beside these.

use crate::config::DeviceSection;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The newest format of the folder that this program knows.
const FORMAT: u32 = 1;
const FORMAT_PREFIX: &str = "ringfort data folder, format ";

/// Why a data folder was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error("cannot {what} {path}", path = path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{path} is in use by another ringfort process{pid}: stop that one first, or give another folder",
        path = path.display()
    )]
    InUse { path: PathBuf, pid: String },
    #[error("{path} is not a folder: give another path", path = path.display())]
    NoFolder { path: PathBuf },
    #[error("{path} has format {found}; this program knows formats up to {FORMAT}: start a newer one", path = path.display())]
    NewerFormat { path: PathBuf, found: u32 },
    #[error("{path} is damaged: {reason}; put back a copy of it", path = path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{path} is missing, and this folder has a cluster: put back a copy of it", path = path.display())]
    Missing { path: PathBuf },
    #[error(
        "{path} is not empty and no ringfort data folder: it was left alone; give another folder or empty it",
        path = path.display()
    )]
    Foreign { path: PathBuf },
}

/// A data folder held by this process.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    // Released by the kernel with the descriptor, also after kill -9.
    _lock: File,
    fresh: bool,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceList {
    /// Of the devices below; taken out by whoever edits the file by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    #[serde(default)]
    device: Vec<DeviceSection>,
}

impl DeviceList {
    fn text(&self) -> String {
        toml::to_string(self).expect("a list of devices is TOML")
    }

    fn checksum(devices: &[DeviceSection]) -> String {
        let list = Self { checksum: None, device: devices.to_vec() };
        blake3::hash(list.text().as_bytes()).to_hex().to_string()
    }
}

impl DataDir {
    /// Takes a folder that was made before for this process; `None` if there is none yet, and one can be made there. Writes
    /// nothing but the lock's own content.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>, DataDirError> {
        let absolute = std::path::absolute(path).map_err(io("find", path))?;
        let path = absolute.as_path();
        match fs::metadata(path) {
            Ok(facts) if facts.is_dir() => {}
            Ok(_) => return Err(DataDirError::NoFolder { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("look at", path)(error)),
        }
        let format = path.join("FORMAT");
        match fs::read_to_string(&format) {
            Ok(text) => check_format(&format, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                refuse_foreign(path).map_err(io("read", path))?.map_or(Ok(()), Err)?;
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(DataDirError::Damaged { path: format, reason: "it is no text".to_owned() });
            }
            Err(error) => return Err(io("read", &format)(error)),
        }
        Ok(Some(Self { path: path.to_owned(), _lock: lock(path)?, fresh: false }))
    }

    /// Makes a folder that [`Self::find`] did not find.
    pub(crate) fn make(path: &Path) -> Result<Self, DataDirError> {
        let absolute = std::path::absolute(path).map_err(io("find", path))?;
        let path = absolute.as_path();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make", path))?;
        let lock = lock(path)?;
        // Synced before anything is stored: a folder with data always says what it is.
        let format = path.join("FORMAT");
        write_durably(&format, format!("{FORMAT_PREFIX}{FORMAT}\n").as_bytes(), 0o644)
            .map_err(io("write", &format))?;
        Ok(Self { path: path.to_owned(), _lock: lock, fresh: true })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this process made it.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The devices of earlier runs; `None` before the first start got that far.
    pub(crate) fn devices(&self) -> Result<Option<Vec<DeviceSection>>, DataDirError> {
        let path = self.path.join("devices.toml");
        match fs::read_to_string(&path) {
            Ok(text) => parse_devices(path, &text).map(Some),
            // The list is written before the cluster is made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match self.path.join("cluster.json").exists() {
                    true => Err(DataDirError::Missing { path }),
                    false => Ok(None),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => damaged(path, "it is no text"),
            Err(source) => Err(DataDirError::Io { what: "read", path, source }),
        }
    }

    /// Remembers the devices.
    pub(crate) fn set_devices(&self, devices: &[DeviceSection]) -> Result<(), DataDirError> {
        let path = self.path.join("devices.toml");
        let text = format_devices(devices);
        let head = "# The device folders of this cluster; changed by `ringfort device add` and `remove`.\n\
                    # To edit it by hand (after a mount moved), stop ringfort and take the checksum line out.\n\n";
        write_durably(&path, format!("{head}{text}").as_bytes(), 0o644).map_err(io("write", &path))
    }
}

/// An I/O error with what was tried and where.
fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io { what, path, source }
}

/// Whether `path` holds somebody else's files.
fn refuse_foreign(path: &Path) -> io::Result<Option<DataDirError>> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        // What a first start that was cut short may have left; and what a file system's root has.
        if name != "lock" && name != "lost+found" && !name.to_string_lossy().starts_with("FORMAT") {
            return Ok(Some(DataDirError::Foreign { path: path.to_owned() }));
        }
    }
    Ok(None)
}

/// The devices in the text of the file at `path`.
pub(crate) fn parse_devices(path: PathBuf, text: &str) -> Result<Vec<DeviceSection>, DataDirError> {
    match toml::from_str::<DeviceList>(text) {
        Ok(list) if list.device.is_empty() => damaged(path, "it names no device"),
        Ok(list) if list.checksum.as_ref().is_some_and(|sum| *sum != DeviceList::checksum(&list.device)) => {
            damaged(
                path,
                "its checksum does not match (if it was edited on purpose, take the checksum line out)",
            )
        }
        Ok(list) => Ok(list.device),
        Err(error) => damaged(path, error.message()),
    }
}

fn damaged<T>(path: PathBuf, reason: &str) -> Result<T, DataDirError> {
    Err(DataDirError::Damaged { path, reason: reason.to_owned() })
}

/// The text of a list of devices.
pub(crate) fn format_devices(devices: &[DeviceSection]) -> String {
    let checksum = Some(DeviceList::checksum(devices));
    DeviceList { checksum, device: devices.to_vec() }.text()
}

/// Whether a folder whose `FORMAT`, at `path`, reads so can be used.
pub(crate) fn check_format(path: &Path, text: &str) -> Result<(), DataDirError> {
    let number = text.trim_end().strip_prefix(FORMAT_PREFIX).and_then(|digits| digits.parse::<u32>().ok());
    match number {
        Some(1..=FORMAT) => Ok(()),
        Some(found @ FORMAT..) => Err(DataDirError::NewerFormat { path: path.to_owned(), found }),
        _ => Err(DataDirError::Damaged {
            path: path.to_owned(),
            reason: format!("it does not read `{FORMAT_PREFIX}N`"),
        }),
    }
}

fn lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join("lock");
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(io("lock", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u32>().ok());
            let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            return Err(DataDirError::InUse { path: dir.to_owned(), pid });
        }
        Err(error) => return Err(io("lock", &path)(error.into())),
    }
    // For the words of a refusal only: on a full disk the start goes on without.
    if let Err(error) = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
        tracing::debug!(%error, path = %path.display(), "the lock does not name its holder");
    }
    Ok(file)
}

/// Writes a file so that after a crash at any moment either the old or the new content is there, whole: data, fsync,
/// rename, directory fsync.
pub(crate) fn write_durably(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let temporary = dir.join(name);
    // Made anew, so that the mode holds from the first byte on.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        // Half a file is of no use to anybody; what it was to replace is still whole.
        fs::remove_file(&temporary).ok();
        return Err(error);
    }
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(path: &str) -> DeviceSection {
        DeviceSection {
            path: path.into(),
            region: None,
            zone: Some("z".into()),
            node: None,
            weight: Some(1.5),
        }
    }

    #[test]
    fn a_folder_is_made_kept_and_locked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        assert!(DataDir::find(&path).unwrap().is_none());
        assert!(!path.exists(), "looking makes nothing");
        let first = DataDir::make(&path).unwrap();
        assert!(first.is_fresh() && first.devices().unwrap().is_none());
        let again = DataDir::find(&path).unwrap_err();
        assert!(again.to_string().contains(&format!("(pid {})", std::process::id())), "{again}");
        first.set_devices(&[device("d1")]).unwrap();
        drop(first);
        let second = DataDir::find(&path).unwrap().unwrap();
        assert!(!second.is_fresh());
        assert_eq!(second.devices().unwrap(), Some(vec![device("d1")]));
    }

    #[test]
    fn strange_folders_are_refused_in_words() {
        for (name, content, wanted) in [
            ("FORMAT", &b"ringfort data folder, format 2\n"[..], "start a newer one"),
            ("FORMAT", b"ringfort data folder, format x\n", "is damaged"),
            ("FORMAT", b"", "is damaged"),
            ("FORMAT", b"\xff\xfe", "is damaged"),
            ("thesis.tex", b"precious", "left alone"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), content).unwrap();
            let error = DataDir::find(dir.path()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
            assert_eq!(fs::read(dir.path().join(name)).unwrap(), content);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was added");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(DataDir::find(file.path()), Err(DataDirError::NoFolder { .. })));
    }

    #[test]
    fn any_change_of_the_device_list_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataDir::make(&dir.path().join("data")).unwrap();
        let wanted = vec![device("device-1"), device("/mnt/b")];
        folder.set_devices(&wanted).unwrap();
        let path = folder.path().join("devices.toml");
        let good = fs::read(&path).unwrap();
        let begins = good.windows(8).position(|window| window == b"checksum").unwrap();
        for at in begins..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            // White space and digits of equal value may differ; the devices may not.
            assert!(
                folder.devices().is_err() || folder.devices().unwrap() == Some(wanted.clone()),
                "byte {at}"
            );
            fs::write(&path, &good[..at]).unwrap();
            assert!(folder.devices().is_err() || at + 1 == good.len(), "cut to {at}");
        }
        let good = String::from_utf8(good).unwrap();
        let by_hand = good.lines().filter(|line| !line.starts_with("checksum"));
        let by_hand: Vec<String> = by_hand.map(|line| line.replace("/mnt/b", "/mnt/c")).collect();
        fs::write(&path, by_hand.join("\n")).unwrap();
        assert_eq!(folder.devices().unwrap(), Some(vec![device("device-1"), device("/mnt/c")]));
        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join("cluster.json"), "").unwrap();
        assert!(matches!(folder.devices(), Err(DataDirError::Missing { .. })));
    }
}
