//! What goes into a [`crate::Node`] and what comes out of it.

use bytes::Bytes;
use logsvc_api::{Block, Epoch, Position};

use crate::machine::Outcome;
use crate::{Command, GroupId, Members, NodeNumber, ReplicaId, ShardState, WriteBatch};

/// Settings of a node. Times are in ticks; a tick is what the server calls [`Input::Tick`] with.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Messages of another cluster are refused.
    pub cluster: u64,
    /// This process's number.
    pub node: NodeNumber,
    /// The other processes of the log service.
    pub peers: Vec<NodeNumber>,
    /// A follower that hears nothing for this long (up to twice as long, by chance) stands for election.
    pub election_ticks: usize,
    pub heartbeat_ticks: usize,
    /// Payload bytes in one message to a peer; one entry may be larger.
    pub max_message_bytes: usize,
    /// Messages on the way to one peer before it has answered.
    pub max_messages_in_flight: usize,
    /// Recent entries kept in memory per group, beyond those not persisted yet.
    pub tail_bytes: usize,
    /// A checkpoint is written after this many payload bytes or entries, whichever comes first.
    pub checkpoint_bytes: usize,
    pub checkpoint_entries: u64,
    /// Proposed but not yet applied payload bytes of a group; above it proposals are refused as busy.
    pub max_pending_bytes: usize,
    /// The metadata group is compacted after this many entries.
    pub meta_compact_entries: u64,
    /// Seed of the chance in election timeouts.
    pub seed: u64,
}

impl NodeConfig {
    /// Defaults for a tick of about 20 ms: elections after 0.3 to 0.6 s, a heartbeat each 60 ms.
    pub fn new(cluster: u64, node: NodeNumber, peers: Vec<NodeNumber>) -> Self {
        Self {
            cluster,
            node,
            peers,
            election_ticks: 15,
            heartbeat_ticks: 3,
            max_message_bytes: 1 << 20,
            max_messages_in_flight: 256,
            tail_bytes: 4 << 20,
            checkpoint_bytes: 1 << 20,
            checkpoint_entries: 1024,
            max_pending_bytes: 64 << 20,
            meta_compact_entries: 1024,
            seed: u64::from(node),
        }
    }
}

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// One tick passed; `now_ms` is this process's monotonic clock. After a pause call it once, not once per
    /// missed tick: time in which nobody could be heard is no evidence that they were silent.
    Tick { now_ms: u64 },
    /// Leaders tell their followers how far the log is committed, if no append did. A while after something was applied; heartbeats
    /// do the same later.
    TellCommit,
    /// A frame from a peer: the concatenated parts of its [`Outgoing`].
    Receive { frame: Bytes },
    /// A request to this node; the answer carries `token` and comes exactly once, unless the node is dropped.
    Request { group: GroupId, token: u64, request: Request },
    /// The writer has executed all batches up to this ticket, and those with `sync` are on disk.
    Persisted { ticket: u64 },
    /// The writer failed. The node stops for good.
    StorageFailed { reason: String },
    /// Stored bytes of this group were found damaged. The replica stops voting and serving; it counts as wiped.
    Quarantine { group: GroupId, index: u64, reason: String },
    /// A peer cannot be reached at the moment (a hint, for example after a connection broke).
    Unreachable { node: NodeNumber },
    /// These processes make up the log service now. Groups are led there one change of members after the other: fresh
    /// replicas on new nodes are taken in, those on former ones are replaced or removed. Until it is given, members
    /// change only to replace a lost disk on the same node.
    Roster { nodes: Vec<NodeNumber> },
    /// Creates this group's replica on this disk as one of the founding members. Only when a new cluster is
    /// formed and every founding disk is known to be empty. All must be given the same voters.
    Bootstrap { group: GroupId, replica: ReplicaId, voters: Vec<ReplicaId> },
    /// Creates this group's replica on this disk with a fresh identity and waits to be taken in by the others;
    /// it announces itself to the peers. For an empty disk of an existing cluster, and to replace a
    /// quarantined replica (whose rows are removed).
    Join { group: GroupId, replica: ReplicaId },
}

/// What a client can ask of a group. All but `Bootstrap`-like things need the leader.
#[derive(Clone, Debug)]
pub enum Request {
    /// Put a command into the log; answered when it was applied.
    Propose(Command),
    /// Answered with [`Change::ReadIndex`]: once this index is applied, everything acknowledged before the
    /// request is visible here.
    ReadIndex,
    /// Replace a voter whose disk is gone by a fresh replica on the same node. Answered when it was proposed;
    /// the leader then carries it through by itself.
    ReplaceReplica { old: ReplicaId, new: ReplicaId },
    /// Move leadership to that node, for example next to the primary. Answered at once; watch the status.
    TransferLeader { node: NodeNumber },
}

/// Why a request was not carried out. Only [`Refusal::Uncertain`] leaves open whether it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("not the leader")]
    NotLeader { leader: Option<ReplicaId> },
    /// Just elected, or a change of members is under way: retry soon.
    #[error("not ready: {0}")]
    NotReady(&'static str),
    /// Too much is waiting to be replicated.
    #[error("too many bytes in flight")]
    Busy,
    #[error("lease of {owner} runs for another {remaining_ms} ms")]
    LeaseHeld { owner: String, remaining_ms: u64 },
    /// The bytes are not acceptable in any state.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Leadership was lost while it was on its way: it may or may not be in the log.
    #[error("outcome unknown: leadership changed")]
    Uncertain,
    /// The replica or node stopped, and why.
    #[error("stopped: {0}")]
    Stopped(String),
    #[error("no such group here")]
    UnknownGroup,
}

/// What a request led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The command was committed and applied with this outcome (which may be a refusal by the state machine).
    Applied {
        index: u64,
        outcome: Outcome,
    },
    ReadIndex {
        index: u64,
    },
    Accepted,
}

/// The answer to an [`Input::Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub group: GroupId,
    pub token: u64,
    pub result: Result<Change, Refusal>,
}

/// A committed entry that was applied on this replica, in index order per group.
#[derive(Clone, Debug)]
pub struct Applied {
    pub group: GroupId,
    pub index: u64,
    pub outcome: Outcome,
    /// The block, if it was accepted for the first time (not for a duplicate): what readers get.
    pub block: Option<Block>,
}

/// A frame for a peer. Large payloads are parts of their own and never copied; write them one after the other.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub to: NodeNumber,
    pub group: GroupId,
    pub parts: Vec<Bytes>,
}

impl Outgoing {
    /// Length of the frame.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// True if there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frame in one piece.
    pub fn to_bytes(&self) -> Bytes {
        match &self.parts[..] {
            [only] => only.clone(),
            parts => parts.concat().into(),
        }
    }
}

/// What is to be done after a round of inputs. See the loop in the crate's documentation.
#[derive(Debug, Default)]
pub struct Outputs {
    pub write: Option<WriteBatch>,
    pub messages: Vec<Outgoing>,
    pub answers: Vec<Answer>,
    pub applied: Vec<Applied>,
    /// Groups whose status (role, leader, members, failure, trim) changed; see [`crate::Node::status`].
    pub changed: Vec<GroupId>,
    /// More is ready than was handed out; call `drain` again before waiting.
    pub more: bool,
}

/// What a replica is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Leader,
    Follower,
    Candidate,
    /// Not a voter yet.
    Learner,
    /// Removed: it votes until a majority of those who stay know that, and then stops.
    Removed,
    /// Stopped, with the reason.
    Stopped(String),
}

/// The leader's view of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    pub replica: ReplicaId,
    pub voter: bool,
    /// Highest index known to be on its disk. Only the leader knows; 0 elsewhere.
    pub matched: u64,
    /// It was heard of recently. Only the leader knows.
    pub active: bool,
    /// Highest index that it is known to know as committed. Only the leader knows; 0 elsewhere.
    pub committed: u64,
}

/// A group's replica on this node, for `describe`.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    pub replica: ReplicaId,
    pub role: Role,
    pub leader: Option<ReplicaId>,
    pub term: u64,
    pub commit: u64,
    pub applied: u64,
    /// First index still in the log.
    pub first_index: u64,
    pub last_index: u64,
    pub members: Members,
    /// They are as of this index, or of one before it.
    pub members_index: u64,
    pub member_status: Vec<MemberStatus>,
    /// Present for a shard's group.
    pub shard: Option<ShardState>,
    /// What is left of the owner's lease at most, by this replica's clock. Only the leader knows; 0 elsewhere.
    pub lease_remaining_ms: u64,
}

/// Position of the last record, for callers that only watch progress.
impl GroupStatus {
    /// Last applied position (0 for the metadata group).
    pub fn tail(&self) -> Position {
        self.shard.as_ref().map_or(0, |shard| shard.tail)
    }

    /// Current epoch (0 for the metadata group).
    pub fn epoch(&self) -> Epoch {
        self.shard.as_ref().map_or(0, |shard| shard.epoch)
    }
}
