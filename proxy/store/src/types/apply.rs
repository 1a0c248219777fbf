//! Carries out collection effects on a collection; called by `Keyspace::apply` alone.
//!
//! An effect that does not fit the value (another type, an index out of range) changes nothing and is
//! reported, never a panic: on the primary it cannot happen, on replay it is counted and logged.

use super::{FEW_ELEMENTS, Hash, Limits, List, Set, Stream, ZSet};
use crate::effect::Effect;
use crate::memory::size_class;

/// A collection as an entry owns it.
#[derive(Debug)]
pub(crate) enum Collection {
    List(List),
    Hash(Hash),
    Set(Set),
    ZSet(ZSet),
    /// Apart, because it would make every other collection larger.
    Stream(Box<Stream>),
}

/// What an effect did to a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The collection has no elements left: its key is to be deleted.
    pub now_empty: bool,
    /// The effect fitted. False: nothing or not everything that it names could be done.
    pub fitted: bool,
}

impl Collection {
    /// The empty collection that an effect creates when its key is absent; `None` for effects that create none. A set
    /// that is about to get so many members (they are distinct) that it will be large is so from the start.
    pub(crate) fn for_effect(effect: &Effect<'_>, limits: &Limits) -> Option<Self> {
        match effect {
            Effect::ListPush { .. } => Some(Self::List(List::new())),
            Effect::HashSet { .. } => Some(Self::Hash(Hash::new())),
            Effect::SetAdd { items, .. } if items.len() > limits.set_max_intset_entries => {
                Some(Self::Set(Set::new_large(items.len())))
            }
            Effect::SetAdd { .. } => Some(Self::Set(Set::new())),
            Effect::ZSetAdd { .. } => Some(Self::ZSet(ZSet::new())),
            Effect::StreamAdd { .. } | Effect::StreamGroupSet { .. } => Some(Self::Stream(Box::default())),
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Hash(hash) => hash.is_empty(),
            Self::Set(set) => set.is_empty(),
            Self::ZSet(zset) => zset.is_empty(),
            // A stream stays without entries, too.
            Self::Stream(_) => false,
        }
    }

    /// Heap bytes behind the collection, in O(1).
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::List(list) => list.heap_bytes(),
            Self::Hash(hash) => hash.heap_bytes(),
            Self::Set(set) => set.heap_bytes(),
            Self::ZSet(zset) => zset.heap_bytes(),
            Self::Stream(stream) => size_class(size_of::<Stream>()) + stream.heap_bytes(),
        }
    }

    pub(crate) fn as_value(&self) -> super::Value<'_> {
        match self {
            Self::List(list) => super::Value::List(list),
            Self::Hash(hash) => super::Value::Hash(hash),
            Self::Set(set) => super::Value::Set(set),
            Self::ZSet(zset) => super::Value::ZSet(zset),
            Self::Stream(stream) => super::Value::Stream(stream),
        }
    }
}

/// Whether an effect removes all that a collection holds: what it names was there, once each, when it was decided.
fn removes_all(value: &Collection, effect: &Effect<'_>) -> bool {
    match (value, effect) {
        (Collection::List(list), Effect::ListPop { count, .. }) => *count >= list.len() as u64,
        (Collection::List(_), Effect::ListTrim { count, .. }) => *count == 0,
        (Collection::Hash(hash), Effect::HashDelete { items, .. }) => items.len() == hash.len(),
        (Collection::Set(set), Effect::SetRemove { items, .. }) => items.len() == set.len(),
        (Collection::ZSet(zset), Effect::ZSetRemove { items, .. }) => items.len() == zset.len(),
        _ => false,
    }
}

/// Carries out one collection effect. A large collection is left as it is by an effect that removes all of it, so that it
/// is freed bit by bit like one that DEL removes.
pub(crate) fn apply_collection(value: &mut Collection, effect: &Effect<'_>, limits: &Limits) -> Applied {
    if value.as_value().elements() > FEW_ELEMENTS && removes_all(value, effect) {
        return Applied { now_empty: true, fitted: true };
    }
    let fitted = match value {
        Collection::List(list) => apply_list(list, effect, limits),
        Collection::Hash(hash) => apply_hash(hash, effect, limits),
        Collection::Set(set) => apply_set(set, effect, limits),
        Collection::ZSet(zset) => apply_zset(zset, effect, limits),
        Collection::Stream(stream) => apply_stream(stream, effect, limits),
    };
    Applied { now_empty: value.is_empty(), fitted }
}

fn apply_list(list: &mut List, effect: &Effect<'_>, limits: &Limits) -> bool {
    match effect {
        Effect::ListPush { end, items, .. } => {
            items.iter().for_each(|item| list.push(*end, item, limits));
            true
        }
        Effect::ListPop { end, count, .. } => {
            let fitted = *count <= list.len() as u64;
            list.pop(*end, usize_of(*count));
            fitted
        }
        Effect::ListSet { index, value, .. } => list.set(usize_of(*index), value, limits),
        Effect::ListInsert { index, value, .. } => list.insert(usize_of(*index), value, limits),
        Effect::ListRemove { indexes, .. } => {
            let named = indexes.len();
            list.remove_indexes(indexes.iter().map(usize_of)) == named
        }
        Effect::ListTrim { start, count, .. } => {
            list.trim(usize_of(*start), usize_of(*count));
            true
        }
        _ => false,
    }
}

fn apply_hash(hash: &mut Hash, effect: &Effect<'_>, limits: &Limits) -> bool {
    match effect {
        Effect::HashSet { items, .. } => {
            items.iter().for_each(|(field, value)| {
                hash.set(field, value, limits);
            });
            true
        }
        Effect::HashDelete { items, .. } => hash.remove_all(items) == items.len(),
        _ => false,
    }
}

fn apply_set(set: &mut Set, effect: &Effect<'_>, limits: &Limits) -> bool {
    match effect {
        Effect::SetAdd { items, .. } => {
            items.iter().for_each(|member| {
                set.add(member, limits);
            });
            true
        }
        Effect::SetRemove { items, .. } => set.remove_all(items) == items.len(),
        _ => false,
    }
}

fn apply_zset(zset: &mut ZSet, effect: &Effect<'_>, limits: &Limits) -> bool {
    match effect {
        Effect::ZSetAdd { items, .. } => {
            items.iter().for_each(|(member, score)| {
                zset.insert(member, score, limits);
            });
            true
        }
        Effect::ZSetRemove { items, .. } => zset.remove_all(items) == items.len(),
        _ => false,
    }
}

fn apply_stream(stream: &mut Stream, effect: &Effect<'_>, limits: &Limits) -> bool {
    match effect {
        Effect::StreamAdd { id, fields, .. } => stream.add(*id, fields, limits),
        Effect::StreamDelete { ids, .. } => ids.iter().filter(|id| stream.delete(*id)).count() == ids.len(),
        Effect::StreamTrim { count, .. } => stream.trim(*count),
        Effect::StreamSetId { last_id, max_deleted, entries_added, .. } => {
            stream.set_counters(*last_id, *max_deleted, *entries_added);
            true
        }
        Effect::StreamGroupSet { group, last_id, entries_read, .. } => {
            stream.set_group(group, *last_id, *entries_read);
            true
        }
        Effect::StreamGroupDestroy { group, .. } => stream.destroy_group(group),
        Effect::StreamConsumerSet { group, consumer, seen, .. } => {
            stream.set_consumer(group, consumer, *seen)
        }
        Effect::StreamConsumerDelete { group, consumer, .. } => stream.delete_consumer(group, consumer),
        Effect::StreamPend { group, consumer, time, entries, .. } => {
            stream.pend(group, consumer, *time, entries.iter())
        }
        Effect::StreamAck { group, ids, .. } => stream.ack(group, ids.iter()),
        _ => false,
    }
}

/// An index from an effect; one that memory cannot hold becomes out of range.
fn usize_of(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
