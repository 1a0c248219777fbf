//! Proves that the engine answers stream commands as redis-server does, in RESP2 and RESP3, over seeded random
//! requests biased to edges. Between stretches of requests everything that XINFO says of every stream is compared
//! (but for times), and DEBUG DIGEST of all data; a replica that replays the effects ends with the same streams.
//!
//! `FASTKEEP_SEED` and `FASTKEEP_COMMANDS` choose another run. Needs redis-server 7.0; without it the test says so
//! and ends.
#![allow(clippy::unwrap_used)]

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tests_differential::agreement::{agree, compare};
use tests_differential::families::streams::Streams;
use tests_differential::seeded::{commands, seed};
use tests_differential::target::{Engine, Server, Target};
use tests_harness::Oracle;

/// Requests between two looks at all data.
const STRETCH: usize = 250;

fn compare_data(expected: &mut dyn Target, tested: &mut dyn Target, shown: &mut Vec<String>) {
    let keys = Streams::all_keys().map(|key| format!("XINFO STREAM {key} FULL COUNT 0"));
    let ranges = Streams::all_keys().map(|key| format!("XREVRANGE {key} + -"));
    for line in keys.chain(ranges).chain(["DEBUG DIGEST".into()]) {
        let command = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let (a, b) = (expected.run(&command).unwrap(), tested.run(&command).unwrap());
        if !agree(&command, &a, &b) {
            shown.push(format!("{line}\n  expected {a:?}\n  got      {b:?}"));
        }
    }
}

fn differential(seed: u64, protocol: u8) {
    if !Oracle::is_installed() {
        return;
    }
    let oracle = Oracle::start(&[]);
    let mut expected = Server::connect(oracle.port, protocol).unwrap();
    let mut engine = Engine::new(protocol);
    let count = commands();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut shown = Vec::new();
    for stretch in 0..count.div_ceil(STRETCH) {
        let next = || Streams { rng: &mut rng }.command();
        let differences = compare(&mut expected, &mut engine, next, STRETCH, 10).unwrap();
        shown.extend(differences.iter().map(|difference| format!("{difference:?}")));
        compare_data(&mut expected, &mut engine, &mut shown);
        if !shown.is_empty() {
            break;
        }
        if stretch % 20 == 19 {
            engine.db.check();
        }
        // Streams are to begin anew before they only hold what can't grow any more.
        if stretch % 8 == 7 {
            for target in [&mut expected as &mut dyn Target, &mut engine] {
                target.line("FLUSHALL").unwrap();
            }
        }
    }
    engine.db.check();
    assert!(shown.is_empty(), "seed {seed}: {} differences\n{}", shown.len(), shown.join("\n"));
}

#[test]
fn replies_and_data_agree_in_resp2() {
    differential(seed(1), 2);
}

#[test]
fn replies_and_data_agree_in_resp3() {
    differential(seed(2), 3);
}

/// Exact trimming by id, in the middle of nodes; node borders; ids at the end of their range; keys of many kinds
/// in one XREADGROUP; COPY and RENAME of groups; arguments that COMMAND GETKEYS has to find its way through.
#[test]
fn chosen_lines_agree() {
    if !Oracle::is_installed() {
        return;
    }
    let oracle = Oracle::start(&[]);
    for protocol in [2, 3] {
        let mut expected = Server::connect(oracle.port, protocol).unwrap();
        let mut engine = Engine::new(protocol);
        expected.line("FLUSHALL").unwrap();
        let adds = (1..=350).map(|i| format!("XADD s {i}-1 f {} g {}", i * 7, "v".repeat(i % 60)));
        let lines = [
            "XINFO STREAM s",
            "XTRIM s MINID 150-1",
            "XINFO STREAM s",
            "XTRIM s MINID = 299",
            "XRANGE s - + COUNT 2",
            "XTRIM s MAXLEN 40",
            "XTRIM s MAXLEN ~ 1",
            "XTRIM s MAXLEN ~ 0 LIMIT 10",
            "XINFO STREAM s",
            "XGROUP CREATE s g 0",
            "XGROUP CREATE s h 315-1 ENTRIESREAD 4",
            "XGROUP CREATE t g $ MKSTREAM",
            "XADD t 5-5 a b c d",
            "XREADGROUP GROUP g c COUNT 3 STREAMS s t s s > > 0 >",
            "XINFO STREAM s FULL",
            "XCLAIM s g d 0 311-1 311-1 312-1 999-1 RETRYCOUNT 5 JUSTID",
            "XDEL s 311-1",
            "XAUTOCLAIM s g e 0 - COUNT 2",
            "XPENDING s g - + 10 e",
            "XREADGROUP GROUP g e STREAMS s 0",
            "COPY s u",
            "RENAME u w",
            "XINFO STREAM w FULL COUNT 3",
            "TYPE w",
            "OBJECT ENCODING w",
            "SCAN 0 TYPE stream COUNT 1000",
            "XADD m 18446744073709551615-18446744073709551614 f v",
            "XADD m 18446744073709551615-* f v",
            "XADD m 18446744073709551615-* f v",
            "XADD m * f v",
            "XRANGE m (18446744073709551615-18446744073709551614 +",
            "XREAD STREAMS m s m 0 349 $",
            "XADD z MAXLEN 0 1-1 f v",
            "XINFO STREAM z",
            "EXISTS z",
            "XADD z MINID 7 5-1 f v",
            "XLEN z",
            "XREAD BLOCK 1 COUNT 2 STREAMS z s 0 0",
            "DEBUG DIGEST",
        ];
        for line in adds.chain(lines.map(String::from)) {
            let command = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
            let (a, b) = (expected.run(&command).unwrap(), engine.run(&command).unwrap());
            assert!(agree(&command, &a, &b), "{line}\n  expected {a:?}\n  got      {b:?}");
        }
        engine.db.check();
    }
}
