//! Proves that values take the inner form that redis-server gives them under every setting that decides it: the borders of
//! packed hashes, sorted sets, integer sets and sparse HyperLogLogs, and the sizes of the parts of lists (in bytes and in
//! elements) and streams. Values are drawn around the borders, which change meanwhile; `FASTKEEP_SEED` draws others.
//!
//! Needs redis-server 7.0; without it the test says so and ends.
#![allow(clippy::unwrap_used)]

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tests_differential::frame::Frame;
use tests_differential::seeded::seed;
use tests_differential::served;
use tests_differential::target::{Server, Target};
use tests_harness::Oracle;

struct Pair {
    sides: [Server; 2],
    rng: SmallRng,
    history: Vec<String>,
}

impl Pair {
    fn both(&mut self, line: &str) -> [Frame; 2] {
        self.history.push(line.chars().take(60).collect());
        self.sides.each_mut().map(|side| side.line(line).unwrap())
    }

    fn same(&mut self, line: &str) -> Frame {
        let [expected, got] = self.both(line);
        let recent: Vec<&String> = self.history.iter().rev().take(12).rev().collect();
        assert_eq!(format!("{expected:?}"), format!("{got:?}"), "{recent:#?}");
        expected
    }

    fn set(&mut self, name: &str, values: &[i64]) -> i64 {
        let value = *values.choose(&mut self.rng).unwrap();
        self.same(&format!("CONFIG SET {name} {value}"));
        value
    }

    /// A word whose length is near a border.
    fn word(&mut self, border: i64) -> String {
        let near = (border + self.rng.random_range(-2..3)).max(1) as usize;
        let len = if self.rng.random_bool(0.1) { near } else { self.rng.random_range(1..8) };
        if self.rng.random_bool(0.2) {
            return self.rng.random_range(-70_000..70_000).to_string();
        }
        let letter = char::from(b'a' + self.rng.random_range(0..26));
        letter.to_string().repeat(len)
    }
}

fn pair(usual_seed: u64) -> Option<(Pair, (Oracle, proxy_server::ProxyHandle))> {
    if !Oracle::is_installed() {
        return None;
    }
    let (oracle, proxy) = (Oracle::start(&[]), served::proxy(1, 1));
    let sides = [oracle.port, proxy.port()].map(|port| Server::connect(port, 2).unwrap());
    let rng = SmallRng::seed_from_u64(seed(usual_seed));
    Some((Pair { sides, rng, history: Vec::new() }, (oracle, proxy)))
}

#[test]
fn hashes_sorted_sets_and_sets() {
    let Some((mut pair, _servers)) = pair(1) else { return };
    for _ in 0..150 {
        pair.same("FLUSHALL");
        let entries = pair.set("hash-max-listpack-entries", &[0, 1, 5, 20]);
        let value = pair.set("hash-max-listpack-value", &[0, 3, 30, 64]);
        pair.set("zset-max-listpack-entries", &[entries]);
        pair.set("zset-max-listpack-value", &[value]);
        pair.set("set-max-intset-entries", &[entries]);
        for step in 0..entries + 4 {
            let (a, b) = (pair.word(value), pair.word(value));
            let score = pair.rng.random_range(-5..50);
            for line in [
                format!("HSET h {a} {b}"),
                format!("HINCRBY n {a} 1"),
                format!("ZADD z {score} {a}"),
                format!("SADD i {score}"),
            ] {
                pair.same(&line);
            }
            if step % 4 == 3 {
                pair.same(&format!("HDEL h {a}"));
                pair.same(&format!("ZREM z {b}"));
                pair.same("ZUNIONSTORE u 2 z z");
                pair.same("SUNIONSTORE t i");
                pair.same("COPY h c REPLACE");
                // Existing values keep their form until they change.
                pair.set("hash-max-listpack-entries", &[entries, entries + 2]);
                pair.set("zset-max-listpack-value", &[value, value + 1]);
            }
            for key in ["h", "n", "z", "i", "u", "t", "c"] {
                pair.same(&format!("OBJECT ENCODING {key}"));
            }
        }
        pair.same(&format!("SADD i {}", "x".repeat(70)));
        pair.same("OBJECT ENCODING i");
    }
}

/// The number that a DUMP payload has behind its type: of a list's parts.
fn parts(dump: &Frame) -> (u8, u64) {
    let Frame::Bulk(bytes) = dump else { return (0, 0) };
    let parts = match bytes[1] >> 6 {
        0 => u64::from(bytes[1] & 63),
        1 => u64::from(bytes[1] & 63) << 8 | u64::from(bytes[2]),
        _ => u64::from(u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]])),
    };
    (bytes[0], parts)
}

#[test]
fn lists() {
    let Some((mut pair, _servers)) = pair(2) else { return };
    for round in 0..60 {
        pair.same("FLUSHALL");
        let size =
            pair.set("list-max-listpack-size", &[-5, -4, -3, -2, -1, -6, -1000, 0, 1, 3, 128, 100_000]);
        let [longest, pushes] = match size {
            ..0 => [4000, 60],
            _ => [100, 40],
        };
        for _ in 0..pushes {
            let end =
                if round % 2 == 0 { "RPUSH" } else { *["RPUSH", "LPUSH"].choose(&mut pair.rng).unwrap() };
            let mut line = format!("{end} l");
            for _ in 0..pair.rng.random_range(1..6) {
                let len = pair.rng.random_range(1..longest);
                let letter = char::from(b'a' + pair.rng.random_range(0..26));
                line += " ";
                line += &letter.to_string().repeat(len);
            }
            pair.same(&line);
            pair.same("OBJECT ENCODING l");
        }
        let [expected, got] = pair.both("DUMP l");
        assert_eq!(parts(&expected), parts(&got), "size {size}, round {round}");
        pair.same("LRANGE l 0 -1");
    }
}

#[test]
fn streams_and_hyperloglogs() {
    let Some((mut pair, _servers)) = pair(3) else { return };
    for _ in 0..40 {
        pair.same("FLUSHALL");
        pair.set("stream-node-max-bytes", &[0, 200, 4096]);
        pair.set("stream-node-max-entries", &[0, 1, 7, 100]);
        let border = pair.set("hll-sparse-max-bytes", &[0, 20, 100, 1000, 3000, 20_000]);
        for at in 1..120 {
            let word = pair.word(90);
            pair.same(&format!("XADD x {at}-1 f {word}"));
            let words: Vec<String> = (0..9).map(|_| pair.rng.random::<u32>().to_string()).collect();
            pair.same(&format!("PFADD p {}", words.join(" ")));
            if at % 10 == 0 {
                pair.same("PFDEBUG ENCODING p");
                pair.same("GET p");
                let [expected, got] = pair.both("XINFO STREAM x");
                let keys = |frame: &Frame| format!("{:?}", &frame.parts()[..4]);
                // length, and how many nodes hold it.
                assert_eq!(keys(&expected), keys(&got), "after {at} entries, {border}");
            }
        }
        pair.same("PFMERGE q p");
        pair.same("PFDEBUG ENCODING q");
        pair.same("GET q");
    }
}
