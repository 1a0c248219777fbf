//! Proves that a node holds the shards that are placed on it and no others, with separate processes under load: each shard has as
//! many copies as it should, over different zones; a node that joins gets its part and the others let go of theirs; a shard whose
//! nodes are all gone is restored on others. No count is lost, and no client is answered an error but an uncertain outcome.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests_harness::{Client, Cluster, Reply, Running};

const SHARDS: u64 = 4;

/// Who holds each shard, by what every node in `nodes` says of itself: (node, zone, role).
fn holders(nodes: &[&Running]) -> BTreeMap<u64, Vec<(usize, String)>> {
    let mut found: BTreeMap<u64, Vec<(usize, String)>> = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        let text = node.ctl(&["status", "--json"]).unwrap_or_default();
        let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        for row in status["shards"].as_array().into_iter().flatten() {
            let role = row["role"].as_str().unwrap_or_default().to_owned();
            if role != "absent" {
                found.entry(row["shard"].as_u64().unwrap()).or_default().push((at, role));
            }
        }
    }
    found
}

/// Waits until each shard has one primary and one replica, and each of `nodes` something to do.
fn wait_for_two_copies(nodes: &[&Running]) -> BTreeMap<u64, Vec<(usize, String)>> {
    let begun = Instant::now();
    loop {
        let found = holders(nodes);
        let whole = |held: &Vec<(usize, String)>| {
            let count = |role: &str| held.iter().filter(|(_, found)| found == role).count();
            held.len() == 2 && count("primary") == 1 && count("replica") == 1
        };
        let busy: BTreeSet<usize> = found.values().flatten().map(|(node, _)| *node).collect();
        if found.len() as u64 == SHARDS && found.values().all(whole) && busy.len() == nodes.len() {
            return found;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "not two copies each: {found:?}; {}",
            nodes[0].log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn shards_live_where_they_are_placed() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), SHARDS as u32);
    let _logs = cluster.start_logs();
    let node = |name: &str, zone: &str| cluster.node(name, zone).with(&["--node-replicas", "1"]).start();
    let mut nodes = vec![node("node-a", "az-a"), node("node-b", "az-b"), node("node-c", "az-c")];
    wait_for_two_copies(&nodes.iter().collect::<Vec<_>>());

    let stop = Arc::new(AtomicBool::new(false));
    let port = nodes[0].port;
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut count, mut unknown) = (0_i64, 0_i64);
                let mut client = Client::connect(port).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    match client.call(&["INCR", &format!("count:{number}")]) {
                        Ok(Reply::Integer(found)) => {
                            assert!(
                                (count + 1..=count + 1 + unknown).contains(&found),
                                "{count} {unknown} {found}"
                            );
                            (count, unknown) = (found, 0);
                        }
                        Ok(Reply::Error(why)) => {
                            assert!(why.starts_with("UNCERTAIN"), "{why}");
                            unknown += 1;
                            client = Client::connect(port).unwrap();
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(_) => {
                            unknown += 1;
                            client = Client::connect(port).unwrap();
                        }
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                (count, unknown)
            })
        })
        .collect();

    // One joins, and gets its part.
    nodes.push(node("node-d", "az-b"));
    let found = wait_for_two_copies(&nodes.iter().collect::<Vec<_>>());
    // Both nodes of a shard vanish at once, as far as neither is the clients' own.
    let pair = |held: &Vec<(usize, String)>| held.iter().map(|(node, _)| *node).collect::<BTreeSet<usize>>();
    let gone = found.values().map(pair).find(|pair| !pair.contains(&0));
    let gone = gone.unwrap_or_else(|| [2, 3].into());
    for at in &gone {
        nodes[*at].kill();
    }
    let left: Vec<&Running> = (0..4).filter(|at| !gone.contains(at)).map(|at| &nodes[at]).collect();
    wait_for_two_copies(&left);
    std::thread::sleep(Duration::from_millis(100));
    stop.store(true, Ordering::Relaxed);
    let mut client = left[1].client();
    for (number, writer) in writers.into_iter().enumerate() {
        let (count, unknown) = writer.join().unwrap();
        let found: i64 = client.text(&format!("GET count:{number}")).parse().unwrap();
        assert!(
            (count..=count + unknown).contains(&found),
            "writer {number}: {count}, {unknown} unknown, found {found}"
        );
    }
}
