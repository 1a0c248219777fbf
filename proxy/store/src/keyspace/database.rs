//! One database: 16384 slots, each a table of entries, and the counts over them.
//!
//! Every change of an entry goes through here, so that counts, expiries and bytes can't drift from the entries.

use crate::key::{Key, SLOTS};
use crate::raw::{EntryBox, EntryMut, EntryRef, Hasher, Place, Table};

/// One slot's entries.
pub(super) type Slot = Table<EntryBox>;

/// Slots counted together, so that populated slots are found without reading all headers.
pub(super) const GROUP: usize = 128;
const GROUPS: usize = SLOTS as usize / GROUP;

/// Counts that follow from the entries of a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) keys: u64,
    /// Keys with an expiry, and the sum of their expiries in unix milliseconds.
    pub(super) expires: u64,
    pub(super) expiry_sum: i128,
    /// Bytes of the entries, by size class.
    pub(super) bytes: u64,
}

impl Counts {
    fn add(&mut self, entry: EntryRef<'_>) {
        self.keys += 1;
        self.bytes += entry.memory_bytes() as u64;
        if let Some(at) = entry.expire_at() {
            self.expires += 1;
            self.expiry_sum += i128::from(at);
        }
    }

    fn subtract(&mut self, entry: EntryRef<'_>) {
        self.keys -= 1;
        self.bytes -= entry.memory_bytes() as u64;
        if let Some(at) = entry.expire_at() {
            self.expires -= 1;
            self.expiry_sum -= i128::from(at);
        }
    }
}

/// A database. Takes no memory to speak of until it gets its first key.
#[derive(Default)]
pub(super) struct Database {
    /// Empty, or all slots.
    slots: Vec<Slot>,
    /// Keys in each group of slots; as long as `slots` is.
    groups: Vec<u64>,
    counts: Counts,
    /// Bytes of the slots' arrays.
    table_bytes: usize,
}

impl Database {
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes of entries and tables.
    pub(super) fn used_bytes(&self) -> u64 {
        let headers = self.slots.len() * size_of::<Slot>() + self.groups.len() * 8;
        self.counts.bytes + (self.table_bytes + headers) as u64
    }

    #[inline]
    pub(super) fn slot(&self, slot: u16) -> Option<&Slot> {
        self.slots.get(usize::from(slot))
    }

    /// A slot for changes that leave counts, sizes and expiries as they are.
    pub(super) fn slot_mut(&mut self, slot: u16) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(slot))
    }

    /// The first slot from `slot` on that has keys.
    pub(super) fn populated_from(&self, slot: u16) -> Option<u16> {
        let mut slot = usize::from(slot);
        while let Some(table) = self.slots.get(slot) {
            if table.len() > 0 {
                return Some(slot as u16);
            }
            slot += 1;
            while slot.is_multiple_of(GROUP) && self.groups.get(slot / GROUP) == Some(&0) {
                slot += GROUP;
            }
        }
        None
    }

    /// The slot that holds the key with the number `nth` when keys are counted slot by slot.
    pub(super) fn slot_of_nth(&self, mut nth: u64) -> Option<u16> {
        for (group, keys) in self.groups.iter().enumerate() {
            if nth >= *keys {
                nth -= keys;
                continue;
            }
            for slot in group * GROUP..(group + 1) * GROUP {
                let len = self.slots.get(slot)?.len() as u64;
                if nth < len {
                    return Some(slot as u16);
                }
                nth -= len;
            }
        }
        None
    }

    /// Finds a key: where it is, and its entry.
    #[inline]
    pub(super) fn find(&self, key: Key<'_>, hash: u64) -> Option<(Place, EntryRef<'_>)> {
        self.slot(key.slot)?.find(hash, |entry| entry.key() == key.bytes)
    }

    /// The entry at a place for changes that leave its size class and expiry's presence as they are, except where
    /// `set_expiry` is used instead.
    #[inline]
    pub(super) fn entry_mut(&mut self, slot: u16, place: Place) -> Option<EntryMut<'_>> {
        self.slots.get_mut(usize::from(slot))?.at_mut(place)
    }

    /// Overwrites the stored expiry; false where none is stored.
    pub(super) fn set_expiry(&mut self, slot: u16, place: Place, at: i64) -> bool {
        let Some(mut entry) = self.slots.get_mut(usize::from(slot)).and_then(|slot| slot.at_mut(place))
        else {
            return false;
        };
        let Some(old) = entry.view().expire_at() else { return false };
        entry.set_expiry(at);
        self.counts.expiry_sum += i128::from(at) - i128::from(old);
        true
    }

    /// Changes an entry where it is; whatever becomes of its size is counted.
    pub(super) fn edit<R>(
        &mut self,
        slot: u16,
        place: Place,
        change: impl FnOnce(&mut EntryMut<'_>) -> R,
    ) -> Option<R> {
        let mut entry = self.slots.get_mut(usize::from(slot))?.at_mut(place)?;
        self.counts.subtract(entry.view());
        let result = change(&mut entry);
        self.counts.add(entry.view());
        Some(result)
    }

    /// Adds a key that is not there yet.
    pub(super) fn insert(&mut self, slot: u16, hash: u64, entry: EntryBox, hasher: &Hasher) {
        if self.slots.is_empty() {
            self.slots.resize_with(usize::from(SLOTS), Slot::new);
            self.groups = vec![0; GROUPS];
        }
        let Some(table) = self.slots.get_mut(usize::from(slot)) else { return };
        self.counts.add(entry.view());
        self.groups[usize::from(slot) / GROUP] += 1;
        table.insert(hash, entry, hasher, &mut self.table_bytes);
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, slot: u16, place: Place, hasher: &Hasher) -> Option<EntryBox> {
        let table = self.slots.get_mut(usize::from(slot))?;
        let entry = table.remove(place, hasher, &mut self.table_bytes)?;
        self.counts.subtract(entry.view());
        self.groups[usize::from(slot) / GROUP] -= 1;
        Some(entry)
    }

    /// Exchanges an entry for what `change` makes of it.
    pub(super) fn replace(&mut self, slot: u16, place: Place, change: impl FnOnce(EntryBox) -> EntryBox) {
        let (counts, Some(table)) = (&mut self.counts, self.slots.get_mut(usize::from(slot))) else { return };
        table.replace_with(place, |old| {
            counts.subtract(old.view());
            let new = change(old);
            counts.add(new.view());
            new
        });
    }

    /// Empties the database; gives what it held, to be freed bit by bit.
    pub(super) fn unlink(&mut self) -> Vec<Slot> {
        std::mem::take(self).slots
    }

    /// Walks all entries: tables in order, counts as counted, every key in its slot.
    pub(super) fn check(&self, hasher: &Hasher) -> Result<(), String> {
        let mut counts = Counts::default();
        let mut groups = vec![0; self.groups.len()];
        for (number, slot) in self.slots.iter().enumerate() {
            slot.check(hasher).map_err(|error| format!("slot {number}: {error}"))?;
            groups[number / GROUP] += slot.len() as u64;
            for entry in slot.iter() {
                counts.add(entry);
                if usize::from(crate::key::slot_of(entry.key())) != number {
                    return Err(format!("slot {number} holds {}", entry.key().escape_ascii()));
                }
            }
        }
        if counts != self.counts {
            return Err(format!("counted {:?}, found {counts:?}", self.counts));
        }
        if groups == self.groups { Ok(()) } else { Err("keys of slot groups miscounted".to_owned()) }
    }
}
