//! One replica in a process of its own, serving clients and peers over TCP. What `fastkeep logsvc` runs.

mod forming;
mod peers;
mod session;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use logsvc_client::wire::{Complaint, Hello, LinkTls, Role, Standing};
use logsvc_raft::NodeNumber;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::StartError;
use crate::identity::{Identity, Stage};
use crate::replica::{Birth, Replica, ReplicaConfig, Seat, Timing, block_cache};
use crate::storage::{StorageConfig, set_aside};
use forming::Forming;
use peers::TcpPeers;

/// Pause between two looks at what needs care.
const CARE: Duration = Duration::from_millis(100);
const MAX_HANDSHAKES: usize = 64;

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
    /// The other replicas.
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
    replica: OnceLock<Arc<Replica>>,
    seat: Arc<Seat>,
    zones: HashMap<NodeNumber, String>,
    number: NodeNumber,
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
    let (zones, peers, number) = number_nodes(&config)?;
    let listener = TcpListener::bind(&config.listen).await;
    let listener = listener.map_err(|error| StartError::Failed(format!("{}: {error}", config.listen)))?;
    let address = listener.local_addr()?;
    let standing = Standing { cluster: 0, stage: 0, az: config.az.clone() };
    let shared = Arc::new(Shared {
        standing: Arc::new(Mutex::new(standing)),
        replica: OnceLock::new(),
        seat: Arc::new(Seat::default()),
        zones,
        number,
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
        shards: config.shards,
        peers: peers.clone(),
        hello: Hello { role: Role::Peer, cluster: 0, replica: u64::from(number), az: config.az.clone() },
        tls: config.tls.clone(),
        complaint: Arc::default(),
        auto_replace: config.auto_replace,
        standing: Arc::clone(&shared.standing),
    };
    if let Err(error) = Identity::read(&config.dir) {
        return Err(StartError::Corrupt(error.to_string()));
    }
    let run = tokio::spawn(run(config, forming, peers, Arc::clone(&shared)));
    Ok(ServerHandle { shared, address, tasks: vec![accept, run] })
}

type Numbered = (HashMap<NodeNumber, String>, HashMap<NodeNumber, String>, NodeNumber);

/// Numbers follow from the zones' names, so that all processes agree on them.
fn number_nodes(config: &ServerConfig) -> Result<Numbered, StartError> {
    let mut names: Vec<&String> = config.peers.iter().map(|peer| &peer.az).chain([&config.az]).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(StartError::Mismatch("two replicas are configured for the same zone".into()));
    }
    let number = |az: &String| names.iter().position(|name| *name == az).map_or(0, |at| at as NodeNumber + 1);
    let zones = names.iter().map(|az| (number(az), (*az).clone())).collect();
    let peers = config.peers.iter().map(|peer| (number(&peer.az), peer.address.clone())).collect();
    Ok((zones, peers, number(&config.az)))
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

async fn run(
    config: ServerConfig,
    forming: Forming,
    peers: HashMap<NodeNumber, String>,
    shared: Arc<Shared>,
) {
    let started = match forming.decide().await {
        Ok((identity, birth)) => {
            let hello = Hello { cluster: identity.cluster, ..forming.hello.clone() };
            let start = async |birth| {
                let transport = TcpPeers::start(&peers, &hello, shared.tls.as_ref(), &shared.seat);
                start(config.clone(), &shared, identity.cluster, birth, transport).await
            };
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
            started.map(|replica| (identity, replica))
        }
        Err(error) => Err(error),
    };
    match started {
        Ok((identity, replica)) => {
            let _ = shared.replica.set(Arc::clone(&replica));
            tracing::info!(az = config.az, cluster = identity.cluster, "the log replica takes part");
            care(&config, &forming, identity, &replica).await;
        }
        Err(error) => tracing::error!(az = config.az, %error, "the log replica can't start"),
    }
}

async fn start(
    config: ServerConfig,
    shared: &Arc<Shared>,
    cluster: u64,
    birth: Birth,
    transport: TcpPeers,
) -> Result<Arc<Replica>, StartError> {
    let settings = ReplicaConfig {
        dir: config.dir.clone(),
        cluster,
        number: shared.number,
        zones: shared.zones.clone(),
        shards: config.shards,
        birth,
        timing: config.timing,
        storage: config.storage,
        spare: None,
        cache: Some(block_cache(config.cache_bytes)),
    };
    let seat = Arc::clone(&shared.seat);
    let open = move || Replica::start(settings, seat, Box::new(transport)).map(Arc::new);
    let opened = tokio::task::spawn_blocking(open).await;
    opened.unwrap_or_else(|error| Err(StartError::Failed(error.to_string())))
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
        if config.auto_replace {
            replica.wiped_groups().into_iter().for_each(|group| replica.rejoin(group));
        }
    }
}
