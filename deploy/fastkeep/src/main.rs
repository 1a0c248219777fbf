//! fastkeep: the one binary. Chooses the process that was asked for and runs it to its end.
//!
//! This crate is the composition root: it maps settings to the parts' own configurations and joins the
//! parts. Nothing depends on it.

mod api;
mod cli;
mod ctl;
mod parameters;
mod parts;
mod process;
mod tls;
mod up;

use std::process::ExitCode;

// Size classes and numbers for memory accounting come from it (see proxy-store).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let ended = match matches.subcommand() {
        Some(("up", given)) => cli::settings(given).and_then(up::run),
        Some(("logsvc", given)) => cli::settings(given).and_then(process::run_logsvc),
        Some(("proxy", given)) => cli::settings(given).and_then(process::run_proxy),
        Some(("snapshot", given)) => cli::settings(given).and_then(process::run_snapshot),
        Some(("ctl", given)) => ctl::run(given),
        _ => Err("unknown command; see fastkeep --help".to_owned()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("fastkeep: {message}");
            ExitCode::FAILURE
        }
    }
}
