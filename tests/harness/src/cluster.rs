//! A cluster of separate processes: three log replicas in three zones, a snapshotter, and as many nodes as a test wants.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Fastkeep, Host, Relay, Running, free_ports};

/// The zones of the log's replicas.
pub const ZONES: [&str; 3] = ["az-a", "az-b", "az-c"];

/// Command lines of a cluster whose data is under one folder.
pub struct Cluster {
    /// The log's replicas, by zone.
    pub logs: Vec<Fastkeep>,
    /// The snapshotter; makes snapshots only when told to.
    pub snapshotter: Fastkeep,
    /// What a process that starts is told about the log.
    pub replicas: String,
    store: String,
    shards: String,
    folder: PathBuf,
    /// Where the nodes run, by zone; empty: on the test's own host.
    hosts: Vec<Host>,
}

/// Where the log listens on a host of its own.
const LOG_PORT: u16 = 7001;

impl Cluster {
    /// A cluster of `shards` shards under `folder`.
    pub fn new(folder: &Path, shards: u32) -> Self {
        let addresses: Vec<String> =
            free_ports(ZONES.len()).iter().map(|port| format!("127.0.0.1:{port}")).collect();
        Self::at(folder, shards, &addresses)
    }

    /// The same on hosts of their own: by zone, first those of the log's replicas, then those of the nodes.
    pub fn on_hosts(folder: &Path, shards: u32, hosts: &[Host]) -> Self {
        let (logs, nodes) = hosts.split_at(ZONES.len());
        let addresses: Vec<String> =
            logs.iter().map(|host| format!("{}:{LOG_PORT}", host.address())).collect();
        let mut cluster = Self::at(folder, shards, &addresses);
        cluster.logs = cluster.logs.into_iter().zip(logs).map(|(log, host)| log.on(host)).collect();
        cluster.hosts = nodes.to_vec();
        cluster
    }

    fn at(folder: &Path, shards: u32, addresses: &[String]) -> Self {
        let replicas: Vec<String> =
            ZONES.iter().zip(addresses).map(|(zone, address)| format!("{zone}={address}")).collect();
        let (replicas, shards) = (replicas.join(","), shards.to_string());
        let store = folder.join("snapshots").display().to_string();
        let common = ["--shards", &shards, "--log-replicas", &replicas, "--http-port", "0"];
        let logs = ZONES.iter().map(|zone| {
            let data = folder.join(zone).display().to_string();
            let own = ["logsvc", "--zone", zone, "--data", &data];
            Fastkeep::new(&[&own[..], &common].concat(), &folder.join(format!("{zone}.log")))
        });
        let logs = logs.collect();
        let work = folder.join("work").display().to_string();
        let own = ["snapshot", "--data", &work, "--store-url", &store, "--snapshots-interval-secs", "0"];
        let snapshotter = Fastkeep::new(&[&own[..], &common].concat(), &folder.join("snapshotter.log"));
        Self { logs, snapshotter, replicas, store, shards, folder: folder.to_owned(), hosts: Vec::new() }
    }

    /// The same with a relay in front of each log replica, through which everybody reaches it.
    pub fn behind_relays(folder: &Path, shards: u32) -> (Self, Vec<Relay>) {
        let mut cluster = Self::new(folder, shards);
        let outer = cluster.replicas.clone();
        let outer = outer.split(',').filter_map(|replica| replica.rsplit_once(':')?.1.parse::<u16>().ok());
        let mut relays = Vec::new();
        for ((outer, inner), log) in outer.zip(free_ports(ZONES.len())).zip(&mut cluster.logs) {
            relays.push(Relay::start(outer, inner));
            *log = log.clone().with(&["--listen", &format!("127.0.0.1:{inner}")]);
        }
        (cluster, relays)
    }

    /// A node in a zone, with the folder `name`.
    pub fn node(&self, name: &str, zone: &str) -> Fastkeep {
        let data = self.folder.join(name);
        let folder = data.display().to_string();
        let arguments = [
            "proxy",
            "--port",
            "0",
            "--http-port",
            "0",
            "--zone",
            zone,
            "--data",
            &folder,
            "--shards",
            &self.shards,
            "--log-replicas",
            &self.replicas,
            "--store-url",
            &self.store,
        ];
        Fastkeep::new(&arguments, &data.with_extension("log"))
    }

    /// A further log replica on `port` with the folder `name`, which knows the three that the cluster began with.
    pub fn log(&self, name: &str, zone: &str, port: u16) -> Fastkeep {
        let known = self.replicas.split(',').filter(|known| !known.starts_with(&format!("{zone}=")));
        let replicas = known.chain([&*format!("{zone}=127.0.0.1:{port}")]).collect::<Vec<_>>().join(",");
        let data = self.folder.join(name);
        let folder = data.display().to_string();
        let arguments = ["logsvc", "--zone", zone, "--data", &folder, "--http-port", "0"];
        let more = ["--shards", &self.shards, "--log-replicas", &replicas];
        Fastkeep::new(&[&arguments[..], &more].concat(), &data.with_extension("log"))
    }

    /// Starts all three replicas; each is ready once a quorum is, so they start side by side.
    pub fn start_logs(&self) -> Vec<Running> {
        start_all(&self.logs)
    }

    /// Starts one node in each zone.
    pub fn start_nodes(&self) -> Vec<Running> {
        start_all(&self.nodes())
    }

    /// One node in each zone.
    pub fn nodes(&self) -> Vec<Fastkeep> {
        let at = |at: usize, zone| {
            let node = self.node(&format!("node-{zone}"), zone);
            self.hosts
                .get(at)
                .map_or(node.clone(), |host| node.on(host).with(&["--bind", &host.address().to_string()]))
        };
        ZONES.iter().enumerate().map(|(number, zone)| at(number, zone)).collect()
    }
}

fn start_all(commands: &[Fastkeep]) -> Vec<Running> {
    let starting: Vec<_> = commands
        .iter()
        .map(|command| {
            let command = command.clone();
            std::thread::spawn(move || command.start())
        })
        .collect();
    starting.into_iter().map(|started| started.join().unwrap()).collect()
}

/// Which of `nodes` serves a shard, as it says itself; waits for it.
pub fn primary_of(nodes: &[&Running], shard: u64) -> usize {
    let begun = Instant::now();
    loop {
        let mut best: Option<(u64, usize)> = None;
        for (at, node) in nodes.iter().enumerate() {
            let Ok(text) = node.ctl(&["status", "--json"]) else { continue };
            let status: serde_json::Value = serde_json::from_str(&text).unwrap();
            let own = status["shards"].as_array().into_iter().flatten();
            let serves = own.into_iter().find(|row| row["shard"] == shard && row["role"] == "primary");
            if let Some(epoch) = serves.and_then(|row| row["epoch"].as_u64()) {
                best = best.max(Some((epoch, at)));
            }
        }
        if let Some((_, at)) = best {
            return at;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody serves shard {shard}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a node's account of a shard, as any node knows it, satisfies `wanted`.
pub fn wait_for_shards(node: &Running, what: &str, wanted: impl Fn(&[serde_json::Value]) -> bool) {
    let begun = Instant::now();
    loop {
        let text = node.ctl(&["shards", "--json"]).unwrap_or_default();
        let shards: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if shards["shards"].as_array().is_some_and(|rows| wanted(rows)) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {text}; {}", node.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}
