//! Faults on the wire between the voters of a group.

use parking_lot::Mutex;
use ringfort_core::VoterId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Which messages are lost or late. By default none is.
#[derive(Default)]
pub(crate) struct Faults(Mutex<State>);

#[derive(Default)]
struct State {
    cut: BTreeSet<(VoterId, VoterId)>,
    lost_per_mille: u64,
    delay_ms_max: u64,
    random: u64,
}

impl State {
    fn draw(&mut self, below: u64) -> u64 {
        self.random = super::random_after(self.random);
        self.random % below
    }
}

impl Faults {
    pub(crate) async fn carries(&self, from: VoterId, to: VoterId) -> bool {
        let delay_ms = {
            let mut state = self.0.lock();
            if state.cut.contains(&(from, to)) || state.draw(1000) < state.lost_per_mille {
                return false;
            }
            let delay_ms_max = state.delay_ms_max;
            state.draw(delay_ms_max + 1)
        };
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        // What is on its way when the wire is cut is lost.
        !self.0.lock().cut.contains(&(from, to))
    }

    /// Messages from `from` to `to` are lost.
    pub(crate) fn cut(&self, from: VoterId, to: VoterId) {
        self.0.lock().cut.insert((from, to));
    }

    /// Messages get lost and come late, by chance.
    pub(crate) fn unsteady(&self, lost_per_mille: u64, delay_ms_max: u64) {
        let mut state = self.0.lock();
        (state.lost_per_mille, state.delay_ms_max) = (lost_per_mille, delay_ms_max);
    }

    /// All is well again.
    pub(crate) fn heal(&self) {
        *self.0.lock() = State::default();
    }
}
