//! Deletions in flight: which keys were deleted by records that are not durable yet.
//!
//! A present key carries the position of its last change; a deleted one has nowhere to carry it. A reader that
//! misses asks here which position its answer must wait for. Keys are remembered by a 64-bit keyed hash: two keys
//! that collide make a reader wait a little longer, never too short. Positions are applied in ascending order.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::key::Position;

/// The keys are keyed hashes already; hashing them again would be waste.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Side table of deletions whose records are not durable.
#[derive(Default)]
pub(super) struct InFlight {
    latest: HashMap<u64, Position, BuildHasherDefault<Identity>>,
    order: VecDeque<(Position, u64)>,
    durable: Position,
}

impl InFlight {
    /// Highest position known to be durable.
    pub(super) fn durable(&self) -> Position {
        self.durable
    }

    /// Remembers that the record at `position` deleted the key that `hash` stands for.
    pub(super) fn deleted(&mut self, hash: u64, position: Position) {
        if position > self.durable {
            self.latest.insert(hash, position);
            self.order.push_back((position, hash));
        }
    }

    /// Position of the deletion that a reader who misses this key must wait for; 0 if there is none.
    #[inline]
    pub(super) fn gate(&self, hash: u64) -> Position {
        if self.order.is_empty() { 0 } else { self.latest.get(&hash).copied().unwrap_or(0) }
    }

    /// Forgets deletions up to `position`. A lower position than before changes nothing.
    pub(super) fn set_durable(&mut self, position: Position) {
        self.durable = self.durable.max(position);
        while let Some(&(deleted_at, hash)) = self.order.front() {
            if deleted_at > self.durable {
                break;
            }
            self.order.pop_front();
            if self.latest.get(&hash) == Some(&deleted_at) {
                self.latest.remove(&hash);
            }
        }
        if self.order.is_empty() && self.latest.capacity() > 4096 {
            self.latest = HashMap::default();
            self.order = VecDeque::new();
        }
    }

    /// Heap bytes held, roughly.
    pub(super) fn heap_bytes(&self) -> usize {
        self.latest.capacity() * 17 + self.order.capacity() * 16
    }

    /// Every remembered deletion is in both structures, in order, and above the durable position.
    pub(super) fn check(&self) -> Result<(), String> {
        let ascending = self.order.iter().zip(self.order.iter().skip(1)).all(|(a, b)| a.0 <= b.0);
        let above = self.order.front().is_none_or(|first| first.0 > self.durable);
        let known = self.latest.iter().all(|(hash, at)| self.order.contains(&(*at, *hash)));
        if ascending && above && known { Ok(()) } else { Err("deletions in flight disagree".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    //! Gates appear with a deletion, move with a later one, and go when they are durable.
    use super::*;

    #[test]
    fn gate_follows_the_latest_deletion() {
        let mut table = InFlight::default();
        table.deleted(7, 10);
        table.deleted(8, 11);
        table.deleted(7, 12);
        assert_eq!((table.gate(7), table.gate(8), table.gate(9)), (12, 11, 0));
        table.set_durable(10);
        assert_eq!(table.gate(7), 12);
        table.check().expect("consistent");
        table.set_durable(12);
        assert_eq!((table.gate(7), table.gate(8)), (0, 0));
        table.deleted(7, 12);
        assert_eq!(table.gate(7), 0, "already durable");
        table.check().expect("consistent");
    }
}
