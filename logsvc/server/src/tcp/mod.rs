//! One replica in a process of its own, serving clients and peers over TCP. What `fastkeep logsvc` runs.

mod forming;
mod peers;
mod roster_file;
mod session;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use logsvc_client::wire::{Complaint, Hello, LinkTls, Role, Standing, VERSION};
use logsvc_client::{ROSTER, Roster};
use logsvc_raft::{META_GROUP, NodeNumber};
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::StartError;
use crate::identity::{Identity, Stage};
use crate::outcome;
use crate::replica::{
    Birth, Call, GroupView, Known, Replica, ReplicaConfig, Seat, Timing, Zones, block_cache,
};
use crate::storage::{StorageConfig, set_aside};
use forming::Forming;
use peers::TcpPeers;

/// Pause between two looks at what needs care.
const CARE: Duration = Duration::from_millis(100);
/// How often it is said what a replica waits for.
const SAY_EVERY: Duration = Duration::from_secs(3);
const MAX_HANDSHAKES: usize = 64;
/// How long others still speak to a replica that no group has as a member any more: it asks them whether it may stop.
const FAREWELL: Duration = Duration::from_secs(60);

/// Another replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its availability zone.
    pub az: String,
    /// `host:port`.
    pub address: String,
}

/// Settings of one replica process.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where to listen, `host:port`; port 0 picks one.
    pub listen: String,
    /// This replica's availability zone.
    pub az: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Where the other replicas reach it, as the log's roster has it.
    pub address: String,
    /// The other replicas, as far as known: the cluster is founded with them; later the log's roster tells.
    pub peers: Vec<PeerConfig>,
    /// Shards of the log; the same everywhere, fixed when the cluster is formed.
    pub shards: u32,
    /// Bytes of recent blocks kept in memory for readers.
    pub cache_bytes: u64,
    /// A replica whose disk was wiped or damaged comes back by itself, under a new identity.
    pub auto_replace: bool,
    /// Pace of the consensus.
    pub timing: Timing,
    /// Settings of the database.
    pub storage: StorageConfig,
    /// TLS of all connections, those to the other replicas included.
    pub tls: Option<LinkTls>,
}

impl ServerConfig {
    /// Defaults for a replica in `dir`.
    pub fn new(listen: &str, az: &str, dir: impl Into<PathBuf>, peers: Vec<PeerConfig>) -> Self {
        Self {
            listen: listen.into(),
            address: listen.into(),
            az: az.into(),
            dir: dir.into(),
            peers,
            shards: 1,
            cache_bytes: 64 << 20,
            auto_replace: true,
            timing: Timing::default(),
            storage: StorageConfig::default(),
            tls: None,
        }
    }
}

/// What all connections share.
pub(crate) struct Shared {
    standing: Arc<Mutex<Standing>>,
    /// A member's database is being opened, or can't be.
    opening: AtomicBool,
    replica: OnceLock<Arc<Replica>>,
    seat: Arc<Seat>,
    zones: Zones,
    rosters: watch::Sender<Option<Known>>,
    number: Arc<AtomicU16>,
    /// What a start waits for, or why there is none.
    waits: Arc<Mutex<String>>,
    shards: u32,
    tls: Option<LinkTls>,
    /// Handshakes of TLS at one time; more wait.
    handshakes: Semaphore,
    complaint: Complaint,
}

/// A running replica server.
pub struct ServerHandle {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl ServerHandle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// True once it takes part in the log; before, it waits for others (its log lines say for what).
    pub fn is_serving(&self) -> bool {
        self.shared.replica.get().is_some()
    }

    /// For asking how it is while somebody else holds this handle.
    pub fn health(&self) -> Health {
        Health(Arc::clone(&self.shared))
    }

    /// Stops listening and the replica, in good order.
    pub async fn stop(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            // Only then its port is free for another one.
            let _ = task.await;
        }
        if let Some(replica) = self.shared.replica.get().cloned() {
            let _ = tokio::task::spawn_blocking(move || replica.stop()).await;
        }
    }
}

/// How a replica server is.
#[derive(Clone)]
pub struct Health(Arc<Shared>);

impl Health {
    /// What it waits for: other processes while it starts, then a majority of a group's members, by name. `None` when every group
    /// here has a leader.
    pub fn waits_for(&self) -> Option<String> {
        match self.0.replica.get() {
            Some(replica) => replica.waits_for(&self.0.zones.read()),
            None => Some(self.0.waits.lock().clone()),
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
    }
}

/// Listens and starts the replica as soon as it is clear how; until then clients are told to ask elsewhere.
///
/// # Errors
/// When the address can't be bound, or the folder belongs to another replica. What comes later (a locked or damaged database) is logged
/// as an error.
pub async fn serve(config: ServerConfig) -> Result<ServerHandle, StartError> {
    let roster = known_roster(&config)?;
    let identity = Identity::read(&config.dir).map_err(|error| StartError::Corrupt(error.to_string()))?;
    let number = match (&identity, roster.in_zone(&config.az)) {
        (Some(identity), own) if own.is_none_or(|own| own.number != identity.node) => {
            return Err(StartError::Mismatch(format!(
                "{} was created for zone {} as replica {}, which is none of the log's replicas any more",
                config.dir.display(),
                identity.az,
                identity.node
            )));
        }
        (_, own) => own.map_or(0, |own| own.number),
    };
    let number = Arc::new(AtomicU16::new(number));
    let zones = roster.members.iter().map(|member| (member.number, member.zone.clone())).collect();
    let zones: Zones = Arc::new(RwLock::new(zones));
    let listener = TcpListener::bind(&config.listen).await;
    let listener = listener.map_err(|error| StartError::Failed(format!("{}: {error}", config.listen)))?;
    let address = listener.local_addr()?;
    let standing = Standing { cluster: 0, stage: 0, az: config.az.clone() };
    // Told from the first connection on: others throw their damaged databases away only for what was opened.
    let member = Identity::read(&config.dir).ok().flatten().is_some_and(|own| own.stage == Stage::Member);
    let shared = Arc::new(Shared {
        standing: Arc::new(Mutex::new(standing)),
        opening: AtomicBool::new(member),
        replica: OnceLock::new(),
        seat: Arc::new(Seat::default()),
        zones,
        rosters: watch::channel(None).0,
        number: Arc::clone(&number),
        waits: Arc::new(Mutex::new("it has just been started".to_owned())),
        shards: config.shards,
        tls: config.tls.clone(),
        handshakes: Semaphore::new(MAX_HANDSHAKES),
        complaint: Complaint::default(),
    });
    let accept = tokio::spawn(accept(listener, Arc::clone(&shared)));
    let forming = Forming {
        dir: config.dir.clone(),
        number,
        az: config.az.clone(),
        address: config.address.clone(),
        shards: config.shards,
        peers: others(&roster, &config.az),
        roster: Mutex::new(roster),
        hello: Hello { version: VERSION, role: Role::Peer, cluster: 0, replica: 0, az: config.az.clone() },
        tls: config.tls.clone(),
        complaint: Arc::default(),
        auto_replace: config.auto_replace,
        waits: Arc::clone(&shared.waits),
        standing: Arc::clone(&shared.standing),
    };
    let run = tokio::spawn(run(config, forming, Arc::clone(&shared)));
    Ok(ServerHandle { shared, address, tasks: vec![accept, run] })
}

/// The log as its folder knows it, or as it would be founded.
fn known_roster(config: &ServerConfig) -> Result<Roster, StartError> {
    if let Some(roster) = roster_file::read(&config.dir).map_err(StartError::Corrupt)? {
        return Ok(roster);
    }
    let peers = config.peers.iter().map(|peer| (&*peer.az, &*peer.address));
    let roster = Roster::founding(peers.chain([(&*config.az, &*config.address)]));
    if roster.members.windows(2).any(|pair| matches!(pair, [a, b] if a.zone == b.zone)) {
        return Err(StartError::Mismatch("two replicas are configured for the same zone".into()));
    }
    Ok(roster)
}

/// Where the others of a roster are.
fn others(roster: &Roster, az: &str) -> HashMap<NodeNumber, String> {
    let others = roster.members.iter().filter(|member| member.zone != az);
    others.map(|member| (member.number, member.address.clone())).collect()
}

/// Serves every connection, until it is aborted: then they all end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = sessions.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => drop(sessions.spawn(session::serve(stream, Arc::clone(&shared)))),
            Err(error) => {
                tracing::warn!(%error, "a connection to the log couldn't be accepted");
                tokio::time::sleep(CARE).await;
            }
        }
    }
}

async fn run(config: ServerConfig, forming: Forming, shared: Arc<Shared>) {
    let rosters = shared.rosters.subscribe();
    let started = match forming.decide().await {
        Ok((identity, birth)) => {
            let roster = forming.roster.lock().clone();
            let zones = roster.members.iter().map(|member| (member.number, member.zone.clone()));
            // Those of the configuration were a guess if there is a cluster already.
            *shared.zones.write() = zones.collect();
            let replica = u64::from(identity.node);
            let hello = Hello { cluster: identity.cluster, replica, ..forming.hello.clone() };
            let peers = TcpPeers::new(hello, shared.tls.clone(), &shared.seat);
            peers.set(&others(&roster, &config.az));
            let start = async |birth| start(config.clone(), &shared, &identity, birth, peers.clone()).await;
            shared.opening.store(birth == Birth::Joining, Relaxed);
            let started = match start(birth).await {
                Err(StartError::Corrupt(reason)) if config.auto_replace => {
                    forming.others_have_data().await;
                    match set_aside(&config.dir, &reason) {
                        Ok(()) => start(Birth::Joining).await,
                        Err(error) => Err(error.into()),
                    }
                }
                other => other,
            };
            shared.opening.store(started.is_err(), Relaxed);
            started.map(|replica| (identity, replica, peers))
        }
        Err(error) => Err(error),
    };
    match started {
        Ok((identity, replica, peers)) => {
            let _ = shared.replica.set(Arc::clone(&replica));
            tracing::info!(az = config.az, cluster = identity.cluster, "the log replica takes part");
            tokio::join!(
                care(&config, &forming, identity.clone(), &replica),
                say_what_it_waits_for(&config, Health(Arc::clone(&shared))),
                follow(&config, &forming, &identity, &replica, &peers, rosters)
            );
        }
        Err(error) => {
            tracing::error!(az = config.az, %error, "the log replica can't start");
            *shared.waits.lock() = format!("the log replica can't start: {error}");
        }
    }
}

/// While groups have no leader, says now and then which ones, and who is waited for.
async fn say_what_it_waits_for(config: &ServerConfig, health: Health) {
    loop {
        tokio::time::sleep(SAY_EVERY).await;
        if let Some(what) = health.waits_for() {
            tracing::warn!(az = config.az, "waiting: {what}");
        }
    }
}

async fn start(
    config: ServerConfig,
    shared: &Arc<Shared>,
    identity: &Identity,
    birth: Birth,
    transport: TcpPeers,
) -> Result<Arc<Replica>, StartError> {
    let settings = ReplicaConfig {
        dir: config.dir.clone(),
        cluster: identity.cluster,
        number: identity.node,
        zones: Arc::clone(&shared.zones),
        shards: config.shards,
        birth,
        timing: config.timing,
        storage: config.storage,
        spare: None,
        cache: Some(block_cache(config.cache_bytes)),
        roster: shared.rosters.clone(),
    };
    let seat = Arc::clone(&shared.seat);
    let open = move || Replica::start(settings, seat, Box::new(transport)).map(Arc::new);
    let opened = tokio::task::spawn_blocking(open).await;
    opened.unwrap_or_else(|error| Err(StartError::Failed(error.to_string())))
}

/// Keeps file and connections as the roster says, and writes the first one.
async fn follow(
    config: &ServerConfig,
    forming: &Forming,
    identity: &Identity,
    replica: &Arc<Replica>,
    peers: &TcpPeers,
    mut rosters: watch::Receiver<Option<Known>>,
) {
    let mut told = false;
    let mut member_at: HashMap<NodeNumber, Instant> = HashMap::new();
    loop {
        let found = rosters.borrow_and_update().clone();
        match found {
            Some((_, roster)) if *forming.roster.lock() != roster => {
                tracing::info!(az = config.az, roster = roster.encode(), "the log's roster has changed");
                if let Err(error) = roster_file::write(&config.dir, &roster) {
                    tracing::warn!(error, "the roster can't be kept");
                }
                let former = std::mem::replace(&mut *forming.roster.lock(), roster.clone());
                // Who leaves is spoken to until no group has it as a member, and a little longer.
                let mut wanted = others(&former, &config.az);
                wanted.extend(others(&roster, &config.az));
                peers.set(&wanted);
            }
            Some((_, roster)) => {
                let now = Instant::now();
                member_at.extend(replica.member_nodes().into_iter().map(|node| (node, now)));
                member_at.retain(|_, at| now.duration_since(*at) < FAREWELL);
                let mut wanted = others(&roster, &config.az);
                let known = peers.addresses();
                wanted.extend(known.into_iter().filter(|(node, _)| member_at.contains_key(node)));
                wanted.remove(&identity.node);
                peers.set(&wanted);
                // Before that, others may still need its votes.
                let ended = replica.has_ended() || !member_at.contains_key(&identity.node);
                if roster.member(identity.node).is_none() && ended && !told {
                    told = true;
                    tracing::warn!(
                        az = config.az,
                        "this replica belongs to the log no more; its process can be stopped, its folder deleted"
                    );
                }
            }
            None if replica.view(META_GROUP).is_some_and(GroupView::leads) => {
                let first = forming.roster.lock().encode();
                let put = outcome::put_command(ROSTER, &first.into(), Some(0));
                let _ = replica.call(META_GROUP, Call::Propose(put)).await;
            }
            None => {}
        }
        let _ = tokio::time::timeout(CARE, rosters.changed()).await;
    }
}

/// Notes when the groups are on disk, and lets damaged ones come back.
async fn care(config: &ServerConfig, forming: &Forming, mut identity: Identity, replica: &Arc<Replica>) {
    loop {
        tokio::time::sleep(CARE).await;
        if identity.stage < Stage::Member && replica.has_all_groups() {
            match forming.write(Stage::Member, identity.cluster) {
                Ok(()) => identity.stage = Stage::Member,
                Err(error) => tracing::warn!(%error, "the identity file can't be written"),
            }
        }
        // Who belongs to the log no more is replaced for good.
        let belongs = forming.roster.lock().member(identity.node).is_some();
        if config.auto_replace && belongs {
            replica.wiped_groups().into_iter().for_each(|group| replica.rejoin(group));
        }
    }
}
