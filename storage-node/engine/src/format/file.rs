//! The headers of files, format version 1, little-endian.
//!
//! ```text
//! FORMAT:  "RFENGINE" | version u32 | 0 u32 | log id u64 | crc32 of 0..24 u32
//! extent:  "RFEXTENT" | version u32 | 0 u32 | log id u64 | extent id u64 | crc32 of 0..32 u32 | zeros up to 64
//! ```
//!
//! The log id is random and salts every record, so that an extent which strayed here from another device is refused.

use super::Fields;

/// The newest version this program reads and the one it writes.
pub(crate) const VERSION: u32 = 1;
/// Records begin here in an extent.
pub(crate) const EXTENT_HEADER_LEN: u32 = 64;

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Not ours, or damaged.
    Bad(&'static str),
    /// Written by a newer program.
    Newer(u32),
}

fn check<'a>(bytes: &'a [u8], magic: &[u8; 8], covered: usize) -> Result<Fields<'a>, HeaderFault> {
    let mut fields = Fields(bytes);
    if fields.take(8) != Some(magic) {
        return Err(HeaderFault::Bad("it does not begin with our magic number"));
    }
    let stored = bytes.get(covered..covered + 4).and_then(|crc| crc.try_into().ok()).map(u32::from_le_bytes);
    if stored != bytes.get(..covered).map(crc32fast::hash) {
        return Err(HeaderFault::Bad("its checksum does not match"));
    }
    match fields.u32() {
        Some(VERSION) => {}
        Some(version) if version > VERSION => return Err(HeaderFault::Newer(version)),
        _ => return Err(HeaderFault::Bad("its version is none of ours")),
    }
    fields.u32();
    Ok(fields)
}

/// The content of `FORMAT`.
pub(crate) fn encode_format(log: u64) -> Vec<u8> {
    let mut out = b"RFENGINE".to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&log.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

/// The log id in `FORMAT`.
pub(crate) fn decode_format(bytes: &[u8]) -> Result<u64, HeaderFault> {
    check(bytes, b"RFENGINE", 24)?.u64().ok_or(HeaderFault::Bad("it is too short"))
}

/// The header of an extent.
pub(crate) fn encode_extent(log: u64, extent: u64) -> Vec<u8> {
    let mut out = b"RFEXTENT".to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&log.to_le_bytes());
    out.extend_from_slice(&extent.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out.resize(EXTENT_HEADER_LEN as usize, 0);
    out
}

/// Log id and extent id in the header of an extent.
pub(crate) fn decode_extent(bytes: &[u8]) -> Result<(u64, u64), HeaderFault> {
    let mut fields = check(bytes, b"RFEXTENT", 32)?;
    fields.u64().zip(fields.u64()).ok_or(HeaderFault::Bad("it is too short"))
}
