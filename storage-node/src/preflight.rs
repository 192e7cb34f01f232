//! Are the folders of a first start fit to become devices? Asked before anything is written, so that a mistake on the
//! command line leaves no trace: nothing is made, formatted or remembered, and every fault is told at once.

use crate::identity::{DeviceIdentity, is_blank};
use crate::{DeviceConfig, NodeConfig};
use ringfort_engine::EngineConfig;
use rustix::fs::{Access, access, statvfs};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Extents a device needs before it can take anything: the one that is written and the one set aside.
const EXTENTS_MIN: u64 = 2;

/// A folder that can't become a device, and why, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderFault {
    /// The folder as it was given.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl NodeConfig {
    /// Every reason why the folders can't become the devices of a new cluster. Blocks; writes nothing.
    #[must_use]
    pub fn folder_faults(&self) -> Vec<FolderFault> {
        let mut faults = Vec::new();
        let mut add = |device: &DeviceConfig, reason: String| {
            faults.push(FolderFault { path: device.path.clone(), reason });
        };
        let places: Vec<PathBuf> = self.devices.iter().map(|device| real(&device.path)).collect();
        let data_dir = real(&self.data_dir);
        for (at, device) in self.devices.iter().enumerate() {
            let place = &places[at];
            let reason = apart(place, &places[..at], &data_dir).or_else(|| unfit(&device.path));
            if let Some(reason) = reason {
                add(device, reason);
            }
        }
        if faults.is_empty() { self.disks_too_small() } else { faults }
    }

    /// Devices on disks without the room that even an empty device takes.
    fn disks_too_small(&self) -> Vec<FolderFault> {
        let engine = EngineConfig::default();
        let reserve = self.reserve_bytes.unwrap_or(engine.reserve_bytes);
        let extents = EXTENTS_MIN * self.extent_bytes.unwrap_or(engine.extent_bytes);
        let mut disks: BTreeMap<u64, Vec<&DeviceConfig>> = BTreeMap::new();
        for device in &self.devices {
            if let Some(disk) = crate::local::disk_of(&device.path) {
                disks.entry(disk).or_default().push(device);
            }
        }
        let mut faults = Vec::new();
        for devices in disks.values() {
            let needed = reserve + extents * devices.len() as u64;
            let first = &devices[0].path;
            let Ok(space) = statvfs(existing(first)) else { continue };
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            if free < needed {
                let count = devices.len();
                let reason = format!(
                    "its disk has {} MiB free, and {count} device(s) there need {} MiB to begin with: free some, use \
                     another disk, or lower the reserve ({} MiB)",
                    free >> 20,
                    needed.div_ceil(1 << 20),
                    reserve >> 20
                );
                faults.push(FolderFault { path: first.clone(), reason });
            }
        }
        faults
    }
}

/// Why a device can't be at `place`, for what the others and the data folder are.
fn apart(place: &Path, earlier: &[PathBuf], data_dir: &Path) -> Option<String> {
    if place == data_dir {
        return Some("it is the data folder itself: give a folder inside it, or elsewhere".to_owned());
    }
    if data_dir.starts_with(place) {
        return Some("the data folder lies in it: a device folder is the device's alone".to_owned());
    }
    if earlier.iter().any(|other| other == place) {
        return Some("it is given twice: each device has a folder of its own".to_owned());
    }
    let nested = earlier.iter().find(|other| place.starts_with(other) || other.starts_with(place))?;
    Some(format!("it and {} lie within each other: a device folder is the device's alone", nested.display()))
}

/// Why a folder can't be formatted.
fn unfit(folder: &Path) -> Option<String> {
    let there = existing(folder);
    match fs::metadata(there) {
        Ok(meta) if !meta.is_dir() => {
            return Some(format!("{} is not a folder: give another path", there.display()));
        }
        Ok(_) => {}
        Err(error) => return Some(format!("cannot look at {}: {error}", there.display())),
    }
    match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => {}
        Err(rustix::io::Errno::ROFS) => {
            return Some(format!("{} is on a read-only file system: mount it writable", there.display()));
        }
        Err(error) => {
            return Some(format!(
                "cannot write to {}: {error}: give this user access to it, or run as another user",
                there.display()
            ));
        }
    }
    match DeviceIdentity::load(folder) {
        Ok(Some(identity)) => Some(format!(
            "it belongs to cluster {} already, as device {}, and was left alone: start that cluster's data folder, or give \
             an empty folder",
            identity.cluster, identity.device
        )),
        Ok(None) => match is_blank(folder) {
            Ok(true) => None,
            Ok(false) => {
                Some("it is not empty and no device, and was left alone: give an empty folder".to_owned())
            }
            Err(error) => Some(error.in_full()),
        },
        Err(error) => Some(error.in_full()),
    }
}

/// The longest part of a path that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| fs::symlink_metadata(path).is_ok()).unwrap_or(Path::new("/"))
}

/// The one name of a path: links followed, and `..` taken out of what is not there yet.
fn real(path: &Path) -> PathBuf {
    let there = existing(path);
    let mut real = fs::canonicalize(there).unwrap_or_else(|_| there.to_owned());
    for part in path.strip_prefix(there).unwrap_or(Path::new("")).components() {
        match part {
            Component::ParentDir => {
                real.pop();
            }
            part => real.push(part),
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_core::{DeviceId, Incarnation, Policy, Redundancy, VoterId};

    fn faults(data_dir: &Path, devices: &[PathBuf]) -> Vec<String> {
        let devices = devices.iter().map(DeviceConfig::new).collect();
        let policy = Policy::new(0, "p", Redundancy::Replicated(1));
        let config = NodeConfig::new(data_dir, devices, vec![policy]);
        config.folder_faults().into_iter().map(|fault| fault.reason).collect()
    }

    fn check(data_dir: &Path, devices: &[PathBuf], wanted: &str) {
        let found = faults(data_dir, devices);
        assert!(found.iter().any(|reason| reason.contains(wanted)), "no `{wanted}` in {found:?}");
    }

    #[test]
    fn folders_that_cannot_be_devices_are_told_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (root, data) = (dir.path(), dir.path().join("data"));
        assert_eq!(faults(&data, &[root.join("a"), root.join("b/c")]), Vec::<String>::new());
        assert_eq!(fs::read_dir(root).unwrap().count(), 0, "nothing was made");

        check(&data, &[root.join("a"), root.join("b/../a")], "given twice");
        check(&data, &[root.join("a"), root.join("a/b")], "within each other");
        check(&data, std::slice::from_ref(&data), "the data folder itself");
        check(&data, &[root.to_owned()], "the data folder lies in it");
        fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        check(&data, &[root.join("real"), root.join("link")], "given twice");
        fs::write(root.join("file"), "").unwrap();
        check(&data, &[root.join("file")], "not a folder");
        check(&data, &[root.join("file/below")], "not a folder");
        fs::write(root.join("real/thesis.tex"), "precious").unwrap();
        check(&data, &[root.join("real")], "not empty");
        fs::create_dir(root.join("other")).unwrap();
        let identity = DeviceIdentity::new("c0ffee", DeviceId(3), Incarnation(1), VoterId(3));
        identity.save(&root.join("other")).unwrap();
        check(&data, &[root.join("other")], "belongs to cluster c0ffee already, as device 3");
        // All of them at once.
        assert_eq!(faults(&data, &[root.join("file"), root.join("real"), root.join("other")]).len(), 3);
    }

    #[test]
    fn a_disk_without_room_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let policy = Policy::new(0, "p", Redundancy::Replicated(1));
        let device = DeviceConfig::new(dir.path().join("a"));
        let mut config = NodeConfig::new(dir.path().join("data"), vec![device], vec![policy]);
        config.reserve_bytes = Some(1 << 60);
        let found = config.folder_faults();
        assert!(found[0].reason.contains("MiB free"), "{found:?}");
    }
}
