//! How often things took how long: counters of ranges that grow with the value, two decimal digits exact.
//!
//! A value below 128 ns has a counter of its own; above, each doubling has 64. Longer than [`MAX_NS`] counts as that.

use crate::stats::Counter;

/// Bits of a value that are kept exact.
const EXACT_BITS: u32 = 7;
const HALF: usize = 1 << (EXACT_BITS - 1);
/// The longest time told apart, a little more than a second, as in Redis.
pub(crate) const MAX_NS: u64 = (1 << 30) - 1;
const COUNTERS: usize = (1 << EXACT_BITS) + (30 - EXACT_BITS as usize) * HALF;

/// The counters.
#[derive(Debug)]
pub(crate) struct Histogram(Box<[Counter]>);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self((0..COUNTERS).map(|_| Counter::default()).collect())
    }

    /// Counts a value.
    #[inline]
    pub(crate) fn note(&self, ns: u64) {
        if let Some(counter) = self.0.get(place(ns.min(MAX_NS))) {
            counter.add(1);
        }
    }

    pub(crate) fn reset(&self) {
        self.0.iter().for_each(Counter::reset);
    }
}

/// The counter of a value.
#[inline]
fn place(ns: u64) -> usize {
    let shift = (64 - EXACT_BITS).saturating_sub(ns.leading_zeros());
    ((ns >> shift) as usize) + shift as usize * HALF
}

/// The largest value that counts at a place.
fn largest(place: usize) -> u64 {
    if place < 2 * HALF {
        return place as u64;
    }
    let shift = place / HALF - 1;
    let kept = place - shift * HALF;
    ((kept as u64 + 1) << shift) - 1
}

/// Several histograms added up.
pub(crate) struct Sum(Vec<u64>);

impl Sum {
    pub(crate) fn of<'a>(parts: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut sum = vec![0; COUNTERS];
        for part in parts {
            for (to, counter) in sum.iter_mut().zip(&part.0) {
                *to += counter.get();
            }
        }
        Self(sum)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The time, in nanoseconds, that `percent` of the values do not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let count = self.count();
        let wanted =
            ((percent.clamp(0.0, 100.0) / 100.0 * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (place, n) in self.0.iter().enumerate() {
            seen += n;
            if *n > 0 && seen >= wanted {
                return largest(place);
            }
        }
        0
    }

    /// How many values lie at or below each doubling, from the first that has any to the one that has all: pairs of
    /// microseconds and counts. Steps are those of Redis: powers of two from 1024 ns on, each up to the end of its range.
    pub(crate) fn by_doubling(&self) -> Vec<(u64, u64)> {
        let count = self.count();
        let (mut steps, mut seen, mut last) = (Vec::new(), 0, 0);
        let mut next = 0;
        for exponent in 10..=30 {
            let edge = place((1_u64 << exponent).min(MAX_NS));
            seen += self.0.get(next..=edge).unwrap_or_default().iter().sum::<u64>();
            next = edge + 1;
            if seen > last {
                steps.push((largest(edge) / 1000, seen));
                last = seen;
            }
            if seen == count {
                break;
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts_at_its_place() {
        let mut before = 0;
        for ns in (0..5000).chain([1 << 20, (1 << 20) + 1, MAX_NS - 1, MAX_NS]) {
            let at = place(ns);
            assert!(at < COUNTERS && largest(at) >= ns, "{ns}");
            assert!(largest(at) - ns <= ns / 64, "{ns} counts as up to {}", largest(at));
            assert!(at >= before, "{ns}");
            before = at;
        }
    }

    #[test]
    fn percentiles_and_steps() {
        let histogram = Histogram::new();
        (0..90).for_each(|_| histogram.note(900));
        (0..9).for_each(|_| histogram.note(3_000));
        histogram.note(u64::MAX);
        let sum = Sum::of([&histogram, &Histogram::new()].into_iter());
        assert_eq!(sum.count(), 100);
        assert_eq!(sum.percentile(50.0), 903);
        assert_eq!(sum.percentile(99.0), 3_007);
        assert_eq!(sum.percentile(100.0), MAX_NS);
        assert_eq!(sum.percentile(0.0), 903);
        assert_eq!(sum.by_doubling(), [(1, 90), (4, 99), (1_073_741, 100)]);
        assert_eq!(Sum::of(std::iter::empty()).percentile(50.0), 0);
    }
}
