//! One replica process of the log: its threads, its database, and what others may ask of it.

mod describe;
mod driver;
mod inbox;
mod message;
mod pace;
mod reader;
mod seat;
mod view;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use logsvc_api::{Block, Position, ShardId};
use logsvc_client::{LogError, Roster};
use logsvc_raft::{GroupId, Input, LogStorage, META_GROUP, Node, NodeConfig, NodeNumber, ReplicaId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

pub use driver::Transport;
pub use message::{AppendSink, Call, CallError, CallReply, CallResult, Message, Query};
pub use reader::{BlockCache, block_cache};
pub use seat::{Called, Seat};
pub use view::GroupView;

use crate::StartError;
use crate::storage::{RocksStorage, StorageConfig, has_lost_its_wal};
use driver::{Driver, DriverParts};
use pace::Pace;
use reader::Reader;

/// Pace of the consensus.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Length of a tick.
    pub tick: Duration,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: usize,
    /// Ticks of silence before an election; up to twice as many by chance.
    pub election_ticks: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self { tick: Duration::from_millis(25), heartbeat_ticks: 3, election_ticks: 14 }
    }
}

/// A group's name for an operator.
pub fn group_name(group: GroupId) -> String {
    if group == META_GROUP { "the metadata log".to_owned() } else { format!("shard {group}") }
}

/// How a replica's groups begin their life on a disk that doesn't have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// As founding members of a new cluster.
    Founding,
    /// As newcomers that the others take in.
    Joining,
}

/// The zones of all nodes that were ever heard of.
pub type Zones = Arc<RwLock<HashMap<NodeNumber, String>>>;

/// The roster as this replica has applied it, and its revision in the metadata.
pub type Known = (u64, Roster);

/// What a replica needs to start.
#[derive(Debug, Clone)]
pub struct ReplicaConfig {
    /// Its folder; the database lies in `db` below it.
    pub dir: PathBuf,
    /// The cluster's number.
    pub cluster: u64,
    /// Its own number.
    pub number: NodeNumber,
    /// All nodes and their zones, itself included.
    pub zones: Zones,
    /// Shards of the log.
    pub shards: u32,
    /// For groups that its disk doesn't have.
    pub birth: Birth,
    /// Pace of the consensus.
    pub timing: Timing,
    /// Settings of the database.
    pub storage: StorageConfig,
    /// The follower that may get its frames late, because all replicas share one disk; see `pace`.
    pub spare: Option<NodeNumber>,
    /// Where applied blocks are kept for readers.
    pub cache: Option<BlockCache>,
    /// Where the roster is put when the metadata has another one.
    pub roster: watch::Sender<Option<Known>>,
}

/// A running replica.
pub struct Replica {
    number: NodeNumber,
    az: String,
    seat: Arc<Seat>,
    views: Arc<HashMap<GroupId, GroupView>>,
    /// None after a stop: the database is closed then, whoever still holds this replica.
    open: RwLock<Option<Open>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Open {
    reader: Reader,
    storage: Arc<RocksStorage>,
}

/// The identity of a founding member: the same wherever it is computed.
pub fn founding_id(cluster: u64, group: GroupId, node: NodeNumber) -> ReplicaId {
    // SplitMix64's finisher spreads the three numbers over the 48 bits.
    let mut mixed = cluster ^ (u64::from(group) << 16) ^ u64::from(node);
    for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(factor);
    }
    ReplicaId::new(node, mixed ^ (mixed >> 31))
}

impl Replica {
    /// Opens the database, loads all groups and starts the threads. `seat` is where the transport of others delivers to.
    pub fn start(
        config: ReplicaConfig,
        seat: Arc<Seat>,
        transport: Box<dyn Transport>,
    ) -> Result<Self, StartError> {
        let database = config.dir.join("db");
        // While a cluster is being founded, a database may be no further than that.
        if config.birth == Birth::Joining && has_lost_its_wal(&database)? {
            return Err(StartError::Corrupt("the log's database is damaged: its WAL files are gone".into()));
        }
        let storage = Arc::new(RocksStorage::open(&database, &config.storage)?);
        let node = start_node(&config, &storage)?;
        let groups = groups(config.shards);
        let views: Arc<HashMap<GroupId, GroupView>> =
            Arc::new(groups.map(|group| (group, GroupView::default())).collect());
        let az = config.zones.read().get(&config.number).cloned().unwrap_or_default();
        let driver = Driver::new(DriverParts {
            node,
            storage: Arc::clone(&storage),
            views: Arc::clone(&views),
            transport,
            pace: Pace::new(config.spare),
            cache: config.cache.clone(),
            number: config.number,
            zones: config.zones,
            roster: config.roster,
            tick: config.timing.tick,
        });
        seat.place(driver, Arc::clone(&views));
        let mut threads = Vec::new();
        let disk = {
            let (storage, seat) = (Arc::clone(&storage), Arc::clone(&seat));
            move || seat.run_disk(&storage)
        };
        threads.push(spawn(format!("log-{az}"), disk)?);
        let clock = Arc::clone(&seat);
        threads.push(spawn(format!("log-clock-{az}"), move || clock.run_clock())?);
        let cache = config.cache.unwrap_or_else(|| block_cache(0));
        let reader = Reader::new(Arc::clone(&storage), cache, Arc::clone(&seat));
        let threads = Mutex::new(threads);
        let open = RwLock::new(Some(Open { reader, storage }));
        Ok(Self { number: config.number, az, seat, views, open, threads })
    }

    /// Its number.
    pub fn number(&self) -> NodeNumber {
        self.number
    }

    /// Its availability zone.
    pub fn az(&self) -> &str {
        &self.az
    }

    /// Hands it a message; false if it has ended. See [`Seat::push`].
    pub fn push(&self, message: Message) -> bool {
        self.seat.push(message)
    }

    /// The same in two steps, for who must hold a lock over the first.
    pub fn put(&self, message: Message) -> bool {
        self.seat.put(message)
    }

    /// See [`Seat::attend`].
    pub fn attend(&self) {
        self.seat.attend(true);
    }

    /// What it knows of a group.
    pub fn view(&self, group: GroupId) -> Option<&GroupView> {
        self.views.get(&group)
    }

    /// One look at committed blocks; none if there are none yet.
    pub fn read(&self, shard: ShardId, from: Position, max_bytes: usize) -> Result<Vec<Block>, LogError> {
        let view = self.views.get(&shard).filter(|_| shard != META_GROUP);
        let view = view.ok_or_else(|| LogError::Refused(format!("there is no shard {shard}")))?;
        match &*self.open.read() {
            Some(open) => open.reader.read(view, shard, from, max_bytes),
            None => Err(LogError::Unavailable(format!("the replica in {} has stopped", self.az))),
        }
    }

    /// True once every group of the log is on its disk.
    pub fn has_all_groups(&self) -> bool {
        let open = self.open.read();
        let present = open.as_ref().and_then(|open| open.storage.groups().ok()).unwrap_or_default();
        self.views.keys().all(|group| present.contains(group))
    }

    /// Groups whose replica here is damaged or was replaced.
    pub fn wiped_groups(&self) -> Vec<GroupId> {
        self.views.iter().filter(|(_, view)| view.wiped()).map(|(group, _)| *group).collect()
    }

    /// The nodes that a group here has members on.
    pub fn member_nodes(&self) -> BTreeSet<NodeNumber> {
        let statuses = self.views.values().filter_map(GroupView::status);
        statuses
            .flat_map(|status| status.members.all().map(|id| ReplicaId(id).node()).collect::<Vec<_>>())
            .collect()
    }

    /// What keeps groups here from being served: which ones, and the members that they wait for. `None` when nothing does.
    pub fn waits_for(&self, zones: &HashMap<NodeNumber, String>) -> Option<String> {
        /// More are only counted.
        const NAMED: usize = 4;
        let mut waiting: Vec<_> = self.views.iter().filter(|(_, view)| !view.is_led()).collect();
        waiting.sort_unstable_by_key(|(group, _)| **group);
        let one =
            |(group, view): &(&GroupId, &GroupView)| format!("{} {}", group_name(**group), view.state(zones));
        let mut parts: Vec<String> = waiting.iter().take(NAMED).map(one).collect();
        if waiting.len() > NAMED {
            parts.push(format!("and {} more", waiting.len() - NAMED));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// True when all groups here have stopped.
    pub fn has_ended(&self) -> bool {
        self.views.values().all(|view| view.stopped().is_some())
    }

    /// Begins such a group anew, under a new identity, to be filled by the others.
    pub fn rejoin(&self, group: GroupId) {
        let replica = ReplicaId::new(self.number, rand::random());
        tracing::warn!(az = %self.az, group, %replica, "rebuilding this replica from the others under a new identity");
        if let Some(view) = self.views.get(&group) {
            view.set_wiped(false);
        }
        self.push(Message::Input(Input::Join { group, replica }));
    }

    /// Sends a call to its thread and waits for the answer.
    pub async fn call(&self, group: GroupId, call: Call) -> CallResult {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.push(Message::Call { group, call, reply });
        answer.await.unwrap_or(Err(CallError::Log(LogError::Uncertain("the log is stopping".into()))))
    }

    /// Stops the threads and flushes the database.
    pub fn stop(&self) {
        let mut threads = self.threads.lock();
        if threads.is_empty() {
            return;
        }
        self.seat.push(Message::Stop);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
        if let Some(open) = self.open.write().take() {
            open.storage.flush();
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop();
    }
}

/// All groups of a log with that many shards.
fn groups(shards: u32) -> impl Iterator<Item = GroupId> {
    (0..shards).chain([META_GROUP])
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    let thread = std::thread::Builder::new().name(name);
    thread.spawn(work).map_err(|error| StartError::Failed(error.to_string()))
}

fn start_node(
    config: &ReplicaConfig,
    storage: &Arc<RocksStorage>,
) -> Result<Node<Arc<RocksStorage>>, StartError> {
    let zones = config.zones.read();
    let peers = zones.keys().copied().filter(|node| *node != config.number).collect();
    let mut settings = NodeConfig::new(config.cluster, config.number, peers);
    settings.election_ticks = config.timing.election_ticks;
    settings.heartbeat_ticks = config.timing.heartbeat_ticks;
    settings.seed = rand::random();
    let failed = |error: &dyn std::fmt::Display| StartError::Failed(error.to_string());
    let present = storage.groups().map_err(|error| failed(&error))?;
    let mut voters: Vec<NodeNumber> = zones.keys().copied().collect();
    voters.sort_unstable();
    let mut node = Node::open(settings, Arc::clone(storage)).map_err(|error| failed(&error))?;
    for group in groups(config.shards).filter(|group| !present.contains(group)) {
        node.step(match config.birth {
            Birth::Founding => Input::Bootstrap {
                group,
                replica: founding_id(config.cluster, group, config.number),
                voters: voters.iter().map(|node| founding_id(config.cluster, group, *node)).collect(),
            },
            Birth::Joining => Input::Join { group, replica: ReplicaId::new(config.number, rand::random()) },
        });
    }
    Ok(node)
}
