//! Bounded memory as clients see it: the settings and their errors, refused commands in and out of transactions (the
//! replies are redis-server 7.0's), eviction under load, and the figures of INFO and MEMORY.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, eventually, server};

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";

fn replies(client: &mut Client, lines: &[&str]) -> Vec<String> {
    client.send(lines);
    lines.iter().map(|_| client.reply()).collect()
}

/// The number in a line of INFO.
fn info(client: &mut Client, field: &str) -> u64 {
    let text = client.ask("INFO");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().parse().unwrap()
}

#[test]
fn settings_and_their_errors() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    assert_eq!(
        client.ask("CONFIG GET maxmemory maxmemory-[ps]*"),
        "[$maxmemory $0 $maxmemory-policy $noeviction $maxmemory-samples $5]"
    );
    assert_eq!(client.ask("CONFIG GET lfu-*"), "[$lfu-log-factor $10 $lfu-decay-time $1]");
    for (line, reply) in [
        ("CONFIG SET maxmemory 100mb maxmemory-policy ALLKEYS-LFU", "+OK"),
        ("CONFIG GET maxmemory", "[$maxmemory $104857600]"),
        ("CONFIG GET maxmemory-policy", "[$maxmemory-policy $allkeys-lfu]"),
        ("CONFIG SET maxmemory-samples 7 lfu-log-factor 0 lfu-decay-time 0", "+OK"),
        ("CONFIG GET maxmemory-samples", "[$maxmemory-samples $7]"),
        ("CONFIG SET lazyfree-lazy-user-del YES", "+OK"),
        ("CONFIG GET lazyfree-lazy-expire", "[$lazyfree-lazy-expire $yes]"),
        ("CONFIG SET activedefrag no", "+OK"),
    ] {
        assert_eq!(client.ask(line), reply, "{line}");
    }
    for (name, value, why) in [
        ("maxmemory", "-1", "argument must be a memory value"),
        ("maxmemory", "10%", "argument must be a memory value"),
        ("maxmemory-samples", "0", "argument must be between 1 and 2147483647 inclusive"),
        ("lfu-log-factor", "-1", "argument must be between 0 and 2147483647 inclusive"),
        ("lazyfree-lazy-eviction", "maybe", "argument must be 'yes' or 'no'"),
        ("lazyfree-lazy-eviction", "no", "large values are always freed bit by bit, off the way of commands"),
        (
            "maxmemory-policy",
            "foo",
            "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction",
        ),
    ] {
        let reply = client.ask(&format!("CONFIG SET {name} {value}"));
        assert_eq!(
            reply,
            format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"),
            "{name} {value}"
        );
    }
    // The policy is in force at once.
    assert_eq!(client.ask("SET k v"), "+OK");
    assert_eq!(client.ask("OBJECT FREQ k"), ":5");
    assert!(client.ask("OBJECT IDLETIME k").starts_with("-ERR An LFU maxmemory policy is selected, "));
}

#[test]
fn commands_are_refused_as_redis_refuses_them() {
    let server = server(1, 1, |_| {});
    let (mut client, mut other) = (server.client(), server.client());
    assert_eq!(client.ask("SET there v"), "+OK");
    assert_eq!(client.ask("CONFIG SET maxmemory 1"), "+OK");
    for (line, reply) in [
        ("SET a b", OOM),
        ("RPUSH l a", OOM),
        ("GET there", "$v"),
        ("EXPIRE there 100", ":1"),
        ("DEL none", ":0"),
        ("EXEC", "-ERR EXEC without MULTI"),
    ] {
        assert_eq!(client.ask(line), reply, "{line}");
    }
    let aborted = "-EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(replies(&mut client, &["MULTI", "GET there", "PING", "EXEC"]), ["+OK", OOM, OOM, aborted]);
    assert_eq!(replies(&mut client, &["MULTI", "DISCARD"]), ["+OK", "+OK"]);
    assert_eq!(client.ask("CONFIG SET maxmemory 0"), "+OK");
    // A bound that comes within a transaction does not stop it, one that comes before EXEC does.
    let lines = ["MULTI", "SET a b", "CONFIG SET maxmemory 1", "SET c d", "EXEC", "GET c"];
    let expected = ["+OK", "+QUEUED", "+QUEUED", "+QUEUED", "[+OK +OK +OK]", "$d"];
    assert_eq!(replies(&mut client, &lines), expected);
    assert_eq!(client.ask("CONFIG SET maxmemory 0"), "+OK");
    assert_eq!(replies(&mut client, &["MULTI", "SET a b"]), ["+OK", "+QUEUED"]);
    assert_eq!(other.ask("CONFIG SET maxmemory 1"), "+OK");
    let refused = format!("-EXECABORT Transaction discarded because of: {}", &OOM[1..]);
    assert_eq!(client.ask("EXEC"), refused);
    assert_eq!(client.ask("FLUSHALL"), "+OK");
    assert_eq!(client.ask("CONFIG SET maxmemory 0"), "+OK");
    assert_eq!(client.ask("SET a b"), "+OK");
}

#[test]
fn load_beyond_the_bound_evicts_in_every_shard() {
    const BOUND: u64 = 4 << 20;
    for (shards, workers) in [(1, 1), (3, 2)] {
        let server = server(shards, workers, |config| {
            config.shard.memory.max_bytes = BOUND;
            config.shard.memory.policy = proxy_shard::EvictionPolicy::AllKeysLru;
        });
        let mut client = server.client();
        let value = "v".repeat(500);
        for batch in 0..200 {
            let lines: Vec<String> = (0..100).map(|i| format!("SET key:{batch}:{i} {value}")).collect();
            client.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            for _ in &lines {
                assert_eq!(client.reply(), "+OK");
            }
        }
        eventually(|| info(&mut client, "evicted_keys") > 10_000);
        let used = info(&mut client, "used_memory");
        assert!((BOUND / 2..BOUND * 2).contains(&used), "{shards} shards: {used}");
        assert_eq!(info(&mut client, "maxmemory"), BOUND);
        let left: u64 = client.ask("DBSIZE")[1..].parse().unwrap();
        assert!(left < 8000 && left > 500, "{left}");
        assert_eq!(client.ask("EXISTS key:199:99"), ":1");
        assert_eq!(client.ask("CONFIG RESETSTAT"), "+OK");
    }
}

#[test]
fn figures_of_memory() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    assert_eq!(client.ask("SET k 0123456789"), "+OK");
    client.send(&[&format!("RPUSH list {}", "element ".repeat(5000))]);
    assert_eq!(client.reply(), ":5000");
    let stats = client.ask("MEMORY STATS");
    for field in [
        "peak.allocated",
        "total.allocated",
        "startup.allocated",
        "replication.backlog",
        "clients.slaves",
        "clients.normal",
        "cluster.links",
        "aof.buffer",
        "lua.caches",
        "functions.caches",
        "db.0 [$overhead.hashtable.main",
        "overhead.total",
        "keys.count :2",
        "keys.bytes-per-key",
        "dataset.bytes",
        "dataset.percentage",
        "peak.percentage",
        "allocator.allocated",
        "allocator.active",
        "allocator.resident",
        "allocator-fragmentation.ratio",
        "allocator-fragmentation.bytes",
        "allocator-rss.ratio",
        "allocator-rss.bytes",
        "rss-overhead.ratio",
        "rss-overhead.bytes",
        "fragmentation",
        "fragmentation.bytes",
    ] {
        assert!(stats.contains(&format!("${field}")), "no {field} in {stats}");
    }
    assert!(client.ask("MEMORY DOCTOR").starts_with('$'));
    assert!(client.ask("MEMORY MALLOC-STATS").starts_with('$'));
    assert_eq!(client.ask("MEMORY PURGE"), "+OK");
    assert!(client.ask("MEMORY HELP").starts_with("[+MEMORY <subcommand>"));
    assert_eq!(client.ask("MEMORY DOCTOR x"), "-ERR wrong number of arguments for 'memory|doctor' command");
    assert_eq!(client.ask("MEMORY foo"), "-ERR unknown subcommand 'foo'. Try MEMORY HELP.");
    let usage: u64 = client.ask("MEMORY USAGE list")[1..].parse().unwrap();
    assert!((40_000..90_000).contains(&usage), "{usage}");
    let before = info(&mut client, "lazyfreed_objects");
    assert_eq!(client.ask("DEL list"), ":1");
    eventually(|| info(&mut client, "lazyfreed_objects") > before);
    assert_eq!(info(&mut client, "lazyfree_pending_objects"), 0);
}
