//! Opens the storage node and lays the object layer over it.

use crate::config::Settings;
use anyhow::Context;
use ringfort_core::Policy;
use ringfort_object::{ObjectStore, StoreConfig};
use ringfort_object_model::ObjectModel;
use ringfort_runtime::TaskGroup;
use ringfort_storage_node::{NodeConfig, StorageNode};
use std::path::Path;
use std::sync::Arc;

/// The opened storage.
pub(super) struct Storage {
    pub(super) node: StorageNode,
    pub(super) objects: ObjectStore,
}

/// What the storage node is told.
pub(super) fn config(settings: &Settings, data_dir: &Path) -> NodeConfig {
    let policies = settings.policies.iter().zip(0..);
    let policies =
        policies.map(|(redundancy, id)| Policy::new(id, &redundancy.to_string(), *redundancy)).collect();
    let mut config = NodeConfig::new(data_dir, settings.devices.clone(), policies);
    config.index_memory_bytes = settings.index_memory_bytes;
    config.reserve_bytes = settings.reserve_bytes;
    config.reconcile = settings.reconcile.clone();
    config
}

/// Opens the devices in `settings` and starts their voters and reconcilers.
pub(super) async fn open(settings: &Settings, data_dir: &Path, tasks: &TaskGroup) -> anyhow::Result<Storage> {
    let config = config(settings, data_dir);
    let node =
        StorageNode::open(config, Arc::new(ObjectModel::new())).await.context("cannot open the storage")?;
    let objects = ObjectStore::new(
        Arc::new(node.meta()),
        Arc::new(node.chunks()),
        node.policies(),
        tasks.child(),
        StoreConfig::default(),
    );
    node.set_directory(Arc::new(objects.clone()));
    Ok(Storage { node, objects })
}
