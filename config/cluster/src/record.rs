//! What a node writes about itself under its own key of the metadata log, as JSON.

use serde::{Deserialize, Serialize};

use crate::{FAILOVERS, NODES};

/// A node as it registers itself, and again with every heartbeat and change of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Name under which it claims shards.
    pub id: String,
    /// Availability zone.
    pub zone: String,
    /// `host:port` of its Redis endpoint, for clients and for other nodes.
    pub address: String,
    /// The endpoint speaks TLS.
    #[serde(default)]
    pub tls: bool,
    /// Where clients of Redis Cluster find it, if it serves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// `host:port` of its HTTP endpoint.
    pub http: String,
    /// Newest engine version whose records it understands.
    pub engine_version: u16,
    /// What another node shows to be let in as a node. Whoever can read the metadata is part of the cluster.
    pub link_key: String,
    /// True once it was asked to stop: it gives its shards away and gets no new ones.
    #[serde(default)]
    pub leaving: bool,
    /// Grows with every heartbeat.
    pub beat: u64,
    /// One entry a shard that it holds.
    pub shards: Vec<ShardRecord>,
}

/// The endpoints of a node's shards: a port each, in the order of the shards' numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Host that clients are told.
    pub host: String,
    /// Port of the first shard's endpoint, 0 for none.
    pub port: u16,
    /// The same under TLS.
    pub tls_port: u16,
}

/// What a node is for a shard, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Serves reads and writes under a lease.
    Primary,
    /// Follows the log.
    Replica,
    /// Loads snapshot and log, or can't go on.
    Restoring,
}

/// One shard of a node's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Its number.
    pub shard: u32,
    /// What the node is for it.
    pub role: RoleName,
    /// Epoch of the claim that it serves; of a replica, the last one that it has seen.
    pub epoch: u64,
    /// Last position in memory.
    pub position: u64,
    /// Records behind the log's tail as last seen.
    pub lag_records: u64,
    /// Milliseconds since it was last level with the tail.
    pub lag_ms: u64,
    /// The node that this primary has handed the shard to: that one claims first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_to: Option<String>,
    /// Why it isn't served or followed, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl NodeRecord {
    /// Its bytes in the metadata.
    pub fn encode(&self) -> Vec<u8> {
        // A value of plain fields always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads them; `None` for what another version wrote and this one can't read.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Its account of a shard.
    pub fn shard(&self, shard: u32) -> Option<&ShardRecord> {
        self.shards.iter().find(|held| held.shard == shard)
    }
}

/// Metadata key of a node.
pub fn node_key(id: &str) -> String {
    format!("{NODES}{id}")
}

/// Metadata key under which a planned hand-over of a shard is asked for; its value is the node that is to become the
/// primary, or `*` for the best one.
pub fn failover_key(shard: u32) -> String {
    format!("{FAILOVERS}{shard}")
}
