//! Accounts and listings of containers, by random steps against a map.

use super::world::{rolled_up, rolled_up_reverse};
use crate::{
    AccountRecord, Command, ContainerItem, ContainerRecord, ContainerState, KeyRange, MemorySlot,
    ObjectModel, Query, Refusal, ShardId, Versioning, account_slot, decode_account, decode_container_items,
    decode_marked, decode_reply, decode_stamp, keys,
};
use proptest::prelude::*;
use ringfort_core::HybridTime;
use ringfort_storage_api::StateModel;
use std::collections::BTreeMap;

const NAMES: [&str; 6] = ["a", "a-b", "a-b-c", "b", "b-", "c\u{10ffff}"];
const STATES: [Option<ContainerState>; 5] = [
    None,
    Some(ContainerState::Creating),
    Some(ContainerState::Live),
    Some(ContainerState::Sealing(1)),
    Some(ContainerState::Deleting),
];

#[derive(Clone, Debug)]
enum Op {
    Set {
        name: usize,
        state: usize,
        stale: bool,
    },
    Metadata {
        number: u8,
        stale: bool,
    },
    Remove,
    /// The records are those of a release that had none of accounts.
    Forget,
    Marked {
        limit: u32,
    },
    List {
        prefix: usize,
        delimiter: bool,
        marker: usize,
        end: usize,
        limit: u32,
        reverse: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let names = 0..=NAMES.len();
    prop_oneof![
        6 => (0..NAMES.len(), 0..STATES.len(), prop::bool::weighted(0.1))
            .prop_map(|(name, state, stale)| Op::Set { name, state, stale }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(number, stale)| Op::Metadata { number, stale }),
        1 => Just(Op::Remove),
        1 => Just(Op::Forget),
        2 => (1..4_u32).prop_map(|limit| Op::Marked { limit }),
        4 => (names.clone(), any::<bool>(), names.clone(), names, 0..5_u32, any::<bool>()).prop_map(
            |(prefix, delimiter, marker, end, limit, reverse)| Op::List {
                prefix, delimiter, marker, end, limit, reverse
            }
        ),
    ]
}

/// A slot and what it should hold.
struct Accounts {
    slot: MemorySlot,
    clock: u64,
    /// Each container's state and revision.
    containers: BTreeMap<String, (ContainerState, u64)>,
    /// Revision and metadata.
    account: (u64, Vec<(String, String)>),
}

impl Accounts {
    fn run(&mut self, command: &Command<'_>) -> Result<u64, Refusal> {
        self.clock += 1;
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).as_ref(), Some(command));
        let before = self.slot.clone();
        let reply = self.slot.apply(&ObjectModel, HybridTime(self.clock), &bytes, Vec::new());
        let done = decode_reply(&reply).map(|payload| decode_stamp(payload).unwrap());
        assert!(done.is_ok() || before == self.slot, "a refused command leaves no trace");
        done
    }

    fn ask(&self, query: &Query<'_>) -> Vec<u8> {
        let bytes = query.encode();
        assert_eq!(Query::decode(&bytes).as_ref(), Some(query));
        decode_reply(&ObjectModel.query(&self.slot, &bytes).reply).unwrap().to_vec()
    }

    fn in_use(&self) -> impl DoubleEndedIterator<Item = &String> {
        let live =
            |state: &ContainerState| matches!(state, ContainerState::Live | ContainerState::Sealing(_));
        self.containers.iter().filter(move |(_, (state, _))| live(state)).map(|(name, _)| name)
    }

    fn set(&mut self, name: &str, state: Option<ContainerState>, stale: bool) {
        let revision = self.containers.get(name).map_or(0, |(_, revision)| *revision);
        let expect = if stale { revision + 1_000 } else { revision };
        let record = state.map(|state| ContainerRecord {
            state,
            incarnation: 7,
            created: HybridTime(1),
            revision: 0,
            versioning: Versioning::Off,
            versioning_revision: 1,
            policy: 0,
            shards: vec![(String::new(), 0), ("m".into(), 2)],
            metadata: if name.contains('-') { vec![("mark".into(), name.into())] } else { Vec::new() },
        });
        let done = self.run(&Command::SetContainer { account: "acct", name, expect, record });
        if stale {
            assert_eq!(done, Err(Refusal::Changed));
            return;
        }
        let revision = done.unwrap();
        match state {
            None => self.containers.remove(name),
            Some(state) => self.containers.insert(name.to_owned(), (state, revision)),
        };
    }

    fn set_metadata(&mut self, metadata: Option<Vec<(String, String)>>, stale: bool) {
        let expect = if stale { self.account.0 + 1_000 } else { self.account.0 };
        let removed = metadata.is_none();
        let done = self.run(&Command::SetAccount { account: "acct", expect, metadata: metadata.clone() });
        if stale {
            assert_eq!(done, Err(Refusal::Changed));
        } else if removed && self.in_use().next().is_some() {
            assert_eq!(done, Err(Refusal::NotEmpty));
        } else {
            let revision = done.unwrap();
            self.account = metadata.map_or((0, Vec::new()), |metadata| (revision, metadata));
        }
    }

    fn list(&self, range: KeyRange<'_>, reverse: bool) {
        let payload = self.ask(&Query::ContainerItems { account: "acct", range, reverse });
        let page = decode_container_items(&payload).unwrap();
        let shown = page.items.iter().map(|item| match item {
            ContainerItem::Container { name, modified, shards, .. } => {
                assert_eq!(modified.0, self.containers[name].1);
                assert_eq!(*shards, [0, 2].map(|number| ShardId { incarnation: 7, number }));
                (name.clone(), false)
            }
            ContainerItem::CommonPrefix(prefix) => (prefix.clone(), true),
        });
        let rolled =
            if reverse { rolled_up_reverse(self.in_use(), &range) } else { rolled_up(self.in_use(), &range) };
        assert_eq!((shown.collect(), page.truncated), rolled, "{range:?} {reverse}");
    }

    fn marked(&self, limit: u32) {
        let mut seen = Vec::new();
        let mut after = (String::new(), String::new());
        loop {
            let query = Query::Marked { entry: "mark", after: (&after.0, &after.1), limit };
            let page = decode_marked(&self.ask(&query)).unwrap();
            assert!(page.containers.len() <= limit as usize);
            seen.extend(page.containers);
            let Some(next) = page.next else { break };
            assert!(next > after);
            after = next;
        }
        let expected = self.in_use().filter(|name| name.contains('-'));
        let expected: Vec<_> = expected.map(|name| ("acct".to_owned(), name.clone(), name.clone())).collect();
        assert_eq!(seen, expected);
    }

    fn check(&self) {
        let record = decode_account(&self.ask(&Query::Account { account: "acct" })).unwrap();
        let nothing = self.in_use().next().is_none() && self.account.1.is_empty();
        assert_eq!(record.is_none(), nothing, "an account with nothing leaves nothing");
        let AccountRecord { revision, containers, metadata, .. } = record.unwrap_or_default();
        assert_eq!(containers, self.in_use().count() as u64);
        assert_eq!((revision, metadata), self.account);
        assert_eq!(decode_account(&self.ask(&Query::Account { account: "acc" })), Some(None));
    }

    fn step(&mut self, op: &Op) {
        let name = |index: usize| NAMES.get(index).copied().unwrap_or_default();
        match *op {
            Op::Set { name, state, stale } => self.set(NAMES[name], STATES[state], stale),
            Op::Metadata { number, stale } => {
                self.set_metadata(Some(vec![("k".into(), number.to_string())]), stale);
            }
            Op::Remove => self.set_metadata(None, false),
            Op::Forget => {
                self.slot.records.remove(&keys::account("acct"));
                self.account = (0, Vec::new());
            }
            Op::Marked { limit } => self.marked(limit),
            Op::List { prefix, delimiter, marker, end, limit, reverse } => {
                let (prefix, marker, end) = (name(prefix), name(marker), name(end));
                let delimiter = if delimiter { "-" } else { "" };
                self.list(KeyRange { prefix, delimiter, marker, end, limit, ..KeyRange::default() }, reverse);
            }
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn accounts_conform_to_reference(ops in prop::collection::vec(op(), 1..60)) {
        let slot = MemorySlot::new(account_slot("acct"));
        let (containers, account) = (BTreeMap::new(), (0, Vec::new()));
        let mut accounts = Accounts { slot, clock: 10, containers, account };
        for op in &ops {
            accounts.step(op);
        }
    }
}
