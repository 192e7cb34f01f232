//! A storage cluster in memory, behind the ports of the object layer.

use bytes::Bytes;
use parking_lot::Mutex;
use ringfort_core::{BlobId, HybridTime, Policy, Redundancy, SessionId, SlotId};
use ringfort_object::{ChunkPort, MetaPort, ObjectStore, PortError, PortFuture, StoreConfig};
use ringfort_object_model::{MemorySlot, ObjectModel};
use ringfort_runtime::TaskGroup;
use ringfort_storage_api::StateModel;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct MemoryCluster {
    slots: Mutex<HashMap<SlotId, MemorySlot>>,
    chunks: Mutex<BTreeMap<(BlobId, u32), Bytes>>,
    clock: Mutex<u64>,
}

impl MemoryCluster {
    /// A store over a new cluster.
    pub(crate) fn store(tasks: &TaskGroup) -> (Arc<Self>, ObjectStore) {
        let cluster = Arc::new(Self::default());
        let mut policy = Policy::new(0, "test", Redundancy::Replicated(1));
        policy.inline_bytes_max = 100;
        policy.chunk_bytes = 1000;
        let config = StoreConfig { reconcile_pause: Duration::ZERO, ..StoreConfig::default() };
        let store = ObjectStore::new(cluster.clone(), cluster.clone(), vec![policy], tasks.clone(), config);
        (cluster, store)
    }
}

impl MetaPort for MemoryCluster {
    fn execute(&self, slot: SlotId, command: Bytes, bodies: Vec<Bytes>) -> PortFuture<'_, Bytes> {
        Box::pin(async move {
            let mut slots = self.slots.lock();
            let mut clock = self.clock.lock();
            let stamp = HybridTime(*clock).advance(ringfort_runtime::wall_us());
            *clock = stamp.0;
            let slot = slots.entry(slot).or_insert_with(|| MemorySlot::new(slot));
            Ok(slot.apply(&ObjectModel, stamp, &command, bodies).into())
        })
    }

    fn query(&self, slot: SlotId, query: Bytes) -> PortFuture<'_, (Bytes, Option<Bytes>)> {
        Box::pin(async move {
            let mut slots = self.slots.lock();
            let slot = slots.entry(slot).or_insert_with(|| MemorySlot::new(slot));
            let answer = ObjectModel.query(slot, &query);
            let inline = answer.inline.map(|blob| slot.inline[&blob].clone());
            Ok((answer.reply.into(), inline))
        })
    }

    fn session(&self) -> SessionId {
        SessionId(1)
    }

    fn has_ended(&self, _: SessionId) -> PortFuture<'_, bool> {
        Box::pin(async move { Ok(false) })
    }
}

impl ChunkPort for MemoryCluster {
    fn write<'a>(&'a self, _: &'a Policy, blob: BlobId, number: u32, body: Vec<Bytes>) -> PortFuture<'a, ()> {
        Box::pin(async move {
            self.chunks.lock().insert((blob, number), body.concat().into());
            Ok(())
        })
    }

    fn read<'a>(
        &'a self,
        _: &'a Policy,
        blob: BlobId,
        number: u32,
        _: u32,
        range: Range<u32>,
    ) -> PortFuture<'a, Bytes> {
        Box::pin(async move {
            let chunk = self.chunks.lock().get(&(blob, number)).cloned();
            let chunk = chunk.ok_or_else(|| PortError::Unavailable("no such chunk".to_owned()))?;
            Ok(chunk.slice(range.start as usize..range.end as usize))
        })
    }

    fn delete<'a>(&'a self, _: &'a Policy, blob: BlobId) -> PortFuture<'a, ()> {
        Box::pin(async move {
            self.chunks.lock().retain(|(of, _), _| *of != blob);
            Ok(())
        })
    }
}
