//! The image of a whole value: one tag byte and a body. Carried by `Effect::Put` (RENAME, COPY, RESTORE, the STORE
//! commands) and written by whoever loads foreign data. Decoding checks everything, whoever wrote it.
//!
//! `docs/effects.md` describes every byte.

use std::fmt;

use super::stream::{self, StreamImage};
use super::{Hash, IntBuf, Limits, List, ListChunk, OwnedValue, Set, Value, ZSet};
use crate::effect::wire::{Reader, put_bytes};

/// The tags; fixed numbers, as they are in logs.
mod tag {
    pub(super) const STRING: u8 = 1;
    pub(super) const LIST: u8 = 2;
    pub(super) const HASH: u8 = 3;
    pub(super) const SET: u8 = 4;
    pub(super) const ZSET: u8 = 5;
    pub(super) const LIST_CHUNKS: u8 = 6;
    pub(super) const HASH_LISTPACK: u8 = 7;
    pub(super) const SET_INTSET: u8 = 8;
    pub(super) const ZSET_LISTPACK: u8 = 9;
    /// As `HASH`, `SET`, `ZSET`, but large whatever its size: Redis never turns back, nor does a RENAME.
    pub(super) const LARGE_HASH: u8 = 10;
    pub(super) const LARGE_SET: u8 = 11;
    pub(super) const LARGE_ZSET: u8 = 12;
    pub(super) const STREAM: u8 = 13;
}

const CHUNK_PLAIN: u8 = 1;
const CHUNK_PACKED: u8 = 2;

/// Why bytes are not an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// The tag names nothing that this version knows.
    UnknownTag(u8),
    /// Cut off, or more bytes than announced.
    Length,
    /// A packed part is not a valid listpack or intset.
    Packed,
    /// A field or member occurs twice.
    Duplicate,
    /// A collection without elements, which Redis does not have.
    Empty,
    /// A score that is not a number.
    Score,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTag(tag) => write!(f, "unknown value image tag {tag}"),
            Self::Length => f.write_str("value image is cut off or too long"),
            Self::Packed => f.write_str("value image holds a malformed packed part"),
            Self::Duplicate => f.write_str("value image names an element twice"),
            Self::Empty => f.write_str("value image holds an empty collection"),
            Self::Score => f.write_str("value image holds a score that is not a number"),
        }
    }
}

impl std::error::Error for ImageError {}

/// Appends the image of `value`.
pub fn encode(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Str(elem) => {
            out.push(tag::STRING);
            elem.append_to(out);
        }
        Value::List(list) => {
            let mut image = list_chunks(out);
            for chunk in list.chunks() {
                match chunk {
                    ListChunk::Packed(bytes) => image.packed(bytes),
                    ListChunk::Plain(bytes) => image.plain(bytes),
                }
            }
        }
        Value::Hash(hash) => match hash.listpack() {
            Some(bytes) => hash_listpack(out, bytes),
            None => {
                let open = Open::new(out, tag::LARGE_HASH);
                let (mut image, mut a, mut b) = (PairsImage { open }, IntBuf::new(), IntBuf::new());
                hash.iter()
                    .for_each(|(field, value)| image.item(field.as_bytes(&mut a), value.as_bytes(&mut b)));
            }
        },
        Value::Set(set) => match set.intset() {
            Some(bytes) => set_intset(out, bytes),
            None => {
                let (mut image, mut buf) =
                    (ItemsImage { open: Open::new(out, tag::LARGE_SET) }, IntBuf::new());
                set.iter().for_each(|member| image.item(member.as_bytes(&mut buf)));
            }
        },
        Value::ZSet(zset) => match zset.listpack() {
            Some(bytes) => zset_listpack(out, bytes),
            None => {
                let (mut image, mut buf) =
                    (ScoredImage { open: Open::new(out, tag::LARGE_ZSET) }, IntBuf::new());
                zset.iter().for_each(|(member, score)| image.item(member.as_bytes(&mut buf), score));
            }
        },
        Value::Stream(value) => {
            out.push(tag::STREAM);
            stream::encode(value, out);
        }
    }
}

/// Appends the image of a string.
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(tag::STRING);
    out.extend_from_slice(bytes);
}

/// Begins the image of a list: its elements from left to right follow.
pub fn list(out: &mut Vec<u8>) -> ItemsImage<'_> {
    ItemsImage { open: Open::new(out, tag::LIST) }
}

/// Begins the image of a hash.
pub fn hash(out: &mut Vec<u8>) -> PairsImage<'_> {
    PairsImage { open: Open::new(out, tag::HASH) }
}

/// Begins the image of a set.
pub fn set(out: &mut Vec<u8>) -> ItemsImage<'_> {
    ItemsImage { open: Open::new(out, tag::SET) }
}

/// Begins the image of a sorted set; any order, ascending is fastest to read.
pub fn zset(out: &mut Vec<u8>) -> ScoredImage<'_> {
    ScoredImage { open: Open::new(out, tag::ZSET) }
}

/// Begins the image of a list given as it lies in memory or in an RDB file.
pub fn list_chunks(out: &mut Vec<u8>) -> ChunksImage<'_> {
    ChunksImage { open: Open::new(out, tag::LIST_CHUNKS) }
}

/// Appends the image of a hash given as a listpack, which decoding will check.
pub fn hash_listpack(out: &mut Vec<u8>, listpack: &[u8]) {
    out.push(tag::HASH_LISTPACK);
    out.extend_from_slice(listpack);
}

/// Appends the image of a set given as an intset, which decoding will check.
pub fn set_intset(out: &mut Vec<u8>, intset: &[u8]) {
    out.push(tag::SET_INTSET);
    out.extend_from_slice(intset);
}

/// Appends the image of a sorted set given as a listpack, which decoding will check.
pub fn zset_listpack(out: &mut Vec<u8>, listpack: &[u8]) {
    out.push(tag::ZSET_LISTPACK);
    out.extend_from_slice(listpack);
}

/// Begins the image of a stream.
pub fn stream(out: &mut Vec<u8>) -> StreamImage<'_> {
    out.push(tag::STREAM);
    StreamImage::new(out)
}

/// An image whose items are still being written; dropping it fills in their number.
#[derive(Debug)]
struct Open<'o> {
    out: &'o mut Vec<u8>,
    count_at: usize,
    count: u32,
}

impl<'o> Open<'o> {
    fn new(out: &'o mut Vec<u8>, tag: u8) -> Self {
        out.push(tag);
        let count_at = out.len();
        out.extend_from_slice(&[0; 4]);
        Self { out, count_at, count: 0 }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.out.get_mut(self.count_at..self.count_at + 4) {
            place.copy_from_slice(&self.count.to_le_bytes());
        }
    }
}

/// Writes the elements of a list or set; finished by dropping.
#[derive(Debug)]
pub struct ItemsImage<'o> {
    open: Open<'o>,
}

impl ItemsImage<'_> {
    pub fn item(&mut self, item: &[u8]) {
        put_bytes(self.open.out, item);
        self.open.count += 1;
    }
}

/// Writes the fields of a hash; finished by dropping.
#[derive(Debug)]
pub struct PairsImage<'o> {
    open: Open<'o>,
}

impl PairsImage<'_> {
    pub fn item(&mut self, field: &[u8], value: &[u8]) {
        put_bytes(self.open.out, field);
        put_bytes(self.open.out, value);
        self.open.count += 1;
    }
}

/// Writes the members of a sorted set; finished by dropping.
#[derive(Debug)]
pub struct ScoredImage<'o> {
    open: Open<'o>,
}

impl ScoredImage<'_> {
    pub fn item(&mut self, member: &[u8], score: f64) {
        put_bytes(self.open.out, member);
        self.open.out.extend_from_slice(&score.to_le_bytes());
        self.open.count += 1;
    }
}

/// Writes the chunks of a list; finished by dropping.
#[derive(Debug)]
pub struct ChunksImage<'o> {
    open: Open<'o>,
}

impl ChunksImage<'_> {
    /// A whole listpack.
    pub fn packed(&mut self, listpack: &[u8]) {
        self.open.out.push(CHUNK_PACKED);
        put_bytes(self.open.out, listpack);
        self.open.count += 1;
    }

    /// One element, as it is.
    pub fn plain(&mut self, element: &[u8]) {
        self.open.out.push(CHUNK_PLAIN);
        put_bytes(self.open.out, element);
        self.open.count += 1;
    }
}

/// Reads an image. Allocates in proportion to the bytes given, whatever numbers they hold.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<OwnedValue, ImageError> {
    let (&tag, body) = bytes.split_first().ok_or(ImageError::Length)?;
    Ok(match tag {
        tag::STRING => OwnedValue::Str(body.to_vec()),
        tag::LIST => OwnedValue::List(read_list(body, limits)?),
        tag::HASH => OwnedValue::Hash(read_hash(body, Hash::new(), limits)?),
        tag::SET => OwnedValue::Set(read_set(body, Set::new(), limits)?),
        tag::ZSET => OwnedValue::ZSet(read_zset(body, ZSet::new(), limits)?),
        tag::LARGE_HASH => OwnedValue::Hash(read_hash(body, Hash::new_large(expected(body)), limits)?),
        tag::LARGE_SET => OwnedValue::Set(read_set(body, Set::new_large(expected(body)), limits)?),
        tag::LARGE_ZSET => OwnedValue::ZSet(read_zset(body, ZSet::new_large(expected(body)), limits)?),
        tag::LIST_CHUNKS => OwnedValue::List(read_list_chunks(body, limits)?),
        tag::HASH_LISTPACK => OwnedValue::Hash(Hash::from_listpack(body, limits)?),
        tag::SET_INTSET => OwnedValue::Set(Set::from_intset(body, limits)?),
        tag::ZSET_LISTPACK => OwnedValue::ZSet(ZSet::from_listpack(body, limits)?),
        tag::STREAM => OwnedValue::Stream(Box::new(stream::decode(body)?)),
        _ => return Err(ImageError::UnknownTag(tag)),
    })
}

/// The number of items, then a reader for exactly that many.
fn counted(body: &[u8]) -> Result<(u32, Reader<'_>), ImageError> {
    let mut reader = Reader::new(body);
    let count = u32::from_le_bytes(reader.array().ok_or(ImageError::Length)?);
    if count == 0 { Err(ImageError::Empty) } else { Ok((count, reader)) }
}

/// How many items to make room for: no more than there can be in so many bytes.
fn expected(body: &[u8]) -> usize {
    counted(body).map_or(0, |(count, _)| (count as usize).min(body.len() / 2))
}

fn finished<T>(reader: &Reader<'_>, value: T) -> Result<T, ImageError> {
    if reader.is_empty() { Ok(value) } else { Err(ImageError::Length) }
}

fn read_list(body: &[u8], limits: &Limits) -> Result<List, ImageError> {
    let (count, mut reader) = counted(body)?;
    let mut list = List::new();
    for _ in 0..count {
        list.push(super::End::Right, reader.bytes().ok_or(ImageError::Length)?, limits);
    }
    finished(&reader, list)
}

fn read_hash(body: &[u8], mut hash: Hash, limits: &Limits) -> Result<Hash, ImageError> {
    let (count, mut reader) = counted(body)?;
    for _ in 0..count {
        let field = reader.bytes().ok_or(ImageError::Length)?;
        let value = reader.bytes().ok_or(ImageError::Length)?;
        if !hash.set(field, value, limits) {
            return Err(ImageError::Duplicate);
        }
    }
    finished(&reader, hash)
}

fn read_set(body: &[u8], mut set: Set, limits: &Limits) -> Result<Set, ImageError> {
    let (count, mut reader) = counted(body)?;
    for _ in 0..count {
        if !set.add(reader.bytes().ok_or(ImageError::Length)?, limits) {
            return Err(ImageError::Duplicate);
        }
    }
    finished(&reader, set)
}

fn read_zset(body: &[u8], mut zset: ZSet, limits: &Limits) -> Result<ZSet, ImageError> {
    let (count, mut reader) = counted(body)?;
    for _ in 0..count {
        let member = reader.bytes().ok_or(ImageError::Length)?;
        let score = f64::from_le_bytes(reader.array().ok_or(ImageError::Length)?);
        if score.is_nan() {
            return Err(ImageError::Score);
        }
        if !zset.insert(member, score, limits) {
            return Err(ImageError::Duplicate);
        }
    }
    finished(&reader, zset)
}

fn read_list_chunks(body: &[u8], limits: &Limits) -> Result<List, ImageError> {
    let (count, mut reader) = counted(body)?;
    let mut list = List::new();
    for _ in 0..count {
        let kind = reader.u8().ok_or(ImageError::Length)?;
        let bytes = reader.bytes().ok_or(ImageError::Length)?;
        match kind {
            CHUNK_PLAIN => list.push(super::End::Right, bytes, limits),
            CHUNK_PACKED => list.push_listpack(bytes, limits)?,
            _ => return Err(ImageError::Packed),
        }
    }
    finished(&reader, list)
}
