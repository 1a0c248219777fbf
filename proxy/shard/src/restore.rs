//! From snapshot and log to a keyspace: what a shard does before it can serve, and what tests do to prove
//! that the log agrees with memory.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use logsvc_api::{Block, CHAIN_START, Position, Record, RecordKind, ShardId};
use logsvc_client::{LogError, LogService};
use proxy_store::{AccessRule, Effect, Keyspace, Limits, PREFETCHED, Spot, effect};
use smallvec::SmallVec;

use crate::keeper::unix_ms;
use crate::{ENGINE_VERSION, RestoreProgress};

/// Bytes asked of the log at once.
pub(crate) const READ_BYTES: usize = 4 << 20;

/// Where a snapshot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Last position that the snapshot contains.
    pub position: Position,
    /// The log's checksum chain there.
    pub chain: u64,
}

/// Why a shard can't be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The log can't be read now, or not any more from where it is needed.
    #[error("log: {0}")]
    Log(#[from] LogError),
    /// No snapshot could be loaded.
    #[error("snapshot: {0}")]
    Snapshot(String),
    /// Blocks don't follow each other, or not the snapshot.
    #[error("the log's chain is broken at position {position}: {what}")]
    Chain {
        /// Where it shows.
        position: Position,
        /// What was found.
        what: String,
    },
    /// A record of a newer version of this program. Nothing of it is applied; an upgraded node goes on from here.
    #[error(
        "position {position} was written by engine version {version}, this node understands {ENGINE_VERSION}: upgrade it"
    )]
    Newer {
        /// First position that isn't applied.
        position: Position,
        /// What it needs.
        version: u16,
    },
    /// A record that this version can't carry out.
    #[error("record at position {position} can't be applied: {what}")]
    Record {
        /// Its place.
        position: Position,
        /// What is wrong with it.
        what: String,
    },
}

/// Loads snapshots. Implemented over the snapshot repository; [`NoSnapshots`] has none.
#[async_trait]
pub trait Restorer: Send + Sync + 'static {
    /// Loads the newest snapshot of `shard` into the empty keyspace `into`. `None` when there is none. On an
    /// error, `into` is thrown away.
    ///
    /// # Errors
    /// A text for the log: the caller tries again later.
    async fn restore(
        &self,
        shard: ShardId,
        into: &mut Keyspace,
        progress: &RestoreProgress,
    ) -> Result<Option<Restored>, String>;
}

/// A restorer without snapshots: everything comes from the log.
#[derive(Debug, Default)]
pub struct NoSnapshots;

#[async_trait]
impl Restorer for NoSnapshots {
    async fn restore(
        &self,
        _shard: ShardId,
        _into: &mut Keyspace,
        _progress: &RestoreProgress,
    ) -> Result<Option<Restored>, String> {
        Ok(None)
    }
}

/// Applies a log to a keyspace, block by block, and checks the chain on the way.
pub struct Replayer {
    /// The data so far.
    pub ks: Keyspace,
    /// Last position applied.
    pub position: Position,
    /// Checksum of the record there.
    pub chain: u64,
}

impl Replayer {
    /// Starts with nothing, before the first record.
    pub fn new(limits: Limits) -> Self {
        Self { ks: Keyspace::new(limits), position: 0, chain: CHAIN_START }
    }

    /// Applies what `block` holds behind the current position.
    ///
    /// # Errors
    /// When the block doesn't follow, or holds what this version doesn't know. The keyspace is useless then.
    pub fn apply_block(&mut self, block: &Block) -> Result<(), RestoreError> {
        let end = apply_block(&mut self.ks, (self.position, self.chain), block, |_, _| {})?;
        (self.position, self.chain) = end;
        Ok(())
    }
}

/// Applies what `block` holds behind `at`, a position and the chain there, to `ks`; returns where it ends. `seen` hears
/// of every effect before it is applied.
///
/// # Errors
/// When the block doesn't follow (then nothing is applied), or holds what this version doesn't know.
pub(crate) fn apply_block(
    ks: &mut Keyspace,
    at: (Position, u64),
    block: &Block,
    mut seen: impl FnMut(&Effect<'_>, &Keyspace),
) -> Result<(Position, u64), RestoreError> {
    let header = &block.header;
    let (mut position, mut chain) = at;
    let broken = |position, what: String| Err(RestoreError::Chain { position, what });
    if header.engine_version > ENGINE_VERSION {
        return Err(RestoreError::Newer { position: position + 1, version: header.engine_version });
    }
    if header.first_position > position + 1 {
        return broken(position + 1, format!("the next block starts at {}", header.first_position));
    }
    if header.first_position == position + 1 && header.chain_before != chain {
        return broken(position, "checksum differs from the log's".into());
    }
    let mut ahead = block.records();
    for (number, record) in block.records().enumerate() {
        if number % PREFETCHED == 0 {
            prefetch(ks, ahead.by_ref().take(PREFETCHED));
        }
        if record.position < position {
            continue;
        }
        if record.position == position {
            if record.checksum != chain {
                return broken(position, "checksum differs from the log's".into());
            }
            continue;
        }
        if record.kind == RecordKind::Effects {
            // A record is all or nothing: it is decoded as a whole before any of it is applied.
            if let Some(Err(error)) = effect::decode(record.body).find(Result::is_err) {
                return Err(RestoreError::Record { position: record.position, what: format!("{error:?}") });
            }
            for (effect, _) in effect::decode(record.body).flatten() {
                seen(&effect, ks);
                ks.apply(&effect, None, record.position);
            }
        }
        position = record.position;
        chain = record.checksum;
    }
    ks.set_durable(position);
    Ok((position, chain))
}

/// Asks for the memory of the keys that these records begin with: whatever a record's other effects are, most have one.
fn prefetch<'a>(ks: &Keyspace, records: impl Iterator<Item = Record<'a>>) {
    let effects = records.filter(|record| record.kind == RecordKind::Effects);
    let first = effects.filter_map(|record| Some(effect::decode(record.body).next()?.ok()?.0));
    let keys = first.filter_map(|effect| effect.key());
    let spots: SmallVec<[(u8, Spot); PREFETCHED]> = keys.map(|key| (key.db, ks.spot(key.bytes))).collect();
    if spots.len() > 1 {
        ks.prefetch(spots.iter().copied());
    }
}

/// Replays the committed log of `shard` from `from` (a snapshot's keyspace, or an empty one) to its end: the
/// digest of the result equals the primary's.
///
/// # Errors
/// As [`Replayer::apply_block`], or when the log can't be read.
pub async fn replay(
    log: &dyn LogService,
    shard: ShardId,
    mut from: Replayer,
) -> Result<Replayer, RestoreError> {
    catch_up(log, shard, &mut from, &RestoreProgress::default()).await?;
    Ok(from)
}

/// Reads and applies until the log's tail, as it is when the reading gets there.
pub(crate) async fn catch_up(
    log: &dyn LogService,
    shard: ShardId,
    state: &mut Replayer,
    progress: &RestoreProgress,
) -> Result<(), RestoreError> {
    loop {
        let target = log.describe(shard).await?.tail;
        progress.target.store(target, Relaxed);
        if target < state.position {
            let what = format!("the log ends at {target}, behind what was restored");
            return Err(RestoreError::Chain { position: state.position, what });
        }
        if target == state.position {
            return Ok(());
        }
        while state.position < target {
            let blocks = log.read(shard, state.position + 1, READ_BYTES, Duration::from_millis(200)).await?;
            for block in &blocks {
                state.apply_block(block)?;
                progress.bytes.fetch_add(block.bytes().len() as u64, Relaxed);
            }
            progress.position.store(state.position, Relaxed);
            progress.keys.store(total_keys(&state.ks), Relaxed);
        }
    }
}

/// One whole restore: snapshot, then log.
pub(crate) async fn restore(
    log: Arc<dyn LogService>,
    restorer: Arc<dyn Restorer>,
    shard: ShardId,
    (limits, rule): (Limits, AccessRule),
    progress: &RestoreProgress,
) -> Result<Replayer, RestoreError> {
    let mut state = Replayer::new(limits);
    // Keys count as used now, for lack of a better memory.
    state.ks.set_access_rule(rule);
    state.ks.set_clock(unix_ms());
    let snapshot = restorer.restore(shard, &mut state.ks, progress).await.map_err(RestoreError::Snapshot)?;
    if let Some(Restored { position, chain }) = snapshot {
        state.position = position;
        state.chain = chain;
        state.ks.set_durable(position);
        progress.position.store(position, Relaxed);
    }
    match catch_up(&*log, shard, &mut state, progress).await {
        // It has what it understands; following, it stops there and says so.
        Ok(()) | Err(RestoreError::Newer { .. }) => Ok(state),
        Err(error) => Err(error),
    }
}

fn total_keys(ks: &Keyspace) -> u64 {
    (0..proxy_store::DATABASES).map(|db| ks.len(db)).sum()
}
