//! The cluster as its metadata tells it: who is there, who serves what, and where each shard belongs.
//!
//! Values and pure functions only: nothing here reads a clock, a network or settings, so every node that has seen the same
//! metadata comes to the same answers.

mod map;
mod placement;
mod record;

pub use map::ClusterMap;
pub use placement::{Member, place};
pub use record::{Endpoints, NodeRecord, RoleName, ShardRecord, failover_key, node_key};
/// Prefix of the keys of [`node_key`].
pub const NODES: &str = "nodes/";
/// Prefix of the keys of [`failover_key`].
pub const FAILOVERS: &str = "failover/";
