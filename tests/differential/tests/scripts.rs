//! Proves that scripts answer as in redis-server: chosen ones for every edge of conversions, libraries, errors and the
//! sandbox, and drawn ones; in RESP2 and RESP3; that functions do, and that what FUNCTION DUMP gives is the same bytes; that
//! after a kill -9 the log brings back the same data and libraries.
//!
//! `FASTKEEP_SEED` and `FASTKEEP_COMMANDS` choose another run. Needs redis-server 7.0; without it the test says so
//! and ends.
#![allow(clippy::unwrap_used)]

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tests_differential::agreement::show;
use tests_differential::families::collections::Command;
use tests_differential::families::scripts::{Scripts, chosen};
use tests_differential::frame::Frame;
use tests_differential::seeded::{commands, seed};
use tests_differential::target::{Server, Target};
use tests_harness::{Fastkeep, Oracle};

struct Pair {
    oracle: Oracle,
    ours: Server,
    theirs: Server,
}

impl Pair {
    fn compare(&mut self, command: &Command, differences: &mut Vec<String>) {
        let (expected, got) = (self.theirs.run(command).unwrap(), self.ours.run(command).unwrap());
        let no_order = command.iter().any(|word| word.windows(8).any(|part| part == b"SMEMBERS"));
        let agree = if no_order { unordered(&expected) == unordered(&got) } else { expected == got };
        if !agree {
            differences.push(format!("{}\n  expected {expected:?}\n  got      {got:?}", show(command)));
        }
    }
}

/// A reply with the elements of each array in an order of their own: a set's members have none.
fn unordered(frame: &Frame) -> String {
    match frame {
        Frame::Many(tag, parts) => {
            let mut parts: Vec<String> = parts.iter().map(unordered).collect();
            parts.sort();
            format!("{}{parts:?}", char::from(*tag))
        }
        other => format!("{other:?}"),
    }
}

fn command(words: &[&[u8]]) -> Command {
    words.iter().map(|word| word.to_vec()).collect()
}

const LIBRARY: &[u8] = b"#!lua name=lib\n\
    redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)\n";

#[test]
fn scripts_and_functions_agree_and_survive() {
    if !Oracle::is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let process = Fastkeep::up(&folder.path().join("data"), &["--snapshots-interval-secs", "0"]);
    let mut running = process.start();
    let mut differences = Vec::new();
    for protocol in [2, 3] {
        let oracle = Oracle::start(&[]);
        let mut pair = Pair {
            ours: Server::connect(running.port, protocol).unwrap(),
            theirs: Server::connect(oracle.port, protocol).unwrap(),
            oracle,
        };
        // Options of cjson outlive a script; this makes the machine anew.
        pair.compare(&command(&[b"SCRIPT", b"FLUSH"]), &mut differences);
        let flush = command(&[b"FLUSHALL"]);
        pair.compare(&flush, &mut differences);
        for script in chosen() {
            let eval = command(&[b"EVAL", script.as_bytes(), b"2", b"k1", b"k2", b"v1", b"v2"]);
            pair.compare(&eval, &mut differences);
        }
        pair.compare(&flush, &mut differences);
        let mut rng = SmallRng::seed_from_u64(seed(u64::from(protocol)));
        for _ in 0..commands().min(20_000) {
            let drawn = Scripts { rng: &mut rng }.command();
            pair.compare(&drawn, &mut differences);
            if differences.len() > 20 {
                break;
            }
        }
        for words in [
            &[&b"FUNCTION"[..], b"FLUSH"][..],
            &[b"FUNCTION", b"LOAD", LIBRARY],
            &[b"FUNCTION", b"LOAD", LIBRARY],
            &[b"FUNCTION", b"LOAD", b"REPLACE", LIBRARY],
            &[b"FUNCTION", b"LIST", b"WITHCODE"],
            &[b"FUNCTION", b"DUMP"],
            &[b"FCALL", b"put", b"1", b"by-function", b"v"],
            &[b"FCALL_RO", b"put", b"1", b"by-function", b"v"],
            &[b"FCALL", b"nope", b"0"],
            &[b"FUNCTION", b"DELETE", b"nope"],
            &[b"FUNCTION", b"STATS"],
        ] {
            pair.compare(&command(words), &mut differences);
        }
        // Each restores what the other has dumped.
        let dump = command(&[b"FUNCTION", b"DUMP"]);
        let Frame::Bulk(payload) = pair.ours.run(&dump).unwrap() else { panic!("no dump") };
        let restore = command(&[b"FUNCTION", b"RESTORE", &payload, b"REPLACE"]);
        pair.compare(&restore, &mut differences);
        drop(pair.oracle);
        assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
    }
    let mut client = Server::connect(running.port, 2).unwrap();
    let digest = client.line("DEBUG DIGEST").unwrap();
    running.kill();
    let running = process.start();
    let mut client = Server::connect(running.port, 2).unwrap();
    assert_eq!(client.line("DEBUG DIGEST").unwrap(), digest);
    assert_eq!(client.line("FCALL put 1 again v").unwrap(), Frame::Line(b"+OK".to_vec()));
}
