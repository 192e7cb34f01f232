//! The one look per second at all connections of a port.

use crate::Limits;
use crate::connection::{CoarseClock, ConnectionState, Phase};
use crate::meter::{Closed, Meter};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

struct Entry {
    state: Arc<ConnectionState>,
    task: Option<AbortHandle>,
}

/// The open connections of a port, and the rules by which they are closed.
pub(crate) struct Sweeper {
    pub(crate) clock: Arc<CoarseClock>,
    pub(crate) meter: Meter,
    limits: Limits,
    open: Mutex<HashMap<u64, Entry>>,
}

impl Sweeper {
    pub(crate) fn new(limits: Limits, meter: Meter) -> Self {
        let clock = Arc::new(CoarseClock::default());
        clock.set_ms(boot_ms());
        Self { clock, meter, limits, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        // Nothing panics while holding the lock, and a stale table does no harm.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, id: u64) -> Arc<ConnectionState> {
        let (clock, traffic) = (Arc::clone(&self.clock), Arc::clone(&self.meter.traffic));
        let state = Arc::new(ConnectionState::new(clock, traffic));
        self.meter.accepted();
        self.open().insert(id, Entry { state: Arc::clone(&state), task: None });
        state
    }

    /// Makes the connection's task known; it may be over already.
    pub(crate) fn set_task(&self, id: u64, task: AbortHandle) {
        if let Some(entry) = self.open().get_mut(&id) {
            entry.task = Some(task);
        }
    }

    pub(crate) fn remove(&self, id: u64) {
        self.open().remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        self.open().len()
    }

    /// Moves the clock and closes what overstayed.
    pub(crate) fn sweep(&self) {
        let now = boot_ms();
        self.clock.set_ms(now);
        let open = self.open();
        for entry in open.values() {
            if let Some(why) = self.overstayed(&entry.state, now) {
                self.meter.closed(why);
                entry.abort();
            }
        }
        self.meter.publish(open.len());
    }

    fn overstayed(&self, state: &ConnectionState, now: u64) -> Option<Closed> {
        let over = |ms: u64, limit: Duration| u128::from(ms) > limit.as_millis();
        match state.phase() {
            // What an idle connection has yet to flush is as good as a stalled reply.
            Phase::Idle if state.write_waits() => state
                .stalled_ms(now)
                .is_some_and(|ms| over(ms, self.limits.stall_timeout))
                .then_some(Closed::Stalled),
            Phase::Idle => over(state.in_phase_ms(now), self.limits.idle_timeout).then_some(Closed::Idle),
            Phase::Head => over(state.in_phase_ms(now), self.limits.head_timeout).then_some(Closed::SlowHead),
            Phase::Lingering => None,
            Phase::Busy => state
                .stalled_ms(now)
                .is_some_and(|ms| over(ms, self.limits.stall_timeout))
                .then_some(Closed::Stalled),
        }
    }

    /// Closes connections that were between requests at the last call and still are; answers how many are left.
    pub(crate) fn close_quiet(&self, quiet_before: &mut Vec<u64>) -> usize {
        let open = self.open();
        let quiet: Vec<u64> = open
            .iter()
            .filter(|(_, entry)| entry.state.phase() != Phase::Busy && !entry.state.write_waits())
            .map(|(id, _)| *id)
            .collect();
        for id in &quiet {
            if quiet_before.contains(id)
                && let Some(entry) = open.get(id)
            {
                entry.abort();
            }
        }
        *quiet_before = quiet;
        open.len()
    }

    pub(crate) fn close_all(&self) {
        for entry in self.open().values() {
            entry.abort();
        }
    }
}

impl Entry {
    fn abort(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn boot_ms() -> u64 {
    u64::try_from(ringfort_runtime::boot_time().as_millis()).unwrap_or(u64::MAX)
}
