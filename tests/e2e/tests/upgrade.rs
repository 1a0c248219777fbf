//! Proves a rolling upgrade between two builds that differ in version, of their records and of the log's wire protocol: the ordinary
//! build, and one of the same sources with `next-version`, which this test makes. In the documented order (log replicas, snapshotter,
//! nodes that follow, nodes that serve) no client is answered an error; in the wrong order a replica that meets a newer record
//! stops in front of it and says so, shows what it has, is no candidate, and goes on when it is upgraded. Nothing is lost.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // Not every test needs all of it.
mod history;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use history::History;
use history::load::{Load, errors, settle, wait_for_replicas};
use tests_harness::{Cluster, Fastkeep, Running, primary_of};

/// Builds the next version. What is compiled anew stands beside the ordinary build's parts in its target folder, which shares all
/// others, RocksDB above all, and is left as it is; only the binary has a folder of its own.
fn next_build() -> &'static Path {
    static NEXT: OnceLock<PathBuf> = OnceLock::new();
    NEXT.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let target = test.ancestors().nth(3).unwrap();
        let folder = target.join("next-version");
        // Compiled quickly rather than well.
        let quickly = [
            "logsvc-client",
            "logsvc-server",
            "proxy-shard",
            "proxy-server",
            "snapshot-worker",
            "deploy-fastkeep",
        ]
        .map(|name| format!("--config=profile.release.package.{name}.opt-level=1"));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--release", "--locked", "--quiet", "-p", "deploy-fastkeep", "--bin", "fastkeep"])
            .args(["--features", "next-version"])
            .args(quickly)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .env("CARGO_BUILD_BUILD_DIR", target)
            .env("CARGO_TARGET_DIR", &folder)
            .status();
        assert!(built.unwrap().success(), "the next version can't be built");
        folder.join("release/fastkeep")
    })
}

fn newer(command: &Fastkeep) -> Fastkeep {
    command.clone().of_build(next_build())
}

fn primary(nodes: &[Running]) -> usize {
    primary_of(&nodes.iter().collect::<Vec<_>>(), 0)
}

/// The engine versions of all nodes, as one of them knows them.
fn engines(node: &Running) -> Vec<u64> {
    let nodes: serde_json::Value = serde_json::from_str(&node.ctl(&["nodes", "--json"]).unwrap()).unwrap();
    let rows = nodes["nodes"].as_array().unwrap().iter().filter(|row| row["kind"] == "proxy");
    rows.map(|row| row["engine"].as_u64().unwrap()).collect()
}

/// Waits until every group of the log has all its replicas, close behind its leader.
fn wait_for_logs(node: &Running) {
    let begun = Instant::now();
    loop {
        let text = node.ctl(&["log", "info", "--json"]).unwrap_or_default();
        let info: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let rows = info["replicas"].as_array().map_or(&[][..], Vec::as_slice);
        let sound = |row: &serde_json::Value| {
            matches!(row["state"].as_str(), Some("leader" | "follower")) && row["lag"].as_u64() < Some(300)
        };
        // One shard and the metadata.
        if rows.len() == 6 && rows.iter().all(sound) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the log is not whole: {text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Does something under load on these nodes, which reaches nobody as an error.
fn under_load<'a, T>(
    nodes: impl IntoIterator<Item = &'a Running>,
    work: impl FnOnce() -> T,
) -> (T, Arc<History>) {
    let ports: Vec<u16> = nodes.into_iter().map(|node| node.port).collect();
    let load = Load::start(&ports, 6);
    load.run(Duration::from_millis(250));
    let done = work();
    load.run(Duration::from_millis(250));
    let (history, answers) = load.end();
    assert_eq!(errors(&answers), [""; 0], "an upgrade reached a client as an error");
    (done, history)
}

#[test]
fn the_documented_order_reaches_no_client_as_an_error() {
    let (next, folder) = (next_build(), tempfile::tempdir().unwrap());
    let cluster = Cluster::new(folder.path(), 1);
    let mut logs = cluster.start_logs();
    let commands = cluster.nodes();
    let mut nodes = cluster.start_nodes();
    let mut snapshotter = cluster.snapshotter.start();
    let last = primary(&nodes);
    let newest = engines(&nodes[last])[0] + 1;
    wait_for_replicas(&nodes[last]);
    // Behind a snapshot the log is trimmed, so that whoever begins needs it.
    snapshotter.ctl(&["snapshot", "create"]).unwrap();

    // 1. The log's replicas.
    for at in 0..3 {
        let ((), history) = under_load(&nodes, || {
            assert!(logs.remove(at).stop().success());
            logs.insert(at, cluster.logs[at].clone().of_build(next).start());
            wait_for_logs(&nodes[last]);
        });
        settle(&history, &nodes[last]);
    }

    // 2. The snapshotter. What it makes now, a node of the old version still begins with.
    assert!(snapshotter.stop().success());
    snapshotter = cluster.snapshotter.clone().of_build(next).start();
    snapshotter.ctl(&["snapshot", "create"]).unwrap();
    let at = (last + 1) % 3;
    assert!(nodes.remove(at).stop().success());
    nodes.insert(at, commands[at].start());
    wait_for_replicas(&nodes[last]);
    assert_eq!(engines(&nodes[last]), [newest - 1; 3]);

    // 3. and 4. The nodes, that which serves last. A node that stops closes its own clients: they are elsewhere.
    for at in [at, (last + 2) % 3, last] {
        let mut stopped = Some(nodes.remove(at));
        let (node, history) = under_load(&nodes, || {
            assert!(stopped.take().unwrap().stop().success());
            commands[at].clone().of_build(next).start()
        });
        nodes.insert(at, node);
        wait_for_replicas(&nodes[at]);
        settle(&history, &nodes[at]);
    }
    assert_eq!(engines(&nodes[0]), [newest; 3]);

    // Snapshots are of the new version from now on, and a node begins with them.
    assert_eq!(nodes[0].client().text("SET key after"), "OK");
    snapshotter.ctl(&["snapshot", "create"]).unwrap();
    let at = (primary(&nodes) + 1) % 3;
    nodes[at].kill();
    nodes[at] = newer(&commands[at]).start();
    wait_for_replicas(&nodes[at]);
    let mut client = nodes[at].client();
    assert_eq!((client.text("READONLY"), client.text("GET key")), ("OK".to_owned(), "after".to_owned()));
}

#[test]
fn a_replica_that_meets_a_newer_record_stops_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let _logs = cluster.start_logs();
    let commands = cluster.nodes();
    let mut nodes = cluster.start_nodes();
    let old = primary(&nodes);
    let next = engines(&nodes[old])[0] + 1;
    let (new, late) = ((old + 1) % 3, (old + 2) % 3);
    wait_for_replicas(&nodes[old]);
    assert_eq!(nodes[old].client().text("SET key before"), "OK");
    assert!(nodes.remove(new).stop().success());
    nodes.insert(new, newer(&commands[new]).start());
    wait_for_replicas(&nodes[old]);
    // Too early: two replicas are old when a new one becomes the primary.
    let status: serde_json::Value =
        serde_json::from_str(&nodes[new].ctl(&["status", "--json"]).unwrap()).unwrap();
    let name = status["shards"][0]["node"].as_str().unwrap().to_owned();
    let says = format!("engine version {next}");
    let stopped = |node: &Running| {
        let text = node.ctl(&["shards", "--json"]).unwrap_or_default();
        let rows: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let said = |row: &&serde_json::Value| row["detail"].as_str().is_some_and(|text| text.contains(&says));
        rows["shards"].as_array().map_or(0, |rows| rows.iter().filter(said).count())
    };
    let (begun, mut count) = (Instant::now(), 0);
    let last = loop {
        // On a machine that is busy enough a lease may be lost, and an old one be the primary again.
        if primary(&nodes) != new {
            let _ = nodes[old].ctl(&["failover", "0", "--to", &name]);
        }
        count += 1;
        let value = format!("after:{count}");
        if nodes[new].client().text(&format!("SET key {value}")) == "OK" && stopped(&nodes[new]) == 2 {
            break value;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "old replicas don't say that they stopped");
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut stale = nodes[late].client();
    assert_eq!(stale.text("READONLY"), "OK");
    let kept = stale.text("GET key");
    assert!(
        kept != last && ["before", "after"].iter().any(|had| kept.starts_with(had)),
        "it shows {kept}, not what it had"
    );
    // The new primary is lost: neither of the old ones takes over, until one of them is new.
    nodes[new].kill();
    assert!(nodes.remove(late).stop().success());
    nodes.insert(late, newer(&commands[late]).start());
    let begun = Instant::now();
    while nodes[late].client().text("GET key") != last {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", nodes[late].log());
    }
    assert_eq!(primary(&nodes), late);
    assert!(nodes.remove(old).stop().success());
    nodes.insert(old, newer(&commands[old]).start());
    nodes[new] = newer(&commands[new]).start();
    wait_for_replicas(&nodes[late]);
    assert_eq!(engines(&nodes[late]), [next; 3]);
}
