//! Groups under faults, judged by what their clients saw.
//!
//! Three voters on real folders; a wire that loses, delays and cuts messages one way or both; devices that close at any
//! moment and come back with what they had synced. Clients read and compare-and-set a few registers and add to a
//! counter. At the end every register's history must be one that a single register could have (`history`), the counter must
//! have counted each acknowledged command once and no other more than once, and the voters must be equal.

use super::history::{Event, Seen, is_linearizable};
use super::*;
use crate::group::Group;
use crate::kv::{KvClient, KvOutcome, found, get_query};
use ringfort_core::SYSTEM_SLOT;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const KEYS: u64 = 3;
const WORKERS: u64 = 5;
const GROUPS: [GroupId; 2] = [SYSTEM_GROUP, GroupId(1)];
/// A fault lasts for so many operations, or for so long if nothing gets done under it.
const FAULT_OPERATIONS: u64 = 60;
const FAULT_TIME: Duration = Duration::from_millis(1500);

/// What the clients did.
#[derive(Default)]
struct Ledger {
    clock: AtomicU64,
    registers: parking_lot::Mutex<BTreeMap<u64, Vec<Event>>>,
    ended: AtomicU64,
    added: AtomicU64,
    perhaps_added: AtomicU64,
    stop: AtomicBool,
}

impl Ledger {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, key: u64, called: u64, seen: Seen) {
        let event = Event { called, returned: self.now(), seen };
        self.registers.lock().entry(key).or_default().push(event);
    }
}

struct Worker {
    ledger: Arc<Ledger>,
    system: Arc<Group>,
    kv: KvClient,
    meta: MetaClient,
    random: u64,
    /// What it saw last of each register.
    last: BTreeMap<u64, u64>,
    /// The next value it writes; no two writes are of the same.
    next: u64,
}

impl Worker {
    async fn run(mut self) {
        while !self.ledger.stop.load(Ordering::Relaxed) {
            self.random = random_after(self.random);
            let key = self.random / 8 % KEYS;
            match self.random % 8 {
                0..2 => self.read(key).await,
                2..6 => self.set(key).await,
                _ => self.add().await,
            }
            self.ask_everyone(key);
            self.ledger.ended.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn read(&mut self, key: u64) {
        let called = self.ledger.now();
        if let Ok(found) = self.kv.get(&key.to_be_bytes()).await {
            let found = number(found);
            self.ledger.note(key, called, Seen::Read(found));
            self.last.insert(key, found);
        }
    }

    /// Asks every voter that takes itself for the leader, as a client of another process might: this one would always find the
    /// newest.
    fn ask_everyone(&self, key: u64) {
        for voter in self.system.voters() {
            let called = self.ledger.now();
            let query = get_query(&key.to_be_bytes());
            if let Ok(Some(answer)) = self.meta.ask_leading(&voter, SYSTEM_SLOT, &query) {
                self.ledger.note(key, called, Seen::Read(number(found(&answer.reply.into()).unwrap())));
            }
        }
    }

    async fn set(&mut self, key: u64) {
        let expected = self.last.get(&key).copied().unwrap_or(0);
        let new = self.next;
        self.next += WORKERS;
        let before = (expected != 0).then(|| expected.to_be_bytes());
        let called = self.ledger.now();
        let outcome = self
            .kv
            .compare_and_set(
                &key.to_be_bytes(),
                before.as_ref().map(|value| &value[..]),
                Some(&new.to_be_bytes()),
            )
            .await;
        let (seen, now) = match outcome {
            Ok(KvOutcome::Done) => (Seen::Set { expected, new }, new),
            Ok(KvOutcome::Mismatch { found, .. }) => {
                let found = number(found);
                (Seen::Mismatch { expected, found }, found)
            }
            Err(_) => (Seen::Unknown { expected, new }, expected),
        };
        self.ledger.note(key, called, seen);
        self.last.insert(key, now);
    }

    async fn add(&mut self) {
        let added = self.meta.execute(SLOT, command(1, "sum"), Vec::new()).await.is_ok();
        let count = if added { &self.ledger.added } else { &self.ledger.perhaps_added };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

fn number(value: Option<Bytes>) -> u64 {
    value.map_or(0, |value| u64::from_be_bytes(value.as_ref().try_into().unwrap()))
}

/// Three voters, their clients, and who breaks things.
struct Simulation {
    process: Process,
    ledger: Arc<Ledger>,
    seed: u64,
    random: u64,
}

impl Simulation {
    async fn run(seed: u64, rounds: u64) {
        println!("seed {seed}, {rounds} rounds");
        let config = MetaConfig {
            command_timeout: Duration::from_secs(3),
            query_timeout: Duration::from_secs(1),
            ..fast()
        };
        let process = Process::start_with(3, config).await;
        let mut simulation = Self { process, ledger: Arc::default(), seed: seed % 6, random: seed };
        let workers = simulation.start_workers(seed);
        for round in 0..rounds {
            simulation.round(round).await;
        }
        simulation.ledger.stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.await.unwrap();
        }
        simulation.judge(rounds).await;
    }

    fn start_workers(&self, seed: u64) -> Vec<tokio::task::JoinHandle<()>> {
        let worker = |number: u64| Worker {
            ledger: self.ledger.clone(),
            system: self.process.host.inner.group(SYSTEM_GROUP),
            kv: KvClient::new(self.process.client()),
            meta: self.process.client(),
            random: random_after(seed ^ number << 32),
            last: BTreeMap::new(),
            next: number,
        };
        (1..=WORKERS).map(|number| self.process.tasks.spawn(worker(number).run())).collect()
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random = random_after(self.random);
        self.random % below
    }

    fn groups(&self) -> Vec<Arc<Group>> {
        GROUPS.iter().map(|group| self.process.host.inner.group(*group)).collect()
    }

    async fn round(&mut self, round: u64) {
        let victim = self.victim();
        // Every kind comes once in six rounds.
        let kind = (round + self.seed) % 6;
        let device = usize::try_from(victim.0).unwrap();
        let crashes = kind >= 4;
        for group in self.groups() {
            let faults = &group.wire.faults;
            for other in (1..=3).map(VoterId).filter(|other| *other != victim) {
                match kind {
                    0 => {
                        faults.cut(victim, other);
                        faults.cut(other, victim);
                    }
                    1 => faults.cut(other, victim),
                    2 => faults.cut(victim, other),
                    _ => faults.unsteady(150, 30),
                }
            }
        }
        if crashes {
            self.process.remove(device).await;
        }
        self.operations(FAULT_OPERATIONS, FAULT_TIME).await;
        self.process.assert_running();
        if crashes {
            let report = self.process.add(device, victim.0).await;
            assert_eq!(report.opened.len(), 3, "{report:?}");
        }
        if self.draw(3) > 0 {
            self.groups().iter().for_each(|group| group.wire.faults.heal());
            let went_on = self.operations(FAULT_OPERATIONS, Duration::from_secs(30)).await;
            assert!(went_on, "no progress after a fault of kind {kind} on voter {victim}");
        }
    }

    /// Mostly the leader, whose loss matters most.
    fn victim(&mut self) -> VoterId {
        let drawn = VoterId(1 + self.draw(3));
        let leader = self.process.host.inner.group(SYSTEM_GROUP).leader();
        if self.draw(4) > 0 { leader.map_or(drawn, |leader| leader.id) } else { drawn }
    }

    /// Waits until so many operations have ended; whether they did before the limit.
    async fn operations(&self, count: u64, limit: Duration) -> bool {
        let goal = self.ledger.ended.load(Ordering::SeqCst) + count;
        let deadline = tokio::time::Instant::now() + limit;
        while self.ledger.ended.load(Ordering::SeqCst) < goal {
            if tokio::time::Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    async fn judge(self, rounds: u64) {
        self.groups().iter().for_each(|group| group.wire.faults.heal());
        let kv = KvClient::new(self.process.client());
        let mut unknown = 0;
        for key in 0..KEYS {
            let called = self.ledger.now();
            let name = key.to_be_bytes();
            let found = eventually_ok("a read when all is well", || kv.get(&name)).await;
            self.ledger.note(key, called, Seen::Read(number(found)));
            let events = self.ledger.registers.lock().remove(&key).unwrap();
            unknown += events.iter().filter(|event| matches!(event.seen, Seen::Unknown { .. })).count();
            assert!(is_linearizable(events.clone()), "register {key}: {events:#?}");
        }
        let sum = counter(&self.process.client(), SLOT, "sum").await;
        let added = self.ledger.added.load(Ordering::SeqCst);
        let perhaps = self.ledger.perhaps_added.load(Ordering::SeqCst);
        assert!((added..=added + perhaps).contains(&sum), "{added} and perhaps {perhaps} more, not {sum}");
        let ended = self.ledger.ended.load(Ordering::SeqCst);
        println!("{ended} operations, {unknown} sets of unknown outcome, {added} (+ {perhaps}) added");
        assert!(ended > rounds * FAULT_OPERATIONS / 4);
        self.voters_are_equal().await;
    }

    async fn voters_are_equal(&self) {
        for group in GROUPS {
            let found = self.process.host.inner.group(group);
            eventually("all voters to have applied the same", || async {
                self.process.assert_running();
                let voters = found.voters();
                let first = voters[0].progress.index();
                let last = voters[0].raft.data_metrics().borrow().last_log.map_or(0, |at| at.index);
                voters.len() == 3
                    && first == last
                    && voters.iter().all(|voter| voter.progress.index() == first)
            })
            .await;
            let states = self.process.engines.iter().flatten().map(|engine| {
                let mut records = Vec::new();
                engine
                    .group_state(group)
                    .scan(&[], &[], ringfort_engine::Direction::Forward, &mut |key, value| {
                        records.push((key.to_vec(), value.to_vec()));
                        std::ops::ControlFlow::Continue(())
                    })
                    .unwrap();
                records
            });
            let states: Vec<_> = states.collect();
            assert!(states[0].len() > 2 && states.windows(2).all(|pair| pair[0] == pair[1]), "group {group}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_under_faults_are_linearizable() {
    Simulation::run(random_seed(), 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nightly_long_histories_under_faults_are_linearizable() {
    for _ in 0..10 {
        Simulation::run(random_seed(), 30).await;
    }
}
