//! Proves that uses of keys are counted and forgotten keys chosen as redis-server does it. With a counter that takes every
//! step, OBJECT FREQ is the same after each command; idle times and frequencies set by RESTORE are told the same; errors are
//! the same under each policy. Which keys are evicted is chance, so there the share of the keys that a policy means to
//! keep is compared, under all eight.
//!
//! Needs redis-server 7.0; without it the test says so and ends.
#![allow(clippy::unwrap_used)]

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tests_differential::frame::Frame;
use tests_differential::seeded::seed;
use tests_differential::served;
use tests_differential::target::{Server, Target};
use tests_harness::Oracle;

/// Keys in a test of eviction, of which about half have to go.
const KEYS: i64 = 600;
const POLICIES: [&str; 8] = [
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];

/// Commands on a key of a type, but for those with which Redis looks up a key twice (GETSET, SET GET, XREAD); `@` is the key, `%` another one of the same type.
const COMMANDS: &[(&str, &[&str])] = &[
    (
        "string",
        &[
            "GET @",
            "SET @ 50000",
            "INCR @",
            "APPEND @ 1",
            "STRLEN @",
            "GETRANGE @ 0 1",
            "SETRANGE @ 0 8",
            "GETEX @",
            "MGET @ %",
            "MSET @ 10000 % 20000",
            "SETBIT @ 3 1",
            "GETBIT @ 1",
            "BITCOUNT @",
            "BITOP NOT @ %",
            "SETNX @ 10000",
            "MSETNX @ 10000 % 20000",
            "INCRBYFLOAT @ 1",
            "LCS @ %",
            "BITFIELD @ GET u8 0",
            "BITFIELD @ SET u8 0 49",
        ],
    ),
    (
        "list",
        &[
            "LPUSH @ a",
            "RPUSH @ b",
            "LPOP @",
            "LRANGE @ 0 -1",
            "LLEN @",
            "LINDEX @ 0",
            "LSET @ 0 x",
            "LPOS @ a",
            "LREM @ 1 a",
            "LINSERT @ BEFORE x y",
            "LMOVE @ % LEFT LEFT",
            "LPUSHX @ c",
            "LTRIM @ 0 50",
            "LMPOP 1 @ LEFT",
            "BLPOP @ 1",
            "SORT @ ALPHA",
            "SORT @ ALPHA STORE %",
        ],
    ),
    (
        "hash",
        &[
            "HSET @ f v",
            "HGET @ f",
            "HMGET @ f g",
            "HDEL @ none",
            "HGETALL @",
            "HLEN @",
            "HEXISTS @ f",
            "HINCRBY @ n 1",
            "HKEYS @",
            "HSTRLEN @ f",
            "HSETNX @ f v",
            "HSCAN @ 0",
            "HRANDFIELD @",
        ],
    ),
    (
        "set",
        &[
            "SADD @ a",
            "SREM @ none",
            "SISMEMBER @ a",
            "SMISMEMBER @ a b",
            "SCARD @",
            "SMEMBERS @",
            "SINTER @ %",
            "SUNION @ %",
            "SDIFF @ %",
            "SINTERCARD 2 @ %",
            "SMOVE @ % none",
            "SRANDMEMBER @",
            "SSCAN @ 0",
            "SUNIONSTORE @ @ %",
        ],
    ),
    (
        "zset",
        &[
            "ZADD @ 1 a",
            "ZINCRBY @ 1 a",
            "ZSCORE @ a",
            "ZRANK @ a",
            "ZCARD @",
            "ZCOUNT @ 0 1",
            "ZRANGE @ 0 -1",
            "ZREM @ none",
            "ZPOPMIN @ 0",
            "ZUNION 2 @ %",
            "ZRANGESTORE % @ 0 -1",
            "ZMSCORE @ a",
            "ZRANDMEMBER @",
            "ZREMRANGEBYRANK @ 90 99",
            "ZINTERCARD 2 @ %",
        ],
    ),
    ("stream", &["XLEN @", "XRANGE @ - +", "XADD @ * f v", "XTRIM @ MAXLEN 9", "XINFO STREAM @"]),
    (
        "",
        &[
            "TYPE @",
            "EXISTS @",
            "TTL @",
            "EXPIRE @ 1000",
            "PERSIST @",
            "TOUCH @",
            "DUMP @",
            "OBJECT ENCODING @",
            "COPY @ % REPLACE",
            "OBJECT FREQ @",
            "EXPIRETIME @",
            "RENAME @ @",
            "MEMORY USAGE @",
        ],
    ),
];

fn both(sides: &mut [Server; 2], line: &str) -> [Frame; 2] {
    let mut run = |at: usize| sides[at].line(line).unwrap();
    [run(0), run(1)]
}

/// The same line to both, whose answers must be equal.
fn same(sides: &mut [Server; 2], line: &str) -> Frame {
    let [expected, got] = both(sides, line);
    assert_eq!(format!("{expected:?}"), format!("{got:?}"), "{line}");
    expected
}

fn fill(sides: &mut [Server; 2]) {
    for (name, line) in [
        // Redis shares small integers among all keys, with their counters.
        ("string", "SET @ 49999"),
        ("list", "RPUSH @ a x c d e f g h i j"),
        ("hash", "HSET @ f v g w n 1"),
        ("set", "SADD @ a b c"),
        ("zset", "ZADD @ 1 a 2 b 3 c"),
        ("stream", "XADD @ 1-1 f v"),
    ] {
        for other in ["", "2"] {
            same(sides, &line.replace('@', &format!("{name}{other}")));
        }
    }
}

/// Each command adds the same to the counters of its keys in both.
#[test]
fn uses_are_counted_alike() {
    let Some((mut sides, _servers)) = sides() else { return };
    same(&mut sides, "CONFIG SET maxmemory-policy allkeys-lfu lfu-log-factor 0 lfu-decay-time 0");
    let mut rng = SmallRng::seed_from_u64(seed(5));
    let mut differences = Vec::new();
    for (shape, commands) in COMMANDS {
        for command in *commands {
            let names: &[&str] = if shape.is_empty() {
                &["string", "list", "hash", "set", "zset", "stream"]
            } else {
                &[shape]
            };
            for name in names {
                same(&mut sides, "FLUSHALL");
                fill(&mut sides);
                let line = command.replace('@', name).replace('%', &format!("{name}2"));
                for _ in 0..rng.random_range(1..4) {
                    both(&mut sides, &line);
                }
                for key in [(*name).to_owned(), format!("{name}2")] {
                    let [expected, got] = both(&mut sides, &format!("OBJECT FREQ {key}"));
                    if expected != got {
                        differences.push(format!("{line}: {key} {expected:?} {got:?}"));
                    }
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What RESTORE says of a key's use is told, and lost by a use, as the policy has it.
#[test]
fn restored_uses_and_errors_are_told_alike() {
    let Some((mut sides, _servers)) = sides() else { return };
    let mut rng = SmallRng::seed_from_u64(seed(6));
    for policy in POLICIES {
        same(&mut sides, "FLUSHALL");
        same(&mut sides, &format!("CONFIG SET maxmemory-policy {policy} lfu-decay-time 0"));
        same(&mut sides, "SET source value");
        for number in 0..40 {
            let option = match rng.random_range(0..4) {
                0 => format!("FREQ {}", [0, 1, 5, 254, 255, 256, -1].choose(&mut rng).unwrap()),
                1 => format!("IDLETIME {}", [0, 1, 1000, 16_000_000, -1].choose(&mut rng).unwrap()),
                2 => "FREQ 1 IDLETIME 1".to_owned(),
                _ => "IDLETIME x".to_owned(),
            };
            for side in &mut sides {
                let Frame::Bulk(dump) = side.line("DUMP source").unwrap() else { panic!("no dump") };
                let mut command: Vec<Vec<u8>> =
                    vec![b"RESTORE".to_vec(), format!("key{number}").into_bytes(), b"0".to_vec(), dump];
                command.extend(option.split(' ').map(|word| word.as_bytes().to_vec()));
                let _ = side.run(&command).unwrap();
            }
            for line in ["OBJECT FREQ", "OBJECT IDLETIME"] {
                let [expected, got] = both(&mut sides, &format!("{line} key{number}"));
                let near = match (expected.integer(), got.integer()) {
                    // Some time may have passed in between.
                    (Some(a), Some(b)) => a.abs_diff(b) <= 60,
                    _ => expected == got,
                };
                assert!(near, "{policy}: {line} after {option}: {expected:?} {got:?}");
            }
        }
        same(&mut sides, "OBJECT FREQ none");
        same(&mut sides, "OBJECT IDLETIME none");
    }
}

/// Keys numbered by what a policy goes by (time of use, frequency, lifetime), the higher the rather kept; every fourth has
/// no lifetime, which protects it from the volatile policies. Memory is lowered until half of the keys are gone. Of those that
/// are left the share from the upper half, and that of the protected ones, is about the same in both.
#[test]
fn policies_keep_alike() {
    let Some((mut sides, _servers)) = sides() else { return };
    let mut rng = SmallRng::seed_from_u64(seed(7));
    let mut numbers: Vec<i64> = (0..KEYS).collect();
    for policy in POLICIES.iter().skip(1) {
        numbers.shuffle(&mut rng);
        let lfu = policy.ends_with("lfu");
        let shares = sides.each_mut().map(|side| {
            for line in ["CONFIG SET maxmemory 0 lfu-decay-time 0", "FLUSHALL"] {
                assert_eq!(side.line(line).unwrap().text(), "OK");
            }
            side.line(&format!("CONFIG SET maxmemory-policy {policy}")).unwrap();
            side.line(&format!("SET source {}", "v".repeat(2000))).unwrap();
            let Frame::Bulk(dump) = side.line("DUMP source").unwrap() else { panic!("no dump") };
            side.line("DEL source").unwrap();
            for number in &numbers {
                let (key, volatile) = (format!("key:{number}"), number % 4 > 0);
                let ttl = if volatile { 1_000_000 + number * 1000 } else { 0 };
                let by = if lfu { number * 255 / KEYS } else { (KEYS - number) * 100 };
                let words =
                    [b"RESTORE".to_vec(), key.into_bytes(), ttl.to_string().into_bytes(), dump.clone()];
                let option = [if lfu { "FREQ" } else { "IDLETIME" }.to_owned(), by.to_string()];
                let command = words.into_iter().chain(option.map(String::into_bytes)).collect();
                assert_eq!(side.run(&command).unwrap().text(), "OK");
            }
            kept(side)
        });
        let [expected, got] = shares;
        println!("{policy}: {expected:?} {got:?}");
        let near = (expected.0 - got.0).abs() < 0.18 && (expected.1 - got.1).abs() < 0.18;
        assert!(near, "{policy}: of those kept, upper half and protected: {expected:?} there, {got:?} here");
    }
}

/// Lowers the memory until half of the keys are gone; gives two shares of those that are left.
fn kept(side: &mut Server) -> (f64, f64) {
    let info = side.line("INFO memory").unwrap().text();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let mut bound: i64 = used.trim().parse().unwrap();
    while side.line("DBSIZE").unwrap().integer().unwrap() > KEYS / 2 {
        bound -= 20_000;
        assert!(bound > 0, "nothing is evicted");
        side.line(&format!("CONFIG SET maxmemory {bound}")).unwrap();
        // Whatever it answers: a write makes room first.
        side.line("SETRANGE none 0 x").unwrap();
        side.line("DEL none").unwrap();
    }
    side.line("CONFIG SET maxmemory 0").unwrap();
    let keys = side.line("KEYS key:*").unwrap();
    let numbers = keys.parts().iter().map(|key| key.text()[4..].parse::<i64>().unwrap());
    let numbers: Vec<i64> = numbers.collect();
    let share = |of: &dyn Fn(&i64) -> bool| {
        numbers.iter().filter(|number| of(number)).count() as f64 / numbers.len() as f64
    };
    (share(&|number| *number >= KEYS / 2), share(&|number| number % 4 == 0))
}

fn sides() -> Option<([Server; 2], (Oracle, proxy_server::ProxyHandle))> {
    if !Oracle::is_installed() {
        return None;
    }
    let (oracle, proxy) = (Oracle::start(&[]), served::proxy(1, 1));
    let sides = [oracle.port, proxy.port()].map(|port| Server::connect(port, 2).unwrap());
    Some((sides, (oracle, proxy)))
}
