//! Events of keys: told when what happened is durable, never when it is lost, from all shards and workers. That they are
//! Redis's, name by name, is held against redis-server in tests/differential.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Client, Server, server};

fn listener(server: &Server, classes: &str) -> Client {
    assert_eq!(server.client().ask(&format!("CONFIG SET notify-keyspace-events {classes}")), "+OK");
    let mut listener = server.client();
    assert_eq!(listener.ask("PSUBSCRIBE __key*__:*"), "[$psubscribe $__key*__:* :1]");
    listener
}

fn event(channel: &str, payload: &str) -> String {
    format!("[$pmessage $__key*__:* $__{channel} ${payload}]")
}

#[test]
fn events_wait_for_the_log() {
    for (shards, workers) in [(1, 1), (4, 4)] {
        let server = server(shards, workers, |_| {});
        let (mut client, mut listener) = (server.client(), listener(&server, "KEA"));
        server.log.hold();
        client.send(&["SET k v EX 1000"]);
        client.assert_quiet();
        listener.assert_quiet();
        server.log.release();
        assert_eq!(client.reply(), "+OK");
        assert_eq!(listener.reply(), event("keyspace@0__:k", "set"));
        assert_eq!(listener.reply(), event("keyevent@0__:set", "k"));
        assert_eq!(listener.reply(), event("keyspace@0__:k", "expire"));
        assert_eq!(listener.reply(), event("keyevent@0__:expire", "k"));
        // All of a unit together, in its order, with what it publishes.
        server.log.hold();
        client.send(&["MULTI", "RPUSH {k}l a", "PUBLISH __key__:x y", "RPOP {k}l", "EXEC"]);
        (0..4).for_each(|_| drop(client.reply()));
        listener.assert_quiet();
        server.log.release();
        assert_eq!(client.reply(), "[:1 :1 $a]");
        let told: Vec<String> = (0..7).map(|_| listener.reply()).collect();
        assert_eq!(told[0], event("keyspace@0__:{k}l", "rpush"));
        assert_eq!(told[2], event("key__:x", "y"));
        assert_eq!(told[3], event("keyspace@0__:{k}l", "rpop"));
        assert_eq!(told[6], event("keyevent@0__:del", "{k}l"));
    }
}

#[test]
fn what_is_lost_is_never_told() {
    let server = server(1, 1, |_| {});
    let (mut client, mut listener) = (server.client(), listener(&server, "KA"));
    server.log.hold();
    client.send(&["SET k lost"]);
    client.assert_quiet();
    server.log.fence(0, "another", Duration::from_millis(1));
    assert!(client.reply().starts_with("-UNCERTAIN"));
    server.log.release();
    server.wait_ready();
    assert_eq!(server.client().ask("SET kept v"), "+OK");
    assert_eq!(listener.reply(), event("keyspace@0__:kept", "set"));
}

/// Nobody asks for the key: its time passes, memory is full, somebody waited for it.
#[test]
fn events_come_by_themselves() {
    let server = server(1, 1, |_| {});
    let (mut client, mut listener) = (server.client(), listener(&server, "Kxel"));
    assert_eq!(client.ask("SET k v PX 30"), "+OK");
    assert_eq!(listener.reply(), event("keyspace@0__:k", "expired"));
    let mut waiter = server.client();
    waiter.send(&["BLPOP list 0"]);
    common::eventually(|| client.ask("INFO clients").contains("blocked_clients:1"));
    assert_eq!(client.ask("RPUSH list a"), ":1");
    assert_eq!(waiter.reply(), "[$list $a]");
    assert_eq!(listener.reply(), event("keyspace@0__:list", "rpush"));
    assert_eq!(listener.reply(), event("keyspace@0__:list", "lpop"));
    assert_eq!(client.ask("SET only v"), "+OK");
    assert_eq!(client.ask("CONFIG SET maxmemory-policy allkeys-lru"), "+OK");
    assert_eq!(client.ask("CONFIG SET maxmemory 1"), "+OK");
    assert_eq!(listener.reply(), event("keyspace@0__:only", "evicted"));
    // Off again: nothing more.
    assert_eq!(client.ask("CONFIG SET maxmemory 0"), "+OK");
    client.raw(b"CONFIG SET notify-keyspace-events \"\"\r\n");
    assert_eq!(client.reply(), "+OK");
    assert_eq!(client.ask("RPUSH list a"), ":1");
    listener.assert_quiet();
}
