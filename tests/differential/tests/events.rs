//! Proves that the events of keys (`notify-keyspace-events`) are those of redis-server: the same names for the same keys
//! in the same order, after each of a list of commands that has every command in it, and (but for misses) after random ones.
//!
//! Needs redis-server 7.0; without it the test says so and ends.
#![allow(clippy::unwrap_used)]

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tests_differential::agreement::{name, show};
use tests_differential::families::collections::{Collections, Command};
use tests_differential::families::keyed::Keyed;
use tests_differential::families::streams::Streams;
use tests_differential::families::values::Values;
use tests_differential::frame::Frame;
use tests_differential::served::proxy;
use tests_differential::target::{Server, Target};
use tests_harness::Oracle;

/// A server, and one who listens to all its events.
struct Heard {
    server: Server,
    listener: Server,
}

impl Heard {
    fn connect(port: u16, protocol: u8, classes: &str) -> Self {
        let mut server = Server::connect(port, 2).unwrap();
        server.line(&format!("CONFIG SET notify-keyspace-events {classes}")).unwrap();
        server.line("DEBUG SET-ACTIVE-EXPIRE 0").unwrap();
        let mut listener = Server::connect(port, protocol).unwrap();
        listener.line("PSUBSCRIBE __key*__:*").unwrap();
        listener.line("SUBSCRIBE fence").unwrap();
        Self { server, listener }
    }

    /// Runs a command. Returns its reply, and the channels and payloads of its events.
    fn run(&mut self, command: &Command) -> (Frame, Vec<String>) {
        let reply = self.server.run(command).unwrap();
        self.server.line("PUBLISH fence x").unwrap();
        let mut events = Vec::new();
        loop {
            let message = self.listener.read().unwrap();
            let parts: Vec<String> = message.parts().iter().map(Frame::text).collect();
            match parts.first().map(String::as_str) {
                Some("message") => return (reply, events),
                _ => events.push(format!("{} {}", parts[2], parts[3])),
            }
        }
    }
}

/// Lines whose keys are `a` to `e` and what their names tell; every command that changes anything is here.
const LINES: &str = include_str!("events.txt");

fn compare_lines(protocol: u8, classes: &str) {
    if !Oracle::is_installed() {
        return;
    }
    let oracle = Oracle::start(&[]);
    let tested = proxy(1, 1);
    let mut expected = Heard::connect(oracle.port, protocol, classes);
    let mut got = Heard::connect(tested.port(), protocol, classes);
    let mut differences = Vec::new();
    for line in LINES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let command: Command = line.split(' ').map(|word| word.replace("''", "").into_bytes()).collect();
        let (expected, got) = (expected.run(&command), got.run(&command));
        if expected.1 != got.1 {
            differences
                .push(format!("{line} -> {:?}\n  expected {:?}\n  got      {:?}", got.0, expected.1, got.1));
        }
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_command_tells_what_redis_tells() {
    compare_lines(2, "KEAmn");
}

#[test]
fn classes_choose() {
    for classes in ["KEA", "Kg$", "Elshz", "KEx", "Etm", "Kn", "KE", "A"] {
        compare_lines(3, classes);
    }
}

/// Random commands leave both out of step where they draw, wait, or race with the clock.
fn is_comparable(command: &Command) -> bool {
    let name = name(command);
    let timed = ["EX", "PX", "BLOCK", "IDLE"];
    !name.starts_with("BL")
        && !name.starts_with("BR")
        && !name.starts_with("BZ")
        && !matches!(
            name.as_str(),
            "SPOP" | "DEBUG" | "CONFIG" | "MEMORY" | "OBJECT" | "MULTI" | "EXEC" | "WATCH"
        )
        && !name.contains("EXPIRE")
        && !name.ends_with("SETEX")
        && name != "RESTORE"
        // Redis creates the key without telling of more, if every change of it fails.
        && !(name == "BITFIELD" && command.iter().any(|arg| arg.eq_ignore_ascii_case(b"FAIL")))
        && !command.iter().any(|arg| timed.iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes())))
}

#[test]
fn random_commands_tell_what_redis_tells() {
    if !Oracle::is_installed() {
        return;
    }
    let oracle = Oracle::start(&[]);
    let tested = proxy(1, 1);
    let mut expected = Heard::connect(oracle.port, 2, "KEAn");
    let mut got = Heard::connect(tested.port(), 2, "KEAn");
    let mut rng = SmallRng::seed_from_u64(tests_differential::seeded::seed(4));
    let mut differences = Vec::new();
    for round in 0..tests_differential::seeded::setting("FASTKEEP_COMMANDS").unwrap_or(6000) {
        let rng = &mut rng;
        let command = match round / 50 % 4 {
            0 => Keyed { rng }.command(),
            1 => Collections { rng }.command(),
            2 => Streams { rng }.command(),
            _ => Values { rng }.command(),
        };
        if !is_comparable(&command) {
            continue;
        }
        let (expected, got) = (expected.run(&command), got.run(&command));
        if expected.1 != got.1 {
            let (show, reply) = (show(&command), &got.0);
            differences
                .push(format!("{show} -> {reply:?}\n  expected {:?}\n  got      {:?}", expected.1, got.1));
        }
        if differences.len() > 20 {
            break;
        }
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}
