//! What the proxy is told at its start.

use std::sync::Arc;

use async_trait::async_trait;
use logsvc_client::LogService;
use proxy_shard::{Restorer, ShardConfig};

use crate::cluster::ClusterConfig;
use crate::endpoint::EndpointConfig;
use crate::handshakes::TlsPort;
use crate::users::InitialUser;

/// Everything that [`crate::start`] needs.
pub struct ProxyConfig {
    /// Address to listen on.
    pub bind: String,
    /// Plain port; 0 picks a free one, see `ProxyHandle::port`. `None`: clients come under TLS only.
    pub port: Option<u16>,
    /// The port for clients under TLS, if there is one.
    pub tls: Option<TlsPort>,
    /// Worker threads; 0 means one a core, but no more than shards.
    pub workers: usize,
    /// Shards, all served by this node.
    pub shards: u32,
    /// Most clients at once.
    pub max_clients: u64,
    /// Longest argument in bytes.
    pub bulk_max_bytes: u64,
    /// Most unprocessed bytes of one client.
    pub query_max_bytes: u64,
    /// A client with this many unread reply bytes isn't read from until it reads.
    pub output_pause_bytes: u64,
    /// A paused client that takes no byte for this long is disconnected.
    pub output_stall_ms: u64,
    /// Close idle clients after so many seconds, 0 for never.
    pub idle_timeout_s: u64,
    /// TCP keep-alive in seconds, 0 for none.
    pub keepalive_s: u64,
    /// Settings of each shard; the bound of memory in it is that of all shards together.
    pub shard: ShardConfig,
    /// What the parameters of CONFIG start with where it differs from the settings, in the form of a redis.conf: each text
    /// with the name that messages give it. Later ones outrank earlier ones.
    pub parameters: Vec<(String, Vec<u8>)>,
    /// Users that the metadata log is given if it knows nothing about them.
    pub initial_users: Vec<InitialUser>,
    /// Whether new users begin with all channels (`acl-pubsub-default`).
    pub acl_all_channels: bool,
    /// Most entries of ACL LOG.
    pub acl_log_max: u64,
    /// The log.
    pub log: Arc<dyn LogService>,
    /// Where snapshots come from.
    pub restorer: Arc<dyn Restorer>,
    /// What the rest of the process does for the proxy.
    pub hooks: Arc<dyn Hooks>,
    /// Its place among other nodes; `None` when it is alone.
    pub cluster: Option<ClusterConfig>,
    /// The shards' endpoints for clients of Redis Cluster, if there are any.
    pub endpoints: Option<EndpointConfig>,
}

impl ProxyConfig {
    /// Defaults around a log: one shard on 127.0.0.1:6379, no snapshots, no hooks.
    pub fn new(log: Arc<dyn LogService>) -> Self {
        Self {
            bind: "127.0.0.1".into(),
            port: Some(6379),
            tls: None,
            workers: 0,
            shards: 1,
            max_clients: 10_000,
            bulk_max_bytes: 512 << 20,
            query_max_bytes: 1 << 30,
            output_pause_bytes: 1 << 20,
            output_stall_ms: 60_000,
            idle_timeout_s: 0,
            keepalive_s: 300,
            shard: ShardConfig::default(),
            parameters: Vec::new(),
            initial_users: Vec::new(),
            acl_all_channels: false,
            acl_log_max: 128,
            log,
            restorer: Arc::new(proxy_shard::NoSnapshots),
            hooks: Arc::new(NoHooks),
            cluster: None,
            endpoints: None,
        }
    }
}

/// What the process around the proxy does for SAVE, SHUTDOWN and INFO.
#[async_trait]
pub trait Hooks: Send + Sync + 'static {
    /// Takes a snapshot of every shard and returns when it is published.
    ///
    /// # Errors
    /// A text for the client.
    async fn snapshot(&self) -> Result<(), String>;
    /// Whether a snapshot is being taken.
    fn snapshot_running(&self) -> bool {
        false
    }
    /// Unix seconds of the last published snapshot.
    fn last_snapshot_s(&self) -> i64;
    /// Sum over the shards of the positions that the last snapshots reach.
    fn last_snapshot_positions(&self) -> u64 {
        0
    }
    /// Whether the last snapshot succeeded.
    fn last_snapshot_ok(&self) -> bool {
        true
    }
    /// Keeps the text of the parameters that CONFIG REWRITE is asked to keep, for the next start.
    ///
    /// # Errors
    /// A text for the client.
    fn keep_parameters(&self, _text: &[u8]) -> Result<(), String> {
        Err("ERR The server is running without a config file".into())
    }
    /// Asks the process to stop cleanly; the proxy's `shutdown` will be called.
    fn request_shutdown(&self);
    /// What the process's allocator holds, if it knows.
    fn allocator(&self) -> Option<AllocatorFigures> {
        None
    }
    /// The value of a TLS setting under Redis's name; none where there is no TLS.
    fn tls_setting(&self, _name: &str) -> Option<String> {
        None
    }
    /// Changes TLS settings, given with Redis's names, all or none; new connections follow them.
    ///
    /// # Errors
    /// Why they can't be used; then nothing has changed.
    fn set_tls(&self, _changes: &[(&str, String)]) -> Result<(), String> {
        Err("there is no TLS port".into())
    }
    /// Has the allocator give unused pages back to the system.
    fn purge_allocator(&self) {}
}

/// Bytes as an allocator counts them, from inside to outside.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllocatorFigures {
    /// Asked for, rounded up to size classes.
    pub allocated: u64,
    /// In pages with anything allocated in them.
    pub active: u64,
    /// In pages that the system has given.
    pub resident: u64,
    /// For the allocator's own needs.
    pub metadata: u64,
    /// Given back or never touched, but kept as addresses.
    pub retained: u64,
}

/// No snapshotter, nobody to stop the process.
#[derive(Debug, Default)]
pub struct NoHooks;

#[async_trait]
impl Hooks for NoHooks {
    async fn snapshot(&self) -> Result<(), String> {
        Err("ERR no snapshotter is configured".into())
    }
    fn last_snapshot_s(&self) -> i64 {
        0
    }
    fn request_shutdown(&self) {
        tracing::warn!("SHUTDOWN: nobody is set up to stop this process");
    }
}
