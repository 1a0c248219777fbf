//! Apply: the only code that changes data. Reads no clock, no randomness, no settings; cannot fail on what decoded.
//!
//! An effect that does not fit the data (another type, an index out of range) changes nothing; that cannot happen
//! when the log's records are applied in order to the state they were decided on.

use crate::effect::{Effect, ExpireChange};
use crate::key::{DATABASES, Key, Position};
use crate::raw::{EntryBox, LONGEST_STRING, NewValue, Place};
use crate::types::apply::{Collection, apply_collection};
use crate::types::{Elem, List, OwnedValue, image, parse_i64};

use super::{Handle, Keyspace};

/// A growing string gets as much again as slack, up to this.
const MOST_SLACK: usize = 1 << 20;
/// A list of so many pieces is freed at once.
const FEW_CHUNKS: usize = 4096;

/// An effect's key, looked up.
struct Target<'k> {
    key: Key<'k>,
    /// Index of the database.
    database: usize,
    hash: u64,
    /// Where the key is, if it is there.
    place: Option<Place>,
}

impl Keyspace {
    /// Carries out one effect of the record at `position`. `handle`: where `find` saw the key, if the lookup that
    /// decided this effect found it. Positions never decrease.
    pub fn apply(&mut self, effect: &Effect<'_>, handle: Option<Handle>, position: Position) {
        let Some(key) = effect.key() else { return self.apply_to_databases(effect, position) };
        let target = self.target(key, handle);
        match effect {
            Effect::Delete { .. } => self.delete(&target, position),
            Effect::MoveFrom { .. } => {
                self.moving = self.take_out(&target, position).map(|entry| (entry, position));
            }
            Effect::MoveTo { .. } => {
                if let Some((entry, _)) = self.moving.take().filter(|(_, at)| *at == position) {
                    let expire_at = entry.view().expire_at();
                    self.store(&target, NewValue::Of(entry), expire_at, position);
                }
            }
            Effect::Copy { from, .. } => self.copy(&target, *from, position),
            Effect::Put { image, expire_at, .. } => {
                if let Ok(value) = image::decode(image, &self.limits) {
                    self.put(&target, value, *expire_at, position);
                }
            }
            Effect::SetString { value, expire, .. } => {
                if handle.is_none() {
                    // Nobody has looked the key up before, which would have been its use.
                    self.used(&target);
                }
                self.set_string(&target, string(value), *expire, position);
            }
            Effect::AppendString { tail, .. } => self.append(&target, tail, position),
            Effect::SetRange { offset, bytes, .. } => {
                self.write_at(&target, *offset as usize, bytes, position);
            }
            Effect::ExpireAt { at_ms, .. } => self.expire_at(&target, *at_ms, position),
            Effect::Persist { .. } => self.persist(&target, position),
            _ => self.change_collection(&target, effect, position),
        }
    }

    fn apply_to_databases(&mut self, effect: &Effect<'_>, position: Position) {
        match effect {
            Effect::FlushDatabase { db } => {
                let index = self.index(*db);
                let bytes = self.databases[index].counts().bytes;
                self.unlinked.add_slots(self.databases[index].unlink(), bytes);
                self.floors[usize::from(*db % DATABASES)] = position;
            }
            Effect::SwapDatabases { a, b } => {
                let (a, b) = (usize::from(*a % DATABASES), usize::from(*b % DATABASES));
                self.order.swap(a, b);
                self.floors[a] = position;
                self.floors[b] = position;
            }
            Effect::LibrarySet { name, code } => self.libraries.set(name, code, position),
            Effect::LibraryDelete { name } => self.libraries.delete(name, position),
            _ => {}
        }
    }

    /// Looks the key up, by the handle if that still leads to it.
    #[inline]
    fn target<'k>(&self, key: Key<'k>, handle: Option<Handle>) -> Target<'k> {
        let database = self.index(key.db);
        if let Some(Handle { hash, place }) = handle
            && let Some(entry) = self.databases[database].slot(key.slot).and_then(|slot| slot.at(place))
            && entry.key() == key.bytes
        {
            return Target { key, database, hash, place: Some(place) };
        }
        let hash = self.hash(key);
        let place = self.databases[database].find(key, hash).map(|found| found.0);
        Target { key, database, hash, place }
    }

    #[inline]
    fn used(&self, target: &Target<'_>) {
        if let Some(place) = target.place
            && let Some(entry) =
                self.databases[target.database].slot(target.key.slot).and_then(|slot| slot.at(place))
        {
            self.access.used(entry);
        }
    }

    fn delete(&mut self, target: &Target<'_>, position: Position) {
        if let Some(entry) = self.take_out(target, position) {
            self.unlinked.add_entry(entry);
        }
    }

    /// Removes a key; its entry is the caller's.
    fn take_out(&mut self, target: &Target<'_>, position: Position) -> Option<EntryBox> {
        let entry = self.databases[target.database].remove(target.key.slot, target.place?, &self.hasher)?;
        self.in_flight.deleted(Self::deletion_id(target.key.db, target.hash), position);
        Some(entry)
    }

    fn put(&mut self, target: &Target<'_>, value: OwnedValue, expire_at: Option<i64>, position: Position) {
        let collection = match value {
            OwnedValue::Str(bytes) => {
                return self.store(target, NewValue::Str(string(&bytes)), expire_at, position);
            }
            OwnedValue::List(list) => Collection::List(list),
            OwnedValue::Hash(hash) => Collection::Hash(hash),
            OwnedValue::Set(set) => Collection::Set(set),
            OwnedValue::ZSet(zset) => Collection::ZSet(zset),
            OwnedValue::Stream(stream) => Collection::Stream(stream),
        };
        self.store(target, NewValue::Collection(collection), expire_at, position);
    }

    fn copy(&mut self, target: &Target<'_>, from: Key<'_>, position: Position) {
        if (from.db, from.bytes) != (target.key.db, target.key.bytes)
            && self.database(from.db).find(from, self.hash(from)).is_some()
        {
            self.empty_list(target);
        }
        let Some((_, source)) = self.database(from.db).find(from, self.hash(from)) else {
            return;
        };
        let (expire_at, value) = (source.expire_at(), NewValue::copy_of(source.value()));
        let copy = EntryBox::new(&[], position, None, false, 0, value);
        self.store(target, NewValue::Of(copy), expire_at, position);
    }

    /// Frees a list of few pieces that is about to be replaced: what takes its place finds memory that is there already.
    fn empty_list(&mut self, target: &Target<'_>) {
        let Some(place) = target.place else { return };
        self.databases[target.database].edit(target.key.slot, place, |entry| {
            if let Some(Collection::List(list)) = entry.collection()
                && list.chunks().nth(FEW_CHUNKS).is_none()
            {
                *list = List::default();
            }
        });
    }

    #[inline]
    fn set_string(&mut self, target: &Target<'_>, value: Elem<'_>, expire: ExpireChange, position: Position) {
        let database = &mut self.databases[target.database];
        let mut old_expiry = None;
        if let Some(place) = target.place
            && let Some(mut entry) = database.entry_mut(target.key.slot, place)
        {
            old_expiry = entry.view().expire_at();
            let expiry_stays = match expire {
                ExpireChange::Clear => old_expiry.is_none(),
                ExpireChange::Keep => true,
                ExpireChange::At(_) => false,
            };
            // The usual case: the new string fits where the old one was.
            if expiry_stays && entry.set_string(value) {
                return entry.set_position(position);
            }
        }
        let expire_at = match expire {
            ExpireChange::Clear => None,
            ExpireChange::Keep => old_expiry,
            ExpireChange::At(at) => Some(at),
        };
        self.store(target, NewValue::Str(value), expire_at, position);
    }

    /// Stores a whole value, in place of the old one if there is one.
    fn store(
        &mut self,
        target: &Target<'_>,
        value: NewValue<'_>,
        expire_at: Option<i64>,
        position: Position,
    ) {
        let Key { slot, bytes, .. } = target.key;
        let database = &mut self.databases[target.database];
        let (wheel, unlinked, access) = (&mut self.wheel, &mut self.unlinked, &self.access);
        let mut hint = |at| Self::hint(wheel, target.database, slot, target.hash, at);
        match target.place {
            None => {
                let hinted = expire_at.is_some_and(&mut hint);
                let entry = EntryBox::new(bytes, position, expire_at, hinted, access.fresh(), value);
                database.insert(slot, target.hash, entry, &self.hasher);
            }
            Some(place) => database.replace(slot, place, |old| {
                let (was_hinted, old_expiry) = (old.view().hinted(), old.view().expire_at());
                let covered = |at: i64| was_hinted && old_expiry.is_some_and(|old| at >= old);
                let hinted = expire_at.is_some_and(|at| covered(at) || hint(at));
                let used = access.renewed(old.view().access());
                unlinked.add_entry(old);
                EntryBox::new(bytes, position, expire_at, hinted, used, value)
            }),
        }
    }

    fn append(&mut self, target: &Target<'_>, tail: &[u8], position: Position) {
        match target.place {
            None => self.set_string(target, string(tail), ExpireChange::Clear, position),
            Some(place) => {
                let entry =
                    self.databases[target.database].slot(target.key.slot).and_then(|slot| slot.at(place));
                let Some(crate::types::Value::Str(old)) = entry.map(|entry| entry.value()) else { return };
                self.write_at(target, old.len(), tail, position);
            }
        }
    }

    /// Writes into a string, which is created or grown (with zeros in a gap) as needed. Where that would make it
    /// longer than any string may be, nothing happens.
    fn write_at(&mut self, target: &Target<'_>, offset: usize, bytes: &[u8], position: Position) {
        let Some(end) = offset.checked_add(bytes.len()).filter(|end| *end < LONGEST_STRING) else { return };
        let slot = target.key.slot;
        let Some(place) = target.place else {
            let mut value = vec![0; offset];
            value.extend_from_slice(bytes);
            let entry = EntryBox::new(
                target.key.bytes,
                position,
                None,
                false,
                self.access.fresh(),
                NewValue::Str(Elem::Bytes(&[])),
            );
            let mut entry = entry.with_room(end);
            entry.view_mut().write_at(0, &value);
            return self.databases[target.database].insert(slot, target.hash, entry, &self.hasher);
        };
        let database = &mut self.databases[target.database];
        let wrote = database.entry_mut(slot, place).is_some_and(|mut entry| entry.write_at(offset, bytes));
        if !wrote {
            // Growing takes as much again, so that many small appends copy each byte only a few times.
            let grows = database
                .slot(slot)
                .and_then(|slot| slot.at(place))
                .is_some_and(|entry| entry.separate_len().is_some_and(|len| end > len));
            let room = if grows { end + end.min(MOST_SLACK) } else { end };
            database.replace(slot, place, |entry| entry.with_room(room));
        }
        if let Some(mut entry) = database.entry_mut(slot, place)
            && (wrote || entry.write_at(offset, bytes))
        {
            entry.set_position(position);
        }
    }

    fn expire_at(&mut self, target: &Target<'_>, at: i64, position: Position) {
        let Some(place) = target.place else { return };
        let slot = target.key.slot;
        let database = &mut self.databases[target.database];
        let Some(mut entry) = database.entry_mut(slot, place) else { return };
        let (was_hinted, old) = (entry.view().hinted(), entry.view().expire_at());
        let covered = was_hinted && old.is_some_and(|old| at >= old);
        let hinted = covered || Self::hint(&mut self.wheel, target.database, slot, target.hash, at);
        entry.set_hinted(hinted);
        entry.set_position(position);
        if !database.set_expiry(slot, place, at) {
            database.replace(slot, place, |entry| entry.with_expiry(Some(at)));
        }
    }

    fn persist(&mut self, target: &Target<'_>, position: Position) {
        let Some(place) = target.place else { return };
        let slot = target.key.slot;
        let database = &mut self.databases[target.database];
        let Some(mut entry) = database.entry_mut(slot, place) else { return };
        entry.set_position(position);
        if entry.view().expire_at().is_some() {
            database.replace(slot, place, |entry| entry.with_expiry(None));
        }
    }

    fn change_collection(&mut self, target: &Target<'_>, effect: &Effect<'_>, position: Position) {
        let Some(place) = target.place else {
            let Some(mut collection) = Collection::for_effect(effect, &self.limits) else { return };
            let applied = apply_collection(&mut collection, effect, &self.limits);
            if !applied.now_empty {
                self.store(target, NewValue::Collection(collection), None, position);
            }
            return;
        };
        let limits = &self.limits;
        let now_empty = self.databases[target.database].edit(target.key.slot, place, |entry| {
            let Some(collection) = entry.collection() else { return false };
            let applied = apply_collection(collection, effect, limits);
            entry.set_position(position);
            applied.now_empty
        });
        if now_empty == Some(true) {
            self.delete(target, position);
        }
    }
}

/// A string as the store keeps it: integers as integers.
#[inline]
fn string(bytes: &[u8]) -> Elem<'_> {
    match parse_i64(bytes) {
        Some(int) => Elem::Int(int),
        None => Elem::Bytes(bytes),
    }
}
