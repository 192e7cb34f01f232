//! Each sync is needed: with that one left out, a history loses something that the whole engine keeps. See `docs/testing.md`.

use super::model::{Op, Run};
use super::scenario::history;
use crate::disk::SyncPoint;

/// Looks among `histories` for one that fails with the fault put in; the same history passes without.
fn noticed(fault: impl Fn(&mut Run), histories: impl Iterator<Item = Vec<Op>>) {
    noticed_with(|| Run::new(|_| {}), fault, histories);
}

fn noticed_with(run: impl Fn() -> Run, fault: impl Fn(&mut Run), histories: impl Iterator<Item = Vec<Op>>) {
    for ops in histories {
        let mut broken = run();
        fault(&mut broken);
        if let Err(what) = broken.history(&ops) {
            assert_eq!(Run::new(|_| {}).history(&ops), Ok(()), "the whole engine fails too");
            println!("noticed: {what}");
            return;
        }
    }
    panic!("nothing notices that this is left out");
}

fn without(point: SyncPoint, histories: impl Iterator<Item = Vec<Op>>) {
    noticed(|run| run.disk.ignore(Some(point)), histories);
}

/// Histories drawn at random, the same ones each time.
fn drawn() -> impl Iterator<Item = Vec<Op>> {
    (0..600).map(|seed| history(seed * 7919, 90))
}

/// Some work in one extent, and more that goes on to the next ones.
fn work() -> Vec<Op> {
    let put = |blob, number| Op::Put { blob, number, len: 3000 };
    vec![
        put(0, 0),
        Op::Append { group: 0, count: 2, len: 2000 },
        Op::Vote { group: 0 },
        put(1, 0),
        Op::Append { group: 1, count: 3, len: 4000 },
        put(2, 0),
        put(3, 1),
    ]
}

/// The power fails, or the process is killed, after each possible number of changes; then, right after the opening, the power
/// fails once more.
fn cut_everywhere(kill: bool) -> impl Iterator<Item = Vec<Op>> {
    (0..40_u64).flat_map(move |changes| {
        (0..6_u64).map(move |seed| {
            let mut ops = vec![Op::Fuse { changes, kill }];
            ops.extend(work());
            // An index that kept all it was told, over a disk that may not have.
            ops.push(Op::Crash { seed: seed + 100 * changes, index_seed: u64::MAX, fuse: None });
            ops
        })
    })
}

#[test]
fn log_batch() {
    without(SyncPoint::LogBatch, drawn());
}

#[test]
fn extent_seal() {
    without(SyncPoint::ExtentSeal, drawn());
}

#[test]
fn extent_header() {
    without(SyncPoint::ExtentHeader, cut_everywhere(false).chain(drawn()));
}

#[test]
fn extent_name() {
    without(SyncPoint::ExtentName, drawn());
}

#[test]
fn recovery_read() {
    without(SyncPoint::RecoveryRead, cut_everywhere(true).chain(drawn()));
}

#[test]
fn recovery_names() {
    let crash = |seed| vec![Op::Crash { seed, index_seed: 0, fuse: None }];
    without(SyncPoint::RecoveryNames, (0..50).map(crash));
}

#[test]
fn recovery_names_after_a_kill() {
    let fault = |run: &mut Run| {
        run.start().unwrap();
        run.disk.ignore(Some(SyncPoint::RecoveryNames));
    };
    // Killed in one of the steps, and the power fails as soon as the device is open again.
    let histories = (0..30).flat_map(|changes| {
        (1..=work().len()).flat_map(move |steps| {
            (0..4).map(move |seed| {
                let mut ops = vec![Op::Fuse { changes, kill: true }];
                ops.extend(work().into_iter().take(steps));
                ops.push(Op::Crash { seed, index_seed: u64::MAX, fuse: None });
                ops
            })
        })
    });
    noticed(fault, histories);
}

#[test]
fn recovery_cut() {
    without(SyncPoint::RecoveryCut, cut_everywhere(false).chain(drawn()));
}

#[test]
fn format_file() {
    without(SyncPoint::FormatFile, drawn());
}

#[test]
fn extent_freed() {
    without(SyncPoint::ExtentFreed, drawn());
}

#[test]
fn acknowledging_before_the_sync() {
    noticed_with(|| Run::new(|config| config.ack_early = true), |_| {}, drawn());
}

#[test]
fn index_flush_before_an_extent_is_freed() {
    noticed(|run| run.index.ignore_flush(), drawn());
}

#[test]
fn every_sync_point_is_reached() {
    let points = [
        SyncPoint::LogBatch,
        SyncPoint::ExtentSeal,
        SyncPoint::ExtentHeader,
        SyncPoint::ExtentName,
        SyncPoint::RecoveryRead,
        SyncPoint::RecoveryNames,
        SyncPoint::RecoveryCut,
        SyncPoint::FormatFile,
        SyncPoint::ExtentFreed,
    ];
    // A point that is added has to be named above, and to have a test.
    let tested = |point: SyncPoint| match point {
        SyncPoint::LogBatch
        | SyncPoint::ExtentSeal
        | SyncPoint::ExtentHeader
        | SyncPoint::ExtentName
        | SyncPoint::RecoveryRead
        | SyncPoint::RecoveryNames
        | SyncPoint::RecoveryCut
        | SyncPoint::FormatFile
        | SyncPoint::ExtentFreed => true,
    };
    let mut run = Run::new(|_| {});
    assert_eq!(run.history(&history(5, 400)), Ok(()));
    for point in points {
        assert!(tested(point) && run.disk.syncs(point) > 0, "{point:?}");
    }
}
