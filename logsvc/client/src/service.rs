//! The contract of the log: the trait that embedded, remote and fake logs implement, and the values that go through it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use logsvc_api::{Block, Epoch, Position, ShardId};

use crate::{LogError, Progress};

/// A request to become the primary of a shard. Conditional: only who has seen the whole log (`expected_tail`) under the epoch that
/// is still in force (`expected_epoch`) can win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The shard.
    pub shard: ShardId,
    /// Who claims; the same owner may claim again without waiting for its own lease.
    pub owner: String,
    /// How long the lease holds without a renewal, in milliseconds.
    pub lease_ms: u64,
    /// The epoch that the claimer believes in force; 0 before the first claim.
    pub expected_epoch: Epoch,
    /// Highest position that the claimer has applied.
    pub expected_tail: Position,
}

/// A claim that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// The new epoch: `expected_epoch + 1`.
    pub epoch: Epoch,
    /// Highest position in the log; the first block starts behind it. A claim takes no position itself.
    pub tail: Position,
    /// The checksum chain at `tail`, to start a `BlockBuilder` with.
    pub chain: u64,
}

/// What the log knows about a shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShardDescription {
    /// The shard.
    pub shard: ShardId,
    /// The epoch in force; 0 before the first claim.
    pub epoch: Epoch,
    /// The owner of that epoch.
    pub owner: Option<String>,
    /// Length of the owner's lease, in milliseconds.
    pub lease_ms: u64,
    /// What is left of it at most, in milliseconds, by the leader's clock.
    pub lease_remaining_ms: u64,
    /// Highest committed position.
    pub tail: Position,
    /// Checksum chain at `tail`.
    pub chain: u64,
    /// Highest position that is gone.
    pub trim: Position,
    /// Highest position known to be on disk in a quorum: equal to `tail` on the leader.
    pub durable: Position,
    /// Bytes of the blocks between `trim` and `tail`.
    pub bytes: u64,
    /// Replica id of the leader, when there is one.
    pub leader: Option<u64>,
    /// The replicas of the log.
    pub replicas: Vec<ReplicaDescription>,
}

/// One replica of a shard's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaDescription {
    /// Its identity; a wiped replica comes back under another one.
    pub id: u64,
    /// Its availability zone.
    pub az: String,
    /// How it is doing.
    pub state: ReplicaState,
    /// What it counts for.
    pub part: ReplicaPart,
    /// Entries that it lacks, as the leader sees it.
    pub lag: u64,
    /// Why it is out of the quorum, if it is.
    pub error: Option<String>,
}

/// How a replica is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum ReplicaState {
    /// The answering replica doesn't know.
    #[default]
    Unknown = 0,
    /// Leads the group.
    Leader = 1,
    /// Follows and answers.
    Follower = 2,
    /// Receives a copy, doesn't vote yet.
    Learner = 3,
    /// Hasn't answered for a while.
    Unreachable = 4,
    /// Left the quorum for the reason in `error`.
    Failed = 5,
}

/// What a replica counts for in its group. All are `Voter` when no change of members is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum ReplicaPart {
    /// The answering replica doesn't know.
    #[default]
    Unknown = 0,
    /// It votes, and knows the members as they are now.
    Voter = 1,
    /// It is filled from the others and doesn't vote yet.
    Learner = 2,
    /// In a joint configuration: it votes in the new one only.
    Joining = 3,
    /// In a joint configuration: it votes in the old one only.
    Leaving = 4,
    /// It votes, but isn't known to know yet that the last change of members is done.
    Uninformed = 5,
}

/// A value of the metadata group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaValue {
    /// Revision of the change that wrote it; revisions grow over the whole group.
    pub revision: u64,
    /// The bytes.
    pub value: Bytes,
}

/// The number under which [`LogService::describe`] tells of the metadata log: no epoch, owner or lease, positions are its revisions.
pub const META_LOG: ShardId = ShardId::MAX;

/// A replicated log per shard, and a small metadata store with compare-and-set and watch.
#[async_trait]
pub trait LogService: Send + Sync + 'static {
    /// What the log knows about `shard` (or [`META_LOG`]). Linearizable in epoch, owner and tail (answered by the leader).
    async fn describe(&self, shard: ShardId) -> Result<ShardDescription, LogError>;

    /// Becomes the owner of a shard under the next epoch. Waits out another owner's lease first (up to its length); afterwards
    /// every append under an older epoch is refused.
    ///
    /// # Errors
    /// `Conflict` when epoch or tail isn't the expected one (read on, then try again), `Unavailable`, `Uncertain`.
    async fn claim(&self, claim: Claim) -> Result<Claimed, LogError>;

    /// Renews the lease. The owner counts it from before it called. Accepted appends renew it too.
    ///
    /// # Errors
    /// `Fenced` when `epoch` isn't in force any more.
    async fn renew(&self, shard: ShardId, epoch: Epoch) -> Result<(), LogError>;

    /// Gives the lease back: the next claim need not wait. The owner has stopped serving and has nothing on its way any more; it
    /// neither appends nor renews under this epoch afterwards, whatever the answer is.
    ///
    /// # Errors
    /// `Fenced` when `epoch` isn't in force any more.
    async fn release_lease(&self, shard: ShardId, epoch: Epoch) -> Result<(), LogError>;

    /// Asks the leader of a shard's group to hand leadership to the replica in `zone`. A hint: it may come to nothing, and
    /// appends that are on their way are sent again by themselves.
    ///
    /// # Errors
    /// `Refused` when no replica votes there, `Unavailable`.
    async fn lead_from(&self, shard: ShardId, zone: &str) -> Result<(), LogError>;

    /// Lets everything up to `up_to` go (at most up to the tail). A block that also holds later positions stays until those go too.
    /// The trim point never moves back.
    async fn trim(&self, shard: ShardId, up_to: Position) -> Result<(), LogError>;

    /// Committed blocks that hold positions >= `from`, in order and without a hole, up to about `max_bytes` (at least one block if
    /// there is one). The first may start before `from`. Waits up to `wait` when there is none, then answers with none.
    ///
    /// # Errors
    /// `Trimmed` when `from` is gone. `Corrupt` when no replica could give an intact block.
    async fn read(
        &self,
        shard: ShardId,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Block>, LogError>;

    /// An appender under an epoch that was won by `claim`. One at a time per claim.
    fn appender(&self, shard: ShardId, epoch: Epoch) -> Box<dyn Appender>;

    /// A metadata value.
    async fn meta_get(&self, key: &str) -> Result<Option<MetaValue>, LogError>;

    /// Writes a metadata value; with `expect`, only if its revision is that one (`Some(0)`: only if it doesn't exist). Returns the
    /// new revision. An empty value deletes the key.
    ///
    /// # Errors
    /// `Conflict` with the revision found.
    async fn meta_put(&self, key: &str, value: Bytes, expect: Option<u64>) -> Result<u64, LogError>;

    /// All metadata values whose key begins with `prefix`, in key order.
    async fn meta_list(&self, prefix: &str) -> Result<Vec<(String, MetaValue)>, LogError>;

    /// Returns the newest revision as soon as it is above `since`, or after `wait`.
    async fn meta_watch(&self, since: u64, wait: Duration) -> Result<u64, LogError>;
}

/// The primary's way into the log: never blocks, keeps order, has several blocks in flight, and sends them again by itself when
/// the leader changes (the same epoch and positions are the same block, so nothing is ever doubled).
pub trait Appender: Send {
    /// Hands over a sealed block (`BlockBuilder::seal`). What becomes of it is told by [`Appender::progress`].
    fn append(&mut self, block: Bytes);

    /// Where the answers appear.
    fn progress(&self) -> &Arc<Progress>;
}
