//! The log as its users see it: claim a shard, append blocks, read what is committed, keep metadata.
//!
//! Everything outside `logsvc` talks to the log through [`LogService`] and [`Appender`]. Three implementations share one
//! conformance suite: the embedded log (`logsvc-server`, three replicas in this process), [`tcp::TcpLog`] (replicas in other
//! processes) and [`memory::MemoryLog`] (a fake for tests).
//!
//! ```text
//!                trim               durable           tail
//!   positions  ---|-------------------|-----------------|--->
//!              gone   committed: readable   in flight: appended, not yet on disk in a quorum
//! ```

mod change;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
pub mod memory;
mod progress;
mod roster;
mod service;
pub mod tcp;
mod window;
pub mod wire;

pub use change::MemberChange;
pub use error::LogError;
pub use progress::Progress;
pub use roster::{ROSTER, Roster, RosterMember};
pub use service::{
    Appender, Claim, Claimed, LogService, META_LOG, MetaValue, ReplicaDescription, ReplicaPart, ReplicaState,
    ShardDescription,
};
pub use window::AppendWindow;
