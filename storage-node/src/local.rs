//! The devices of this process: folders, engines, and what a look at a folder tells.

use crate::identity::{DeviceIdentity, STORE_DIR, Store, is_blank};
use crate::{DeviceConfig, NodeConfig, NodeError};
use ringfort_core::DeviceId;
use ringfort_engine::{Engine, EngineConfig, EngineError, OpenReport, SharedMemory};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What this process has of a device.
#[derive(Clone)]
pub(crate) enum LocalState {
    /// Open.
    Open(Engine),
    /// Failed for good: stays out until its folder is replaced.
    Failed(String),
    /// Its folder is not there or not ours.
    Absent(String),
}

/// One device folder this process was given.
#[derive(Clone)]
pub(crate) struct LocalDevice {
    pub(crate) path: PathBuf,
    pub(crate) state: LocalState,
    /// Device and inode number of the engine's folder while it is open: a folder that was deleted and made again differs.
    pub(crate) opened: Option<(u64, u64)>,
    /// Since when it is away, by the process's clock.
    pub(crate) away_since: Option<Duration>,
}

impl LocalDevice {
    pub(crate) fn engine(&self) -> Option<&Engine> {
        match &self.state {
            LocalState::Open(engine) => Some(engine),
            LocalState::Failed(_) | LocalState::Absent(_) => None,
        }
    }
}

/// What a device folder is found to be.
pub(crate) enum Folder {
    /// A device of this cluster.
    Ours(DeviceIdentity),
    /// A device of this cluster whose stored files were removed: opening it would make an empty device of the old name.
    Emptied(DeviceIdentity),
    /// Nothing is in it, or it is not there.
    Blank,
    /// Something is in it that cannot be used, for this reason.
    Unusable(NodeError),
}

/// Looks at a folder.
///
/// # Errors
/// Only what must stop the start whatever the cluster knows of the folder: another cluster, a newer format.
pub(crate) fn look(folder: &Path, cluster: &str) -> Result<Folder, NodeError> {
    match DeviceIdentity::load(folder) {
        Ok(Some(identity)) if identity.cluster != cluster => Err(NodeError::OtherCluster {
            path: folder.to_owned(),
            found: identity.cluster,
            wanted: cluster.to_owned(),
        }),
        Ok(Some(identity)) => match Store::of(folder) {
            Ok(Store::Empty) => Ok(Folder::Emptied(identity)),
            Ok(Store::Formatted | Store::Remains) => Ok(Folder::Ours(identity)),
            Err(error) => Ok(Folder::Unusable(error)),
        },
        Ok(None) => match is_blank(folder) {
            Ok(true) => Ok(Folder::Blank),
            Ok(false) => Ok(Folder::Unusable(NodeError::NotADevice { path: folder.to_owned() })),
            Err(error) => Ok(Folder::Unusable(error)),
        },
        Err(error @ NodeError::NewerFormat { .. }) => Err(error),
        Err(error) => Ok(Folder::Unusable(error)),
    }
}

/// Makes a blank folder the device `identity`.
pub(crate) fn format(folder: &Path, identity: &DeviceIdentity) -> Result<(), NodeError> {
    let store = folder.join(STORE_DIR);
    fs::create_dir_all(&store).map_err(|source| NodeError::io("create", &store, source))?;
    if let Some(parent) = folder.parent() {
        let synced = fs::File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(|source| NodeError::io("sync", parent, source))?;
    }
    identity.save(folder)
}

/// What opening a device's engine gave.
pub(crate) struct OpenedEngine {
    pub(crate) engine: Engine,
    pub(crate) report: OpenReport,
    /// Device and inode number of its folder.
    pub(crate) place: Option<(u64, u64)>,
}

/// How long an engine's folder may be in use by another before that is an error.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// Pause between two tries.
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// Opens the engine of a device folder; a damaged index is rebuilt from the log.
pub(crate) fn open_engine(
    device: DeviceId,
    folder: &Path,
    config: EngineConfig,
) -> Result<OpenedEngine, NodeError> {
    let store = folder.join(STORE_DIR);
    let begun = Instant::now();
    let mut opened = Engine::open(&store, config.clone());
    // Who was killed a moment ago, or has just closed the engine, may still be letting go of it.
    while matches!(opened, Err(EngineError::Locked)) && begun.elapsed() < LOCK_PATIENCE {
        std::thread::sleep(LOCK_AGAIN);
        opened = Engine::open(&store, config.clone());
    }
    let opened = match opened {
        Err(error @ EngineError::Locked) => {
            return Err(NodeError::Refused { reason: format!("{}: {error}", folder.display()) });
        }
        Err(EngineError::IndexDamaged { reason }) => {
            tracing::warn!(%device, reason, "the index is damaged and is rebuilt from the log");
            Engine::open(&store, config.rebuild_index())
        }
        other => other,
    };
    let (engine, report) = opened.map_err(|error| NodeError::engine(device, &error))?;
    let place = store_place(folder);
    tracing::info!(%device, path = %folder.display(), replayed = report.replayed, cut_bytes = report.cut_bytes,
        index_rebuilt = report.index_rebuilt, damage = report.damage.len(), "device opened");
    for damage in &report.damage {
        tracing::warn!(%device, extent = damage.extent, offset = damage.offset, what = damage.what, "damage in the log");
    }
    Ok(OpenedEngine { engine, report, place })
}

/// Whether a failed device failed for its index only, which can be rebuilt from the log: its disk did as it was told.
pub(crate) fn is_index_damage(reason: &str) -> bool {
    let damaged = EngineError::IndexDamaged { reason: String::new() }.to_string();
    reason.starts_with(damaged.trim_end())
}

/// Which folder the engine's files are in now; `None` if it is gone.
pub(crate) fn store_place(folder: &Path) -> Option<(u64, u64)> {
    let meta = fs::metadata(folder.join(STORE_DIR)).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// The disk (file system) a folder is on, or would be on once made.
pub(crate) fn disk_of(folder: &Path) -> Option<u64> {
    folder.ancestors().find_map(|path| fs::metadata(path).ok()).map(|meta| meta.dev())
}

/// Whether the folder is the root of a file system of its own.
pub(crate) fn is_own_mount(folder: &Path) -> bool {
    let (Ok(own), Some(parent)) = (fs::metadata(folder), folder.parent()) else { return false };
    fs::metadata(parent).is_ok_and(|parent| parent.dev() != own.dev())
}

/// The settings of every engine of this process.
pub(crate) fn engine_config(config: &NodeConfig) -> EngineConfig {
    let half = config.index_memory_bytes / 2;
    let mut engine = EngineConfig { shared: SharedMemory::new(half, half), ..EngineConfig::default() };
    engine.reserve_bytes = config.reserve_bytes.unwrap_or(engine.reserve_bytes);
    engine.extent_bytes = config.extent_bytes.unwrap_or(engine.extent_bytes);
    engine.capacity_bytes = config.capacity_bytes;
    engine
}

/// The name under which the cluster remembers a folder: relative to the data folder where it lies in it, so that the
/// whole can be moved.
pub(crate) fn path_name(data_dir: &Path, device: &DeviceConfig) -> String {
    device.path.strip_prefix(data_dir).unwrap_or(&device.path).to_string_lossy().into_owned()
}
