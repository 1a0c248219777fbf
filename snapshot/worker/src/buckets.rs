//! The log's effects, sorted by segment into files, in the order of the log. So each segment can be rewritten alone.
//!
//! A file holds frames: position u64, length u32, carried u32 (little endian), one encoded effect. A value that goes from
//! one segment to another is *carried*: both halves of the move, or the copy's effect in both segments, have its number (from
//! 1; 0 for all other effects). Who replays the segment that it comes from writes it to a file of that number, from which the
//! other segment takes it: expiry i64 (-1 for none), image. Files are this process's own and short-lived; nobody else reads
//! them.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxy_store::effect::{Effect, decode, decode_one};
use proxy_store::types::image;
use proxy_store::{Key, Keyspace, Position, SLOTS};
use snapshot_rdb::LIBRARY_SLOT;

use crate::error::SnapshotError;

const HEAD_BYTES: u64 = 16;
/// Memory for frames that are not yet in files, over all buckets.
const BUFFER_BYTES: usize = 8 << 20;

/// Effects sorted by range of slots.
pub struct Buckets {
    folder: tempfile::TempDir,
    /// Bucket of each slot.
    of_slot: Arc<[u16]>,
    buckets: Vec<Bucket>,
    buffered: usize,
    /// Number of the last value carried.
    carried: u32,
}

#[derive(Default)]
struct Bucket {
    buffer: Vec<u8>,
    in_file: bool,
    /// Whether anything in it changes its slots: a value that is copied from here doesn't.
    changed: bool,
    /// Values that go from it to another bucket.
    leaving: BTreeSet<u32>,
}

fn carried_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("value-{number}"))
}

impl Buckets {
    /// One bucket for each range; the ranges cover all slots.
    pub fn new(work_folder: &Path, ranges: impl Iterator<Item = Range<u16>>) -> Result<Self, SnapshotError> {
        std::fs::create_dir_all(work_folder)?;
        let folder = tempfile::Builder::new().prefix("snapshot-").tempdir_in(work_folder)?;
        let mut of_slot = vec![0; usize::from(SLOTS)];
        let mut buckets = Vec::new();
        for range in ranges {
            let slots = of_slot.get_mut(usize::from(range.start)..usize::from(range.end));
            slots.unwrap_or_default().fill(buckets.len() as u16);
            buckets.push(Bucket::default());
        }
        Ok(Self { folder, of_slot: of_slot.into(), buckets, buffered: 0, carried: 0 })
    }

    /// Sorts in the effects of one record; returns how many there were.
    pub fn add_record(&mut self, position: Position, body: &[u8]) -> Result<u64, SnapshotError> {
        let wrong = |what: String| SnapshotError::Record { position, what };
        let mut count = 0;
        // The first half of a move, until the second one.
        let mut leaving: Option<(usize, &[u8])> = None;
        for effect in decode(body) {
            let (effect, start) = effect.map_err(|error| wrong(error.to_string()))?;
            let (_, end) = decode_one(body, start).map_err(|error| wrong(error.to_string()))?;
            let bytes = body.get(start..end).unwrap_or_default();
            count += 1;
            match (effect, leaving.take()) {
                (Effect::MoveFrom { key }, None) => leaving = Some((self.bucket_of(key.slot), bytes)),
                (Effect::MoveTo { key }, Some((from, first))) => {
                    let to = self.bucket_of(key.slot);
                    let number = if from == to { 0 } else { self.carry(from) };
                    self.add(from, position, number, first);
                    self.add(to, position, number, bytes);
                }
                (Effect::Copy { key, from }, None) => {
                    let (from, to) = (self.bucket_of(from.slot), self.bucket_of(key.slot));
                    let number = if from == to { 0 } else { self.carry(from) };
                    if from != to {
                        self.push(from, position, number, bytes);
                    }
                    self.add(to, position, number, bytes);
                }
                (Effect::MoveTo { .. }, None) | (_, Some(_)) => {
                    return Err(wrong("half of a move of a value".to_owned()));
                }
                (Effect::LibrarySet { .. } | Effect::LibraryDelete { .. }, None) => {
                    self.add(self.bucket_of(LIBRARY_SLOT), position, 0, bytes);
                }
                (effect, None) => match effect.key() {
                    Some(key) => self.add(self.bucket_of(key.slot), position, 0, bytes),
                    // A flush or swap of databases concerns every slot.
                    None => (0..self.buckets.len()).for_each(|bucket| self.add(bucket, position, 0, bytes)),
                },
            }
        }
        if leaving.is_some() {
            return Err(wrong("half of a move of a value".to_owned()));
        }
        if self.buffered >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(count)
    }

    fn bucket_of(&self, slot: u16) -> usize {
        usize::from(self.of_slot.get(usize::from(slot)).copied().unwrap_or_default())
    }

    /// A number for a value that goes from this bucket to another.
    fn carry(&mut self, from: usize) -> u32 {
        self.carried += 1;
        if let Some(bucket) = self.buckets.get_mut(from) {
            bucket.leaving.insert(self.carried);
        }
        self.carried
    }

    /// Adds an effect that changes the bucket's slots.
    fn add(&mut self, bucket: usize, position: Position, carried: u32, effect: &[u8]) {
        self.push(bucket, position, carried, effect);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            bucket.changed = true;
        }
    }

    fn push(&mut self, bucket: usize, position: Position, carried: u32, effect: &[u8]) {
        let Some(bucket) = self.buckets.get_mut(bucket) else { return };
        bucket.buffer.extend_from_slice(&position.to_le_bytes());
        bucket.buffer.extend_from_slice(&(effect.len() as u32).to_le_bytes());
        bucket.buffer.extend_from_slice(&carried.to_le_bytes());
        bucket.buffer.extend_from_slice(effect);
        self.buffered += HEAD_BYTES as usize + effect.len();
    }

    fn path(&self, bucket: usize) -> PathBuf {
        self.folder.path().join(format!("effects-{bucket:05}"))
    }

    /// Appends what is in memory to the files. A file is open only meanwhile: there may be thousands of them.
    pub fn flush(&mut self) -> Result<(), SnapshotError> {
        for index in 0..self.buckets.len() {
            let path = self.path(index);
            let Some(bucket) = self.buckets.get_mut(index) else { continue };
            if !bucket.buffer.is_empty() {
                OpenOptions::new().create(true).append(true).open(path)?.write_all(&bucket.buffer)?;
                bucket.in_file = true;
                bucket.buffer = Vec::new();
            }
        }
        self.buffered = 0;
        Ok(())
    }

    /// Whether any effect changes the bucket's slots.
    pub fn is_touched(&self, bucket: usize) -> bool {
        self.buckets.get(bucket).is_some_and(|bucket| bucket.changed)
    }

    /// How many values that go from the bucket to another one are not written yet.
    pub fn left_to_carry(&self, bucket: usize) -> usize {
        let leaving = self.buckets.get(bucket).into_iter().flat_map(|bucket| &bucket.leaving);
        leaving.filter(|number| !carried_path(self.folder.path(), **number).exists()).count()
    }

    /// A reader of one bucket's effects. [`Buckets::flush`] must have been called after the last record.
    pub fn open(&self, bucket: usize) -> Result<Option<BucketReader>, SnapshotError> {
        if self.buckets.get(bucket).is_none_or(|bucket| !bucket.in_file) {
            return Ok(None);
        }
        let file = File::open(self.path(bucket))?;
        let left = file.metadata()?.len();
        let folder = self.folder.path().to_owned();
        let (file, of_slot) = (BufReader::with_capacity(1 << 18, file), Arc::clone(&self.of_slot));
        Ok(Some(BucketReader { file, left, folder, bucket, of_slot }))
    }
}

/// The effects of one bucket, in the order of the log.
pub struct BucketReader {
    file: BufReader<File>,
    left: u64,
    folder: PathBuf,
    bucket: usize,
    of_slot: Arc<[u16]>,
}

impl BucketReader {
    /// Carries out the effects on `keyspace`, and writes the values that go to other buckets. False: it stopped before
    /// the end at a value that has not been carried here yet.
    pub fn apply(mut self, keyspace: &mut Keyspace) -> Result<bool, SnapshotError> {
        let mut body = Vec::new();
        while self.left > 0 {
            let mut head = [0; HEAD_BYTES as usize];
            self.file.read_exact(&mut head)?;
            let (position, lengths) = head.split_at(8);
            let (length, carried) = lengths.split_at(4);
            let position = u64::from_le_bytes(position.try_into().unwrap_or_default());
            let length = u64::from(u32::from_le_bytes(length.try_into().unwrap_or_default()));
            let carried = u32::from_le_bytes(carried.try_into().unwrap_or_default());
            self.left = self.left.saturating_sub(HEAD_BYTES);
            if length > self.left {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            body.resize(length as usize, 0);
            self.file.read_exact(&mut body)?;
            self.left -= length;
            let wrong = |what: String| SnapshotError::Record { position, what };
            let (effect, _): (Effect<'_>, usize) =
                decode_one(&body, 0).map_err(|error| wrong(error.to_string()))?;
            match effect {
                Effect::MoveFrom { key } if carried > 0 => {
                    if !self.write_carried(carried, key, keyspace)? {
                        return Err(wrong("a key that is moved is not there".to_owned()));
                    }
                    keyspace.apply(&effect, None, position);
                }
                Effect::Copy { key, from } if carried > 0 && !self.is_here(key) => {
                    if !self.write_carried(carried, from, keyspace)? {
                        return Err(wrong("a key that is copied is not there".to_owned()));
                    }
                }
                Effect::MoveTo { key } | Effect::Copy { key, .. } if carried > 0 => {
                    let Some((image, expire_at)) = self.read_carried(carried)? else { return Ok(false) };
                    keyspace.apply(&Effect::Put { key, image: &image, expire_at }, None, position);
                }
                _ => keyspace.apply(&effect, None, position),
            }
        }
        Ok(true)
    }

    fn is_here(&self, key: Key<'_>) -> bool {
        self.of_slot.get(usize::from(key.slot)).is_some_and(|bucket| usize::from(*bucket) == self.bucket)
    }

    /// Writes a value that goes to another bucket; false when there is none.
    fn write_carried(&self, number: u32, key: Key<'_>, keyspace: &Keyspace) -> Result<bool, SnapshotError> {
        let Some(entry) = keyspace.find(key).entry() else { return Ok(false) };
        let path = carried_path(&self.folder, number);
        if !path.exists() {
            let mut bytes = entry.expire_at().unwrap_or(-1).to_le_bytes().to_vec();
            image::encode(entry.value(), &mut bytes);
            std::fs::write(path, bytes)?;
        }
        Ok(true)
    }

    /// Reads a value's image and expiry; `None` when it is not there yet.
    fn read_carried(&self, number: u32) -> Result<Option<(Vec<u8>, Option<i64>)>, SnapshotError> {
        let mut bytes = match std::fs::read(carried_path(&self.folder, number)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let expiry = bytes.first_chunk::<8>().map_or(-1, |expiry| i64::from_le_bytes(*expiry));
        bytes.drain(..bytes.len().min(8));
        Ok(Some((bytes, (expiry != -1).then_some(expiry))))
    }
}
