//! From settings to the parts' own configurations, and the seams between parts that do not know each other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use config_runtime::tls::Tls;
use config_settings::{
    Cluster, Engine, Limits, LogStorage, Memory, Primary, SnapshotPolicy, SnapshotStore, Users,
};
use logsvc_client::LogService;
use proxy_server::{
    AllocatorFigures, ClusterConfig, EndpointConfig, Hooks, InitialUser, ProxyConfig, TlsPort,
};
use proxy_shard::{EvictionPolicy, MemoryConfig, RestoreProgress, Restored, Restorer, ShardConfig};
use proxy_store::Keyspace;
use snapshot_repo::{RepoConfig, Repository};
use snapshot_worker::{SnapshotterConfig, SnapshotterHandle};
use tokio::sync::Notify;

/// Opens the snapshot store.
///
/// # Errors
/// Names the setting and what is wrong with the store.
pub fn repository(store: &SnapshotStore, fallback: &Path) -> Result<Arc<Repository>, String> {
    let url = if store.url.is_empty() { fallback.display().to_string() } else { store.url.clone() };
    RepoConfig::from_url(&url, &store.s3_endpoint, &store.s3_region, store.s3_path_style)
        .and_then(|config| Repository::open(&config))
        .map(Arc::new)
        .map_err(|error| format!("store.url: {error}"))
}

/// Thresholds of packed encodings.
fn encodings(engine: &Engine) -> proxy_store::Limits {
    proxy_store::Limits {
        hash_max_listpack_entries: engine.hash_max_listpack_entries as usize,
        hash_max_listpack_value: engine.hash_max_listpack_value as usize,
        zset_max_listpack_entries: engine.zset_max_listpack_entries as usize,
        zset_max_listpack_value: engine.zset_max_listpack_value as usize,
        list_max_listpack_size: i64::from(engine.list_max_listpack_size),
        set_max_intset_entries: engine.set_max_intset_entries as usize,
        ..proxy_store::Limits::default()
    }
}

/// How much memory keys may take.
fn memory(settings: &Memory) -> MemoryConfig {
    MemoryConfig {
        max_bytes: settings.maxmemory,
        // The settings were checked against the same names.
        policy: EvictionPolicy::by_name(&settings.maxmemory_policy).unwrap_or_default(),
        samples: settings.maxmemory_samples,
        lfu_log_factor: settings.lfu_log_factor,
        lfu_decay_minutes: settings.lfu_decay_time,
    }
}

/// What a proxy is started with, but for what the process adds (log, restorer, hooks).
pub struct ProxySettings<'a> {
    pub bind: &'a str,
    pub port: Option<u16>,
    pub tls: Option<TlsPort>,
    pub shards: u32,
    pub owner: String,
    pub primary: &'a Primary,
    pub limits: &'a Limits,
    pub engine: &'a Engine,
    pub memory: &'a Memory,
    /// Redis parameters that outrank the settings, see [`ProxyConfig::parameters`].
    pub parameters: Vec<(String, Vec<u8>)>,
    /// Its place among other nodes; `None` when it is alone.
    pub cluster: Option<ClusterConfig>,
    /// The shards' endpoints.
    pub endpoints: Option<EndpointConfig>,
    pub users: &'a Users,
}

/// The users that the settings name: the password of the default user, and the lines of `aclfile`.
fn initial_users(settings: &Users) -> Result<Vec<InitialUser>, String> {
    let path = &settings.aclfile;
    let mut users = if path.is_empty() {
        Vec::new()
    } else {
        let text = std::fs::read(path).map_err(|error| format!("users.aclfile: {path}: {error}"))?;
        InitialUser::from_file(&text).map_err(|error| format!("users.aclfile: {path}: {error}"))?
    };
    if !settings.requirepass.is_empty() {
        if users.iter().any(InitialUser::is_default) {
            return Err(
                "users.requirepass and a line for the user default in users.aclfile exclude each other"
                    .into(),
            );
        }
        users.push(InitialUser::default_with_password(&settings.requirepass));
    }
    Ok(users)
}

/// The shards' endpoints, if any are wanted. `host` is what clients are told where the settings don't say it.
pub fn endpoints(settings: &Cluster, tls: Option<TlsPort>, host: &str) -> Option<EndpointConfig> {
    let port = (settings.port != 0).then_some(settings.port);
    (port.is_some() || tls.is_some()).then(|| EndpointConfig {
        port,
        tls,
        host: if settings.announce_host.is_empty() {
            host.to_owned()
        } else {
            settings.announce_host.clone()
        },
        announce_port: settings.announce_port,
        announce_tls_port: settings.announce_tls_port,
    })
}

/// A proxy's configuration.
///
/// # Errors
/// Names the setting that can't be followed.
pub fn proxy(
    settings: &ProxySettings<'_>,
    log: Arc<dyn LogService>,
    repository: Arc<Repository>,
    hooks: Arc<dyn Hooks>,
) -> Result<ProxyConfig, String> {
    let shard = ShardConfig {
        owner: settings.owner.clone(),
        lease: Duration::from_millis(settings.primary.lease_ms),
        lease_margin: Duration::from_millis(settings.primary.lease_margin_ms),
        in_flight_bytes: settings.limits.undurable_bytes as u64,
        in_flight_blocks: settings.limits.undurable_blocks,
        limits: encodings(settings.engine),
        memory: memory(settings.memory),
    };
    Ok(ProxyConfig {
        bind: settings.bind.to_owned(),
        port: settings.port,
        tls: settings.tls.clone(),
        workers: settings.engine.workers,
        shards: settings.shards,
        max_clients: settings.limits.max_clients as u64,
        bulk_max_bytes: settings.limits.max_bulk_bytes as u64,
        query_max_bytes: settings.limits.query_buffer_bytes as u64,
        output_pause_bytes: settings.limits.output_pause_bytes as u64,
        output_stall_ms: settings.limits.output_stall_ms,
        shard,
        parameters: settings.parameters.clone(),
        cluster: settings.cluster.clone(),
        endpoints: settings.endpoints.clone(),
        initial_users: initial_users(settings.users)?,
        acl_all_channels: settings.users.acl_pubsub_default == "allchannels",
        acl_log_max: settings.users.acllog_max_len,
        restorer: Arc::new(SnapshotRestorer { repository, log: Arc::clone(&log) }),
        hooks,
        ..ProxyConfig::new(log)
    })
}

/// The snapshotter's configuration.
pub fn snapshotter(policy: &SnapshotPolicy, shards: u32, work: &Path) -> SnapshotterConfig {
    SnapshotterConfig {
        shards: (0..shards).collect(),
        work_folder: work.to_owned(),
        interval: Duration::from_secs(policy.interval_secs),
        log_bytes: policy.log_mb << 20,
        keep_count: policy.keep_count,
        keep_days: policy.keep_days,
        keep_log_snapshots: policy.keep_log_snapshots,
        segments: policy.segments,
        engine_version: proxy_shard::ENGINE_VERSION,
        ..SnapshotterConfig::default()
    }
}

/// Raft's pace. Heartbeats go out five times in an election timeout.
pub fn timing(storage: &LogStorage) -> logsvc_server::Timing {
    let election_ticks = (storage.election_ms / storage.tick_ms.max(1)).max(4) as usize;
    logsvc_server::Timing {
        tick: Duration::from_millis(storage.tick_ms),
        heartbeat_ticks: (election_ticks / 5).max(1),
        election_ticks,
    }
}

/// Raises the soft limit of open files to what `clients` need, as far as the system allows.
pub fn raise_file_limit(clients: usize) {
    // Beside clients: RocksDB's files, sockets of the log, HTTP.
    let wanted = clients as u64 + 2_000;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(given) if given < wanted => tracing::warn!(
            given,
            wanted,
            "the system allows fewer open files than limits.max_clients may need; raise it with ulimit -n"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

/// Bytes allocated by the process, from the allocator's own count.
pub fn allocated_bytes() -> Option<u64> {
    tikv_jemalloc_ctl::epoch::advance().ok()?;
    tikv_jemalloc_ctl::stats::allocated::read().ok().map(|bytes| bytes as u64)
}

/// Has the allocator give its unused pages back. Setting an arena's decay time, even to what it is, purges it.
fn purge_allocator() {
    use tikv_jemalloc_ctl::{Access, AsName};
    let arenas = tikv_jemalloc_ctl::arenas::narenas::read().unwrap_or(0);
    for arena in 0..arenas {
        for kind in ["dirty", "muzzy"] {
            let name = format!("arena.{arena}.{kind}_decay_ms\0");
            let set_again = Access::<isize>::read(name.name()).and_then(|ms| name.name().write(ms));
            if let Err(error) = set_again {
                tracing::debug!(arena, kind, %error, "not purged");
            }
        }
    }
}

/// Restores a shard from the newest snapshot that the log still continues.
struct SnapshotRestorer {
    repository: Arc<Repository>,
    log: Arc<dyn LogService>,
}

#[async_trait]
impl Restorer for SnapshotRestorer {
    async fn restore(
        &self,
        shard: u32,
        into: &mut Keyspace,
        progress: &RestoreProgress,
    ) -> Result<Option<Restored>, String> {
        let trim = self.log.describe(shard).await.map_err(|error| error.to_string())?.trim;
        let told = |now: snapshot_repo::RestoreProgress| {
            progress.keys.store(now.keys, Relaxed);
            progress.bytes.store(now.bytes, Relaxed);
            progress.total_bytes.store(now.total_bytes, Relaxed);
        };
        let restored = snapshot_repo::restore_with_log(
            &self.repository,
            shard,
            trim,
            proxy_shard::ENGINE_VERSION,
            into,
            told,
        )
        .await
        .map_err(|error| error.to_string())?;
        if restored.is_none() && trim > 0 {
            return Err(format!(
                "the log of shard {shard} begins after position {trim}, and there is no snapshot of what was before; \
                 is store.url the store that the snapshotter writes to?"
            ));
        }
        Ok(restored.map(|found| Restored { position: found.position, chain: found.chain }))
    }
}

/// What SAVE, SHUTDOWN and INFO ask of the process.
pub struct ProcessHooks {
    snapshotter: Option<Arc<SnapshotterHandle>>,
    /// The data folder.
    data: PathBuf,
    tls: Option<Arc<Tls>>,
    stop: Arc<Notify>,
}

impl ProcessHooks {
    /// Hooks of a process with or without a snapshotter and TLS; `stop` is notified by SHUTDOWN.
    pub fn new(
        snapshotter: Option<Arc<SnapshotterHandle>>,
        tls: Option<Arc<Tls>>,
        data: &Path,
        stop: Arc<Notify>,
    ) -> Self {
        Self { snapshotter, tls, data: data.to_owned(), stop }
    }
}

#[async_trait]
impl Hooks for ProcessHooks {
    async fn snapshot(&self) -> Result<(), String> {
        match &self.snapshotter {
            Some(snapshotter) => {
                snapshotter.trigger(None).await.map(|_| ()).map_err(|why| format!("ERR {why}"))
            }
            None => {
                Err("ERR snapshots are made by the snapshot process; use fastkeep ctl snapshot create"
                    .to_owned())
            }
        }
    }

    fn snapshot_running(&self) -> bool {
        self.snapshotter.as_ref().is_some_and(|s| s.status().iter().any(|shard| shard.running))
    }

    fn last_snapshot_s(&self) -> i64 {
        let newest = self
            .snapshotter
            .as_ref()
            .and_then(|s| s.status().iter().filter_map(|shard| shard.created_ms).min());
        newest.map_or(0, |ms| (ms / 1000) as i64)
    }

    fn last_snapshot_ok(&self) -> bool {
        self.snapshotter.as_ref().is_none_or(|s| s.status().iter().all(|shard| shard.error.is_none()))
    }

    fn keep_parameters(&self, text: &[u8]) -> Result<(), String> {
        crate::parameters::keep(&self.data, text)
            .map_err(|error| format!("ERR Rewriting config file: {error}"))
    }

    fn request_shutdown(&self) {
        self.stop.notify_one();
    }

    fn allocator(&self) -> Option<AllocatorFigures> {
        use tikv_jemalloc_ctl::stats::{active, allocated, metadata, resident, retained};
        tikv_jemalloc_ctl::epoch::advance().ok()?;
        Some(AllocatorFigures {
            allocated: allocated::read().ok()? as u64,
            active: active::read().ok()? as u64,
            resident: resident::read().ok()? as u64,
            metadata: metadata::read().ok()? as u64,
            retained: retained::read().ok()? as u64,
        })
    }

    fn tls_setting(&self, name: &str) -> Option<String> {
        self.tls.as_ref()?.files().setting(name)
    }

    fn set_tls(&self, changes: &[(&str, String)]) -> Result<(), String> {
        let tls =
            self.tls.as_ref().ok_or("there is no TLS port; tls-port sets one when the process starts")?;
        let mut files = tls.files();
        changes.iter().try_for_each(|(name, value)| files.set(name, value))?;
        tls.change(files)
    }

    fn purge_allocator(&self) {
        purge_allocator();
    }
}
