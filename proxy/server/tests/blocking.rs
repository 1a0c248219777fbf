//! Commands that wait: who is served, with what, in which order, and that neither a timeout nor CLIENT UNBLOCK nor
//! the end of a term ever loses an element or answers twice. What is expected was seen with redis-server 7.0.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use common::{Client, Server, eventually, server};

/// Clients that have sent these and wait.
fn waiting<const N: usize>(server: &Server, lines: [&str; N]) -> [Client; N] {
    let mut watcher = server.client();
    let before = blocked(&mut watcher);
    let mut done = 0;
    lines.map(|line| {
        let mut client = server.client();
        client.send(&[line]);
        done += 1;
        eventually(|| blocked(&mut watcher) == before + done);
        client
    })
}

fn blocked(client: &mut Client) -> usize {
    let info = client.ask("INFO clients");
    let line = info.lines().find_map(|line| line.strip_prefix("blocked_clients:")).unwrap().to_owned();
    line.trim().parse().unwrap()
}

/// Runs lines as one transaction; the reply of EXEC.
fn exec(client: &mut Client, lines: &[&str]) -> String {
    client.ask("MULTI");
    for line in lines {
        assert_eq!(client.ask(line), "+QUEUED");
    }
    client.ask("EXEC")
}

#[test]
fn who_came_first_is_served_first() {
    let server = server(1, 1, |_| {});
    let mut pusher = server.client();
    let [mut a, mut b, mut c] = waiting(&server, ["BLPOP k 0", "BRPOP k 0", "BLPOP k 0"]);
    assert_eq!(pusher.ask("RPUSH k 1 2"), ":2");
    assert_eq!([a.reply(), b.reply()], ["[$k $1]", "[$k $2]"]);
    c.assert_quiet();
    assert_eq!(pusher.ask("EXISTS k"), ":0");
    eventually(|| server.handle.status().shards[0].position == 1);
    assert_eq!(pusher.ask("LPUSH k 3 4"), ":2");
    assert_eq!(c.reply(), "[$k $4]");
    assert_eq!(pusher.ask("LRANGE k 0 -1"), "[$3]");
}

#[test]
fn the_key_that_was_written_first_serves() {
    let server = server(1, 1, |_| {});
    let mut other = server.client();
    let [mut a] = waiting(&server, ["BLPOP one two 0"]);
    assert_eq!(exec(&mut other, &["RPUSH two b", "RPUSH one a"]), "[:1 :1]");
    assert_eq!(a.reply(), "[$two $b]");
    other.ask("DEL one");
    let [mut a] = waiting(&server, ["BLPOP one two 0"]);
    exec(&mut other, &["RPUSH two b", "DEL two", "RPUSH one a", "RPUSH two c"]);
    assert_eq!(a.reply(), "[$two $c]");
    other.ask("FLUSHALL");
    let [mut a] = waiting(&server, ["BLPOP k 0"]);
    assert_eq!(exec(&mut other, &["RPUSH k 1", "DEL k"]), "[:1 :1]");
    a.assert_quiet();
    assert_eq!(exec(&mut other, &["RPUSH k 1 2", "LPOP k", "LLEN k"]), "[:2 $1 :1]");
    assert_eq!(a.reply(), "[$k $2]");
    let [mut a] = waiting(&server, ["BLPOP k k 0"]);
    other.ask("RPUSH k 1 2");
    assert_eq!(a.reply(), "[$k $1]");
    assert_eq!(other.ask("LLEN k"), ":1");
}

#[test]
fn moves_serve_each_other() {
    let server = server(1, 1, |_| {});
    let mut other = server.client();
    let [mut a, mut b, mut c] =
        waiting(&server, ["BLMOVE k l LEFT RIGHT 0", "BLMOVE l k LEFT RIGHT 0", "BLPOP k 0"]);
    assert_eq!(other.ask("RPUSH k 1"), ":1");
    assert_eq!([a.reply(), b.reply(), c.reply()], ["$1", "$1", "[$k $1]"]);
    assert_eq!(other.ask("DBSIZE"), ":0");
    let [mut a, mut b] = waiting(&server, ["BLMOVE k k LEFT RIGHT 0", "BRPOPLPUSH k k 0"]);
    other.ask("RPUSH k 1 2");
    assert_eq!([a.reply(), b.reply()], ["$1", "$1"]);
    assert_eq!(other.ask("LRANGE k 0 -1"), "[$1 $2]");
    other.ask("DEL k");
    // A wrong destination ends the wait; the element is there for the next.
    let [mut a, mut b] = waiting(&server, ["BLMOVE k s LEFT RIGHT 0", "BLPOP k 0"]);
    other.ask("SET s x");
    other.ask("RPUSH k 1");
    assert_eq!(a.reply(), "-WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_eq!(b.reply(), "[$k $1]");
}

#[test]
fn whatever_brings_the_key_wakes() {
    let server = server(1, 1, |_| {});
    let mut other = server.client();
    let pop = |setup: &[&str]| {
        let mut other = server.client();
        other.ask("FLUSHALL");
        let [mut list, mut zset] =
            waiting(&server, ["BLMPOP 0 1 k LEFT COUNT 9", "BZMPOP 0 1 k MIN COUNT 9"]);
        for line in setup {
            assert!(!other.ask(line).starts_with('-'), "{line}");
        }
        let is_list = setup.concat().contains("RPUSH");
        let (served, waits) = if is_list { (&mut list, &mut zset) } else { (&mut zset, &mut list) };
        let reply = served.reply();
        let mut id = server.client();
        assert_eq!(blocked(&mut id), 1, "the other type keeps waiting");
        waits.stream.shutdown(std::net::Shutdown::Both).unwrap();
        eventually(|| blocked(&mut id) == 0);
        reply
    };
    assert_eq!(pop(&["RPUSH k a b"]), "[$k [$a $b]]");
    assert_eq!(pop(&["ZADD k 1 a 2 b"]), "[$k [[$a $1] [$b $2]]]");
    assert_eq!(pop(&["RPUSH src a b", "RENAME src k"]), "[$k [$a $b]]");
    assert_eq!(pop(&["SET k x", "RPUSH src a b", "RENAME src k"]), "[$k [$a $b]]");
    assert_eq!(pop(&["RPUSH src a b", "COPY src k"]), "[$k [$a $b]]");
    assert_eq!(pop(&["ZADD src 1 a", "ZUNIONSTORE k 1 src"]), "[$k [[$a $1]]]");
    assert_eq!(pop(&["ZADD src 1 a", "ZRANGESTORE k src 0 -1"]), "[$k [[$a $1]]]");
    assert_eq!(pop(&["RPUSH src a", "LMOVE src k LEFT LEFT"]), "[$k [$a]]");
    assert_eq!(pop(&["SELECT 1", "RPUSH k a", "MOVE k 0"]), "[$k [$a]]");
    assert_eq!(pop(&["SELECT 1", "RPUSH k a", "SWAPDB 0 1"]), "[$k [$a]]");
    // Other types and deletions don't.
    let [mut a] = waiting(&server, ["BLPOP k 0"]);
    for line in ["SET k x", "DEL k", "SADD k x", "FLUSHALL", "ZADD k 1 x", "FLUSHDB"] {
        other.ask(line);
    }
    a.assert_quiet();
    other.ask("RPUSH k y");
    assert_eq!(a.reply(), "[$k $y]");
}

#[test]
fn readers_of_streams_wait() {
    let server = server(1, 1, |_| {});
    let mut other = server.client();
    let entry = |id: &str| format!("[[$s [[${id} [$f $v]]]]]");
    // All readers get the entry, from the stream that was written first.
    other.ask("XADD s 1-1 f v");
    let [mut a, mut b] = waiting(&server, ["XREAD BLOCK 0 STREAMS t s 0 $", "XREAD BLOCK 0 STREAMS s 5-0"]);
    assert_eq!(exec(&mut other, &["XADD s 2-1 f v", "XADD t 1-1 f v"]), "[$2-1 $1-1]");
    assert_eq!(a.reply(), entry("2-1"));
    b.assert_quiet();
    other.ask("XADD s 5-1 f v");
    assert_eq!(b.reply(), entry("5-1"));
    // A group gives each entry to the consumer that came first.
    other.ask("XGROUP CREATE s g $");
    let [mut a, mut b] = waiting(
        &server,
        ["XREADGROUP GROUP g a BLOCK 0 STREAMS s >", "XREADGROUP GROUP g b BLOCK 0 STREAMS s >"],
    );
    other.ask("XADD s 6-1 f v");
    assert_eq!(a.reply(), entry("6-1"));
    b.assert_quiet();
    other.ask("XACK s g 6-1");
    other.ask("XADD s 6-2 f v");
    assert_eq!(b.reply(), entry("6-2"));
    // They hear that what they wait for is gone.
    let gone = "-UNBLOCKED the stream key no longer exists";
    let group_gone = "-NOGROUP the consumer group this client was blocked on no longer exists";
    for (line, answer) in [
        ("XGROUP DESTROY s g", group_gone),
        ("DEL s", gone),
        ("SET s x", gone),
        ("RENAME s t", gone),
        ("SWAPDB 0 1", gone),
        ("PEXPIRE s 1", gone),
        ("FLUSHALL", gone),
    ] {
        other.ask("DEL s");
        other.ask("XGROUP CREATE s g $ MKSTREAM");
        let [mut a] = waiting(&server, ["XREADGROUP GROUP g a BLOCK 100000 STREAMS s >"]);
        other.ask(line);
        assert_eq!(a.reply(), answer, "{line}");
    }
    assert_eq!(other.ask("XREAD BLOCK 1 STREAMS s $"), "nil");
    assert_eq!(exec(&mut other, &["XREAD BLOCK 0 STREAMS s $"]), "[nil]");
}

#[test]
fn what_comes_behind_waits() {
    let server = server(1, 1, |_| {});
    let mut other = server.client();
    let [mut a] = waiting(&server, ["BLPOP k 0"]);
    a.send(&["SET q 1", "GET q"]);
    a.assert_quiet();
    assert_eq!(other.ask("EXISTS q"), ":0");
    other.ask("RPUSH k 1");
    assert_eq!([a.reply(), a.reply(), a.reply()], ["[$k $1]", "+OK", "$1"]);
    // In one packet, and with a reply that the client doesn't want.
    a.send(&["PING", "CLIENT REPLY SKIP", "BLPOP k 0", "PING"]);
    assert_eq!(a.reply(), "+PONG");
    a.assert_quiet();
    other.ask("RPUSH k 2");
    assert_eq!(a.reply(), "+PONG");
    assert_eq!(other.ask("EXISTS k"), ":0");
    assert_eq!(exec(&mut a, &["BLPOP k 0", "BLMOVE k l LEFT LEFT 0", "BZPOPMIN k 0"]), "[nil nil nil]");
}

#[test]
fn a_client_that_hangs_up_waits_no_more() {
    for (shards, workers) in [(1, 1), (4, 2)] {
        let server = server(shards, workers, |_| {});
        let mut other = server.client();
        let mut clients: Vec<Client> = Vec::new();
        for i in 0..8 {
            let mut client = server.client();
            client.send(&[&format!("BLPOP k{i} 0")]);
            if i % 2 == 1 {
                // More than is read meanwhile.
                client.raw(&vec![b'x'; 300 * 1024]);
            }
            clients.push(client);
        }
        eventually(|| blocked(&mut other) == 8);
        drop(clients);
        eventually(|| blocked(&mut other) == 0);
        for i in 0..8 {
            other.ask(&format!("RPUSH k{i} 1"));
            assert_eq!(other.ask(&format!("LLEN k{i}")), ":1");
        }
    }
}

#[test]
fn timeouts_and_client_unblock() {
    for (shards, workers) in [(1, 1), (4, 3)] {
        let server = server(shards, workers, |_| {});
        let mut other = server.client();
        let mut client = server.client();
        let id = client.ask("CLIENT ID").replace(':', "");
        for i in 0..8 {
            let key = format!("k{i}");
            assert_eq!(client.ask(&format!("BLPOP {key} 0.01")), "nil");
            assert_eq!(client.ask(&format!("BLMOVE {key} {key} LEFT LEFT 0.01")), "nil");
            for (mode, answer) in
                [("", "nil"), ("TIMEOUT", "nil"), ("error", "-UNBLOCKED client unblocked via CLIENT UNBLOCK")]
            {
                client.send(&[&format!("BZPOPMAX {key} 1000")]);
                eventually(|| other.ask(&format!("CLIENT LIST ID {id}")).contains("flags=b "));
                assert!(other.ask(&format!("CLIENT LIST ID {id}")).contains("cmd=bzpopmax"));
                assert_eq!(other.ask(&format!("CLIENT UNBLOCK {id} {mode}")), ":1");
                assert_eq!(other.ask(&format!("CLIENT UNBLOCK {id} {mode}")), ":0");
                assert_eq!(client.reply(), answer);
            }
            other.ask(&format!("ZADD {key} 1 a"));
            assert_eq!(other.ask(&format!("ZCARD {key}")), ":1", "nobody waits any more");
        }
        assert_eq!(other.ask("CLIENT UNBLOCK 99"), ":0");
        assert_eq!(other.ask("CLIENT UNBLOCK -5"), ":0");
        assert_eq!(other.ask("CLIENT UNBLOCK x"), "-ERR value is not an integer or out of range");
        let reason = "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
        assert_eq!(other.ask("CLIENT UNBLOCK x y"), reason);
    }
}

#[test]
fn any_worker_any_shard() {
    let server = server(4, 3, |_| {});
    let mut other = server.client();
    for i in 0..16 {
        let (line, key) = (format!("BLPOP {{k{i}}}a {{k{i}}}b 0"), format!("{{k{i}}}b"));
        let [mut a, mut b] = waiting(&server, [&line, &line]);
        assert_eq!(other.ask(&format!("RPUSH {key} 1 2 3")), ":3");
        assert_eq!(a.reply(), format!("[${key} $1]"));
        assert_eq!(b.reply(), format!("[${key} $2]"));
        assert_eq!(a.ask(&format!("BLPOP {key} 0")), format!("[${key} $3]"));
        assert_eq!(a.ask("PING"), "+PONG");
    }
    assert_eq!(
        other.ask("BLPOP k0 k1 k2 k3 k4 k5 0"),
        "-CROSSSLOT Keys in request don't hash to the same slot"
    );
}

#[test]
fn a_woken_client_waits_for_the_log() {
    for (shards, workers) in [(1, 1), (2, 2)] {
        let server = server(shards, workers, |_| {});
        let mut other = server.client();
        let [mut a, mut b] = waiting(&server, ["BLPOP k 0", "BLPOP k 1000"]);
        server.log.hold();
        other.send(&["RPUSH k 1"]);
        other.assert_quiet();
        a.assert_quiet();
        server.log.release();
        assert_eq!([other.reply(), a.reply()], [":1", "[$k $1]"]);
        b.assert_quiet();
        let positions: u64 = server.handle.status().shards.iter().map(|shard| shard.position).sum();
        assert!(positions <= 1, "push and pop are one record");
    }
}

#[test]
fn the_end_of_a_term_turns_them_away() {
    for (shards, workers) in [(1, 1), (2, 2)] {
        let server = server(shards, workers, |_| {});
        let mut other = server.client();
        let [mut served, mut idle] = waiting(&server, ["BLPOP k 0", "BLPOP {k}idle 0"]);
        server.log.hold();
        other.send(&["RPUSH k 1"]);
        other.assert_quiet();
        for shard in 0..shards {
            server.log.fence(shard, "another", Duration::from_millis(1));
        }
        assert!(other.reply().starts_with("-UNCERTAIN"));
        assert!(served.reply().starts_with("-UNCERTAIN"));
        let why =
            "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
        assert_eq!(idle.reply(), why);
        idle.assert_closed();
        served.assert_closed();
        server.log.release();
        let mut other = server.client();
        eventually(|| server.handle.is_ready());
        eventually(|| other.ask("EXISTS k") == ":0");
        assert_eq!(blocked(&mut other), 0);
    }
}

/// Pushers, poppers, timeouts and CLIENT UNBLOCK all at once: what was pushed was popped once.
#[test]
fn nothing_is_lost_and_nothing_is_served_twice() {
    const EACH: usize = 400;
    for (shards, workers) in [(1, 1), (4, 3)] {
        let server = server(shards, workers, |_| {});
        let stop = Arc::new(AtomicBool::new(false));
        let got = std::thread::scope(|scope| {
            let mut poppers = Vec::new();
            for i in 0..6 {
                let (server, stop) = (&server, Arc::clone(&stop));
                poppers.push(scope.spawn(move || {
                    let mut client = server.client();
                    let timeout = if i % 2 == 0 { "0.001" } else { "0.05" };
                    let mut got = Vec::new();
                    while !stop.load(SeqCst) {
                        let reply = client.ask(&format!("BLPOP {{q}}1 {{q}}2 {timeout}"));
                        if reply != "nil" {
                            got.push(reply.split('$').nth(2).unwrap().trim_end_matches(']').to_owned());
                        }
                    }
                    got
                }));
            }
            let pushers: Vec<_> = (0..2)
                .map(|p| {
                    let server = &server;
                    scope.spawn(move || {
                        let mut client = server.client();
                        for i in 0..EACH {
                            client.ask(&format!("RPUSH {{q}}{} {p}:{i}", i % 2 + 1));
                            if i % 16 == 0 {
                                std::thread::sleep(Duration::from_millis(2));
                            }
                        }
                    })
                })
                .collect();
            let unblocker = scope.spawn({
                let (server, stop) = (&server, Arc::clone(&stop));
                move || {
                    let mut client = server.client();
                    while !stop.load(SeqCst) {
                        for id in 1..12 {
                            client.ask(&format!("CLIENT UNBLOCK {id}"));
                        }
                    }
                }
            });
            for pusher in pushers {
                pusher.join().unwrap();
            }
            let mut client = server.client();
            eventually(|| client.ask("EXISTS {q}1 {q}2") == ":0");
            stop.store(true, SeqCst);
            unblocker.join().unwrap();
            poppers.into_iter().flat_map(|popper| popper.join().unwrap()).collect::<Vec<String>>()
        });
        assert_eq!(got.len(), 2 * EACH);
        assert_eq!(got.iter().collect::<BTreeSet<_>>().len(), 2 * EACH);
    }
}

#[test]
fn they_can_be_killed_and_the_server_stopped() {
    for (shards, workers) in [(1, 1), (4, 2)] {
        let server = server(shards, workers, |_| {});
        let mut other = server.client();
        let mut client = server.client();
        let id = client.ask("CLIENT ID").replace(':', "");
        client.send(&["BLPOP k 0"]);
        eventually(|| blocked(&mut other) == 1);
        assert_eq!(other.ask(&format!("CLIENT KILL ID {id}")), ":1");
        client.assert_closed();
        eventually(|| blocked(&mut other) == 0);
        let [mut client] = waiting(&server, ["BLPOP k 0"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(server.handle.shutdown());
        client.assert_closed();
    }
}
