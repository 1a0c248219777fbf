//! What was deleted but is too big to free at once: flushed databases and big collections.
//!
//! Apply only unlinks them; whoever drives the keyspace calls `free_some` in quiet moments.

use crate::raw::EntryBox;
use crate::types::FEW_ELEMENTS;
use crate::types::apply::Collection;

use super::database::Slot;

/// Slots of one flushed database, and what their entries take.
struct Flushed {
    slots: Vec<Slot>,
    bytes: u64,
}

/// Things to be freed.
#[derive(Default)]
pub(super) struct Unlinked {
    flushed: Vec<Flushed>,
    /// Each with the bytes that it still takes, roughly.
    collections: Vec<(Collection, u64)>,
    /// Sums over both.
    objects: u64,
    bytes: u64,
    freed: u64,
}

impl Unlinked {
    /// Takes a flushed database's slots, whose entries take `bytes`.
    pub(super) fn add_slots(&mut self, mut slots: Vec<Slot>, bytes: u64) {
        slots.retain(|slot| slot.len() > 0);
        if !slots.is_empty() {
            self.objects += slots.iter().map(|slot| slot.len() as u64).sum::<u64>();
            self.bytes += bytes;
            self.flushed.push(Flushed { slots, bytes });
        }
    }

    /// Frees an entry that was deleted or replaced: at once, or later if it is big.
    pub(super) fn add_entry(&mut self, entry: EntryBox) {
        if let Some(collection) = entry.into_collection()
            && collection.as_value().elements() > FEW_ELEMENTS
        {
            let bytes = collection.heap_bytes() as u64;
            self.objects += 1;
            self.bytes += bytes;
            self.collections.push((collection, bytes));
        }
    }

    /// Objects and, roughly, bytes that are still to be freed.
    pub(super) fn left(&self) -> (u64, u64) {
        (self.objects, self.bytes)
    }

    /// Objects freed so far, of those that came here.
    pub(super) fn freed_objects(&self) -> u64 {
        self.freed
    }

    /// Frees about `budget` entries or elements; true while more is left.
    pub(super) fn free_some(&mut self, budget: usize) -> bool {
        let mut budget = budget.max(1);
        while budget > 0 {
            let freed = if !self.collections.is_empty() {
                self.free_elements(budget)
            } else if !self.flushed.is_empty() {
                self.free_entries(budget)
            } else {
                return false;
            };
            budget = budget.saturating_sub(freed.max(1));
        }
        !self.flushed.is_empty() || !self.collections.is_empty()
    }

    /// Frees a part of the last collection; returns how much of the budget went.
    fn free_elements(&mut self, budget: usize) -> usize {
        let Some((collection, bytes)) = self.collections.last_mut() else { return 0 };
        let before = collection.as_value().elements();
        let done = free_part(collection, budget);
        let left =
            if done { 0 } else { *bytes * collection.as_value().elements() as u64 / before.max(1) as u64 };
        self.bytes -= *bytes - left;
        *bytes = left;
        if done {
            self.collections.pop();
            self.objects -= 1;
            self.freed += 1;
        }
        // What has no elements left still has the nodes of its tree or table: they are a step of their own.
        if before == 0 { budget } else { before }
    }

    /// Frees about `budget` entries of a flushed slot; returns how many.
    fn free_entries(&mut self, budget: usize) -> usize {
        let Some(mut flushed) = self.flushed.pop() else { return 0 };
        let (mut freed, mut bytes) = (0, 0);
        if let Some(mut slot) = flushed.slots.pop() {
            let empty = slot.drain_some(budget, &mut |entry| {
                freed += 1;
                bytes += entry.view().memory_bytes() as u64;
                self.add_entry(entry);
            });
            if !empty {
                flushed.slots.push(slot);
            }
        }
        flushed.bytes -= bytes.min(flushed.bytes);
        self.objects -= freed as u64;
        self.bytes -= bytes;
        self.freed += freed as u64;
        if !flushed.slots.is_empty() {
            self.flushed.push(flushed);
        }
        freed
    }
}

/// Frees about `budget` elements; true when the collection may be dropped.
fn free_part(collection: &mut Collection, budget: usize) -> bool {
    !match collection {
        Collection::List(list) => list.dismantle(budget),
        Collection::Hash(hash) => hash.dismantle(budget),
        Collection::Set(set) => set.dismantle(budget),
        Collection::ZSet(zset) => zset.dismantle(budget),
        Collection::Stream(stream) => stream.dismantle(budget),
    }
}
