//! The log's effects, sorted by segment into files, in the order of the log. So each segment can be rewritten alone.
//!
//! A file holds frames: position u64, length u32 (little endian), one encoded effect. Files are this process's own and
//! short-lived; nobody else reads them.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use proxy_store::effect::{Effect, decode, decode_one};
use proxy_store::{Keyspace, Position, SLOTS};
use snapshot_rdb::LIBRARY_SLOT;

use crate::error::SnapshotError;

/// Memory for frames that are not yet in files, over all buckets.
const BUFFER_BYTES: usize = 8 << 20;

/// Effects sorted by range of slots.
pub struct Buckets {
    folder: tempfile::TempDir,
    /// Bucket of each slot.
    of_slot: Vec<u16>,
    buckets: Vec<Bucket>,
    buffered: usize,
}

#[derive(Default)]
struct Bucket {
    buffer: Vec<u8>,
    in_file: bool,
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
        Ok(Self { folder, of_slot, buckets, buffered: 0 })
    }

    /// Sorts in the effects of one record; returns how many there were.
    pub fn add_record(&mut self, position: Position, body: &[u8]) -> Result<u64, SnapshotError> {
        let wrong = |what: String| SnapshotError::Record { position, what };
        let mut count = 0;
        for effect in decode(body) {
            let (effect, start) = effect.map_err(|error| wrong(error.to_string()))?;
            let (_, end) = decode_one(body, start).map_err(|error| wrong(error.to_string()))?;
            let bytes = body.get(start..end).unwrap_or_default();
            match effect.key() {
                Some(key) => {
                    let bucket = self.of_slot.get(usize::from(key.slot)).copied().unwrap_or_default();
                    self.add(usize::from(bucket), position, bytes);
                }
                None if matches!(effect, Effect::LibrarySet { .. } | Effect::LibraryDelete { .. }) => {
                    let bucket = self.of_slot.get(usize::from(LIBRARY_SLOT)).copied().unwrap_or_default();
                    self.add(usize::from(bucket), position, bytes);
                }
                // A flush or swap of databases concerns every slot.
                None => (0..self.buckets.len()).for_each(|bucket| self.add(bucket, position, bytes)),
            }
            count += 1;
        }
        if self.buffered >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(count)
    }

    fn add(&mut self, bucket: usize, position: Position, effect: &[u8]) {
        let Some(bucket) = self.buckets.get_mut(bucket) else { return };
        bucket.buffer.extend_from_slice(&position.to_le_bytes());
        bucket.buffer.extend_from_slice(&(effect.len() as u32).to_le_bytes());
        bucket.buffer.extend_from_slice(effect);
        self.buffered += 12 + effect.len();
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

    /// Whether any effect concerns the bucket's slots.
    pub fn is_touched(&self, bucket: usize) -> bool {
        self.buckets.get(bucket).is_some_and(|bucket| bucket.in_file || !bucket.buffer.is_empty())
    }

    /// A reader of one bucket's effects. [`Buckets::flush`] must have been called after the last record.
    pub fn open(&self, bucket: usize) -> Result<Option<BucketReader>, SnapshotError> {
        if !self.is_touched(bucket) {
            return Ok(None);
        }
        let file = File::open(self.path(bucket))?;
        let left = file.metadata()?.len();
        Ok(Some(BucketReader { file: BufReader::with_capacity(1 << 18, file), left }))
    }
}

/// The effects of one bucket, in the order of the log.
pub struct BucketReader {
    file: BufReader<File>,
    left: u64,
}

impl BucketReader {
    /// Carries out all effects on `keyspace`.
    pub fn apply(mut self, keyspace: &mut Keyspace) -> Result<(), SnapshotError> {
        let mut body = Vec::new();
        while self.left > 0 {
            let mut head = [0; 12];
            self.file.read_exact(&mut head)?;
            let (position, length) = head.split_at(8);
            let position = u64::from_le_bytes(position.try_into().unwrap_or_default());
            let length = u64::from(u32::from_le_bytes(length.try_into().unwrap_or_default()));
            self.left = self.left.saturating_sub(12);
            if length > self.left {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            body.resize(length as usize, 0);
            self.file.read_exact(&mut body)?;
            self.left -= length;
            let (effect, _): (Effect<'_>, usize) = decode_one(&body, 0)
                .map_err(|error| SnapshotError::Record { position, what: error.to_string() })?;
            keyspace.apply(&effect, None, position);
        }
        Ok(())
    }
}
