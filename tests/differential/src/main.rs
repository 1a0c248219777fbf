//! `make differential`: random commands to `fastkeep up` and redis-server, replies and data compared.
//! Prints each difference with the commands that led to it; ends with 1 when there are any.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tests_differential::rounds::{Plan, Report, running, started};

/// Compares fastkeep with redis-server over random commands.
#[derive(Parser)]
struct Options {
    /// Commands in all, half of them in RESP2 and half in RESP3.
    #[arg(long, default_value_t = 100_000)]
    commands: usize,
    /// Chooses the commands; the same seed gives the same commands.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Shards of the started fastkeep; above 1 the keys of one command share a hash tag.
    #[arg(long, default_value_t = 1)]
    shards: u32,
    /// Port of a running fastkeep, which is emptied; without it one is started (`FASTKEEP_BINARY`).
    #[arg(long, requires = "redis")]
    fastkeep: Option<u16>,
    /// Port of a running redis-server, which is emptied.
    #[arg(long, requires = "fastkeep")]
    redis: Option<u16>,
    /// Differences after which a run ends.
    #[arg(long, default_value_t = 20)]
    max: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let plan =
        Plan { commands: options.commands, seed: options.seed, shards: options.shards, max: options.max };
    let begun = Instant::now();
    let Report { compared, differences } = match (options.redis, options.fastkeep) {
        (Some(oracle), Some(tested)) => running(plan, oracle, tested),
        _ => started(plan),
    };
    for difference in &differences {
        println!("{difference}\n");
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "seed {}: {compared} commands compared in {seconds:.1} s, {} differences",
        options.seed,
        differences.len()
    );
    if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
