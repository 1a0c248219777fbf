//! The values that a key can hold, as data structures: no keys, no clock, no settings but [`Limits`].
//!
//! Commands read them through the public methods; only `Keyspace::apply` changes them, through the
//! crate-private ones (see [`apply`]). Small collections are packed bytes in Redis's own formats,
//! large ones are indexed; [`Limits`] says where the border lies.

pub(crate) mod apply;
mod elem;
mod hash;
pub mod image;
mod large;
mod limits;
mod list;
mod packed;
mod score;
mod set;
mod stream;
mod value;
mod zset;

pub use elem::{Elem, IntBuf, parse_i64};
pub use hash::Hash;
pub use limits::Limits;
pub use list::{End, List, ListChunk, ListRange};
pub use set::Set;
pub use stream::{
    Consumer, Group, NEVER_ACTIVE, Pending, Stream, StreamEntry, StreamId, StreamImage, StreamNode,
    UNKNOWN_READ,
};
pub(crate) use value::FEW_ELEMENTS;
pub use value::{OwnedValue, Value};
pub use zset::{LexBound, ScoreBound, ZSet, ZSetRange};

#[cfg(test)]
mod tests;

#[cfg(test)]
mod oracle_tests;
