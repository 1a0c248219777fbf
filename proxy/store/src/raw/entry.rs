//! An entry: a key with its value, expiry and position, in one allocation at a thin pointer.
//!
//! ```text
//! 0   7  position (low 51 bits), kind and flags (top 5 bits)
//! 7   3  access: when or how often the key was used, see `keyspace/access.rs`
//! 10  1  key length, or 255 and four more bytes
//!        key | expiry, 8 bytes, if flagged | value
//! ```
//! The value by kind: *inline* = length (1 or 5 bytes) and bytes; *separate* = address, length, capacity (8, 4, 4);
//! an integer in 4 or 8 bytes; a collection, the one field that is aligned. Between inline and separate the allocator's
//! size classes decide: whichever takes fewer bytes. The header is counted in bytes because classes are steps: with one
//! byte more, 100 bytes under a key of 16 would take 160 instead of 128.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::key::Position;
use crate::memory::size_class;
use crate::types::apply::Collection;
use crate::types::{Elem, Value};

use super::alloc::{allocate, free, reallocate};
use super::table::Node;

/// The three access bytes, read and written as four with the key length's first byte above them.
const ACCESS_AT: usize = 7;
const ACCESS: u32 = (1 << 24) - 1;
const KEY_LENGTH_AT: usize = 10;
const ALIGN: usize = 8;
/// Enough for 70 years of a million records a second in one shard.
const POSITION_BITS: u32 = 51;
const POSITION: u64 = (1 << POSITION_BITS) - 1;
/// The byte that the flags share with the position's top bits, and how far up they are.
const FLAGS_AT: usize = 6;
const FLAGS_SHIFT: u32 = POSITION_BITS - 8 * FLAGS_AT as u32;

const KIND: u8 = 0x07;
const INLINE: u8 = 0;
const SEPARATE: u8 = 1;
const INT4: u8 = 2;
const INT8: u8 = 3;
const COLLECTION: u8 = 4;
/// An expiry is stored.
const EXPIRES: u8 = 0x08;
/// The expiry index holds a hint that is due no later than this entry's expiry.
const HINTED: u8 = 0x10;

const SEPARATE_BYTES: usize = 16;
/// Values up to this are inline without asking for size classes.
const ALWAYS_INLINE: usize = 64;
/// Strings are shorter than this; what would be longer is not carried out.
pub(crate) const LONGEST_STRING: usize = u32::MAX as usize;

/// A value on its way into an entry.
pub(crate) enum NewValue<'v> {
    Str(Elem<'v>),
    Collection(Collection),
    /// Whatever that entry holds.
    Of(EntryBox),
}

impl<'v> NewValue<'v> {
    /// A copy of `value`.
    pub(crate) fn copy_of(value: Value<'v>) -> Self {
        Self::Collection(match value {
            Value::Str(string) => return Self::Str(string),
            Value::List(list) => Collection::List(list.clone()),
            Value::Hash(hash) => Collection::Hash(hash.clone()),
            Value::Set(set) => Collection::Set(set.clone()),
            Value::ZSet(zset) => Collection::ZSet(zset.clone()),
            Value::Stream(stream) => Collection::Stream(Box::new(stream.clone())),
        })
    }
}

/// An owned entry.
pub(crate) struct EntryBox(NonNull<u8>);

// SAFETY: an entry owns its block, string and collection, and shares nothing.
unsafe impl Send for EntryBox {}

/// An entry, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct EntryRef<'a> {
    block: NonNull<u8>,
    borrows: PhantomData<&'a Collection>,
}

/// An entry, borrowed for changes that keep it where it is.
pub(crate) struct EntryMut<'a> {
    block: NonNull<u8>,
    borrows: PhantomData<&'a mut Collection>,
}

/// A separate string's place, as stored in an entry.
#[derive(Clone, Copy)]
struct Separate {
    bytes: NonNull<u8>,
    len: usize,
    capacity: usize,
}

/// Where things are in an entry's block.
#[derive(Clone, Copy)]
struct Map {
    flags: u8,
    key_at: usize,
    key_len: usize,
    value_at: usize,
}

/// Unaligned read.
///
/// # Safety
/// A `T` was written at `offset` of `block`.
#[inline]
unsafe fn get<T: Copy>(block: NonNull<u8>, offset: usize) -> T {
    // SAFETY: the caller vouches for the place.
    unsafe { block.as_ptr().add(offset).cast::<T>().read_unaligned() }
}

/// Unaligned write.
///
/// # Safety
/// `block` has room for a `T` at `offset`.
#[inline]
unsafe fn put<T: Copy>(block: NonNull<u8>, offset: usize, value: T) {
    // SAFETY: the caller vouches for the room.
    unsafe { block.as_ptr().add(offset).cast::<T>().write_unaligned(value) }
}

/// # Safety
/// `block` is an entry's.
#[inline]
unsafe fn flags_in(block: NonNull<u8>) -> u8 {
    // SAFETY: every entry starts with position and flags.
    unsafe { get::<u8>(block, FLAGS_AT) >> FLAGS_SHIFT }
}

/// # Safety
/// `block` is an entry's, or has room for one and holds its position.
#[inline]
unsafe fn put_flags(block: NonNull<u8>, flags: u8) {
    // SAFETY: the caller vouches for the room.
    unsafe {
        let position = get::<u8>(block, FLAGS_AT) & ((1 << FLAGS_SHIFT) - 1);
        put(block, FLAGS_AT, flags << FLAGS_SHIFT | position);
    }
}

#[inline]
fn length_bytes(len: usize) -> usize {
    if len < 255 { 1 } else { 5 }
}

/// # Safety
/// `block` has room for the length at `offset`.
#[inline]
unsafe fn put_length(block: NonNull<u8>, offset: usize, len: usize) {
    // SAFETY: the caller vouches for the room.
    unsafe {
        put(block, offset, len.min(255) as u8);
        if len >= 255 {
            put(block, offset + 1, len as u32);
        }
    }
}

/// # Safety
/// A length was written at `offset` of `block`.
#[inline]
unsafe fn get_length(block: NonNull<u8>, offset: usize) -> usize {
    // SAFETY: the caller vouches for the place.
    unsafe {
        match get::<u8>(block, offset) {
            255 => get::<u32>(block, offset + 1) as usize,
            len => usize::from(len),
        }
    }
}

impl Map {
    /// # Safety
    /// `block` is an entry's.
    #[inline]
    unsafe fn of(block: NonNull<u8>) -> Self {
        // SAFETY: every entry starts with the header and the key.
        let (flags, key_len) = unsafe { (flags_in(block), get_length(block, KEY_LENGTH_AT)) };
        Self::new(flags, key_len)
    }

    #[inline]
    fn new(flags: u8, key_len: usize) -> Self {
        let key_at = KEY_LENGTH_AT + length_bytes(key_len);
        let mut value_at = key_at + key_len + if flags & EXPIRES != 0 { 8 } else { 0 };
        if flags & KIND == COLLECTION {
            value_at = value_at.next_multiple_of(ALIGN);
        }
        Self { flags, key_at, key_len, value_at }
    }

    fn expiry_at(self) -> usize {
        self.key_at + self.key_len
    }

    /// Bytes of an entry whose inline value, if it has one, is `inline` bytes long.
    fn size(self, inline: usize) -> usize {
        self.value_at
            + match self.flags & KIND {
                INLINE => length_bytes(inline) + inline,
                SEPARATE => SEPARATE_BYTES,
                INT4 => 4,
                INT8 => 8,
                _ => size_of::<Collection>(),
            }
    }

    /// Bytes of the entry in `block`, which this maps.
    ///
    /// # Safety
    /// `block` is an entry's and `self` its map.
    unsafe fn size_in(self, block: NonNull<u8>) -> usize {
        // SAFETY: an inline value starts with its length.
        let inline =
            if self.flags & KIND == INLINE { unsafe { get_length(block, self.value_at) } } else { 0 };
        self.size(inline)
    }
}

/// The kind that takes the least memory for a string of `len` bytes under this key.
fn string_kind(value: Elem<'_>, flags: u8, key_len: usize) -> u8 {
    match value {
        Elem::Int(int) if i32::try_from(int).is_ok() => INT4,
        Elem::Int(_) => INT8,
        Elem::Bytes(bytes) if bytes.len() <= ALWAYS_INLINE => INLINE,
        Elem::Bytes(bytes) => {
            let map = Map::new(flags & !KIND, key_len);
            let separate = size_class(map.value_at + SEPARATE_BYTES) + size_class(bytes.len());
            if size_class(map.size(bytes.len())) <= separate { INLINE } else { SEPARATE }
        }
    }
}

/// # Safety
/// `separate` describes a string block of this module that is used no more.
unsafe fn free_separate(separate: Separate) {
    // SAFETY: the caller vouches; the capacity is the block's size class.
    unsafe { free(separate.bytes, separate.capacity, 1) }
}

impl Separate {
    fn with_capacity(capacity: usize) -> Self {
        let capacity = size_class(capacity.max(1)).min(LONGEST_STRING);
        Self { bytes: allocate(capacity, 1), len: 0, capacity }
    }

    fn copy_of(bytes: &[u8]) -> Self {
        let separate = Self::with_capacity(bytes.len());
        // SAFETY: a fresh block of at least this length.
        unsafe { separate.bytes.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Self { len: bytes.len(), ..separate }
    }

    /// # Safety
    /// A separate value was written at `offset` of `block`.
    #[inline]
    unsafe fn get(block: NonNull<u8>, offset: usize) -> Self {
        // SAFETY: the caller vouches for the place.
        unsafe {
            Self {
                bytes: get(block, offset),
                len: get::<u32>(block, offset + 8) as usize,
                capacity: get::<u32>(block, offset + 12) as usize,
            }
        }
    }

    /// # Safety
    /// `block` has room for a separate value at `offset`.
    unsafe fn put(self, block: NonNull<u8>, offset: usize) {
        // SAFETY: the caller vouches for the room.
        unsafe {
            put(block, offset, self.bytes);
            put(block, offset + 8, self.len as u32);
            put(block, offset + 12, self.capacity as u32);
        }
    }
}

impl EntryBox {
    /// A new entry. Strings and keys are shorter than 4 GiB.
    pub(crate) fn new(
        key: &[u8],
        position: Position,
        expire_at: Option<i64>,
        hinted: bool,
        access: u32,
        value: NewValue<'_>,
    ) -> Self {
        assert!(key.len() <= LONGEST_STRING && position <= POSITION);
        let flags = if expire_at.is_some() { EXPIRES } else { 0 } | if hinted { HINTED } else { 0 };
        let (kind, inline) = match &value {
            NewValue::Str(string) => (string_kind(*string, flags, key.len()), string.len()),
            NewValue::Collection(_) => (COLLECTION, 0),
            NewValue::Of(other) => match other.view().value() {
                Value::Str(_) if other.view().separate_len().is_some() => (SEPARATE, 0),
                Value::Str(string) => (string_kind(string, flags, key.len()), string.len()),
                _ => (COLLECTION, 0),
            },
        };
        let map = Map::new(flags | kind, key.len());
        let block = allocate(map.size(inline), ALIGN);
        // SAFETY: the block is as large as the map says; every part is written where the map puts it.
        unsafe {
            put(block, 0, position | u64::from(map.flags) << POSITION_BITS);
            put(block, ACCESS_AT, access & ACCESS);
            put_length(block, KEY_LENGTH_AT, key.len());
            block.as_ptr().add(map.key_at).copy_from_nonoverlapping(key.as_ptr(), key.len());
            if let Some(at) = expire_at {
                put(block, map.expiry_at(), at);
            }
            put_value(block, map, value);
        }
        Self(block)
    }

    /// The entry with an expiry added, changed or taken away.
    pub(crate) fn with_expiry(self, expire_at: Option<i64>) -> Self {
        // SAFETY: the block is this entry's.
        let old = unsafe { Map::of(self.0) };
        let flags = if expire_at.is_some() { old.flags | EXPIRES } else { old.flags & !EXPIRES };
        let new = self.remade(flags, |_, _| {});
        // SAFETY: the new block has room for an expiry if and only if there is one.
        unsafe {
            if let Some(at) = expire_at {
                put(new.0, Map::of(new.0).expiry_at(), at);
            }
        }
        new
    }

    /// The entry with a string value of the separate kind that has room for `total` bytes.
    pub(crate) fn with_room(self, total: usize) -> Self {
        let total = total.min(LONGEST_STRING);
        // SAFETY: the block is this entry's, and so is the separate string, which is replaced at once.
        unsafe {
            let map = Map::of(self.0);
            if map.flags & KIND == SEPARATE {
                let old = Separate::get(self.0, map.value_at);
                let capacity = size_class(total).min(LONGEST_STRING);
                if capacity > old.capacity {
                    let bytes = reallocate(old.bytes, old.capacity, capacity, 1);
                    Separate { bytes, capacity, ..old }.put(self.0, map.value_at);
                }
                return self;
            }
            if map.flags & KIND == COLLECTION {
                return self;
            }
            let Value::Str(string) = self.view().value() else { return self };
            let string = string.to_cow().into_owned();
            let separate = Separate::with_capacity(total.max(string.len()));
            separate.bytes.as_ptr().copy_from_nonoverlapping(string.as_ptr(), string.len());
            let separate = Separate { len: string.len(), ..separate };
            self.remade(map.flags & !KIND | SEPARATE, |block, map| separate.put(block, map.value_at))
        }
    }

    /// The entry in a new block under other flags. The value moves along if its kind stays, else `write` writes it.
    fn remade(self, flags: u8, write: impl FnOnce(NonNull<u8>, Map)) -> Self {
        // SAFETY: both blocks are as large as their maps say, and the header and key lie at the same place in both.
        // The old block is freed without dropping the value, which the new one owns from here (the kinds that are
        // left behind, inline and integers, own nothing).
        unsafe {
            let old = Map::of(self.0);
            let old_size = old.size_in(self.0);
            let new = Map::new(flags, old.key_len);
            let same_kind = old.flags & KIND == flags & KIND;
            let value_size = old_size - old.value_at;
            let size = if same_kind { new.value_at + value_size } else { new.size(0) };
            let block = allocate(size, ALIGN);
            block.as_ptr().copy_from_nonoverlapping(self.0.as_ptr(), old.expiry_at());
            put_flags(block, flags);
            if old.flags & flags & EXPIRES != 0 {
                put(block, new.expiry_at(), get::<i64>(self.0, old.expiry_at()));
            }
            if same_kind {
                let (to, from) = (block.as_ptr().add(new.value_at), self.0.as_ptr().add(old.value_at));
                to.copy_from_nonoverlapping(from, value_size);
            } else {
                write(block, new);
            }
            let old_block = self.into_block();
            free(old_block, old_size, ALIGN);
            Self(block)
        }
    }

    /// Takes the collection out, if the value is one.
    pub(crate) fn into_collection(self) -> Option<Collection> {
        // SAFETY: the block is this entry's; the collection leaves it before it is freed, and nothing else is owned.
        unsafe {
            let map = Map::of(self.0);
            if map.flags & KIND != COLLECTION {
                return None;
            }
            let collection = collection_at(self.0, map).read();
            let size = map.size(0);
            free(self.into_block(), size, ALIGN);
            Some(collection)
        }
    }

    /// Reads the entry.
    pub(crate) fn view(&self) -> EntryRef<'_> {
        EntryRef { block: self.0, borrows: PhantomData }
    }

    /// Changes the entry.
    pub(crate) fn view_mut(&mut self) -> EntryMut<'_> {
        EntryMut { block: self.0, borrows: PhantomData }
    }
}

/// Where `map` puts a collection.
///
/// # Safety
/// `block` is as large as `map` says for a collection.
#[inline]
unsafe fn collection_at(block: NonNull<u8>, map: Map) -> *mut Collection {
    const { assert!(align_of::<Collection>() <= ALIGN) };
    // SAFETY: within the block, as the caller vouches; aligned, since block and offset are.
    unsafe { block.as_ptr().add(map.value_at).cast() }
}

/// Writes a value where `map` puts it.
///
/// # Safety
/// `block` is as large as `map` says for this value, and holds no value yet.
unsafe fn put_value(block: NonNull<u8>, map: Map, value: NewValue<'_>) {
    // SAFETY: the caller vouches for the room.
    unsafe {
        match value {
            NewValue::Str(Elem::Int(int)) if map.flags & KIND == INT4 => put(block, map.value_at, int as i32),
            NewValue::Str(Elem::Int(int)) => put(block, map.value_at, int),
            NewValue::Str(Elem::Bytes(bytes)) if map.flags & KIND == INLINE => {
                put_length(block, map.value_at, bytes.len());
                let at = block.as_ptr().add(map.value_at + length_bytes(bytes.len()));
                at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
            NewValue::Str(Elem::Bytes(bytes)) => Separate::copy_of(bytes).put(block, map.value_at),
            NewValue::Collection(collection) => collection_at(block, map).write(collection),
            NewValue::Of(other) => put_value_of(block, map, other),
        }
    }
}

/// Writes the value of another entry, which ends, where `map` puts it.
///
/// # Safety
/// As for [`put_value`].
unsafe fn put_value_of(block: NonNull<u8>, map: Map, other: EntryBox) {
    // SAFETY: the caller vouches for the room. A separate string goes over to the new block before the old one is freed
    // without dropping it; the other kinds take the ways that they take anyway.
    unsafe {
        let old = Map::of(other.0);
        match old.flags & KIND {
            SEPARATE => {
                Separate::get(other.0, old.value_at).put(block, map.value_at);
                free(other.into_block(), old.size(0), ALIGN);
            }
            COLLECTION => {
                if let Some(collection) = other.into_collection() {
                    collection_at(block, map).write(collection);
                }
            }
            _ => {
                let Value::Str(string) = other.view().value() else { return };
                put_value(block, map, NewValue::Str(string));
            }
        }
    }
}

impl Drop for EntryBox {
    fn drop(&mut self) {
        // SAFETY: the block is this entry's own, and so is what its value owns.
        unsafe {
            let map = Map::of(self.0);
            match map.flags & KIND {
                SEPARATE => free_separate(Separate::get(self.0, map.value_at)),
                COLLECTION => collection_at(self.0, map).drop_in_place(),
                _ => {}
            }
            free(self.0, map.size_in(self.0), ALIGN);
        }
    }
}

impl<'a> EntryRef<'a> {
    #[inline]
    fn map(self) -> Map {
        // SAFETY: the block is an entry's.
        unsafe { Map::of(self.block) }
    }

    /// The key's bytes.
    #[inline]
    pub(crate) fn key(self) -> &'a [u8] {
        let map = self.map();
        // SAFETY: the key lies where the map says, and the entry is borrowed for 'a.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().add(map.key_at), map.key_len) }
    }

    /// Position of the last change.
    #[inline]
    pub(crate) fn position(self) -> Position {
        // SAFETY: every entry starts with the position, and is longer than the eight bytes that are read.
        unsafe { get::<u64>(self.block, 0) & POSITION }
    }

    /// When or how often the key was used: 24 bits whose meaning is `keyspace/access.rs`'s.
    #[inline]
    pub(crate) fn access(self) -> u32 {
        // SAFETY: every entry has the access bytes and at least one byte of key length behind them.
        unsafe { get::<u32>(self.block, ACCESS_AT) & ACCESS }
    }

    /// Notes a use. Shared borrows may do it: it is the entry's one mutable cell.
    #[inline]
    pub(crate) fn set_access(self, access: u32) {
        // SAFETY: as for `access`. Nobody holds a reference to these bytes (the key's slice starts behind them), and
        // entries are not `Sync`, so nobody reads them meanwhile.
        unsafe {
            let above = get::<u32>(self.block, ACCESS_AT) & !ACCESS;
            put(self.block, ACCESS_AT, access & ACCESS | above);
        }
    }

    /// When the key expires, unix milliseconds.
    #[inline]
    pub(crate) fn expire_at(self) -> Option<i64> {
        let map = self.map();
        // SAFETY: the flag says that an expiry is stored.
        (map.flags & EXPIRES != 0).then(|| unsafe { get(self.block, map.expiry_at()) })
    }

    /// Whether the expiry index holds a hint that is due no later than this entry's expiry.
    pub(crate) fn hinted(self) -> bool {
        self.map().flags & HINTED != 0
    }

    /// Whether the value is a string in an allocation of its own, and its length if so.
    pub(crate) fn separate_len(self) -> Option<usize> {
        let map = self.map();
        // SAFETY: the kind says that a separate string is stored.
        (map.flags & KIND == SEPARATE).then(|| unsafe { Separate::get(self.block, map.value_at) }.len)
    }

    /// The value.
    #[inline]
    pub(crate) fn value(self) -> Value<'a> {
        let map = self.map();
        // SAFETY: the value lies where the map says, in the form that the kind says; the entry is borrowed for 'a,
        // and a collection is changed only through a mutable borrow of the entry.
        unsafe {
            match map.flags & KIND {
                INLINE => {
                    let len = get_length(self.block, map.value_at);
                    let at = self.block.as_ptr().add(map.value_at + length_bytes(len));
                    Value::Str(Elem::Bytes(std::slice::from_raw_parts(at, len)))
                }
                SEPARATE => {
                    let string = Separate::get(self.block, map.value_at);
                    Value::Str(Elem::Bytes(std::slice::from_raw_parts(string.bytes.as_ptr(), string.len)))
                }
                INT4 => Value::Str(Elem::Int(i64::from(get::<i32>(self.block, map.value_at)))),
                INT8 => Value::Str(Elem::Int(get(self.block, map.value_at))),
                _ => (*collection_at(self.block, map)).as_value(),
            }
        }
    }

    /// Bytes that the entry takes: its block, its separate string or its collection with all that it holds.
    pub(crate) fn memory_bytes(self) -> usize {
        let map = self.map();
        // SAFETY: the block is an entry's, and the value has the form that the kind says.
        unsafe {
            let behind = match map.flags & KIND {
                SEPARATE => Separate::get(self.block, map.value_at).capacity,
                COLLECTION => (*collection_at(self.block, map)).heap_bytes(),
                _ => 0,
            };
            size_class(map.size_in(self.block)) + behind
        }
    }
}

impl EntryMut<'_> {
    fn map(&self) -> Map {
        // SAFETY: the block is an entry's.
        unsafe { Map::of(self.block) }
    }

    /// Reads the entry.
    pub(crate) fn view(&self) -> EntryRef<'_> {
        EntryRef { block: self.block, borrows: PhantomData }
    }

    /// Notes the position of a change.
    #[inline]
    pub(crate) fn set_position(&mut self, position: Position) {
        assert!(position <= POSITION);
        // SAFETY: every entry starts with the position, and is longer than eight bytes; what is above it is kept.
        unsafe { put(self.block, 0, position | get::<u64>(self.block, 0) & !POSITION) }
    }

    /// Overwrites the expiry where one is stored; else false, and nothing happens.
    pub(crate) fn set_expiry(&mut self, at: i64) -> bool {
        let map = self.map();
        if map.flags & EXPIRES == 0 {
            return false;
        }
        // SAFETY: the flag says that there is room for an expiry.
        unsafe { put(self.block, map.expiry_at(), at) };
        true
    }

    /// Notes whether the expiry index holds a hint for this entry.
    pub(crate) fn set_hinted(&mut self, hinted: bool) {
        // SAFETY: every entry has flags; this one does not affect the layout.
        unsafe {
            let flags = flags_in(self.block);
            put_flags(self.block, if hinted { flags | HINTED } else { flags & !HINTED });
        }
    }

    /// Overwrites the value with a string if that takes the same blocks as before (the expiry stays); else false,
    /// and nothing happens.
    #[inline]
    pub(crate) fn set_string(&mut self, value: Elem<'_>) -> bool {
        let map = self.map();
        let kind = string_kind(value, map.flags, map.key_len);
        if map.flags & KIND == COLLECTION || kind == SEPARATE || map.flags & KIND == SEPARATE {
            return kind == SEPARATE && map.flags & KIND == SEPARATE && self.set_separate(value);
        }
        let new = Map::new(map.flags & !KIND | kind, map.key_len);
        // SAFETY: the block's class holds the new form; the old one (inline or integer) owns nothing.
        unsafe {
            if size_class(new.size(value.len())) != size_class(map.size_in(self.block)) {
                return false;
            }
            put_flags(self.block, new.flags);
            put_value(self.block, new, NewValue::Str(value));
        }
        true
    }

    fn set_separate(&mut self, value: Elem<'_>) -> bool {
        let Elem::Bytes(value) = value else { return false };
        let value_at = self.map().value_at;
        // SAFETY: the kind is separate; the string has room for its own capacity.
        unsafe {
            let string = Separate::get(self.block, value_at);
            if size_class(value.len()) != string.capacity {
                return false;
            }
            string.bytes.as_ptr().copy_from_nonoverlapping(value.as_ptr(), value.len());
            Separate { len: value.len(), ..string }.put(self.block, value_at);
        }
        true
    }

    /// Writes `bytes` at `offset` of a separate string, with zeros in a gap before it. False, and nothing happens,
    /// where the string is not separate or has no room.
    pub(crate) fn write_at(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let map = self.map();
        if map.flags & KIND != SEPARATE {
            return false;
        }
        // SAFETY: the kind is separate; everything written lies below the capacity.
        unsafe {
            let string = Separate::get(self.block, map.value_at);
            if offset.checked_add(bytes.len()).is_none_or(|end| end > string.capacity) {
                return false;
            }
            let at = string.bytes.as_ptr();
            if offset > string.len {
                at.add(string.len).write_bytes(0, offset - string.len);
            }
            at.add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            Separate { len: string.len.max(offset + bytes.len()), ..string }.put(self.block, map.value_at);
        }
        true
    }

    /// The collection, if the value is one.
    pub(crate) fn collection(&mut self) -> Option<&mut Collection> {
        let map = self.map();
        // SAFETY: the kind says that an owned collection is stored; the entry is borrowed alone.
        (map.flags & KIND == COLLECTION).then(|| unsafe { &mut *collection_at(self.block, map) })
    }
}

// SAFETY: the pointer is the node; the block moves only by being made anew; nothing in `EntryMut` changes the key.
unsafe impl Node for EntryBox {
    type Ref<'a> = EntryRef<'a>;
    type Mut<'a> = EntryMut<'a>;

    fn into_block(self) -> NonNull<u8> {
        let block = self.0;
        std::mem::forget(self);
        block
    }

    unsafe fn from_block(block: NonNull<u8>) -> Self {
        Self(block)
    }

    unsafe fn view<'a>(block: NonNull<u8>) -> EntryRef<'a> {
        EntryRef { block, borrows: PhantomData }
    }

    unsafe fn view_mut<'a>(block: NonNull<u8>) -> EntryMut<'a> {
        EntryMut { block, borrows: PhantomData }
    }

    fn key(view: Self::Ref<'_>) -> &[u8] {
        view.key()
    }
}
