//! The run of faults (`faults.rs`) with each node and each log replica in a network namespace of its own: what the network loses is
//! lost, in one direction or both, between any hosts, and TCP has to find out. Kills, freezes beyond the lease, full and failing
//! disks come between. After each fault everything must be explained by the history checker and by total counts, every client error
//! must be an uncertain outcome, and the cluster must be whole again by itself.
//!
//! `make faults-network FAULTS=200 SEED=1` runs many and prints a table; by default a few run. It takes root, or a system that lets
//! anybody make namespaces, and iproute2; where that is missing a test run says so and goes on, `make faults-network` fails.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // Not every test needs all of it.
mod history;
#[allow(dead_code)]
mod stage;

use stage::{Fault, Stage, is_asked_for, suffer_all};
use tests_harness::{Cluster, Network, Reply, ZONES, primary_of, say_skipped, within_namespaces};

const FAULTS: [Fault; 19] = [
    Fault::CutNodeInward,
    Fault::CutZone,
    Fault::Unplug,
    Fault::CutNodeOutward,
    Fault::KillPrimary,
    Fault::CutPair,
    Fault::CutNodes,
    Fault::CutInward,
    Fault::LosePackets,
    Fault::FreezePrimary,
    Fault::FullDisk,
    Fault::Delay,
    Fault::KillZone,
    Fault::FailingSync,
    Fault::CutOutward,
    Fault::HandOver,
    Fault::KillLog,
    Fault::FreezeLog,
    Fault::KillReplicaNode,
];

/// Runs it where the network is the test's own.
fn in_a_network(test: &str, run: impl FnOnce()) {
    match within_namespaces(test) {
        Ok(true) => run(),
        Ok(false) => {}
        Err(why) if is_asked_for() => panic!("no network can be made here: {why}"),
        Err(why) => say_skipped(test, &why),
    }
}

#[test]
fn faults_of_a_network_leave_a_history_that_can_be_explained() {
    in_a_network("faults_of_a_network_leave_a_history_that_can_be_explained", || {
        let folder = tempfile::tempdir().unwrap();
        suffer_all(&mut Stage::on_hosts(folder.path()), &FAULTS);
    });
}

/// Two nodes lose each other for good, and only they: the one still serves, the other says to its client what it knows.
#[test]
fn a_node_that_cannot_be_reached_keeps_nobody_waiting() {
    in_a_network("a_node_that_cannot_be_reached_keeps_nobody_waiting", || {
        let folder = tempfile::tempdir().unwrap();
        let mut network = Network::new(2 * ZONES.len() as u8);
        let cluster = Cluster::on_hosts(folder.path(), 1, &network.hosts);
        let _logs = cluster.start_logs();
        let nodes = cluster.start_nodes();
        let primary = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
        let other = (primary + 1) % ZONES.len();
        let (mut here, mut there) = (nodes[other].client(), nodes[primary].client());
        assert_eq!(here.text("SET key before"), "OK");
        let pair = [network.hosts[ZONES.len() + primary].clone(), network.hosts[ZONES.len() + other].clone()];
        network.cut(&pair, &pair);
        here.queue(&["SET", "key", "lost"]);
        here.flush().unwrap();
        // The client gives up by itself after 30 s.
        let answer = here.read().unwrap();
        assert!(matches!(&answer, Reply::Error(why) if why.starts_with("UNCERTAIN")), "{answer:?}");
        assert_eq!(there.text("GET key"), "before");
        assert_eq!(there.text("SET key during"), "OK");
        network.mend();
        let mut here = nodes[other].client();
        assert_eq!(here.text("GET key"), "during");
        assert_eq!(here.text("SET key after"), "OK");
    });
}
