//! The decoders on any bytes, for fuzzing: each function panics when a promise of the format is broken.

use crate::identity::{ClusterIdentity, DeviceIdentity, Identity, parse};
use crate::records::{ClusterMap, Counters, DeviceRecord};
use ringfort_core::{DeviceId, Incarnation, Policy, Redundancy, VoterId};
use ringfort_ring::{DeviceState, Weight};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Identity files, with the checksum they have and with the one they should have.
pub fn identities(bytes: &[u8]) {
    identity::<ClusterIdentity>(bytes);
    identity::<DeviceIdentity>(bytes);
}

fn identity<T: Identity + std::fmt::Debug + PartialEq>(bytes: &[u8]) {
    let path = Path::new("identity.json");
    let mut files = vec![bytes.to_vec()];
    if let (Ok(identity), Ok(Value::Object(mut fields))) =
        (serde_json::from_slice::<T>(bytes), serde_json::from_slice(bytes))
    {
        fields.insert("checksum".to_owned(), identity.sum().into());
        files.push(Value::Object(fields).to_string().into_bytes());
    }
    for file in files {
        let Ok(identity) = parse::<T>(path, &file) else { continue };
        assert_eq!(identity.checksum(), identity.sum(), "what is believed has its checksum");
        let again = serde_json::to_vec(&identity).expect("an identity is JSON");
        assert_eq!(parse::<T>(path, &again).ok(), Some(identity));
    }
}

/// The cluster map with the bytes in the place of each of its records, one after the other.
pub fn cluster_map(bytes: &[u8]) {
    let whole = stored(&small_map());
    for key in
        whole.keys().map(String::as_str).chain(["map/device/x", "map/ring/00007", "map/ring/x", "map/new"])
    {
        let mut records = whole.clone();
        records.insert(key.to_owned(), bytes.to_vec());
        let Ok(map) = ClusterMap::decode(&records) else { continue };
        let again = ClusterMap::decode(&stored(&map));
        assert!(again.is_ok_and(|again| again == map), "a map survives its encoding");
    }
}

fn stored(map: &ClusterMap) -> BTreeMap<String, Vec<u8>> {
    let records = map.encode().expect("a map is stored").into_iter();
    let named = records.map(|(key, value)| (String::from_utf8(key).expect("keys are text"), value));
    named.chain([("map/version".to_owned(), map.version.to_string().into_bytes())]).collect()
}

fn small_map() -> ClusterMap {
    let device = DeviceRecord {
        id: DeviceId(1),
        incarnation: Incarnation(1),
        voter: VoterId(1),
        region: "r".to_owned(),
        zone: "z".to_owned(),
        node: "n".to_owned(),
        weight: Weight::ONE,
        state: DeviceState::Active,
        path: "device-1".to_owned(),
        own_mount: false,
    };
    ClusterMap {
        version: 1,
        counters: Counters { next_device: 2, next_voter: 2 },
        policies: vec![Policy::new(0, "default", Redundancy::Replicated(1))],
        devices: BTreeMap::from([(device.id, device)]),
        rings: BTreeMap::new(),
        slots: ClusterMap::first_slots(2).into_iter().take(8).collect(),
    }
}
