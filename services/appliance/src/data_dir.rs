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
    #[error("{path} is in use by another ringfort process (pid {pid})", path = path.display())]
    InUse { path: PathBuf, pid: String },
    #[error("{path} has format {found}; this program knows formats up to {FORMAT}: start a newer one", path = path.display())]
    NewerFormat { path: PathBuf, found: u32 },
    #[error("{path} is damaged: {reason}", path = path.display())]
    Damaged { path: PathBuf, reason: String },
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
    device: Vec<DeviceSection>,
}

impl DataDir {
    /// Takes the folder for this process, making it on the first start.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { what, path, source }
        };
        let absolute = std::path::absolute(path).map_err(io("find", path))?;
        let path = absolute.as_path();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make", path))?;
        let format = path.join("FORMAT");
        let fresh = match fs::read_to_string(&format) {
            Ok(text) => check_format(&format, &text).map(|()| false)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(DataDirError::Damaged { path: format, reason: "it is no text".to_owned() });
            }
            Err(error) => return Err(io("read", &format)(error)),
        };
        if fresh {
            refuse_foreign(path).map_err(io("read", path))?.map_or(Ok(()), Err)?;
        }
        let lock = lock(path)?;
        if fresh {
            // Synced before anything is stored: a folder with data always says what it is.
            write_durably(&format, format!("{FORMAT_PREFIX}{FORMAT}\n").as_bytes(), 0o644)
                .map_err(io("write", &format))?;
        }
        Ok(Self { path: path.to_owned(), _lock: lock, fresh })
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataDirError::Io { what: "read", path, source }),
        }
    }

    /// Remembers the devices.
    pub(crate) fn set_devices(&self, devices: &[DeviceSection]) -> Result<(), DataDirError> {
        let path = self.path.join("devices.toml");
        let text = format_devices(devices);
        let head = "# The device folders of this cluster; changed by `ringfort device add` and `remove`.\n\n";
        write_durably(&path, format!("{head}{text}").as_bytes(), 0o644).map_err(|source| DataDirError::Io {
            what: "write",
            path,
            source,
        })
    }
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
        Ok(list) if !list.device.is_empty() => Ok(list.device),
        Ok(_) => Err(DataDirError::Damaged { path, reason: "it names no device".to_owned() }),
        Err(error) => Err(DataDirError::Damaged { path, reason: error.to_string() }),
    }
}

/// The text of a list of devices.
pub(crate) fn format_devices(devices: &[DeviceSection]) -> String {
    toml::to_string(&DeviceList { device: devices.to_vec() }).expect("a list of devices is TOML")
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
    let io = |source| DataDirError::Io { what: "lock", path: path.clone(), source };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let pid = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
            return Err(DataDirError::InUse { path: dir.to_owned(), pid });
        }
        Err(error) => return Err(io(error.into())),
    }
    file.set_len(0).map_err(io)?;
    writeln!(file, "{}", std::process::id()).map_err(io)?;
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
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_kept_and_locked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = DataDir::open(&path).unwrap();
        assert!(first.is_fresh() && first.devices().unwrap().is_none());
        assert!(matches!(DataDir::open(&path), Err(DataDirError::InUse { .. })));
        let device = DeviceSection {
            path: "d1".into(),
            region: None,
            zone: Some("z".into()),
            node: None,
            weight: None,
        };
        first.set_devices(std::slice::from_ref(&device)).unwrap();
        drop(first);
        let second = DataDir::open(&path).unwrap();
        assert!(!second.is_fresh());
        assert_eq!(second.devices().unwrap(), Some(vec![device]));
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
            let error = DataDir::open(dir.path()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
            assert_eq!(fs::read(dir.path().join(name)).unwrap(), content);
        }
    }
}
