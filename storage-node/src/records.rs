//! What the system group records about the cluster: devices, policies, rings, slots, and the numbers given out.
//!
//! # Records, version 1
//!
//! Keys are text, values JSON objects with a `format` (rings: the ring crate's own sealed format). Every change is one transaction
//! that also raises `map/version` and demands its old value, so two administrators never overwrite each other.
//!
//! ```text
//! map/version           decimal number, grows by one with each change
//! map/counters          the next device id and voter id; ids are never given out twice
//! map/policies          the policies, the default one first
//! map/device/00000001   one device
//! map/ring/00000        the ring of one policy, with the change under way
//! map/slots             the metadata group of each slot
//! ```

use crate::NodeError;
use ringfort_core::{DeviceId, GroupId, Incarnation, Policy, SLOT_COUNT, VoterId};
use ringfort_meta::kv::{Expected, KvClient, KvOutcome};
use ringfort_ring::{DeviceSpec, DeviceState, RingState, Weight};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FORMAT: u32 = 1;
const PREFIX: &[u8] = b"map/";
const VERSION_KEY: &[u8] = b"map/version";
/// Records read per query.
const PAGE: u32 = 64;

/// One device as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeviceRecord {
    pub(crate) id: DeviceId,
    pub(crate) incarnation: Incarnation,
    pub(crate) voter: VoterId,
    pub(crate) region: String,
    pub(crate) zone: String,
    pub(crate) node: String,
    pub(crate) weight: Weight,
    pub(crate) state: DeviceState,
    /// The folder it was last seen in, as it was configured.
    pub(crate) path: String,
    /// The folder was the root of a file system of its own: an empty folder that is not is a missing mount.
    pub(crate) own_mount: bool,
}

impl DeviceRecord {
    /// The device as the ring wants it.
    pub(crate) fn spec(&self) -> DeviceSpec {
        DeviceSpec {
            id: self.id,
            region: self.region.clone(),
            zone: self.zone.clone(),
            node: self.node.clone(),
            weight: self.weight,
            state: self.state,
        }
    }
}

/// Numbers that are given out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub(crate) next_device: u32,
    pub(crate) next_voter: u64,
}

impl Counters {
    pub(crate) fn take_device(&mut self) -> DeviceId {
        let id = DeviceId(self.next_device);
        self.next_device += 1;
        id
    }

    pub(crate) fn take_voter(&mut self) -> VoterId {
        let id = VoterId(self.next_voter);
        self.next_voter += 1;
        id
    }
}

/// Everything the system group records about the cluster.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClusterMap {
    pub(crate) version: u64,
    pub(crate) counters: Counters,
    pub(crate) policies: Vec<Policy>,
    pub(crate) devices: BTreeMap<DeviceId, DeviceRecord>,
    pub(crate) rings: BTreeMap<u16, RingState>,
    pub(crate) slots: Vec<GroupId>,
}

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    format: u32,
    #[serde(flatten)]
    record: T,
}

#[derive(Serialize, Deserialize)]
struct Policies {
    policies: Vec<Policy>,
}

#[derive(Serialize, Deserialize)]
struct Slots {
    groups: Vec<GroupId>,
}

impl ClusterMap {
    /// The devices as the ring wants them.
    pub(crate) fn specs(&self) -> Vec<DeviceSpec> {
        self.devices.values().map(DeviceRecord::spec).collect()
    }

    /// The slot table a new cluster starts with.
    pub(crate) fn first_slots(groups: u32) -> Vec<GroupId> {
        (0..SLOT_COUNT).map(|slot| GroupId(1 + u32::from(slot) % groups)).collect()
    }

    pub(crate) fn encode(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, NodeError> {
        let mut records = BTreeMap::new();
        records.insert(b"map/counters".to_vec(), seal("map/counters", &self.counters)?);
        let policies = Policies { policies: self.policies.clone() };
        records.insert(b"map/policies".to_vec(), seal("map/policies", &policies)?);
        records.insert(b"map/slots".to_vec(), seal("map/slots", &Slots { groups: self.slots.clone() })?);
        for (id, device) in &self.devices {
            let key = format!("map/device/{:08}", id.0);
            records.insert(key.clone().into_bytes(), seal(&key, device)?);
        }
        for (policy, ring) in &self.rings {
            records.insert(format!("map/ring/{policy:05}").into_bytes(), ring.encode());
        }
        Ok(records)
    }

    pub(crate) fn decode(records: &BTreeMap<String, Vec<u8>>) -> Result<Self, NodeError> {
        let version = get(records, "map/version")?;
        let version = std::str::from_utf8(version).ok().and_then(|text| text.parse().ok());
        let version = version.ok_or_else(|| bad("map/version", "not a number"))?;
        let mut map = Self {
            version,
            counters: open(records, "map/counters")?,
            policies: open::<Policies>(records, "map/policies")?.policies,
            devices: BTreeMap::new(),
            rings: BTreeMap::new(),
            slots: open::<Slots>(records, "map/slots")?.groups,
        };
        for key in records.keys() {
            if key.starts_with("map/device/") {
                let device: DeviceRecord = open(records, key)?;
                map.devices.insert(device.id, device);
            } else if let Some(policy) = key.strip_prefix("map/ring/") {
                let policy = policy.parse().map_err(|_| bad(key, "no policy number"))?;
                let ring =
                    RingState::decode(get(records, key)?).map_err(|error| bad(key, &error.to_string()))?;
                map.rings.insert(policy, ring);
            }
        }
        Ok(map)
    }
}

fn seal<T: Serialize>(key: &str, record: &T) -> Result<Vec<u8>, NodeError> {
    serde_json::to_vec(&Sealed { format: FORMAT, record }).map_err(|error| bad(key, &error.to_string()))
}

fn open<T: DeserializeOwned>(records: &BTreeMap<String, Vec<u8>>, key: &str) -> Result<T, NodeError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let bytes = get(records, key)?;
    let format: Format = serde_json::from_slice(bytes).map_err(|error| bad(key, &error.to_string()))?;
    if format.format > FORMAT {
        return Err(bad(
            key,
            &format!("it has format {}, this program knows formats up to {FORMAT}", format.format),
        ));
    }
    let sealed: Sealed<T> = serde_json::from_slice(bytes).map_err(|error| bad(key, &error.to_string()))?;
    Ok(sealed.record)
}

fn get<'a>(records: &'a BTreeMap<String, Vec<u8>>, key: &str) -> Result<&'a [u8], NodeError> {
    records.get(key).map(Vec::as_slice).ok_or_else(|| bad(key, "it is not there"))
}

fn bad(key: &str, reason: &str) -> NodeError {
    NodeError::Record { key: key.to_owned(), reason: reason.to_owned() }
}

/// Reads and writes the cluster map. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Records {
    kv: KvClient,
}

impl Records {
    pub(crate) fn new(kv: KvClient) -> Self {
        Self { kv }
    }

    /// The map; `None` when there is none yet.
    pub(crate) async fn load(&self) -> Result<Option<ClusterMap>, NodeError> {
        let mut records = BTreeMap::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.kv.list(PREFIX, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.to_vec());
            for (key, value) in page {
                records.insert(String::from_utf8_lossy(&key).into_owned(), value.to_vec());
            }
        }
        if records.is_empty() { Ok(None) } else { ClusterMap::decode(&records).map(Some) }
    }

    /// Writes what differs between `old` and `new` in one transaction and gives `new` its version.
    pub(crate) async fn commit(
        &self,
        old: Option<&ClusterMap>,
        new: &mut ClusterMap,
    ) -> Result<(), NodeError> {
        let before = old.map_or_else(|| Ok(BTreeMap::new()), ClusterMap::encode)?;
        new.version = old.map_or(1, |old| old.version + 1);
        let after = new.encode()?;
        let mut writes: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for (key, value) in &after {
            if before.get(key) != Some(value) {
                writes.push((key.clone(), Some(value.clone())));
            }
        }
        writes.extend(before.into_keys().filter(|key| !after.contains_key(key)).map(|key| (key, None)));
        writes.push((VERSION_KEY.to_vec(), Some(new.version.to_string().into_bytes())));
        let expected = old.map(|old| old.version.to_string().into_bytes());
        let check = Expected { key: VERSION_KEY.to_vec(), value: expected };
        match self.kv.transaction(&[check], &writes).await? {
            KvOutcome::Done => Ok(()),
            KvOutcome::Mismatch { .. } => Err(NodeError::Refused {
                reason: "the cluster map was changed by someone else meanwhile".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_core::Redundancy;

    #[test]
    fn a_map_survives_the_round_trip() {
        let devices: BTreeMap<_, _> = (1..=3)
            .map(|n| {
                let record = DeviceRecord {
                    id: DeviceId(n),
                    incarnation: Incarnation(1),
                    voter: VoterId(u64::from(n)),
                    region: "r".to_owned(),
                    zone: "z".to_owned(),
                    node: "n".to_owned(),
                    weight: Weight::ONE,
                    state: DeviceState::Active,
                    path: format!("dev{n}"),
                    own_mount: false,
                };
                (DeviceId(n), record)
            })
            .collect();
        let specs: Vec<_> = devices.values().map(DeviceRecord::spec).collect();
        let plan = ringfort_ring::Builder::new(3, [7; 32]).with_power(6).plan(None, &specs).unwrap();
        let map = ClusterMap {
            version: 4,
            counters: Counters { next_device: 4, next_voter: 4 },
            policies: vec![Policy::new(0, "default", Redundancy::Replicated(3))],
            devices,
            rings: BTreeMap::from([(0, RingState::first(plan.table))]),
            slots: ClusterMap::first_slots(8),
        };
        let mut records: BTreeMap<String, Vec<u8>> = map
            .encode()
            .unwrap()
            .into_iter()
            .map(|(key, value)| (String::from_utf8(key).unwrap(), value))
            .collect();
        records.insert("map/version".to_owned(), b"4".to_vec());
        assert_eq!(ClusterMap::decode(&records).unwrap(), map);

        let newer = records["map/counters"].clone();
        let newer = String::from_utf8(newer).unwrap().replace("\"format\":1", "\"format\":9");
        records.insert("map/counters".to_owned(), newer.into_bytes());
        assert!(matches!(ClusterMap::decode(&records), Err(NodeError::Record { .. })));
        records.remove("map/slots");
        assert!(ClusterMap::decode(&records).is_err());
    }
}
