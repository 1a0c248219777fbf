//! Proves what the loss of much at once does, with separate processes: a whole zone (node and log replica, `kill -9`) costs a
//! failover and no more; without a quorum of the log a write ends as uncertain and nothing is read that the lease no longer
//! covers, and all goes on by itself when one replica returns.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // Not every test needs all of it.
mod history;

use std::time::{Duration, Instant};

use history::load::{Load, errors, gap_after, settle, wait_for_replicas};
use tests_harness::{Client, Cluster, Reply, Running, primary_of};

const CLIENTS: u64 = 6;

#[test]
fn a_lost_zone_costs_a_failover_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let mut logs = cluster.start_logs();
    let commands = cluster.nodes();
    let mut nodes = cluster.start_nodes();
    let at = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
    wait_for_replicas(&nodes[(at + 1) % 3]);
    let ports: Vec<u16> = (0..3).filter(|node| *node != at).map(|node| nodes[node].port).collect();
    let load = Load::start(&ports, CLIENTS);
    load.run(Duration::from_millis(500));
    let begun = Instant::now();
    nodes[at].kill();
    logs[at].kill();
    load.run(Duration::from_secs(3));
    let (history, answers) = load.end();
    // What was sent to the lost primary and not answered is uncertain: at most one command a client.
    let errors = errors(&answers);
    assert!(errors.len() <= CLIENTS as usize, "{errors:?}");
    settle(&history, &nodes[(at + 1) % 3]);
    println!("zone lost: {:?} without an answer, {} uncertain", gap_after(&answers, begun), errors.len());

    logs[at] = cluster.logs[at].start();
    nodes[at] = commands[at].start();
    wait_for_replicas(&nodes[at]);
    let load = Load::start(&ports, CLIENTS);
    load.run(Duration::from_millis(300));
    settle(&load.end().0, &nodes[at]);
}

/// Whether a node says that it serves the shard.
fn serves(node: &Running) -> bool {
    let text = node.ctl(&["status", "--json"]).unwrap_or_default();
    let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    status["shards"].as_array().is_some_and(|rows| rows.iter().any(|row| row["role"] == "primary"))
}

#[test]
fn without_a_quorum_nothing_is_promised_and_one_replica_is_enough_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let mut logs = cluster.start_logs();
    let nodes = cluster.start_nodes();
    let at = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
    wait_for_replicas(&nodes[at]);
    let mut client = nodes[at].client();
    assert_eq!(client.text("SET key before"), "OK");
    // Two are lost; a write is on its way to a log that can't take it.
    logs[0].kill();
    logs[1].kill();
    let answer = client.text("SET key after");
    assert!(answer.starts_with("-UNCERTAIN"), "{answer}");
    let begun = Instant::now();
    while nodes.iter().any(serves) {
        assert!(begun.elapsed() < Duration::from_secs(30), "a node serves without a lease");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Readers wait. None of them sees anything before there is a quorum again.
    let mut readers: Vec<Client> = nodes.iter().map(Running::client).collect();
    for reader in &mut readers {
        reader.queue(&["GET", "key"]);
        reader.flush().unwrap();
        reader.stream().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let early = reader.read();
        assert!(early.is_err(), "read without a lease: {early:?}");
        reader.stream().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    }
    logs[0] = cluster.logs[0].start();
    let seen: Vec<Reply> = readers.iter_mut().map(|reader| reader.read().unwrap()).collect();
    let text = |text: &str| Reply::BulkString(text.as_bytes().to_vec());
    assert!(seen.iter().all(|value| *value == seen[0]), "{seen:?}");
    assert!([text("before"), text("after")].contains(&seen[0]), "{seen:?}");
    let mut client = nodes[at].client();
    assert_eq!(client.text("SET key later"), "OK");
    assert_eq!(readers[1].text("GET key"), "later");
}
