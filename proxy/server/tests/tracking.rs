//! Client-side caching: a client that has read a key is told when it changes, once that is durable, behind the answer to
//! its read, wherever key and connection live. That the answers are Redis's is held against redis-server in
//! tests/differential.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::io::Read;
use std::time::Duration;

use common::{Client, Server, eventually, server};

fn caching(server: &Server, options: &str) -> Client {
    let mut client = server.client();
    client.hello3();
    assert_eq!(client.ask(format!("CLIENT TRACKING ON {options}").trim()), "+OK");
    client
}

fn stale(key: &str) -> String {
    format!(">[$invalidate [${key}]]")
}

#[test]
fn a_change_is_told_when_it_is_durable() {
    for (shards, workers) in [(1, 1), (4, 4)] {
        let server = server(shards, workers, |_| {});
        let (mut reader, mut writer) = (caching(&server, ""), server.client());
        for key in ["a", "b", "c", "d", "e"] {
            assert_eq!(writer.ask(&format!("SET {key} 1")), "+OK");
            assert_eq!(reader.ask(&format!("GET {key}")), "$1");
            server.log.hold();
            writer.send(&[&format!("SET {key} 2")]);
            writer.assert_quiet();
            reader.assert_quiet();
            // It reads what is not durable yet: the answer waits, and what is stale is told around it.
            reader.send(&[&format!("GET {key}")]);
            reader.assert_quiet();
            server.log.release();
            assert_eq!(writer.reply(), "+OK");
            let mut got = [reader.reply(), reader.reply()];
            got.sort();
            assert_eq!(got, ["$2".to_owned(), stale(key)]);
            assert_eq!(writer.ask(&format!("DEL {key}")), ":1");
            assert_eq!(reader.reply(), stale(key));
            // Once only.
            assert_eq!(writer.ask(&format!("SET {key} 3")), "+OK");
            assert_eq!(reader.ask("PING"), "+PONG");
        }
        assert_eq!(reader.ask("MGET a b c d"), "[$3 $3 $3 $3]");
        assert_eq!(writer.ask("FLUSHALL"), "+OK");
        eventually(|| reader.reply() == ">[$invalidate nil]");
    }
}

/// Who changes what it keeps is told so no later than with the answer: a client library hands an answer on before it reads
/// further, and whoever gets it must not find the old value in the cache.
#[test]
fn ones_own_change_is_told_with_its_answer() {
    for (shards, workers) in [(1, 1), (4, 4)] {
        let server = server(shards, workers, |_| {});
        // Connections and keys are spread over the workers, so each meets its own and others.
        for _ in 0..4 {
            let mut client = caching(&server, "");
            for n in 0..200 {
                let key = format!("k{}", n % 4);
                client.ask(&format!("GET {key}"));
                client.send(&[&format!("SET {key} {n}")]);
                let mut chunk = [0; 256];
                let got = client.stream.read(&mut chunk).unwrap();
                let got = String::from_utf8_lossy(&chunk[..got]);
                assert!(got.contains("invalidate"), "{got:?}");
                if !got.contains("+OK") {
                    assert_eq!(client.reply(), "+OK");
                }
            }
        }
    }
}

/// The point of it all: a client that keeps what it reads until it is told never keeps what is old.
#[test]
fn nothing_old_is_kept() {
    const KEYS: usize = 8;
    let server = server(4, 4, |_| {});
    let writers: Vec<_> = (0..3).map(|_| server.client()).collect();
    let mut readers: Vec<Client> =
        (0..4).map(|n| caching(&server, if n == 0 { "BCAST" } else { "" })).collect();
    std::thread::scope(|scope| {
        for (seed, mut writer) in writers.into_iter().enumerate() {
            scope.spawn(move || {
                for n in 0..400 {
                    writer.ask(&format!("INCR k{}", (n * 7 + seed) % KEYS));
                }
            });
        }
        let joined: Vec<_> = readers
            .iter_mut()
            .map(|reader| {
                scope.spawn(move || {
                    let mut cache: HashMap<String, String> = HashMap::new();
                    let take = |told: &str, cache: &mut HashMap<String, String>| {
                        let key =
                            told.strip_prefix(">[$invalidate [$").and_then(|told| told.strip_suffix("]]"));
                        cache.remove(key.unwrap());
                    };
                    for n in 0..1500 {
                        let key = format!("k{}", n % KEYS);
                        reader.send(&[&format!("GET {key}")]);
                        loop {
                            let reply = reader.reply();
                            if reply.starts_with('>') {
                                take(&reply, &mut cache);
                            } else {
                                cache.insert(key, reply);
                                break;
                            }
                        }
                    }
                    cache
                })
            })
            .collect();
        let caches: Vec<_> = joined.into_iter().map(|thread| thread.join().unwrap()).collect();
        caches
    })
    .into_iter()
    .zip(readers.iter_mut())
    .for_each(|(mut cache, reader)| {
        // All writers are done: what they have changed is told before what changes from now on.
        let mut fresh = server.client();
        reader.send(&["GET last"]);
        let mut asked = false;
        loop {
            let reply = reader.reply();
            match reply.strip_prefix(">[$invalidate [$").and_then(|told| told.strip_suffix("]]")) {
                Some("last") if asked => break,
                Some(key) => drop(cache.remove(key)),
                None => {
                    asked = true;
                    assert_eq!(fresh.ask("SET last 1"), "+OK");
                }
            }
        }
        for (key, kept) in cache {
            assert_eq!(fresh.ask(&format!("GET {key}")), kept, "{key}");
        }
    });
}

#[test]
fn a_term_that_ends_makes_everything_stale() {
    let server = server(1, 1, |_| {});
    let (mut reader, mut writer) = (caching(&server, ""), server.client());
    assert_eq!(writer.ask("SET k kept"), "+OK");
    assert_eq!(reader.ask("GET k"), "$kept");
    server.log.hold();
    writer.send(&["SET k lost"]);
    writer.assert_quiet();
    server.log.fence(0, "another", Duration::from_millis(1));
    assert!(writer.reply().starts_with("-UNCERTAIN"));
    assert_eq!(reader.reply(), ">[$invalidate nil]");
    server.log.release();
    server.wait_ready();
    assert_eq!(reader.ask("GET k"), "$kept");
}

/// Expiry and eviction, transactions, and what others' units read.
#[test]
fn every_way_of_changing_is_told() {
    let server = server(1, 1, |_| {});
    let (mut reader, mut writer) = (caching(&server, ""), server.client());
    assert_eq!(writer.ask("SET k v PX 40"), "+OK");
    assert_eq!(reader.ask("GET k"), "$v");
    assert_eq!(reader.reply(), stale("k"));
    reader.send(&["MULTI", "GET k", "EXEC"]);
    assert_eq!([reader.reply(), reader.reply(), reader.reply()], ["+OK", "+QUEUED", "[nil]"]);
    writer.send(&["MULTI", "LPUSH k a", "EXEC"]);
    (0..3).for_each(|_| drop(writer.reply()));
    assert_eq!(reader.reply(), stale("k"));
    assert_eq!(reader.ask("LRANGE k 0 -1"), "[$a]");
    assert_eq!(writer.ask("CONFIG SET maxmemory-policy allkeys-lru"), "+OK");
    assert_eq!(writer.ask("CONFIG SET maxmemory 1"), "+OK");
    assert_eq!(reader.reply(), stale("k"));
}

#[test]
fn the_table_is_bounded() {
    let server = server(1, 1, |_| {});
    let mut reader = caching(&server, "");
    assert_eq!(reader.ask("CONFIG SET tracking-table-max-keys 10"), "+OK");
    for n in 0..30 {
        reader.send(&[&format!("GET key{n}")]);
    }
    let got: Vec<String> = (0..50).map(|_| reader.reply()).collect();
    assert_eq!(got.iter().filter(|reply| reply.starts_with(">[$invalidate")).count(), 20);
    let stats = server.client().ask("INFO stats");
    assert!(stats.contains("tracking_total_keys:10\r\ntracking_total_items:10\r\n"), "{stats}");
}

#[test]
fn others_are_told_in_its_place() {
    let server = server(2, 2, |_| {});
    let (mut target, mut writer) = (server.client(), server.client());
    let id = target.ask("CLIENT ID").replace(':', "");
    assert_eq!(target.ask("SUBSCRIBE __redis__:invalidate"), "[$subscribe $__redis__:invalidate :1]");
    let mut reader = server.client();
    assert_eq!(reader.ask(&format!("CLIENT TRACKING ON REDIRECT {id}")), "+OK");
    assert_eq!(reader.ask("CLIENT GETREDIR"), format!(":{id}"));
    assert_eq!(reader.ask("GET k"), "nil");
    assert_eq!(writer.ask("SET k v"), "+OK");
    assert_eq!(target.reply(), "[$message $__redis__:invalidate [$k]]");
    assert!(writer.ask("CLIENT LIST").contains("flags=t "));
    reader.hello3();
    assert_eq!(reader.ask("GET k"), "$v");
    drop(target);
    eventually(|| !writer.ask("CLIENT LIST").contains("flags=P"));
    assert_eq!(writer.ask("SET k w"), "+OK");
    assert_eq!(reader.reply(), format!(">[$tracking-redir-broken :{id}]"));
    assert!(writer.ask("CLIENT LIST").contains("flags=tR "));
    drop(reader);
    eventually(|| writer.ask("INFO clients").contains("tracking_clients:0"));
}

#[test]
fn prefixes_and_loops() {
    let server = server(2, 2, |_| {});
    let mut follower = caching(&server, "BCAST PREFIX user: PREFIX item: NOLOOP");
    let mut writer = server.client();
    assert_eq!(writer.ask("SET other 1"), "+OK");
    assert_eq!(writer.ask("SET user:1 1"), "+OK");
    assert_eq!(follower.reply(), stale("user:1"));
    assert_eq!(follower.ask("SET item:2 1"), "+OK");
    assert_eq!(writer.ask("SET item:3 1"), "+OK");
    assert_eq!(follower.reply(), stale("item:3"));
    let mut picky = caching(&server, "OPTIN");
    picky.send(&["GET a", "CLIENT CACHING YES", "GET b", "GET c"]);
    assert_eq!([picky.reply(), picky.reply(), picky.reply(), picky.reply()], ["nil", "+OK", "nil", "nil"]);
    for key in ["a", "c", "b"] {
        assert_eq!(writer.ask(&format!("SET {key} 1")), "+OK");
    }
    assert_eq!(picky.reply(), stale("b"));
}
