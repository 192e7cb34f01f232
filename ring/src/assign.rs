//! Placeholder while the builder is written.

use crate::{DeviceSpec, RingError};
use ringfort_core::DeviceId;

pub(crate) fn assign(
    active: &[&DeviceSpec],
    _before: Option<&[DeviceId]>,
    rows: usize,
    width: usize,
    _seed: &[u8; 32],
) -> Result<Vec<DeviceId>, RingError> {
    Ok((0..rows).flat_map(|row| (0..width).map(move |at| active[(row + at) % active.len()].id)).collect())
}
