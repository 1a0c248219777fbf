//! What all workers of a proxy share: settings, figures, the registry of clients, and the map from slot to
//! shard to worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::time::Instant;

use logsvc_api::ShardId;
use parking_lot::Mutex;
use proxy_shard::{Observers, Orders, Role, ShardStatus};
use proxy_store::{SLOTS, slot_of};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::clients::Clients;
use crate::cluster::Cluster;
use crate::config::ProxyConfig;
use crate::handshakes::HandshakeStats;
use crate::latency::Latency;
use crate::monitor::Monitors;
use crate::params::Params;
use crate::pause::Pauses;
use crate::peers::Message;
use crate::pubsub::Registry;
use crate::push::PushQueue;
use crate::script::{Busy, ScriptCache};
use crate::slowlog::SlowLog;
use crate::stats::WorkerStats;
use crate::tracking::Tracking;
use crate::users::Directory;

/// Shared by all workers.
pub(crate) struct Shared {
    pub(crate) config: ProxyConfig,
    pub(crate) params: Params,
    /// 0: there is no plain port.
    pub(crate) port: u16,
    /// 0: there is no TLS port.
    pub(crate) tls_port: u16,
    pub(crate) handshakes: HandshakeStats,
    /// Notified when the shards' endpoints are to end.
    pub(crate) stop_endpoints: Notify,
    /// Notified when the listener for TLS is to end.
    pub(crate) stop_tls: Notify,
    pub(crate) shards: u32,
    pub(crate) workers: usize,
    pub(crate) status: Vec<Arc<ShardStatus>>,
    /// By shard: what the cluster wants of this node.
    pub(crate) orders: Vec<Arc<Orders>>,
    /// The other nodes, if this is one of several.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) stats: Vec<Arc<WorkerStats>>,
    pub(crate) inboxes: Vec<UnboundedSender<Message>>,
    /// By worker: messages for its connections.
    pub(crate) pushes: Vec<PushQueue>,
    pub(crate) pubsub: Arc<Registry>,
    pub(crate) scripts: ScriptCache,
    /// By worker: the script that has run for too long.
    pub(crate) busy: Vec<Busy>,
    pub(crate) tracking: Tracking,
    pub(crate) observers: Arc<Observers>,
    pub(crate) clients: Clients,
    pub(crate) users: Directory,
    pub(crate) started: Instant,
    /// The same moment in unix seconds.
    pub(crate) started_s: i64,
    pub(crate) run_id: String,
    pub(crate) slowlog: SlowLog,
    pub(crate) latency: Latency,
    pub(crate) monitors: Monitors,
    pub(crate) pauses: Pauses,
    pub(crate) stopping: AtomicBool,
    /// The name of this history of the data, as INFO shows it.
    pub(crate) repl_id: Mutex<String>,
    /// By shard: replicas of its log, and how many of them are well.
    pub(crate) zones: Mutex<Vec<(u32, u32)>>,
    /// Snapshots that were asked for and published, and the seconds that the last one took, -1 before.
    pub(crate) saves: AtomicU64,
    pub(crate) last_save_s: AtomicI64,
    /// Told when no more clients are to be accepted.
    pub(crate) closing: tokio::sync::Notify,
    pub(crate) saving: AtomicBool,
    /// SHUTDOWN waits for its snapshot.
    pub(crate) shutting: AtomicBool,
}

impl Shared {
    /// Unix seconds of the last published snapshot; before the first one those of the start, as in Redis.
    pub(crate) fn last_snapshot_s(&self) -> i64 {
        match self.config.hooks.last_snapshot_s() {
            0 => self.started_s,
            seconds => seconds,
        }
    }

    /// The shard of a slot: ranges of equal size.
    #[inline]
    pub(crate) fn shard_of(&self, slot: u16) -> ShardId {
        u32::from(slot) * self.shards / u32::from(SLOTS)
    }

    /// The shard of a key.
    #[inline]
    pub(crate) fn shard_of_key(&self, key: &[u8]) -> ShardId {
        if self.shards == 1 { 0 } else { self.shard_of(slot_of(key)) }
    }

    /// The first slot of a shard.
    pub(crate) fn first_slot(&self, shard: ShardId) -> u16 {
        (shard * u32::from(SLOTS)).div_ceil(self.shards) as u16
    }

    /// The worker that owns a shard.
    #[inline]
    pub(crate) fn owner(&self, shard: ShardId) -> usize {
        shard as usize % self.workers
    }

    /// Whether this node follows a shard, or is about to.
    pub(crate) fn is_replica(&self, shard: ShardId) -> bool {
        let role = self.status.get(shard as usize).map(|status| status.role());
        self.cluster.is_some() && !matches!(role, Some(Role::Primary | Role::Draining))
    }

    /// Whether some shard isn't served yet. One node of several holds or passes on what it can't run instead.
    pub(crate) fn is_loading(&self) -> bool {
        self.cluster.is_none() && self.status.iter().any(|status| status.role() != Role::Primary)
    }

    /// Whether whatever clients ask is answered: every shard is served, or followed.
    pub(crate) fn is_ready(&self) -> bool {
        let ready = |role| {
            role == Role::Primary || self.cluster.is_some() && matches!(role, Role::Replica | Role::Absent)
        };
        self.status.iter().all(|status| ready(status.role()))
    }
}
