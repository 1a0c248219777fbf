//! From bytes to effects, borrowed and defensive: anything may be in the bytes, nothing is allocated, nothing panics.

use std::fmt;

use super::wire::Reader;
use super::{
    Effect, EffectKind, ExpireChange, Ids, Indexes, Items, Pairs, PendingItems, Reason, ScoredItems,
};
use crate::types::{End, StreamId};
use crate::{DATABASES, Key, SLOTS};

/// Why bytes are not an effect; `offset` = where the effect starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectError {
    /// The number names no effect that this version knows.
    UnknownKind { offset: usize, number: u8 },
    /// The bytes end too early, or a field holds what it cannot.
    Malformed { offset: usize, kind: EffectKind },
}

impl fmt::Display for EffectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind { offset, number } => {
                write!(f, "unknown effect number {number} at byte {offset}")
            }
            Self::Malformed { offset, kind } => write!(f, "malformed {kind:?} effect at byte {offset}"),
        }
    }
}

impl std::error::Error for EffectError {}

/// Iterator over the effects of a record's body, each with the offset at which it starts; ends after an error.
#[derive(Clone, Debug)]
pub struct Effects<'a> {
    buf: &'a [u8],
    offset: usize,
}

/// The effects in `buf`, which holds nothing else.
pub fn decode(buf: &[u8]) -> Effects<'_> {
    Effects { buf, offset: 0 }
}

/// The effect that starts at `offset`, and the offset behind it.
#[inline]
pub fn decode_one(buf: &[u8], offset: usize) -> Result<(Effect<'_>, usize), EffectError> {
    let mut reader = Reader::new(buf.get(offset..).unwrap_or_default());
    let number = reader.u8().unwrap_or(0);
    let Some(kind) = EffectKind::from_number(number) else {
        return Err(EffectError::UnknownKind { offset, number });
    };
    match read(&mut reader, kind) {
        Some(effect) => Ok((effect, buf.len() - reader.rest().len())),
        None => Err(EffectError::Malformed { offset, kind }),
    }
}

impl<'a> Iterator for Effects<'a> {
    type Item = Result<(Effect<'a>, usize), EffectError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.buf.len() {
            return None;
        }
        let start = self.offset;
        match decode_one(self.buf, start) {
            Ok((effect, end)) => {
                self.offset = end;
                Some(Ok((effect, start)))
            }
            Err(error) => {
                self.offset = self.buf.len();
                Some(Err(error))
            }
        }
    }
}

#[inline]
fn read<'a>(reader: &mut Reader<'a>, kind: EffectKind) -> Option<Effect<'a>> {
    match kind {
        EffectKind::FlushDatabase => return Some(Effect::FlushDatabase { db: database(reader)? }),
        EffectKind::SwapDatabases => {
            return Some(Effect::SwapDatabases { a: database(reader)?, b: database(reader)? });
        }
        EffectKind::LibrarySet => {
            return Some(Effect::LibrarySet { name: reader.bytes()?, code: reader.bytes()? });
        }
        EffectKind::LibraryDelete => return Some(Effect::LibraryDelete { name: reader.bytes()? }),
        _ => {}
    }
    let key = key(reader)?;
    Some(match kind {
        EffectKind::Delete => Effect::Delete { key, reason: reason(reader)? },
        EffectKind::Put => {
            // 3 and 4 are in logs of engine version 1: behind the expiry they name where the value came from.
            let form = reader.u8()?;
            let expire_at = match form {
                0 | 3 => None,
                2 | 4 => Some(i64::from_le_bytes(reader.array()?)),
                _ => return None,
            };
            if form > 2 {
                reader.u8()?;
                reader.bytes()?;
            }
            Effect::Put { key, expire_at, image: reader.bytes()? }
        }
        EffectKind::SetString => {
            let expire = expire_change(reader)?;
            Effect::SetString { key, expire, value: reader.bytes()? }
        }
        EffectKind::AppendString => Effect::AppendString { key, tail: reader.bytes()? },
        EffectKind::SetRange => {
            let offset = u32::try_from(reader.varint()?).ok()?;
            Effect::SetRange { key, offset, bytes: reader.bytes()? }
        }
        EffectKind::ExpireAt => Effect::ExpireAt { key, at_ms: i64::from_le_bytes(reader.array()?) },
        EffectKind::Persist => Effect::Persist { key },
        EffectKind::MoveFrom => Effect::MoveFrom { key },
        EffectKind::MoveTo => Effect::MoveTo { key },
        EffectKind::Copy => Effect::Copy { key, from: self::key(reader)? },
        _ => return read_collection(reader, kind, key),
    })
}

fn read_collection<'a>(reader: &mut Reader<'a>, kind: EffectKind, key: Key<'a>) -> Option<Effect<'a>> {
    Some(match kind {
        EffectKind::HashSet => {
            let count = count(reader)?;
            Effect::HashSet { key, items: Pairs::read(reader, count)? }
        }
        EffectKind::HashDelete => Effect::HashDelete { key, items: items(reader)? },
        EffectKind::ListPush => {
            let end = end(reader)?;
            Effect::ListPush { key, end, items: items(reader)? }
        }
        EffectKind::ListPop => Effect::ListPop { key, end: end(reader)?, count: reader.varint()? },
        EffectKind::ListSet => Effect::ListSet { key, index: reader.varint()?, value: reader.bytes()? },
        EffectKind::ListInsert => Effect::ListInsert { key, index: reader.varint()?, value: reader.bytes()? },
        EffectKind::ListRemove => {
            let count = count(reader)?;
            Effect::ListRemove { key, indexes: Indexes::read(reader, count)? }
        }
        EffectKind::ListTrim => Effect::ListTrim { key, start: reader.varint()?, count: reader.varint()? },
        EffectKind::SetAdd => Effect::SetAdd { key, items: items(reader)? },
        EffectKind::SetRemove => Effect::SetRemove { key, items: items(reader)? },
        EffectKind::ZSetAdd => {
            let count = count(reader)?;
            Effect::ZSetAdd { key, items: ScoredItems::read(reader, count)? }
        }
        EffectKind::ZSetRemove => Effect::ZSetRemove { key, items: items(reader)? },
        _ => return read_stream(reader, kind, key),
    })
}

fn read_stream<'a>(reader: &mut Reader<'a>, kind: EffectKind, key: Key<'a>) -> Option<Effect<'a>> {
    Some(match kind {
        EffectKind::StreamAdd => {
            let id = StreamId::read(reader)?;
            let count = count(reader)?;
            Effect::StreamAdd { key, id, fields: Pairs::read(reader, count)? }
        }
        EffectKind::StreamDelete => Effect::StreamDelete { key, ids: ids(reader)? },
        EffectKind::StreamTrim => Effect::StreamTrim { key, count: reader.varint()? },
        EffectKind::StreamSetId => Effect::StreamSetId {
            key,
            last_id: StreamId::read(reader)?,
            max_deleted: StreamId::read(reader)?,
            entries_added: reader.varint()?,
        },
        EffectKind::StreamGroupSet => Effect::StreamGroupSet {
            key,
            group: reader.bytes()?,
            last_id: StreamId::read(reader)?,
            entries_read: i64::from_le_bytes(reader.array()?),
        },
        EffectKind::StreamGroupDestroy => Effect::StreamGroupDestroy { key, group: reader.bytes()? },
        EffectKind::StreamConsumerSet => Effect::StreamConsumerSet {
            key,
            group: reader.bytes()?,
            consumer: reader.bytes()?,
            seen: i64::from_le_bytes(reader.array()?),
        },
        EffectKind::StreamConsumerDelete => {
            Effect::StreamConsumerDelete { key, group: reader.bytes()?, consumer: reader.bytes()? }
        }
        EffectKind::StreamPend => {
            let (group, consumer) = (reader.bytes()?, reader.bytes()?);
            let time = i64::from_le_bytes(reader.array()?);
            let count = count(reader)?;
            Effect::StreamPend { key, group, consumer, time, entries: PendingItems::read(reader, count)? }
        }
        EffectKind::StreamAck => Effect::StreamAck { key, group: reader.bytes()?, ids: ids(reader)? },
        _ => return None,
    })
}

fn ids<'a>(reader: &mut Reader<'a>) -> Option<Ids<'a>> {
    let count = count(reader)?;
    Ids::read(reader, count)
}

#[inline]
fn key<'a>(reader: &mut Reader<'a>) -> Option<Key<'a>> {
    let db = database(reader)?;
    let slot = u16::from_le_bytes(reader.array()?);
    let bytes = reader.bytes()?;
    (usize::from(slot) < SLOTS as usize).then_some(Key::in_slot(db, slot, bytes))
}

#[inline]
fn database(reader: &mut Reader<'_>) -> Option<u8> {
    reader.u8().filter(|db| u32::from(*db) < DATABASES as u32)
}

fn reason(reader: &mut Reader<'_>) -> Option<Reason> {
    match reader.u8()? {
        0 => Some(Reason::Command),
        1 => Some(Reason::Expired),
        2 => Some(Reason::Evicted),
        _ => None,
    }
}

fn end(reader: &mut Reader<'_>) -> Option<End> {
    match reader.u8()? {
        0 => Some(End::Left),
        1 => Some(End::Right),
        _ => None,
    }
}

#[inline]
fn expire_change(reader: &mut Reader<'_>) -> Option<ExpireChange> {
    match reader.u8()? {
        0 => Some(ExpireChange::Clear),
        1 => Some(ExpireChange::Keep),
        2 => Some(ExpireChange::At(i64::from_le_bytes(reader.array()?))),
        _ => None,
    }
}

/// The number of items: never zero, an effect without items is not written.
#[inline]
fn count(reader: &mut Reader<'_>) -> Option<u32> {
    Some(u32::from_le_bytes(reader.array()?)).filter(|count| *count > 0)
}

#[inline]
fn items<'a>(reader: &mut Reader<'a>) -> Option<Items<'a>> {
    let count = count(reader)?;
    Items::read(reader, count)
}
