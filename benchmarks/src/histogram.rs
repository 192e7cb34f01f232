//! Latencies in logarithmic buckets: exact to 1/64, a few KiB whatever the number of samples.

use std::time::Duration;

/// Buckets per power of two.
const FINE: u64 = 64;
const FINE_BITS: u32 = FINE.ilog2();

/// Counts of durations, by nanosecond.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    greatest: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket_of(nanos);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.greatest = self.greatest.max(nanos);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.greatest = self.greatest.max(other.greatest);
    }

    /// The duration that `percent` of the samples don't exceed, to within a bucket; zero without samples.
    pub(crate) fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(end_of(bucket).min(self.greatest));
            }
        }
        Duration::ZERO
    }

    pub(crate) const fn max(&self) -> Duration {
        Duration::from_nanos(self.greatest)
    }
}

fn bucket_of(value: u64) -> usize {
    let exponent = value.checked_ilog2().unwrap_or(0).saturating_sub(FINE_BITS);
    let bucket = u64::from(exponent) * FINE + (value >> exponent);
    usize::try_from(bucket).expect("at most 64 * 64 buckets")
}

/// The greatest value of a bucket.
fn end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * FINE {
        return bucket;
    }
    let exponent = bucket / FINE - 1;
    let mantissa = bucket - exponent * FINE;
    (mantissa << exponent) + ((1 << exponent) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values() {
        for value in (0..2000).chain([4095, 4096, 1 << 20, (1 << 40) + 12345, u64::MAX / 3]) {
            let bucket = bucket_of(value);
            let end = end_of(bucket);
            assert!(end >= value && end - value <= value / FINE, "{value} in {bucket} up to {end}");
            assert_eq!(bucket_of(end), bucket);
            assert_eq!(bucket_of(end + 1), bucket + 1);
        }
    }

    #[test]
    fn percentiles() {
        let mut all = Histogram::default();
        for part in 0..4u64 {
            let mut histogram = Histogram::default();
            for i in 0..250 {
                histogram.record(Duration::from_micros(part * 250 + i + 1));
            }
            all.merge(&histogram);
        }
        let near = |percent, expected: u64| {
            let got = u64::try_from(all.percentile(percent).as_micros()).unwrap();
            assert!(
                got >= expected && got <= expected + expected / 60 + 1,
                "p{percent}: {got} for {expected}"
            );
        };
        near(50, 500);
        near(99, 990);
        assert_eq!(all.max(), Duration::from_millis(1));
        assert_eq!(all.percentile(100), Duration::from_millis(1));
        assert_eq!(Histogram::default().percentile(99), Duration::ZERO);
    }
}
