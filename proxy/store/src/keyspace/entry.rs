//! What a lookup gives: an entry to read, or a miss with the position that the miss must wait for.
//!
//! Decide holds these while it reads; apply gets the [`Handle`] and finds the same entry again without a search.

use crate::key::Position;
use crate::raw::{EntryRef, Place};
use crate::types::{Elem, Value};

/// Result of [`Keyspace::find`](super::Keyspace::find).
#[derive(Clone, Copy)]
pub enum Lookup<'a> {
    /// The key exists (its expiry may have passed: the caller has the clock).
    Entry(Entry<'a>),
    /// The key does not exist. The answer must wait for `gate`: the position of a deletion in flight, else 0.
    Missing {
        /// Position to wait for, 0 for none.
        gate: Position,
    },
}

impl<'a> Lookup<'a> {
    /// The entry, if the key exists.
    pub fn entry(self) -> Option<Entry<'a>> {
        match self {
            Lookup::Entry(entry) => Some(entry),
            Lookup::Missing { .. } => None,
        }
    }
}

/// Where a lookup saw a key, for the first effect on that key. The key is compared again before a handle is used,
/// so a stale or wrong one costs a lookup and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    pub(super) hash: u64,
    pub(super) place: Place,
}

/// A present key, borrowed.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub(super) db: u8,
    pub(super) slot: u16,
    /// Position of the database's last flush or swap: its keys are younger.
    pub(super) floor: Position,
    pub(super) handle: Handle,
    pub(super) node: EntryRef<'a>,
}

impl<'a> Entry<'a> {
    /// The key's bytes.
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        self.node.key()
    }

    /// The key's database.
    pub fn db(&self) -> u8 {
        self.db
    }

    /// The key's slot.
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// Position of the record that last changed what a reader of this key sees.
    #[inline]
    pub fn position(&self) -> Position {
        self.node.position().max(self.floor)
    }

    /// When the key expires, unix milliseconds; `None` when it never does.
    #[inline]
    pub fn expire_at(&self) -> Option<i64> {
        self.node.expire_at()
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> Value<'a> {
        self.node.value()
    }

    /// Where this entry is, for the first effect on it.
    #[inline]
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// The name that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self.value() {
            Value::Str(Elem::Int(_)) => "int",
            // Redis's border. A short string that stands apart was built by APPEND or SETRANGE.
            Value::Str(Elem::Bytes(bytes)) if bytes.len() <= 44 && self.node.separate_len().is_none() => {
                "embstr"
            }
            Value::Str(_) => "raw",
            Value::List(list) => list.encoding(),
            Value::Hash(hash) => hash.encoding(),
            Value::Set(set) => set.encoding(),
            Value::ZSet(zset) => zset.encoding(),
            Value::Stream(stream) => stream.encoding(),
        }
    }

    /// What is noted of the key's uses, as it is kept (DEBUG OBJECT).
    pub fn access(&self) -> u32 {
        self.node.access()
    }

    /// Bytes of memory that the key and its value take, without its share of the tables.
    pub fn memory_bytes(&self) -> usize {
        self.node.memory_bytes()
    }
}
