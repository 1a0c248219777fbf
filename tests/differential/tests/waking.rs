//! Proves that clients which wait are woken as by redis-server when a transaction or a script brings what they wait for, in
//! part or not at all (it pushes, pushes and pops, deletes, renames, swaps databases): the same clients are answered, with
//! the same, in the same order of arrival, and the data are the same afterwards. Drawn from a seed, which `FASTKEEP_SEED`
//! replaces. Needs redis-server 7.0; without it the test says so and ends.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tests_differential::seeded::seed;
use tests_differential::served;
use tests_differential::target::{Server, Target};
use tests_harness::Oracle;

/// Units that may wake somebody, for each protocol.
const UNITS: usize = 120;
const KEYS: [&str; 3] = ["{k}1", "{k}2", "{k}3"];

/// One server: who acts, and who waits, each with its id.
struct Side {
    actor: Server,
    waiting: Vec<(Server, String)>,
}

impl Side {
    fn connect(port: u16, protocol: u8, clients: usize) -> Self {
        let client = || {
            let mut client = Server::connect(port, protocol).unwrap();
            let id = client.line("CLIENT ID").unwrap().text();
            (client, id)
        };
        Self {
            actor: Server::connect(port, protocol).unwrap(),
            waiting: (0..clients).map(|_| client()).collect(),
        }
    }

    fn blocked(&mut self) -> usize {
        let info = self.actor.line("INFO clients").unwrap().text();
        let line = info.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
        line.unwrap().trim().parse().unwrap()
    }

    fn await_blocked(&mut self, wanted: usize, what: &str) {
        let begun = Instant::now();
        loop {
            let blocked = self.blocked();
            if blocked == wanted {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{blocked} wait, not {wanted}: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn key(rng: &mut SmallRng) -> &'static str {
    KEYS[rng.random_range(0..KEYS.len())]
}

/// A command that waits; on its connection's own it may be answered at once.
fn waiting(rng: &mut SmallRng) -> String {
    let (a, b) = (key(rng), key(rng));
    match rng.random_range(0..9) {
        0 => format!("BLPOP {a} {b} 0"),
        1 => format!("BRPOP {a} 0"),
        2 => format!("BLMOVE {a} {b} LEFT RIGHT 0"),
        3 => format!("BRPOPLPUSH {a} {b} 0"),
        4 => format!("BLMPOP 0 2 {a} {b} LEFT COUNT 2"),
        5 => format!("BZPOPMIN {a} {b} 0"),
        6 => format!("BZPOPMAX {a} 0"),
        7 => format!("BZMPOP 0 1 {a} MIN COUNT 2"),
        _ => format!("XREAD BLOCK 0 STREAMS {a} 0-0"),
    }
}

/// A change that may bring something, or take it away again.
fn change(rng: &mut SmallRng) -> String {
    let (a, b, n) = (key(rng), key(rng), rng.random_range(0..100));
    match rng.random_range(0..17) {
        0..3 => format!("RPUSH {a} {n} x{n}"),
        3 => format!("LPUSH {a} {n}"),
        4..6 => format!("ZADD {a} {n} m{n} 5 five"),
        6 => format!("XADD {a} * f {n}").replace('*', &format!("{}-{n}", rng.random_range(1..1000))),
        7 => format!("LPOP {a}"),
        8 => format!("ZPOPMIN {a}"),
        9 => format!("DEL {a}"),
        10 => format!("RENAME {a} {b}"),
        11 => format!("SET {a} {n}"),
        12 => format!("LMOVE {a} {b} LEFT LEFT"),
        13 => format!("SORT {a} ALPHA STORE {b}"),
        14 => format!("ZUNIONSTORE {a} 1 {b}"),
        15 => format!("COPY {a} {b} REPLACE"),
        _ => format!("PEXPIRE {a} -1"),
    }
}

/// A script that runs these commands, whatever they answer.
fn script(changes: &[String]) -> Vec<Vec<u8>> {
    let calls: Vec<String> = changes
        .iter()
        .map(|line| {
            let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
            format!("redis.pcall({})", words.join(","))
        })
        .collect();
    let calls = calls.join("\n");
    let mut command = vec![b"EVAL".to_vec(), format!("{calls}\nreturn 'done'").into_bytes(), b"3".to_vec()];
    command.extend(KEYS.iter().map(|key| key.as_bytes().to_vec()));
    command
}

/// Who acts does one unit; gives its answers as text.
fn act(actor: &mut Server, how: usize, changes: &[String]) -> Vec<String> {
    let mut all = |lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| format!("{:?}", actor.line(line).unwrap())).collect()
    };
    match how {
        0 => {
            [&["MULTI".to_owned()], changes, &["EXEC".to_owned()]].iter().flat_map(|part| all(part)).collect()
        }
        1 => vec![format!("{:?}", actor.run(&script(changes)).unwrap())],
        _ => all(changes),
    }
}

fn compare(oracle: &Oracle, port: u16, protocol: u8, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut sides = [Side::connect(oracle.port, protocol, 4), Side::connect(port, protocol, 4)];
    for unit in 0..UNITS {
        let waits: Vec<String> = (0..4).map(|_| waiting(&mut rng)).collect();
        let changes: Vec<String> = (0..rng.random_range(1..6)).map(|_| change(&mut rng)).collect();
        let how = rng.random_range(0..3);
        let what = format!("seed {seed}, unit {unit}: {waits:#?} then {how} {changes:#?}");
        let mut seen: Vec<Vec<String>> = Vec::new();
        for side in &mut sides {
            side.actor.line("FLUSHALL").unwrap();
            for (number, wait) in waits.iter().enumerate() {
                side.waiting[number].0.send(wait);
                side.await_blocked(number + 1, &what);
            }
            let mut told = act(&mut side.actor, how, &changes);
            // Whoever was not answered is now; each connection has exactly one answer either way.
            for number in 0..waits.len() {
                let id = side.waiting[number].1.clone();
                let waits_still = side.actor.line(&format!("CLIENT UNBLOCK {id}")).unwrap().text();
                let answer = side.waiting[number].0.read().unwrap();
                told.push(format!("{number}: still {waits_still} {answer:?}"));
            }
            told.push(format!("{:?}", side.actor.line("DEBUG DIGEST").unwrap()));
            for key in KEYS {
                told.push(format!("{key} {:?}", side.actor.line(&format!("TYPE {key}")).unwrap()));
            }
            seen.push(told);
        }
        assert_eq!(seen[0], seen[1], "{what}");
    }
}

#[test]
fn transactions_and_scripts_wake_as_in_redis() {
    if !Oracle::is_installed() {
        return;
    }
    let proxy = served::proxy(1, 1);
    let oracle = Oracle::start(&[]);
    for protocol in [2, 3] {
        compare(&oracle, proxy.port(), protocol, seed(70 + u64::from(protocol)));
    }
}
