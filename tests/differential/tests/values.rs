//! Proves that the engine answers bitmap, HyperLogLog and geo commands, SORT, DUMP and RESTORE as redis-server
//! does, in RESP2 and RESP3, over seeded random requests biased to edges; HyperLogLogs are read as strings and
//! DEBUG DIGEST is one of the requests, so the data agree as well, and a replica that replays the effects ends
//! with the same data. What either side dumps the other restores to the same value.
//!
//! `FASTKEEP_SEED` and `FASTKEEP_COMMANDS` choose another run; `FASTKEEP_PORT` sends the requests to a
//! server there instead (it is emptied first). Needs redis-server 7.0; without it the test says so and ends.
#![allow(clippy::unwrap_used)]

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tests_differential::agreement::compare;
use tests_differential::families::values::Values;
use tests_differential::frame::Frame;
use tests_differential::seeded::{commands, differential, seed};
use tests_differential::target::{Engine, Server, Target};
use tests_harness::Oracle;

fn compared(usual_seed: u64, protocol: u8) {
    let seed = seed(usual_seed);
    differential(seed, protocol, &[], |expected, tested| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let next = || Values { rng: &mut rng }.command();
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

fn dumped(target: &mut dyn Target, key: &str) -> Vec<u8> {
    match target.line(&format!("DUMP {key}")).unwrap() {
        Frame::Bulk(payload) => payload,
        other => panic!("DUMP {key}: {other:?}"),
    }
}

fn restored(target: &mut dyn Target, key: &str, payload: &[u8]) {
    let request = [&b"RESTORE"[..], key.as_bytes(), b"0", payload].map(<[u8]>::to_vec).to_vec();
    assert_eq!(target.run(&request).unwrap().text(), "OK", "RESTORE {key}");
}

#[test]
fn what_one_dumps_the_other_restores() {
    if !Oracle::is_installed() {
        return;
    }
    let oracle = Oracle::start(&[]);
    let mut redis = Server::connect(oracle.port, 2).unwrap();
    let mut engine = Engine::new(2);
    let long = "abcdefgh".repeat(40);
    let mut lines: Vec<String> =
        ["SET int 12", "SET text hello", "RPUSH list 1 two 3.5", "HSET hash f 1 g two"]
            .into_iter()
            .map(str::to_owned)
            .collect();
    lines.extend(["SADD ints 1 2 70000", "SADD words a b", "ZADD zset 1 a 2.5 b -inf c"].map(str::to_owned));
    lines.extend([
        format!("SET long {long}"),
        format!("RPUSH long-list {long} x"),
        "PFADD sketch a b c".to_owned(),
    ]);
    for i in 0..700 {
        lines.push(format!("HSET big-hash f{i} {i}"));
        lines.push(format!("SADD big-set m{i}"));
        lines.push(format!("ZADD big-zset {i}.5 m{i}"));
        lines.push(format!("RPUSH big-list {long}{i}"));
    }
    for line in &lines {
        assert_eq!(redis.line(line).unwrap(), engine.line(line).unwrap(), "{line}");
    }
    for key in ["int", "text", "list", "hash", "ints", "zset"] {
        assert_eq!(dumped(&mut redis, key), dumped(&mut engine, key), "payload of {key}");
    }
    for key in ["int", "text", "list", "hash", "ints", "words", "zset", "long", "long-list", "sketch"]
        .into_iter()
        .chain(["big-hash", "big-set", "big-zset", "big-list"])
    {
        let (theirs, ours) = (dumped(&mut redis, key), dumped(&mut engine, key));
        restored(&mut redis, &format!("{key}-copy"), &ours);
        restored(&mut engine, &format!("{key}-copy"), &theirs);
        let line = format!("DEBUG DIGEST-VALUE {key} {key}-copy");
        let digests = redis.line(&line).unwrap();
        assert_eq!(digests, engine.line(&line).unwrap(), "{key}");
        assert_eq!(digests.parts().first(), digests.parts().last(), "{key}");
        let line = format!("OBJECT ENCODING {key}-copy");
        assert_eq!(redis.line(&line).unwrap(), engine.line(&line).unwrap(), "{key}");
    }
    engine.db.check();
}
