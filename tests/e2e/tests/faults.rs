//! A run of faults on separate processes under load: kills, freezes beyond the lease, one-way cuts, delays, full and failing disks,
//! lost zones, hand-overs, one after the other, drawn from a seed. After each fault everything must be explained by the history
//! checker and by total counts, every client error must be an uncertain outcome, and the cluster must be whole again by itself.
//!
//! `make faults FAULTS=200 SEED=1` runs many and prints a table; by default a few run. The network is a relay in front of each log
//! replica (everybody reaches it through that), a full disk is a small tmpfs where one can be mounted, else failing writes.
//! `network.rs` does it with a network of its own.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // Not every test needs all of it.
mod history;
#[allow(dead_code)]
mod stage;

use stage::{Fault, Stage, suffer_all};

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

#[test]
fn faults_leave_a_history_that_can_be_explained() {
    let folder = tempfile::tempdir().unwrap();
    suffer_all(&mut Stage::behind_relays(folder.path()), &FAULTS);
}
