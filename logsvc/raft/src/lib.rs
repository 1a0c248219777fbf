//! Consensus for the log service, as a value: a [`Node`] holds one replica of every Raft group of a process,
//! takes [`Input`]s and hands back [`Outputs`]. It has no thread, no clock, no disk and no socket of its own,
//! so production and the simulation in `tests/sim` run the same code. This is the only crate that names the
//! `raft` library. The order in which things become durable is `docs/raft-driver.md`.
//!
//! The loop that a server runs on one thread:
//! ```text
//! loop {
//!     for input in what_arrived() { node.step(input); }       // messages, proposals, ticks, "persisted up to n"
//!     let out = node.drain();
//!     if let Some(batch) = out.write { writer.send(batch); }   // one ordered writer; it reports Input::Persisted
//!     for message in out.messages { transport.send(message); } // all of them may leave now
//!     for answer in out.answers { reply(answer); }             // proposals and reads
//!     for event in out.applied { publish(event); }             // committed blocks, in order
//!     if out.more { continue; }                                // work is left over: drain again before waiting
//! }
//! ```
//! `Outputs::write` and `Outputs::messages` are independent: sending does not wait for writing. What has to
//! wait for a write is kept inside until [`Input::Persisted`] names its ticket.

mod codec;
mod command;
mod entry;
mod io;
mod lease;
mod machine;
mod membership;
mod node;
mod replica;
mod storage;
mod store;
mod tail;
mod wire;

pub use command::{Claim, Command, CommandError};
pub use entry::{EntryKind, GroupId, HardState, LogEntry, META_GROUP, NodeNumber, ReplicaId};
pub use io::{
    Answer, Applied, Change, GroupStatus, Input, MemberStatus, NodeConfig, Outgoing, Outputs, Refusal,
    Request, Role,
};
pub use machine::{Machine, MachineError, MetaState, MetaValue, Outcome, ShardState};
pub use node::Node;
pub use storage::{
    Checkpoint, GroupWrite, LogStorage, Members, Recovered, StorageError, WriteBatch, WriteOp,
};
pub use wire::MAX_FRAME_BYTES;
