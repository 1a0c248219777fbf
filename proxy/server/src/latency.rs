//! Moments in which something took longer than `latency-monitor-threshold`, by kind of event: what LATENCY shows.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

/// Samples kept of an event, one a second at most, as in Redis.
const SAMPLES_MAX: usize = 160;

/// What happened, under Redis's names where it knows the thing.
pub(crate) mod event {
    /// A command that the table doesn't call fast.
    pub(crate) const COMMAND: &str = "command";
    pub(crate) const FAST_COMMAND: &str = "fast-command";
    /// Deletion of expired keys by the timer.
    pub(crate) const EXPIRE: &str = "expire-cycle";
    /// Eviction by the timer.
    pub(crate) const EVICTION: &str = "eviction-cycle";
    /// From a block's handing to the log until it is durable.
    pub(crate) const LOG: &str = "log-append";
}

/// One moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) unix_s: i64,
    pub(crate) ms: u64,
}

/// The samples of one event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    pub(crate) samples: VecDeque<Sample>,
    /// The worst since the last reset, older than all samples perhaps.
    pub(crate) max_ms: u64,
}

/// All events.
#[derive(Default)]
pub(crate) struct Latency(Mutex<BTreeMap<&'static str, Series>>);

impl Latency {
    /// Notes a sample; the worst of a second stands for it.
    pub(crate) fn note(&self, event: &'static str, unix_s: i64, ms: u64) {
        let mut events = self.0.lock();
        let series = events.entry(event).or_default();
        series.max_ms = series.max_ms.max(ms);
        match series.samples.back_mut() {
            Some(last) if last.unix_s == unix_s => last.ms = last.ms.max(ms),
            _ => {
                if series.samples.len() == SAMPLES_MAX {
                    series.samples.pop_front();
                }
                series.samples.push_back(Sample { unix_s, ms });
            }
        }
    }

    /// A copy of everything.
    pub(crate) fn all(&self) -> Vec<(&'static str, Series)> {
        self.0.lock().iter().map(|(event, series)| (*event, series.clone())).collect()
    }

    /// One event's samples.
    pub(crate) fn series(&self, event: &[u8]) -> Option<Series> {
        let events = self.0.lock();
        let found = events.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(event));
        found.map(|(_, series)| series.clone())
    }

    /// Forgets events, all of them when none is named. Returns how many.
    pub(crate) fn reset(&self, named: &[&[u8]]) -> usize {
        let mut events = self.0.lock();
        let before = events.len();
        events.retain(|event, _| {
            !named.is_empty() && !named.iter().any(|name| event.as_bytes().eq_ignore_ascii_case(name))
        });
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_worst_of_each_second_and_forgets_by_name() {
        let latency = Latency::default();
        latency.note(event::COMMAND, 10, 5);
        latency.note(event::COMMAND, 10, 7);
        latency.note(event::COMMAND, 10, 6);
        (11..300).for_each(|second| latency.note(event::COMMAND, second, 1));
        latency.note(event::LOG, 10, 3);
        let series = latency.series(b"COMMAND").unwrap_or_default();
        assert_eq!((series.samples.len(), series.max_ms), (SAMPLES_MAX, 7));
        assert_eq!(series.samples.back(), Some(&Sample { unix_s: 299, ms: 1 }));
        assert_eq!(latency.reset(&[b"log-append", b"nothing"]), 1);
        assert_eq!(latency.all().len(), 1);
        assert_eq!(latency.reset(&[]), 1);
    }
}
