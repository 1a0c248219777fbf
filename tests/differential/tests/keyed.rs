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
use tests_differential::seeded::{commands, differential, seed};

fn compared(usual_seed: u64, protocol: u8) {
    let seed = seed(usual_seed);
    differential(seed, protocol, &[], |expected, tested| {
        let mut rng = SmallRng::seed_from_u64(seed);
        // WAIT is answered by the session; whole comparisons draw it.
        let next = || {
            loop {
                let command = Keyed { rng: &mut rng }.command();
                if !command[0].eq_ignore_ascii_case(b"WAIT") {
                    return command;
                }
            }
        };
        let differences = compare(expected, tested, next, commands(), 40).unwrap();
        differences.iter().map(|difference| format!("{difference:?}")).collect()
    });
}

#[test]
fn replies_agree_in_resp2() {
    compared(1, 2);
}

#[test]
fn replies_agree_in_resp3() {
    compared(2, 3);
}
