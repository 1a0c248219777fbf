//! A key's value, borrowed for reading or owned on its way into the keyspace.

use super::{Elem, Hash, List, Set, Stream, ZSet};

/// Collections with more elements than this are freed bit by bit, and moved rather than made anew.
pub(crate) const FEW_ELEMENTS: usize = 64;
/// Longest string that Redis calls "embstr".
const EMBSTR_BYTES: usize = 44;

/// A key's value as commands read it.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Str(Elem<'a>),
    List(&'a List),
    Hash(&'a Hash),
    Set(&'a Set),
    ZSet(&'a ZSet),
    Stream(&'a Stream),
}

impl Value<'_> {
    /// The name that TYPE answers.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Str(_) => "string",
            Value::List(_) => "list",
            Value::Hash(_) => "hash",
            Value::Set(_) => "set",
            Value::ZSet(_) => "zset",
            Value::Stream(_) => "stream",
        }
    }

    /// Number of elements: what making or freeing the value costs. Of a stream, nodes and pending entries.
    pub(crate) fn elements(&self) -> usize {
        match self {
            Value::Str(_) => 1,
            Value::List(list) => list.len(),
            Value::Hash(hash) => hash.len(),
            Value::Set(set) => set.len(),
            Value::ZSet(zset) => zset.len(),
            Value::Stream(stream) => stream.weight(),
        }
    }

    /// The name that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self {
            Value::Str(Elem::Int(_)) => "int",
            Value::Str(Elem::Bytes(bytes)) if bytes.len() <= EMBSTR_BYTES => "embstr",
            Value::Str(_) => "raw",
            Value::List(list) => list.encoding(),
            Value::Hash(hash) => hash.encoding(),
            Value::Set(set) => set.encoding(),
            Value::ZSet(zset) => zset.encoding(),
            Value::Stream(stream) => stream.encoding(),
        }
    }
}

/// A whole value, for instance one decoded from an image.
#[derive(Debug)]
pub enum OwnedValue {
    Str(Vec<u8>),
    List(List),
    Hash(Hash),
    Set(Set),
    ZSet(ZSet),
    Stream(Box<Stream>),
}

impl OwnedValue {
    pub fn as_value(&self) -> Value<'_> {
        match self {
            OwnedValue::Str(bytes) => Value::Str(Elem::Bytes(bytes)),
            OwnedValue::List(list) => Value::List(list),
            OwnedValue::Hash(hash) => Value::Hash(hash),
            OwnedValue::Set(set) => Value::Set(set),
            OwnedValue::ZSet(zset) => Value::ZSet(zset),
            OwnedValue::Stream(stream) => Value::Stream(stream),
        }
    }
}
