//! `make bench`: fastkeep beside redis-server in one run, as ratios.
//!
//! Three servers take turns: `fastkeep up`, redis-server with `appendfsync always`, redis-server without
//! persistence. Throughput and latency are measured with client and server free to use both cores, the
//! order of servers rotated in every round; CPU for each command with both pinned to one core, where every
//! turn of a server finds all ready clients and the figure is the server's own. Bytes for each key by the growth of
//! `used_memory`; time against size; how long a command on a huge value keeps others waiting. Medians over rounds go
//! to the terminal, and each part that was run replaces its own part of docs/performance.md.
#![allow(clippy::unwrap_used)]

mod growth;
mod load;
mod measure;
mod report;
mod servers;
mod shapes;
mod stalls;
mod wire;

use std::path::Path;

use clap::Parser;

use measure::{Cell, Measured};
use servers::Kind;

/// Measures fastkeep against redis-server.
#[derive(Parser)]
struct Options {
    /// Rounds; the medians over them are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Length of each measurement in seconds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only these parts: throughput, cpu, memory, growth, stalls (comma separated).
    #[arg(long, value_delimiter = ',', default_value = "throughput,cpu,memory,growth,stalls")]
    parts: Vec<String>,
    /// Of memory and stalls, only shapes or commands that contain one of these texts (comma separated).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these workloads (comma separated): get,set,incr,lpush,hset,zadd,mix.
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// Only these numbers of clients.
    #[arg(long, value_delimiter = ',', default_value = "1,50,500")]
    clients: Vec<usize>,
    /// Only these pipelines.
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    pipelines: Vec<usize>,
    /// Does not write docs/performance.md.
    #[arg(long)]
    no_write: bool,
}

fn main() {
    let options = Options::parse();
    let wants = |part: &str| options.parts.iter().any(|p| p == part);
    let cells = cells(&options);
    let mut measured = Measured::default();
    for round in 0..options.rounds {
        if wants("throughput") {
            measure::throughput(&cells, round, options.seconds, &mut measured);
        }
        if wants("cpu") {
            measure::cpu(&cells, round, options.seconds, &mut measured);
        }
    }
    if wants("memory") {
        shapes::measure(&options.only, &mut measured);
    }
    if wants("growth") {
        growth::measure(&mut measured);
    }
    if wants("stalls") {
        stalls::measure(options.rounds, &options.only, &mut measured);
    }
    for (part, page) in report::pages(&cells, &measured, &options) {
        println!("\n{page}");
        if !options.no_write {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/performance.md");
            report::write(&file, part, &page);
        }
    }
}

/// Every combination that was asked for.
fn cells(options: &Options) -> Vec<Cell> {
    let all = load::Workload::all();
    let chosen = all
        .iter()
        .filter(|w| options.workloads.is_empty() || options.workloads.iter().any(|n| n == w.name()));
    let mut cells = Vec::new();
    for &workload in chosen {
        for &clients in &options.clients {
            for &pipeline in &options.pipelines {
                cells.push(Cell { workload, clients, pipeline });
            }
        }
    }
    cells
}

/// The servers in the order of a round.
fn order(round: usize) -> [Kind; 3] {
    let mut kinds = Kind::ALL;
    kinds.rotate_left(round % 3);
    kinds
}
