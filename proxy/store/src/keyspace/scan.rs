//! Walks over a database: SCAN, whole databases, ranges of slots, a key at random.

use std::ops::Range;

use rand::Rng;

use crate::key::{DATABASES, SLOTS};
use crate::raw::{CURSOR_BITS, EntryRef};

use super::{Entry, Keyspace, NO_HANDLE};

/// Buckets that one call looks into, for each entry it was asked for, before it gives up filling its count.
const BUCKETS_A_KEY: usize = 10;

impl Keyspace {
    pub(super) fn entry_in<'a>(&'a self, db: u8, slot: u16, node: EntryRef<'a>) -> Entry<'a> {
        let floor = self.floors[usize::from(db % DATABASES)];
        Entry { db, slot, floor, handle: NO_HANDLE, node }
    }

    /// Calls `f` for about `count` entries from `cursor` on (0 = start) and returns the next cursor, 0 at the end.
    /// A key that is present from the first call to the last is given at least once. Cursors stay below 2^53; their
    /// bits from 39 up are the slot, those below a point in the slot's bit-reversed hash order.
    pub fn scan<'a>(&'a self, db: u8, cursor: u64, count: usize, f: &mut dyn FnMut(Entry<'a>)) -> u64 {
        let database = self.database(db);
        let mut given = 0;
        let mut looks = count.max(1).saturating_mul(BUCKETS_A_KEY);
        let mut slot = (cursor >> CURSOR_BITS).min(u64::from(SLOTS)) as u16;
        let mut point = cursor & ((1 << CURSOR_BITS) - 1);
        loop {
            // A cursor inside a slot that has been emptied goes on at the next one.
            match database.populated_from(slot) {
                None => return 0,
                Some(populated) if populated != slot => (slot, point) = (populated, 0),
                Some(_) => {}
            }
            if given >= count.max(1) || looks == 0 {
                return u64::from(slot) << CURSOR_BITS | point;
            }
            let Some(table) = database.slot(slot) else { return 0 };
            point = table.scan(point, &mut |node| {
                given += 1;
                f(self.entry_in(db, slot, node));
            });
            looks -= 1;
            if point >> CURSOR_BITS != 0 {
                (slot, point) = (slot + 1, 0);
            }
        }
    }

    /// Calls `f` for every entry of a database.
    pub fn for_each<'a>(&'a self, db: u8, f: &mut dyn FnMut(Entry<'a>)) {
        self.for_each_in(db, 0..SLOTS, f);
    }

    /// Calls `f` for every entry whose slot is in `slots`, database by database.
    pub fn for_each_in_slots<'a>(&'a self, slots: Range<u16>, f: &mut dyn FnMut(u8, Entry<'a>)) {
        for db in 0..DATABASES {
            self.for_each_in(db, slots.clone(), &mut |entry| f(db, entry));
        }
    }

    fn for_each_in<'a>(&'a self, db: u8, slots: Range<u16>, f: &mut dyn FnMut(Entry<'a>)) {
        let database = self.database(db);
        let mut slot = slots.start;
        while let Some(populated) = database.populated_from(slot).filter(|slot| *slot < slots.end) {
            let nodes = database.slot(populated).into_iter().flat_map(|table| table.iter());
            nodes.for_each(|node| f(self.entry_in(db, populated, node)));
            slot = populated + 1;
        }
    }

    /// The entries of a slot of a database.
    pub fn slot_entries(&self, db: u8, slot: u16) -> impl Iterator<Item = Entry<'_>> {
        let nodes = self.database(db).slot(slot).into_iter().flat_map(|table| table.iter());
        nodes.map(move |node| self.entry_in(db, slot, node))
    }

    /// An entry chosen evenly; `None` when the database is empty.
    pub fn random<R: Rng + ?Sized>(&self, db: u8, rng: &mut R) -> Option<Entry<'_>> {
        let database = self.database(db);
        let keys = database.counts().keys;
        if keys == 0 {
            return None;
        }
        let slot = database.slot_of_nth(rng.random_range(0..keys))?;
        let node = database.slot(slot)?.random(rng)?;
        Some(self.entry_in(db, slot, node))
    }
}
