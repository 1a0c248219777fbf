//! Proves that the engine answers hash, list, set and sorted set commands as redis-server does, in RESP2 and
//! RESP3, over seeded random requests biased to edges. Between stretches of requests keys expire, the order of
//! packed collections is compared, and DEBUG DIGEST of all data; a replica that replays the effects ends with
//! the same data.
//!
//! `FASTKEEP_SEED` and `FASTKEEP_COMMANDS` choose another run; `FASTKEEP_PORT` sends the requests to a
//! server there instead (it is emptied first). Needs redis-server 7.0; without it the test says so and ends.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use tests_differential::agreement::compare;
use tests_differential::families::collections::Collections;
use tests_differential::frame::Frame;
use tests_differential::seeded::{commands, differential, seed};
use tests_differential::target::Target;

/// Requests between two looks at all data.
const STRETCH: usize = 500;

/// The same line to both, whose answers must be the same bytes.
fn same(expected: &mut dyn Target, tested: &mut dyn Target, line: &str) -> Frame {
    let (a, b) = (expected.line(line).unwrap(), tested.line(line).unwrap());
    assert_eq!(format!("{a:?}"), format!("{b:?}"), "{line}");
    a
}

/// Expires one key or none, then compares everything: encodings, packed order, digest.
fn compare_data(expected: &mut dyn Target, tested: &mut dyn Target, rng: &mut SmallRng) {
    let key = Collections::all_keys().choose(rng).unwrap();
    same(expected, tested, &format!("PEXPIRE {key} 1"));
    std::thread::sleep(Duration::from_millis(4));
    // Half the time a random command is the first to meet the expired key.
    if rng.random_bool(0.5) {
        return;
    }
    for key in Collections::all_keys() {
        let encoding = same(expected, tested, &format!("OBJECT ENCODING {key}")).text();
        match (key.as_bytes()[0], encoding.as_str()) {
            (b'h', "listpack") => drop(same(expected, tested, &format!("HGETALL {key}"))),
            (b's', "intset") => drop(same(expected, tested, &format!("SMEMBERS {key}"))),
            _ => {}
        }
    }
    same(expected, tested, "DEBUG DIGEST");
}

/// Runs `count` requests against both; differences as text.
fn run(expected: &mut dyn Target, tested: &mut dyn Target, seed: u64, count: usize) -> Vec<String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut shown = Vec::new();
    expected.line("DEBUG SET-ACTIVE-EXPIRE 0").unwrap();
    for _ in 0..count.div_ceil(STRETCH) {
        let next = || Collections { rng: &mut rng }.command();
        let differences = compare(expected, tested, next, STRETCH, 40).unwrap();
        shown.extend(differences.iter().map(|difference| format!("{difference:?}")));
        if shown.len() >= 40 {
            break;
        }
        compare_data(expected, tested, &mut rng);
    }
    shown
}

fn compared(usual_seed: u64, protocol: u8) {
    let seed = seed(usual_seed);
    differential(seed, protocol, &["--hz", "500"], |expected, tested| {
        run(expected, tested, seed, commands())
    });
}

#[test]
fn replies_and_data_agree_in_resp2() {
    compared(1, 2);
}

#[test]
fn replies_and_data_agree_in_resp3() {
    compared(2, 3);
}
