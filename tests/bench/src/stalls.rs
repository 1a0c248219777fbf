//! How long one command on a value of a million elements keeps another client waiting, here and in redis-server.
//!
//! A second connection reads one key over and over; its longest wait while the command runs is what counts, not how
//! long the command itself takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tests_harness::Client;

use crate::measure::Measured;
use crate::servers::{Kind, Server};
use crate::wire::Wire;

/// Elements of each value.
pub const ELEMENTS: u64 = 1_000_000;

/// Commands that run on a value that they leave as it is, then those that make it anew each time: the value's letter
/// (see [`fill`]) and the command.
const KEEPING: [(char, &str); 30] = [
    ('h', "HGETALL h"),
    ('h', "HRANDFIELD h 100000"),
    ('h', "COPY h copy REPLACE"),
    ('h', "DUMP h"),
    ('h', "RENAME h other"),
    ('l', "LRANGE l 0 -1"),
    ('l', "LINDEX l 500000"),
    ('l', "LSET l 500000 x"),
    ('l', "LINSERT l BEFORE element:00500000 x"),
    ('l', "LREM l 0 nothing"),
    ('l', "LPOS l nothing"),
    ('l', "SORT l ALPHA LIMIT 0 10"),
    ('l', "COPY l copy REPLACE"),
    ('l', "DUMP l"),
    ('s', "SMEMBERS s"),
    ('s', "SUNION s small"),
    ('s', "SUNIONSTORE stored s small"),
    ('s', "SDIFFSTORE stored s small"),
    ('s', "SINTERSTORE stored s s"),
    ('s', "SRANDMEMBER s 100000"),
    ('s', "SORT s ALPHA STORE stored"),
    ('s', "COPY s copy REPLACE"),
    ('s', "DUMP s"),
    ('z', "ZRANGE z 0 -1 WITHSCORES"),
    ('z', "ZUNIONSTORE stored 1 z"),
    ('z', "ZRANGESTORE stored z 0 -1"),
    ('z', "COPY z copy REPLACE"),
    ('z', "DUMP z"),
    ('x', "XRANGE x - +"),
    ('x', "COPY x copy REPLACE"),
];
const ENDING: [(char, &str); 19] = [
    ('h', "DEL h"),
    ('h', "UNLINK h"),
    ('h', "SET h x"),
    ('h', "PEXPIRE h 1"),
    ('l', "DEL l"),
    ('l', "UNLINK l"),
    ('l', "LTRIM l 1 0"),
    ('l', "LPOP l 500000"),
    ('s', "DEL s"),
    ('s', "UNLINK s"),
    ('s', "SPOP s 500000"),
    ('z', "DEL z"),
    ('z', "UNLINK z"),
    ('z', "ZREMRANGEBYRANK z 0 -1"),
    ('z', "ZPOPMIN z 500000"),
    ('x', "DEL x"),
    ('x', "XTRIM x MAXLEN 0"),
    ('z', "FLUSHALL"),
    ('z', "FLUSHALL ASYNC"),
];

/// Writes the value with this letter.
fn fill(wire: &mut Wire, letter: char) {
    for first in (0..ELEMENTS).step_by(100) {
        let mut words: Vec<String> = Vec::new();
        let numbers = first..first + 100;
        match letter {
            'h' => {
                words.extend(["HSET".into(), "h".into()]);
                words.extend(numbers.flat_map(|at| [format!("field:{at:08}"), format!("value:{at}")]));
            }
            'l' => {
                words.extend(["RPUSH".into(), "l".into()]);
                words.extend(numbers.map(|at| format!("element:{at:08}")));
            }
            's' => {
                words.extend(["SADD".into(), "s".into()]);
                words.extend(numbers.map(|at| format!("member:{at:08}")));
            }
            'z' => {
                words.extend(["ZADD".into(), "z".into()]);
                words.extend(
                    numbers.flat_map(|at| [(at * 7919 % ELEMENTS).to_string(), format!("member:{at:08}")]),
                );
            }
            _ => {
                for at in numbers {
                    wire.queue(&["XADD", "x", &format!("{}-0", at + 1), "field", &at.to_string()]);
                }
                continue;
            }
        }
        wire.queue(&words);
    }
    wire.run("SADD small a b c");
    wire.run("SET read value");
}

/// Milliseconds: another client's longest wait, and the command itself; or the command's error.
fn stall(server: &Server, wire: &mut Wire, command: &str) -> Result<(f64, f64), String> {
    let longest = Arc::new(AtomicU64::new(0));
    let (ends, ready) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let reader = {
        let (longest, ends, ready) = (Arc::clone(&longest), Arc::clone(&ends), Arc::clone(&ready));
        let mut client = Client::connect(server.port).unwrap();
        std::thread::spawn(move || {
            client.text("GET read");
            while !ends.load(Relaxed) {
                let begun = Instant::now();
                if client.call(&["GET", "read"]).is_err() {
                    return;
                }
                longest.fetch_max(begun.elapsed().as_micros() as u64, Relaxed);
                ready.store(true, Relaxed);
            }
        })
    };
    while !ready.load(Relaxed) {
        std::thread::yield_now();
    }
    longest.store(0, Relaxed);
    let begun = Instant::now();
    let answer = wire.try_run(command);
    let took = begun.elapsed();
    // What the command leaves to be done afterwards (freeing, expiring) counts, too.
    std::thread::sleep(Duration::from_millis(300));
    ends.store(true, Relaxed);
    reader.join().unwrap();
    answer.map(|()| (longest.load(Relaxed) as f64 / 1e3, took.as_secs_f64() * 1e3))
}

/// Runs all commands `rounds` times on both servers. A server that fails at one is told, and left out with what was to
/// come for the same value.
pub fn measure(rounds: usize, only: &[String], into: &mut Measured) {
    for kind in [Kind::Fastkeep, Kind::RedisMemory] {
        for letter in ['h', 'l', 's', 'z', 'x'] {
            if let Err(error) = measure_value(kind, letter, rounds, only, into) {
                println!("{kind:?} {error}");
            }
        }
    }
}

fn measure_value(
    kind: Kind,
    letter: char,
    rounds: usize,
    only: &[String],
    into: &mut Measured,
) -> Result<(), String> {
    let chosen = |command: &str| only.is_empty() || only.iter().any(|n| command.contains(n.as_str()));
    let of = |list: &'static [(char, &'static str)]| {
        list.iter().filter(move |(l, c)| *l == letter && chosen(c)).map(|(_, c)| *c)
    };
    if of(&KEEPING).chain(of(&ENDING)).next().is_none() {
        return Ok(());
    }
    // Values of tens of megabytes go through the log as one record: not a matter of the lease here.
    let server = Server::start_with(kind, &["--primary-lease-ms", "20000"]);
    let mut wire = Wire::connect(server.port);
    fill(&mut wire, letter);
    let mut note = |command: &'static str, found: (f64, f64)| {
        println!("{kind:?} {command}: others wait {:.1} ms, takes {:.1} ms", found.0, found.1);
        into.stalls.entry((command, kind)).or_default().push(found);
    };
    for command in of(&KEEPING) {
        for _ in 0..rounds {
            note(command, stall(&server, &mut wire, command).map_err(|error| format!("{command}: {error}"))?);
            if command.starts_with("RENAME") {
                wire.run("RENAME other h");
            }
        }
        wire.run("UNLINK copy stored");
    }
    for command in of(&ENDING) {
        for round in 0..rounds {
            if round > 0 || command != of(&ENDING).next().unwrap_or_default() {
                wire.run(&format!("DEL {letter}"));
                fill(&mut wire, letter);
            }
            note(command, stall(&server, &mut wire, command).map_err(|error| format!("{command}: {error}"))?);
        }
    }
    Ok(())
}

/// The commands in the order of the report.
pub fn commands() -> impl Iterator<Item = &'static str> {
    KEEPING.iter().chain(&ENDING).map(|(_, command)| *command)
}
