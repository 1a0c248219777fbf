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
use tests_harness::{say_skipped, within_namespaces};

const FAULTS: [Fault; 18] = [
    Fault::CutNodeInward,
    Fault::CutZone,
    Fault::Unplug,
    Fault::CutNodeOutward,
    Fault::KillPrimary,
    Fault::CutPair,
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

#[test]
fn faults_of_a_network_leave_a_history_that_can_be_explained() {
    const NAME: &str = "faults_of_a_network_leave_a_history_that_can_be_explained";
    match within_namespaces(NAME) {
        Ok(true) => {
            let folder = tempfile::tempdir().unwrap();
            suffer_all(&mut Stage::on_hosts(folder.path()), &FAULTS);
        }
        Ok(false) => {}
        Err(why) if is_asked_for() => panic!("no network can be made here: {why}"),
        Err(why) => say_skipped(NAME, &why),
    }
}
