//! Bodies that can be told from their name: nothing needs to be kept to check what comes back.

use bytes::Bytes;

/// The body of version `version` of `key`: `len` bytes that no other key and version has.
#[must_use]
pub fn body_of(key: &str, version: u64, len: usize) -> Bytes {
    let mut body = vec![0; len];
    stream(key, version).fill(&mut body);
    body.into()
}

/// `len` bytes from `offset` of an endless body.
#[must_use]
pub fn stream_of(key: &str, offset: u64, len: usize) -> Bytes {
    let mut body = vec![0; len];
    let mut reader = stream(key, 0);
    reader.set_position(offset);
    reader.fill(&mut body);
    body.into()
}

fn stream(key: &str, version: u64) -> blake3::OutputReader {
    blake3::Hasher::new().update(key.as_bytes()).update(&version.to_le_bytes()).finalize_xof()
}
