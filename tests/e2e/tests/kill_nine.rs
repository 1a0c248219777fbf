//! Proves that `kill -9` of the whole process loses no answered write, applies none twice and none by half.
//!
//! 50 writers pipeline units of work over their own keys, each unit numbered n: `SET seq n`, `INCR total`, and
//! a transaction that sets two keys to n. The process is killed at a random moment, started again, and every
//! writer's keys are checked: since one connection's commands on one shard run in order, what was applied must be
//! a prefix of what was sent, at least as long as what was answered.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use tests_harness::{Client, Fastkeep, Reply, Running};

const WRITERS: usize = 50;
const ROUNDS: usize = 30;
/// Units that a writer has on the way at most.
const PIPELINE: u64 = 4;
/// Replies of one unit: SET, INCR, MULTI, two times QUEUED, EXEC.
const REPLIES: u64 = 6;

/// How far one writer got, in units.
#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    answered: AtomicU64,
}

fn queue_unit(client: &mut Client, writer: usize, n: u64) {
    let n = n.to_string();
    client.queue(&["SET", &format!("seq:{{{writer}}}"), &n]);
    client.queue(&["INCR", &format!("total:{{{writer}}}")]);
    client.queue(&["MULTI"]);
    client.queue(&["SET", &format!("left:{{{writer}}}"), &n]);
    client.queue(&["SET", &format!("right:{{{writer}}}"), &n]);
    client.queue(&["EXEC"]);
}

/// Writes units from `first` on until the connection breaks.
fn write(port: u16, writer: usize, first: u64, progress: &Progress) {
    let Ok(mut client) = Client::connect(port) else { return };
    let mut next = first;
    let mut replies = 0;
    loop {
        while next < progress.answered.load(Ordering::Relaxed) + 1 + PIPELINE {
            queue_unit(&mut client, writer, next);
            progress.sent.store(next, Ordering::Relaxed);
            next += 1;
        }
        if client.flush().is_err() {
            return;
        }
        match client.read() {
            Ok(Reply::Error(error)) => {
                assert!(
                    error.starts_with("UNCERTAIN") || error.starts_with("LOADING"),
                    "writer {writer}: {error}"
                );
                return;
            }
            Ok(_) => replies += 1,
            Err(_) => return,
        }
        if replies % REPLIES == 0 {
            progress.answered.store(first - 1 + replies / REPLIES, Ordering::Relaxed);
        }
    }
}

/// A key's number; 0 if it does not exist.
fn number(client: &mut Client, key: &str) -> u64 {
    match client.text(&format!("GET {key}")).as_str() {
        "(nil)" => 0,
        text => text.parse().unwrap_or_else(|_| panic!("{key} holds {text}")),
    }
}

/// Checks one writer's keys and returns how many units are there.
fn check(client: &mut Client, round: usize, writer: usize, progress: &Progress) -> u64 {
    let seq = number(client, &format!("seq:{{{writer}}}"));
    let total = number(client, &format!("total:{{{writer}}}"));
    let left = number(client, &format!("left:{{{writer}}}"));
    let right = number(client, &format!("right:{{{writer}}}"));
    let (sent, answered) = (progress.sent.load(Ordering::Relaxed), progress.answered.load(Ordering::Relaxed));
    let seen = format!(
        "round {round}, writer {writer}: sent {sent}, answered {answered}, seq {seq}, total {total}, left {left}, right {right}"
    );
    assert_eq!(left, right, "half a transaction: {seen}");
    assert!(left >= answered, "an answered transaction is lost: {seen}");
    assert!(seq <= sent && seq >= left && seq - left <= 1, "not a prefix of what was sent: {seen}");
    assert!(total <= seq && seq - total <= 1 && total >= left, "an INCR is lost or applied twice: {seen}");
    // What is left of the unit that was cut is completed, so that the next round starts level.
    for _ in total..seq {
        client.text(&format!("INCR total:{{{writer}}}"));
    }
    if left < seq {
        client.text(&format!("MSET left:{{{writer}}} {seq} right:{{{writer}}} {seq}"));
    }
    seq
}

/// One round: write, kill at a random moment, start again, check.
fn round(number: usize, server: &Fastkeep, running: Running, done: &mut [u64], pause: Duration) -> Running {
    let mut running = running;
    let progress: Arc<Vec<Progress>> = Arc::new((0..WRITERS).map(|_| Progress::default()).collect());
    for (writer, units) in done.iter().enumerate() {
        progress[writer].sent.store(*units, Ordering::Relaxed);
        progress[writer].answered.store(*units, Ordering::Relaxed);
    }
    let begin = Arc::new(Barrier::new(WRITERS + 1));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (progress, begin) = (Arc::clone(&progress), Arc::clone(&begin));
            let (port, first) = (running.port, done[writer] + 1);
            std::thread::spawn(move || {
                begin.wait();
                write(port, writer, first, &progress[writer]);
            })
        })
        .collect();
    begin.wait();
    std::thread::sleep(pause);
    running.kill();
    for writer in writers {
        writer.join().unwrap();
    }
    let running = server.start();
    let mut client = running.client();
    for (writer, units) in done.iter_mut().enumerate() {
        *units = check(&mut client, number, writer, &progress[writer]);
    }
    running
}

fn rounds(shards: &str, count: usize, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let server = Fastkeep::up(&folder.path().join("data"), &["--shards", shards]);
    let mut running = server.start();
    let mut done = vec![0_u64; WRITERS];
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    for number in 0..count {
        let pause = Duration::from_millis(random.random_range(5..600));
        running = round(number, &server, running, &mut done, pause);
    }
    let units: u64 = done.iter().sum();
    println!("{count} rounds, {units} units kept");
    assert!(units > count as u64 * 10, "too little was written to prove anything: {units} units");
}

#[test]
fn kill_nine_loses_nothing() {
    rounds("1", ROUNDS, 9);
}

#[test]
fn kill_nine_loses_nothing_over_shards() {
    rounds("3", 5, 10);
}
