//! Snapshots: taken when a voter needs one, streamed from the state of one voter into that of another, never stored.

use crate::MetaError;
use ringfort_core::BlobId;
use ringfort_engine::{GroupState, SnapshotItem, StateSnapshot};

/// Bytes of a snapshot in memory at once.
const PAGE_BYTES: usize = 1 << 20;

/// Where the bytes of a snapshot come from.
pub(crate) enum SnapshotSource {
    /// Nowhere: what openraft holds before it has one.
    Nothing,
    /// A live view of the state of the voter that gives it.
    Live(StateSnapshot),
}

/// Replaces `state` by the snapshot, at index `applied`. Blocks, within a tokio runtime.
pub(crate) fn install(state: &GroupState, source: SnapshotSource, applied: u64) -> Result<(), MetaError> {
    let SnapshotSource::Live(mut source) = source else {
        return Err(MetaError::Invalid { what: "an empty snapshot cannot be installed".to_owned() });
    };
    let runtime = tokio::runtime::Handle::current();
    let mut install = runtime.block_on(state.install())?;
    loop {
        let page = source.next_page(PAGE_BYTES)?;
        if page.is_empty() {
            break;
        }
        let mut records = Vec::new();
        let mut bodies: Vec<(BlobId, bytes::Bytes)> = Vec::new();
        for item in page {
            match item {
                SnapshotItem::Record { key, value } => records.push((key, value)),
                SnapshotItem::Inline { blob, body } => bodies.push((blob, body)),
            }
        }
        if !records.is_empty() {
            install.put(&records)?;
        }
        if !bodies.is_empty() {
            runtime.block_on(install.put_inline(bodies))?;
        }
    }
    runtime.block_on(install.finish(applied))?;
    Ok(())
}
