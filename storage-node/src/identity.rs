//! Who a folder is: identity files of the process and of its devices.
//!
//! # Format, version 1
//!
//! Both files are one JSON object. `format` is read before anything else is believed, so any later version can be named by
//! an older program; `checksum` is the blake3 hash (hex) of the other fields' values in the order given, joined by `\n`.
//!
//! ```text
//! DATA/cluster.json    format, cluster (32 hex digits), seed (64 hex digits, of the ring), formed (bool), checksum
//! DEVICE/device.json   format, cluster, device, incarnation, voter, checksum
//! DEVICE/store/        the engine's files
//! DEVICE/store.left-1  what an incomplete removal left of an earlier store
//! ```
//!
//! Files are replaced by writing a new one, syncing it, renaming it over the old one and syncing the folder, in this order:
//! a crash leaves the old or the new file, never half of one.

use crate::NodeError;
use ringfort_core::{DeviceId, Incarnation, VoterId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The newest format of identity files this program knows.
const FORMAT: u32 = 1;
const CLUSTER_FILE: &str = "cluster.json";
const DEVICE_FILE: &str = "device.json";
/// The folder, within a device folder, that the engine owns.
pub(crate) const STORE_DIR: &str = "store";
/// Names of stores that were set aside begin so.
const LEFT_PREFIX: &str = "store.left-";

/// The cluster a data folder belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterIdentity {
    format: u32,
    pub(crate) cluster: String,
    pub(crate) seed: String,
    /// Whether the first start was completed.
    pub(crate) formed: bool,
    checksum: String,
}

/// The device a folder holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceIdentity {
    format: u32,
    pub(crate) cluster: String,
    pub(crate) device: DeviceId,
    pub(crate) incarnation: Incarnation,
    pub(crate) voter: VoterId,
    checksum: String,
}

/// What both files have.
pub(crate) trait Identity: Serialize + DeserializeOwned {
    /// What to do when the file is damaged.
    const REMEDY: &str;

    /// The checksum of the other fields.
    fn sum(&self) -> String;
    /// The checksum as stored.
    fn checksum(&self) -> &str;
}

fn sum_of(fields: &[&dyn std::fmt::Display]) -> String {
    let text: Vec<String> = fields.iter().map(ToString::to_string).collect();
    blake3::hash(text.join("\n").as_bytes()).to_hex().to_string()
}

impl Identity for ClusterIdentity {
    const REMEDY: &str = "put back a copy of it";

    fn sum(&self) -> String {
        sum_of(&[&self.format, &self.cluster, &self.seed, &self.formed])
    }

    fn checksum(&self) -> &str {
        &self.checksum
    }
}

impl Identity for DeviceIdentity {
    const REMEDY: &str =
        "put back a copy of it, or empty the folder to have the device rebuilt from the others";

    fn sum(&self) -> String {
        sum_of(&[&self.format, &self.cluster, &self.device, &self.incarnation, &self.voter])
    }

    fn checksum(&self) -> &str {
        &self.checksum
    }
}

impl ClusterIdentity {
    /// A new cluster.
    pub(crate) fn new() -> Self {
        let cluster = uuid::Uuid::new_v4().simple().to_string();
        let secret = uuid::Uuid::new_v4();
        let seed = blake3::keyed_hash(blake3::hash(cluster.as_bytes()).as_bytes(), secret.as_bytes());
        Self::seal(cluster, seed.to_hex().to_string(), false)
    }

    fn seal(cluster: String, seed: String, formed: bool) -> Self {
        let mut identity = Self { format: FORMAT, cluster, seed, formed, checksum: String::new() };
        identity.checksum = identity.sum();
        identity
    }

    /// The same cluster, whose first start is complete.
    pub(crate) fn formed(self) -> Self {
        Self::seal(self.cluster, self.seed, true)
    }

    /// The ring's seed.
    pub(crate) fn ring_seed(&self, data_dir: &Path) -> Result<[u8; 32], NodeError> {
        blake3::Hash::from_hex(&self.seed).map(|hash| *hash.as_bytes()).map_err(|error| NodeError::Damaged {
            path: data_dir.join(CLUSTER_FILE),
            reason: format!("the seed: {error}"),
        })
    }

    /// Where `data_dir` has it.
    pub(crate) fn file(data_dir: &Path) -> PathBuf {
        data_dir.join(CLUSTER_FILE)
    }

    /// The identity in `data_dir`; `None` if there is none yet.
    pub(crate) fn load(data_dir: &Path) -> Result<Option<Self>, NodeError> {
        load(&data_dir.join(CLUSTER_FILE))
    }

    pub(crate) fn save(&self, data_dir: &Path) -> Result<(), NodeError> {
        save(data_dir, CLUSTER_FILE, self)
    }
}

impl DeviceIdentity {
    pub(crate) fn new(cluster: &str, device: DeviceId, incarnation: Incarnation, voter: VoterId) -> Self {
        let mut identity = Self {
            format: FORMAT,
            cluster: cluster.to_owned(),
            device,
            incarnation,
            voter,
            checksum: String::new(),
        };
        identity.checksum = identity.sum();
        identity
    }

    /// The identity in a device folder; `None` if the folder or the file is not there.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, NodeError> {
        load(&folder.join(DEVICE_FILE))
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<(), NodeError> {
        save(folder, DEVICE_FILE, self)
    }
}

/// What a look at the engine's folder tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// The engine formatted it.
    Formatted,
    /// It holds nothing of the engine's log.
    Empty,
    /// Its header is gone, but other files of the log are there: a removal that did not get everything.
    Remains,
}

impl Store {
    pub(crate) fn of(folder: &Path) -> Result<Self, NodeError> {
        let log = folder.join(STORE_DIR).join("log");
        let mut state = Self::Empty;
        for name in names(&log)? {
            match name.as_str() {
                "FORMAT" => return Ok(Self::Formatted),
                "FORMAT.new" | "spare" => {}
                _ => state = Self::Remains,
            }
        }
        Ok(state)
    }
}

/// Whether the folder is absent or holds nothing: what a formatting cut short leaves, what was set aside, and a
/// `lost+found`, do not count.
pub(crate) fn is_blank(folder: &Path) -> Result<bool, NodeError> {
    let counts = |name: &String| {
        !(name == "lost+found"
            || name == "device.json.new"
            || name == STORE_DIR
            || name.starts_with(LEFT_PREFIX))
    };
    Ok(!names(folder)?.iter().any(counts) && Store::of(folder)? == Store::Empty)
}

/// Moves what an incomplete removal left of a device's store out of the way, under a name of its own: nothing is deleted.
pub(crate) fn set_remains_aside(folder: &Path) -> Result<(), NodeError> {
    let taken = names(folder)?;
    let free =
        (1..).map(|n| format!("{LEFT_PREFIX}{n}")).find(|name| !taken.contains(name)).unwrap_or_default();
    let store = folder.join(STORE_DIR);
    fs::rename(&store, folder.join(free)).map_err(|source| NodeError::io("rename", &store, source))
}

/// The names in a folder; none if it is not there.
fn names(folder: &Path) -> Result<Vec<String>, NodeError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(NodeError::io("list", folder, source)),
    };
    let name = |entry: io::Result<fs::DirEntry>| {
        entry
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .map_err(|e| NodeError::io("list", folder, e))
    };
    entries.map(name).collect()
}

fn load<T: Identity>(path: &Path) -> Result<Option<T>, NodeError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(NodeError::io("read", path, source)),
    };
    parse(path, &bytes).map(Some)
}

/// The identity in the bytes of the file at `path`.
pub(crate) fn parse<T: Identity>(path: &Path, bytes: &[u8]) -> Result<T, NodeError> {
    let damaged = |reason: String| {
        let reason = format!("{reason}: {}", T::REMEDY);
        NodeError::Damaged { path: path.to_owned(), reason }
    };
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    let format = format.and_then(|format| u32::try_from(format).ok());
    let format = format.ok_or_else(|| damaged("it names no format".to_owned()))?;
    if format > FORMAT {
        return Err(NodeError::NewerFormat { path: path.to_owned(), found: format, known: FORMAT });
    }
    let identity: T = serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
    if identity.sum() != identity.checksum() {
        return Err(damaged("its checksum does not match".to_owned()));
    }
    Ok(identity)
}

fn save<T: Identity>(folder: &Path, name: &str, identity: &T) -> Result<(), NodeError> {
    let path = folder.join(name);
    let mut bytes = serde_json::to_vec_pretty(identity)
        .map_err(|error| NodeError::Damaged { path: path.clone(), reason: error.to_string() })?;
    bytes.push(b'\n');
    durable_replace(folder, name, &bytes).map_err(|source| NodeError::io("write", &path, source))
}

/// Makes `name` in `folder` hold `bytes`, durably and at once.
fn durable_replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let fresh = folder.join(format!("{name}.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, folder.join(name))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(DeviceIdentity::load(dir.path()).unwrap(), None);
        assert!(is_blank(dir.path()).unwrap());
        let identity = DeviceIdentity::new("c", DeviceId(7), Incarnation(2), VoterId(9));
        identity.save(dir.path()).unwrap();
        assert!(!is_blank(dir.path()).unwrap());
        assert_eq!(DeviceIdentity::load(dir.path()).unwrap(), Some(identity));

        let path = dir.path().join(DEVICE_FILE);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"device\": 7", "\"device\": 8")).unwrap();
        assert!(matches!(DeviceIdentity::load(dir.path()), Err(NodeError::Damaged { .. })));
        fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        assert!(matches!(DeviceIdentity::load(dir.path()), Err(NodeError::NewerFormat { found: 2, .. })));
        fs::write(&path, "{").unwrap();
        assert!(matches!(DeviceIdentity::load(dir.path()), Err(NodeError::Damaged { .. })));
    }

    #[test]
    fn an_incomplete_removal_is_told_from_a_blank_folder() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("store/log");
        fs::create_dir_all(&log).unwrap();
        fs::write(log.join("spare"), "").unwrap();
        assert!(is_blank(dir.path()).unwrap());
        fs::write(log.join("0001"), "data").unwrap();
        assert!(!is_blank(dir.path()).unwrap());
        assert_eq!(Store::of(dir.path()).unwrap(), Store::Remains);
        set_remains_aside(dir.path()).unwrap();
        assert!(is_blank(dir.path()).unwrap());
        assert!(dir.path().join("store.left-1/log/0001").exists());
        fs::create_dir_all(&log).unwrap();
        fs::write(log.join("FORMAT"), "").unwrap();
        assert_eq!(Store::of(dir.path()).unwrap(), Store::Formatted);
        assert!(!is_blank(dir.path()).unwrap());
        set_remains_aside(dir.path()).unwrap();
        assert!(dir.path().join("store.left-2/log/FORMAT").exists());
    }

    #[test]
    fn a_cluster_keeps_its_seed() {
        let dir = tempfile::tempdir().unwrap();
        let new = ClusterIdentity::new();
        new.save(dir.path()).unwrap();
        let formed = new.clone().formed();
        formed.save(dir.path()).unwrap();
        let loaded = ClusterIdentity::load(dir.path()).unwrap().unwrap();
        assert_eq!(loaded, formed);
        assert_eq!(loaded.ring_seed(dir.path()).unwrap(), new.ring_seed(dir.path()).unwrap());
        assert_ne!(ClusterIdentity::new().seed, new.seed);
    }
}
