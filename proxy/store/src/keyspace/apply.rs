//! Apply: the only code that changes data. Reads no clock, no randomness, no settings; cannot fail on what decoded.
//!
//! An effect that does not fit the data (another type, an index out of range) changes nothing; that cannot happen
//! when the log's records are applied in order to the state they were decided on.

use crate::effect::{Effect, ExpireChange};
use crate::key::{DATABASES, Key, Position};
use crate::types::apply::{Collection, apply_collection};
use crate::types::{OwnedValue, image};

use super::{Content, Handle, Keyspace, Stored};

impl Keyspace {
    /// Carries out one effect of the record at `position`. `handle`: where `find` saw the key, if it was found by
    /// the lookup that decided this effect. Positions never decrease.
    pub fn apply(&mut self, effect: &Effect<'_>, handle: Option<Handle>, position: Position) {
        let _ = handle;
        match effect {
            Effect::Delete { key, .. } => self.delete(*key, position),
            Effect::Put { key, image, expire_at } => self.put(*key, image, *expire_at, position),
            Effect::SetString { key, value, expire } => self.set_string(*key, value, *expire, position),
            Effect::AppendString { key, tail } => self.edit_string(*key, position, |bytes| bytes.extend(*tail)),
            Effect::SetRange { key, offset, bytes } => {
                let start = *offset as usize;
                self.edit_string(*key, position, |value| {
                    if value.len() < start + bytes.len() {
                        value.resize(start + bytes.len(), 0);
                    }
                    value[start..start + bytes.len()].copy_from_slice(bytes);
                });
            }
            Effect::ExpireAt { key, at_ms } => self.set_expiry(*key, Some(*at_ms), position),
            Effect::Persist { key } => self.set_expiry(*key, None, position),
            Effect::FlushDatabase { db } => {
                let database = &mut self.databases[usize::from(*db % DATABASES)];
                database.entries.clear();
                database.floor = position;
            }
            Effect::SwapDatabases { a, b } => {
                let (a, b) = (usize::from(*a % DATABASES), usize::from(*b % DATABASES));
                self.databases.swap(a, b);
                self.databases[a].floor = position;
                self.databases[b].floor = position;
            }
            _ => self.change_collection(effect, position),
        }
    }

    fn stored_mut(&mut self, key: Key<'_>) -> Option<&mut Stored> {
        self.databases[usize::from(key.db % DATABASES)].entries.get_mut(&(key.slot, key.bytes.to_vec()))
    }

    fn insert(&mut self, key: Key<'_>, stored: Stored) {
        self.databases[usize::from(key.db % DATABASES)].entries.insert((key.slot, key.bytes.to_vec()), stored);
    }

    fn delete(&mut self, key: Key<'_>, position: Position) {
        let hash = self.deletion_hash(key);
        let entries = &mut self.databases[usize::from(key.db % DATABASES)].entries;
        if entries.remove(&(key.slot, key.bytes.to_vec())).is_some() {
            self.in_flight.deleted(hash, position);
        }
    }

    fn put(&mut self, key: Key<'_>, bytes: &[u8], expire_at: Option<i64>, position: Position) {
        let Ok(value) = image::decode(bytes, &self.limits) else { return };
        let content = match value {
            OwnedValue::Str(bytes) => Content::Str(bytes),
            OwnedValue::List(list) => Content::Collection(Box::new(Collection::List(list))),
            OwnedValue::Hash(hash) => Content::Collection(Box::new(Collection::Hash(hash))),
            OwnedValue::Set(set) => Content::Collection(Box::new(Collection::Set(set))),
            OwnedValue::ZSet(zset) => Content::Collection(Box::new(Collection::ZSet(zset))),
        };
        self.insert(key, Stored { position, expire_at, content });
    }

    fn set_string(&mut self, key: Key<'_>, value: &[u8], expire: ExpireChange, position: Position) {
        let expire_at = match expire {
            ExpireChange::Clear => None,
            ExpireChange::At(at) => Some(at),
            ExpireChange::Keep => self.stored_mut(key).and_then(|stored| stored.expire_at),
        };
        self.insert(key, Stored { position, expire_at, content: Content::Str(value.to_vec()) });
    }

    fn edit_string(&mut self, key: Key<'_>, position: Position, edit: impl FnOnce(&mut Vec<u8>)) {
        match self.stored_mut(key) {
            Some(stored) => {
                if let Content::Str(bytes) = &mut stored.content {
                    edit(bytes);
                    stored.position = position;
                }
            }
            None => {
                let mut bytes = Vec::new();
                edit(&mut bytes);
                self.insert(key, Stored { position, expire_at: None, content: Content::Str(bytes) });
            }
        }
    }

    fn set_expiry(&mut self, key: Key<'_>, expire_at: Option<i64>, position: Position) {
        if let Some(stored) = self.stored_mut(key) {
            stored.expire_at = expire_at;
            stored.position = position;
        }
    }

    fn change_collection(&mut self, effect: &Effect<'_>, position: Position) {
        let Some(key) = effect.key() else { return };
        let limits = self.limits.clone();
        if let Some(stored) = self.stored_mut(key) {
            let Content::Collection(collection) = &mut stored.content else { return };
            stored.position = position;
            if apply_collection(collection, effect, &limits).now_empty {
                self.delete(key, position);
            }
        } else if let Some(mut collection) = Collection::for_effect(effect) {
            let _ = apply_collection(&mut collection, effect, &limits);
            if !collection.is_empty() {
                let content = Content::Collection(Box::new(collection));
                self.insert(key, Stored { position, expire_at: None, content });
            }
        }
    }
}
