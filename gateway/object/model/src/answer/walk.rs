//! Walking over a range of records in either direction, past what a common prefix rolls up.

use crate::keys;
use ringfort_storage_api::{Scan, SlotView};
use std::ops::ControlFlow;

/// Where a walk goes on.
pub(super) enum Step {
    /// With the next record.
    On,
    /// Past all records whose key begins so.
    Past(Vec<u8>),
    /// Nowhere.
    Stop,
}

/// Visits the records of `[from, to)` forward or backward.
pub(super) fn walk(
    view: &dyn SlotView,
    (from, to): (&[u8], &[u8]),
    direction: Scan,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
) {
    match direction {
        Scan::Forward => view.skip_scan(from, to, &mut |key, value| match visit(key, value) {
            Step::On => ControlFlow::Continue(None),
            Step::Past(prefix) => ControlFlow::Continue(Some(keys::after_prefix(&prefix))),
            Step::Stop => ControlFlow::Break(()),
        }),
        Scan::Backward => {
            let mut to = to.to_vec();
            loop {
                let mut past = None;
                view.scan(from, &to, Scan::Backward, &mut |key, value| match visit(key, value) {
                    Step::On => ControlFlow::Continue(()),
                    Step::Past(prefix) => {
                        past = Some(prefix);
                        ControlFlow::Break(())
                    }
                    Step::Stop => ControlFlow::Break(()),
                });
                match past {
                    Some(prefix) if prefix.as_slice() > from => to = prefix,
                    _ => return,
                }
            }
        }
    }
}
