//! A log in memory, for tests: the same answers as the real one, plus switches that hold acknowledgements back and inject failures.
//!
//! A held log is a log whose quorum hasn't synced yet: blocks are accepted and ordered, but neither acknowledged nor readable until
//! [`MemoryLog::release`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use logsvc_api::{Block, Epoch, Position, ShardId};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::{
    Appender, Claim, Claimed, LogError, LogService, MetaValue, Progress, ReplicaDescription, ReplicaPart,
    ReplicaState, ShardDescription,
};

/// The fake. Clones share the same log.
#[derive(Clone)]
pub struct MemoryLog {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Counts changes; readers and watchers wait for the next one.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    shards: Vec<Shard>,
    meta: BTreeMap<String, MetaValue>,
    revision: u64,
    hold: bool,
    unavailable: Option<String>,
}

#[derive(Default)]
struct Shard {
    epoch: Epoch,
    lease: Option<Lease>,
    trim: Position,
    /// Committed, and behind `committed` the held ones.
    blocks: Vec<Block>,
    committed: usize,
    /// (position, who waits for it), in order.
    waiting: Vec<(Position, u64, Arc<Progress>)>,
    /// Position and chain where the first block in `blocks` starts, so that both survive a full trim.
    base: (Position, u64),
}

struct Lease {
    owner: String,
    length: Duration,
    ends: Instant,
}

impl Shard {
    /// Tail and chain of all accepted blocks, held ones included.
    fn end(&self) -> (Position, u64) {
        self.blocks.last().map_or(self.base, |block| (block.last_position(), block.chain()))
    }

    /// Tail and chain of the committed blocks.
    fn committed_end(&self) -> (Position, u64) {
        let last = self.committed.checked_sub(1).and_then(|index| self.blocks.get(index));
        last.map_or(self.base, |block| (block.last_position(), block.chain()))
    }

    /// Commits the held blocks up to `up_to` and acknowledges them.
    fn commit(&mut self, up_to: Position) {
        let held = self.blocks.iter().skip(self.committed);
        self.committed += held.take_while(|block| block.last_position() <= up_to).count();
        let durable = self.committed_end().0;
        let split = self.waiting.partition_point(|(position, ..)| *position <= durable);
        for (position, bytes, progress) in self.waiting.drain(..split) {
            progress.sub_in_flight(bytes);
            progress.advance(position);
        }
    }

    /// Answers everybody who waits for a held block with `error`.
    fn fail_waiting(&mut self, error: &LogError) {
        for (_, bytes, progress) in self.waiting.drain(..) {
            progress.sub_in_flight(bytes);
            progress.fail(error.clone());
        }
    }

    /// Checks a block as the log does and takes it.
    fn accept(&mut self, epoch: Epoch, block: Block) -> Result<Position, LogError> {
        if epoch != self.epoch || block.header.epoch != epoch {
            return Err(LogError::Fenced { epoch: self.epoch });
        }
        let (tail, chain) = self.end();
        if block.last_position() <= tail {
            return Ok(block.last_position());
        }
        if block.header.first_position != tail + 1 {
            return Err(LogError::Gap { expected: tail + 1, got: block.header.first_position });
        }
        if block.header.chain_before != chain {
            return Err(LogError::Corrupt(format!("block at {} doesn't continue the chain", tail + 1)));
        }
        let last = block.last_position();
        self.blocks.push(block);
        if let Some(lease) = &mut self.lease {
            lease.ends = Instant::now() + lease.length;
        }
        Ok(last)
    }
}

impl MemoryLog {
    /// An empty log of `shards` shards.
    pub fn new(shards: u32) -> Self {
        let state = State { shards: (0..shards).map(|_| Shard::default()).collect(), ..State::default() };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), changed: watch::channel(0).0 }) }
    }

    /// Accepts blocks from now on without making them durable.
    pub fn hold(&self) {
        self.inner.state.lock().hold = true;
    }

    /// Makes all held blocks durable and stops holding.
    pub fn release(&self) {
        let mut state = self.inner.state.lock();
        state.hold = false;
        state.shards.iter_mut().for_each(|shard| shard.commit(Position::MAX));
        drop(state);
        self.inner.notify();
    }

    /// Makes the held blocks of one shard durable up to `position`, and goes on holding.
    pub fn release_up_to(&self, shard: ShardId, position: Position) {
        if let Some(shard) = self.inner.state.lock().shards.get_mut(shard as usize) {
            shard.commit(position);
        }
        self.inner.notify();
    }

    /// Drops the held blocks of a shard as if the leader died with them: their appenders see `Uncertain`.
    pub fn lose_held(&self, shard: ShardId) {
        if let Some(shard) = self.inner.state.lock().shards.get_mut(shard as usize) {
            shard.blocks.truncate(shard.committed);
            shard.fail_waiting(&LogError::Uncertain("the held blocks were lost".into()));
        }
    }

    /// Puts the shard under a newer epoch that belongs to `owner`, as if another node had claimed it. Held blocks are lost.
    pub fn fence(&self, shard: ShardId, owner: &str, lease: Duration) {
        if let Some(shard) = self.inner.state.lock().shards.get_mut(shard as usize) {
            shard.epoch += 1;
            shard.blocks.truncate(shard.committed);
            shard.lease = Some(Lease { owner: owner.into(), length: lease, ends: Instant::now() + lease });
            shard.fail_waiting(&LogError::Fenced { epoch: shard.epoch });
        }
        self.inner.notify();
    }

    /// While set, every call answers `Unavailable` with this reason; appended blocks fail their appender with `Uncertain`.
    pub fn set_unavailable(&self, reason: Option<&str>) {
        self.inner.state.lock().unavailable = reason.map(str::to_owned);
        self.inner.notify();
    }
}

impl Inner {
    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Runs `work` on a shard, unless the log is unavailable or has no such shard.
    fn with<T>(
        &self,
        shard: ShardId,
        work: impl FnOnce(&mut Shard) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut state = self.state.lock();
        state.check()?;
        let found = state.shards.get_mut(shard as usize);
        work(found.ok_or_else(|| LogError::Refused(format!("there is no shard {shard}")))?)
    }

    fn append(&self, shard_id: ShardId, epoch: Epoch, bytes: Bytes, progress: &Arc<Progress>) {
        let size = bytes.len() as u64;
        let block = match Block::decode(bytes) {
            Ok(block) => block,
            Err(error) => return progress.fail(LogError::Corrupt(error.to_string())),
        };
        let mut state = self.state.lock();
        if let Some(reason) = &state.unavailable {
            return progress.fail(LogError::Uncertain(reason.clone()));
        }
        let hold = state.hold;
        let Some(shard) = state.shards.get_mut(shard_id as usize) else {
            return progress.fail(LogError::Refused(format!("there is no shard {shard_id}")));
        };
        match shard.accept(epoch, block) {
            Ok(position) => {
                progress.add_in_flight(size);
                shard.waiting.push((position, size, Arc::clone(progress)));
                let up_to = if hold { 0 } else { Position::MAX };
                shard.commit(up_to);
            }
            Err(error) => progress.fail(error),
        }
        drop(state);
        self.notify();
    }

    /// One look at the committed blocks; none if there are none yet.
    fn try_read(&self, shard: ShardId, from: Position, max_bytes: usize) -> Result<Vec<Block>, LogError> {
        self.with(shard, |shard| {
            if from <= shard.trim {
                return Err(LogError::Trimmed { trim: shard.trim });
            }
            let committed = shard.blocks.iter().take(shard.committed);
            let mut size = 0;
            let wanted = committed.filter(|block| block.last_position() >= from);
            Ok(wanted
                .take_while(|block| {
                    let first = size == 0;
                    size += block.bytes().len();
                    first || size <= max_bytes
                })
                .cloned()
                .collect())
        })
    }
}

impl State {
    fn check(&self) -> Result<(), LogError> {
        self.unavailable.as_ref().map_or(Ok(()), |reason| Err(LogError::Unavailable(reason.clone())))
    }
}

#[async_trait]
impl LogService for MemoryLog {
    async fn describe(&self, shard: ShardId) -> Result<ShardDescription, LogError> {
        self.inner.with(shard, |found| {
            let (tail, chain) = found.committed_end();
            let remaining = found.lease.as_ref().map(|lease| lease.ends.duration_since(Instant::now()));
            let replica = ReplicaDescription {
                id: 1,
                az: "memory".into(),
                state: ReplicaState::Leader,
                part: ReplicaPart::Voter,
                lag: 0,
                error: None,
            };
            Ok(ShardDescription {
                shard,
                epoch: found.epoch,
                owner: found.lease.as_ref().map(|lease| lease.owner.clone()),
                lease_ms: found.lease.as_ref().map_or(0, |lease| lease.length.as_millis() as u64),
                lease_remaining_ms: remaining.unwrap_or_default().as_millis() as u64,
                tail,
                chain,
                trim: found.trim,
                durable: tail,
                bytes: found.blocks.iter().map(|block| block.bytes().len() as u64).sum(),
                leader: Some(1),
                replicas: vec![replica],
            })
        })
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, LogError> {
        loop {
            let wait_until = self.inner.with(claim.shard, |shard| {
                let other = shard.lease.as_ref().filter(|lease| lease.owner != claim.owner);
                Ok(other.map(|lease| lease.ends).filter(|ends| *ends > Instant::now()))
            })?;
            match wait_until {
                Some(ends) => tokio::time::sleep_until(ends).await,
                None => break,
            }
        }
        self.inner.with(claim.shard, |shard| {
            let (tail, chain) = shard.committed_end();
            if claim.expected_epoch != shard.epoch {
                return Err(LogError::Conflict { expected: claim.expected_epoch, found: shard.epoch });
            }
            if claim.expected_tail != tail {
                return Err(LogError::Conflict { expected: claim.expected_tail, found: tail });
            }
            shard.epoch += 1;
            shard.blocks.truncate(shard.committed);
            shard.fail_waiting(&LogError::Fenced { epoch: shard.epoch });
            let length = Duration::from_millis(claim.lease_ms);
            shard.lease = Some(Lease { owner: claim.owner.clone(), length, ends: Instant::now() + length });
            Ok(Claimed { epoch: shard.epoch, tail, chain })
        })
    }

    async fn renew(&self, shard: ShardId, epoch: Epoch) -> Result<(), LogError> {
        self.inner.with(shard, |shard| match &mut shard.lease {
            Some(lease) if shard.epoch == epoch => {
                lease.ends = Instant::now() + lease.length;
                Ok(())
            }
            _ => Err(LogError::Fenced { epoch: shard.epoch }),
        })
    }

    async fn release_lease(&self, shard: ShardId, epoch: Epoch) -> Result<(), LogError> {
        let released = self.inner.with(shard, |shard| match &mut shard.lease {
            Some(lease) if shard.epoch == epoch => {
                lease.length = Duration::ZERO;
                lease.ends = Instant::now();
                Ok(())
            }
            _ => Err(LogError::Fenced { epoch: shard.epoch }),
        });
        self.inner.notify();
        released
    }

    async fn lead_from(&self, shard: ShardId, _zone: &str) -> Result<(), LogError> {
        self.inner.with(shard, |_| Ok(()))
    }

    async fn trim(&self, shard: ShardId, up_to: Position) -> Result<(), LogError> {
        self.inner.with(shard, |shard| {
            shard.trim = shard.trim.max(up_to.min(shard.committed_end().0));
            let committed = shard.blocks.iter().take(shard.committed);
            let gone = committed.take_while(|block| block.last_position() <= shard.trim).count();
            if let Some(last) = gone.checked_sub(1).and_then(|index| shard.blocks.get(index)) {
                shard.base = (last.last_position(), last.chain());
            }
            shard.blocks.drain(..gone);
            shard.committed -= gone;
            Ok(())
        })
    }

    async fn read(
        &self,
        shard: ShardId,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Block>, LogError> {
        let mut changed = self.inner.changed.subscribe();
        let deadline = Instant::now() + wait;
        loop {
            changed.mark_unchanged();
            let blocks = self.inner.try_read(shard, from, max_bytes)?;
            let left = deadline.duration_since(Instant::now());
            if !blocks.is_empty() || left.is_zero() || timeout(left, changed.changed()).await.is_err() {
                return Ok(blocks);
            }
        }
    }

    fn appender(&self, shard: ShardId, epoch: Epoch) -> Box<dyn Appender> {
        Box::new(MemoryAppender {
            inner: Arc::clone(&self.inner),
            shard,
            epoch,
            progress: Arc::new(Progress::new()),
        })
    }

    async fn meta_get(&self, key: &str) -> Result<Option<MetaValue>, LogError> {
        let state = self.inner.state.lock();
        state.check()?;
        Ok(state.meta.get(key).cloned())
    }

    async fn meta_put(&self, key: &str, value: Bytes, expect: Option<u64>) -> Result<u64, LogError> {
        let mut state = self.inner.state.lock();
        state.check()?;
        let found = state.meta.get(key).map_or(0, |value| value.revision);
        if let Some(expected) = expect.filter(|expected| *expected != found) {
            return Err(LogError::Conflict { expected, found });
        }
        state.revision += 1;
        let revision = state.revision;
        if value.is_empty() {
            state.meta.remove(key);
        } else {
            state.meta.insert(key.to_owned(), MetaValue { revision, value });
        }
        drop(state);
        self.inner.notify();
        Ok(revision)
    }

    async fn meta_list(&self, prefix: &str) -> Result<Vec<(String, MetaValue)>, LogError> {
        let state = self.inner.state.lock();
        state.check()?;
        let from = state.meta.range(prefix.to_owned()..);
        let matching = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(matching.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    async fn meta_watch(&self, since: u64, wait: Duration) -> Result<u64, LogError> {
        let mut changed = self.inner.changed.subscribe();
        let deadline = Instant::now() + wait;
        loop {
            changed.mark_unchanged();
            let revision = {
                let state = self.inner.state.lock();
                state.check()?;
                state.revision
            };
            let left = deadline.duration_since(Instant::now());
            if revision > since || left.is_zero() || timeout(left, changed.changed()).await.is_err() {
                return Ok(revision);
            }
        }
    }
}

struct MemoryAppender {
    inner: Arc<Inner>,
    shard: ShardId,
    epoch: Epoch,
    progress: Arc<Progress>,
}

impl Appender for MemoryAppender {
    fn append(&mut self, block: Bytes) {
        if self.progress.failure().is_none() {
            self.inner.append(self.shard, self.epoch, block, &self.progress);
        }
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use logsvc_api::{BlockBuilder, RecordKind};

    async fn claimed(log: &MemoryLog) -> (Box<dyn Appender>, BlockBuilder, Epoch) {
        let claim =
            Claim { shard: 0, owner: "a".into(), lease_ms: 1000, expected_epoch: 0, expected_tail: 0 };
        let claimed = log.claim(claim).await.unwrap();
        (log.appender(0, claimed.epoch), BlockBuilder::new(0, claimed.tail, claimed.chain), claimed.epoch)
    }

    fn block(builder: &mut BlockBuilder, epoch: Epoch) -> Bytes {
        builder.begin(RecordKind::Effects).extend_from_slice(b"x");
        builder.commit();
        builder.seal(epoch, 1, 1)
    }

    #[tokio::test]
    async fn held_blocks_are_neither_acknowledged_nor_readable() {
        let log = MemoryLog::new(1);
        let (mut appender, mut builder, epoch) = claimed(&log).await;
        log.hold();
        appender.append(block(&mut builder, epoch));
        appender.append(block(&mut builder, epoch));
        assert_eq!(appender.progress().durable(), 0);
        assert!(appender.progress().in_flight_bytes() > 0);
        assert!(log.read(0, 1, 1 << 20, Duration::ZERO).await.unwrap().is_empty());
        log.release_up_to(0, 1);
        assert_eq!(appender.progress().durable(), 1);
        log.release();
        appender.progress().wait_for(2).await.unwrap();
        assert_eq!(appender.progress().in_flight_bytes(), 0);
    }

    #[tokio::test]
    async fn lost_and_fenced_blocks_fail_their_appender() {
        let log = MemoryLog::new(1);
        let (mut appender, mut builder, epoch) = claimed(&log).await;
        log.hold();
        appender.append(block(&mut builder, epoch));
        log.lose_held(0);
        assert!(matches!(appender.progress().failure(), Some(LogError::Uncertain(_))));
        let mut second = log.appender(0, epoch);
        log.fence(0, "b", Duration::ZERO);
        second.append(block(&mut builder, epoch));
        assert_eq!(second.progress().failure(), Some(LogError::Fenced { epoch: 2 }));
    }

    #[tokio::test]
    async fn conforms() {
        let log: Arc<dyn LogService> = Arc::new(MemoryLog::new(crate::conformance::SHARDS));
        crate::conformance::run(&log).await;
    }

    #[tokio::test]
    async fn unavailable_answers_so() {
        let log = MemoryLog::new(1);
        log.set_unavailable(Some("cut off"));
        assert_eq!(log.meta_get("k").await, Err(LogError::Unavailable("cut off".into())));
        log.set_unavailable(None);
        assert_eq!(log.meta_get("k").await, Ok(None));
    }
}
