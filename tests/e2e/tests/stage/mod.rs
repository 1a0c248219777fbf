//! A cluster of separate processes, three zones with a log replica and a node each, and everything that can go wrong with it: done
//! under load, undone, and looked at afterwards. Who runs it says what the network is: relays in front of the log's replicas, or hosts
//! of a network of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests_harness::{
    Cluster, DiskFaults, EIO, ENOSPC, Fastkeep, Host, Network, Relay, Running, ZONES, primary_of,
};

use crate::history::load::{Load, errors, gap_after, settle, wait_for_replicas};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    KillPrimary,
    KillReplicaNode,
    KillLog,
    KillZone,
    FreezePrimary,
    FreezeLog,
    /// A log replica hears nobody.
    CutInward,
    /// A log replica is heard by nobody.
    CutOutward,
    Delay,
    FullDisk,
    FailingSync,
    HandOver,
    /// The primary's node hears no other process; its clients reach it.
    CutNodeInward,
    /// The primary's node is heard by no other process.
    CutNodeOutward,
    /// One log replica doesn't hear another one.
    CutPair,
    /// Another node doesn't reach the primary's, whose lease goes on.
    CutNodes,
    /// The primary's zone is cut off the others, both ways; its node and its log replica have each other.
    CutZone,
    /// The cable of the primary's node is pulled: its clients don't reach it either.
    Unplug,
    /// The primary's node loses packets.
    LosePackets,
}

/// The last log replica's disk: a small one of its own, if the machine lets a test mount it.
struct SmallDisk(Option<PathBuf>);

impl SmallDisk {
    fn at(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=256m", "tmpfs"]).arg(folder).output();
        Self(mounted.is_ok_and(|done| done.status.success()).then(|| folder.to_owned()))
    }

    /// Leaves no byte free; false if there is no such disk.
    fn fill(&self) -> bool {
        let Some(folder) = &self.0 else { return false };
        let chunk = vec![1; 1 << 20];
        let mut file = std::fs::File::create(folder.join("filler")).unwrap();
        while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
        true
    }

    fn free(&self) {
        if let Some(folder) = &self.0 {
            std::fs::remove_file(folder.join("filler")).unwrap();
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}

/// What lies between the processes.
enum Net {
    Relays(Vec<Relay>),
    /// Hosts by zone: three for the log's replicas, three for nodes.
    Hosts(Network),
}

/// The cluster with everything that can be done to it.
pub struct Stage {
    commands: Vec<Fastkeep>,
    log_commands: Vec<Fastkeep>,
    nodes: Vec<Running>,
    logs: Vec<Running>,
    net: Net,
    disks: DiskFaults,
    small: SmallDisk,
}

impl Stage {
    /// All on one host, with a relay in front of each log replica.
    pub fn behind_relays(folder: &Path) -> Self {
        let small = SmallDisk::at(&folder.join("az-c"));
        let (cluster, relays) = Cluster::behind_relays(folder, 1);
        Self::start(folder, cluster, Net::Relays(relays), small)
    }

    /// Each process on a host of its own; only within namespaces.
    pub fn on_hosts(folder: &Path) -> Self {
        let small = SmallDisk::at(&folder.join("az-c"));
        let network = Network::new(2 * ZONES.len() as u8);
        println!("a slow cable is {}", network.slowness());
        let cluster = Cluster::on_hosts(folder, 1, &network.hosts);
        Self::start(folder, cluster, Net::Hosts(network), small)
    }

    fn start(folder: &Path, mut cluster: Cluster, net: Net, small: SmallDisk) -> Self {
        if small.0.is_none() {
            println!("no tmpfs can be mounted here: a full disk is failing writes");
        }
        let disks = DiskFaults::new(folder);
        cluster.logs = cluster.logs.into_iter().map(|log| disks.under(log)).collect();
        let logs = cluster.start_logs();
        let nodes = cluster.start_nodes();
        Self { commands: cluster.nodes(), log_commands: cluster.logs, nodes, logs, net, disks, small }
    }

    fn primary(&self) -> usize {
        primary_of(&self.nodes.iter().collect::<Vec<_>>(), 0)
    }

    /// Waits until two replicas follow and all of the log's replicas do.
    fn is_whole(&self) {
        wait_for_replicas(&self.nodes[self.primary()]);
        let begun = Instant::now();
        loop {
            let text = self.nodes[0].ctl(&["log", "info", "--json"]).unwrap_or_default();
            let info: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let rows = info["replicas"].as_array().cloned().unwrap_or_default();
            let sound = |row: &serde_json::Value| {
                matches!(row["state"].as_str(), Some("leader" | "follower"))
                    && row["lag"].as_u64() < Some(500)
            };
            if rows.len() == 6 && rows.iter().all(sound) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "the log is not whole: {text}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn restart_log(&mut self, at: usize) {
        self.logs[at].kill();
        self.logs[at] = self.log_commands[at].start();
    }

    fn restart_node(&mut self, at: usize) {
        self.nodes[at] = self.commands[at].start();
    }

    /// The network, of faults that only hosts have.
    fn network(&mut self) -> &mut Network {
        match &mut self.net {
            Net::Hosts(network) => network,
            Net::Relays(_) => panic!("relays have no such fault"),
        }
    }

    fn host(&mut self, at: usize) -> Host {
        self.network().hosts[at].clone()
    }

    /// What a log replica is sent is lost, or what it sends, until [`Stage::mend`].
    fn cut_log(&mut self, log: usize, inward: bool, outward: bool) {
        match &mut self.net {
            Net::Relays(relays) => relays[log].hold(inward, outward),
            Net::Hosts(_) => self.cut_host(log, inward, outward),
        }
    }

    /// What a host is sent by the others is lost, or what it sends them, until [`Stage::mend`].
    fn cut_host(&mut self, at: usize, inward: bool, outward: bool) {
        let one = [self.host(at)];
        let others = self.network().others(&one);
        if inward {
            self.network().cut(&others, &one);
        }
        if outward {
            self.network().cut(&one, &others);
        }
    }

    fn mend(&mut self) {
        match &mut self.net {
            Net::Relays(relays) => relays.iter().for_each(|relay| relay.hold(false, false)),
            Net::Hosts(network) => network.mend(),
        }
    }

    /// Makes the way to a log replica long or slow, or as it was.
    fn slow_down(&mut self, log: usize, slow: bool) {
        match &mut self.net {
            Net::Relays(relays) => relays[log].delay(Duration::from_millis(if slow { 40 } else { 0 })),
            Net::Hosts(network) if slow => network.slow_down(&network.hosts[log].clone()),
            Net::Hosts(network) => network.speed_up(),
        }
    }

    /// Does it under load, for `long`, and undoes it.
    fn suffer(&mut self, fault: Fault, primary: usize, log: usize, load: &Load, long: Duration) {
        match fault {
            Fault::KillPrimary | Fault::KillReplicaNode => {
                let at = if fault == Fault::KillPrimary { primary } else { (primary + 1) % 3 };
                self.nodes[at].kill();
                load.run(long);
                self.restart_node(at);
            }
            Fault::KillLog => {
                self.logs[log].kill();
                load.run(long);
                self.restart_log(log);
            }
            Fault::KillZone => {
                self.nodes[primary].kill();
                self.logs[primary].kill();
                load.run(long);
                self.restart_log(primary);
                self.restart_node(primary);
            }
            Fault::FreezePrimary => {
                self.nodes[primary].signal("STOP");
                load.run(long);
                self.nodes[primary].signal("CONT");
                load.run(Duration::from_millis(300));
            }
            Fault::FreezeLog => {
                self.logs[log].signal("STOP");
                load.run(long);
                self.logs[log].signal("CONT");
            }
            Fault::CutInward | Fault::CutOutward => {
                self.cut_log(log, fault == Fault::CutInward, fault == Fault::CutOutward);
                load.run(long);
                self.mend();
            }
            Fault::Delay => {
                self.slow_down(log, true);
                load.run(long);
                self.slow_down(log, false);
            }
            Fault::CutNodeInward | Fault::CutNodeOutward => {
                let inward = fault == Fault::CutNodeInward;
                self.cut_host(ZONES.len() + primary, inward, !inward);
                load.run(long);
                self.mend();
            }
            Fault::CutPair => {
                let (from, to) = (self.host(primary), self.host((primary + 1 + log % 2) % ZONES.len()));
                self.network().cut(&[from], &[to]);
                load.run(long);
                self.mend();
            }
            Fault::CutNodes => {
                let (from, to) = (ZONES.len() + (primary + 1 + log % 2) % ZONES.len(), ZONES.len() + primary);
                let (from, to) = (self.host(from), self.host(to));
                self.network().cut(&[from], &[to]);
                load.run(long);
                self.mend();
            }
            Fault::CutZone => {
                let zone = [self.host(primary), self.host(ZONES.len() + primary)];
                let network = self.network();
                let others = network.others(&zone);
                network.cut(&zone, &others);
                network.cut(&others, &zone);
                load.run(long);
                network.mend();
            }
            Fault::Unplug => {
                let host = self.host(ZONES.len() + primary);
                self.network().plug(&host, false);
                load.run(long);
                self.network().plug(&host, true);
            }
            Fault::LosePackets => {
                let (host, stop) = (self.host(ZONES.len() + primary), AtomicBool::new(false));
                let network = self.network();
                std::thread::scope(|scope| {
                    scope.spawn(|| network.lose_packets(&host, &stop));
                    load.run(long);
                    stop.store(true, Ordering::Relaxed);
                });
            }
            Fault::FullDisk if self.small.fill() => {
                load.run(long);
                self.small.free();
                self.restart_log(2);
            }
            Fault::FullDisk | Fault::FailingSync => {
                let (call, errno) = if fault == Fault::FullDisk { ("write", ENOSPC) } else { ("sync", EIO) };
                let zone = ZONES[log];
                self.disks.fail(call, errno, &[format!("/{zone}/db/")]);
                load.run(long);
                self.disks.heal();
                self.restart_log(log);
            }
            Fault::HandOver => {
                self.nodes[primary].ctl(&["failover", "0"]).unwrap();
                load.run(Duration::from_millis(300));
            }
        }
    }
}

/// The longest pauses of one kind of fault, and how many outcomes were uncertain.
#[derive(Default)]
struct Row {
    gaps: Vec<Duration>,
    uncertain: usize,
}

/// How many faults a run has if nobody says: few; `FASTKEEP_FAULTS` and `FASTKEEP_FAULTS_SEED` say.
const FEW: u64 = 4;

/// Whether somebody said how many faults a run has: then it must run.
pub fn is_asked_for() -> bool {
    std::env::var_os("FASTKEEP_FAULTS").is_some()
}

/// One fault of `kinds` after the other, each explained, and prints a table.
pub fn suffer_all(stage: &mut Stage, kinds: &[Fault]) {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (count, seed) = (number("FASTKEEP_FAULTS", FEW), number("FASTKEEP_FAULTS_SEED", 1));
    let (mut turn, mut table) = (seed, BTreeMap::<Fault, Row>::new());
    let (mut operations, mut uncertain) = (0, 0);
    for at in 0..count {
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = |shift: u32, below: usize| (turn >> shift) as usize % below;
        // Every kind in its turn, so that few faults are different ones.
        let fault = kinds[(at as usize + seed as usize - 1) % kinds.len()];
        let (log, long) = (draw(33, 3), Duration::from_millis(1_300 + draw(40, 1_200) as u64));
        stage.is_whole();
        let primary = stage.primary();
        // Clients of a node that is killed would only measure their own reconnecting.
        let killed = match fault {
            Fault::KillPrimary | Fault::KillZone => primary,
            Fault::KillReplicaNode => (primary + 1) % 3,
            _ => usize::MAX,
        };
        let nodes = (0..3).filter(|node| *node != killed).map(|node| stage.nodes[node].address());
        let load = Load::on(&nodes.collect::<Vec<_>>(), 6);
        load.run(Duration::from_millis(250));
        let begun = Instant::now();
        stage.suffer(fault, primary, log, &load, long);
        load.run(Duration::from_millis(250));
        let (history, answers) = load.end();
        let errors = errors(&answers);
        let gap = gap_after(&answers, begun);
        println!(
            "{at}: {fault:?} for {long:?}, log {log}: {} operations, {gap:?} without an answer, {} uncertain",
            history.len(),
            errors.len()
        );
        stage.is_whole();
        settle(&history, &stage.nodes[(primary + 1) % 3]);
        operations += history.len();
        uncertain += errors.len();
        let row = table.entry(fault).or_default();
        row.gaps.push(gap);
        row.uncertain += errors.len();
    }
    println!("{count} faults, {operations} operations explained, {uncertain} of uncertain outcome");
    for (fault, mut row) in table {
        row.gaps.sort();
        println!(
            "{fault:?}: {} times, longest time without an answer: median {:?}, maximum {:?}; {} uncertain",
            row.gaps.len(),
            row.gaps[row.gaps.len() / 2],
            row.gaps[row.gaps.len() - 1],
            row.uncertain
        );
    }
}
