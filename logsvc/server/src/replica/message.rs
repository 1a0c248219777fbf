//! What the replica's thread is asked to do, and how it answers.

use std::sync::Arc;

use bytes::Bytes;
use logsvc_api::{BlockHeader, Position};
use logsvc_client::{LogError, MetaValue, ShardDescription};
use logsvc_raft::{Command, GroupId, Input, NodeNumber, Outcome, Refusal, ReplicaId};
use tokio::sync::oneshot;

/// Into the replica's thread.
pub enum Message {
    /// A frame, a persisted ticket, a failure.
    Input(Input),
    /// A block to put into the log.
    Append {
        /// The shard's group.
        group: GroupId,
        /// The sealed block.
        block: Bytes,
        /// Who hears what becomes of it.
        sink: Arc<dyn AppendSink>,
    },
    /// A request with one answer.
    Call {
        /// The group.
        group: GroupId,
        /// What is wanted.
        call: Call,
        /// Where the answer goes.
        reply: oneshot::Sender<CallResult>,
    },
    /// Finish what is queued and end the thread.
    Stop,
}

/// A request to a group.
#[derive(Debug)]
pub enum Call {
    /// Put a command into the log.
    Propose(Command),
    /// Look at the state, no older than the call.
    Query(Query),
    /// Hand leadership to the replica on that node.
    Transfer(NodeNumber),
}

/// A look at a group's state.
#[derive(Debug)]
pub enum Query {
    /// The shard.
    Describe,
    /// One metadata value.
    MetaGet(String),
    /// All with a prefix.
    MetaList(String),
}

/// What a call led to.
#[derive(Debug)]
pub enum CallReply {
    /// The command was applied.
    Applied(Outcome),
    /// The request was taken up; nothing is promised.
    Accepted,
    /// A shard.
    Description(Box<ShardDescription>),
    /// A value.
    MetaValue(Option<MetaValue>),
    /// Values.
    MetaValues(Vec<(String, MetaValue)>),
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// Ask that node instead, if one is named; certainly not done.
    NotLeader(Option<NodeNumber>),
    /// The final answer.
    Log(LogError),
}

/// The answer to a call.
pub type CallResult = Result<CallReply, CallError>;

/// Hears what becomes of an appender's blocks, on the replica's thread: must be quick.
pub trait AppendSink: Send + Sync {
    /// Everything up to `position` is durable.
    fn acknowledged(&self, position: Position);
    /// The log refused a block.
    fn refused(&self, error: LogError);
    /// The block may not have made it; send it again to the leader.
    fn interrupted(&self, leader: Option<NodeNumber>);
}

/// What a refusal by the driver means for a call.
pub fn call_error(refusal: Refusal) -> CallError {
    match refusal {
        Refusal::NotLeader { leader } => CallError::NotLeader(leader.map(ReplicaId::node)),
        Refusal::NotReady(_) | Refusal::Stopped(_) => CallError::NotLeader(None),
        Refusal::Busy => CallError::Log(LogError::Unavailable("too much is in flight".into())),
        Refusal::LeaseHeld { owner, remaining_ms } => {
            CallError::Log(LogError::LeaseHeld { owner, remaining_ms })
        }
        Refusal::Invalid(reason) => CallError::Log(LogError::Refused(reason)),
        Refusal::Uncertain => CallError::Log(LogError::Uncertain("the log's leader changed".into())),
        Refusal::UnknownGroup => CallError::Log(LogError::Refused("there is no such shard".into())),
    }
}

/// Tells a sink what became of the block with this first position. Returns the durable position if it was accepted, so that the
/// caller can join several acknowledgements into one.
pub fn settle_append(
    sink: &dyn AppendSink,
    first: Position,
    result: Result<Outcome, Refusal>,
) -> Option<Position> {
    let error = match result {
        Ok(Outcome::Appended { last, .. }) => return Some(last),
        Ok(Outcome::Fenced { epoch }) => LogError::Fenced { epoch },
        Ok(Outcome::Gap { tail, .. }) if tail + 1 == first => {
            LogError::Corrupt(format!("the block at {first} doesn't continue the chain"))
        }
        Ok(Outcome::Gap { tail, .. }) => LogError::Gap { expected: tail + 1, got: first },
        Ok(other) => LogError::Refused(format!("unexpected outcome {other:?}")),
        Err(Refusal::Invalid(reason)) => LogError::Corrupt(reason),
        Err(Refusal::NotLeader { leader }) => {
            sink.interrupted(leader.map(ReplicaId::node));
            return None;
        }
        Err(_) => {
            sink.interrupted(None);
            return None;
        }
    };
    crate::metric_names::refused(reason(&error));
    sink.refused(error);
    None
}

fn reason(error: &LogError) -> &'static str {
    match error {
        LogError::Fenced { .. } => "fenced",
        LogError::Gap { .. } => "gap",
        _ => "corrupt",
    }
}

/// First position of a block that is about to be proposed; 0 for what isn't a block and will be refused.
pub fn first_position(block: &[u8]) -> Position {
    BlockHeader::decode(block).map_or(0, |header| header.first_position)
}
