//! Reads the log into buckets, checking that it continues the previous snapshot's checksum chain without a gap.

use std::time::Duration;

use logsvc_api::{Block, Position, RecordKind, ShardId};
use logsvc_client::LogService;

use crate::buckets::Buckets;
use crate::error::SnapshotError;

/// Bytes asked of the log at once.
const READ_BYTES: usize = 4 << 20;

/// How long a read waits for records that are committed already.
const READ_WAIT: Duration = Duration::from_secs(5);

/// A place in the log, and what was met on the way there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    pub position: Position,
    pub chain: u64,
    pub epoch: u64,
    pub time_ms: u64,
    pub engine_version: u16,
    /// Bytes of log read.
    pub bytes: u64,
    /// Effects read.
    pub effects: u64,
}

/// Reads on from `from` until `target` is reached. Stops earlier, but not before the first record, at a block that
/// needs a newer engine.
pub async fn read_log(
    log: &dyn LogService,
    shard: ShardId,
    from: Reached,
    target: Position,
    engine_version: u16,
    mut buckets: Buckets,
) -> Result<(Reached, Buckets), SnapshotError> {
    let mut reached = from;
    let mut newer = None;
    while reached.position < target && newer.is_none() {
        let blocks = log.read(shard, reached.position + 1, READ_BYTES, READ_WAIT).await?;
        if blocks.is_empty() {
            let what = "the log doesn't give the records that it says it has";
            return Err(SnapshotError::Chain { position: reached.position + 1, what });
        }
        let work = move || {
            let newer = take_blocks(&blocks, shard, engine_version, &mut reached, &mut buckets)?;
            Ok::<_, SnapshotError>((reached, buckets, newer))
        };
        (reached, buckets, newer) = tokio::task::spawn_blocking(work).await??;
    }
    match newer {
        Some(error) if reached.position == from.position => return Err(error),
        Some(error) => tracing::warn!(shard, %error, "the snapshot stops before it"),
        None => {}
    }
    let flushed = tokio::task::spawn_blocking(move || buckets.flush().map(|()| buckets)).await??;
    Ok((reached, flushed))
}

/// Takes in blocks in order; an error value (not a failure) when one needs a newer engine.
fn take_blocks(
    blocks: &[Block],
    shard: ShardId,
    engine_version: u16,
    reached: &mut Reached,
    buckets: &mut Buckets,
) -> Result<Option<SnapshotError>, SnapshotError> {
    for block in blocks {
        if block.last_position() <= reached.position {
            continue;
        }
        let position = block.header.first_position;
        if block.header.engine_version > engine_version {
            let needed = block.header.engine_version;
            return Ok(Some(SnapshotError::EngineVersion { position, needed, have: engine_version }));
        }
        check_joint(block, shard, *reached)?;
        for record in block.records().filter(|record| record.position > reached.position) {
            reached.effects += take_record(record.position, record.kind, record.body, buckets)?;
        }
        reached.position = block.last_position();
        reached.chain = block.chain();
        reached.epoch = block.header.epoch;
        reached.time_ms = block.header.time_ms;
        reached.engine_version = reached.engine_version.max(block.header.engine_version);
        reached.bytes += block.bytes().len() as u64;
    }
    Ok(None)
}

/// The block's own checksums were checked when it was decoded; here: does it continue what came before?
fn check_joint(block: &Block, shard: ShardId, reached: Reached) -> Result<(), SnapshotError> {
    let first = block.header.first_position;
    let wrong = |what| SnapshotError::Chain { position: first, what };
    if block.header.shard != shard {
        return Err(wrong("the block belongs to another shard"));
    }
    if first > reached.position + 1 {
        return Err(wrong("records are missing before it"));
    }
    let chain = if first == reached.position + 1 {
        Some(block.header.chain_before)
    } else {
        block.records().find(|record| record.position == reached.position).map(|record| record.checksum)
    };
    if chain == Some(reached.chain) {
        Ok(())
    } else {
        Err(wrong("the log is not the one that the snapshot was made of"))
    }
}

fn take_record(
    position: Position,
    kind: RecordKind,
    body: &[u8],
    buckets: &mut Buckets,
) -> Result<u64, SnapshotError> {
    match kind {
        RecordKind::Effects => buckets.add_record(position, body),
        RecordKind::Claim | RecordKind::Renewal | RecordKind::SnapshotMark | RecordKind::Checksum => Ok(0),
        RecordKind::Prepare | RecordKind::Decision | RecordKind::SlotOwnership => {
            let what = format!("records of kind {kind:?} are not known to this snapshotter");
            Err(SnapshotError::Record { position, what })
        }
    }
}
