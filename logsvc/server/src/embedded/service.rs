//! `LogService` over replicas in the same process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use logsvc_api::{Block, Epoch, Position, ShardId};
use logsvc_client::{
    AppendWindow, Appender, Claim, Claimed, LogError, LogService, MetaValue, Progress, ReplicaState,
    ShardDescription,
};
use logsvc_raft::{Command, GroupId, META_GROUP};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::outcome;
use crate::replica::{AppendSink, Call, CallError, CallReply, Message, Query, Replica};

/// Pause before asking for the leader again.
const RETRY: Duration = Duration::from_millis(5);
/// Longest sleep of a reader before it looks which replica to read from again.
const READ_NAP: Duration = Duration::from_millis(500);

/// The service.
pub struct Embedded {
    replicas: Vec<Arc<Replica>>,
    shards: u32,
    stopped: AtomicBool,
    /// Appenders that may have to be helped along.
    pub(super) windows: Mutex<Vec<Weak<AppendWindow>>>,
    pub(super) deadline: Duration,
}

/// Puts a block in for a replica that seems to lead; false if that has stopped. The replica must be asked to attend to it when the
/// window isn't locked any more.
pub(super) fn send(leader: &Replica, window: &Arc<AppendWindow>, block: Bytes) -> bool {
    let sink = Arc::clone(window) as Arc<dyn AppendSink>;
    leader.put(Message::Append { group: window.shard(), block, sink })
}

impl Embedded {
    /// A service over these replicas.
    pub fn new(replicas: Vec<Arc<Replica>>, shards: u32, deadline: Duration) -> Self {
        Self { replicas, shards, stopped: AtomicBool::new(false), windows: Mutex::default(), deadline }
    }

    /// All replicas.
    pub fn replicas(&self) -> &[Arc<Replica>] {
        &self.replicas
    }

    /// The replica that leads a group.
    pub fn leader(&self, group: GroupId) -> Option<&Arc<Replica>> {
        self.replicas.iter().find(|replica| replica.view(group).is_some_and(|view| view.leads()))
    }

    /// True after `stop`.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Stops the replicas and fails whoever still waits.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        for replica in &self.replicas {
            replica.stop();
        }
        for window in self.windows.lock().drain(..).filter_map(|window| window.upgrade()) {
            window.fail(LogError::Uncertain("the log was stopped".into()));
        }
    }

    fn check(&self, shard: ShardId) -> Result<(), LogError> {
        if self.is_stopped() {
            return Err(LogError::Unavailable("the log was stopped".into()));
        }
        if shard >= self.shards {
            return Err(LogError::Refused(format!("there is no shard {shard}")));
        }
        Ok(())
    }

    /// Asks the leader, whoever that becomes, until the deadline.
    async fn call(&self, group: GroupId, call: impl Fn() -> Call) -> Result<CallReply, LogError> {
        let deadline = Instant::now() + self.deadline;
        loop {
            if self.is_stopped() {
                return Err(LogError::Unavailable("the log was stopped".into()));
            }
            if let Some(leader) = self.leader(group) {
                match timeout_at(deadline, leader.call(group, call())).await {
                    Ok(Ok(reply)) => return Ok(reply),
                    Ok(Err(CallError::Log(error))) => return Err(error),
                    Ok(Err(CallError::NotLeader(_))) => {}
                    Err(_) => return Err(LogError::Uncertain("the log didn't answer in time".into())),
                }
            }
            if Instant::now() >= deadline {
                return Err(LogError::Unavailable("the log has no leader".into()));
            }
            sleep(RETRY).await;
        }
    }

    /// The replica to read from: the first, unless another has what it lacks.
    fn reading_replica(&self, shard: ShardId, from: Position) -> Option<&Arc<Replica>> {
        let has = |replica: &&Arc<Replica>| {
            replica.view(shard).is_some_and(|view| view.tail() >= from && !view.wiped() && !view.retired())
        };
        self.replicas.iter().find(has).or(self.replicas.first())
    }

    /// Reads from any other replica after one found damage.
    fn read_elsewhere(
        &self,
        shard: ShardId,
        from: Position,
        max_bytes: usize,
        damaged: &Replica,
    ) -> Option<Vec<Block>> {
        let others = self.replicas.iter().filter(|replica| replica.number() != damaged.number());
        others
            .filter_map(|replica| replica.read(shard, from, max_bytes).ok())
            .find(|blocks| !blocks.is_empty())
    }
}

#[async_trait]
impl LogService for Embedded {
    async fn describe(&self, shard: ShardId) -> Result<ShardDescription, LogError> {
        if shard != META_GROUP {
            self.check(shard)?;
        }
        let mut description = outcome::description(self.call(shard, || Call::Query(Query::Describe)).await?)?;
        for replica in &self.replicas {
            let Some(reason) = replica.view(shard).and_then(|view| view.stopped()) else { continue };
            for member in description.replicas.iter_mut().filter(|member| member.az == replica.az()) {
                member.state = ReplicaState::Failed;
                member.error = Some(reason.clone());
            }
        }
        Ok(description)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, LogError> {
        self.check(claim.shard)?;
        let propose = || Call::Propose(outcome::claim_command(&claim));
        let mut waited = false;
        loop {
            match self.call(claim.shard, propose).await {
                Ok(reply) => return outcome::claimed(reply, &claim),
                Err(LogError::LeaseHeld { remaining_ms, .. }) if !waited => {
                    // Once: an owner that goes on renewing keeps its shard. The slack covers the leader's ticks.
                    waited = true;
                    sleep(Duration::from_millis(remaining_ms + 100)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn renew(&self, shard: ShardId, epoch: Epoch) -> Result<(), LogError> {
        self.check(shard)?;
        outcome::renewed(self.call(shard, || Call::Propose(Command::Renew { epoch })).await?)
    }

    async fn release_lease(&self, shard: ShardId, epoch: Epoch) -> Result<(), LogError> {
        self.check(shard)?;
        outcome::released(self.call(shard, || Call::Propose(Command::Release { epoch })).await?)
    }

    async fn lead_from(&self, shard: ShardId, zone: &str) -> Result<(), LogError> {
        self.check(shard)?;
        let node = self.replicas.iter().find(|replica| replica.az() == zone).map(|replica| replica.number());
        let node = node.ok_or_else(|| LogError::Refused(format!("no log replica is in {zone}")))?;
        outcome::hinted(self.call(shard, || Call::Transfer(node)).await?)
    }

    async fn trim(&self, shard: ShardId, up_to: Position) -> Result<(), LogError> {
        self.check(shard)?;
        outcome::trimmed(self.call(shard, || Call::Propose(Command::Trim { position: up_to })).await?)
    }

    async fn read(
        &self,
        shard: ShardId,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Block>, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            self.check(shard)?;
            let replica = self.reading_replica(shard, from);
            let Some((replica, view)) = replica.and_then(|replica| Some((replica, replica.view(shard)?)))
            else {
                return Err(LogError::Unavailable("the log has no replicas".into()));
            };
            let mut changed = std::pin::pin!(view.changed());
            changed.as_mut().enable();
            match replica.read(shard, from, max_bytes) {
                Ok(blocks) if !blocks.is_empty() => return Ok(blocks),
                Ok(_) => {}
                Err(LogError::Corrupt(text)) => {
                    let elsewhere = self.read_elsewhere(shard, from, max_bytes, replica);
                    return elsewhere.ok_or(LogError::Corrupt(text));
                }
                Err(error) => return Err(error),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && view.tail() < from {
                return Ok(Vec::new());
            }
            // Applied but not on that replica's disk yet: no change will tell when it is.
            let nap = if view.tail() >= from { RETRY } else { left.min(READ_NAP) };
            let _ = timeout(nap, changed).await;
        }
    }

    fn appender(&self, shard: ShardId, epoch: Epoch) -> Box<dyn Appender> {
        let window = Arc::new(AppendWindow::new(shard, epoch, false));
        if let Err(error) = self.check(shard) {
            window.fail(error);
        }
        self.windows.lock().push(Arc::downgrade(&window));
        Box::new(EmbeddedAppender { replicas: self.replicas.clone(), leader: 0, window })
    }

    async fn meta_get(&self, key: &str) -> Result<Option<MetaValue>, LogError> {
        let query = || Call::Query(Query::MetaGet(key.to_owned()));
        outcome::meta_value(self.call(META_GROUP, query).await?)
    }

    async fn meta_put(&self, key: &str, value: Bytes, expect: Option<u64>) -> Result<u64, LogError> {
        let command = || Call::Propose(outcome::put_command(key, &value, expect));
        outcome::put(self.call(META_GROUP, command).await?, expect)
    }

    async fn meta_list(&self, prefix: &str) -> Result<Vec<(String, MetaValue)>, LogError> {
        let query = || Call::Query(Query::MetaList(prefix.to_owned()));
        outcome::meta_values(self.call(META_GROUP, query).await?)
    }

    async fn meta_watch(&self, since: u64, wait: Duration) -> Result<u64, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            let leader = self.leader(META_GROUP).or(self.replicas.first());
            let Some(view) = leader.and_then(|replica| replica.view(META_GROUP)) else {
                return Err(LogError::Unavailable("the log has no replicas".into()));
            };
            let mut changed = std::pin::pin!(view.changed());
            changed.as_mut().enable();
            let left = deadline.saturating_duration_since(Instant::now());
            if self.is_stopped() || view.tail() > since || left.is_zero() {
                return Ok(view.tail());
            }
            let _ = timeout(left.min(READ_NAP), changed).await;
        }
    }
}

/// Puts blocks straight into the leader's inbox, and takes its turn if its seat is free.
struct EmbeddedAppender {
    replicas: Vec<Arc<Replica>>,
    /// Where the last block went; usually still the leader.
    leader: usize,
    window: Arc<AppendWindow>,
}

impl EmbeddedAppender {
    fn find_leader(&mut self) -> bool {
        let group = self.window.shard();
        let leads = |replica: &Arc<Replica>| replica.view(group).is_some_and(|view| view.leads());
        if self.replicas.get(self.leader).is_some_and(leads) {
            return true;
        }
        match self.replicas.iter().position(leads) {
            Some(found) if self.window.progress().in_flight_bytes() == 0 => {
                self.leader = found;
                true
            }
            // What is on its way to the former leader has to be sent again first, in order.
            found => {
                self.leader = found.unwrap_or(self.leader);
                false
            }
        }
    }
}

impl Appender for EmbeddedAppender {
    fn append(&mut self, block: Bytes) {
        if !self.find_leader() {
            self.window.interrupt();
        }
        let window = &self.window;
        if let Some(leader) = self.replicas.get(self.leader) {
            let mut sent = true;
            window.push(block, |block| sent = send(leader, window, block));
            if sent {
                leader.attend();
            } else {
                self.window.interrupt();
            }
        }
    }

    fn progress(&self) -> &Arc<Progress> {
        self.window.progress()
    }
}
