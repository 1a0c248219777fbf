//! Proves that the engine answers string, key, lifetime and database commands as redis-server does, in
//! RESP2 and RESP3, over seeded random requests biased to edges; DEBUG DIGEST is one of the requests, so the
//! data agree as well, and a replica that replays the effects ends with the same data.
//!
//! `FASTKEEP_SEED` and `FASTKEEP_COMMANDS` choose another run; `FASTKEEP_PORT` sends the requests to a
//! server there instead (it is emptied first). Needs redis-server 7.0; without it the test says so and ends.
#![allow(clippy::unwrap_used)]

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tests_differential::agreement::compare;
use tests_differential::families::keyed::Keyed;
use tests_differential::target::{Engine, Server, Target};
use tests_harness::Oracle;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn differential(seed: u64, protocol: u8) {
    if std::process::Command::new("redis-server").arg("--version").output().is_err() {
        eprintln!("skipped: redis-server is not installed");
        return;
    }
    let oracle = Oracle::start(&[]);
    let mut expected = Server::connect(oracle.port, protocol).unwrap();
    let mut rng = SmallRng::seed_from_u64(seed);
    let next = || Keyed { rng: &mut rng }.command();
    let count = setting("FASTKEEP_COMMANDS").unwrap_or(30_000) as usize;
    let differences = match setting("FASTKEEP_PORT") {
        Some(port) => {
            let mut server = Server::connect(port as u16, protocol).unwrap();
            server.line("FLUSHALL").unwrap();
            compare(&mut expected, &mut server, next, count, 40).unwrap()
        }
        None => {
            let mut engine = Engine::new(protocol);
            let differences = compare(&mut expected, &mut engine, next, count, 40).unwrap();
            engine.db.check();
            differences
        }
    };
    let shown: Vec<String> = differences.iter().map(|difference| format!("{difference:?}")).collect();
    assert!(shown.is_empty(), "seed {seed}: {} differences\n{}", shown.len(), shown.join("\n"));
}

#[test]
fn replies_agree_in_resp2() {
    differential(setting("FASTKEEP_SEED").unwrap_or(1), 2);
}

#[test]
fn replies_agree_in_resp3() {
    differential(setting("FASTKEEP_SEED").unwrap_or(2), 3);
}
