//! Sections that several processes share. Every field has a default; units are in the names.

use serde::{Deserialize, Serialize};

use crate::{LogTls, Secret, SettingsError};

/// `[http]`: the port of metrics, health and the admin API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address to listen on.
    pub bind: String,
    /// TCP port; 0 picks a free one, or, with `tls_port`, none.
    pub port: u16,
    /// Port of the same under TLS; 0 = none.
    pub tls_port: u16,
}

impl Default for Http {
    fn default() -> Self {
        Self { bind: "127.0.0.1".to_owned(), port: 8379, tls_port: 0 }
    }
}

/// `[logging]`: what is written to standard error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// `human` or `json`.
    pub format: String,
    /// A filter of the `tracing` kind, such as `info` or `info,proxy_shard=debug`.
    pub filter: String,
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: "human".to_owned(), filter: "info".to_owned() }
    }
}

impl Logging {
    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        match self.format.as_str() {
            "human" | "json" => Ok(()),
            other => {
                Err(SettingsError::invalid("logging.format", format!("`{other}` is neither human nor json")))
            }
        }
    }
}

/// `[log]` of a process that uses the log service over TCP: where its replicas are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogCluster {
    /// The replicas as `zone=host:port`, all three of them.
    pub replicas: Vec<String>,
    /// Time after which an unanswered append counts as uncertain, in milliseconds.
    pub append_timeout_ms: u64,
    /// Certificates of the links to and among the replicas.
    pub tls: LogTls,
}

impl Default for LogCluster {
    fn default() -> Self {
        Self {
            replicas: ["az-a=127.0.0.1:7101", "az-b=127.0.0.1:7102", "az-c=127.0.0.1:7103"]
                .map(str::to_owned)
                .to_vec(),
            append_timeout_ms: 10_000,
            tls: LogTls::default(),
        }
    }
}

impl LogCluster {
    /// The replicas as (zone, address) pairs.
    ///
    /// # Errors
    /// Names the entry that is not `zone=host:port`.
    pub fn zones(&self) -> Result<Vec<(String, String)>, SettingsError> {
        self.replicas
            .iter()
            .map(|entry| match entry.split_once('=') {
                Some((zone, address)) if !zone.is_empty() && address.contains(':') => {
                    Ok((zone.to_owned(), address.to_owned()))
                }
                _ => {
                    Err(SettingsError::invalid("log.replicas", format!("`{entry}` is not `zone=host:port`")))
                }
            })
            .collect()
    }

    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        self.tls.validate()?;
        let zones = self.zones()?;
        if !(1..=9).contains(&zones.len()) {
            return Err(SettingsError::invalid(
                "log.replicas",
                format!("{} given; a log has from three to nine replicas", zones.len()),
            ));
        }
        for (at, (zone, address)) in zones.iter().enumerate() {
            if zones[..at].iter().any(|(z, a)| z == zone || a == address) {
                return Err(SettingsError::invalid(
                    "log.replicas",
                    format!("`{zone}={address}` is named twice"),
                ));
            }
        }
        Ok(())
    }
}

/// `[storage]`: how a log replica keeps and times its log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogStorage {
    /// Memory for recent blocks, in mebibytes, for each replica.
    pub cache_mb: u64,
    /// Raft's clock step, in milliseconds.
    pub tick_ms: u64,
    /// A follower that hears nothing for this long calls an election, in milliseconds (it waits up to
    /// twice as long, at random).
    pub election_ms: u64,
    /// Whether a replica whose disk was wiped is replaced by the other two without being asked.
    pub replace_wiped: bool,
}

impl Default for LogStorage {
    fn default() -> Self {
        Self { cache_mb: 64, tick_ms: 25, election_ms: 250, replace_wiped: true }
    }
}

impl LogStorage {
    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        if self.tick_ms == 0 || self.election_ms < 4 * self.tick_ms {
            return Err(SettingsError::invalid(
                "storage.election_ms",
                "must be at least four times storage.tick_ms, which is above 0",
            ));
        }
        Ok(())
    }
}

/// `[primary]`: how a node holds the lease of its shards.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Primary {
    /// How long a primary may serve without renewing, in milliseconds.
    pub lease_ms: u64,
    /// Part of the lease, in milliseconds, that is not used, against clocks of unequal speed.
    pub lease_margin_ms: u64,
}

impl Default for Primary {
    fn default() -> Self {
        Self { lease_ms: 1_000, lease_margin_ms: 100 }
    }
}

impl Primary {
    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        if self.lease_ms < 200 || self.lease_margin_ms * 2 > self.lease_ms {
            return Err(SettingsError::invalid(
                "primary.lease_ms",
                "must be at least 200 and twice primary.lease_margin_ms",
            ));
        }
        Ok(())
    }
}

/// `[node]`: a proxy among others.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// `host` or `host:port` under which other nodes reach this one's Redis endpoint; empty = `bind` and `port`.
    pub advertise: String,
    /// Replicas that each shard should have beside its primary, as far as there are nodes.
    pub replicas: u32,
}

impl Default for Node {
    fn default() -> Self {
        Self { advertise: String::new(), replicas: 2 }
    }
}

impl Node {
    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        if self.replicas > 5 {
            return Err(SettingsError::invalid("node.replicas", "must be from 0 to 5"));
        }
        Ok(())
    }
}

/// `[cluster]`: the shards' endpoints, which speak Redis Cluster: a port for each shard, on every node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Port of the first shard's endpoint; the others have the ports behind it. 0 = no endpoints.
    pub port: u16,
    /// The same under TLS.
    pub tls_port: u16,
    /// Host under which clients reach the endpoints; empty = that of `node.advertise`, or `bind`.
    pub announce_host: String,
    /// Port under which clients reach the first endpoint, if it isn't `port`; the others follow.
    pub announce_port: u16,
    /// The same under TLS.
    pub announce_tls_port: u16,
}

impl Cluster {
    /// `shards` ports are needed from each one on.
    pub(crate) fn validate(&self, shards: u32) -> Result<(), SettingsError> {
        for (key, port) in [
            ("cluster.port", self.port),
            ("cluster.tls_port", self.tls_port),
            ("cluster.announce_port", self.announce_port),
            ("cluster.announce_tls_port", self.announce_tls_port),
        ] {
            if u32::from(port) + shards > 65_536 {
                let message = format!("{port}: there are not ports enough behind it for {shards} shards");
                return Err(SettingsError::invalid(key, message));
            }
        }
        let apart = u32::from(self.port.abs_diff(self.tls_port));
        if self.port != 0 && self.tls_port != 0 && apart < shards {
            let message = format!("is less than {shards} shards away from cluster.port");
            return Err(SettingsError::invalid("cluster.tls_port", message));
        }
        Ok(())
    }
}

/// `[limits]`: what clients may use up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at one time.
    pub max_clients: usize,
    /// Largest bulk string of a request, in bytes (Redis: `proto-max-bulk-len`).
    pub max_bulk_bytes: usize,
    /// Largest request that is collected for one client, in bytes (Redis: `client-query-buffer-limit`).
    pub query_buffer_bytes: usize,
    /// Unread replies of one client, in bytes, from which it is not read from until it reads.
    pub output_pause_bytes: usize,
    /// A client paused so that takes no byte for this long is disconnected, in milliseconds.
    pub output_stall_ms: u64,
    /// Writes that the log has not yet taken, in bytes for each shard; more writes wait beyond.
    pub undurable_bytes: usize,
    /// Blocks of writes on their way to the log at one time, for each shard; later writes gather in the next block.
    pub undurable_blocks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_clients: 10_000,
            max_bulk_bytes: 512 << 20,
            query_buffer_bytes: 1 << 30,
            output_pause_bytes: 1 << 20,
            output_stall_ms: 60_000,
            undurable_bytes: 64 << 20,
            undurable_blocks: 8,
        }
    }
}

impl Limits {
    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        if self.max_clients == 0 {
            return Err(SettingsError::invalid("limits.max_clients", "must be above 0"));
        }
        if self.undurable_blocks == 0 {
            return Err(SettingsError::invalid("limits.undurable_blocks", "must be above 0"));
        }
        if self.max_bulk_bytes < 1 << 20 || self.max_bulk_bytes > 512 << 20 {
            return Err(SettingsError::invalid("limits.max_bulk_bytes", "must be from 1 MiB to 512 MiB"));
        }
        Ok(())
    }
}

/// `[engine]`: threads and the thresholds of packed encodings, under Redis's names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Worker threads; 0 = one for each shard, but not more than there are cores.
    pub workers: usize,
    /// Redis's `hash-max-listpack-entries`.
    pub hash_max_listpack_entries: u32,
    /// Redis's `hash-max-listpack-value`.
    pub hash_max_listpack_value: u32,
    /// Redis's `zset-max-listpack-entries`.
    pub zset_max_listpack_entries: u32,
    /// Redis's `zset-max-listpack-value`.
    pub zset_max_listpack_value: u32,
    /// Redis's `list-max-listpack-size`.
    pub list_max_listpack_size: i32,
    /// Redis's `set-max-intset-entries`.
    pub set_max_intset_entries: u32,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            workers: 0,
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            list_max_listpack_size: -2,
            set_max_intset_entries: 512,
        }
    }
}

/// `[users]`: who may do what, under Redis's names. Users live in the metadata log; what stands here is what they begin as.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Users {
    /// Password of the default user, unless the metadata log knows that user already; empty = none.
    pub requirepass: Secret,
    /// A file of lines `user <name> <rule> ...`: users that the metadata log is given if it doesn't know them.
    pub aclfile: String,
    /// `allchannels` or `resetchannels`: what a new user may listen to.
    pub acl_pubsub_default: String,
    /// Most entries of ACL LOG.
    pub acllog_max_len: u64,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            requirepass: Secret::default(),
            aclfile: String::new(),
            acl_pubsub_default: "resetchannels".to_owned(),
            acllog_max_len: 128,
        }
    }
}

impl Users {
    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        if !["allchannels", "resetchannels"].contains(&self.acl_pubsub_default.as_str()) {
            let what = format!("`{}` is neither allchannels nor resetchannels", self.acl_pubsub_default);
            return Err(SettingsError::invalid("users.acl_pubsub_default", what));
        }
        Ok(())
    }
}

/// `[memory]`: how much memory keys may take, and what happens then, under Redis's names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Most bytes of keys, values and tables of this node, divided evenly over its shards; 0 = no bound.
    pub maxmemory: u64,
    /// Which keys go when there are more; `noeviction`: none, and commands that take more memory are refused.
    pub maxmemory_policy: String,
    /// Keys drawn from each database to choose from.
    pub maxmemory_samples: u32,
    /// How many more uses each step of a key's counter takes (LFU policies).
    pub lfu_log_factor: u32,
    /// Minutes after which an unused key's counter loses a step, 0 = never (LFU policies).
    pub lfu_decay_time: u32,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            maxmemory: 0,
            maxmemory_policy: "noeviction".to_owned(),
            maxmemory_samples: 5,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
        }
    }
}

impl Memory {
    /// The policies that there are.
    pub const POLICIES: [&'static str; 8] = [
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "noeviction",
    ];

    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        if !Self::POLICIES.contains(&self.maxmemory_policy.as_str()) {
            let what = format!("`{}` is none of {}", self.maxmemory_policy, Self::POLICIES.join(", "));
            return Err(SettingsError::invalid("memory.maxmemory_policy", what));
        }
        if self.maxmemory_samples == 0 {
            return Err(SettingsError::invalid("memory.maxmemory_samples", "must be above 0"));
        }
        if self.maxmemory > i64::MAX as u64 {
            return Err(SettingsError::invalid("memory.maxmemory", "is beyond any memory"));
        }
        Ok(())
    }
}

/// `[store]`: where snapshots are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotStore {
    /// `file:PATH`, a plain path, or `s3://bucket/prefix`. Empty with `fastkeep up`: DATA/snapshots.
    pub url: String,
    /// Endpoint of an S3-compatible store, such as `http://127.0.0.1:9000`; empty = AWS itself.
    pub s3_endpoint: String,
    /// S3 region; empty = from the usual AWS variables.
    pub s3_region: String,
    /// `bucket` in the path instead of in the host name, as most S3-compatible stores want it.
    pub s3_path_style: bool,
}

/// `[snapshots]`: when snapshots are made and how long they stay.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotPolicy {
    /// Longest time between snapshots of a shard that changed, in seconds; 0 = not by time.
    pub interval_secs: u64,
    /// Log since the last snapshot that causes the next one, in mebibytes; 0 = not by size.
    pub log_mb: u64,
    /// Snapshots kept at least, for each shard.
    pub keep_count: usize,
    /// Snapshots older than this many days go, beyond `keep_count`; 0 = by count only.
    pub keep_days: u64,
    /// Snapshots before the newest from which the log is kept, so that they can stand in for it.
    pub keep_log_snapshots: usize,
    /// Slot ranges into which a snapshot is cut.
    pub segments: u16,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            interval_secs: 300,
            log_mb: 256,
            keep_count: 3,
            keep_days: 7,
            keep_log_snapshots: 0,
            segments: 32,
        }
    }
}

impl SnapshotPolicy {
    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        if self.keep_count == 0 {
            return Err(SettingsError::invalid(
                "snapshots.keep_count",
                "must be at least 1: the log before it is trimmed",
            ));
        }
        if self.segments == 0 || self.segments > 16_384 {
            return Err(SettingsError::invalid("snapshots.segments", "must be from 1 to 16384"));
        }
        Ok(())
    }
}
