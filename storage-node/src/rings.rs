//! Ring changes: planned on a copy, applied to every policy at once, paused, resumed, taken back.

use crate::inner::Inner;
use crate::records::ClusterMap;
use crate::{DevicePlan, NodeError, PolicyPlaces, PolicyPlan, RingPlan, RingView};
use ringfort_core::{DeviceId, Policy};
use ringfort_ring::{Builder, DeviceSpec, DeviceState, POWER_MIN, Phase, Plan, RingError, RingState};
use std::collections::{BTreeMap, BTreeSet};

/// Most places (partitions times pieces) in one table: rings ride in one record of the system group.
const PLACES_MAX: usize = 1 << 17;

/// The power of a new ring of this width.
fn power_for(width: usize, wanted: u8) -> u8 {
    (POWER_MIN..=wanted).rev().find(|power| width << power <= PLACES_MAX).unwrap_or(POWER_MIN)
}

/// The first ring of each policy.
pub(crate) fn first(
    policies: &[Policy],
    specs: &[DeviceSpec],
    seed: [u8; 32],
    power: u8,
) -> Result<BTreeMap<u16, RingState>, NodeError> {
    let mut rings = BTreeMap::new();
    for policy in policies {
        let width = policy.redundancy.width();
        let builder = Builder::new(width, seed).with_power(power_for(width, power));
        let plan = builder.plan(None, specs).map_err(|error| explain(policy, &error))?;
        rings.insert(policy.id, RingState::first(plan.table));
    }
    Ok(rings)
}

fn explain(policy: &Policy, error: &RingError) -> NodeError {
    NodeError::Ring { reason: format!("storage policy {} ({}): {error}", policy.name, policy.redundancy) }
}

/// Plans every policy's next table for these devices.
pub(crate) fn plan(map: &ClusterMap, specs: &[DeviceSpec]) -> Result<Vec<(Policy, Plan)>, NodeError> {
    let mut plans = Vec::new();
    for policy in &map.policies {
        let Some(ring) = map.rings.get(&policy.id) else { continue };
        if !matches!(ring.phase(), Phase::Done | Phase::Planned) {
            return Err(NodeError::Refused {
                reason: format!(
                    "a ring change is {} (storage policy {}): wait until it is done, or revert it",
                    ring.phase(),
                    policy.name
                ),
            });
        }
        let old = ring.current();
        let builder = Builder::new(old.width(), *old.seed()).with_power(old.power());
        let plan = builder.plan(Some(old), specs).map_err(|error| explain(policy, &error))?;
        plans.push((policy.clone(), plan));
    }
    Ok(plans)
}

/// Puts planned tables in force.
pub(crate) fn apply(map: &mut ClusterMap, plans: Vec<(Policy, Plan)>) -> Result<(), NodeError> {
    for (policy, plan) in plans {
        if let Some(ring) = map.rings.remove(&policy.id) {
            map.rings.insert(policy.id, ring.plan(plan.table)?.apply()?);
        }
    }
    Ok(())
}

/// Applies `step` to the rings in one of these phases.
fn step(
    map: &mut ClusterMap,
    phases: &[Phase],
    none: &str,
    step: impl Fn(RingState) -> Result<RingState, RingError>,
) -> Result<(), NodeError> {
    let mut any = false;
    for ring in map.rings.values_mut() {
        if phases.contains(&ring.phase()) {
            *ring = step(ring.clone())?;
            any = true;
        }
    }
    if any { Ok(()) } else { Err(NodeError::Refused { reason: none.to_owned() }) }
}

/// Device states after a revert: as the restored tables have them; a device they do not know is emptied again.
fn restore_states(map: &mut ClusterMap) {
    let known: BTreeMap<DeviceId, DeviceState> = map
        .rings
        .values()
        .flat_map(|ring| ring.current().specs())
        .map(|spec| (spec.id, spec.state))
        .collect();
    for device in map.devices.values_mut().filter(|device| device.state != DeviceState::Removed) {
        device.state = known.get(&device.id).copied().unwrap_or(DeviceState::Draining);
    }
}

impl Inner {
    /// Changes the map by `change`, then plans and applies rings for the devices in it. The caller holds `admin`.
    pub(crate) async fn change_ring(
        &self,
        change: impl FnOnce(&mut ClusterMap) -> Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        let mut map = ClusterMap::clone(&self.map.load());
        change(&mut map)?;
        let planned = self.blocking(move || {
            let plans = plan(&map, &map.specs())?;
            apply(&mut map, plans)?;
            Ok::<_, NodeError>(map)
        });
        self.commit(planned.await??).await?;
        self.reconcilers.wake_rebalance();
        Ok(())
    }

    /// Gives the cluster the configured policies whose names it does not know yet.
    pub(crate) async fn add_policies(&self) -> Result<(), NodeError> {
        let _alone = self.admin.lock().await;
        let mut map = ClusterMap::clone(&self.map.load());
        let mut next = map.policies.iter().map(|policy| policy.id + 1).max().unwrap_or(0);
        let mut fresh: Vec<Policy> = Vec::new();
        for policy in &self.config.policies {
            if !map.policies.iter().chain(&fresh).any(|known| known.name == policy.name) {
                fresh.push(Policy { id: next, ..policy.clone() });
                next += 1;
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let seed = self.identity.ring_seed(&self.config.data_dir)?;
        let (specs, power, policies) = (map.specs(), self.config.ring_power, fresh.clone());
        let rings = self.blocking(move || first(&policies, &specs, seed, power)).await??;
        map.rings.extend(rings);
        map.policies.extend(fresh);
        self.commit(map).await
    }

    pub(crate) async fn ring_step(&self, which: RingStep) -> Result<(), NodeError> {
        let _alone = self.admin.lock().await;
        let mut map = ClusterMap::clone(&self.map.load());
        match which {
            RingStep::Pause => {
                step(&mut map, &[Phase::Applying], "no ring change is under way", RingState::pause)?;
            }
            RingStep::Resume => {
                step(&mut map, &[Phase::Paused], "no ring change is paused", RingState::resume)?
            }
            RingStep::Revert => {
                let phases = [Phase::Applying, Phase::Paused];
                step(&mut map, &phases, "no ring change is under way", RingState::revert)?;
                restore_states(&mut map);
            }
            RingStep::Finish => {
                let phases = [Phase::Applying, Phase::Reverted];
                step(&mut map, &phases, "no ring change is under way", RingState::finish)?;
            }
        }
        self.commit(map).await?;
        self.reconcilers.wake_rebalance();
        Ok(())
    }

    /// What the next ring change would do, with the devices changed by `change`.
    pub(crate) async fn plan_ring(
        &self,
        change: impl FnOnce(&mut ClusterMap) -> Result<(), NodeError>,
    ) -> Result<RingPlan, NodeError> {
        let mut map = ClusterMap::clone(&self.map.load());
        change(&mut map)?;
        let plans = self.blocking(move || plan(&map, &map.specs())).await??;
        Ok(self.describe(&plans))
    }

    fn describe(&self, plans: &[(Policy, Plan)]) -> RingPlan {
        let live: BTreeMap<DeviceId, u64> =
            self.engines().into_iter().map(|(id, engine)| (id, engine.usage().live_bytes)).collect();
        let mut holds: BTreeMap<DeviceId, (u64, u64)> = BTreeMap::new();
        let mut reasons = BTreeSet::new();
        let mut described = RingPlan::default();
        for (policy, plan) in plans {
            described.epoch = described.epoch.max(plan.table.epoch().0);
            let mut devices = Vec::new();
            for change in &plan.devices {
                let (before, gives) = holds.entry(change.device).or_default();
                *before += u64::from(change.holds_before);
                *gives += u64::from(change.gives);
                if change.gives + change.takes > 0 {
                    reasons.insert(format!("device {} ({}): {}", change.device, change.place, change.reason));
                    let (takes, gives) = (u64::from(change.takes), u64::from(change.gives));
                    devices.push(DevicePlan { device: change.device.0, takes, gives });
                }
            }
            let places = (plan.table.partition_count() * plan.table.width()) as u64;
            let moves = plan.moves.len() as u64;
            described.policies.push(PolicyPlan { policy: policy.name.clone(), moves, places, devices });
        }
        for (device, (before, gives)) in holds {
            let bytes = live.get(&device).copied().unwrap_or(0);
            let share = u128::from(bytes) * u128::from(gives) / u128::from(before.max(1));
            described.bytes += u64::try_from(share).unwrap_or(bytes);
        }
        described.eta_s = described.bytes / self.config.reconcile.bytes_per_s.max(1);
        described.reasons = reasons.into_iter().collect();
        described
    }

    pub(crate) fn ring_view(&self) -> RingView {
        let map = self.map.load();
        let mut view = RingView::default();
        for policy in &map.policies {
            let Some(ring) = map.rings.get(&policy.id) else { continue };
            view.epoch = view.epoch.max(ring.epoch().0);
            view.previous = view.previous.max(ring.previous().map(|table| table.epoch().0));
            view.paused |= ring.phase() == Phase::Paused;
            view.partitions = view.partitions.max(ring.current().partition_count() as u64);
            let specs = ring.current().specs().iter().map(|spec| spec.id.0);
            let devices = specs.zip(ring.current().loads().into_iter().map(u64::from)).collect();
            view.policies.push(PolicyPlaces { policy: policy.name.clone(), devices });
        }
        view
    }
}

/// A step in the life of a ring change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RingStep {
    Pause,
    Resume,
    Revert,
    Finish,
}
