//! One shard on its worker: decide -> write the record -> apply -> append -> hold the reply.
//!
//! A [`Shard`] is plain single-threaded data. Its worker calls [`Shard::run`] for each command,
//! [`Shard::flush`] at the end of a turn and [`Shard::poll_log`] when the log has moved; the replies that it
//! tags with a position are held by the server. [`Keeper`] is the shard's life: restore, follow, claim, serve, renew,
//! and from the beginning again when the log has another primary.

mod blocked;
mod config;
pub mod election;
mod events;
mod evict;
mod follow;
mod keeper;
pub mod metric_names;
mod notices;
mod orders;
mod restore;
mod serve;
mod shard;
mod status;
mod tracking;
mod version;
mod watch;

pub use blocked::{Answer, Blocker, Displaced, Slip, TERM_ENDED};
pub use config::{EvictionPolicy, MemoryConfig, ShardConfig};
pub use events::EventClasses;
pub use evict::Room;
pub use keeper::{Host, Keeper};
pub use notices::{Audience, Notice, Observers};
pub use orders::{Hold, Orders};
pub use restore::{NoSnapshots, Replayer, RestoreError, Restored, Restorer, replay};
pub use shard::{OUT_OF_MEMORY, Role, Shard, Unserved};
pub use status::{RestoreProgress, ShardStatus};
pub use tracking::Caller;
pub use version::ENGINE_VERSION;
pub use watch::WatchId;
