//! proxy-store: one shard's data in memory, and the only code that changes it.
//!
//! The engine reads a [`Keyspace`] and writes [`Effect`]s; [`Keyspace::apply`] carries them out, on the primary,
//! on replicas, in a restore and in the snapshotter. No clock, no async, no settings but [`Limits`].
//!
//! Rooms: `types` (what a key can hold), `effect` (how a change is written down), `keyspace` (databases, slots,
//! lookup, apply, scan, expiry), `raw` (the one room with unsafe code: entry nodes and the hash table).

pub mod effect;
mod key;
pub mod keyspace;
mod memory;
mod raw;
pub mod types;

pub use effect::{Effect, EffectWriter, ExpireChange, Reason, decode};
pub use key::{DATABASES, Key, Position, SLOTS, Spot, slot_of};
pub use keyspace::{AccessRule, Entry, Handle, Keyspace, Libraries, Lookup, PREFETCHED, library_name};
pub use memory::size_class;
pub use types::{Elem, Hash, IntBuf, Limits, List, Set, Stream, StreamId, Value, ZSet};
