//! Proves that client-side caching answers and tells what redis-server does: the options of CLIENT TRACKING word for word,
//! and, step by step through random commands of several caching clients, the same keys told to each.
//!
//! Needs redis-server 7.0; without it the test says so and ends.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tests_differential::frame::Frame;
use tests_differential::served::proxy;
use tests_differential::target::{Server, Target};
use tests_harness::Oracle;

const OPTIONS: &[&str] = &[
    "CLIENT TRACKING",
    "CLIENT TRACKINGINFO",
    "CLIENT GETREDIR",
    "CLIENT TRACKING ON",
    "CLIENT TRACKING ON",
    "CLIENT TRACKINGINFO",
    "CLIENT GETREDIR",
    "CLIENT TRACKING ON BCAST",
    "CLIENT TRACKING OFF",
    "CLIENT TRACKING ON BCAST PREFIX a PREFIX ab",
    "CLIENT TRACKING ON BCAST PREFIX a PREFIX b",
    "CLIENT TRACKING ON BCAST PREFIX bc",
    "CLIENT TRACKING ON BCAST PREFIX c",
    "CLIENT TRACKING ON PREFIX c",
    "CLIENT TRACKING ON",
    "CLIENT TRACKING OFF",
    "CLIENT TRACKING ON PREFIX c",
    "CLIENT TRACKING ON OPTIN OPTOUT",
    "CLIENT TRACKING ON BCAST OPTIN",
    "CLIENT CACHING YES",
    "CLIENT TRACKING ON OPTIN",
    "CLIENT CACHING NO",
    "CLIENT CACHING YES",
    "CLIENT TRACKINGINFO",
    "PING",
    "CLIENT TRACKINGINFO",
    "CLIENT TRACKING ON OPTOUT",
    "CLIENT TRACKING OFF",
    "CLIENT TRACKING ON OPTOUT NOLOOP",
    "CLIENT CACHING YES",
    "CLIENT CACHING NO",
    "CLIENT CACHING FOO",
    "CLIENT TRACKINGINFO",
    "CLIENT TRACKING OFF",
    "CLIENT TRACKING ON REDIRECT 99999",
    "CLIENT TRACKING ON REDIRECT abc",
    "CLIENT TRACKING ON REDIRECT",
    "CLIENT TRACKING ON FOO",
    "CLIENT TRACKING FOO",
    "CLIENT CACHING FOO",
    "CLIENT TRACKING OFF FOO",
    "CLIENT TRACKING ON BCAST PREFIX",
    "CLIENT GETREDIR x",
    "CLIENT TRACKING OFF BCAST",
    "CLIENT TRACKING ON BCAST PREFIX a PREFIX a",
    "CLIENT TRACKINGINFO",
    "CLIENT TRACKING ON",
    "RESET",
    "CLIENT TRACKINGINFO",
];

#[test]
fn options_are_answered_alike() {
    if !Oracle::is_installed() {
        return;
    }
    let oracle = Oracle::start(&[]);
    let tested = proxy(1, 1);
    for protocol in [2, 3] {
        let mut expected = Server::connect(oracle.port, protocol).unwrap();
        let mut got = Server::connect(tested.port(), protocol).unwrap();
        for line in OPTIONS {
            assert_eq!(expected.line(line).unwrap(), got.line(line).unwrap(), "{line}");
        }
    }
}

/// How each of the clients caches; the last one does not.
const CLIENTS: [&str; 5] = ["ON", "ON NOLOOP", "ON OPTIN", "ON BCAST PREFIX k1 PREFIX k2", "OFF"];

struct Side {
    clients: Vec<Server>,
}

impl Side {
    fn connect(port: u16) -> Self {
        let connect = |options: &&str| {
            let mut client = Server::connect(port, 3).unwrap();
            client.line(&format!("CLIENT TRACKING {options}")).unwrap();
            client
        };
        Self { clients: CLIENTS.iter().map(connect).collect() }
    }

    /// Runs a line; returns what each client was told meanwhile.
    fn step(&mut self, by: usize, line: &str) -> Vec<BTreeSet<String>> {
        let mut told = vec![BTreeSet::new(); self.clients.len()];
        let hear = |told: &mut BTreeSet<String>, push: &Frame| match &push.parts()[1] {
            keys @ Frame::Many(..) => told.extend(keys.parts().iter().map(Frame::text)),
            _ => drop(told.insert("everything".into())),
        };
        // In scripts this stands for a space.
        self.clients[by].send_words(&line.split(' ').map(|word| word.replace('~', " ")).collect::<Vec<_>>());
        loop {
            let reply = self.clients[by].read().unwrap();
            match &reply {
                Frame::Many(b'>', _) => hear(&mut told[by], &reply),
                _ => break,
            }
        }
        for (client, told) in self.clients.iter_mut().zip(&mut told) {
            client.send("ECHO fence");
            loop {
                let reply = client.read().unwrap();
                match &reply {
                    Frame::Many(b'>', _) => hear(told, &reply),
                    _ => break,
                }
            }
        }
        told
    }
}

fn line(rng: &mut SmallRng) -> String {
    let mut key = || format!("k{}", rng.random_range(0..30));
    let (a, b) = (key(), key());
    let lines = [
        // A script remembers the keys that it has declared, if it reads anything at all.
        format!("EVAL return~redis.call('GET',KEYS[1]) 2 {a} {b}"),
        format!("EVAL return~redis.call('GET',ARGV[1]) 1 {a} {b}"),
        format!("EVAL return~redis.call('SET',KEYS[1],1) 1 {a}"),
        format!("EVAL redis.call('GET',KEYS[1])~return~redis.call('SET',KEYS[1],1) 1 {a}"),
        format!("EVAL redis.call('SET',KEYS[1],1)~return~redis.call('GET',KEYS[1]) 1 {a}"),
        format!("EVAL return~1 1 {a}"),
        format!("EVAL_RO return~1 1 {a}"),
        format!("EVAL_RO return~redis.call('GET',KEYS[1]) 1 {a}"),
        format!("GET {a}"),
        format!("GET {b}"),
        format!("MGET {a} {b}"),
        format!("STRLEN {a}"),
        format!("EXISTS {a} {b}"),
        format!("TTL {a}"),
        format!("SINTER s{a} s{b}"),
        format!("SMEMBERS s{a}"),
        format!("LRANGE l{a} 0 -1"),
        format!("TYPE {a}"),
        format!("SET {a} v"),
        format!("SET {a} v NX"),
        format!("SET {a} v PXAT 1"),
        format!("MSET {a} 1 {b} 2"),
        format!("DEL {a} {b} s{a}"),
        format!("EXPIRE {a} 1000"),
        format!("PERSIST {a}"),
        format!("APPEND {a} x"),
        format!("RENAME {a} {b}"),
        format!("COPY {a} {b} REPLACE"),
        format!("SADD s{a} x y"),
        format!("SREM s{a} x"),
        format!("SUNIONSTORE s{a} s{b}"),
        format!("RPUSH l{a} 1 2"),
        format!("LTRIM l{a} 0 -1"),
        format!("LMOVE l{a} l{b} LEFT RIGHT"),
        "CLIENT CACHING YES".into(),
        "CLIENT CACHING YES".into(),
    ];
    lines[rng.random_range(0..lines.len())].clone()
}

#[test]
fn the_same_clients_are_told_of_the_same_keys() {
    if !Oracle::is_installed() {
        return;
    }
    let oracle = Oracle::start(&[]);
    let seed = tests_differential::seeded::seed(7);
    for (shards, workers) in [(1, 1), (1, 2)] {
        let tested = proxy(shards, workers);
        let (mut expected, mut got) = (Side::connect(oracle.port), Side::connect(tested.port()));
        for side in [&mut expected, &mut got] {
            side.clients[4].line("DEBUG SET-ACTIVE-EXPIRE 0").unwrap();
            side.step(4, "SET any v");
            side.step(4, "FLUSHALL");
        }
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut history = Vec::new();
        for _ in 0..tests_differential::seeded::setting("FASTKEEP_COMMANDS").unwrap_or(1200) {
            let by = rng.random_range(0..CLIENTS.len());
            let line = line(&mut rng);
            history.push(format!("{by}: {line}"));
            let (expected, got) = (expected.step(by, &line), got.step(by, &line));
            let recent = &history[history.len().saturating_sub(60)..];
            assert_eq!(expected, got, "seed {seed}, after\n{}", recent.join("\n"));
        }
    }
}
