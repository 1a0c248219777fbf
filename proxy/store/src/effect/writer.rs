//! From decisions to bytes: encodes effects at the end of the open record's buffer, without allocating, and
//! remembers for each where it starts and where its key was found.

use super::wire::{put_bytes, put_varint};
use super::{EffectKind, ExpireChange, Reason};
use crate::types::{End, StreamId, Value, image};
use crate::{Handle, Key};

/// One written effect: where it starts in the buffer, and where decide saw its key.
#[derive(Clone, Copy, Debug)]
pub struct EffectAt {
    pub offset: usize,
    pub handle: Option<Handle>,
}

/// The effects written for one record. Owned by the shard, reused from command to command.
#[derive(Debug, Default)]
pub struct EffectIndex {
    entries: Vec<EffectAt>,
}

impl EffectIndex {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One effect by its number.
    #[inline]
    pub fn get(&self, number: usize) -> Option<EffectAt> {
        self.entries.get(number).copied()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = EffectAt> {
        self.entries.iter().copied()
    }
}

/// A place to come back to with [`EffectWriter::truncate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    bytes: usize,
    effects: usize,
}

/// Writes effects. A collection effect with no items is not written at all.
#[derive(Debug)]
pub struct EffectWriter<'b> {
    buf: &'b mut Vec<u8>,
    index: &'b mut EffectIndex,
}

impl<'b> EffectWriter<'b> {
    /// Appends to `buf`; offsets in `index` count from the start of `buf`.
    pub fn new(buf: &'b mut Vec<u8>, index: &'b mut EffectIndex) -> Self {
        Self { buf, index }
    }

    /// Number of effects in the index.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub fn mark(&self) -> Mark {
        Mark { bytes: self.buf.len(), effects: self.index.len() }
    }

    /// Takes back everything written since `mark`.
    pub fn truncate(&mut self, mark: Mark) {
        self.buf.truncate(mark.bytes);
        self.index.entries.truncate(mark.effects);
    }

    #[inline]
    fn begin(&mut self, kind: EffectKind, key: Key<'_>, handle: Option<Handle>) {
        self.index.entries.push(EffectAt { offset: self.buf.len(), handle });
        let slot = key.slot.to_le_bytes();
        self.buf.extend_from_slice(&[kind as u8, key.db, slot[0], slot[1]]);
        put_bytes(self.buf, key.bytes);
    }

    pub fn delete(&mut self, key: Key<'_>, handle: Option<Handle>, reason: Reason) {
        self.begin(EffectKind::Delete, key, handle);
        self.buf.push(reason as u8);
    }

    /// Replaces the whole value by what `image` encodes.
    pub fn put(&mut self, key: Key<'_>, handle: Option<Handle>, image: &[u8], expire_at: Option<i64>) {
        self.begin_put(key, handle, expire_at);
        put_bytes(self.buf, image);
    }

    /// Replaces the whole value by a copy of `value`.
    pub fn put_value(
        &mut self,
        key: Key<'_>,
        handle: Option<Handle>,
        value: Value<'_>,
        expire_at: Option<i64>,
    ) {
        let mut bytes = Vec::new();
        image::encode(value, &mut bytes);
        self.put(key, handle, &bytes, expire_at);
    }

    /// Moves the whole value with its expiry from one key to another. `handle` is that of `from`.
    pub fn move_value(&mut self, from: Key<'_>, handle: Option<Handle>, to: Key<'_>) {
        self.begin(EffectKind::MoveFrom, from, handle);
        self.begin(EffectKind::MoveTo, to, None);
    }

    /// Copies the whole value with its expiry from one key to another.
    pub fn copy_value(&mut self, from: Key<'_>, to: Key<'_>) {
        self.begin(EffectKind::Copy, to, None);
        let slot = from.slot.to_le_bytes();
        self.buf.extend_from_slice(&[from.db, slot[0], slot[1]]);
        put_bytes(self.buf, from.bytes);
    }

    fn begin_put(&mut self, key: Key<'_>, handle: Option<Handle>, expire_at: Option<i64>) {
        self.begin(EffectKind::Put, key, handle);
        match expire_at {
            None => self.buf.push(0),
            Some(at_ms) => self.put_time(at_ms),
        }
    }

    #[inline]
    fn put_time(&mut self, at_ms: i64) {
        self.buf.push(2);
        self.buf.extend_from_slice(&at_ms.to_le_bytes());
    }

    #[inline]
    pub fn set_string(&mut self, key: Key<'_>, handle: Option<Handle>, value: &[u8], expire: ExpireChange) {
        self.begin(EffectKind::SetString, key, handle);
        match expire {
            ExpireChange::Clear => self.buf.push(0),
            ExpireChange::Keep => self.buf.push(1),
            ExpireChange::At(at_ms) => self.put_time(at_ms),
        }
        put_bytes(self.buf, value);
    }

    pub fn append_string(&mut self, key: Key<'_>, handle: Option<Handle>, tail: &[u8]) {
        self.begin(EffectKind::AppendString, key, handle);
        put_bytes(self.buf, tail);
    }

    pub fn set_range(&mut self, key: Key<'_>, handle: Option<Handle>, offset: u32, bytes: &[u8]) {
        self.begin(EffectKind::SetRange, key, handle);
        put_varint(self.buf, u64::from(offset));
        put_bytes(self.buf, bytes);
    }

    pub fn expire_at(&mut self, key: Key<'_>, handle: Option<Handle>, at_ms: i64) {
        self.begin(EffectKind::ExpireAt, key, handle);
        self.buf.extend_from_slice(&at_ms.to_le_bytes());
    }

    pub fn persist(&mut self, key: Key<'_>, handle: Option<Handle>) {
        self.begin(EffectKind::Persist, key, handle);
    }

    pub fn hash_set(&mut self, key: Key<'_>, handle: Option<Handle>) -> PairsWriter<'_> {
        PairsWriter { open: self.begin_items(EffectKind::HashSet, key, handle, None) }
    }

    pub fn hash_delete(&mut self, key: Key<'_>, handle: Option<Handle>) -> ItemsWriter<'_> {
        ItemsWriter { open: self.begin_items(EffectKind::HashDelete, key, handle, None) }
    }

    pub fn list_push(&mut self, key: Key<'_>, handle: Option<Handle>, end: End) -> ItemsWriter<'_> {
        ItemsWriter { open: self.begin_items(EffectKind::ListPush, key, handle, Some(end)) }
    }

    pub fn list_pop(&mut self, key: Key<'_>, handle: Option<Handle>, end: End, count: usize) {
        self.begin(EffectKind::ListPop, key, handle);
        self.buf.push(end_byte(end));
        put_varint(self.buf, count as u64);
    }

    pub fn list_set(&mut self, key: Key<'_>, handle: Option<Handle>, index: usize, value: &[u8]) {
        self.begin(EffectKind::ListSet, key, handle);
        put_varint(self.buf, index as u64);
        put_bytes(self.buf, value);
    }

    /// Inserts `value` before `index`.
    pub fn list_insert(&mut self, key: Key<'_>, handle: Option<Handle>, index: usize, value: &[u8]) {
        self.begin(EffectKind::ListInsert, key, handle);
        put_varint(self.buf, index as u64);
        put_bytes(self.buf, value);
    }

    /// Removes elements by their indexes before the removal, to be given in ascending order.
    pub fn list_remove(&mut self, key: Key<'_>, handle: Option<Handle>) -> IndexesWriter<'_> {
        IndexesWriter { open: self.begin_items(EffectKind::ListRemove, key, handle, None), next: 0 }
    }

    /// Keeps `count` elements from `start` on.
    pub fn list_trim(&mut self, key: Key<'_>, handle: Option<Handle>, start: usize, count: usize) {
        self.begin(EffectKind::ListTrim, key, handle);
        put_varint(self.buf, start as u64);
        put_varint(self.buf, count as u64);
    }

    pub fn set_add(&mut self, key: Key<'_>, handle: Option<Handle>) -> ItemsWriter<'_> {
        ItemsWriter { open: self.begin_items(EffectKind::SetAdd, key, handle, None) }
    }

    pub fn set_remove(&mut self, key: Key<'_>, handle: Option<Handle>) -> ItemsWriter<'_> {
        ItemsWriter { open: self.begin_items(EffectKind::SetRemove, key, handle, None) }
    }

    pub fn zset_add(&mut self, key: Key<'_>, handle: Option<Handle>) -> ScoredWriter<'_> {
        ScoredWriter { open: self.begin_items(EffectKind::ZSetAdd, key, handle, None) }
    }

    pub fn zset_remove(&mut self, key: Key<'_>, handle: Option<Handle>) -> ItemsWriter<'_> {
        ItemsWriter { open: self.begin_items(EffectKind::ZSetRemove, key, handle, None) }
    }

    /// Appends an entry to a stream; its fields follow.
    pub fn stream_add(&mut self, key: Key<'_>, handle: Option<Handle>, id: StreamId) -> PairsWriter<'_> {
        let write = |buf: &mut Vec<u8>| id.write(buf);
        PairsWriter { open: self.begin_counted(EffectKind::StreamAdd, key, handle, write) }
    }

    pub fn stream_delete(&mut self, key: Key<'_>, handle: Option<Handle>) -> IdsWriter<'_> {
        IdsWriter { open: self.begin_items(EffectKind::StreamDelete, key, handle, None) }
    }

    /// Removes the first `count` entries.
    pub fn stream_trim(&mut self, key: Key<'_>, handle: Option<Handle>, count: u64) {
        self.begin(EffectKind::StreamTrim, key, handle);
        put_varint(self.buf, count);
    }

    pub fn stream_set_id(
        &mut self,
        key: Key<'_>,
        handle: Option<Handle>,
        last_id: StreamId,
        max_deleted: StreamId,
        entries_added: u64,
    ) {
        self.begin(EffectKind::StreamSetId, key, handle);
        last_id.write(self.buf);
        max_deleted.write(self.buf);
        put_varint(self.buf, entries_added);
    }

    /// Creates a group or sets how far it has read.
    pub fn stream_group_set(
        &mut self,
        key: Key<'_>,
        handle: Option<Handle>,
        group: &[u8],
        last_id: StreamId,
        entries_read: i64,
    ) {
        self.begin(EffectKind::StreamGroupSet, key, handle);
        put_bytes(self.buf, group);
        last_id.write(self.buf);
        self.buf.extend_from_slice(&entries_read.to_le_bytes());
    }

    pub fn stream_group_destroy(&mut self, key: Key<'_>, handle: Option<Handle>, group: &[u8]) {
        self.begin(EffectKind::StreamGroupDestroy, key, handle);
        put_bytes(self.buf, group);
    }

    /// Creates a consumer or sets when it was last there.
    pub fn stream_consumer_set(
        &mut self,
        key: Key<'_>,
        handle: Option<Handle>,
        group: &[u8],
        consumer: &[u8],
        seen: i64,
    ) {
        self.begin(EffectKind::StreamConsumerSet, key, handle);
        put_bytes(self.buf, group);
        put_bytes(self.buf, consumer);
        self.buf.extend_from_slice(&seen.to_le_bytes());
    }

    pub fn stream_consumer_delete(
        &mut self,
        key: Key<'_>,
        handle: Option<Handle>,
        group: &[u8],
        consumer: &[u8],
    ) {
        self.begin(EffectKind::StreamConsumerDelete, key, handle);
        put_bytes(self.buf, group);
        put_bytes(self.buf, consumer);
    }

    /// Makes entries pending for a consumer since `time`.
    pub fn stream_pend(
        &mut self,
        key: Key<'_>,
        handle: Option<Handle>,
        group: &[u8],
        consumer: &[u8],
        time: i64,
    ) -> PendingWriter<'_> {
        let write = |buf: &mut Vec<u8>| {
            put_bytes(buf, group);
            put_bytes(buf, consumer);
            buf.extend_from_slice(&time.to_le_bytes());
        };
        PendingWriter { open: self.begin_counted(EffectKind::StreamPend, key, handle, write) }
    }

    pub fn stream_ack(&mut self, key: Key<'_>, handle: Option<Handle>, group: &[u8]) -> IdsWriter<'_> {
        let write = |buf: &mut Vec<u8>| put_bytes(buf, group);
        IdsWriter { open: self.begin_counted(EffectKind::StreamAck, key, handle, write) }
    }

    pub fn flush_database(&mut self, db: u8) {
        self.index.entries.push(EffectAt { offset: self.buf.len(), handle: None });
        self.buf.extend_from_slice(&[EffectKind::FlushDatabase as u8, db]);
    }

    pub fn swap_databases(&mut self, a: u8, b: u8) {
        self.index.entries.push(EffectAt { offset: self.buf.len(), handle: None });
        self.buf.extend_from_slice(&[EffectKind::SwapDatabases as u8, a, b]);
    }

    pub fn library_set(&mut self, name: &[u8], code: &[u8]) {
        self.index.entries.push(EffectAt { offset: self.buf.len(), handle: None });
        self.buf.push(EffectKind::LibrarySet as u8);
        put_bytes(self.buf, name);
        put_bytes(self.buf, code);
    }

    pub fn library_delete(&mut self, name: &[u8]) {
        self.index.entries.push(EffectAt { offset: self.buf.len(), handle: None });
        self.buf.push(EffectKind::LibraryDelete as u8);
        put_bytes(self.buf, name);
    }

    #[inline]
    fn begin_items(
        &mut self,
        kind: EffectKind,
        key: Key<'_>,
        handle: Option<Handle>,
        end: Option<End>,
    ) -> Open<'_> {
        self.begin_counted(kind, key, handle, |buf| {
            if let Some(end) = end {
                buf.push(end_byte(end));
            }
        })
    }

    /// Begins an effect whose list of items comes after what `before_list` writes.
    #[inline]
    fn begin_counted(
        &mut self,
        kind: EffectKind,
        key: Key<'_>,
        handle: Option<Handle>,
        before_list: impl FnOnce(&mut Vec<u8>),
    ) -> Open<'_> {
        let before = self.mark();
        self.begin(kind, key, handle);
        before_list(self.buf);
        let count_at = self.buf.len();
        self.buf.extend_from_slice(&[0; 4]);
        Open { buf: self.buf, index: self.index, before, count_at, count: 0 }
    }
}

fn end_byte(end: End) -> u8 {
    match end {
        End::Left => 0,
        End::Right => 1,
    }
}

/// An effect whose items are still being written. Dropping it closes it: the count is filled in, and an
/// effect without items is taken back.
#[derive(Debug)]
struct Open<'w> {
    buf: &'w mut Vec<u8>,
    index: &'w mut EffectIndex,
    before: Mark,
    count_at: usize,
    count: u32,
}

impl Drop for Open<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.count == 0 {
            self.buf.truncate(self.before.bytes);
            self.index.entries.truncate(self.before.effects);
        } else if let Some(place) = self.buf.get_mut(self.count_at..self.count_at + 4) {
            place.copy_from_slice(&self.count.to_le_bytes());
        }
    }
}

macro_rules! items_writer {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<'w> {
            open: Open<'w>,
        }

        impl $name<'_> {
            /// Number of items written.
            pub fn count(&self) -> usize {
                self.open.count as usize
            }
        }
    };
}

items_writer!(
    /// Writes byte strings into an open effect; closed by dropping.
    ItemsWriter
);
items_writer!(
    /// Writes fields with values into an open effect; closed by dropping.
    PairsWriter
);
items_writer!(
    /// Writes members with scores into an open effect; closed by dropping.
    ScoredWriter
);

items_writer!(
    /// Writes ids of a stream's entries into an open effect; closed by dropping.
    IdsWriter
);
items_writer!(
    /// Writes pending entries into an open effect; closed by dropping.
    PendingWriter
);

impl IdsWriter<'_> {
    #[inline]
    pub fn item(&mut self, id: StreamId) {
        id.write(self.open.buf);
        self.open.count += 1;
    }
}

impl PendingWriter<'_> {
    /// An entry and how often it was delivered.
    #[inline]
    pub fn item(&mut self, id: StreamId, count: u64) {
        id.write(self.open.buf);
        put_varint(self.open.buf, count);
        self.open.count += 1;
    }
}

impl ItemsWriter<'_> {
    #[inline]
    pub fn item(&mut self, item: &[u8]) {
        put_bytes(self.open.buf, item);
        self.open.count += 1;
    }
}

impl PairsWriter<'_> {
    #[inline]
    pub fn item(&mut self, field: &[u8], value: &[u8]) {
        put_bytes(self.open.buf, field);
        put_bytes(self.open.buf, value);
        self.open.count += 1;
    }
}

impl ScoredWriter<'_> {
    /// `score` must not be NaN.
    #[inline]
    pub fn item(&mut self, member: &[u8], score: f64) {
        debug_assert!(!score.is_nan());
        put_bytes(self.open.buf, member);
        self.open.buf.extend_from_slice(&score.to_le_bytes());
        self.open.count += 1;
    }
}

/// Writes ascending indexes into an open effect; closed by dropping.
#[derive(Debug)]
pub struct IndexesWriter<'w> {
    open: Open<'w>,
    next: u64,
}

impl IndexesWriter<'_> {
    /// `index` must be above the one before; any other is left out.
    #[inline]
    pub fn index(&mut self, index: usize) {
        let index = index as u64;
        debug_assert!(index >= self.next, "indexes must ascend");
        if index >= self.next {
            put_varint(self.open.buf, index + 1 - self.next);
            self.next = index + 1;
            self.open.count += 1;
        }
    }

    /// Number of indexes written.
    pub fn count(&self) -> usize {
        self.open.count as usize
    }
}
