//! Random commands against the model over slots in memory and against the reference, compared after each.

use super::moving::Death;
use super::objects::{Guard, key_at};
use super::pair::{KEYS, Pair};
use crate::{KeyRange, Versioning};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Put { at: usize, key: usize, size: u8, guards: (Guard, Guard), life: Option<u64> },
    PutFromElsewhere { at: usize, key: usize },
    Delete { at: usize, key: usize, guards: (Guard, Guard) },
    DeleteVersion { at: usize, key: usize, index: usize, guards: (Guard, Guard) },
    Retire { at: usize, key: usize, index: usize, what: usize, stale: bool },
    SetVersioning { at: usize, to: Versioning },
    SetAttributes { at: usize, key: usize, index: usize, touch: bool, life: Option<u64> },
    Copy { from: (usize, usize), to: (usize, usize) },
    Expire,
    Deliver { twice: bool },
    Collect,
    CondemnAll,
    Begin { at: usize, key: usize },
    Part { upload: usize, number: u32, size: u8 },
    ListParts { upload: usize, after: u32, limit: u32 },
    Complete { upload: usize, skip: bool, fresh: bool },
    CompleteAgain { index: usize },
    Abort { upload: usize },
    Move { keys: u32, death: Death },
    List { at: usize, range: Listed },
    ListReverse { at: usize, range: Listed },
    ListUploads { at: usize, range: Listed, skip: usize },
    Versions { at: usize, limit: u32 },
}

#[derive(Clone, Debug)]
struct Listed {
    prefix: usize,
    delimiter: &'static str,
    marker: usize,
    end: usize,
    limit: u32,
    now: bool,
}

impl Listed {
    fn range(&self, now: u64) -> KeyRange<'static> {
        KeyRange {
            prefix: key_at(self.prefix),
            delimiter: self.delimiter,
            marker: key_at(self.marker),
            end: key_at(self.end),
            limit: self.limit,
            now: if self.now { now } else { 0 },
            ..KeyRange::default()
        }
    }
}

fn guards() -> impl Strategy<Value = (Guard, Guard)> {
    let one = || prop_oneof![Just(Guard::None), Just(Guard::Any), Just(Guard::Same), Just(Guard::Other)];
    prop_oneof![3 => Just((Guard::None, Guard::None)), 1 => (one(), one())]
}

fn listed() -> impl Strategy<Value = Listed> {
    let delimiter = prop_oneof![Just(""), Just("/"), Just("b/")];
    let keys = KEYS.len();
    (0..=keys, delimiter, 0..=keys, 0..=2 * keys, 0..6_u32, any::<bool>()).prop_map(
        |(prefix, delimiter, marker, end, limit, now)| Listed { prefix, delimiter, marker, end, limit, now },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let (at, key, upload) = (0..2_usize, 0..KEYS.len(), 0..4_usize);
    let place = (at.clone(), key.clone());
    let to = prop_oneof![Just(Versioning::Off), Just(Versioning::Enabled), Just(Versioning::Suspended)];
    let death = prop_oneof![3 => Just(Death::None), 1 => Just(Death::Held), 1 => Just(Death::Imported)];
    let objects = prop_oneof![
        8 => (place.clone(), any::<u8>(), guards(), prop::option::weighted(0.2, 0..60_u64))
            .prop_map(|((at, key), size, guards, life)| Op::Put { at, key, size, guards, life }),
        1 => place.clone().prop_map(|(at, key)| Op::PutFromElsewhere { at, key }),
        4 => (place.clone(), guards()).prop_map(|((at, key), guards)| Op::Delete { at, key, guards }),
        4 => (place.clone(), 0..4_usize, guards())
            .prop_map(|((at, key), index, guards)| Op::DeleteVersion { at, key, index, guards }),
        4 => (place.clone(), 0..3_usize, 0..3_usize, prop::bool::weighted(0.2)).prop_map(
            |((at, key), index, what, stale)| Op::Retire { at, key, index, what, stale }
        ),
        2 => (at.clone(), to).prop_map(|(at, to)| Op::SetVersioning { at, to }),
        3 => (place.clone(), 0..3_usize, any::<bool>(), prop::option::weighted(0.3, 0..60_u64)).prop_map(
            |((at, key), index, touch, life)| Op::SetAttributes { at, key, index, touch, life }
        ),
        4 => (place.clone(), place.clone()).prop_map(|(from, to)| Op::Copy { from, to }),
        1 => Just(Op::Expire),
    ];
    let blobs = prop_oneof![
        2 => any::<bool>().prop_map(|twice| Op::Deliver { twice }),
        1 => Just(Op::Collect),
        1 => Just(Op::CondemnAll),
        2 => (1..4_u32, death).prop_map(|(keys, death)| Op::Move { keys, death }),
    ];
    let uploads = prop_oneof![
        2 => place.prop_map(|(at, key)| Op::Begin { at, key }),
        4 => (upload.clone(), 1..4_u32, any::<u8>())
            .prop_map(|(upload, number, size)| Op::Part { upload, number, size }),
        1 => (upload.clone(), 0..3_u32, 0..4_u32)
            .prop_map(|(upload, after, limit)| Op::ListParts { upload, after, limit }),
        2 => (upload.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(upload, skip, fresh)| Op::Complete { upload, skip, fresh }),
        1 => (0..3_usize).prop_map(|index| Op::CompleteAgain { index }),
        1 => upload.prop_map(|upload| Op::Abort { upload }),
    ];
    let lists = prop_oneof![
        3 => (at.clone(), listed()).prop_map(|(at, range)| Op::List { at, range }),
        3 => (at.clone(), listed()).prop_map(|(at, range)| Op::ListReverse { at, range }),
        2 => (at.clone(), listed(), 0..4_usize).prop_map(|(at, range, skip)| Op::ListUploads { at, range, skip }),
        2 => (at, 1..5_u32).prop_map(|(at, limit)| Op::Versions { at, limit }),
    ];
    prop_oneof![34 => objects, 6 => blobs, 11 => uploads, 10 => lists]
}

impl Pair {
    fn step(&mut self, op: &Op) {
        match *op {
            Op::Put { at, key, size, guards, life } => self.put(at, KEYS[key], size, guards, life),
            Op::PutFromElsewhere { at, key } => self.put_from_elsewhere(at, KEYS[key]),
            Op::Delete { at, key, guards } => self.delete(at, KEYS[key], guards),
            Op::DeleteVersion { at, key, index, guards } => self.delete_version(at, KEYS[key], index, guards),
            Op::Retire { at, key, index, what, stale } => self.retire(at, KEYS[key], index, what, stale),
            Op::SetVersioning { at, to } => self.switch(at, to),
            Op::SetAttributes { at, key, index, touch, life } => {
                self.set_attributes(at, KEYS[key], index, touch, life);
            }
            Op::Copy { from, to } => self.copy((from.0, KEYS[from.1]), (to.0, KEYS[to.1])),
            Op::Expire => self.expire(),
            Op::Deliver { twice } => self.deliver(twice),
            Op::Collect => self.collect(),
            Op::CondemnAll => self.condemn_all(),
            Op::Move { keys, death } => self.move_keys(keys, death),
            Op::Begin { at, key } => self.begin(at, KEYS[key]),
            Op::Part { upload, number, size } => self.part(upload, number, size),
            Op::ListParts { upload, after, limit } => self.list_parts(upload, after, limit),
            Op::Complete { upload, skip, fresh } => self.complete(upload, skip, fresh),
            Op::CompleteAgain { index } => self.complete_again(index),
            Op::Abort { upload } => self.abort(upload),
            Op::List { at, ref range } => self.list(at, range.range(self.clock)),
            Op::ListReverse { at, ref range } => self.list_reverse(at, range.range(self.clock)),
            Op::ListUploads { at, ref range, skip } => self.list_uploads(at, range.range(0), skip),
            Op::Versions { at, limit } => self.versions(at, limit),
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn model_conforms_to_reference(ops in prop::collection::vec(op(), 1..80)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.step(op);
        }
    }
}
