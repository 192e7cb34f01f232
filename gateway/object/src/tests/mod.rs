//! The object layer over a cluster in memory.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]

mod accounts;
mod cluster;
mod containers;
mod lifecycle;
mod objects;
mod split;
mod update;
mod uploads;
mod versions;

use crate::{BodyError, BodyStream, CreateContainer, ObjectPath, ObjectStore, PutDone, PutOptions};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

pub(crate) fn at(key: &str) -> ObjectPath {
    ObjectPath::new("acct", "box", key)
}

/// Bytes that differ everywhere.
pub(crate) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u64).wrapping_mul(2_654_435_761).to_le_bytes()[2] ^ seed).collect()
}

/// A body in pieces of odd sizes.
pub(crate) fn body(bytes: &[u8]) -> BodyStream {
    let pieces: Vec<_> = bytes.chunks(173).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Box::pin(stream::iter(pieces))
}

pub(crate) fn broken(bytes: &[u8]) -> BodyStream {
    Box::pin(body(bytes).chain(stream::iter([Err(BodyError::new("the client went away"))])))
}

pub(crate) async fn make_box(store: &ObjectStore) {
    store.create_container("acct", "box", CreateContainer::default()).await.unwrap();
}

pub(crate) async fn put(store: &ObjectStore, key: &str, bytes: &[u8]) -> PutDone {
    store.put(&at(key), PutOptions::default(), body(bytes)).await.unwrap()
}

pub(crate) async fn get(store: &ObjectStore, key: &str) -> Vec<u8> {
    read(store.get(&at(key), crate::GetOptions::default()).await.unwrap()).await
}

pub(crate) async fn read(reader: crate::ObjectReader) -> Vec<u8> {
    let pieces: Vec<Bytes> = reader.body.try_collect().await.unwrap();
    pieces.concat()
}
