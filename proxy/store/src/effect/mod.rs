//! Effects: how a change of the data is written down, in the log and on the way from decide to apply.
//!
//! A small closed set; one key each (two touch whole databases, two the function libraries); every number fixed for ever. The engine writes
//! them with [`EffectWriter`] straight into the open record, [`decode`] reads them back borrowed, and
//! `Keyspace::apply` carries them out. `docs/effects.md` describes every byte.

mod decode;
mod items;
mod kind;
pub(crate) mod wire;
mod writer;

pub use decode::{EffectError, Effects, decode, decode_one};
pub use items::{Ids, Indexes, Items, Pairs, PendingItems, ScoredItems};
pub use kind::EffectKind;
pub use writer::{
    EffectAt, EffectIndex, EffectWriter, IdsWriter, IndexesWriter, ItemsWriter, Mark, PairsWriter,
    PendingWriter, ScoredWriter,
};

use crate::Key;
use crate::types::{End, StreamId};

/// Which effects there are: raised with every change that an older build can't read. A log's blocks carry it.
/// 2: MoveFrom and MoveTo. 3: Copy.
pub const ENGINE_VERSION: u16 = 3;

/// Why a key was deleted; notifications tell these apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    Command = 0,
    Expired = 1,
    Evicted = 2,
}

/// What a new string value does to the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireChange {
    /// The key has none afterwards.
    Clear,
    /// It stays as it is.
    Keep,
    /// It becomes this unix time in milliseconds.
    At(i64),
}

/// One deterministic change. Byte strings are borrowed from the record.
///
/// HashSet, ListPush, SetAdd, ZSetAdd, StreamAdd, StreamGroupSet, AppendString and SetRange create the key when it is
/// absent; a collection that becomes empty is deleted by apply, but for streams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect<'a> {
    Delete {
        key: Key<'a>,
        reason: Reason,
    },
    /// The whole value is replaced; `image` is a `types::image`, not validated by decode.
    Put {
        key: Key<'a>,
        image: &'a [u8],
        expire_at: Option<i64>,
    },
    SetString {
        key: Key<'a>,
        value: &'a [u8],
        expire: ExpireChange,
    },
    AppendString {
        key: Key<'a>,
        tail: &'a [u8],
    },
    SetRange {
        key: Key<'a>,
        offset: u32,
        bytes: &'a [u8],
    },
    ExpireAt {
        key: Key<'a>,
        at_ms: i64,
    },
    Persist {
        key: Key<'a>,
    },
    /// The key is gone; its value and expiry go to the key of the MoveTo right behind, in the same record.
    MoveFrom {
        key: Key<'a>,
    },
    /// The key gets the value and the expiry that the MoveFrom right before took away.
    MoveTo {
        key: Key<'a>,
    },
    /// The key gets a copy of the value and the expiry that `from` has.
    Copy {
        key: Key<'a>,
        from: Key<'a>,
    },
    HashSet {
        key: Key<'a>,
        items: Pairs<'a>,
    },
    HashDelete {
        key: Key<'a>,
        items: Items<'a>,
    },
    /// Pushes one item after the other, as LPUSH and RPUSH do.
    ListPush {
        key: Key<'a>,
        end: End,
        items: Items<'a>,
    },
    ListPop {
        key: Key<'a>,
        end: End,
        count: u64,
    },
    ListSet {
        key: Key<'a>,
        index: u64,
        value: &'a [u8],
    },
    /// Inserts before `index`; an index equal to the length appends.
    ListInsert {
        key: Key<'a>,
        index: u64,
        value: &'a [u8],
    },
    /// Removes the elements at ascending indexes, all counted before the first removal.
    ListRemove {
        key: Key<'a>,
        indexes: Indexes<'a>,
    },
    /// Keeps `count` elements from `start` on.
    ListTrim {
        key: Key<'a>,
        start: u64,
        count: u64,
    },
    SetAdd {
        key: Key<'a>,
        items: Items<'a>,
    },
    SetRemove {
        key: Key<'a>,
        items: Items<'a>,
    },
    ZSetAdd {
        key: Key<'a>,
        items: ScoredItems<'a>,
    },
    ZSetRemove {
        key: Key<'a>,
        items: Items<'a>,
    },
    /// Appends an entry.
    StreamAdd {
        key: Key<'a>,
        id: StreamId,
        fields: Pairs<'a>,
    },
    /// Removes entries by their ids.
    StreamDelete {
        key: Key<'a>,
        ids: Ids<'a>,
    },
    /// Removes the first `count` entries.
    StreamTrim {
        key: Key<'a>,
        count: u64,
    },
    StreamSetId {
        key: Key<'a>,
        last_id: StreamId,
        max_deleted: StreamId,
        entries_added: u64,
    },
    /// Creates a group or sets how far it has read.
    StreamGroupSet {
        key: Key<'a>,
        group: &'a [u8],
        last_id: StreamId,
        entries_read: i64,
    },
    StreamGroupDestroy {
        key: Key<'a>,
        group: &'a [u8],
    },
    /// Creates a consumer or sets when it was last there.
    StreamConsumerSet {
        key: Key<'a>,
        group: &'a [u8],
        consumer: &'a [u8],
        seen: i64,
    },
    /// Removes a consumer with what was pending for it.
    StreamConsumerDelete {
        key: Key<'a>,
        group: &'a [u8],
        consumer: &'a [u8],
    },
    /// Entries are pending for a consumer, whoever had them before.
    StreamPend {
        key: Key<'a>,
        group: &'a [u8],
        consumer: &'a [u8],
        time: i64,
        entries: PendingItems<'a>,
    },
    /// Entries are pending no more.
    StreamAck {
        key: Key<'a>,
        group: &'a [u8],
        ids: Ids<'a>,
    },
    FlushDatabase {
        db: u8,
    },
    SwapDatabases {
        a: u8,
        b: u8,
    },
    /// A function library is added or replaced.
    LibrarySet {
        name: &'a [u8],
        code: &'a [u8],
    },
    LibraryDelete {
        name: &'a [u8],
    },
}

impl<'a> Effect<'a> {
    /// The key that the effect changes; `None` for those on whole databases and on function libraries.
    pub fn key(&self) -> Option<Key<'a>> {
        match *self {
            Effect::Delete { key, .. }
            | Effect::Put { key, .. }
            | Effect::SetString { key, .. }
            | Effect::AppendString { key, .. }
            | Effect::SetRange { key, .. }
            | Effect::ExpireAt { key, .. }
            | Effect::Persist { key }
            | Effect::MoveFrom { key }
            | Effect::MoveTo { key }
            | Effect::Copy { key, .. }
            | Effect::HashSet { key, .. }
            | Effect::HashDelete { key, .. }
            | Effect::ListPush { key, .. }
            | Effect::ListPop { key, .. }
            | Effect::ListSet { key, .. }
            | Effect::ListInsert { key, .. }
            | Effect::ListRemove { key, .. }
            | Effect::ListTrim { key, .. }
            | Effect::SetAdd { key, .. }
            | Effect::SetRemove { key, .. }
            | Effect::ZSetAdd { key, .. }
            | Effect::ZSetRemove { key, .. }
            | Effect::StreamAdd { key, .. }
            | Effect::StreamDelete { key, .. }
            | Effect::StreamTrim { key, .. }
            | Effect::StreamSetId { key, .. }
            | Effect::StreamGroupSet { key, .. }
            | Effect::StreamGroupDestroy { key, .. }
            | Effect::StreamConsumerSet { key, .. }
            | Effect::StreamConsumerDelete { key, .. }
            | Effect::StreamPend { key, .. }
            | Effect::StreamAck { key, .. } => Some(key),
            Effect::FlushDatabase { .. }
            | Effect::SwapDatabases { .. }
            | Effect::LibrarySet { .. }
            | Effect::LibraryDelete { .. } => None,
        }
    }

    pub fn kind(&self) -> EffectKind {
        match self {
            Effect::Delete { .. } => EffectKind::Delete,
            Effect::Put { .. } => EffectKind::Put,
            Effect::SetString { .. } => EffectKind::SetString,
            Effect::AppendString { .. } => EffectKind::AppendString,
            Effect::SetRange { .. } => EffectKind::SetRange,
            Effect::ExpireAt { .. } => EffectKind::ExpireAt,
            Effect::Persist { .. } => EffectKind::Persist,
            Effect::MoveFrom { .. } => EffectKind::MoveFrom,
            Effect::MoveTo { .. } => EffectKind::MoveTo,
            Effect::Copy { .. } => EffectKind::Copy,
            Effect::HashSet { .. } => EffectKind::HashSet,
            Effect::HashDelete { .. } => EffectKind::HashDelete,
            Effect::ListPush { .. } => EffectKind::ListPush,
            Effect::ListPop { .. } => EffectKind::ListPop,
            Effect::ListSet { .. } => EffectKind::ListSet,
            Effect::ListInsert { .. } => EffectKind::ListInsert,
            Effect::ListRemove { .. } => EffectKind::ListRemove,
            Effect::ListTrim { .. } => EffectKind::ListTrim,
            Effect::SetAdd { .. } => EffectKind::SetAdd,
            Effect::SetRemove { .. } => EffectKind::SetRemove,
            Effect::ZSetAdd { .. } => EffectKind::ZSetAdd,
            Effect::ZSetRemove { .. } => EffectKind::ZSetRemove,
            Effect::StreamAdd { .. } => EffectKind::StreamAdd,
            Effect::StreamDelete { .. } => EffectKind::StreamDelete,
            Effect::StreamTrim { .. } => EffectKind::StreamTrim,
            Effect::StreamSetId { .. } => EffectKind::StreamSetId,
            Effect::StreamGroupSet { .. } => EffectKind::StreamGroupSet,
            Effect::StreamGroupDestroy { .. } => EffectKind::StreamGroupDestroy,
            Effect::StreamConsumerSet { .. } => EffectKind::StreamConsumerSet,
            Effect::StreamConsumerDelete { .. } => EffectKind::StreamConsumerDelete,
            Effect::StreamPend { .. } => EffectKind::StreamPend,
            Effect::StreamAck { .. } => EffectKind::StreamAck,
            Effect::FlushDatabase { .. } => EffectKind::FlushDatabase,
            Effect::SwapDatabases { .. } => EffectKind::SwapDatabases,
            Effect::LibrarySet { .. } => EffectKind::LibrarySet,
            Effect::LibraryDelete { .. } => EffectKind::LibraryDelete,
        }
    }
}

#[cfg(test)]
mod tests;
