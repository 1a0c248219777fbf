//! One shard's data: 16 databases of 16384 slots.
//!
//! The engine's decide step reads here ([`Keyspace::find`]); `apply.rs` is the only code that changes anything.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::Range;

use rand::Rng;

use crate::key::{DATABASES, Key, Position};
use crate::types::{Elem, Limits, Value};

mod apply;
mod entry;
mod in_flight;

pub use entry::{Entry, Handle, Lookup};

use in_flight::InFlight;

/// What a key holds.
pub(crate) enum Content {
    Str(Vec<u8>),
    Collection(Box<crate::types::apply::Collection>),
}

pub(crate) struct Stored {
    position: Position,
    expire_at: Option<i64>,
    content: Content,
}

impl Stored {
    fn value(&self) -> Value<'_> {
        match &self.content {
            Content::Str(bytes) => match crate::types::parse_i64(bytes) {
                Some(int) => Value::Str(Elem::Int(int)),
                None => Value::Str(Elem::Bytes(bytes)),
            },
            Content::Collection(collection) => collection.as_value(),
        }
    }

    fn memory_bytes(&self) -> usize {
        48 + match &self.content {
            Content::Str(bytes) => bytes.len(),
            Content::Collection(collection) => collection.heap_bytes(),
        }
    }
}

#[derive(Default)]
struct Database {
    entries: BTreeMap<(u16, Vec<u8>), Stored>,
    floor: Position,
}

/// One shard's data. No clock, no async, no settings but [`Limits`].
pub struct Keyspace {
    databases: Vec<Database>,
    in_flight: InFlight,
    limits: Limits,
    hasher: RandomState,
}

impl Keyspace {
    /// An empty keyspace.
    pub fn new(limits: Limits) -> Self {
        Self {
            databases: (0..DATABASES).map(|_| Database::default()).collect(),
            in_flight: InFlight::default(),
            limits,
            hasher: RandomState::new(),
        }
    }

    /// Where packed collections turn into indexed ones.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Changes the limits; collections follow at their next change.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    fn database(&self, db: u8) -> &Database {
        &self.databases[usize::from(db % DATABASES)]
    }

    fn deletion_hash(&self, key: Key<'_>) -> u64 {
        self.hasher.hash_one((key.db, key.bytes))
    }

    /// Finds a key. Entries whose expiry has passed are found too: the caller has the clock.
    pub fn find(&self, key: Key<'_>) -> Lookup<'_> {
        let database = self.database(key.db);
        match database.entries.get_key_value(&(key.slot, key.bytes.to_vec())) {
            Some(((slot, bytes), stored)) => {
                Lookup::Entry(Entry { db: key.db, slot: *slot, key: bytes, floor: database.floor, stored })
            }
            None => {
                Lookup::Missing { gate: self.flush_gate(key.db).max(self.in_flight.gate(self.deletion_hash(key))) }
            }
        }
    }

    /// Brings a key's bucket into the cache ahead of its lookup, for pipelined batches.
    pub fn prefetch(&self, _key: Key<'_>) {}

    /// Forgets deletions in flight up to `position`, which is durable.
    pub fn set_durable(&mut self, position: Position) {
        self.in_flight.set_durable(position);
    }

    /// Number of keys in a database, logically expired ones included.
    pub fn len(&self, db: u8) -> u64 {
        self.database(db).entries.len() as u64
    }

    /// Whether no database holds a key.
    pub fn is_empty(&self) -> bool {
        (0..DATABASES).all(|db| self.len(db) == 0)
    }

    /// Number of keys in a slot over all databases.
    pub fn len_in_slot(&self, slot: u16) -> u64 {
        (0..DATABASES).map(|db| self.database(db).entries.keys().filter(|key| key.0 == slot).count() as u64).sum()
    }

    /// Number of keys with an expiry in a database.
    pub fn expires(&self, db: u8) -> u64 {
        self.database(db).entries.values().filter(|stored| stored.expire_at.is_some()).count() as u64
    }

    /// Average time to live, in milliseconds, of the keys with an expiry; 0 without any.
    pub fn avg_ttl(&self, db: u8, now_ms: i64) -> i64 {
        let (mut sum, mut count) = (0i128, 0i128);
        for at in self.database(db).entries.values().filter_map(|stored| stored.expire_at) {
            sum += i128::from(at.saturating_sub(now_ms).max(0));
            count += 1;
        }
        if count == 0 { 0 } else { (sum / count) as i64 }
    }

    /// Position of a flush or swap of this database that is not durable yet, else 0. Answers about the database as
    /// a whole (DBSIZE, SCAN, RANDOMKEY) wait for it; single keys already include it in their gate or position.
    pub fn flush_gate(&self, db: u8) -> Position {
        let floor = self.database(db).floor;
        if floor > self.in_flight.durable() { floor } else { 0 }
    }

    /// Calls `f` for about `count` entries from `cursor` on (0 = start) and returns the next cursor, 0 at the end.
    /// A key that is present from the first call to the last is given at least once. Cursors stay below 2^53; their
    /// bits from 39 up are the slot.
    pub fn scan<'a>(&'a self, db: u8, cursor: u64, count: usize, f: &mut dyn FnMut(Entry<'a>)) -> u64 {
        let database = self.database(db);
        let mut given = 0;
        let mut last = None;
        let first = (cursor >> 39).min(16383) as u16;
        for ((slot, key), stored) in database.entries.range((first, Vec::new())..) {
            if given >= count && last != Some(*slot) {
                return u64::from(*slot) << 39;
            }
            f(Entry { db, slot: *slot, key, floor: database.floor, stored });
            given += 1;
            last = Some(*slot);
        }
        0
    }

    /// Calls `f` for every entry of a database.
    pub fn for_each<'a>(&'a self, db: u8, f: &mut dyn FnMut(Entry<'a>)) {
        let database = self.database(db);
        for ((slot, key), stored) in &database.entries {
            f(Entry { db, slot: *slot, key, floor: database.floor, stored });
        }
    }

    /// Calls `f` for every entry whose slot is in `slots`, database by database.
    pub fn for_each_in_slots<'a>(&'a self, slots: Range<u16>, f: &mut dyn FnMut(u8, Entry<'a>)) {
        for db in 0..DATABASES {
            let database = self.database(db);
            for ((slot, key), stored) in database.entries.range((slots.start, Vec::new())..(slots.end, Vec::new())) {
                f(db, Entry { db, slot: *slot, key, floor: database.floor, stored });
            }
        }
    }

    /// An entry chosen at random; `None` when the database is empty.
    pub fn random<R: Rng + ?Sized>(&self, db: u8, rng: &mut R) -> Option<Entry<'_>> {
        let database = self.database(db);
        if database.entries.is_empty() {
            return None;
        }
        let place = rng.random_range(0..database.entries.len());
        let ((slot, key), stored) = database.entries.iter().nth(place)?;
        Some(Entry { db, slot: *slot, key, floor: database.floor, stored })
    }

    /// Up to `max` keys (database, slot, key) whose expiry has passed at `now_ms`. They stay until their deletion is
    /// applied; a key that is not deleted is reported again later.
    pub fn due(&mut self, now_ms: i64, max: usize, out: &mut Vec<(u8, u16, Vec<u8>)>) {
        for db in 0..DATABASES {
            for ((slot, key), stored) in &self.database(db).entries {
                if out.len() < max && stored.expire_at.is_some_and(|at| at <= now_ms) {
                    out.push((db, *slot, key.clone()));
                }
            }
        }
    }

    /// Bytes of memory in use: keys, values, tables.
    pub fn used_bytes(&self) -> u64 {
        let entries = self.databases.iter().flat_map(|database| &database.entries);
        entries.map(|(key, stored)| (stored.memory_bytes() + key.1.len()) as u64).sum()
    }

    /// Frees a part of what big deletes unlinked, at most about `budget` entries or elements. True while more is left.
    pub fn free_some(&mut self, _budget: usize) -> bool {
        false
    }

    /// Walks everything and checks every invariant; for tests.
    pub fn check(&self) -> Result<(), String> {
        self.in_flight.check()
    }
}
