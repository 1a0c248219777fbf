//! Between workers: what one sends another. A worker gathers what it has for a peer during a turn and sends
//! one message at its end; answers come back the same way, already durable.

use std::net::SocketAddr;
use std::sync::Arc;

use logsvc_api::ShardId;
use proxy_acl::User;
use proxy_commands::{Flags, Id, Row};
use proxy_resp::{OwnedArgs, Protocol};
use proxy_shard::{Caller, Slip, WatchId};

use crate::out_queue::Ticket;
use crate::stream::Accepted;

/// Where an answer goes: a connection of a worker, a place in its queue, and the part of the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) token: usize,
    pub(crate) client: u64,
    pub(crate) ticket: Ticket,
    pub(crate) part: u32,
}

/// One command of a transaction.
pub(crate) struct Part {
    pub(crate) row: &'static Row,
    pub(crate) args: OwnedArgs,
    pub(crate) db: u8,
}

/// What is asked of a shard elsewhere.
pub(crate) enum Work {
    Command {
        row: &'static Row,
        args: OwnedArgs,
        db: u8,
    },
    Transaction {
        watch: Option<WatchId>,
        /// Never empty. Between two of them the session answers a command itself, when the unit has run; each has a
        /// part of the answer.
        chunks: Vec<Vec<Part>>,
        write: bool,
        /// One of the commands may take more memory.
        takes_memory: bool,
    },
    Watch {
        id: WatchId,
        db: u8,
        keys: Vec<Vec<u8>>,
    },
    /// Has no answer.
    Unwatch {
        id: WatchId,
    },
    /// A command that may wait; its answer may take long.
    Blocking {
        row: &'static Row,
        args: OwnedArgs,
        db: u8,
        slip: Arc<Slip>,
    },
    /// CLIENT UNBLOCK for a client that waits there, by whom has claimed its slip. Has no answer.
    Unblock {
        client: u64,
        with_error: bool,
    },
    /// The client is gone: it waits no more. Has no answer.
    Forget,
}

impl Work {
    /// Whether the answer may be long though the request is short. What a write answers is short, came with the request, or is
    /// gone from the data, but for a few.
    pub(crate) fn may_answer_much(&self) -> bool {
        match self {
            Self::Command { row, .. } if row.flags.has(Flags::WRITE) => matches!(
                row.id,
                Id::GetEx
                    | Id::LMove
                    | Id::RPopLPush
                    | Id::Sort
                    | Id::GeoRadius
                    | Id::GeoRadiusByMember
                    | Id::XReadGroup
                    | Id::XClaim
                    | Id::XAutoClaim
            ),
            _ => true,
        }
    }

    /// About the bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Command { args, .. } | Self::Blocking { args, .. } => args.bytes(),
            Self::Transaction { chunks, .. } => chunks.iter().flatten().map(|part| part.args.bytes()).sum(),
            Self::Watch { keys, .. } => keys.iter().map(Vec::len).sum(),
            Self::Unwatch { .. } | Self::Unblock { .. } | Self::Forget => 0,
        }
    }
}

/// A request to the owner of a shard.
pub(crate) struct Unit {
    pub(crate) shard: ShardId,
    pub(crate) proto: Protocol,
    /// `None`: nobody waits for the answer.
    pub(crate) reply_to: Option<Address>,
    pub(crate) client: u64,
    /// Set for a client that caches what it reads.
    pub(crate) caller: Option<Caller>,
    /// Whose rules scripts in it must keep; `None` for one who may do everything.
    pub(crate) user: Option<Arc<User>>,
    /// CLIENT NO-TOUCH: it is no use of the keys.
    pub(crate) still: bool,
    pub(crate) work: Work,
}

impl Unit {
    /// One that reads nothing for a cache and runs no script.
    pub(crate) fn plain(
        shard: ShardId,
        client: u64,
        proto: Protocol,
        reply_to: Option<Address>,
        work: Work,
    ) -> Self {
        Self { shard, proto, reply_to, client, caller: None, user: None, still: false, work }
    }
}

/// The answer; `None` bytes say that the outcome is unknown.
pub(crate) struct Answer {
    pub(crate) to: Address,
    pub(crate) bytes: Option<Vec<u8>>,
    /// The connection closes behind it.
    pub(crate) close: bool,
}

/// What arrives in a worker's inbox.
pub(crate) enum Message {
    /// A new client.
    Connection(Accepted, SocketAddr),
    /// What a peer gathered in one turn.
    Peer { from: usize, units: Vec<Unit>, answers: Vec<Answer> },
    /// There are messages for connections, see [`crate::push`].
    Push,
    /// Look at what concerns all clients of the node: a pause, monitors. Answered with OK if anybody waits for it.
    Look { from: usize, to: Option<Address> },
    /// DEBUG RELOAD: every shard here restores itself anew.
    Reload,
    /// CLIENT KILL: look at the flag of this connection.
    Kill { token: usize, client: u64 },
    /// Users have changed: every connection looks at its user.
    Users,
    /// Close everything.
    Stop,
}
