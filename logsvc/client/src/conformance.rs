//! One suite that every implementation of [`LogService`] passes: the fake, the embedded log and the remote one.
//!
//! Each check has a shard of its own, so the log given to [`run`] must be fresh and have [`SHARDS`] shards. A failed check panics;
//! the name of the function tells what was being proven.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use logsvc_api::{Block, BlockBuilder, Epoch, Position, RecordKind, ShardId};

use crate::{Appender, Claim, LogError, LogService};

/// Shards that the suite uses.
pub const SHARDS: u32 = 9;
const LONG: Duration = Duration::from_secs(20);
const EVERYTHING: usize = 64 << 20;

/// Runs every check.
pub async fn run(log: &Arc<dyn LogService>) {
    appended_blocks_are_read_back(log, 0).await;
    a_newer_claim_fences_the_older(log, 1).await;
    a_claim_is_conditional(log, 2).await;
    gaps_and_broken_chains_are_refused(log, 3).await;
    a_repeated_block_is_taken_once(log, 4).await;
    trim_lets_whole_blocks_go(log, 5).await;
    garbage_is_refused(log, 6).await;
    a_deep_pipeline_stays_in_order(log, 7).await;
    a_released_lease_is_not_waited_out(log, 8).await;
    metadata_compares_and_sets(log).await;
    metadata_is_watched(log).await;
    unknown_shards_are_refused(log).await;
}

/// A primary in miniature: claim, builder and appender of one shard.
pub struct Primary {
    shard: ShardId,
    /// The epoch that was won.
    pub epoch: Epoch,
    /// Seals the next blocks.
    pub builder: BlockBuilder,
    /// Takes them.
    pub appender: Box<dyn Appender>,
}

impl Primary {
    /// Claims whatever state the shard is in.
    pub async fn claim(log: &Arc<dyn LogService>, shard: ShardId, owner: &str, lease_ms: u64) -> Self {
        let now = log.describe(shard).await.unwrap();
        let claim = Claim {
            shard,
            owner: owner.into(),
            lease_ms,
            expected_epoch: now.epoch,
            expected_tail: now.tail,
        };
        let won = log.claim(claim).await.unwrap();
        let builder = BlockBuilder::new(shard, won.tail, won.chain);
        Self { shard, epoch: won.epoch, builder, appender: log.appender(shard, won.epoch) }
    }

    /// A block of `records` records with this body.
    pub fn block(&mut self, records: usize, body: &[u8]) -> Bytes {
        for _ in 0..records {
            self.builder.begin(RecordKind::Effects).extend_from_slice(body);
            self.builder.commit();
        }
        self.builder.seal(self.epoch, 1_700_000_000_000, 1)
    }

    /// Appends such a block without waiting; returns its last position.
    pub fn append(&mut self, records: usize, body: &[u8]) -> Position {
        let block = self.block(records, body);
        self.appender.append(block);
        self.builder.tail()
    }

    /// Waits until everything appended is durable.
    pub async fn settle(&self) -> Result<(), LogError> {
        self.appender.progress().wait_for(self.builder.tail()).await
    }

    async fn failure(&self) -> LogError {
        self.appender.progress().wait_for(Position::MAX).await.unwrap_err()
    }

    /// The shard that it owns.
    pub fn shard(&self) -> ShardId {
        self.shard
    }
}

/// Reads all committed blocks from `from` on and checks positions and chain.
pub async fn read_all(log: &Arc<dyn LogService>, shard: ShardId, from: Position) -> Vec<Block> {
    let tail = log.describe(shard).await.unwrap().tail;
    let mut blocks: Vec<Block> = Vec::new();
    let mut next = from;
    while next <= tail {
        let more = log.read(shard, next, EVERYTHING, LONG).await.unwrap();
        assert!(!more.is_empty(), "committed position {next} of shard {shard} isn't readable");
        next = more.last().unwrap().last_position() + 1;
        blocks.extend(more);
    }
    for pair in blocks.windows(2) {
        assert_eq!(pair[0].last_position() + 1, pair[1].header.first_position);
        assert_eq!(pair[0].chain(), pair[1].header.chain_before);
    }
    blocks
}

async fn appended_blocks_are_read_back(log: &Arc<dyn LogService>, shard: ShardId) {
    let mut primary = Primary::claim(log, shard, "a", 60_000).await;
    primary.append(3, b"first");
    primary.append(2, b"second");
    primary.append(1, b"third");
    primary.settle().await.unwrap();
    assert_eq!(primary.appender.progress().durable(), 6);
    assert_eq!(primary.appender.progress().in_flight_bytes(), 0);
    let blocks = read_all(log, shard, 1).await;
    assert_eq!(blocks.len(), 3);
    assert_eq!(blocks[1].records().next().unwrap().body, b"second");
    let middle = log.read(shard, 5, EVERYTHING, LONG).await.unwrap();
    assert_eq!(middle[0].header.first_position, 4);
    assert_eq!(middle.len(), 2);
    assert_eq!(log.read(shard, 1, 1, LONG).await.unwrap().len(), 1);
    assert!(log.read(shard, 7, EVERYTHING, Duration::from_millis(5)).await.unwrap().is_empty());
    let reader = {
        let log = Arc::clone(log);
        tokio::spawn(async move { log.read(shard, 7, EVERYTHING, LONG).await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    primary.append(1, b"fourth");
    assert_eq!(reader.await.unwrap().unwrap()[0].header.first_position, 7);
    let description = log.describe(shard).await.unwrap();
    assert_eq!((description.tail, description.chain), (7, primary.builder.chain()));
    assert_eq!((description.epoch, description.owner.as_deref()), (1, Some("a")));
    assert!(description.leader.is_some() && !description.replicas.is_empty());
}

async fn a_newer_claim_fences_the_older(log: &Arc<dyn LogService>, shard: ShardId) {
    let mut old = Primary::claim(log, shard, "old", 300).await;
    old.append(1, b"by the old one");
    old.settle().await.unwrap();
    let begin = Instant::now();
    let mut new = Primary::claim(log, shard, "new", 60_000).await;
    assert!(begin.elapsed() >= Duration::from_millis(150), "the old lease wasn't waited out");
    assert_eq!(new.epoch, old.epoch + 1);
    assert_eq!(log.renew(shard, old.epoch).await, Err(LogError::Fenced { epoch: new.epoch }));
    old.append(1, b"too late");
    assert_eq!(old.failure().await, LogError::Fenced { epoch: new.epoch });
    log.renew(shard, new.epoch).await.unwrap();
    new.append(1, b"by the new one");
    new.settle().await.unwrap();
    let blocks = read_all(log, shard, 1).await;
    assert_eq!(blocks.last().unwrap().records().next().unwrap().body, b"by the new one");
    assert_eq!(blocks.len(), 2);
}

async fn a_released_lease_is_not_waited_out(log: &Arc<dyn LogService>, shard: ShardId) {
    let mut old = Primary::claim(log, shard, "old", 60_000).await;
    old.append(2, b"by the old one");
    old.settle().await.unwrap();
    log.lead_from(shard, &log.describe(shard).await.unwrap().replicas[0].az).await.unwrap();
    log.release_lease(shard, old.epoch).await.unwrap();
    assert_eq!(log.describe(shard).await.unwrap().lease_remaining_ms, 0);
    let begin = Instant::now();
    let new = Primary::claim(log, shard, "new", 60_000).await;
    assert!(begin.elapsed() < Duration::from_secs(30), "a released lease was waited out");
    assert_eq!((new.epoch, new.builder.tail()), (old.epoch + 1, 2));
    let late = log.release_lease(shard, old.epoch).await;
    assert_eq!(late, Err(LogError::Fenced { epoch: new.epoch }));
    assert!(log.describe(shard).await.unwrap().lease_remaining_ms > 0);
}

async fn a_claim_is_conditional(log: &Arc<dyn LogService>, shard: ShardId) {
    let mut primary = Primary::claim(log, shard, "a", 60_000).await;
    primary.append(2, b"x");
    primary.settle().await.unwrap();
    let claim = |expected_epoch, expected_tail| Claim {
        shard,
        owner: "a".into(),
        lease_ms: 60_000,
        expected_epoch,
        expected_tail,
    };
    assert_eq!(log.claim(claim(0, 2)).await, Err(LogError::Conflict { expected: 0, found: 1 }));
    assert_eq!(log.claim(claim(1, 1)).await, Err(LogError::Conflict { expected: 1, found: 2 }));
    let begin = Instant::now();
    let again = log.claim(claim(1, 2)).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10), "the owner waited for its own lease");
    assert_eq!((again.epoch, again.tail, again.chain), (2, 2, primary.builder.chain()));
}

async fn gaps_and_broken_chains_are_refused(log: &Arc<dyn LogService>, shard: ShardId) {
    let mut primary = Primary::claim(log, shard, "a", 60_000).await;
    primary.block(2, b"never sent");
    primary.append(1, b"behind the gap");
    assert_eq!(primary.failure().await, LogError::Gap { expected: 1, got: 3 });
    let mut primary = Primary::claim(log, shard, "a", 60_000).await;
    primary.builder = BlockBuilder::new(shard, 0, 77);
    primary.append(1, b"another history");
    assert!(matches!(primary.failure().await, LogError::Corrupt(_)));
    assert_eq!(log.describe(shard).await.unwrap().tail, 0);
}

async fn a_repeated_block_is_taken_once(log: &Arc<dyn LogService>, shard: ShardId) {
    let mut primary = Primary::claim(log, shard, "a", 60_000).await;
    let block = primary.block(2, b"once");
    primary.appender.append(block.clone());
    primary.settle().await.unwrap();
    let mut repeated = log.appender(shard, primary.epoch);
    repeated.append(block);
    repeated.progress().wait_for(2).await.unwrap();
    assert_eq!(read_all(log, shard, 1).await.len(), 1);
}

async fn trim_lets_whole_blocks_go(log: &Arc<dyn LogService>, shard: ShardId) {
    let mut primary = Primary::claim(log, shard, "a", 60_000).await;
    for _ in 0..10 {
        primary.append(2, b"pair");
    }
    primary.settle().await.unwrap();
    log.trim(shard, 7).await.unwrap();
    assert_eq!(log.describe(shard).await.unwrap().trim, 7);
    // A replica other than the leader may learn of it a little later.
    let begin = Instant::now();
    while log.read(shard, 7, EVERYTHING, LONG).await != Err(LogError::Trimmed { trim: 7 }) {
        assert!(begin.elapsed() < LONG, "trimmed positions are still served");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(log.read(shard, 8, EVERYTHING, LONG).await.unwrap()[0].header.first_position, 7);
    log.trim(shard, 3).await.unwrap();
    log.trim(shard, 1000).await.unwrap();
    let description = log.describe(shard).await.unwrap();
    assert_eq!((description.trim, description.tail), (20, 20));
    assert_eq!(description.chain, primary.builder.chain());
    primary.append(1, b"after the trim");
    primary.settle().await.unwrap();
    assert_eq!(read_all(log, shard, 21).await.len(), 1);
}

async fn garbage_is_refused(log: &Arc<dyn LogService>, shard: ShardId) {
    let mut primary = Primary::claim(log, shard, "a", 60_000).await;
    let mut bytes = primary.block(1, b"to be damaged").to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    primary.appender.append(Bytes::from(bytes));
    assert!(matches!(primary.failure().await, LogError::Corrupt(_)));
    let mut primary = Primary::claim(log, shard, "a", 60_000).await;
    primary.appender.append(Bytes::from_static(b"not a block"));
    assert!(matches!(primary.failure().await, LogError::Corrupt(_)));
    let mut primary = Primary::claim(log, shard, "a", 60_000).await;
    primary.append(1, b"intact");
    primary.settle().await.unwrap();
}

async fn a_deep_pipeline_stays_in_order(log: &Arc<dyn LogService>, shard: ShardId) {
    let mut primary = Primary::claim(log, shard, "a", 60_000).await;
    for number in 0..1000_u32 {
        primary.append(1 + number as usize % 3, &[7; 100]);
    }
    primary.settle().await.unwrap();
    assert_eq!(read_all(log, shard, 1).await.len(), 1000);
    let bounded = log.read(shard, 500, 4096, LONG).await.unwrap();
    let size: usize = bounded.iter().map(|block| block.bytes().len()).sum();
    assert!(!bounded.is_empty() && size <= 4096);
}

async fn metadata_compares_and_sets(log: &Arc<dyn LogService>) {
    assert_eq!(log.meta_get("cas/a").await.unwrap(), None);
    let first = log.meta_put("cas/a", Bytes::from_static(b"1"), Some(0)).await.unwrap();
    let refused = log.meta_put("cas/a", Bytes::from_static(b"2"), Some(0)).await;
    assert_eq!(refused, Err(LogError::Conflict { expected: 0, found: first }));
    let second = log.meta_put("cas/a", Bytes::from_static(b"3"), Some(first)).await.unwrap();
    assert!(second > first);
    log.meta_put("cas/b", Bytes::from_static(b"4"), None).await.unwrap();
    let listed = log.meta_list("cas/").await.unwrap();
    let keys: Vec<_> = listed.iter().map(|(key, value)| (key.as_str(), &value.value[..])).collect();
    assert_eq!(keys, [("cas/a", &b"3"[..]), ("cas/b", &b"4"[..])]);
    log.meta_put("cas/a", Bytes::new(), Some(second)).await.unwrap();
    assert_eq!(log.meta_get("cas/a").await.unwrap(), None);
}

async fn metadata_is_watched(log: &Arc<dyn LogService>) {
    let revision = log.meta_watch(0, Duration::ZERO).await.unwrap();
    assert_eq!(log.meta_watch(revision, Duration::from_millis(5)).await.unwrap(), revision);
    let watcher = {
        let log = Arc::clone(log);
        tokio::spawn(async move { log.meta_watch(revision, LONG).await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    let put = log.meta_put("watched", Bytes::from_static(b"x"), None).await.unwrap();
    assert_eq!(watcher.await.unwrap().unwrap(), put);
}

async fn unknown_shards_are_refused(log: &Arc<dyn LogService>) {
    assert!(matches!(log.describe(999_999).await, Err(LogError::Refused(_))));
    assert!(matches!(log.read(999_999, 1, 1, Duration::ZERO).await, Err(LogError::Refused(_))));
}
