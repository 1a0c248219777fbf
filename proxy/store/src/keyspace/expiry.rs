//! Expiry: which keys' time has passed, by the hint wheel. The keyspace has no clock: callers bring the time.
//!
//! Only the primary asks, and logs a deletion for what it is told. The wheel starts with the first question; the
//! keys that were there before are hinted by a walk of bounded steps.

use crate::key::DATABASES;
use crate::raw::{CURSOR_BITS, EntryMut, Hasher};

use super::Keyspace;
use super::wheel::{HASH_BITS, Hint, Wheel};

/// A key that was reported is looked at again after this time, in case its deletion was not applied.
const AGAIN_MS: i64 = 1000;
/// Steps of the wheel, and buckets of the first walk, for each key that a caller wants.
const STEPS_A_KEY: usize = 16;

impl Keyspace {
    /// Up to about `max` keys (database, slot, key) whose expiry has passed at `now_ms`. They stay until their
    /// deletion is applied; a key that is not deleted is reported again a second later. The work of a call is
    /// bounded by `max`, so call again soon when `max` keys came.
    pub fn due(&mut self, now_ms: i64, max: usize, out: &mut Vec<(u8, u16, Vec<u8>)>) {
        let steps = max.max(8).saturating_mul(STEPS_A_KEY);
        if !self.wheel.started() {
            self.wheel.start(now_ms);
            self.unhinted = Some((0, 0));
        } else if self.unhinted.is_none()
            && self.wheel.is_stale(self.databases.iter().map(|db| db.counts().expires).sum())
        {
            // Keys that went before their time left their hints behind: begin anew with the keys there are.
            self.wheel.start(now_ms);
            (self.unhinted, self.rehint) = (Some((0, 0)), true);
        }
        self.hint_more(steps);
        let (limit, mut budget) = (out.len() + max, steps);
        while out.len() < limit {
            let Some(hint) = self.wheel.pop(now_ms, &mut budget) else { return };
            self.follow(hint, now_ms, out);
        }
    }

    /// Looks at what a hint leads to: reports keys whose time has passed, hints again for what is still to come.
    fn follow(&mut self, hint: Hint, now_ms: i64, out: &mut Vec<(u8, u16, Vec<u8>)>) {
        let db = self.order.iter().position(|index| *index == hint.database).unwrap_or(0) as u8;
        let hasher = self.hasher;
        let mut next: Option<i64> = None;
        let mut look = |entry: EntryMut<'_>| {
            let entry = entry.view();
            let Some(at) = entry.expire_at() else { return };
            if (hasher.hash(entry.key()) ^ hint.hash) & ((1 << HASH_BITS) - 1) != 0 {
                return;
            }
            let again = if at <= now_ms {
                out.push((db, hint.slot, entry.key().to_vec()));
                now_ms.saturating_add(AGAIN_MS)
            } else {
                at
            };
            next = Some(next.map_or(again, |next| next.min(again)));
        };
        let database = &mut self.databases[usize::from(hint.database % DATABASES)];
        if let Some(slot) = database.slot_mut(hint.slot) {
            slot.visit_low_mut(hint.hash, HASH_BITS, &mut look);
        }
        if let Some(at) = next {
            self.wheel.insert(at, hint);
        }
    }

    /// Goes on hinting the keys that were there before the wheel started, for about `steps` buckets.
    fn hint_more(&mut self, steps: usize) {
        for _ in 0..steps {
            let Some((database, cursor)) = self.unhinted else { return self.rehint = false };
            self.unhinted = self.hint_bucket(database, cursor);
        }
    }

    /// Hints one bucket's keys; gives where the next bucket is.
    fn hint_bucket(&mut self, database: u8, cursor: u64) -> Option<(u8, u64)> {
        let wheel = &mut self.wheel;
        let (hasher, rehint) = (self.hasher, self.rehint);
        let tables = self.databases.get_mut(usize::from(database))?;
        let from = (cursor >> CURSOR_BITS) as u16;
        let Some(slot) = tables.populated_from(from) else { return Some((database + 1, 0)) };
        let point = if slot == from { cursor & ((1 << CURSOR_BITS) - 1) } else { 0 };
        let mut add = |mut entry: EntryMut<'_>| {
            if let Some(at) = entry.view().expire_at()
                && (rehint || !entry.view().hinted())
            {
                let hinted = wheel.insert(at, hint_for(database, slot, entry.view().key(), &hasher));
                entry.set_hinted(hinted);
            }
        };
        let next = tables.slot_mut(slot)?.scan_mut(point, &mut add);
        // Behind the last point of a slot the carry leads to the next slot.
        Some((database, (u64::from(slot) << CURSOR_BITS) + next))
    }

    /// Makes sure that the wheel looks at a key no later than `at`. False when no hints are kept yet.
    pub(super) fn hint(wheel: &mut Wheel, database: usize, slot: u16, hash: u64, at: i64) -> bool {
        wheel.insert(at, Hint { database: database as u8, slot, hash })
    }
}

fn hint_for(database: u8, slot: u16, key: &[u8], hasher: &Hasher) -> Hint {
    Hint { database, slot, hash: hasher.hash(key) }
}
