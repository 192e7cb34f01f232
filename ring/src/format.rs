//! The stored form of tables and ring states, format version 1. Integers are little-endian.
//!
//! ```text
//!  0        4         6      8            16         20           24
//!  +--------+---------+------+------------+----------+------------+------+
//!  | "RFRG" | version | kind | body bytes | body crc | header crc | body |
//!  +--------+---------+------+------------+----------+------------+------+
//! ```
//!
//! - `header crc` is the CRC-32 (IEEE) of bytes 0..20 and is checked before any field is believed, so that a damaged
//!   length is damage and never an allocation. Bytes 0..24 keep this layout in every version, so any reader can name
//!   the version it meets.
//! - `body crc` covers the body; the body ends where the bytes end, neither before nor after.
//! - `kind` 1 is a table, 2 is a ring state.
//!
//! The body of a table:
//!
//! ```text
//!  epoch u64 | seed 32 bytes | power u8 | width u8 | zero u16 | device count u32
//!  per device, by growing id:
//!      id u32 | weight in thousandths u64 | state u8 (0 active, 1 draining)
//!      region, zone, node: each a length u8 (1..=64) and that many bytes of UTF-8
//!  2^power * width times: u16, the index of a device in the list above
//! ```
//!
//! An index names an active device, and no device twice in the `width` indexes of a partition. The table is the last
//! field, so its length is known before it is read and memory stays within a small multiple of the bytes given.
//!
//! The body of a ring state:
//!
//! ```text
//!  phase u8 (0 done, 1 planned, 2 applying, 3 paused, 4 reverted)
//!  has previous u8 (0 or 1) | has next u8 (0 or 1) | zero u8
//!  current table, then the previous and the next one if there: each a length u32 and a whole stored table
//! ```

use crate::{DeviceSpec, DeviceState, RingError, RingTable, Weight};
use ringfort_core::{DeviceId, Epoch};

/// The newest format version this build reads and writes.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: [u8; 4] = *b"RFRG";
const HEADER_BYTES: usize = 24;
const HEADER_CRC_AT: usize = 20;
const _: () = assert!(HEADER_CRC_AT + size_of::<u32>() == HEADER_BYTES);

/// What an envelope holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Table = 1,
    State = 2,
}

/// Wraps `body` in a header.
pub(crate) fn seal(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&(kind as u16).to_le_bytes());
    out.extend_from_slice(&(body.len() as u64).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out[..HEADER_CRC_AT]).to_le_bytes());
    out.extend_from_slice(body);
    out
}

/// The body of an envelope of `kind`, once its checksums hold.
pub(crate) fn unseal(kind: Kind, bytes: &[u8]) -> Result<&[u8], RingError> {
    let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(RingError::Length { found: bytes.len() as u64, promised: HEADER_BYTES as u64 });
    };
    let mut fields = Reader(header);
    let (magic, version, found_kind) = (fields.array::<4>()?, fields.u16()?, fields.u16()?);
    let (promised, body_crc, header_crc) = (fields.u64()?, fields.u32()?, fields.u32()?);
    if magic != MAGIC {
        return Err(RingError::BadMagic);
    }
    if crc32fast::hash(&header[..HEADER_CRC_AT]) != header_crc {
        return Err(RingError::HeaderDamaged);
    }
    if version != FORMAT_VERSION {
        return Err(RingError::UnknownVersion { version });
    }
    if found_kind != kind as u16 {
        return Err(RingError::WrongKind { kind: found_kind });
    }
    if promised != body.len() as u64 {
        return Err(RingError::Length { found: body.len() as u64, promised });
    }
    if crc32fast::hash(body) != body_crc {
        return Err(RingError::BodyDamaged);
    }
    Ok(body)
}

impl RingTable {
    /// The table as bytes; the module's documentation is the specification.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + self.devices.len() * 48 + self.assignment.len() * 2);
        body.extend_from_slice(&self.epoch.0.to_le_bytes());
        body.extend_from_slice(&self.seed);
        body.extend_from_slice(&[self.power, self.width, 0, 0]);
        let count = u32::try_from(self.devices.len()).expect("a table has at most 65535 devices");
        body.extend_from_slice(&count.to_le_bytes());
        for device in self.devices.iter() {
            put_device(&mut body, device);
        }
        let mut last = (DeviceId(0), None);
        for &id in self.assignment.iter() {
            if last.1.is_none() || last.0 != id {
                last = (id, self.devices.binary_search_by_key(&id, |device| device.id).ok());
            }
            let at = last
                .1
                .and_then(|at| u16::try_from(at).ok())
                .expect("an assigned device is in the table's list");
            body.extend_from_slice(&at.to_le_bytes());
        }
        seal(Kind::Table, &body)
    }

    /// The table in these bytes. Total: any bytes give a table that holds together or an error.
    ///
    /// # Errors
    /// Damage, another version, another kind and contents that contradict themselves are told apart.
    pub fn decode(bytes: &[u8]) -> Result<Self, RingError> {
        let mut body = Reader(unseal(Kind::Table, bytes)?);
        let epoch = Epoch(body.u64()?);
        let seed = body.array::<32>()?;
        let [power, width, zero_a, zero_b] = body.array::<4>()?;
        if zero_a != 0 || zero_b != 0 {
            return Err(RingError::Malformed { what: "a reserved field is not zero" });
        }
        let count = body.u32()? as usize;
        // The smallest device takes 19 bytes: a lying count cannot make us reserve more than was sent.
        if count > body.0.len() / 19 {
            return Err(RingError::Malformed { what: "more devices than bytes" });
        }
        let mut devices = Vec::with_capacity(count);
        for _ in 0..count {
            devices.push(get_device(&mut body)?);
        }
        if devices.windows(2).any(|pair: &[DeviceSpec]| pair[0].id >= pair[1].id) {
            return Err(RingError::Malformed { what: "the devices are not sorted by id" });
        }
        let assignment = get_assignment(body.0, &devices)?;
        crate::table::check_power(power)?;
        Self::from_parts(epoch, seed, power, devices, usize::from(width), assignment)
            .map_err(|_| RingError::Malformed { what: "the table breaks a rule of its contents" })
    }
}

fn put_device(body: &mut Vec<u8>, device: &DeviceSpec) {
    body.extend_from_slice(&device.id.0.to_le_bytes());
    body.extend_from_slice(&device.weight.milli().to_le_bytes());
    body.push(u8::from(device.state != DeviceState::Active));
    for name in [&device.region, &device.zone, &device.node] {
        body.push(u8::try_from(name.len()).expect("names have at most 64 bytes"));
        body.extend_from_slice(name.as_bytes());
    }
}

fn get_device(body: &mut Reader<'_>) -> Result<DeviceSpec, RingError> {
    let id = DeviceId(body.u32()?);
    let weight = Weight::from_milli(body.u64()?)
        .map_err(|_| RingError::Malformed { what: "a weight is out of range" })?;
    let state = match body.array::<1>()? {
        [0] => DeviceState::Active,
        [1] => DeviceState::Draining,
        _ => return Err(RingError::Malformed { what: "a device state is unknown" }),
    };
    let (region, zone, node) = (body.name()?, body.name()?, body.name()?);
    Ok(DeviceSpec { id, region, zone, node, weight, state })
}

fn get_assignment(bytes: &[u8], devices: &[DeviceSpec]) -> Result<Vec<DeviceId>, RingError> {
    let (indexes, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(RingError::Malformed { what: "the assignment ends within an index" });
    }
    let holder = |index: &[u8; 2]| {
        let device = devices.get(usize::from(u16::from_le_bytes(*index)));
        device.filter(|device| device.is_active()).map(|device| device.id)
    };
    let assigned: Option<Vec<DeviceId>> = indexes.iter().map(holder).collect();
    assigned.ok_or(RingError::Malformed { what: "a partition names no active device" })
}

/// Takes fields off the front; running out of bytes is an error, never a panic.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], RingError> {
        let (head, rest) =
            self.0.split_at_checked(len).ok_or(RingError::Malformed { what: "a field goes past the end" })?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], RingError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u16(&mut self) -> Result<u16, RingError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RingError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, RingError> {
        self.array().map(u64::from_le_bytes)
    }

    fn name(&mut self) -> Result<String, RingError> {
        let [len] = self.array()?;
        if !(1..=crate::NAME_BYTES_MAX).contains(&usize::from(len)) {
            return Err(RingError::Malformed { what: "a name is empty or too long" });
        }
        let text = std::str::from_utf8(self.take(usize::from(len))?);
        text.map(str::to_owned).map_err(|_| RingError::Malformed { what: "a name is not UTF-8" })
    }
}

#[cfg(test)]
mod tests;
