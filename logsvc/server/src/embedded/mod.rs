//! The whole log in one process: three replicas on threads, joined by queues instead of sockets. What `fastkeep up` runs.
//!
//! A write's way: appender, which takes the leader's turn itself -> synced write there and on a follower -> acknowledgement by
//! whichever of the two comes last, one atomic and one waker.

mod disks;
mod resend;
mod service;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logsvc_client::LogService;
use logsvc_raft::{Input, META_GROUP, NodeNumber, Outgoing};

use parking_lot::RwLock;
use tokio::sync::watch;

use crate::StartError;
use crate::identity::Stage;
use crate::replica::{
    Called, Message, Replica, ReplicaConfig, Seat, Timing, Transport, block_cache, group_name,
};
use crate::storage::StorageConfig;
use disks::Disks;
use service::Embedded;

/// Settings of an embedded log.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The folder; each zone's replica lies in a folder of its name below it.
    pub dir: PathBuf,
    /// Availability zones, one replica each.
    pub zones: Vec<String>,
    /// Shards of the log; fixed when the folder is first used.
    pub shards: u32,
    /// Bytes of recent blocks kept in memory for readers.
    pub cache_bytes: u64,
    /// An append that isn't acknowledged within this time ends as `Uncertain`; other calls as `Unavailable`.
    pub deadline: Duration,
    /// Pace of the consensus.
    pub timing: Timing,
    /// Settings of each replica's database.
    pub storage: StorageConfig,
}

impl EmbeddedConfig {
    /// Three zones and defaults in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            zones: ["az-a", "az-b", "az-c"].map(str::to_owned).to_vec(),
            shards: 1,
            cache_bytes: 64 << 20,
            deadline: Duration::from_secs(10),
            timing: Timing::default(),
            storage: StorageConfig::default(),
        }
    }
}

/// While a start waits for a quorum, it says so this often.
const SAY_EVERY: Duration = Duration::from_secs(3);

/// Starts embedded logs.
#[derive(Debug)]
pub struct EmbeddedLog;

/// Keeps an embedded log running; dropping it stops the replicas.
pub struct EmbeddedHandle {
    service: Arc<Embedded>,
    _disks: Disks,
}

impl EmbeddedLog {
    /// Opens or creates the log in `config.dir` and waits until every group has a leader. Blocks the calling thread.
    ///
    /// # Errors
    /// See [`StartError`]. When more than a minority of the zones has lost its data, nothing is touched.
    pub fn start(config: EmbeddedConfig) -> Result<(Arc<dyn LogService>, EmbeddedHandle), StartError> {
        let mut disks = Disks::examine(&config)?;
        let replicas = start_replicas(&config, &mut disks)?;
        let service = Arc::new(Embedded::new(replicas, config.shards, config.deadline));
        resend::start(&service);
        wait_until_ready(&service, &config)?;
        disks.settle(Stage::Member)?;
        Ok((Arc::clone(&service) as Arc<dyn LogService>, EmbeddedHandle { service, _disks: disks }))
    }
}

impl EmbeddedHandle {
    /// Stops the replicas in good order. Calls after it answer `Unavailable`.
    pub fn stop(&self) {
        self.service.stop();
    }

    /// Stops one zone's replica as if its machine had failed, for tests of what happens then.
    pub fn stop_zone(&self, az: &str) {
        for replica in self.service.replicas().iter().filter(|replica| replica.az() == az) {
            replica.stop();
        }
    }

    /// The zone whose replica leads a shard.
    pub fn leader_zone(&self, shard: u32) -> Option<String> {
        self.service.leader(shard).map(|replica| replica.az().to_owned())
    }
}

impl Drop for EmbeddedHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Frames between replicas of one process.
struct Queues(HashMap<NodeNumber, Arc<Seat>>);

impl Transport for Queues {
    fn send(&mut self, message: Outgoing) -> Option<Called> {
        let peer = self.0.get(&message.to)?;
        peer.put(Message::Input(Input::Receive { frame: message.to_bytes() }));
        Some(peer.called(message.group))
    }
}

fn start_replicas(config: &EmbeddedConfig, disks: &mut Disks) -> Result<Vec<Arc<Replica>>, StartError> {
    let zones: HashMap<NodeNumber, String> =
        (1..).zip(&config.zones).map(|(number, az)| (number, az.clone())).collect();
    let seats: HashMap<NodeNumber, Arc<Seat>> =
        zones.keys().map(|number| (*number, Arc::new(Seat::default()))).collect();
    let mut replicas = Vec::new();
    for (number, seat) in (1..).zip(&config.zones).filter_map(|(n, _)| Some((n, seats.get(&n)?))) {
        // Readers are served from memory by the first zone's replica; the others needn't keep the same blocks.
        let cache = (number == 1).then(|| block_cache(config.cache_bytes));
        let start = |disks: &Disks| {
            let settings = ReplicaConfig {
                dir: disks.dir(number),
                cluster: disks.cluster(),
                number,
                zones: Arc::new(RwLock::new(zones.clone())),
                roster: watch::channel(None).0,
                shards: config.shards,
                birth: disks.birth(number),
                timing: config.timing.clone(),
                storage: config.storage.clone(),
                spare: zones.keys().copied().filter(|other| *other != number && zones.len() > 2).max(),
                cache: cache.clone(),
            };
            Replica::start(settings, Arc::clone(seat), Box::new(Queues(seats.clone())))
        };
        let started = match start(disks) {
            Err(StartError::Corrupt(reason)) => {
                disks.set_aside(number, &reason, &config.storage)?;
                start(disks)
            }
            other => other,
        };
        replicas.push(Arc::new(started?));
    }
    Ok(replicas)
}

/// Every group needs a leader, and founding members their groups on disk, before anything is served.
fn wait_until_ready(service: &Embedded, config: &EmbeddedConfig) -> Result<(), StartError> {
    let begin = Instant::now();
    let limit = Duration::from_secs(60);
    let mut next_word = SAY_EVERY;
    loop {
        let led = (0..config.shards).chain([META_GROUP]).all(|group| service.leader(group).is_some());
        if led && service.replicas().iter().all(|replica| replica.has_all_groups()) {
            return Ok(());
        }
        if lost_majority(service, config) {
            return Err(StartError::Failed(waiting_for(service, config)));
        }
        if begin.elapsed() > limit {
            return Err(StartError::Failed(format!(
                "the log is not ready after {limit:?}: {}",
                waiting_for(service, config)
            )));
        }
        if begin.elapsed() > next_word {
            next_word += SAY_EVERY;
            tracing::warn!("waiting for the log: {}", waiting_for(service, config));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// True when so many replicas of a group have stopped for failing disks that waiting is in vain.
fn lost_majority(service: &Embedded, config: &EmbeddedConfig) -> bool {
    let replicas = service.replicas();
    (0..config.shards).chain([META_GROUP]).any(|group| {
        let views = replicas.iter().filter_map(|replica| replica.view(group));
        let stopped = views.filter(|view| !view.wiped() && view.stopped().is_some()).count();
        2 * stopped > replicas.len()
    })
}

/// Which groups have no leader, and what each zone's replica says of them.
fn waiting_for(service: &Embedded, config: &EmbeddedConfig) -> String {
    let mut parts = Vec::new();
    let zones =
        service.replicas().iter().map(|replica| (replica.number(), replica.az().to_owned())).collect();
    for group in (0..config.shards).chain([META_GROUP]) {
        if service.leader(group).is_some() {
            continue;
        }
        let states = service.replicas().iter().map(|replica| {
            let state = replica.view(group).map_or_else(|| "absent".to_owned(), |view| view.state(&zones));
            format!("{} {state}", replica.az())
        });
        let states = states.collect::<Vec<_>>().join(", ");
        parts.push(format!("{} has no quorum ({states})", group_name(group)));
    }
    if parts.is_empty() {
        parts.push("a zone has not written its groups yet".to_owned());
    }
    parts.join("; ")
}
