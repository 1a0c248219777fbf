//! Starting and stopping a proxy, and looking at it from outside.

use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logsvc_api::{Epoch, Position, ShardId};
use logsvc_client::{ReplicaDescription, ReplicaState};
use parking_lot::Mutex;
use proxy_shard::{Hold, Orders, Role, ShardStatus};
use rand::Rng;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::clients::Clients;
use crate::cluster::{self, Cluster};
use crate::config::ProxyConfig;
use crate::endpoint::{self, EndpointConfig};
use crate::handshakes::{self, HandshakeStats, TlsPort};
use crate::latency::Latency;
use crate::listener;
use crate::metric_names as names;
use crate::monitor::Monitors;
use crate::params::{self, Params};
use crate::pause::Pauses;
use crate::peers::Message;
use crate::pubsub::Registry;
use crate::push::PushQueue;
use crate::remote::messages;
use crate::script::{Busy, ScriptCache};
use crate::shared::Shared;
use crate::slowlog::SlowLog;
use crate::stats::{Counter, WorkerStats};
use crate::tracking::Tracking;
use crate::users::{self, Directory};
use crate::worker::{self, Worker};

/// How long a clean stop waits for other nodes to take the shards over.
const HAND_OVER: Duration = Duration::from_secs(4);
/// How often the sums are given to the metrics.
const METRICS_EVERY: Duration = Duration::from_secs(1);

/// A running proxy.
pub struct ProxyHandle {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What a proxy says about itself.
#[derive(Clone, Debug)]
pub struct ProxyStatus {
    /// Clients connected.
    pub connections: u64,
    /// One entry a shard, by number.
    pub shards: Vec<ShardView>,
}

/// One shard as its node sees it.
#[derive(Clone, Debug)]
pub struct ShardView {
    /// Its number.
    pub shard: ShardId,
    /// What this node is for it.
    pub role: Role,
    /// Epoch of the term, 0 without one.
    pub epoch: Epoch,
    /// Last position written.
    pub position: Position,
    /// Last position known to be durable.
    pub durable: Position,
    /// Records between the two; of a replica, records of the log that it lacks.
    pub lag: Position,
    /// Milliseconds since a replica was level with the log.
    pub lag_ms: u64,
    /// Keys over all databases.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// What is left of the lease, in milliseconds, at its last look.
    pub lease_left_ms: i64,
    /// Times that this node stopped being the primary.
    pub demotions: u64,
    /// Percent of a running restore.
    pub restore_percent: f64,
    /// Keys loaded by a running restore.
    pub restore_keys: u64,
    /// Bytes read by a running restore.
    pub restore_bytes: u64,
    /// Why it isn't served, in words; empty when it is.
    pub note: String,
}

/// Opens the port, starts the workers and returns; shards restore themselves from then on.
///
/// # Errors
/// When the address can't be listened on or a thread can't be started.
pub fn start(config: ProxyConfig) -> io::Result<ProxyHandle> {
    let plain = config.port.map(|port| listen(&config.bind, port)).transpose()?;
    let tls = config.tls.clone().map(|tls| Ok((listen(&config.bind, tls.port)?, tls)));
    let tls = tls.transpose().map_err(|error: io::Error| {
        let port = config.tls.as_ref().map_or(0, |tls| tls.port);
        io::Error::new(error.kind(), format!("TLS port {port}: {error}"))
    })?;
    let shards = config.shards.clamp(1, u32::from(proxy_store::SLOTS));
    let endpoints = endpoint::open(&config, shards)?;
    let port_of = |listener: &StdListener| listener.local_addr().map_or(0, |address| address.port());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if config.workers == 0 { cores.min(shards as usize) } else { config.workers }.max(1);
    let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
    let shared = Arc::new(Shared {
        params: Params::new(&config),
        port: plain.as_ref().map_or(0, port_of),
        tls_port: tls.as_ref().map_or(0, |(listener, _)| port_of(listener)),
        handshakes: HandshakeStats::default(),
        stop_tls: Notify::new(),
        stop_endpoints: Notify::new(),
        shards,
        workers,
        status: (0..shards).map(|_| Arc::new(ShardStatus::default())).collect(),
        orders: (0..shards).map(|_| orders(config.cluster.is_some())).collect(),
        cluster: config.cluster.clone().map(|cluster| {
            Arc::new(Cluster::new(
                cluster,
                config.shard.owner.clone(),
                &config.bind,
                plain.as_ref().map_or(0, port_of),
                tls.as_ref().map_or(0, |(listener, _)| port_of(listener)),
                config.endpoints.as_ref().map(EndpointConfig::announced),
            ))
        }),
        stats: (0..workers).map(|_| Arc::new(WorkerStats::new())).collect(),
        inboxes,
        pushes: (0..workers).map(|_| PushQueue::default()).collect(),
        pubsub: Arc::new(Registry::new(workers)),
        scripts: ScriptCache::default(),
        busy: (0..workers).map(|_| Busy::default()).collect(),
        tracking: Tracking::default(),
        observers: Arc::default(),
        clients: Clients::default(),
        users: Directory::new(),
        started: Instant::now(),
        started_s: worker::unix_ms() / 1000,
        run_id: random_id(),
        slowlog: SlowLog::default(),
        latency: Latency::default(),
        monitors: Monitors::default(),
        pauses: Pauses::default(),
        stopping: false.into(),
        repl_id: Mutex::new(random_id()),
        zones: Mutex::default(),
        saves: 0.into(),
        last_save_s: (-1).into(),
        closing: tokio::sync::Notify::new(),
        saving: false.into(),
        shutting: false.into(),
        config,
    });
    params::load(&shared);
    let mut threads = Vec::with_capacity(workers + 2);
    // On a thread of its own: a worker that a script holds up must not keep clients from coming in.
    if let Some(listener) = plain {
        let accepting = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("listener".into());
        threads.push(thread.spawn(move || run_listener(listener, accepting))?);
    }
    for (index, inbox) in receivers.into_iter().enumerate() {
        let shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || run_worker(index, shared, inbox))?;
        threads.push(thread);
    }
    if let Some((listener, port)) = tls {
        let shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("handshakes".into());
        threads.push(thread.spawn(move || run_handshakes(shared, listener, port))?);
    }
    if !endpoints.is_empty() {
        let shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("endpoints".into());
        threads.push(thread.spawn(move || run_endpoints(shared, endpoints))?);
    }
    Ok(ProxyHandle { shared, threads: Mutex::new(threads) })
}

/// Forty random hexadecimal digits.
pub(crate) fn random_id() -> String {
    (0..40).map(|_| char::from_digit(rand::rng().random_range(0..16), 16).unwrap_or('0')).collect()
}

/// Looks now and then how the log's replicas are, for INFO.
async fn watch_zones(shared: Arc<Shared>) {
    const EVERY: Duration = Duration::from_secs(2);
    loop {
        let mut zones = Vec::new();
        for shard in 0..shared.shards {
            let about = shared.config.log.describe(shard).await.unwrap_or_default();
            let well = |replica: &&ReplicaDescription| {
                matches!(replica.state, ReplicaState::Leader | ReplicaState::Follower)
            };
            zones.push((about.replicas.len() as u32, about.replicas.iter().filter(well).count() as u32));
        }
        *shared.zones.lock() = zones;
        tokio::time::sleep(EVERY).await;
    }
}

pub(crate) fn listen(bind: &str, port: u16) -> io::Result<StdListener> {
    let listener = StdListener::bind((bind, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The thread that accepts clients on the plain port.
fn run_listener(listener: StdListener, shared: Arc<Shared>) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!("the listener has no runtime: {error}"),
    };
    runtime.block_on(async move {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => tokio::select! {
                () = listener::run(listener, Arc::clone(&shared), None) => {}
                () = shared.closing.notified() => {}
            },
            Err(error) => tracing::error!("can't listen: {error}"),
        }
    });
}

/// The thread of the TLS port.
fn run_handshakes(shared: Arc<Shared>, listener: StdListener, port: TlsPort) {
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!("the TLS port has no runtime: {error}"),
    };
    runtime.block_on(async move {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => tokio::select! {
                () = handshakes::run(listener, port, Arc::clone(&shared), None) => {}
                () = shared.stop_tls.notified() => {}
            },
            Err(error) => tracing::error!("can't listen for TLS: {error}"),
        }
    });
}

/// The thread that accepts clients at the shards' endpoints.
fn run_endpoints(shared: Arc<Shared>, endpoints: Vec<endpoint::Listener>) {
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!("the endpoints have no runtime: {error}"),
    };
    runtime.block_on(async move {
        for endpoint in endpoints {
            endpoint.accept(&shared);
        }
        shared.stop_endpoints.notified().await;
    });
}

/// A worker's thread. The first one also gives the sums to the metrics.
fn run_worker(index: usize, shared: Arc<Shared>, inbox: UnboundedReceiver<Message>) {
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("worker {index} has no runtime: {error}");
            return;
        }
    };
    runtime.block_on(async move {
        if index == 0 {
            tokio::task::spawn_local(publish_metrics(Arc::clone(&shared)));
            tokio::task::spawn_local(watch_zones(Arc::clone(&shared)));
            tokio::task::spawn_local(users::follow(Arc::clone(&shared)));
            if let Some(cluster) = &shared.cluster {
                tokio::task::spawn_local(cluster::publish(Arc::clone(&shared), Arc::clone(cluster)));
                tokio::task::spawn_local(cluster::watch(Arc::clone(&shared), Arc::clone(cluster)));
                tokio::task::spawn_local(cluster::lead_near(Arc::clone(&shared), Arc::clone(cluster)));
                tokio::task::spawn_local(messages::follow(Arc::clone(&shared), Arc::clone(cluster)));
            }
        }
        let config = shared.config.shard.clone();
        worker::run(Rc::new(Worker::new(index, shared, &config)), inbox).await;
    });
}

async fn publish_metrics(shared: Arc<Shared>) {
    let sum = |place: fn(&WorkerStats) -> &Counter| -> u64 {
        shared.stats.iter().map(|stats| place(stats).get()).sum()
    };
    loop {
        tokio::time::sleep(METRICS_EVERY).await;
        metrics::counter!(names::COMMANDS).absolute(sum(|stats| &stats.commands));
        metrics::counter!(names::CONNECTIONS).absolute(sum(|stats| &stats.connections));
        metrics::counter!(names::REJECTED).absolute(sum(|stats| &stats.rejected_connections));
        metrics::counter!(names::BYTES_IN).absolute(sum(|stats| &stats.bytes_in));
        metrics::counter!(names::BYTES_OUT).absolute(sum(|stats| &stats.bytes_out));
        metrics::counter!(names::ERRORS).absolute(sum(|stats| &stats.errors));
        metrics::counter!(names::GATED).absolute(sum(|stats| &stats.gated));
        metrics::counter!(names::FORWARDED).absolute(sum(|stats| &stats.forwarded));
        if shared.tls_port != 0 {
            let HandshakeStats { done, failed, late } = &shared.handshakes;
            for (result, count) in [("ok", done), ("failed", failed), ("late", late)] {
                metrics::counter!(names::HANDSHAKES, "result" => result).absolute(count.load(Relaxed));
            }
        }
        metrics::gauge!(names::CLIENTS).set(shared.clients.count() as f64);
        for (shard, status) in shared.status.iter().enumerate() {
            use proxy_shard::metric_names as shard_names;
            let label = shard.to_string();
            metrics::counter!(shard_names::RECORDS, "shard" => label.clone())
                .absolute(status.position.load(Relaxed));
            metrics::counter!(shard_names::BLOCKS, "shard" => label.clone())
                .absolute(status.blocks.load(Relaxed));
            metrics::counter!(shard_names::BLOCK_BYTES, "shard" => label.clone())
                .absolute(status.block_bytes.load(Relaxed));
            metrics::counter!(shard_names::EXPIRED, "shard" => label.clone())
                .absolute(status.expired.load(Relaxed));
            metrics::gauge!(shard_names::LAG, "shard" => label.clone()).set(status.lag() as f64);
            metrics::gauge!(shard_names::KEYS, "shard" => label.clone()).set(status.total_keys() as f64);
            metrics::gauge!(shard_names::BYTES, "shard" => label).set(status.bytes.load(Relaxed) as f64);
        }
    }
}

impl ProxyHandle {
    /// The plain port listened on, 0 if there is none.
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// What clients of Redis Cluster are told of this node.
    pub fn announced_endpoints(&self) -> Option<config_cluster::Endpoints> {
        self.shared.config.endpoints.as_ref().map(EndpointConfig::announced)
    }

    /// The TLS port listened on, 0 if there is none.
    pub fn tls_port(&self) -> u16 {
        self.shared.tls_port
    }

    /// The port of the first shard's endpoint; none if there are no endpoints.
    pub fn endpoints(&self) -> Option<u16> {
        endpoint::port(&self.shared, 0)
    }

    /// A look at the proxy.
    pub fn status(&self) -> ProxyStatus {
        let view = |(shard, status): (usize, &Arc<ShardStatus>)| ShardView {
            shard: shard as ShardId,
            role: status.role(),
            epoch: status.epoch.load(Relaxed),
            position: status.position.load(Relaxed),
            durable: status.durable.load(Relaxed),
            lag: status.lag(),
            lag_ms: status.lag_ms(worker::unix_ms()),
            keys: status.total_keys(),
            bytes: status.bytes.load(Relaxed),
            lease_left_ms: status.lease_left_ms.load(Relaxed),
            demotions: status.demotions.load(Relaxed),
            restore_percent: status.restore.percent(),
            restore_keys: status.restore.keys.load(Relaxed),
            restore_bytes: status.restore.bytes.load(Relaxed),
            note: status.note(),
        };
        ProxyStatus {
            connections: self.shared.clients.count(),
            shards: self.shared.status.iter().enumerate().map(view).collect(),
        }
    }

    /// Whether every shard is served, or followed if this is one node of several, to users who are known.
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready() && self.shared.users.is_known()
    }

    /// Stops accepting, lets what is on its way to the log arrive, closes every client, ends the workers.
    pub async fn shutdown(&self) {
        if let Some(cluster) = &self.shared.cluster
            && !cluster::leave(&self.shared, cluster, HAND_OVER).await
        {
            tracing::warn!("not every shard could be handed over; its lease runs out by itself");
        }
        self.shared.stopping.store(true, Relaxed);
        self.shared.stop_tls.notify_one();
        self.shared.stop_endpoints.notify_one();
        self.shared.closing.notify_one();
        for inbox in &self.shared.inboxes {
            let _ = inbox.send(Message::Stop);
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        let _ = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        })
        .await;
        if let Some(cluster) = &self.shared.cluster {
            cluster.unregister(&self.shared.config.log).await;
        }
    }
}

/// Orders for a shard: alone, a node holds all; among others it waits to be told.
fn orders(among_others: bool) -> Arc<Orders> {
    let orders = Orders::default();
    if among_others {
        orders.set_hold(Hold::Unknown);
    }
    Arc::new(orders)
}
