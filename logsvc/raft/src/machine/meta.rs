//! The metadata group's state: keys with values and revisions, changed by compare-and-set. Its snapshot is the
//! map itself, so values are small (cluster map, users, parameters, policies).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Outcome;
use crate::Command;
use crate::codec::{Put, Take};

const VERSION: u8 = 1;

/// A value and the revision at which it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaValue {
    /// The group's revision counter at the change; unique and rising over all keys.
    pub revision: u64,
    pub value: Bytes,
}

/// All metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaState {
    /// Number of changes so far.
    revision: u64,
    entries: BTreeMap<String, MetaValue>,
}

impl MetaState {
    /// Revision of the newest change, deletions included; 0 = none.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// A key's value.
    pub fn get(&self, key: &str) -> Option<&MetaValue> {
        self.entries.get(key)
    }

    /// Keys that begin with `prefix`, in order.
    pub fn list<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a MetaValue)> {
        let from =
            self.entries.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.take_while(move |(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.as_str(), value))
    }

    /// Applies a put or delete; `None` for a command of another kind of group.
    pub(super) fn apply(&mut self, command: Command) -> Option<Outcome> {
        match command {
            Command::MetaPut { key, value, expect } => Some(self.change(key, Some(value), expect)),
            Command::MetaDelete { key, expect } => Some(self.change(key, None, expect)),
            _ => None,
        }
    }

    fn change(&mut self, key: String, value: Option<Bytes>, expect: Option<u64>) -> Outcome {
        let current = self.entries.get(&key).map_or(0, |found| found.revision);
        if expect.is_some_and(|expected| expected != current) {
            return Outcome::PutConflict { revision: current };
        }
        self.revision += 1;
        match value {
            Some(value) => {
                self.entries.insert(key, MetaValue { revision: self.revision, value });
            }
            None => {
                self.entries.remove(&key);
            }
        }
        Outcome::Put { revision: self.revision }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.u8(VERSION);
        out.u64(self.revision);
        out.u32(self.entries.len() as u32);
        for (key, found) in &self.entries {
            out.u64(found.revision);
            out.bytes(key.as_bytes());
            out.bytes(&found.value);
        }
        out
    }

    pub(super) fn decode(bytes: Bytes) -> Option<Self> {
        let mut take = Take::new(bytes);
        if take.u8()? != VERSION {
            return None;
        }
        let revision = take.u64()?;
        let count = take.u32()?;
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let revision = take.u64()?;
            entries.insert(take.string()?, MetaValue { revision, value: take.bytes()? });
        }
        take.end(Self { revision, entries })
    }
}
