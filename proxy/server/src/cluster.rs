//! This node among the others: it writes its own account into the metadata log, watches everybody's, and turns what it sees
//! into orders for its shards and into routes for its clients.
//!
//! ```text
//!   role changes, every second --> nodes/ME          (metadata log)
//!   nodes/*, failover/* --watch--> ClusterMap --> routes (remote.rs), orders (proxy-shard), WAIT, ROLE, INFO, ctl
//! ```
//! Nothing here decides who may serve: that is the lease's and the log's business.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use config_cluster::{
    ClusterMap, Endpoints, FAILOVERS, NODES, NodeRecord, RoleName, ShardRecord, failover_key, node_key,
};
use logsvc_api::ShardId;
use logsvc_client::{LogError, LogService, MetaValue};
use parking_lot::{Mutex, RwLock};
use proxy_shard::{ENGINE_VERSION, Hold, Role};
use rand::Rng;
use rustls::ClientConfig;
use tokio::sync::{Notify, watch};

use crate::shared::Shared;
use crate::worker::unix_ms;

/// How often a node says that it is there.
const BEAT: Duration = Duration::from_secs(1);
/// A node that has said nothing for so long counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(6);
/// What it has written about itself is removed then.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Pause after a failed look at the metadata.
const RETRY: Duration = Duration::from_millis(100);
/// Patience with one metadata request.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a link to another node is opened with; may change while the proxy runs.
pub type LinkTls = Arc<ArcSwap<ClientConfig>>;

/// What makes a proxy one node of several.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Its availability zone.
    pub zone: String,
    /// `host` or `host:port` under which others reach its Redis endpoint; the port defaults to the one that it listens on.
    pub advertise: String,
    /// `host:port` of its HTTP endpoint.
    pub http: String,
    /// Replicas that each shard should have.
    pub replicas: u32,
    /// Others reach it on its TLS port, also when there is a plain one.
    pub tls: bool,
    /// How nodes are reached that want TLS.
    pub links: Option<LinkTls>,
}

/// The cluster as this node sees it.
pub(crate) struct Cluster {
    pub(crate) config: ClusterConfig,
    pub(crate) id: String,
    address: String,
    tls: bool,
    endpoints: Option<Endpoints>,
    link_key: String,
    map: RwLock<Arc<ClusterMap>>,
    /// Counts changes of routes: of the map, or of a role here.
    routes: watch::Sender<u64>,
    /// The own account has to be written.
    dirty: Notify,
    leaving: AtomicBool,
    /// Clients that are other nodes.
    linked: Mutex<HashSet<u64>>,
    /// Clients that have said READONLY.
    stale: Mutex<HashSet<u64>>,
}

impl Cluster {
    /// `port` and `tls_port` are 0 where there is none.
    pub(crate) fn new(
        config: ClusterConfig,
        id: String,
        bind: &str,
        port: u16,
        tls_port: u16,
        endpoints: Option<Endpoints>,
    ) -> Self {
        let tls = tls_port != 0 && (config.tls || port == 0);
        let port = if tls { tls_port } else { port };
        let host = if config.advertise.is_empty() { bind } else { &config.advertise };
        let address = if has_port(host) { host.to_owned() } else { format!("{host}:{port}") };
        let key = (0..32).map(|_| char::from(rand::rng().sample(rand::distr::Alphanumeric))).collect();
        Self {
            config,
            id,
            address,
            tls,
            endpoints,
            link_key: key,
            map: RwLock::default(),
            routes: watch::channel(0).0,
            dirty: Notify::new(),
            leaving: AtomicBool::new(false),
            linked: Mutex::default(),
            stale: Mutex::default(),
        }
    }

    /// Everybody, as last seen.
    pub(crate) fn map(&self) -> Arc<ClusterMap> {
        Arc::clone(&self.map.read())
    }

    /// A role here has changed.
    pub(crate) fn changed(&self) {
        self.dirty.notify_one();
        self.routes.send_modify(|count| *count += 1);
    }

    /// Told of every change of routes.
    pub(crate) fn routes(&self) -> watch::Receiver<u64> {
        self.routes.subscribe()
    }

    /// No shard is taken any more, and the others are told so.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Relaxed);
        self.dirty.notify_one();
    }

    /// A client has shown this key: whether it is another node, which then it is until it goes.
    pub(crate) fn admit_link(&self, client: u64, key: &[u8]) -> bool {
        let right = key == self.link_key.as_bytes();
        if right {
            self.linked.lock().insert(client);
        }
        right
    }

    /// Whether a client is another node.
    pub(crate) fn is_link(&self, client: u64) -> bool {
        self.linked.lock().contains(&client)
    }

    /// READONLY and READWRITE.
    pub(crate) fn set_stale_reads(&self, client: u64, on: bool) {
        if on {
            self.stale.lock().insert(client);
        } else {
            self.stale.lock().remove(&client);
        }
    }

    /// Whether a client takes a replica's word.
    pub(crate) fn reads_stale(&self, client: u64) -> bool {
        self.stale.lock().contains(&client)
    }

    pub(crate) fn forget_client(&self, client: u64) {
        self.linked.lock().remove(&client);
        self.stale.lock().remove(&client);
    }

    fn account(&self, shared: &Shared) -> NodeRecord {
        let now_ms = unix_ms();
        let held = (0..).zip(&shared.status).filter(|(_, status)| status.role() != Role::Absent);
        let shards = held.map(|(shard, status)| ShardRecord {
            shard,
            role: match status.role() {
                Role::Primary | Role::Draining => RoleName::Primary,
                Role::Replica => RoleName::Replica,
                Role::Restoring | Role::Demoted | Role::Absent => RoleName::Restoring,
            },
            epoch: match status.role() {
                Role::Primary | Role::Draining => status.epoch.load(Relaxed),
                _ => status.log_epoch.load(Relaxed),
            },
            position: status.position.load(Relaxed),
            lag_records: status.lag(),
            lag_ms: status.lag_ms(now_ms),
            handed_to: status.handed_to(),
            note: status.note(),
        });
        NodeRecord {
            id: self.id.clone(),
            zone: self.config.zone.clone(),
            address: self.address.clone(),
            tls: self.tls,
            endpoints: self.endpoints.clone(),
            http: self.config.http.clone(),
            engine_version: ENGINE_VERSION,
            link_key: self.link_key.clone(),
            leaving: self.leaving.load(Relaxed),
            beat: now_ms.max(0) as u64,
            shards: shards.collect(),
        }
    }

    /// Removes the own account: the node is gone on purpose.
    pub(crate) async fn unregister(&self, log: &Arc<dyn LogService>) {
        let key = node_key(&self.id);
        let removed = log.meta_put(&key, Bytes::new(), None);
        if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, removed).await {
            tracing::warn!("can't remove this node from the metadata: {error}");
        }
    }
}

/// Whether an address ends with a port: `host:1`, `[::1]:1`, but not `::1`.
fn has_port(address: &str) -> bool {
    match address.rsplit_once(':') {
        Some((host, port)) => port.parse::<u16>().is_ok() && (host.ends_with(']') || !host.contains(':')),
        None => false,
    }
}

/// Writes the own account at once after a change, and once a beat.
pub(crate) async fn publish(shared: Arc<Shared>, cluster: Arc<Cluster>) {
    let log = Arc::clone(&shared.config.log);
    while !shared.stopping.load(Relaxed) {
        let record = Bytes::from(cluster.account(&shared).encode());
        match tokio::time::timeout(PATIENCE, log.meta_put(&node_key(&cluster.id), record, None)).await {
            Ok(Ok(_)) => {
                tokio::select! { () = cluster.dirty.notified() => {}, () = tokio::time::sleep(BEAT) => {} }
            }
            Ok(Err(error)) => {
                tracing::debug!("can't write this node's account: {error}");
                tokio::time::sleep(RETRY).await;
            }
            Err(_) => {}
        }
    }
}

/// When each node's heartbeat was last seen to move.
#[derive(Default)]
struct Seen(HashMap<String, (u64, Instant)>);

impl Seen {
    /// How long a node has said nothing, by this node's clock.
    fn silence(&mut self, record: &NodeRecord, now: Instant) -> Duration {
        let seen = self.0.entry(record.id.clone()).or_insert((record.beat, now));
        if seen.0 != record.beat {
            *seen = (record.beat, now);
        }
        now.saturating_duration_since(seen.1)
    }
}

/// Follows the metadata.
pub(crate) async fn watch(shared: Arc<Shared>, cluster: Arc<Cluster>) {
    let log = Arc::clone(&shared.config.log);
    let (mut since, mut seen) = (0, Seen::default());
    while !shared.stopping.load(Relaxed) {
        let looked = async {
            let revision = log.meta_watch(since, BEAT).await?;
            let nodes = log.meta_list(NODES).await?;
            let failovers = log.meta_list(FAILOVERS).await?;
            Ok::<_, LogError>((revision, nodes, failovers))
        };
        match looked.await {
            Ok((revision, nodes, failovers)) => {
                since = revision;
                let map = take_stock(&cluster, &log, &mut seen, nodes).await;
                if *cluster.map.read() != map {
                    *cluster.map.write() = Arc::clone(&map);
                    cluster.routes.send_modify(|count| *count += 1);
                }
                give_orders(&shared, &cluster, &map);
                for (key, wish) in failovers {
                    hand_over(&shared, &cluster, &map, &key, &wish).await;
                }
            }
            Err(error) => {
                tracing::debug!("can't watch the metadata: {error}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// The nodes that are there.
async fn take_stock(
    cluster: &Cluster,
    log: &Arc<dyn LogService>,
    seen: &mut Seen,
    nodes: Vec<(String, MetaValue)>,
) -> Arc<ClusterMap> {
    let now = Instant::now();
    let mut there = Vec::new();
    for (key, found) in nodes {
        let Some(record) = NodeRecord::decode(&found.value) else {
            tracing::debug!(key, "a node's account can't be read");
            continue;
        };
        let silence = seen.silence(&record, now);
        if silence > FORGOTTEN_AFTER {
            let _ = log.meta_put(&key, Bytes::new(), Some(found.revision)).await;
        }
        if silence <= GONE_AFTER || record.id == cluster.id {
            there.push(record);
        }
    }
    Arc::new(ClusterMap::new(there))
}

/// Tells each shard whether it is to be here, and where this node stands among those that would take it over.
fn give_orders(shared: &Shared, cluster: &Cluster, map: &ClusterMap) {
    let placement = map.placement(shared.shards, cluster.config.replicas);
    for (shard, order) in (0..).zip(&placement) {
        let Some(orders) = shared.orders.get(shard as usize) else { continue };
        let primary = map.primary(shard).map(|(node, _)| node.id.as_str());
        let mut others = order.iter().filter(|id| Some(**id) != primary);
        let rank = others.position(|id| *id == cluster.id).unwrap_or(order.len());
        orders.set_rank(rank as u32);
        orders.appoint(map.handed_to(shard) == Some(&cluster.id));
        // Placement knows of this node once its own account has come back.
        if map.node(&cluster.id).is_none() || cluster.leaving.load(Relaxed) {
            continue;
        }
        let hold = if map.should_hold(shard, order, &cluster.id) { Hold::Hold } else { Hold::LetGo };
        orders.set_hold(hold);
        let serves = shared.status.get(shard as usize).is_some_and(|status| status.role() == Role::Primary);
        if let Some(to) = map.rightful(shard, order, &cluster.id).filter(|_| serves) {
            orders.hand_over(to.to_owned());
        }
    }
}

/// Somebody asks for a planned hand-over: the shard's primary carries it out and takes the wish away.
async fn hand_over(shared: &Shared, cluster: &Cluster, map: &ClusterMap, key: &str, wish: &MetaValue) {
    let Some(shard) = key.strip_prefix(FAILOVERS).and_then(|text| text.parse::<ShardId>().ok()) else {
        return;
    };
    let Some(status) = shared.status.get(shard as usize) else { return };
    if status.role() != Role::Primary {
        return;
    }
    let wanted = String::from_utf8_lossy(&wish.value).into_owned();
    let chosen = match wanted.as_str() {
        "*" => map.successor(shard, shared.shards, cluster.config.replicas, &cluster.id).map(str::to_owned),
        id => map.replicas(shard).any(|(node, _)| node.id == id).then(|| id.to_owned()),
    };
    // Before it is carried out: a wish is granted once.
    let taken = shared.config.log.meta_put(&failover_key(shard), Bytes::new(), Some(wish.revision)).await;
    match (taken, chosen) {
        (Ok(_), Some(to)) => {
            if let Some(orders) = shared.orders.get(shard as usize) {
                orders.hand_over(to);
            }
        }
        (Ok(_), None) => tracing::warn!(shard, wanted, "not handed over: no such replica follows"),
        (Err(error), _) => tracing::debug!(shard, "the wish for a hand-over can't be taken: {error}"),
    }
}

/// Gives every shard that is served here to the node that should have it. True when none is left.
pub(crate) async fn leave(shared: &Shared, cluster: &Cluster, patience: Duration) -> bool {
    /// Until the others have learnt of it, too: meanwhile they send here what this node tells them to take elsewhere.
    const NEWS: Duration = Duration::from_millis(300);
    cluster.leave();
    let until = Instant::now() + patience;
    let serves = || {
        (0..)
            .zip(&shared.status)
            .filter(|(_, status)| matches!(status.role(), Role::Primary | Role::Draining))
    };
    let served = serves().next().is_some();
    for (shard, _) in serves() {
        let map = cluster.map();
        let to = map.successor(shard, shared.shards, cluster.config.replicas, &cluster.id);
        if let (Some(to), Some(orders)) = (to, shared.orders.get(shard as usize)) {
            orders.hand_over(to.to_owned());
        }
    }
    // Until the next one serves: what clients send meanwhile is held and passed on.
    let taken = |shard: ShardId| {
        let map = cluster.map();
        map.primary(shard).is_some_and(|(node, _)| node.id != cluster.id)
    };
    loop {
        let map = cluster.map();
        let waits = (0..shared.shards).any(|shard| {
            let successor = map.successor(shard, shared.shards, cluster.config.replicas, &cluster.id);
            let mine = serves().any(|(served, _)| served == shard);
            (mine && successor.is_some()) || (!mine && !taken(shard) && successor.is_some())
        });
        if !waits {
            if served && map.nodes().nth(1).is_some() {
                tokio::time::sleep(NEWS).await;
            }
            return serves().next().is_none();
        }
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Moves the leadership of the shards' logs to the zone of their primary: an append then waits for one zone only.
pub(crate) async fn lead_near(shared: Arc<Shared>, cluster: Arc<Cluster>) {
    const EVERY: Duration = Duration::from_secs(2);
    let log = Arc::clone(&shared.config.log);
    while !shared.stopping.load(Relaxed) {
        tokio::time::sleep(EVERY).await;
        for (shard, status) in (0..).zip(&shared.status) {
            if status.role() != Role::Primary {
                continue;
            }
            let Ok(about) = log.describe(shard).await else { continue };
            let zone = &cluster.config.zone;
            let leads = |replica: &&logsvc_client::ReplicaDescription| Some(replica.id) == about.leader;
            let near = about.replicas.iter().find(|replica| replica.az == *zone);
            let elsewhere = about.replicas.iter().find(leads).is_some_and(|leader| leader.az != *zone);
            // One that lags would make appends wait.
            let ready = near.is_some_and(|near| {
                near.state == logsvc_client::ReplicaState::Follower && near.lag < 1000 && near.error.is_none()
            });
            if elsewhere && ready {
                tracing::info!(shard, zone, "asking the log's leader to move here");
                if let Err(error) = log.lead_from(shard, zone).await {
                    tracing::debug!(shard, "the log's leader stays: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_hosts() {
        for with in ["h:1", "10.0.0.1:6379", "[::1]:1"] {
            assert!(has_port(with), "{with}");
        }
        for without in ["h", "10.0.0.1", "::1", "[::1]", "h:x"] {
            assert!(!has_port(without), "{without}");
        }
    }
}
