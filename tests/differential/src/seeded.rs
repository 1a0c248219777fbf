//! One family against redis-server, by seed: what the tests of this crate that need no running fastkeep have in common.
#![allow(clippy::unwrap_used)]

use tests_harness::Oracle;

use crate::target::{Engine, Server, Target};

/// Requests of a run, unless `FASTKEEP_COMMANDS` says another number.
const COMMANDS: u64 = 30_000;

/// A number from the environment.
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Requests of this run.
pub fn commands() -> usize {
    setting("FASTKEEP_COMMANDS").unwrap_or(COMMANDS) as usize
}

/// The seed of this run, unless `FASTKEEP_SEED` says another.
pub fn seed(usual: u64) -> u64 {
    setting("FASTKEEP_SEED").unwrap_or(usual)
}

/// Starts redis-server and has `run` compare it with the engine in this process (whose effects a replica replays) or,
/// with `FASTKEEP_PORT`, with a server there, which is emptied first. `run` gives the differences as text.
///
/// # Panics
/// When there are differences, or a connection breaks.
pub fn differential(
    seed: u64,
    protocol: u8,
    arguments: &[&str],
    run: impl FnOnce(&mut dyn Target, &mut dyn Target) -> Vec<String>,
) {
    if !Oracle::is_installed() {
        return;
    }
    let oracle = Oracle::start(arguments);
    let mut expected = Server::connect(oracle.port, protocol).unwrap();
    let shown = match setting("FASTKEEP_PORT") {
        Some(port) => {
            let mut server = Server::connect(port as u16, protocol).unwrap();
            server.line("FLUSHALL").unwrap();
            run(&mut expected, &mut server)
        }
        None => {
            let mut engine = Engine::new(protocol);
            let shown = run(&mut expected, &mut engine);
            engine.db.check();
            shown
        }
    };
    assert!(shown.is_empty(), "seed {seed}: {} differences\n{}", shown.len(), shown.join("\n"));
}
