//! Bytes a key: how much `used_memory` grows by keys of each shape, here and in redis-server.

use std::time::Duration;

use crate::measure::Measured;
use crate::servers::{Kind, Server};
use crate::wire::Wire;

/// Keys of one kind.
pub struct Shape {
    /// Its name in the report.
    pub name: &'static str,
    keys: u64,
    /// Bytes by redis-server's that are not to be exceeded.
    pub goal: f64,
    /// Writes one key.
    write: fn(&mut Wire, u64),
}

/// All of them, in the order of the report.
pub const SHAPES: [Shape; 9] = [
    Shape { name: "string of 16 bytes", keys: 1_000_000, goal: 0.75, write: string_16 },
    Shape { name: "string of 100 bytes", keys: 1_000_000, goal: 0.75, write: string_100 },
    Shape { name: "hash of 10 fields", keys: 200_000, goal: 1.0, write: hash_10 },
    Shape { name: "set of 10 integers", keys: 300_000, goal: 1.0, write: set_10 },
    Shape { name: "set of 1,000 integers", keys: 2_000, goal: 1.0, write: set_1000 },
    Shape { name: "sorted set of 10", keys: 200_000, goal: 1.0, write: zset_10 },
    Shape { name: "sorted set of 10,000", keys: 100, goal: 0.7, write: zset_10000 },
    Shape { name: "list of 100", keys: 50_000, goal: 1.0, write: list_100 },
    Shape { name: "stream of 1,000", keys: 500, goal: 1.0, write: stream_1000 },
];

fn string_16(wire: &mut Wire, key: u64) {
    wire.queue(&["SET", &name(key), "sixteen bytes ok"]);
}

fn string_100(wire: &mut Wire, key: u64) {
    wire.queue(&["SET", &name(key), &"ten bytes.".repeat(10)]);
}

fn hash_10(wire: &mut Wire, key: u64) {
    let mut words = vec!["HSET".to_owned(), name(key)];
    (0..10).for_each(|at| words.extend([format!("field:{at}"), format!("{:012}", random(key * 10 + at))]));
    wire.queue(&words);
}

fn set_10(wire: &mut Wire, key: u64) {
    integers(wire, key, 10);
}

fn set_1000(wire: &mut Wire, key: u64) {
    integers(wire, key, 1000);
}

fn integers(wire: &mut Wire, key: u64, count: u64) {
    let mut words = vec!["SADD".to_owned(), name(key)];
    words.extend((0..count).map(|at| (at * 3 + key % 3).to_string()));
    wire.queue(&words);
}

fn zset_10(wire: &mut Wire, key: u64) {
    scored(wire, key, 0..10);
}

fn zset_10000(wire: &mut Wire, key: u64) {
    (0..100).for_each(|part| scored(wire, key, part * 100..part * 100 + 100));
}

fn scored(wire: &mut Wire, key: u64, members: std::ops::Range<u64>) {
    let mut words = vec!["ZADD".to_owned(), name(key)];
    words.extend(
        members.flat_map(|at| [(random(key + at * 7919) % 1_000_000).to_string(), format!("member:{at:08}")]),
    );
    wire.queue(&words);
}

fn list_100(wire: &mut Wire, key: u64) {
    let mut words = vec!["RPUSH".to_owned(), name(key)];
    words.extend((0..100).map(|at| format!("element:{:08}", random(key + at) % 100_000_000)));
    wire.queue(&words);
}

fn stream_1000(wire: &mut Wire, key: u64) {
    for at in 0..1000_u64 {
        let id = format!("{}-{}", 1_700_000_000_000 + at / 3, at % 3);
        let value = |salt| (1_000_000 + random(at + salt) % 9_000_000).to_string();
        wire.queue(&["XADD", &name(key), &id, "sensor", &value(1), "reading", &value(2)]);
    }
}

/// A key of 16 bytes.
fn name(key: u64) -> String {
    format!("key:{key:012}")
}

/// A number that looks random and is always the same for `seed`.
fn random(seed: u64) -> u64 {
    seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
}

/// Fills a fresh server with each shape in turn.
pub fn measure(only: &[String], into: &mut Measured) {
    for shape in SHAPES.iter().filter(|shape| only.is_empty() || only.iter().any(|n| shape.name.contains(n)))
    {
        for kind in [Kind::Fastkeep, Kind::RedisMemory] {
            let server = Server::start(kind);
            let before = (settled(&server), server.resident());
            let mut wire = Wire::connect(server.port);
            (0..shape.keys).for_each(|key| (shape.write)(&mut wire, key));
            wire.wait();
            drop(wire);
            let after = (settled(&server), server.resident());
            let each = |now: u64, before: u64| now.saturating_sub(before) as f64 / shape.keys as f64;
            let bytes = (each(after.0, before.0), each(after.1, before.1));
            println!("{} {kind:?}: {:.1} bytes a key, {:.1} resident", shape.name, bytes.0, bytes.1);
            into.bytes.insert((shape.name, kind), bytes);
        }
    }
}

/// `used_memory` once it stands still: tables have been rehashed and buffers given back.
fn settled(server: &Server) -> u64 {
    let mut last = server.used_memory();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(200));
        let now = server.used_memory();
        if now.abs_diff(last) < 1024 {
            return now;
        }
        last = now;
    }
    last
}
