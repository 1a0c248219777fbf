//! Proves a rolling upgrade between two builds that differ in engine version (one binary, which poses as the next version when it
//! is told to): in the documented order no client is answered an error; in the wrong order a replica that meets a newer record
//! stops in front of it and says so, shows what it has, is no candidate, and goes on when it is upgraded. Nothing is lost.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // Not every test needs all of it.
mod history;

use std::time::{Duration, Instant};

use history::load::{Load, errors, settle, wait_for_replicas};
use tests_harness::{Cluster, Fastkeep, Running, primary_of};

fn newer(command: &Fastkeep) -> Fastkeep {
    command.clone().env("FASTKEEP_POSE_AS_NEXT_VERSION", "1")
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

#[test]
fn replicas_first_and_the_primary_last_reaches_no_client_as_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let _logs = cluster.start_logs();
    let commands = cluster.nodes();
    let mut nodes = cluster.start_nodes();
    let last = primary(&nodes);
    let next = engines(&nodes[last])[0] + 1;
    wait_for_replicas(&nodes[last]);
    for at in [(last + 1) % 3, (last + 2) % 3, last] {
        // A node that stops closes its own clients: they are elsewhere.
        let ports: Vec<u16> = (0..3).filter(|node| *node != at).map(|node| nodes[node].port).collect();
        let load = Load::start(&ports, 6);
        load.run(Duration::from_millis(250));
        assert!(nodes.remove(at).stop().success());
        nodes.insert(at, newer(&commands[at]).start());
        load.run(Duration::from_millis(250));
        let (history, answers) = load.end();
        assert_eq!(errors(&answers), [""; 0], "an upgrade reached a client as an error");
        wait_for_replicas(&nodes[at]);
        settle(&history, &nodes[at]);
    }
    assert_eq!(engines(&nodes[0]), [next; 3]);
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
