//! Leader leases: whether a leader may answer a read from its own state without asking anybody.
//!
//! A voter that has heard a leader grants no vote for one election timeout (openraft's own rule, kept across restarts by
//! [`Lease::refuses_votes`]). So until the send time of the last message that a quorum acknowledged plus a bound shorter
//! than that timeout, no other leader can have been elected, and what this leader has applied is all there is. The
//! leader itself is part of every such quorum: it refuses votes while its lease runs, and gives the lease up before it
//! lets a vote request through or sends one of its own. A configuration counts from the moment it is first sent to a peer: no
//! peer can act by it before.
//!
//! Times are of the boot clock; both ends of every comparison are taken on this process's clock.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type LeaderId = openraft::LeaderId<u64>;
/// The voters that each need a quorum, by configuration; two while they change.
pub(crate) type Configs = Vec<Vec<u64>>;

/// The lease of one voter.
pub(crate) struct Lease {
    lease: Duration,
    /// Microseconds since start until which reads may be served; 0 for none, `u64::MAX` for a group of one.
    until_us: AtomicU64,
    state: Mutex<State>,
}

struct State {
    /// Votes are refused until then, whoever asks: the voter may have acknowledged a leader just before it was restarted.
    votes_from: Duration,
    /// Acknowledgements of leaderships below this one count for nothing: this voter has promised itself to another.
    floor: LeaderId,
    /// The leadership the acknowledgements are for.
    leader: LeaderId,
    /// Send time of the last acknowledged message, per voter.
    acked: BTreeMap<u64, Duration>,
    configs: Configs,
    /// Their index in the log.
    configs_at: u64,
    /// The newest configuration sent to a peer: under which leadership, at which index.
    sent: (LeaderId, u64, Configs),
    voter: u64,
}

impl Lease {
    /// The lease of `voter`, opened at `now`; `bound_by_past` says that it may have acknowledged a leader before.
    pub(crate) fn new(
        voter: u64,
        lease: Duration,
        election_timeout: Duration,
        now: Duration,
        bound_by_past: bool,
    ) -> Self {
        let votes_from = if bound_by_past { now + election_timeout } else { Duration::ZERO };
        let state = State {
            votes_from,
            floor: LeaderId::default(),
            leader: LeaderId::default(),
            acked: BTreeMap::new(),
            configs: Configs::new(),
            configs_at: 0,
            sent: (LeaderId::default(), 0, Configs::new()),
            voter,
        };
        Self { lease, until_us: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// This voter leads as `leader` with the voters `configs`, which stand at index `at` of the log; or it does not lead
    /// (`None`).
    pub(crate) fn lead(&self, leader: Option<LeaderId>, at: u64, configs: Configs) {
        let mut state = self.state.lock();
        let Some(leader) = leader.filter(|leader| *leader >= state.floor) else {
            state.acked.clear();
            self.until_us.store(0, Ordering::Release);
            return;
        };
        if state.leader != leader {
            state.leader = leader;
            state.acked.clear();
        }
        (state.configs_at, state.configs) = match &state.sent {
            (of, sent_at, sent) if *of == leader && *sent_at > at => (*sent_at, sent.clone()),
            _ => (at, configs),
        };
        self.renew(&state);
    }

    /// This voter is about to send the configuration at index `at` to a peer as `leader`.
    pub(crate) fn sends_configs(&self, leader: LeaderId, at: u64, configs: Configs) {
        let mut state = self.state.lock();
        if (state.sent.0, state.sent.1) >= (leader, at) {
            return;
        }
        if state.leader == leader && state.configs_at < at {
            state.configs.clone_from(&configs);
            state.configs_at = at;
        }
        state.sent = (leader, at, configs);
        self.renew(&state);
    }

    /// Voter `from` acknowledged a message sent by this leader under `leader` at `sent`.
    pub(crate) fn acknowledged(&self, leader: LeaderId, from: u64, sent: Duration) {
        let mut state = self.state.lock();
        if leader != state.leader || leader < state.floor {
            return;
        }
        let last = state.acked.entry(from).or_default();
        *last = (*last).max(sent);
        self.renew(&state);
    }

    /// Reads may be served at `now`. Check it after reading: then it holds for the time of the read.
    pub(crate) fn holds(&self, now: Duration) -> bool {
        micros(now) < self.until_us.load(Ordering::Acquire)
    }

    /// A vote request of `candidate` arrives: whether it is refused unseen. If not, the lease is given up for good under
    /// the present leadership, because the vote may be granted.
    pub(crate) fn refuses_votes(&self, candidate: LeaderId, now: Duration) -> bool {
        let mut state = self.state.lock();
        if now < state.votes_from || self.holds(now) {
            return true;
        }
        self.give_up(&mut state, candidate);
        false
    }

    /// This voter asks for votes as `candidate`: it has given itself its own, so its lease ends before anybody can answer.
    pub(crate) fn campaigns(&self, candidate: LeaderId) {
        self.give_up(&mut self.state.lock(), candidate);
    }

    fn give_up(&self, state: &mut State, candidate: LeaderId) {
        if candidate > state.leader {
            state.floor = state.floor.max(candidate);
            state.acked.clear();
            self.until_us.store(0, Ordering::Release);
        }
    }

    fn renew(&self, state: &State) {
        if state.leader < state.floor {
            return;
        }
        let until = state
            .configs
            .iter()
            .map(|config| match quorum_sent(config, state) {
                _ if config.as_slice() == [state.voter] => u64::MAX,
                Some(sent) => micros(sent + self.lease),
                None => 0,
            })
            .min();
        self.until_us.store(until.unwrap_or(0), Ordering::Release);
    }
}

/// The latest time such that a quorum of `config` acknowledged something sent then or later.
fn quorum_sent(config: &[u64], state: &State) -> Option<Duration> {
    let needed = config.len() / 2 + 1 - usize::from(config.contains(&state.voter));
    let mut sent: Vec<Duration> = config.iter().filter_map(|voter| state.acked.get(voter).copied()).collect();
    if needed == 0 {
        return Some(Duration::MAX / 4);
    }
    sent.sort_unstable_by(|a, b| b.cmp(a));
    sent.get(needed - 1).copied()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(80);
    const TIMEOUT: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn leading(configs: Configs) -> (Lease, LeaderId) {
        let lease = Lease::new(1, LEASE, TIMEOUT, ms(0), false);
        let leader = LeaderId::new(4, 1);
        lease.lead(Some(leader), 7, configs);
        (lease, leader)
    }

    #[test]
    fn runs_from_the_send_time_of_the_quorum() {
        let (lease, leader) = leading(vec![vec![1, 2, 3]]);
        assert!(!lease.holds(ms(1000)));
        lease.acknowledged(leader, 3, ms(1000));
        assert!(lease.holds(ms(1079)) && !lease.holds(ms(1080)));
        lease.acknowledged(leader, 2, ms(1050));
        assert!(lease.holds(ms(1129)) && !lease.holds(ms(1130)));
        lease.acknowledged(LeaderId::new(3, 1), 2, ms(2000));
        assert!(!lease.holds(ms(1130)), "an acknowledgement of another leadership counts for nothing");
        lease.lead(None, 0, vec![]);
        assert!(!lease.holds(ms(1051)));
    }

    #[test]
    fn needs_a_quorum_of_each_part_of_a_joint_configuration() {
        let (lease, leader) = leading(vec![vec![1, 2, 3], vec![3, 4, 5]]);
        lease.acknowledged(leader, 2, ms(1000));
        lease.acknowledged(leader, 4, ms(1000));
        assert!(!lease.holds(ms(1000)));
        lease.acknowledged(leader, 5, ms(1000));
        assert!(lease.holds(ms(1000)));
    }

    #[test]
    fn a_single_voter_needs_nobody() {
        let (lease, _) = leading(vec![vec![1]]);
        assert!(lease.holds(ms(1_000_000)));
    }

    #[test]
    fn votes_and_leases_exclude_each_other() {
        let (lease, leader) = leading(vec![vec![1, 2, 3]]);
        lease.acknowledged(leader, 2, ms(1000));
        assert!(lease.refuses_votes(LeaderId::new(5, 3), ms(1040)), "a leader with a lease keeps it");
        assert!(!lease.refuses_votes(LeaderId::new(5, 3), ms(1090)));
        lease.acknowledged(leader, 2, ms(1091));
        assert!(!lease.holds(ms(1092)), "a late acknowledgement does not revive a lease given up");
    }

    #[test]
    fn a_candidate_has_no_lease() {
        let (lease, leader) = leading(vec![vec![1, 2, 3]]);
        lease.acknowledged(leader, 2, ms(1000));
        assert!(lease.holds(ms(1001)));
        lease.campaigns(LeaderId::new(5, 1));
        assert!(!lease.holds(ms(1001)), "its own vote may make another leadership");
        lease.acknowledged(leader, 3, ms(1002));
        lease.lead(Some(leader), 7, vec![vec![1, 2, 3]]);
        assert!(!lease.holds(ms(1003)), "what openraft said before it became a candidate comes too late");
        lease.lead(Some(LeaderId::new(5, 1)), 7, vec![vec![1, 2, 3]]);
        lease.acknowledged(LeaderId::new(5, 1), 3, ms(1010));
        assert!(lease.holds(ms(1011)), "the leadership it campaigned for has a lease of its own");
    }

    #[test]
    fn a_configuration_counts_once_it_is_sent() {
        let (lease, leader) = leading(vec![vec![1]]);
        lease.sends_configs(leader, 9, vec![vec![1, 2, 3]]);
        assert!(!lease.holds(ms(1000)), "2 and 3 may elect a leader without 1");
        lease.lead(Some(leader), 7, vec![vec![1]]);
        assert!(!lease.holds(ms(1000)), "late news of an older configuration changes nothing");
        lease.acknowledged(leader, 3, ms(1000));
        assert!(lease.holds(ms(1001)));
        lease.sends_configs(leader, 8, vec![vec![1]]);
        assert!(!lease.holds(ms(1081)), "an older configuration sent again to one who lags changes nothing");
        lease.lead(Some(leader), 12, vec![vec![1]]);
        assert!(lease.holds(ms(2000)));
        lease.sends_configs(leader, 10, vec![vec![1, 2, 3]]);
        assert!(
            lease.holds(ms(2000)),
            "nor does one that was sent for the first time when it was no longer in force"
        );
        // Sent before openraft has told of the leadership.
        let next = LeaderId::new(6, 1);
        lease.sends_configs(next, 20, vec![vec![1, 2, 3]]);
        lease.lead(Some(next), 12, vec![vec![1]]);
        assert!(!lease.holds(ms(2000)));
    }

    #[test]
    fn a_restarted_voter_abstains_for_one_timeout() {
        let lease = Lease::new(1, LEASE, TIMEOUT, ms(500), true);
        assert!(lease.refuses_votes(LeaderId::new(9, 2), ms(599)));
        assert!(!lease.refuses_votes(LeaderId::new(9, 2), ms(600)));
    }
}
