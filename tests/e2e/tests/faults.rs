//! A run of faults on separate processes under load: kills, freezes beyond the lease, one-way cuts, delays, full and failing disks,
//! lost zones, hand-overs, one after the other, drawn from a seed. After each fault everything must be explained by the history
//! checker and by total counts, every client error must be an uncertain outcome, and the cluster must be whole again by itself.
//!
//! `make faults FAULTS=200 SEED=1` runs many and prints a table; by default a few run. The network is a relay in front of each log
//! replica (everybody reaches it through that), a full disk is a small tmpfs where one can be mounted, else failing writes.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // Not every test needs all of it.
mod history;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use history::load::{Load, errors, gap_after, settle, wait_for_replicas};
use tests_harness::{Cluster, DiskFaults, EIO, ENOSPC, Fastkeep, Relay, Running, primary_of};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillPrimary,
    KillReplicaNode,
    KillLog,
    KillZone,
    FreezePrimary,
    FreezeLog,
    CutInward,
    CutOutward,
    Delay,
    FullDisk,
    FailingSync,
    HandOver,
}

const FAULTS: [Fault; 12] = [
    Fault::KillPrimary,
    Fault::CutInward,
    Fault::FreezePrimary,
    Fault::FullDisk,
    Fault::KillZone,
    Fault::FailingSync,
    Fault::HandOver,
    Fault::KillLog,
    Fault::CutOutward,
    Fault::FreezeLog,
    Fault::Delay,
    Fault::KillReplicaNode,
];

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

/// The cluster with everything that can be done to it.
struct Stage {
    commands: Vec<Fastkeep>,
    log_commands: Vec<Fastkeep>,
    nodes: Vec<Running>,
    logs: Vec<Running>,
    relays: Vec<Relay>,
    disks: DiskFaults,
    small: SmallDisk,
}

impl Stage {
    fn start(folder: &Path) -> Self {
        let small = SmallDisk::at(&folder.join("az-c"));
        let disks = DiskFaults::new(folder);
        let (mut cluster, relays) = Cluster::behind_relays(folder, 1);
        cluster.logs = cluster.logs.into_iter().map(|log| disks.under(log)).collect();
        let logs = cluster.start_logs();
        let nodes = cluster.start_nodes();
        Self { commands: cluster.nodes(), log_commands: cluster.logs, nodes, logs, relays, disks, small }
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
                self.relays[log].hold(fault == Fault::CutInward, fault == Fault::CutOutward);
                load.run(long);
                self.relays[log].hold(false, false);
            }
            Fault::Delay => {
                self.relays[log].delay(Duration::from_millis(40));
                load.run(long);
                self.relays[log].delay(Duration::ZERO);
            }
            Fault::FullDisk if self.small.fill() => {
                load.run(long);
                self.small.free();
                self.restart_log(2);
            }
            Fault::FullDisk | Fault::FailingSync => {
                let (call, errno) = if fault == Fault::FullDisk { ("write", ENOSPC) } else { ("sync", EIO) };
                let zone = tests_harness::ZONES[log];
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

#[test]
fn faults_leave_a_history_that_can_be_explained() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (count, seed) = (number("FASTKEEP_FAULTS", 4), number("FASTKEEP_FAULTS_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::start(folder.path());
    if stage.small.0.is_none() {
        println!("no tmpfs can be mounted here: a full disk is failing writes");
    }
    let (mut turn, mut table) = (seed, BTreeMap::<Fault, Row>::new());
    let (mut operations, mut uncertain) = (0, 0);
    for at in 0..count {
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = |shift: u32, below: usize| (turn >> shift) as usize % below;
        // Every kind in its turn, so that few faults are different ones.
        let fault = FAULTS[(at as usize + seed as usize - 1) % FAULTS.len()];
        let (log, long) = (draw(33, 3), Duration::from_millis(1_300 + draw(40, 1_200) as u64));
        stage.is_whole();
        let primary = stage.primary();
        // Clients of a node that is killed would only measure their own reconnecting.
        let killed = match fault {
            Fault::KillPrimary | Fault::KillZone => primary,
            Fault::KillReplicaNode => (primary + 1) % 3,
            _ => usize::MAX,
        };
        let ports: Vec<u16> =
            (0..3).filter(|node| *node != killed).map(|node| stage.nodes[node].port).collect();
        let load = Load::start(&ports, 6);
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
