//! The consumer groups of a stream: how far each has read, its consumers, and the entries that were delivered and
//! not yet acknowledged (*pending*), by id and by consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::memory::size_class;

use super::StreamId;

/// Entries read when nobody knows.
pub const UNKNOWN_READ: i64 = -1;
/// When a consumer was active that never was.
pub const NEVER_ACTIVE: i64 = -1;

/// What a pending entry takes in both indexes, on average: nodes of either tree are about two thirds full.
const PENDING_BYTES: usize = 96;

/// An entry that was delivered to a consumer and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// When it was delivered last, unix milliseconds.
    pub time: i64,
    /// How often it was delivered.
    pub count: u64,
    /// Place of its consumer in the group.
    consumer: u32,
}

/// A consumer of a group.
#[derive(Debug, Clone)]
pub struct Consumer {
    name: Box<[u8]>,
    seen: i64,
    active: i64,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// When it was last there, unix milliseconds.
    pub fn seen(&self) -> i64 {
        self.seen
    }

    /// When it was last given entries to acknowledge, unix milliseconds; [`NEVER_ACTIVE`] if it never was.
    pub fn active(&self) -> i64 {
        self.active
    }

    /// Number of its pending entries.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The ids of its pending entries in a range.
    pub fn pending(&self, range: RangeInclusive<StreamId>) -> impl DoubleEndedIterator<Item = StreamId> + '_ {
        // A range that ends before it begins is no range for a tree.
        let none = range.is_empty();
        let range = if none { StreamId::MIN..=StreamId::MIN } else { range };
        self.pending.range(range).copied().filter(move |_| !none)
    }
}

/// A consumer group.
#[derive(Debug, Clone)]
pub struct Group {
    last_id: StreamId,
    entries_read: i64,
    pending: BTreeMap<StreamId, Pending>,
    /// By place, which a consumer keeps; holes are listed in `free`.
    consumers: Vec<Option<Consumer>>,
    free: Vec<u32>,
    /// Places in the order of names.
    by_name: Vec<u32>,
    /// Bytes of the consumers' names.
    name_bytes: usize,
}

impl Group {
    pub(super) fn new(last_id: StreamId, entries_read: i64) -> Self {
        Self {
            last_id,
            entries_read,
            pending: BTreeMap::new(),
            consumers: Vec::new(),
            free: Vec::new(),
            by_name: Vec::new(),
            name_bytes: 0,
        }
    }

    /// The last id that was delivered as new.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// How many entries of the stream's life the group has read; [`UNKNOWN_READ`] when nobody knows.
    pub fn entries_read(&self) -> i64 {
        self.entries_read
    }

    /// Number of pending entries.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// A pending entry.
    pub fn pending_at(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// The pending entries in a range of ids.
    pub fn pending(
        &self,
        range: RangeInclusive<StreamId>,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &Pending)> + '_ {
        let none = range.is_empty();
        let range = if none { StreamId::MIN..=StreamId::MIN } else { range };
        self.pending.range(range).filter(move |_| !none).map(|(id, pending)| (*id, pending))
    }

    /// The consumer that has a pending entry.
    pub fn owner(&self, pending: &Pending) -> Option<&Consumer> {
        self.consumers.get(pending.consumer as usize)?.as_ref()
    }

    pub fn consumers_len(&self) -> usize {
        self.by_name.len()
    }

    /// The consumers in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> + '_ {
        self.by_name.iter().filter_map(|place| self.at(*place))
    }

    /// A consumer by its name.
    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        let at = self.search(name).ok()?;
        self.at(*self.by_name.get(at)?)
    }

    fn at(&self, place: u32) -> Option<&Consumer> {
        self.consumers.get(place as usize)?.as_ref()
    }

    fn search(&self, name: &[u8]) -> Result<usize, usize> {
        self.by_name
            .binary_search_by(|place| self.at(*place).map_or(&[][..], |consumer| &consumer.name).cmp(name))
    }

    pub(super) fn set(&mut self, last_id: StreamId, entries_read: i64) {
        self.last_id = last_id;
        self.entries_read = entries_read;
    }

    /// Adds a consumer, or notes that it was there; true when it is new.
    pub(super) fn set_consumer(&mut self, name: &[u8], seen: i64) -> bool {
        let at = match self.search(name) {
            Ok(at) => {
                let place = self.by_name.get(at).copied().unwrap_or_default();
                if let Some(Some(consumer)) = self.consumers.get_mut(place as usize) {
                    consumer.seen = seen;
                }
                return false;
            }
            Err(at) => at,
        };
        let consumer =
            Some(Consumer { name: name.into(), seen, active: NEVER_ACTIVE, pending: BTreeSet::new() });
        self.name_bytes += size_class(name.len());
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.consumers.push(None);
                self.consumers.len() as u32 - 1
            }
        };
        if let Some(slot) = self.consumers.get_mut(place as usize) {
            *slot = consumer;
        }
        self.by_name.insert(at, place);
        true
    }

    /// Sets when a consumer was last active; false when there is no such consumer.
    pub(super) fn set_active(&mut self, name: &[u8], active: i64) -> bool {
        let place = self.search(name).ok().and_then(|at| self.by_name.get(at).copied());
        match place.and_then(|place| self.consumers.get_mut(place as usize)) {
            Some(Some(consumer)) => {
                consumer.active = active;
                true
            }
            _ => false,
        }
    }

    /// Removes a consumer with what was pending for it.
    pub(super) fn delete_consumer(&mut self, name: &[u8]) -> bool {
        let Ok(at) = self.search(name) else { return false };
        let place = self.by_name.remove(at);
        let Some(consumer) = self.consumers.get_mut(place as usize).and_then(Option::take) else {
            return false;
        };
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        self.free.push(place);
        self.name_bytes -= size_class(name.len());
        true
    }

    /// Makes an entry pending for a consumer, whoever had it; false when there is no such consumer. One that is given
    /// what it didn't have was active when it was last seen, which is now.
    pub(super) fn pend(&mut self, name: &[u8], id: StreamId, time: i64, count: u64) -> bool {
        let Some(place) = self.search(name).ok().and_then(|at| self.by_name.get(at).copied()) else {
            return false;
        };
        let old = self.pending.insert(id, Pending { time, count, consumer: place });
        match old {
            Some(old) if old.consumer == place => return true,
            Some(old) => self.forget(old.consumer, id),
            None => {}
        }
        if let Some(Some(consumer)) = self.consumers.get_mut(place as usize) {
            consumer.active = consumer.seen;
            consumer.pending.insert(id);
        }
        true
    }

    /// Whether an entry is pending that can be made so only once, as in an image.
    pub(super) fn is_pending(&self, id: StreamId) -> bool {
        self.pending.contains_key(&id)
    }

    /// An entry is pending no more.
    pub(super) fn ack(&mut self, id: StreamId) -> bool {
        let Some(old) = self.pending.remove(&id) else { return false };
        self.forget(old.consumer, id);
        true
    }

    fn forget(&mut self, place: u32, id: StreamId) {
        if let Some(Some(consumer)) = self.consumers.get_mut(place as usize) {
            consumer.pending.remove(&id);
        }
    }

    /// Forgets about `budget` pending entries; gives how many.
    pub(super) fn dismantle(&mut self, budget: usize) -> usize {
        let mut freed = 0;
        while freed < budget && self.pending.pop_first().is_some() {
            freed += 1;
        }
        while freed < budget {
            let Some(last) = self.consumers.last_mut() else { break };
            if last.as_mut().and_then(|consumer| consumer.pending.pop_first()).is_some() {
                freed += 1;
            } else {
                self.consumers.pop();
            }
        }
        freed
    }

    /// Heap bytes behind the group; those of the trees are estimated from the number of pending entries.
    pub(super) fn heap_bytes(&self) -> usize {
        size_class(self.consumers.capacity() * size_of::<Option<Consumer>>())
            + size_class((self.by_name.capacity() + self.free.capacity()) * size_of::<u32>())
            + self.name_bytes
            + self.pending.len() * PENDING_BYTES
    }
}
