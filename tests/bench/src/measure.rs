//! The measurements: throughput and latency, CPU for each command, bytes for each key.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::load::{self, Workload};
use crate::order;
use crate::servers::{Kind, Server, pin};

/// One line of the report.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub workload: Workload,
    pub clients: usize,
    pub pipeline: usize,
}

impl Cell {
    /// A key that sorts and compares.
    pub fn id(&self) -> (&'static str, usize, usize) {
        (self.workload.name(), self.clients, self.pipeline)
    }
}

type Id = (&'static str, usize, usize);

/// All figures, one for each round.
#[derive(Default)]
pub struct Measured {
    /// Commands a second.
    pub rate: BTreeMap<(Id, Kind), Vec<f64>>,
    /// Microseconds.
    pub p50: BTreeMap<(Id, Kind), Vec<f64>>,
    /// Microseconds.
    pub p99: BTreeMap<(Id, Kind), Vec<f64>>,
    /// Server CPU seconds for a million commands, client and server on one core.
    pub cpu: BTreeMap<(Id, Kind), Vec<f64>>,
    /// By shape, bytes for each key: growth of `used_memory`, growth of resident memory.
    pub bytes: BTreeMap<(&'static str, Kind), (f64, f64)>,
    /// By operation and size, nanoseconds of server CPU for each command.
    pub growth: BTreeMap<(&'static str, u64, Kind), f64>,
    /// By command, milliseconds: another client's longest wait, and the command itself.
    pub stalls: BTreeMap<(&'static str, Kind), Vec<(f64, f64)>>,
}

/// Rates and latencies of all cells, each server fresh.
pub fn throughput(cells: &[Cell], round: usize, seconds: f64, into: &mut Measured) {
    for kind in order(round) {
        let server = Server::start(kind);
        server.fill();
        for cell in cells {
            let run = load::run(
                server.port,
                cell.workload,
                cell.clients,
                cell.pipeline,
                Duration::from_secs_f64(seconds),
            );
            let rate = run.commands as f64 / run.elapsed.as_secs_f64();
            println!("round {round} {kind:?} {:?}: {rate:.0}/s", cell.id());
            let key = (cell.id(), kind);
            into.rate.entry(key).or_default().push(rate);
            into.p50.entry(key).or_default().push(run.p50.as_secs_f64() * 1e6);
            into.p99.entry(key).or_default().push(run.p99.as_secs_f64() * 1e6);
        }
    }
}

/// CPU for each command of all cells, everything pinned to one core. All servers run side by side, idle but
/// for the one that is measured, so that a cell's figures are taken within seconds of each other.
pub fn cpu(cells: &[Cell], round: usize, seconds: f64, into: &mut Measured) {
    let servers: Vec<(Kind, Server)> =
        order(round).into_iter().map(|kind| (kind, Server::start(kind))).collect();
    for (_, server) in &servers {
        server.fill();
        server.pin(Some(0));
    }
    pin(std::process::id(), Some(0));
    for cell in cells {
        for (kind, server) in &servers {
            let before = server.cpu_ns();
            let run = load::run(
                server.port,
                cell.workload,
                cell.clients,
                cell.pipeline,
                Duration::from_secs_f64(seconds),
            );
            let spent = (server.cpu_ns() - before) as f64 / 1e9;
            let each = spent / (run.commands as f64 / 1e6);
            println!("round {round} {kind:?} {:?}: {each:.2} CPU s for a million", cell.id());
            into.cpu.entry((cell.id(), *kind)).or_default().push(each);
        }
    }
    pin(std::process::id(), None);
}

/// The middle of the figures; not a number if there are none.
pub fn median(figures: Option<&Vec<f64>>) -> f64 {
    let Some(figures) = figures.filter(|f| !f.is_empty()) else { return f64::NAN };
    let mut sorted = figures.clone();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
