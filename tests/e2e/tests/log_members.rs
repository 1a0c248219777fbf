//! Proves changes of the log's replicas under load, with separate processes: a lost one is replaced by a new process at another
//! address; the log grows from three zones to five, which survive the loss of two at once; and shrinks back to three, two of which
//! are not those that it began with. No client is answered an error, no count is lost, and all groups change, the metadata's included.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tests_harness::{Client, Cluster, Reply, Running, free_ports};

const SHARDS: u32 = 2;

/// Clients that count up keys of their own; every reply must be a success.
struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    writers: Vec<std::thread::JoinHandle<i64>>,
}

impl Load {
    fn start(ports: &[u16]) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writer = |(number, port): (usize, u16)| {
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            std::thread::spawn(move || {
                let mut client = Client::connect(port).unwrap();
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    let reply = client.call(&["INCR", &format!("count:{number}")]).unwrap();
                    assert_eq!(reply, Reply::Integer(count), "writer {number}");
                    written.fetch_add(1, Ordering::Relaxed);
                }
                count
            })
        };
        let writers = ports.iter().cycle().copied().take(6).enumerate().map(writer).collect();
        Self { stop, written, writers }
    }

    /// Waits until more writes have been answered.
    fn goes_on(&self, when: &str) {
        let (before, begun) = (self.written.load(Ordering::Relaxed), Instant::now());
        while self.written.load(Ordering::Relaxed) < before + 200 {
            assert!(begun.elapsed() < Duration::from_secs(30), "writes stopped {when}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What each writer has counted to.
    fn end(self) -> Vec<i64> {
        self.stop.store(true, Ordering::Relaxed);
        self.writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    }
}

/// What `log info` says.
fn log_info(node: &Running) -> serde_json::Value {
    let text = node.ctl(&["log", "info", "--json"]).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Waits until every group has exactly one sound replica in each of these zones, and its last change of members is done: before it
/// has begun the rows may look sound, with a lost one among them.
fn wait_for_zones(node: &Running, zones: &[&str]) {
    let begun = Instant::now();
    loop {
        let info = log_info(node);
        let rows = info["replicas"].as_array().cloned().unwrap_or_default();
        let states = member_states(&info);
        let groups = (0..SHARDS).map(|shard| serde_json::json!(shard)).chain([serde_json::json!("metadata")]);
        let whole = groups.into_iter().all(|group| {
            let own: Vec<_> = rows.iter().filter(|row| row["shard"] == group).collect();
            let found: BTreeSet<&str> = own.iter().filter_map(|row| row["zone"].as_str()).collect();
            let sound = |row: &&serde_json::Value| {
                matches!(row["state"].as_str(), Some("leader" | "follower"))
                    && row["lag"].as_u64() < Some(300)
            };
            own.len() == zones.len()
                && own.iter().all(sound)
                && found == zones.iter().copied().collect()
                && states.get(&group.to_string()).is_some_and(|state| state == "settled")
        });
        if whole {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "not in {zones:?}: {info}; {}", node.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How far the change of each group's members has come.
fn member_states(info: &serde_json::Value) -> BTreeMap<String, String> {
    let groups = info["groups"].as_array().cloned().unwrap_or_default();
    let state = |group: &serde_json::Value| group["members"].as_str().unwrap_or_default().to_owned();
    groups.iter().map(|group| (group["shard"].to_string(), state(group))).collect()
}

#[test]
fn the_log_is_repaired_grown_and_shrunk_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(folder.path(), SHARDS);
    let mut logs = cluster.start_logs();
    let nodes = [cluster.node("node-a", "az-a").start(), cluster.node("node-c", "az-c").start()];
    let load = Load::start(&[nodes[0].port, nodes[1].port]);
    let ports = free_ports(3);
    let address = |at: usize| format!("127.0.0.1:{}", ports[at]);
    load.goes_on("before anything happened");

    // A lost one is replaced, and the new one counts: another one may go.
    logs[1].kill();
    load.goes_on("after one replica was lost");
    nodes[0].ctl(&["log", "replace", "az-b", &address(0)]).unwrap();
    // Nothing has happened yet, whatever the rows of replicas look like.
    let info = log_info(&nodes[0]);
    let states = member_states(&info);
    assert!(states.len() == SHARDS as usize + 1 && states.values().all(|state| state == "waiting"), "{info}");
    let replacement = cluster.log("az-b-2", "az-b", ports[0]).start();
    wait_for_zones(&nodes[0], &["az-a", "az-b", "az-c"]);
    logs[0].kill();
    load.goes_on("with a replacement and one more replica lost");
    logs[0] = cluster.logs[0].start();
    wait_for_zones(&nodes[0], &["az-a", "az-b", "az-c"]);

    // Three zones become five, and five survive two.
    let mut more = Vec::new();
    for (at, zone) in [(1, "az-d"), (2, "az-e")] {
        nodes[1].ctl(&["log", "add", zone, &address(at)]).unwrap();
        more.push(cluster.log(zone, zone, ports[at]).start());
    }
    wait_for_zones(&nodes[1], &["az-a", "az-b", "az-c", "az-d", "az-e"]);
    logs[0].kill();
    logs[2].kill();
    load.goes_on("with two of five replicas lost");
    logs[0] = cluster.logs[0].start();
    logs[2] = cluster.logs[2].start();
    wait_for_zones(&nodes[1], &["az-a", "az-b", "az-c", "az-d", "az-e"]);

    // Back to three, without two of the zones that it began with: new processes still find it.
    for zone in ["az-a", "az-c"] {
        nodes[0].ctl(&["log", "remove", zone]).unwrap();
    }
    wait_for_zones(&nodes[0], &["az-b", "az-d", "az-e"]);
    load.goes_on("with three of five zones left");
    logs.remove(2).stop();
    load.goes_on("with one former replica stopped");
    let refused = nodes[0].ctl(&["log", "remove", "az-d"]).unwrap_err();
    assert!(refused.contains("from 3 to 9"), "{refused}");
    // One address is enough to find the others.
    cluster.replicas = format!("az-e={}", address(2));
    let late = cluster.node("late", "az-e").start();
    logs.remove(0).stop();
    load.goes_on("with all former replicas stopped");
    let counts = load.end();
    let mut client = late.client();
    for (number, count) in counts.iter().enumerate() {
        assert_eq!(client.text(&format!("GET count:{number}")), count.to_string(), "writer {number}");
    }
    drop((replacement, more));
}
