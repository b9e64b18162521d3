//! How long blocks take, and whether they wait for each other: numbers that cost a few additions a block.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, seconds.
const BOUNDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// A histogram of durations, with the buckets that blocks need: 1 ms to 5 s.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One count a bound, and one for what is beyond the last.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramReading {
    /// Upper bound in seconds, and how many were not longer.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// Seconds of all together.
    pub sum: f64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> HistogramReading {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (index, counted) in self.counts.iter().enumerate() {
            count += counted.load(Ordering::Relaxed);
            if let Some(bound) = BOUNDS.get(index) {
                buckets.push((*bound, count));
            }
        }
        HistogramReading { buckets, count, sum: self.micros.load(Ordering::Relaxed) as f64 / 1e6 }
    }
}

/// How long a ledger's blocks took on this node.
#[derive(Debug, Default)]
pub struct Timings {
    /// Building a block as its leader: transactions taken, executed, sealed.
    pub build: Histogram,
    /// Executing a block that others built.
    pub execute: Histogram,
    /// How many were built here on a parent that was not final yet.
    pub built_ahead: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_bounds_belong_to_them() {
        let histogram = Histogram::default();
        for millis in [1, 2, 3, 700, 60_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let reading = histogram.read();
        let upto = |bound: f64| reading.buckets.iter().find(|(known, _)| *known == bound).unwrap().1;
        assert_eq!((upto(0.001), upto(0.002), upto(0.005), upto(0.5), upto(1.0), upto(5.0)), (1, 2, 3, 3, 4, 4));
        assert_eq!(reading.count, 5);
        assert!((reading.sum - 60.706).abs() < 1e-9);
    }
}
