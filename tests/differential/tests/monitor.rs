//! Proves that MONITOR and SLOWLOG show the same as redis-server: the same lines in the same order, with what scripts and
//! functions call behind the command that runs them, and with the same words hidden where somebody says a password.
//!
//! Needs redis-server 7.0; without it the test says so and ends.
#![allow(clippy::unwrap_used)]

use tests_differential::families::collections::Command;
use tests_differential::frame::Frame;
use tests_differential::served::proxy;
use tests_differential::target::{Server, Target};
use tests_harness::Oracle;

const LIBRARY: &str = "#!lua name=lib\n\
    redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)\n\
    redis.register_function{function_name='peek', flags={'no-writes'}, \
    callback=function(keys) redis.call('SELECT', 3) return redis.call('GET', keys[1]) end}";

/// What is run, one after the other by one client; `^` stands for a space.
const LINES: &[&str] = &[
    "SET a 1",
    "EVAL return^redis.call('GET',KEYS[1]) 1 a",
    "EVAL redis.call('SELECT',2)^redis.call('SET',KEYS[1],'x^y\"\\0')^return^redis.pcall('LPUSH',KEYS[1],1) 1 a",
    "EVAL redis.pcall('GET')^redis.pcall('NOSUCH')^redis.pcall('AUTH','x')^return^1 0",
    "EVAL return^redis.call('PUBLISH','ch','hello') 0",
    "EVAL return^nonsense( 0",
    "EVAL error('x') 0",
    "EVAL return^1 x",
    "EVAL return^1 3 a",
    "EVALSHA 0000000000000000000000000000000000000000 0",
    "EVAL_RO return^redis.pcall('SET',KEYS[1],1) 1 a",
    "FCALL put 1 a v",
    "FCALL_RO peek 1 a",
    "FCALL nosuch 1 a",
    "SELECT 1",
    "FCALL_RO peek 1 a",
    "EVAL return^redis.call('PING','a') 0",
    "SCRIPT LOAD return^1",
    "SCRIPT EXISTS x",
    "MULTI",
    "SET a 2",
    "EVAL return^redis.call('INCR',KEYS[1]) 1 a",
    "FCALL put 1 a v",
    "GET a",
    "EXEC",
    "AUTH default x",
    "AUTH y",
    "HELLO 2 AUTH default x SETNAME me",
    "HELLO 2 SETNAME me",
    "ACL SETUSER ann on >p ~* +@all",
    "ACL SETUSER ann >q nonsense",
    "ACL GETUSER ann",
    "ACL WHOAMI",
    "ACL DRYRUN ann get x",
    "AUTH ann p",
    "AUTH default x",
    "ACL DELUSER ann",
    "CONFIG SET requirepass secret maxmemory 0",
    "AUTH secret",
    "CONFIG SET requirepass \"\"",
    "CLIENT SETNAME other",
    "PING",
];

fn words(line: &str) -> Command {
    line.split(' ')
        .map(|word| if word == "\"\"" { Vec::new() } else { word.replace('^', " ").into() })
        .collect()
}

/// Runs everything; returns the answers that are errors, what a monitor saw, and what the slow log has.
fn run(port: u16) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut client = Server::connect(port, 2).unwrap();
    let mut monitor = Server::connect(port, 2).unwrap();
    client.line("CONFIG SET slowlog-max-len 1000").unwrap();
    client
        .run(&[&b"FUNCTION"[..], b"LOAD", b"REPLACE", LIBRARY.as_bytes()].map(<[u8]>::to_vec).into())
        .unwrap();
    client.line("CONFIG SET slowlog-log-slower-than 0").unwrap();
    client.line("SLOWLOG RESET").unwrap();
    assert_eq!(monitor.line("MONITOR").unwrap().text(), "OK");
    let mut errors = Vec::new();
    for line in LINES {
        let reply = client.run(&words(line)).unwrap();
        if matches!(&reply, Frame::Line(line) if line.first() == Some(&b'-')) {
            errors.push(format!("{line}: {}", reply.text()));
        }
    }
    client.line("CONFIG SET slowlog-log-slower-than -1").unwrap();
    client.line("ECHO end").unwrap();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|line: &String| !line.ends_with("\"ECHO\" \"end\"")) {
        // +seconds [db address] "words"
        let line = monitor.read().unwrap().text();
        let (_, line) = line.split_once('[').unwrap();
        let (db, rest) = line.split_once(' ').unwrap();
        let (from, command) = rest.split_once("] ").unwrap();
        let from = if from == "lua" { "lua" } else { "client" };
        seen.push(format!("[{db} {from}] {command}"));
    }
    let slow = client.line("SLOWLOG GET -1").unwrap();
    let slow = slow.parts().iter().map(|entry| {
        let parts = entry.parts();
        let args: Vec<String> = parts[3].parts().iter().map(Frame::text).collect();
        let from = if parts[4].text() == "?:0" { "script" } else { "client" };
        format!("{args:?} {from} {}", parts[5].text())
    });
    let mut slow: Vec<String> = slow.collect();
    slow.reverse();
    (errors, seen, slow)
}

#[test]
fn the_same_is_shown_and_the_same_is_hidden() {
    if !Oracle::is_installed() {
        return;
    }
    let oracle = Oracle::start(&[]);
    let (errors, seen, slow) = run(oracle.port);
    assert!(seen.iter().any(|line| line.contains("lua]")) && slow.iter().any(|line| line.contains("script")));
    for (shards, workers) in [(1, 1), (1, 2)] {
        let tested = proxy(shards, workers);
        // On one of the workers the shard lives elsewhere.
        for _ in 0..workers {
            let ours = run(tested.port());
            assert_eq!(ours.0, errors);
            assert_eq!(ours.1, seen);
            assert_eq!(ours.2, slow);
            assert!(!format!("{ours:?}").contains(">p"), "a password is shown");
        }
    }
}
