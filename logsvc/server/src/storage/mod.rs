//! The disk of one replica process: all groups in one RocksDB, written by one thread in ticket order.
//!
//! Implements `logsvc_raft::LogStorage`; the only code of the project that names RocksDB. Many queued batches become one synced
//! write (group commit). After a failed write nothing more is written: the first failure is sticky.

mod keys;
mod open;
mod positions;
mod wal_format;
mod wal_room;
mod wal_tail;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use logsvc_api::Position;
use logsvc_raft::{Checkpoint, GroupId, LogEntry, LogStorage, Recovered, StorageError, WriteBatch, WriteOp};
use parking_lot::Mutex;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, ReadOptions, WriteOptions};

use keys::{Tag, checkpoint_key, entry_index, entry_key, meta_key};
pub use open::{OpenError, StorageConfig, has_lost_its_wal, set_aside};
use positions::Positions;
use wal_room::WalRoom;

use crate::metric_names;

/// One replica's database.
pub struct RocksStorage {
    db: DB,
    positions: Mutex<Positions>,
    /// Held while anything is written.
    room: Mutex<WalRoom>,
    failed: Mutex<Option<String>>,
    reads: AtomicU64,
}

impl RocksStorage {
    /// Opens or creates the database in `path`.
    pub fn open(path: &Path, config: &StorageConfig) -> Result<Self, OpenError> {
        let db = open::open(path, config)?;
        let room = Mutex::new(WalRoom::new(path));
        Ok(Self { db, positions: Mutex::default(), room, failed: Mutex::new(None), reads: 0.into() })
    }

    /// How often entries were read.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// The newest checkpoint of a shard's group that lies before `position`: where a reader starts to walk the log.
    pub fn checkpoint_before(
        &self,
        group: GroupId,
        position: Position,
    ) -> Result<Option<Checkpoint>, StorageError> {
        let Some(index) = self.positions.lock().before(group, position) else { return Ok(None) };
        let key = checkpoint_key(group, index);
        if let Some(row) = self.meta_row(group, &key)? {
            return parse_checkpoint(group, index, &row).map(Some);
        }
        let snapshot = self.meta_row(group, &meta_key(group, Tag::Snapshot))?;
        snapshot.map(|row| parse_checkpoint(group, index, &row)).transpose()
    }

    /// Flushes what is in memory, before a clean stop, so that the next start has little to replay.
    pub fn flush(&self) {
        if self.failed.lock().is_some() {
            return;
        }
        let _room = self.room.lock();
        for name in [keys::LOG, keys::META] {
            if let Ok(family) = self.family(name)
                && let Err(error) = self.db.flush_cf(family)
            {
                tracing::warn!(%error, "the log's database couldn't be flushed");
            }
        }
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily, StorageError> {
        self.db
            .cf_handle(name)
            .ok_or_else(|| StorageError::Failed(format!("column family {name} is missing")))
    }

    /// Content of a `meta` row.
    fn meta_row(&self, group: GroupId, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let family = self.family(keys::META)?;
        let value = self.db.get_pinned_cf(family, key).map_err(|error| read_error(group, 0, &error))?;
        let Some(value) = value else { return Ok(None) };
        let content = keys::decode_meta(key, &value).map_err(|detail| corrupt(group, 0, detail))?;
        Ok(Some(content.to_vec()))
    }

    fn checkpoints(&self, group: GroupId) -> Result<Vec<Checkpoint>, StorageError> {
        let from = checkpoint_key(group, 0);
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(checkpoint_key(group, u64::MAX).to_vec());
        let mode = IteratorMode::From(&from, Direction::Forward);
        let rows = self.db.iterator_cf_opt(self.family(keys::META)?, options, mode);
        rows.map(|row| {
            let (key, value) = row.map_err(|error| read_error(group, 0, &error))?;
            let content = keys::decode_meta(&key, &value).map_err(|detail| corrupt(group, 0, detail))?;
            parse_checkpoint(group, 0, content)
        })
        .collect()
    }

    /// Index and term of the last entry.
    fn last_entry(&self, group: GroupId) -> Result<Option<(u64, u64)>, StorageError> {
        let from = entry_key(group, u64::MAX);
        let mode = IteratorMode::From(&from, Direction::Reverse);
        let mut rows = self.db.iterator_cf(self.family(keys::LOG)?, mode);
        let Some(row) = rows.next() else { return Ok(None) };
        let (key, value) = row.map_err(|error| read_error(group, 0, &error))?;
        let Some(index) = entry_index(group, &key) else { return Ok(None) };
        let entry =
            keys::decode_entry(&key, index, &value).map_err(|detail| corrupt(group, index, detail))?;
        Ok(Some((entry.index, entry.term)))
    }

    fn put_op(
        &self,
        batch: &mut rocksdb::WriteBatch,
        scratch: &mut Vec<u8>,
        group: GroupId,
        op: &WriteOp,
    ) -> Result<(), StorageError> {
        let (log, meta) = (self.family(keys::LOG)?, self.family(keys::META)?);
        let put_meta = |key: &[u8], content: &[u8], batch: &mut rocksdb::WriteBatch| {
            batch.put_cf(meta, key, keys::encode_meta(key, content));
        };
        match op {
            WriteOp::Create { replica } => {
                self.remove_group(batch, group)?;
                put_meta(&meta_key(group, Tag::Identity), &replica.0.to_le_bytes(), batch);
            }
            WriteOp::Append { entries, replaces } => {
                if let Some(last) = entries.last().filter(|_| *replaces) {
                    // Also what lies above: those entries were never committed and must not come back after a restart.
                    batch.delete_range_cf(log, entry_key(group, last.index + 1), entry_key(group, u64::MAX));
                    self.positions.lock().truncate(group, entries.first().map_or(0, |first| first.index));
                }
                for entry in entries {
                    let key = entry_key(group, entry.index);
                    keys::encode_entry(scratch, &key, entry);
                    batch.put_cf(log, key, &scratch);
                }
            }
            WriteOp::HardState(state) => {
                put_meta(&meta_key(group, Tag::HardState), &keys::hard_state_content(state), batch);
            }
            WriteOp::Checkpoint(checkpoint) => {
                put_meta(&checkpoint_key(group, checkpoint.index), &checkpoint.encode(), batch);
                self.positions.lock().add(group, checkpoint);
            }
            WriteOp::Trim { snapshot } => {
                put_meta(&meta_key(group, Tag::Snapshot), &snapshot.encode(), batch);
                batch.delete_range_cf(log, entry_key(group, 0), entry_key(group, snapshot.index + 1));
                let keep = checkpoint_key(group, snapshot.index + 1);
                batch.delete_range_cf(meta, checkpoint_key(group, 0), keep);
                self.positions.lock().trim(group, snapshot);
            }
            WriteOp::Install { snapshot } => {
                batch.delete_range_cf(log, entry_key(group, 0), entry_key(group, u64::MAX));
                let end = checkpoint_key(group, u64::MAX);
                batch.delete_range_cf(meta, checkpoint_key(group, 0), end);
                put_meta(&meta_key(group, Tag::Snapshot), &snapshot.encode(), batch);
                self.positions.lock().install(group, snapshot);
            }
            WriteOp::Remove => self.remove_group(batch, group)?,
        }
        Ok(())
    }

    fn remove_group(&self, batch: &mut rocksdb::WriteBatch, group: GroupId) -> Result<(), StorageError> {
        batch.delete_range_cf(self.family(keys::LOG)?, entry_key(group, 0), entry_key(group, u64::MAX));
        let meta = self.family(keys::META)?;
        batch.delete_range_cf(
            meta,
            meta_key(group, Tag::Identity).to_vec(),
            checkpoint_key(group, u64::MAX).to_vec(),
        );
        self.positions.lock().remove(group);
        Ok(())
    }

    /// Whole files below a trim point go at once; the range delete alone would leave them until a compaction.
    fn drop_files(&self, batches: &[WriteBatch]) {
        for write in batches.iter().flat_map(|batch| &batch.writes) {
            for op in &write.ops {
                if let WriteOp::Trim { snapshot } = op
                    && let Ok(log) = self.family(keys::LOG)
                {
                    let (from, to) = (entry_key(write.group, 0), entry_key(write.group, snapshot.index));
                    if let Err(error) = self.db.delete_file_in_range_cf(log, from, to) {
                        tracing::warn!(%error, "trimmed files stay until the next compaction");
                    }
                }
            }
        }
    }

    fn write_all(&self, batches: &[WriteBatch]) -> Result<(), StorageError> {
        let mut merged = rocksdb::WriteBatch::default();
        let mut scratch = Vec::new();
        let mut payload = 0;
        for batch in batches {
            payload += batch.payload_bytes();
            for write in &batch.writes {
                for op in &write.ops {
                    self.put_op(&mut merged, &mut scratch, write.group, op)?;
                }
            }
        }
        // A trim removes files right after this write, which must not outrun the row that says so.
        let sync = batches.iter().any(|batch| batch.sync || has_trim(batch));
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        let begin = std::time::Instant::now();
        let mut room = self.room.lock();
        room.prepare(merged.size_in_bytes());
        self.db.write_opt(merged, &options).map_err(|error| StorageError::Failed(error.to_string()))?;
        if sync {
            metric_names::synced(begin.elapsed(), batches.len(), payload);
        }
        self.drop_files(batches);
        Ok(())
    }
}

impl LogStorage for RocksStorage {
    fn groups(&self) -> Result<Vec<GroupId>, StorageError> {
        let mut groups = Vec::new();
        let mut next = Some(0_u32);
        let family = self.family(keys::META)?;
        while let Some(group) = next {
            let from = meta_key(group, Tag::Identity);
            let mut rows = self.db.iterator_cf(family, IteratorMode::From(&from, Direction::Forward));
            let Some(row) = rows.next() else { break };
            let (key, _) = row.map_err(|error| StorageError::Failed(error.to_string()))?;
            let Some(found) = key.first_chunk::<4>() else { break };
            let found = u32::from_be_bytes(*found);
            groups.push(found);
            next = found.checked_add(1);
        }
        Ok(groups)
    }

    fn load(&self, group: GroupId) -> Result<Option<Recovered>, StorageError> {
        let Some(identity) = self.meta_row(group, &meta_key(group, Tag::Identity))? else { return Ok(None) };
        let damaged = |what: &str| corrupt(group, 0, format!("the {what} row is malformed"));
        let replica = keys::parse_identity(&identity).ok_or_else(|| damaged("identity"))?;
        let hard_state = match self.meta_row(group, &meta_key(group, Tag::HardState))? {
            Some(row) => keys::parse_hard_state(&row).ok_or_else(|| damaged("hard state"))?,
            None => Default::default(),
        };
        let snapshot = self.meta_row(group, &meta_key(group, Tag::Snapshot))?;
        let snapshot = snapshot.map(|row| parse_checkpoint(group, 0, &row)).transpose()?;
        let checkpoints = self.checkpoints(group)?;
        let mut positions = self.positions.lock();
        positions.remove(group);
        if let Some(snapshot) = &snapshot {
            positions.install(group, snapshot);
        }
        for checkpoint in &checkpoints {
            positions.add(group, checkpoint);
        }
        drop(positions);
        let base = snapshot.as_ref().map_or((0, 0), |snapshot| (snapshot.index, snapshot.term));
        let (last_index, last_term) = self.last_entry(group)?.filter(|last| last.0 > base.0).unwrap_or(base);
        Ok(Some(Recovered { replica, hard_state, snapshot, checkpoints, last_index, last_term }))
    }

    fn entries(
        &self,
        group: GroupId,
        low: u64,
        high: u64,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, StorageError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let from = entry_key(group, low);
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(entry_key(group, high).to_vec());
        let mode = IteratorMode::From(&from, Direction::Forward);
        let rows = self.db.iterator_cf_opt(self.family(keys::LOG)?, options, mode);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for (index, row) in (low..high).zip(rows) {
            let (key, value) = row.map_err(|error| read_error(group, index, &error))?;
            if entry_index(group, &key) != Some(index) {
                break;
            }
            let entry =
                keys::decode_entry(&key, index, &value).map_err(|detail| corrupt(group, index, detail))?;
            bytes += entry.payload.len();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        if entries.is_empty() && low < high {
            return Err(StorageError::Missing { group, index: low });
        }
        Ok(entries)
    }

    fn write(&self, batches: &[WriteBatch]) -> Result<(), StorageError> {
        if let Some(reason) = self.failed.lock().as_ref() {
            return Err(StorageError::Failed(format!("stopped after: {reason}")));
        }
        self.write_all(batches).inspect_err(|error| {
            metric_names::write_failed();
            tracing::error!(%error, "the log's database refused a write; this replica leaves the quorum");
            self.failed.lock().get_or_insert(error.to_string());
        })
    }
}

fn corrupt(group: GroupId, index: u64, detail: impl Into<String>) -> StorageError {
    StorageError::Corrupt { group, index, detail: detail.into() }
}

/// RocksDB's own block checksums catch most damage before ours can.
fn read_error(group: GroupId, index: u64, error: &rocksdb::Error) -> StorageError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => corrupt(group, index, error.to_string()),
        _ => StorageError::Failed(error.to_string()),
    }
}

fn parse_checkpoint(group: GroupId, index: u64, content: &[u8]) -> Result<Checkpoint, StorageError> {
    Checkpoint::decode(content).ok_or_else(|| corrupt(group, index, "a checkpoint row is malformed"))
}

fn has_trim(batch: &WriteBatch) -> bool {
    batch.writes.iter().flat_map(|write| &write.ops).any(|op| matches!(op, WriteOp::Trim { .. }))
}
