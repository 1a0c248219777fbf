//! Proves MIGRATE: the same calls are answered as by redis-server, to redis-server and back; every type arrives as it was,
//! with its time; a key is gone only when the target has it; keys of several shards go in one call; and of a counter that is
//! counted up while it is moved no step is lost or doubled. Needs redis-server 7.0; without it the test says so and ends.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tests_differential::served;
use tests_differential::target::{Server, Target};
use tests_harness::Oracle;

/// Steps of the counter.
const MOVES: usize = 40;

fn connect(port: u16) -> Server {
    Server::connect(port, 2).unwrap()
}

/// Runs lines on the source; `TO` is the target's address. A line that begins with `@` runs on the target.
fn replies(source: u16, target: u16) -> Vec<String> {
    let (mut from, mut to) = (connect(source), connect(target));
    let lines = [
        "FLUSHALL",
        "@FLUSHALL",
        "MIGRATE TO k 0 1000",
        "MIGRATE TO k 0 1000 KEYS a",
        "MIGRATE TO k x 1000",
        "MIGRATE TO k 0 x",
        "MIGRATE TO k 0 1000 WHAT",
        "MIGRATE TO k 0 1000 AUTH",
        "MIGRATE TO k 0 1000 AUTH2 a",
        "MIGRATE TO k 0",
        "SET k v",
        "MIGRATE TO k 0 1000",
        "EXISTS k",
        "@GET k",
        "SET k w",
        "MIGRATE TO k 0 1000",
        "GET k",
        "MIGRATE TO k 0 1000 COPY REPLACE",
        "GET k",
        "@GET k",
        "MIGRATE TO k 0 0 REPLACE",
        "EXISTS k",
        "SET t v PXAT 95617584000000",
        "MIGRATE TO t 3 -1",
        "@SELECT 3",
        "@PERSIST t",
        "@SELECT 0",
        "SET k v",
        "MIGRATE TO k 99 1000",
        "EXISTS k",
        "RPUSH l a b c",
        "HSET h f v",
        "ZADD z 1.5 m",
        "SADD s 1 2 3",
        "XADD x 1-1 f v",
        "PFADD p a",
        "MIGRATE TO %% 0 1000 KEYS l h missing z s x p",
        "EXISTS l h z s x p",
        "@LRANGE l 0 -1",
        "@HGETALL h",
        "@ZRANGE z 0 -1 WITHSCORES",
        "@SMEMBERS s",
        "@XRANGE x - +",
        "@PFCOUNT p",
        "SET a 1",
        "SET b 2",
        "@SET a 9",
        "MIGRATE TO %% 0 1000 KEYS a b a",
        "EXISTS a b",
        "@MGET a b",
        "MIGRATE TO a 0 1000 AUTH secret",
        "EXISTS a",
        "MIGRATE 127.0.0.1 1 a 0 500",
        "MIGRATE no.host.invalid 1 a 0 500",
        "EXISTS a",
        "COMMAND GETKEYS MIGRATE h 1 %% 0 10 AUTH keys KEYS a b",
    ];
    lines
        .iter()
        .map(|line| {
            let server = if line.starts_with('@') { &mut to } else { &mut from };
            let line = line.trim_start_matches('@').replace("TO", &format!("127.0.0.1 {target}"));
            let words =
                line.split(' ').map(|word| if word == "%%" { Vec::new() } else { word.into() }).collect();
            format!("{line}: {:?}", server.run(&words).unwrap()).replace(&target.to_string(), "PORT")
        })
        .collect()
}

#[test]
fn keys_move_as_in_redis() {
    if !Oracle::is_installed() {
        return;
    }
    let (source, target) = (Oracle::start(&[]), Oracle::start(&[]));
    let expected = replies(source.port, target.port);
    for (shards, workers) in [(1, 1), (3, 2)] {
        let proxy = served::proxy(shards, workers);
        for (source, target) in [(proxy.port(), target.port), (source.port, proxy.port())] {
            let found = replies(source, target);
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(expected, found);
            }
        }
        let mut client = connect(proxy.port());
        client.line("SET k 1").unwrap();
        let call = format!("MIGRATE 127.0.0.1 {} k 0 1000 REPLACE", target.port);
        client.line("MULTI").unwrap();
        let refused = client.line(&call).unwrap().text();
        assert!(refused.contains("not allowed inside a transaction"), "{refused}");
        assert!(client.line("EXEC").unwrap().text().starts_with("EXECABORT"));
        let script = format!("return redis.call('{}')", call.replace(' ', "','")).into_bytes();
        let refused = client.run(&vec![b"EVAL".to_vec(), script, b"0".to_vec()]).unwrap().text();
        assert!(refused.contains("not allowed from script"), "{refused}");
        assert_eq!(client.line("EXISTS k").unwrap().text(), "1");
    }
}

#[test]
fn a_key_that_changes_meanwhile_loses_nothing() {
    if !Oracle::is_installed() {
        return;
    }
    let (proxy, oracle) = (served::proxy(2, 2), Oracle::start(&[]));
    let (port, stop) = (proxy.port(), Arc::new(AtomicBool::new(false)));
    let counting = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let (mut client, mut steps) = (connect(port), 0);
            while !stop.load(Relaxed) {
                client.line("INCR n").unwrap();
                steps += 1;
            }
            steps
        })
    };
    let (mut mover, mut target) = (connect(port), connect(oracle.port));
    let number = |server: &mut Server, line: &str| server.line(line).unwrap().text().parse::<i64>().unwrap();
    let (mut arrived, mut moves) = (0, 0);
    let begun = Instant::now();
    while moves < MOVES && begun.elapsed() < Duration::from_secs(20) {
        let moved =
            mover.line(&format!("MIGRATE 127.0.0.1 {} n 0 2000 REPLACE", oracle.port)).unwrap().text();
        match moved.as_str() {
            "OK" => {
                arrived += number(&mut target, "GETDEL n");
                moves += 1;
            }
            "NOKEY" => std::thread::yield_now(),
            // It stays; what the target has of it is an earlier value.
            other => {
                assert!(other.starts_with("ERR keys change all the time"), "{other}");
                target.line("DEL n").unwrap();
            }
        }
    }
    stop.store(true, Relaxed);
    let steps: i64 = counting.join().unwrap();
    assert!(arrived > 0, "nothing has arrived");
    assert_eq!(arrived + number(&mut mover, "INCRBY n 0"), steps);
}
