//! The newest entries of a group, in memory: all that are not persisted yet, and as many older ones as fit.
//! Followers are served and committed entries applied from here; the disk is only read for what is older.

use std::collections::VecDeque;

use crate::LogEntry;

/// Entries without a gap up to the log's last index.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Index of the first entry here, or the next index if there is none.
    first: u64,
    entries: VecDeque<LogEntry>,
    bytes: usize,
}

impl Tail {
    /// An empty tail in front of `next_index`.
    pub fn new(next_index: u64) -> Self {
        Self { first: next_index, entries: VecDeque::new(), bytes: 0 }
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    /// Index behind the last entry.
    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub fn get(&self, index: u64) -> Option<&LogEntry> {
        self.entries.get(index.checked_sub(self.first)? as usize)
    }

    /// Appends an entry; whatever was at its index or above is dropped. True if something was in the way,
    /// here or (below `first`) on disk.
    pub fn push(&mut self, entry: LogEntry) -> bool {
        let replaces = entry.index < self.next();
        if entry.index < self.first || entry.index > self.next() {
            *self = Self::new(entry.index);
        }
        while self.next() > entry.index {
            if let Some(dropped) = self.entries.pop_back() {
                self.bytes -= dropped.payload.len();
            }
        }
        self.bytes += entry.payload.len();
        self.entries.push_back(entry);
        replaces
    }

    /// Drops the oldest entries at or below `persisted` until at most `limit_bytes` remain.
    pub fn evict(&mut self, persisted: u64, limit_bytes: usize) {
        while self.bytes > limit_bytes && self.first <= persisted {
            let Some(dropped) = self.entries.pop_front() else { return };
            self.bytes -= dropped.payload.len();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntryKind;

    fn entry(index: u64, term: u64) -> LogEntry {
        LogEntry { index, term, kind: EntryKind::Block, payload: vec![0; 10].into() }
    }

    #[test]
    fn conflicting_entries_replace_what_follows() {
        let mut tail = Tail::new(5);
        for index in 5..9 {
            assert!(!tail.push(entry(index, 1)));
        }
        assert!(tail.push(entry(7, 2)));
        assert_eq!(tail.get(7).map(|found| found.term), Some(2));
        assert!(tail.get(8).is_none() && tail.get(4).is_none());
        assert!(tail.push(entry(3, 3)), "below what is in memory");
        assert_eq!((tail.first(), tail.next(), tail.bytes), (3, 4, 10));
    }

    #[test]
    fn only_persisted_entries_leave() {
        let mut tail = Tail::new(1);
        for index in 1..=10 {
            tail.push(entry(index, 1));
        }
        tail.evict(4, 0);
        assert_eq!(tail.first(), 5);
        tail.evict(10, 30);
        assert_eq!((tail.first(), tail.bytes), (8, 30));
    }
}
