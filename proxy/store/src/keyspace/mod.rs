//! One shard's data: 16 databases of 16384 slots.
//!
//! The engine's decide step reads here ([`Keyspace::find`] and, in `scan.rs`, walks); `apply.rs` is the only code
//! that changes anything. `access.rs` notes uses, `sample.rs` draws keys, `expiry.rs` says what is due,
//! `in_flight.rs` what a miss must wait for, `unlinked.rs` frees big things bit by bit.

use std::num::NonZeroU64;

use crate::key::{DATABASES, Key, Position, Spot, slot_of};
use crate::raw::{EntryBox, Hasher, Place};
use crate::types::Limits;

mod access;
mod apply;
mod database;
mod entry;
mod expiry;
mod in_flight;
mod libraries;
mod sample;
mod scan;
mod unlinked;
mod wheel;

#[cfg(test)]
mod tests;

pub use access::AccessRule;
pub use entry::{Entry, Handle, Lookup};
pub use libraries::{Libraries, library_name};

use access::Access;
use database::Database;
use in_flight::InFlight;
use unlinked::Unlinked;
use wheel::Wheel;

/// Keys whose memory is asked for together: about as many as the processor keeps requests to memory under way.
pub const PREFETCHED: usize = 16;

/// One shard's data. No clock, no async, no settings but [`Limits`].
pub struct Keyspace {
    /// In the order of their creation; the expiry index refers to them by this order.
    databases: Vec<Database>,
    /// Which of `databases` each number that clients use stands for. Changed by SWAPDB.
    order: [u8; DATABASES as usize],
    /// Position of the last flush or swap of each number that clients use.
    floors: [Position; DATABASES as usize],
    in_flight: InFlight,
    wheel: Wheel,
    /// Where the first walk that fills the wheel has got to; `None` when it is done or not begun.
    unhinted: Option<(u8, u64)>,
    /// That walk follows a renewal of the wheel: the marks that entries have of their hints are not true.
    rehint: bool,
    unlinked: Unlinked,
    /// What a MoveFrom took away, with its record's position, until the MoveTo behind it.
    moving: Option<(EntryBox, Position)>,
    libraries: Libraries,
    access: Access,
    limits: Limits,
    hasher: Hasher,
}

impl Keyspace {
    /// An empty keyspace.
    pub fn new(limits: Limits) -> Self {
        Self::with_hasher(limits, Hasher::shared())
    }

    fn with_hasher(limits: Limits, hasher: Hasher) -> Self {
        Self {
            databases: (0..DATABASES).map(|_| Database::default()).collect(),
            order: std::array::from_fn(|db| db as u8),
            floors: [0; DATABASES as usize],
            in_flight: InFlight::default(),
            wheel: Wheel::new(),
            unhinted: None,
            rehint: false,
            unlinked: Unlinked::default(),
            moving: None,
            libraries: Libraries::default(),
            access: Access::default(),
            limits,
            hasher,
        }
    }

    /// The function libraries.
    pub fn libraries(&self) -> &Libraries {
        &self.libraries
    }

    /// Where packed collections turn into indexed ones.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Changes the limits; collections follow at their next change.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Where in `databases` the number `db` is.
    #[inline]
    fn index(&self, db: u8) -> usize {
        usize::from(self.order[usize::from(db % DATABASES)] % DATABASES)
    }

    #[inline]
    fn database(&self, db: u8) -> &Database {
        &self.databases[self.index(db)]
    }

    /// Stands for a key among the deletions in flight.
    fn deletion_id(db: u8, hash: u64) -> u64 {
        hash ^ u64::from(db).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Finds a key. Entries whose expiry has passed are found too: the caller has the clock.
    #[inline]
    pub fn find(&self, key: Key<'_>) -> Lookup<'_> {
        let hash = self.hash(key);
        match self.database(key.db).find(key, hash) {
            Some((place, node)) => Lookup::Entry(Entry {
                db: key.db,
                slot: key.slot,
                floor: self.floors[usize::from(key.db % DATABASES)],
                handle: Handle { hash, place },
                node,
            }),
            None => Lookup::Missing {
                gate: self.flush_gate(key.db).max(self.in_flight.gate(Self::deletion_id(key.db, hash))),
            },
        }
    }

    #[inline]
    fn hash(&self, key: Key<'_>) -> u64 {
        key.hash.map_or_else(|| self.hasher.hash(key.bytes), NonZeroU64::get)
    }

    /// Brings into the cache what lookups of several keys (each with its database) are about to read. Each lookup goes through memory in three steps (the
    /// slot's header, the bucket, the entry), which wait for one another; those of several keys need not.
    pub fn prefetch(&self, spots: impl Iterator<Item = (u8, Spot)> + Clone) {
        let place = |(db, spot): (u8, Spot)| Some((self.database(db).slot(spot.slot)?, spot.hash?.get()));
        let slots = || spots.clone().filter_map(place);
        slots().for_each(|(slot, _)| slot.prefetch_header());
        slots().for_each(|(slot, hash)| slot.prefetch_bucket(hash));
        slots().for_each(|(slot, hash)| slot.prefetch_nodes(hash));
    }

    /// The place of the key `bytes`, hash included: for keys that are looked up later.
    #[inline]
    pub fn spot(&self, bytes: &[u8]) -> Spot {
        Spot { slot: slot_of(bytes), hash: NonZeroU64::new(self.hasher.hash(bytes)) }
    }

    /// Forgets deletions in flight up to `position`, which is durable.
    pub fn set_durable(&mut self, position: Position) {
        self.in_flight.set_durable(position);
    }

    /// Number of keys in a database, logically expired ones included.
    pub fn len(&self, db: u8) -> u64 {
        self.database(db).counts().keys
    }

    /// Whether no database holds a key.
    pub fn is_empty(&self) -> bool {
        (0..DATABASES).all(|db| self.len(db) == 0)
    }

    /// Number of keys in a slot of a database.
    pub fn slot_len(&self, db: u8, slot: u16) -> u64 {
        self.database(db).slot(slot).map_or(0, |slot| slot.len() as u64)
    }

    /// Number of keys with an expiry in a database.
    pub fn expires(&self, db: u8) -> u64 {
        self.database(db).counts().expires
    }

    /// Average time to live, in milliseconds, of the keys with an expiry; 0 without any.
    pub fn avg_ttl(&self, db: u8, now_ms: i64) -> i64 {
        let counts = self.database(db).counts();
        match counts.expires {
            0 => 0,
            expires => (counts.expiry_sum / i128::from(expires) - i128::from(now_ms)).max(0) as i64,
        }
    }

    /// Position of a flush or swap of this database that is not durable yet, else 0. Answers about the database as
    /// a whole (DBSIZE, SCAN, RANDOMKEY) wait for it; single keys already include it in their gate or position.
    pub fn flush_gate(&self, db: u8) -> Position {
        let floor = self.floors[usize::from(db % DATABASES)];
        if floor > self.in_flight.durable() { floor } else { 0 }
    }

    /// Bytes of memory in use: keys, values, tables, indexes. What was deleted but not freed yet is not in it.
    pub fn used_bytes(&self) -> u64 {
        let databases: u64 = self.databases.iter().map(Database::used_bytes).sum();
        databases + (self.wheel.heap_bytes() + self.in_flight.heap_bytes()) as u64
    }

    /// Bytes of keys, values and tables: what deleting keys gives back.
    pub fn data_bytes(&self) -> u64 {
        self.databases.iter().map(Database::used_bytes).sum()
    }

    /// Bytes of a database's tables, without its entries.
    pub fn table_bytes(&self, db: u8) -> u64 {
        let database = self.database(db);
        database.used_bytes() - database.counts().bytes
    }

    /// Objects and, roughly, bytes that were deleted but are not freed yet.
    pub fn unfreed(&self) -> (u64, u64) {
        self.unlinked.left()
    }

    /// Objects that were freed bit by bit since the start.
    pub fn freed_objects(&self) -> u64 {
        self.unlinked.freed_objects()
    }

    /// Frees a part of what big deletes unlinked, at most about `budget` entries. True while more is left.
    pub fn free_some(&mut self, budget: usize) -> bool {
        self.unlinked.free_some(budget)
    }

    /// Walks everything and checks every invariant; for tests.
    pub fn check(&self) -> Result<(), String> {
        for (number, database) in self.databases.iter().enumerate() {
            database.check(&self.hasher).map_err(|error| format!("database {number}: {error}"))?;
        }
        let mut order = self.order;
        order.sort_unstable();
        if !order.into_iter().eq(0..DATABASES) {
            return Err("databases are not a permutation".to_owned());
        }
        self.in_flight.check()
    }
}

/// The handle of an entry that was not found by its hash.
const NO_HANDLE: Handle = Handle { hash: 0, place: Place::NOWHERE };
