//! The engine on a simulated disk and an index in memory, held against a small model.

mod damage;
mod decoders;
mod directed;
mod golden;
mod model;
mod scenario;
mod sync_points;

use crate::disk::sim::SimDisk;
use crate::index::Index;
use crate::index::mem::MemIndex;
use crate::open::open_on;
use crate::{Engine, EngineConfig, EngineError, OpenReport};
use std::future::Future;
use std::sync::Arc;

/// Extents so small that a few operations fill one.
const EXTENT_BYTES: u64 = 16 << 10;

fn config() -> EngineConfig {
    EngineConfig {
        background: false,
        worker_threads: 1,
        entry_cache_bytes: 4 << 10,
        extent_bytes: EXTENT_BYTES,
        ..EngineConfig::small_for_tests()
    }
}

/// Opens an engine on a simulated disk.
fn open(disk: &SimDisk, index: &MemIndex, config: EngineConfig) -> Result<(Engine, OpenReport), EngineError> {
    let index = index.clone();
    let make = move |wipe: bool| -> Result<Box<dyn Index>, EngineError> {
        if wipe {
            index.wipe();
        }
        Ok(Box::new(index.clone()))
    };
    open_on(Arc::new(disk.clone()), &make, config)
}

/// Waits for one call of the engine.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
