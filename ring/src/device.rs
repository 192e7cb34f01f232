//! Devices as the ring sees them: an id, a place in the tree of failure domains, a weight and a state.

use crate::RingError;
use ringfort_core::DeviceId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest region, zone or node name in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The most devices one ring names: the table stores 16-bit indexes.
pub const DEVICES_MAX: usize = 65_535;

/// How much a device should hold compared with the others, in thousandths. Terabytes are a good unit.
///
/// Integral, so that equal input gives an equal ring on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(u64);

impl Weight {
    /// The weight 1.
    pub const ONE: Self = Self(1000);
    /// The greatest weight, in thousandths.
    const MILLI_MAX: u64 = 1_000_000_000_000_000;

    /// The weight of this many thousandths.
    ///
    /// # Errors
    /// Zero and more than 10^15 thousandths are refused.
    pub fn from_milli(milli: u64) -> Result<Self, RingError> {
        let weight = Self(milli);
        if weight.is_valid() {
            Ok(weight)
        } else {
            Err(RingError::BadWeight { text: format!("{milli}/1000") })
        }
    }

    /// The weight nearest to `value`.
    ///
    /// # Errors
    /// NaN, infinities, zero, negative numbers and what does not fit are refused.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn from_f64(value: f64) -> Result<Self, RingError> {
        let milli = (value * 1000.0).round();
        if milli.is_finite() && milli >= 1.0 && milli <= Self::MILLI_MAX as f64 {
            Ok(Self(milli as u64))
        } else {
            Err(RingError::BadWeight { text: value.to_string() })
        }
    }

    /// The weight in thousandths.
    #[must_use]
    pub const fn milli(self) -> u64 {
        self.0
    }

    /// Whether the weight lies in the range (a deserialised one need not).
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 >= 1 && self.0 <= Self::MILLI_MAX
    }

    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn as_f64(self) -> f64 {
        self.0 as f64
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1000, self.0 % 1000);
        if part == 0 {
            write!(f, "{whole}")
        } else {
            write!(f, "{}", format!("{whole}.{part:03}").trim_end_matches('0'))
        }
    }
}

impl FromStr for Weight {
    type Err = RingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || RingError::BadWeight { text: text.to_owned() };
        text.parse::<f64>().map_err(|_| bad()).and_then(|value| Self::from_f64(value).map_err(|_| bad()))
    }
}

/// Whether a device takes new data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// Holds its share by weight.
    #[default]
    Active,
    /// Gives up everything it holds, and is still read from while it does.
    Draining,
    /// Gone: neither written nor read.
    Removed,
}

impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Removed => "removed",
        })
    }
}

/// A device as the operator describes it to the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// Its id; stays the same when the disk behind it is replaced.
    pub id: DeviceId,
    /// The widest failure domain.
    pub region: String,
    /// The failure domain within the region: a room, a rack, a power feed.
    pub zone: String,
    /// The failure domain within the zone: one host.
    pub node: String,
    /// Its share compared with the others.
    pub weight: Weight,
    /// Whether it takes data.
    pub state: DeviceState,
}

impl DeviceSpec {
    /// The active device `id` of weight 1 in region `r1`, zone `z1` and on node `n1`.
    #[must_use]
    pub fn new(id: DeviceId) -> Self {
        Self {
            id,
            region: "r1".to_owned(),
            zone: "z1".to_owned(),
            node: "n1".to_owned(),
            weight: Weight::ONE,
            state: DeviceState::Active,
        }
    }

    /// The same device elsewhere.
    #[must_use]
    pub fn at(mut self, region: &str, zone: &str, node: &str) -> Self {
        (self.region, self.zone, self.node) = (region.to_owned(), zone.to_owned(), node.to_owned());
        self
    }

    /// The same device with another weight.
    #[must_use]
    pub fn with_weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// The same device in another state.
    #[must_use]
    pub fn with_state(mut self, state: DeviceState) -> Self {
        self.state = state;
        self
    }

    pub(crate) fn is_active(&self) -> bool {
        self.state == DeviceState::Active
    }

    pub(crate) fn check(&self) -> Result<(), RingError> {
        if !self.weight.is_valid() {
            return Err(RingError::BadDeviceWeight { device: self.id });
        }
        for (tier, name) in [("region", &self.region), ("zone", &self.zone), ("node", &self.node)] {
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
                return Err(RingError::BadName { device: self.id, tier });
            }
        }
        Ok(())
    }
}

/// Refuses lists that no ring can be built from, whatever the policy.
pub(crate) fn check_all(devices: &[DeviceSpec]) -> Result<(), RingError> {
    if devices.len() > DEVICES_MAX {
        return Err(RingError::TooManyDevices { count: devices.len(), max: DEVICES_MAX });
    }
    let mut ids: Vec<DeviceId> = devices.iter().map(|device| device.id).collect();
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(RingError::DuplicateDevice { device: pair[0] });
    }
    devices.iter().try_for_each(DeviceSpec::check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        for (text, milli) in [("1", 1000), ("0.5", 500), ("2.25", 2250), ("0.001", 1), ("16000", 16_000_000)]
        {
            let weight: Weight = text.parse().unwrap();
            assert_eq!((weight.milli(), weight.to_string().as_str()), (milli, text));
        }
        for bad in ["", "x", "0", "-1", "nan", "inf", "-inf", "0.0001", "1e300"] {
            assert!(bad.parse::<Weight>().is_err(), "{bad}");
        }
        assert!(Weight::from_milli(0).is_err());
    }

    #[test]
    fn impossible_devices_are_refused() {
        let good = DeviceSpec::new(DeviceId(1));
        assert_eq!(check_all(std::slice::from_ref(&good)), Ok(()));
        assert!(matches!(check_all(&[good.clone(), good.clone()]), Err(RingError::DuplicateDevice { .. })));
        let long = "z".repeat(65);
        for name in ["", "a\nb", long.as_str()] {
            assert!(matches!(check_all(&[good.clone().at("r", name, "n")]), Err(RingError::BadName { .. })));
        }
        let zero = DeviceSpec { weight: Weight(0), ..good };
        assert!(matches!(check_all(&[zero]), Err(RingError::BadDeviceWeight { .. })));
    }
}
