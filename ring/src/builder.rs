//! From devices and the table before to a plan.

use crate::plan::Plan;
use crate::state::{same_ring, successor};
use crate::{DeviceSpec, DeviceState, POWER_DEFAULT, RingError, RingTable, assign, device, table};
use ringfort_core::{DeviceId, Epoch};

/// Builds the rings of one policy.
#[derive(Clone, Debug)]
pub struct Builder {
    seed: [u8; 32],
    power: u8,
    width: usize,
}

/// Plans a ring of [`POWER_DEFAULT`], or of the old table's power if there is one. See [`Builder::plan`].
///
/// # Errors
/// As [`Builder::plan`].
pub fn plan(
    old: Option<&RingTable>,
    devices: &[DeviceSpec],
    width: usize,
    seed: [u8; 32],
) -> Result<Plan, RingError> {
    Builder::new(width, seed).with_power(old.map_or(POWER_DEFAULT, RingTable::power)).plan(old, devices)
}

impl Builder {
    /// A builder for a policy that places `width` pieces, in the cluster of this seed.
    #[must_use]
    pub const fn new(width: usize, seed: [u8; 32]) -> Self {
        Self { seed, power: POWER_DEFAULT, width }
    }

    /// With `2^power` partitions.
    #[must_use]
    pub const fn with_power(self, power: u8) -> Self {
        Self { power, ..self }
    }

    /// The table for `devices` that moves as little as possible from `old`, and what the step means.
    ///
    /// A function of its arguments: the order of `devices` does not matter. Active devices share the partitions;
    /// draining ones hold nothing in the new table but are listed in it; removed ones, and those of the old table
    /// that are not listed at all, are gone.
    ///
    /// # Errors
    /// Impossible policies and device lists are refused, and so is an old table of another policy, power or seed.
    pub fn plan(&self, old: Option<&RingTable>, devices: &[DeviceSpec]) -> Result<Plan, RingError> {
        table::check_power(self.power)?;
        table::check_width(self.width)?;
        device::check_all(devices)?;
        if let Some(old) = old {
            self.check_old(old)?;
        }
        let mut listed: Vec<DeviceSpec> =
            devices.iter().filter(|d| d.state != DeviceState::Removed).cloned().collect();
        listed.sort_by_key(|device| device.id);
        let active: Vec<&DeviceSpec> = listed.iter().filter(|device| device.is_active()).collect();
        if active.len() < self.width {
            return Err(RingError::TooFewDevices { active: active.len(), width: self.width });
        }
        let before: Option<&[DeviceId]> = old.map(|old| &*old.assignment);
        let assignment = assign::assign(&active, before, 1 << self.power, self.width, &self.seed)?;
        let epoch = old.map_or(Epoch(1), |old| successor(old.epoch()));
        let table = RingTable::from_parts(epoch, self.seed, self.power, listed, self.width, assignment)
            .map_err(|_| RingError::Internal { what: "a built table obeys the rules of tables" })?;
        Ok(Plan::describe(old, table, devices))
    }

    /// Refuses an old table that this builder cannot go on from.
    fn check_old(&self, old: &RingTable) -> Result<(), RingError> {
        same_ring(old.identity(), (&self.seed, self.power, self.width))
    }
}
