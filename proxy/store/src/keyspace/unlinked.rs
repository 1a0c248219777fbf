//! What was deleted but is too big to free at once: flushed databases and big collections.
//!
//! Apply only unlinks them; whoever drives the keyspace calls `free_some` in quiet moments.

use crate::raw::EntryBox;
use crate::types::apply::Collection;

use super::database::Slot;

/// Collections with more elements than this are freed bit by bit.
const BIG: usize = 64;

/// Things to be freed.
#[derive(Default)]
pub(super) struct Unlinked {
    slots: Vec<Slot>,
    collections: Vec<Collection>,
}

impl Unlinked {
    /// Takes a flushed database's slots.
    pub(super) fn add_slots(&mut self, mut slots: Vec<Slot>) {
        slots.retain(|slot| slot.len() > 0);
        self.slots.append(&mut slots);
    }

    /// Frees an entry that was deleted or replaced: at once, or later if it is big.
    pub(super) fn add_entry(&mut self, entry: EntryBox) {
        if let Some(collection) = entry.into_collection()
            && len(&collection) > BIG
        {
            self.collections.push(*collection);
        }
    }

    /// Frees about `budget` entries or elements; true while more is left.
    pub(super) fn free_some(&mut self, budget: usize) -> bool {
        let mut budget = budget.max(1);
        while let Some(collection) = self.collections.last_mut() {
            let before = len(collection);
            if free_part(collection, budget) {
                self.collections.pop();
            }
            budget = budget.saturating_sub(before.max(1));
            if budget == 0 {
                return true;
            }
        }
        while let Some(mut slot) = self.slots.pop() {
            let mut freed = 0;
            let empty = slot.drain_some(budget, &mut |entry| {
                freed += 1;
                self.add_entry(entry);
            });
            if !empty {
                self.slots.push(slot);
            }
            budget = budget.saturating_sub(freed.max(1));
            if budget == 0 {
                break;
            }
        }
        !self.slots.is_empty() || !self.collections.is_empty()
    }
}

fn len(collection: &Collection) -> usize {
    match collection {
        Collection::List(list) => list.len(),
        Collection::Hash(hash) => hash.len(),
        Collection::Set(set) => set.len(),
        Collection::ZSet(zset) => zset.len(),
    }
}

/// Frees about `budget` elements; true when the collection may be dropped.
fn free_part(collection: &mut Collection, budget: usize) -> bool {
    !match collection {
        Collection::List(list) => list.dismantle(budget),
        Collection::Hash(hash) => hash.dismantle(budget),
        Collection::Set(set) => set.dismantle(budget),
        Collection::ZSet(zset) => zset.dismantle(budget),
    }
}
