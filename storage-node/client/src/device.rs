//! One piece on one device: what an engine's answer means for the chunk it belongs to.

use crate::view::DeviceHandle;
use bytes::Bytes;
use ringfort_core::{BlobId, ChunkKey, ErrorKind};
use ringfort_engine::{ChunkInfo, Engine, EngineError, IoClass};
use std::ops::Range;

/// Why a device did not serve or take a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The device answers, and has no such piece.
    Missing,
    /// The piece is there and fails its checksum.
    Damaged,
    /// The device has no room.
    Full,
    /// A piece of that name with other bytes is there.
    Conflict,
    /// The device does not answer.
    Down,
}

impl Fault {
    fn of(error: &EngineError) -> Self {
        match error.kind() {
            // A range outside the piece means that it is not as long as it should be: not the piece that is looked for.
            ErrorKind::NotFound | ErrorKind::Invalid => Self::Missing,
            ErrorKind::Corrupt => Self::Damaged,
            ErrorKind::NoSpace => Self::Full,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Denied | ErrorKind::OverQuota | ErrorKind::Unavailable | ErrorKind::Internal => {
                Self::Down
            }
        }
    }
}

/// Reads a range of a piece.
pub(crate) async fn read(device: &DeviceHandle, key: ChunkKey, range: Range<u32>) -> Result<Bytes, Fault> {
    let engine = device.engine().ok_or(Fault::Down)?;
    let wanted = (range.end - range.start) as usize;
    match engine.read_chunk(key, range).await {
        Ok(bytes) if bytes.len() == wanted => Ok(bytes),
        Ok(_) => Err(Fault::Missing),
        Err(error) => Err(note(device, key, "read", &error)),
    }
}

/// Stores a piece durably, waiting for room among the bytes on their way to the device.
pub(crate) async fn put(
    device: &DeviceHandle,
    key: ChunkKey,
    body: Vec<Bytes>,
    class: IoClass,
) -> Result<(), Fault> {
    let Some(engine) = device.writable() else {
        return Err(if device.engine().is_some() { Fault::Full } else { Fault::Down });
    };
    let bytes = body.iter().map(Bytes::len).sum();
    let _room = device.admit(bytes).await.ok_or(Fault::Down)?;
    engine.put_chunk(key, body, class).await.map_err(|error| note(device, key, "store", &error))
}

/// Stores a good piece over a damaged one.
pub(crate) async fn replace(device: &DeviceHandle, key: ChunkKey, body: Vec<Bytes>) -> Result<(), Fault> {
    let engine = device.engine().ok_or(Fault::Down)?;
    let bytes = body.iter().map(Bytes::len).sum();
    let _room = device.admit(bytes).await.ok_or(Fault::Down)?;
    engine.replace_chunk(key, body).await.map_err(|error| note(device, key, "replace", &error))
}

/// Lets go of a piece that is stored where it does not belong; the blob's other pieces on the device stay, and the same
/// piece may come back.
pub(crate) async fn drop_piece(device: &DeviceHandle, key: ChunkKey) -> Result<(), Fault> {
    let engine = device.engine().ok_or(Fault::Down)?;
    engine.drop_chunk(key).await.map_err(|error| note(device, key, "drop", &error))
}

/// Whether the piece passes all its checksums.
pub(crate) async fn verify(device: &DeviceHandle, key: ChunkKey) -> Result<(), Fault> {
    let engine = device.engine().ok_or(Fault::Down)?;
    engine.verify_chunk(key).await.map_err(|error| note(device, key, "verify", &error))
}

/// The pieces of one chunk on one device. Blocks on the index.
pub(crate) fn pieces(
    engine: &Engine,
    blob: BlobId,
    number: u32,
) -> Result<Vec<(ChunkKey, ChunkInfo)>, EngineError> {
    let first = ChunkKey { blob, number, fragment: 0 };
    let mut found = Vec::new();
    let mut after = before(first);
    loop {
        let page = engine.list_chunks(after, PIECES_PAGE)?;
        let more = page.len() == PIECES_PAGE;
        for (key, info) in page {
            if key.blob != blob || key.number != number {
                return Ok(found);
            }
            after = Some(key);
            found.push((key, info));
        }
        if !more {
            return Ok(found);
        }
    }
}

const PIECES_PAGE: usize = 16;

/// The greatest key below `key`, which has fragment 0; `None` for the first key there is.
fn before(key: ChunkKey) -> Option<ChunkKey> {
    if let Some(number) = key.number.checked_sub(1) {
        return Some(ChunkKey { blob: key.blob, number, fragment: u8::MAX });
    }
    let blob = u128::from_be_bytes(*key.blob.as_bytes()).checked_sub(1)?;
    Some(ChunkKey { blob: BlobId::from_bytes(blob.to_be_bytes()), number: u32::MAX, fragment: u8::MAX })
}

fn note(device: &DeviceHandle, key: ChunkKey, what: &'static str, error: &EngineError) -> Fault {
    if matches!(error, EngineError::IndexDamaged { .. }) {
        device.note_index_damage();
        tracing::error!(device = %device.id, %error, "the index is damaged and will be rebuilt from the log");
        return Fault::Down;
    }
    let fault = Fault::of(error);
    match fault {
        Fault::Missing => {}
        Fault::Damaged => {
            metrics::counter!("ringfort_damaged_pieces_total").increment(1);
            tracing::warn!(device = %device.id, blob = %key.blob, number = key.number, fragment = key.fragment, %error,
                "a stored piece fails its checksum; it is served from elsewhere and repaired");
        }
        Fault::Full | Fault::Conflict | Fault::Down => {
            metrics::counter!("ringfort_piece_faults_total", "what" => what).increment(1);
            tracing::debug!(device = %device.id, blob = %key.blob, number = key.number, what, %error, "piece refused");
        }
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_core::{SessionId, SlotId};

    #[test]
    fn the_key_before_is_just_before() {
        let blob = BlobId::new(SlotId(3), SessionId(9), 0);
        let before_second = before(ChunkKey { blob, number: 1, fragment: 0 }).unwrap();
        assert_eq!(before_second, ChunkKey { blob, number: 0, fragment: u8::MAX });
        let first = ChunkKey { blob, number: 0, fragment: 0 };
        assert!(before(first).unwrap() < first);
        assert_eq!(before(ChunkKey { blob: BlobId::from_bytes([0; 16]), number: 0, fragment: 0 }), None);
    }
}
