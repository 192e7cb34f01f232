//! How long plans take: `cargo run --release -p ringfort-ring --example build_speed`.
//!
//! The goal: 2^18 partitions over 1000 devices, three pieces each, from nothing in less than two seconds on one core.

use ringfort_core::DeviceId;
use ringfort_ring::{Builder, DeviceSpec, RingError, Weight};
use std::time::Duration;

fn devices(count: u32) -> Vec<DeviceSpec> {
    let place = |id: u32| {
        let (zone, node) = (format!("z{}", id % 5), format!("n{}", id % 50));
        let weight = Weight::from_milli(1000 + u64::from(id % 3) * 500).unwrap_or_default();
        DeviceSpec::new(DeviceId(id)).at("r1", &zone, &node).with_weight(weight)
    };
    (0..count).map(place).collect()
}

/// Runs `work` and says how long it took.
#[allow(clippy::disallowed_methods)]
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let done = work();
    let took: Duration = start.elapsed();
    println!("{what}: {took:.3?}");
    done
}

fn main() -> Result<(), RingError> {
    for (power, count, width) in [(14, 6, 3), (14, 6, 6), (14, 100, 6), (18, 1000, 3), (18, 1000, 12)] {
        let builder = Builder::new(width, [7; 32]).with_power(power);
        let name = format!("2^{power} partitions x {width} over {count} devices");
        let first = timed(&format!("{name}, from nothing"), || builder.plan(None, &devices(count)))?;
        let next =
            timed(&format!("{name}, one more"), || builder.plan(Some(&first.table), &devices(count + 1)))?;
        println!("  {} moves; {:?}; {:?}", next.moves.len(), next.balance, next.dispersion.zones);
        let bytes = timed("  encode", || next.table.encode());
        timed("  decode", || ringfort_ring::RingTable::decode(&bytes))?;
    }
    Ok(())
}
