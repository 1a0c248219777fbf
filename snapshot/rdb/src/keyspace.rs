//! Between RDB files and a [`Keyspace`]: save a slot range, load a file by effects, or only check a file.

use std::io::{Read, Write};
use std::ops::Range;

use proxy_store::effect::{Effect, EffectIndex, EffectWriter, ExpireChange, Reason, decode_one};
use proxy_store::types::{Elem, End};
use proxy_store::{DATABASES, Entry, Key, Keyspace, Lookup, Position, library_name, slot_of};

use crate::body::{Discard, ValueSink};
use crate::codes::REDIS_VERSION;
use crate::collect::{Elements, Shape};
use crate::error::{RdbError, printable};
use crate::file::{Item, Reader, Writer};

/// Elements of a large collection are applied in batches of about this many bytes or strings.
const BATCH_BYTES: usize = 256 * 1024;
const BATCH_STRINGS: usize = 1024;

/// What a file says about itself, in auxiliary fields. Redis's tools show the first two and skip the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// When the data was as the file says, in unix milliseconds.
    pub time_ms: u64,
    /// Memory that the data took.
    pub used_bytes: u64,
    /// Position of the log up to which its effects are in the file.
    pub position: Position,
    /// The shard that the data belongs to.
    pub shard: u32,
}

/// A finished save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Size of the file.
    pub bytes: u64,
    /// The checksum at its end.
    pub crc64: u64,
    /// Keys in it, over all databases.
    pub keys: u64,
    /// Keys in it with an expiry.
    pub expires: u64,
}

/// The slot with whose keys the function libraries are kept.
pub const LIBRARY_SLOT: u16 = 0;

/// Writes the entries of `slots`, of all databases, as a whole RDB file, and the function libraries with slot 0. Expired entries are written like any other:
/// only a logged deletion removes a key.
pub fn save<W: Write>(
    out: W,
    keyspace: &Keyspace,
    slots: Range<u16>,
    about: &About,
) -> Result<(W, Saved), RdbError> {
    let mut sizes = [(0u64, 0u64); DATABASES as usize];
    keyspace.for_each_in_slots(slots.clone(), &mut |db, entry| {
        if let Some((keys, expires)) = sizes.get_mut(usize::from(db)) {
            *keys += 1;
            *expires += u64::from(entry.expire_at().is_some());
        }
    });
    let mut writer = Writer::new(out)?;
    write_about(&mut writer, about, &slots)?;
    // Libraries have no slot: they are kept with the first.
    if slots.contains(&LIBRARY_SLOT) {
        for (_, code) in keyspace.libraries().iter() {
            writer.function(code)?;
        }
    }
    let mut current = None;
    let mut result = Ok(());
    keyspace.for_each_in_slots(slots, &mut |db, entry| {
        if result.is_ok() {
            result = save_entry(&mut writer, &mut current, &sizes, db, entry);
        }
    });
    result?;
    let (out, bytes, crc64) = writer.finish()?;
    let (keys, expires) = sizes.iter().fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
    Ok((out, Saved { bytes, crc64, keys, expires }))
}

fn write_about<W: Write>(writer: &mut Writer<W>, about: &About, slots: &Range<u16>) -> Result<(), RdbError> {
    writer.aux("redis-ver", REDIS_VERSION)?;
    writer.aux("redis-bits", "64")?;
    writer.aux("ctime", &(about.time_ms / 1000).to_string())?;
    writer.aux("used-mem", &about.used_bytes.to_string())?;
    writer.aux("fastkeep-shard", &about.shard.to_string())?;
    writer.aux("fastkeep-position", &about.position.to_string())?;
    writer.aux("fastkeep-slots", &format!("{}-{}", slots.start, slots.end.saturating_sub(1)))
}

fn save_entry<W: Write>(
    writer: &mut Writer<W>,
    current: &mut Option<u8>,
    sizes: &[(u64, u64)],
    db: u8,
    entry: Entry<'_>,
) -> Result<(), RdbError> {
    if *current != Some(db) {
        let (keys, expires) = sizes.get(usize::from(db)).copied().unwrap_or_default();
        writer.database(db, keys, expires)?;
        *current = Some(db);
    }
    writer.entry(entry.key(), entry.expire_at(), entry.value())
}

/// A load in progress. It is driven in steps, so that whoever loads can do other work between them.
pub struct Load<R: Read> {
    reader: Reader<R>,
    slots: Range<u16>,
    /// Of the keys in `slots` only those in here are loaded.
    wanted: Range<u16>,
    applier: Applier,
    keys: u64,
}

impl<R: Read> Load<R> {
    /// Starts to read a file. Keys outside of `slots` are an error; `position` is what loaded entries carry as the
    /// position of their last change.
    pub fn new(input: R, slots: Range<u16>, position: Position) -> Result<Self, RdbError> {
        let wanted = slots.clone();
        Ok(Self { reader: Reader::new(input)?, slots, wanted, applier: Applier::new(position), keys: 0 })
    }

    /// Skips the keys outside of `wanted`.
    pub fn only(self, wanted: Range<u16>) -> Self {
        Self { wanted, ..self }
    }

    /// Loads up to `most` further keys; false when the file is done and its checksum was right.
    ///
    /// After an error the keyspace holds a part of the file.
    pub fn step(&mut self, keyspace: &mut Keyspace, most: usize) -> Result<bool, RdbError> {
        for _ in 0..most {
            let wanted = self.wanted.contains(&LIBRARY_SLOT);
            let position = self.applier.position;
            let mut library = |name: &[u8], code: &[u8]| {
                if wanted {
                    keyspace.apply(&Effect::LibrarySet { name, code }, None, position);
                }
            };
            let Some((db, key, expire_at)) = next_entry(&mut self.reader, &self.slots, &mut library)? else {
                return Ok(false);
            };
            if !self.wanted.contains(&slot_of(&key)) {
                continue;
            }
            self.applier.begin(db, key, expire_at);
            self.reader.value(&mut Applying { applier: &mut self.applier, keyspace })?;
            self.applier.end(keyspace);
            self.keys += 1;
        }
        Ok(true)
    }

    /// Keys loaded so far.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Bytes of the file read so far.
    pub fn bytes(&self) -> u64 {
        self.reader.offset()
    }
}

/// Loads a whole file; returns the number of keys.
pub fn load<R: Read>(
    input: R,
    slots: Range<u16>,
    position: Position,
    keyspace: &mut Keyspace,
) -> Result<u64, RdbError> {
    let mut load = Load::new(input, slots, position)?;
    while load.step(keyspace, 1024)? {}
    Ok(load.keys())
}

/// What [`check`] counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    pub keys: u64,
    pub expires: u64,
}

/// Reads a whole file without keeping anything: structure, every value, slots, checksum.
pub fn check<R: Read>(input: R, slots: Range<u16>) -> Result<Checked, RdbError> {
    let mut reader = Reader::new(input)?;
    let mut checked = Checked::default();
    while let Some((_, _, expire_at)) = next_entry(&mut reader, &slots, &mut |_, _| {})? {
        reader.value(&mut Discard)?;
        checked.keys += 1;
        checked.expires += u64::from(expire_at.is_some());
    }
    Ok(checked)
}

/// The next key of a file, with database and expiry; libraries before it are told, what else stands there is skipped.
fn next_entry<R: Read>(
    reader: &mut Reader<R>,
    slots: &Range<u16>,
    library: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<Option<(u8, Vec<u8>, Option<i64>)>, RdbError> {
    while let Some(item) = reader.next_item()? {
        match item {
            Item::Entry { db, key, expire_at } => {
                let db = u8::try_from(db).ok().filter(|db| *db < DATABASES).ok_or(RdbError::Database(db))?;
                let slot = slot_of(&key);
                if !slots.contains(&slot) {
                    return Err(RdbError::Slot { key: printable(&key), slot });
                }
                return Ok(Some((db, key, expire_at)));
            }
            Item::Function(code) => {
                let what = "a function library without a name";
                let name =
                    library_name(&code).ok_or(RdbError::Unsupported { offset: reader.offset(), what })?;
                library(name, &code);
            }
            Item::Aux { .. } | Item::Database(_) | Item::Sizes { .. } => {}
        }
    }
    Ok(None)
}

/// Turns the elements of one key into effects and applies them in batches.
struct Applier {
    position: Position,
    db: u8,
    key: Vec<u8>,
    slot: u16,
    expire_at: Option<i64>,
    /// Set once the key's first batch was applied.
    started: bool,
    shape: Shape,
    elements: Elements,
    effects: Vec<u8>,
    index: EffectIndex,
}

impl Applier {
    fn new(position: Position) -> Self {
        Self {
            position,
            db: 0,
            key: Vec::new(),
            slot: 0,
            expire_at: None,
            started: false,
            shape: Shape::String,
            elements: Elements::default(),
            effects: Vec::new(),
            index: EffectIndex::new(),
        }
    }

    fn begin(&mut self, db: u8, key: Vec<u8>, expire_at: Option<i64>) {
        self.slot = slot_of(&key);
        self.db = db;
        self.key = key;
        self.expire_at = expire_at;
        self.started = false;
        self.elements.clear();
    }

    fn full(&self) -> bool {
        let (bytes, strings) = self.elements.size();
        bytes >= BATCH_BYTES || strings >= BATCH_STRINGS
    }

    fn end(&mut self, keyspace: &mut Keyspace) {
        self.apply_batch(keyspace);
        if let Some(at) = self.expire_at
            && self.shape != Shape::String
        {
            self.write(keyspace, |writer, key, _| writer.expire_at(key, None, at));
        }
        // One huge string must not hold its memory for the rest of the load.
        if self.effects.capacity() > 16 * BATCH_BYTES {
            self.effects = Vec::new();
            self.elements = Elements::default();
        }
    }

    fn apply_batch(&mut self, keyspace: &mut Keyspace) {
        if self.elements.is_empty() {
            return;
        }
        let (shape, expire_at) = (self.shape, self.expire_at);
        let first = !std::mem::replace(&mut self.started, true);
        let key = Key::in_slot(self.db, self.slot, &self.key);
        // Collection effects add to what is there; a key that is there already has to make way.
        if first && shape != Shape::String && matches!(keyspace.find(key), Lookup::Entry(_)) {
            self.write(keyspace, |writer, key, _| writer.delete(key, None, Reason::Command));
        }
        self.write(keyspace, |writer, key, elements| match shape {
            Shape::String => {
                let expire = expire_at.map_or(ExpireChange::Clear, ExpireChange::At);
                elements.strings().for_each(|value| writer.set_string(key, None, value, expire));
            }
            Shape::List => {
                let mut list = writer.list_push(key, None, End::Right);
                elements.strings().for_each(|item| list.item(item));
            }
            Shape::Hash => {
                let mut hash = writer.hash_set(key, None);
                elements.pairs().for_each(|(field, value)| hash.item(field, value));
            }
            Shape::Set => {
                let mut set = writer.set_add(key, None);
                elements.strings().for_each(|member| set.item(member));
            }
            Shape::ZSet => {
                let mut zset = writer.zset_add(key, None);
                elements.scored().for_each(|(member, score)| zset.item(member, score));
            }
            Shape::Stream => elements.strings().for_each(|image| writer.put(key, None, image, expire_at)),
        });
        self.elements.clear();
    }

    /// Encodes effects and applies them at once: the same road that the log's effects take.
    fn write(
        &mut self,
        keyspace: &mut Keyspace,
        write: impl FnOnce(&mut EffectWriter<'_>, Key<'_>, &Elements),
    ) {
        self.effects.clear();
        self.index.clear();
        let key = Key::in_slot(self.db, self.slot, &self.key);
        write(&mut EffectWriter::new(&mut self.effects, &mut self.index), key, &self.elements);
        for at in self.index.iter() {
            if let Ok((effect, _)) = decode_one(&self.effects, at.offset) {
                keyspace.apply(&effect, None, self.position);
            }
        }
    }
}

/// The sink of a load: gathers elements and applies them whenever enough have come together.
struct Applying<'a> {
    applier: &'a mut Applier,
    keyspace: &'a mut Keyspace,
}

impl Applying<'_> {
    fn take(&mut self, shape: Shape, first: Elem<'_>, second: Option<Elem<'_>>, score: Option<f64>) {
        self.applier.shape = shape;
        self.applier.elements.push(first);
        if let Some(second) = second {
            self.applier.elements.push(second);
        }
        if let Some(score) = score {
            self.applier.elements.push_score(score);
        }
        if self.applier.full() {
            self.applier.apply_batch(self.keyspace);
        }
    }
}

impl ValueSink for Applying<'_> {
    fn string(&mut self, value: &[u8]) {
        self.take(Shape::String, Elem::Bytes(value), None, None);
    }

    fn list_item(&mut self, item: Elem<'_>) {
        self.take(Shape::List, item, None, None);
    }

    fn hash_field(&mut self, field: Elem<'_>, value: Elem<'_>) {
        self.take(Shape::Hash, field, Some(value), None);
    }

    fn set_member(&mut self, member: Elem<'_>) {
        self.take(Shape::Set, member, None, None);
    }

    fn zset_member(&mut self, member: Elem<'_>, score: f64) {
        self.take(Shape::ZSet, member, None, Some(score));
    }

    fn stream(&mut self, image: &[u8]) {
        self.take(Shape::Stream, Elem::Bytes(image), None, None);
    }
}
