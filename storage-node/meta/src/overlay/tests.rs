//! Reads of a command see its own writes.

use super::*;
use proptest::prelude::*;
use ringfort_engine::Direction;

/// A map as the state below: the second implementation of [`Records`].
#[derive(Default)]
struct Map(BTreeMap<Vec<u8>, Bytes>);

impl Records for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let range = self.0.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let mut step = |(key, value): (&Vec<u8>, &Bytes)| visit(key, value).is_break();
        match direction {
            Direction::Forward => range.into_iter().any(&mut step),
            Direction::Backward => range.into_iter().rev().any(&mut step),
        };
        Ok(())
    }

    fn skip_scan(
        &self,
        _from: &[u8],
        _to: &[u8],
        _visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<(), Option<Vec<u8>>>,
    ) -> Result<(), EngineError> {
        unreachable!("the overlay merges scans")
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(u8, u8),
    Delete(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0u8..24, any::<u8>()).prop_map(|(key, value)| Op::Put(key, value)),
        (0u8..24).prop_map(Op::Delete)
    ];
    proptest::collection::vec(op, 0..40)
}

const SLOT: SlotId = SlotId(5);

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn reads_see_stored_and_pending_as_one(
        stored in proptest::collection::btree_map(0u8..24, any::<u8>(), 0..16),
        ops in ops(),
        from in 0u8..26,
        to in 0u8..26,
        limit in 1usize..30,
    ) {
        let mut map = Map::default();
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (key, value) in stored {
            map.0.insert(slot_key(SLOT, &[key]), Bytes::copy_from_slice(&[value]));
            model.insert(vec![key], vec![value]);
        }
        // Neighbours that no read of the slot may see.
        map.0.insert(slot_key(SlotId(4), &[255]), Bytes::new());
        map.0.insert(slot_key(SlotId(6), &[0]), Bytes::new());
        let mut overlay = Overlay::new(&map);
        let mut tx = overlay.slot(SLOT, 1, &[]);
        for op in ops {
            match op {
                Op::Put(key, value) => { tx.put(&[key], &[value]); model.insert(vec![key], vec![value]); }
                Op::Delete(key) => { tx.delete(&[key]); model.remove(&vec![key]); }
            }
        }
        for key in 0u8..26 {
            prop_assert_eq!(tx.get(&[key]).map(|value| value.to_vec()), model.get(&vec![key]).cloned());
        }
        let end = if to == 25 { vec![] } else { vec![to] };
        for direction in [Scan::Forward, Scan::Backward] {
            let mut got = Vec::new();
            tx.scan(&[from], &end, direction, &mut |key, value| {
                got.push((key.to_vec(), value.to_vec()));
                if got.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let inside = model.iter().filter(|(key, _)| key.as_slice() >= &[from][..] && (end.is_empty() || *key < &end));
            let mut want: Vec<_> = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
            if direction == Scan::Backward { want.reverse(); }
            want.truncate(limit);
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn skipping_visits_the_first_key_not_below(ops in ops(), step in 1u8..5) {
        let map = Map::default();
        let mut overlay = Overlay::new(&map);
        let mut tx = overlay.slot(SLOT, 1, &[]);
        let mut model = std::collections::BTreeSet::new();
        for op in ops {
            match op {
                Op::Put(key, value) => { tx.put(&[key], &[value]); model.insert(key); }
                Op::Delete(key) => { tx.delete(&[key]); model.remove(&key); }
            }
        }
        let mut got = Vec::new();
        tx.skip_scan(&[0], &[], &mut |key, _| {
            got.push(key[0]);
            ControlFlow::Continue(Some(vec![key[0] + step]))
        });
        let mut want = Vec::new();
        let mut at = 0;
        while let Some(&key) = model.range(at..).next() { want.push(key); at = key + step; }
        prop_assert_eq!(got, want);
    }
}
