//! Drawing keys for eviction: a handful at a time, in bounded work, whatever the keyspace's size.
//!
//! Keys with an expiry are found by the table while they are common; where they are rare, the expiry index leads to
//! them, so that a few in a million don't cost a walk over the million.

use rand::Rng;

use crate::raw::CURSOR_BITS;

use super::wheel::HASH_BITS;
use super::{Entry, Keyspace};

/// Buckets looked into for each key that is wanted.
const BUCKETS_A_KEY: usize = 4;
/// Keys with an expiry are common when they are at least this part of all.
const COMMON_PART: u64 = 16;
/// Hints followed for each key that is wanted.
const HINTS_A_KEY: usize = 4;

impl Keyspace {
    /// Calls `f` for up to about `count` keys of a database from somewhere in it; with `volatile`, only keys that have
    /// an expiry. Keys that lie together come together, so draw few at a time.
    pub fn sample<'a, R: Rng + ?Sized>(
        &'a self,
        db: u8,
        volatile: bool,
        count: usize,
        rng: &mut R,
        f: &mut dyn FnMut(Entry<'a>),
    ) {
        let counts = self.database(db).counts();
        if counts.keys == 0 || volatile && counts.expires == 0 {
            return;
        }
        if volatile && counts.expires < counts.keys / COMMON_PART && self.wheel.started() {
            return self.sample_hinted(db, count, rng, f);
        }
        let Some(mut slot) = self.database(db).slot_of_nth(rng.random_range(0..counts.keys)) else { return };
        let mut point = rng.random_range(0..1u64 << CURSOR_BITS);
        let mut left = count;
        for _ in 0..count.saturating_mul(BUCKETS_A_KEY).saturating_mul(if volatile {
            COMMON_PART as usize
        } else {
            1
        }) {
            let Some(table) = self.database(db).slot(slot) else { return };
            point = table.scan(point, &mut |node| {
                if left > 0 && (!volatile || node.expire_at().is_some()) {
                    left -= 1;
                    f(self.entry_in(db, slot, node));
                }
            });
            if left == 0 {
                return;
            }
            if point >> CURSOR_BITS != 0 {
                let next = self
                    .database(db)
                    .populated_from(slot + 1)
                    .or_else(|| self.database(db).populated_from(0));
                let Some(next) = next else { return };
                (slot, point) = (next, 0);
            }
        }
    }

    /// The same by the expiry index: hints of deleted or changed keys lead nowhere, others to their keys.
    fn sample_hinted<'a, R: Rng + ?Sized>(
        &'a self,
        db: u8,
        count: usize,
        rng: &mut R,
        f: &mut dyn FnMut(Entry<'a>),
    ) {
        let index = self.index(db);
        let mut left = count;
        for hint in self.wheel.sample(count.saturating_mul(HINTS_A_KEY), rng) {
            if usize::from(hint.database) != index {
                continue;
            }
            let Some(table) = self.databases[index].slot(hint.slot) else { continue };
            table.visit_low(hint.hash, HASH_BITS, &mut |node| {
                let same = (self.hasher.hash(node.key()) ^ hint.hash) & ((1 << HASH_BITS) - 1) == 0;
                if left > 0 && same && node.expire_at().is_some() {
                    left -= 1;
                    f(self.entry_in(db, hint.slot, node));
                }
            });
        }
    }

    /// An entry with an expiry, drawn about evenly; `None` when none was found.
    pub fn random_volatile<R: Rng + ?Sized>(&self, db: u8, rng: &mut R) -> Option<Entry<'_>> {
        let mut found = Vec::with_capacity(8);
        self.sample(db, true, 8, rng, &mut |entry| found.push(entry));
        if found.is_empty() { None } else { found.get(rng.random_range(0..found.len())).copied() }
    }
}
