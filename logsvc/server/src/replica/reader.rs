//! Reads of committed blocks at one replica: the cache of recent blocks first, then a walk over the database.
//!
//! A walk starts at the last checkpoint before the wanted position and applies entry after entry, because a refused or repeated block
//! also lies in the Raft log and must be skipped exactly as every replica skipped it. Where a walk ended is remembered, so that a
//! reader that goes on doesn't walk twice.

use std::sync::Arc;

use logsvc_api::{Block, Position, ShardId};
use logsvc_client::LogError;
use logsvc_raft::{GroupId, Input, LogStorage, Machine, StorageError};
use moka::sync::Cache;

use super::message::Message;
use super::seat::Seat;
use super::view::GroupView;
use crate::metric_names;
use crate::storage::RocksStorage;

/// Recent blocks by shard and first position, bounded by bytes.
pub type BlockCache = Cache<(ShardId, Position), Block>;
/// Payload bytes taken from the database at once.
const WALK_BYTES: usize = 1 << 20;
/// Remembered ends of walks.
const CURSORS: u64 = 64;

/// A cache of that many bytes.
pub fn block_cache(bytes: u64) -> BlockCache {
    Cache::builder()
        .max_capacity(bytes)
        .weigher(|_, block: &Block| u32::try_from(block.bytes().len() + 128).unwrap_or(u32::MAX))
        .build()
}

/// State behind an index: where a walk goes on.
type Cursor = (u64, Machine);

/// Reads for one replica.
pub struct Reader {
    storage: Arc<RocksStorage>,
    cache: BlockCache,
    cursors: Cache<(GroupId, Position), Cursor>,
    seat: Arc<Seat>,
}

impl Reader {
    /// Reads from `storage` through `cache`; damage is reported to `seat`.
    pub fn new(storage: Arc<RocksStorage>, cache: BlockCache, seat: Arc<Seat>) -> Self {
        Self { storage, cache, cursors: Cache::new(CURSORS), seat }
    }

    /// Blocks that hold positions from `from` up to what the replica has applied; none if there are none.
    pub fn read(
        &self,
        view: &GroupView,
        shard: ShardId,
        from: Position,
        max_bytes: usize,
    ) -> Result<Vec<Block>, LogError> {
        let trim = view.trim();
        if from <= trim {
            return Err(LogError::Trimmed { trim });
        }
        let tail = view.tail();
        if from > tail {
            return Ok(Vec::new());
        }
        let cached = self.read_cache(shard, from, tail, max_bytes);
        if !cached.is_empty() {
            metric_names::cache_hits(cached.len());
            return Ok(cached);
        }
        metric_names::cache_miss();
        match self.walk(shard, from, view.readable(), max_bytes) {
            Ok(blocks) => Ok(blocks),
            // Trimmed meanwhile, or applied so recently that it isn't on this replica's disk yet.
            Err(StorageError::Missing { .. }) if view.trim() >= from => {
                Err(LogError::Trimmed { trim: view.trim() })
            }
            Err(StorageError::Missing { .. }) => Ok(Vec::new()),
            Err(StorageError::Corrupt { group, index, detail }) => Err(self.report(group, index, detail)),
            Err(StorageError::Failed(reason)) => Err(LogError::Unavailable(reason)),
        }
    }

    fn read_cache(&self, shard: ShardId, from: Position, tail: Position, max_bytes: usize) -> Vec<Block> {
        let (mut blocks, mut next, mut bytes) = (Vec::new(), from, 0);
        while next <= tail
            && let Some(block) = self.cache.get(&(shard, next))
        {
            bytes += block.bytes().len();
            if bytes > max_bytes && !blocks.is_empty() {
                break;
            }
            next = block.last_position() + 1;
            blocks.push(block);
        }
        blocks
    }

    /// Where to start for `from`: the remembered end of an earlier walk, a checkpoint, or the beginning.
    fn start(&self, group: GroupId, from: Position) -> Result<Cursor, StorageError> {
        if let Some(cursor) = self.cursors.get(&(group, from)) {
            return Ok(cursor);
        }
        let Some(checkpoint) = self.storage.checkpoint_before(group, from)? else {
            return Ok((0, Machine::new(group)));
        };
        let machine = Machine::decode(group, &checkpoint.state).map_err(|error| StorageError::Corrupt {
            group,
            index: checkpoint.index,
            detail: error.to_string(),
        })?;
        Ok((checkpoint.index, machine))
    }

    fn walk(
        &self,
        group: GroupId,
        from: Position,
        readable: u64,
        max_bytes: usize,
    ) -> Result<Vec<Block>, StorageError> {
        let (mut index, mut machine) = self.start(group, from)?;
        let (mut blocks, mut bytes, mut next) = (Vec::new(), 0, from);
        'walk: while index < readable {
            let entries = match self.storage.entries(group, index + 1, readable + 1, WALK_BYTES) {
                Err(StorageError::Missing { .. }) if !blocks.is_empty() => break,
                other => other?,
            };
            for entry in entries {
                let before = (index, machine.clone());
                let (_, block) = machine.apply(&entry).map_err(|error| StorageError::Corrupt {
                    group,
                    index: entry.index,
                    detail: error.to_string(),
                })?;
                index = entry.index;
                let Some(block) = block.filter(|block| block.last_position() >= from) else { continue };
                bytes += block.bytes().len();
                if bytes > max_bytes && !blocks.is_empty() {
                    (index, machine) = before;
                    break 'walk;
                }
                next = block.last_position() + 1;
                blocks.push(block);
            }
        }
        if !blocks.is_empty() {
            self.cursors.insert((group, next), (index, machine));
        }
        Ok(blocks)
    }

    /// Names the damage and takes this replica of the group out of service until a peer has repaired it.
    fn report(&self, group: GroupId, index: u64, detail: String) -> LogError {
        metric_names::corrupt_block();
        tracing::error!(group, index, %detail, "damaged entry found; this replica counts as wiped");
        let text = format!("shard {group}, entry {index}: {detail}");
        // A walk that was remembered may hold what came from damaged rows.
        self.cursors.invalidate_all();
        self.seat.push(Message::Input(Input::Quarantine { group, index, reason: detail }));
        LogError::Corrupt(text)
    }
}
