//! The settings of each process: which sections it has, and its own top-level keys.

use serde::{Deserialize, Serialize};

use crate::parts::{
    Cluster, Engine, Http, Limits, LogCluster, LogStorage, Logging, Memory, Node, Primary, SnapshotPolicy,
    SnapshotStore, Users,
};
use crate::{Settings, SettingsError, Tls};

/// `fastkeep up`: everything in one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Up {
    /// Port of the Redis endpoint; 0 picks a free one, or, with `tls_port`, none.
    pub port: u16,
    /// Port of the Redis endpoint under TLS; 0 = none.
    pub tls_port: u16,
    /// Port of metrics, health and the admin API; 0 picks a free one, or, with `http_tls_port`, none.
    pub http_port: u16,
    /// Port of the same under TLS; 0 = none.
    pub http_tls_port: u16,
    /// Address that the ports listen on.
    pub bind: String,
    /// Folder of everything that is kept.
    pub data: String,
    /// A redis.conf whose parameters are taken where they mean something here; the log says what was not taken and why.
    pub redis_conf: String,
    /// Number of shards; fixed when the data folder is first used.
    pub shards: u32,
    /// The certificate of the TLS ports.
    pub tls: Tls,
    /// Endpoints for clients of Redis Cluster.
    pub cluster: Cluster,
    /// The primary's lease.
    pub primary: Primary,
    /// What clients may use up.
    pub limits: Limits,
    /// Threads and encodings.
    pub engine: Engine,
    /// How much memory keys may take.
    pub memory: Memory,
    /// Who may do what.
    pub users: Users,
    /// The three log replicas.
    pub storage: LogStorage,
    /// Where snapshots are kept.
    pub store: SnapshotStore,
    /// When snapshots are made.
    pub snapshots: SnapshotPolicy,
    /// What is written to standard error.
    pub logging: Logging,
}

impl Default for Up {
    fn default() -> Self {
        Self {
            port: 6379,
            tls_port: 0,
            http_port: 8379,
            http_tls_port: 0,
            bind: "127.0.0.1".to_owned(),
            data: "./data".to_owned(),
            redis_conf: String::new(),
            shards: 1,
            tls: Tls::default(),
            cluster: Cluster::default(),
            // Nobody waits for this lease to end: a start on the same data takes it over at once.
            primary: Primary { lease_ms: 15_000, lease_margin_ms: 500 },
            limits: Limits::default(),
            engine: Engine::default(),
            memory: Memory::default(),
            users: Users::default(),
            // Its replicas are in one process: what moves the log's leader is a disk that hangs, and each tick costs idle time.
            storage: LogStorage { tick_ms: 50, election_ms: 500, ..LogStorage::default() },
            store: SnapshotStore::default(),
            snapshots: SnapshotPolicy::default(),
            logging: Logging::default(),
        }
    }
}

impl Settings for Up {
    fn validate(&self) -> Result<(), SettingsError> {
        check_shards(self.shards)?;
        self.cluster.validate(self.shards)?;
        self.tls.validate(needed(&[
            ("tls_port", self.tls_port),
            ("http_tls_port", self.http_tls_port),
            ("cluster.tls_port", self.cluster.tls_port),
        ]))?;
        self.primary.validate()?;
        self.limits.validate()?;
        self.memory.validate()?;
        self.users.validate()?;
        self.storage.validate()?;
        self.snapshots.validate()?;
        self.logging.validate()
    }
}

/// `fastkeep logsvc`: one replica of the log service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogService {
    /// The zone that this replica is; one of `log.replicas`.
    pub zone: String,
    /// `host:port` to listen on; empty = this zone's address in `log.replicas`.
    pub listen: String,
    /// Folder of the log.
    pub data: String,
    /// Number of shards of the cluster; the same on every process.
    pub shards: u32,
    /// All replicas, this one included.
    pub log: LogCluster,
    /// How the log is kept.
    pub storage: LogStorage,
    /// Metrics, health and the admin API.
    pub http: Http,
    /// The certificate of the TLS ports.
    pub tls: Tls,
    /// What is written to standard error.
    pub logging: Logging,
}

impl Default for LogService {
    fn default() -> Self {
        Self {
            zone: "az-a".to_owned(),
            listen: String::new(),
            data: "./data/logsvc".to_owned(),
            shards: 1,
            log: LogCluster::default(),
            storage: LogStorage::default(),
            http: Http { port: 8380, ..Http::default() },
            tls: Tls::default(),
            logging: Logging::default(),
        }
    }
}

impl Settings for LogService {
    fn validate(&self) -> Result<(), SettingsError> {
        check_shards(self.shards)?;
        self.log.validate()?;
        if self.log.zones()?.len() < 3 {
            let what = "names fewer than three replicas; they could found no log";
            return Err(SettingsError::invalid("log.replicas", what.to_owned()));
        }
        if !self.log.zones()?.iter().any(|(zone, _)| *zone == self.zone) {
            return Err(SettingsError::invalid("zone", format!("`{}` is not among log.replicas", self.zone)));
        }
        self.storage.validate()?;
        self.tls.validate(needed(&[("http.tls_port", self.http.tls_port)]))?;
        self.logging.validate()
    }
}

/// `fastkeep proxy`: one node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// Port of the Redis endpoint; 0 picks a free one, or, with `tls_port`, none.
    pub port: u16,
    /// Port of the Redis endpoint under TLS; 0 = none.
    pub tls_port: u16,
    /// Address that they listen on.
    pub bind: String,
    /// The zone that this node is in: it reads the log from the replica there.
    pub zone: String,
    /// Folder of the node's identity. Losing it loses no data.
    pub data: String,
    /// A redis.conf whose parameters are taken where they mean something here; the log says what was not taken and why.
    pub redis_conf: String,
    /// Number of shards of the cluster; the same on every process.
    pub shards: u32,
    /// The log service.
    pub log: LogCluster,
    /// Its place among other nodes.
    pub node: Node,
    /// Endpoints for clients of Redis Cluster.
    pub cluster: Cluster,
    /// The primary's lease.
    pub primary: Primary,
    /// What clients may use up.
    pub limits: Limits,
    /// Threads and encodings.
    pub engine: Engine,
    /// How much memory keys may take.
    pub memory: Memory,
    /// Who may do what.
    pub users: Users,
    /// Where snapshots are kept: a node restores from there.
    pub store: SnapshotStore,
    /// Metrics, health and the admin API.
    pub http: Http,
    /// The certificate of the TLS ports.
    pub tls: Tls,
    /// What is written to standard error.
    pub logging: Logging,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            port: 6379,
            tls_port: 0,
            bind: "127.0.0.1".to_owned(),
            zone: "az-a".to_owned(),
            data: "./data/proxy".to_owned(),
            redis_conf: String::new(),
            shards: 1,
            log: LogCluster::default(),
            node: Node::default(),
            cluster: Cluster::default(),
            primary: Primary::default(),
            limits: Limits::default(),
            engine: Engine::default(),
            memory: Memory::default(),
            users: Users::default(),
            store: SnapshotStore { url: "./data/snapshots".to_owned(), ..SnapshotStore::default() },
            http: Http { port: 8379, ..Http::default() },
            tls: Tls::default(),
            logging: Logging::default(),
        }
    }
}

impl Settings for Proxy {
    fn validate(&self) -> Result<(), SettingsError> {
        check_shards(self.shards)?;
        self.log.validate()?;
        self.cluster.validate(self.shards)?;
        self.tls.validate(needed(&[
            ("tls_port", self.tls_port),
            ("http.tls_port", self.http.tls_port),
            ("cluster.tls_port", self.cluster.tls_port),
        ]))?;
        self.node.validate()?;
        self.primary.validate()?;
        self.limits.validate()?;
        self.memory.validate()?;
        self.users.validate()?;
        check_store(&self.store)?;
        self.logging.validate()
    }
}

/// `fastkeep snapshot`: the snapshotter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshot {
    /// The zone that this process is in: it reads the log from the replica there.
    pub zone: String,
    /// Folder for the files of a snapshot in the making; may be lost.
    pub data: String,
    /// Number of shards of the cluster; the same on every process.
    pub shards: u32,
    /// The log service.
    pub log: LogCluster,
    /// Where snapshots are kept.
    pub store: SnapshotStore,
    /// When snapshots are made.
    pub snapshots: SnapshotPolicy,
    /// Metrics, health and the admin API.
    pub http: Http,
    /// The certificate of the TLS ports.
    pub tls: Tls,
    /// What is written to standard error.
    pub logging: Logging,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            zone: "az-a".to_owned(),
            data: "./data/snapshotter".to_owned(),
            shards: 1,
            log: LogCluster::default(),
            store: SnapshotStore { url: "./data/snapshots".to_owned(), ..SnapshotStore::default() },
            snapshots: SnapshotPolicy::default(),
            http: Http { port: 8381, ..Http::default() },
            tls: Tls::default(),
            logging: Logging::default(),
        }
    }
}

impl Settings for Snapshot {
    fn validate(&self) -> Result<(), SettingsError> {
        check_shards(self.shards)?;
        self.log.validate()?;
        check_store(&self.store)?;
        self.tls.validate(needed(&[("http.tls_port", self.http.tls_port)]))?;
        self.snapshots.validate()?;
        self.logging.validate()
    }
}

/// The name of a port that is on.
fn needed<'a>(ports: &[(&'a str, u16)]) -> Option<&'a str> {
    ports.iter().find(|(_, port)| *port != 0).map(|(name, _)| *name)
}

/// Shards are slots' owners, and 1024 engines in one process are beyond any use known.
fn check_shards(shards: u32) -> Result<(), SettingsError> {
    match shards {
        1..=1024 => Ok(()),
        other => Err(SettingsError::invalid("shards", format!("{other} is not from 1 to 1024"))),
    }
}

/// Processes of their own have no data folder in common, so the store must be named.
fn check_store(store: &SnapshotStore) -> Result<(), SettingsError> {
    if store.url.is_empty() {
        return Err(SettingsError::invalid("store.url", "is empty; name a folder or s3://bucket/prefix"));
    }
    Ok(())
}
