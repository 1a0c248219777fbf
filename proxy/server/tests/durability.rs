//! What a client sees while the log has not confirmed: the acknowledgements are held by the test.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{eventually, server};

#[test]
fn replies_wait_for_exactly_what_they_rest_on() {
    let server = server(1, 1, |_| {});
    let (mut writer, mut reader, mut other) = (server.client(), server.client(), server.client());
    assert_eq!(writer.ask("SET quiet 1"), "+OK");
    assert_eq!(writer.ask("SET gone 1"), "+OK");
    server.log.hold();
    writer.send(&["SET k v"]);
    writer.assert_quiet();
    reader.send(&["GET k"]);
    reader.assert_quiet();
    assert_eq!(other.ask("GET quiet"), "$1", "what is durable is answered at once");
    // A deletion in flight: nobody may see that the key is gone.
    writer.send(&["DEL gone"]);
    other.send(&["GET gone"]);
    other.assert_quiet();
    // Order within a connection, also for replies that rest on nothing.
    reader.send(&["PING", "GET quiet"]);
    reader.assert_quiet();
    server.log.release();
    assert_eq!(writer.reply(), "+OK");
    assert_eq!(writer.reply(), ":1");
    assert_eq!([reader.reply(), reader.reply(), reader.reply()], ["$v", "+PONG", "$1"]);
    assert_eq!(other.reply(), "nil");
}

#[test]
fn positions_are_released_one_by_one() {
    let server = server(1, 1, |_| {});
    let (mut first, mut second) = (server.client(), server.client());
    server.log.hold();
    first.send(&["SET a 1"]);
    first.assert_quiet();
    second.send(&["SET b 1"]);
    second.assert_quiet();
    server.log.release_up_to(0, 1);
    assert_eq!(first.reply(), "+OK");
    second.assert_quiet();
    server.log.release();
    assert_eq!(second.reply(), "+OK");
}

#[test]
fn replies_before_the_first_write_of_a_pipeline_leave_at_once() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    server.log.hold();
    client.send(&["PING", "GET nothing", "SET a 1", "PING"]);
    assert_eq!([client.reply(), client.reply()], ["+PONG", "nil"]);
    client.assert_quiet();
    server.log.release();
    assert_eq!([client.reply(), client.reply()], ["+OK", "+PONG"]);
}

#[test]
fn a_transaction_is_one_record() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    client.send(&["MULTI", "SET a 1", "INCR a", "SELECT 3", "SET b 2", "EXEC"]);
    let replies: Vec<String> = (0..6).map(|_| client.reply()).collect();
    assert_eq!(replies.last().unwrap(), "[+OK :2 +OK +OK]");
    assert_eq!(client.ask("GET b"), "$2");
    let shard = server.handle.status().shards.remove(0);
    eventually(|| server.handle.status().shards[0].position == 1);
    assert_eq!(shard.epoch, 1);
}

#[test]
fn watch_sees_changes_of_others() {
    let server = server(1, 1, |_| {});
    let (mut client, mut other) = (server.client(), server.client());
    client.ask("SET k 1");
    assert_eq!(client.ask("WATCH k"), "+OK");
    assert_eq!(other.ask("SET k 2"), "+OK");
    client.send(&["MULTI", "SET k 3", "EXEC"]);
    assert_eq!([client.reply(), client.reply(), client.reply()], ["+OK", "+QUEUED", "nil"]);
    assert_eq!(client.ask("GET k"), "$2");
    assert_eq!(client.ask("WATCH k"), "+OK");
    client.send(&["MULTI", "SET k 3", "EXEC"]);
    assert_eq!([client.reply(), client.reply(), client.reply()], ["+OK", "+QUEUED", "[+OK]"]);
    client.send(&["WATCH k", "MULTI", "NOSUCH", "EXEC"]);
    let replies: Vec<String> = (0..4).map(|_| client.reply()).collect();
    assert_eq!(replies[3], "-EXECABORT Transaction discarded because of previous errors.");
    client.send(&["MULTI", "SET k 4", "EXEC now", "EXEC"]);
    let replies: Vec<String> = (0..4).map(|_| client.reply()).collect();
    assert_eq!(
        replies[2],
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
    );
    assert_eq!(replies[3], "-ERR EXEC without MULTI");
}

#[test]
fn a_fenced_primary_says_uncertain_and_closes() {
    let server = server(1, 1, |_| {});
    let (mut writer, mut reader, mut idle) = (server.client(), server.client(), server.client());
    assert_eq!(writer.ask("SET k old"), "+OK");
    server.log.hold();
    writer.send(&["SET k new", "PING"]);
    writer.assert_quiet();
    reader.send(&["GET k"]);
    reader.assert_quiet();
    server.log.fence(0, "another", Duration::from_millis(1));
    assert!(writer.reply().starts_with("-UNCERTAIN"));
    writer.assert_closed();
    assert!(reader.reply().starts_with("-UNCERTAIN"));
    reader.assert_closed();
    server.log.release();
    // It restores what the log has, claims the shard again, and the lost write is lost.
    eventually(|| idle.ask("GET k") == "$old");
    assert_eq!(idle.ask("SET k newer"), "+OK");
    eventually(|| server.handle.status().shards[0].epoch == 3);
}

#[test]
fn a_lost_lease_ends_the_term() {
    let server = server(1, 1, |config| {
        config.shard.lease = Duration::from_millis(800);
        config.shard.lease_margin = Duration::from_millis(100);
    });
    let mut client = server.client();
    eventually(|| client.ask("SET k v") == "+OK");
    server.log.set_unavailable(Some("cut off"));
    eventually(|| client.ask("GET k").starts_with("-LOADING"));
    server.log.set_unavailable(None);
    eventually(|| client.ask("GET k") == "$v");
}

#[test]
fn writes_wait_for_room_and_reads_go_on() {
    let server = server(1, 1, |config| config.shard.in_flight_bytes = 64 * 1024);
    let (mut writer, mut reader) = (server.client(), server.client());
    assert_eq!(reader.ask("SET r 1"), "+OK");
    server.log.hold();
    let value = "x".repeat(10_000);
    for i in 0..50 {
        writer.send(&[&format!("SET key{i} {value}")]);
    }
    writer.assert_quiet();
    assert_eq!(reader.ask("GET r"), "$1");
    assert_eq!(reader.ask("EXISTS key40"), ":0", "the limit holds writes back");
    server.log.release();
    for _ in 0..50 {
        assert_eq!(writer.reply(), "+OK");
    }
    assert_eq!(reader.ask("EXISTS key40"), ":1");
}

#[test]
fn keys_expire_without_being_touched() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    assert_eq!(client.ask("SET k v PX 50"), "+OK");
    assert_eq!(client.ask("SET stays v"), "+OK");
    eventually(|| client.ask("DBSIZE") == ":1");
    eventually(|| server.handle.status().shards[0].position == 3);
}

/// The proof of decide and apply: the log, replayed into nothing, gives what the primary holds.
#[test]
fn the_log_replays_to_the_same_data() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    for round in 0..200 {
        let (a, b) = (round % 7, round % 13);
        client.send(&[
            &format!("SET s{a} {round}"),
            &format!("APPEND s{b} x"),
            &format!("LPUSH l{a} {round} {b}"),
            &format!("LPOP l{b}"),
            &format!("HSET h{a} f{b} {round}"),
            &format!("SADD set{a} {b} m{round}"),
            &format!("SPOP set{b}"),
            &format!("ZADD z{a} {round}.5 m{b}"),
            &format!("EXPIRE s{b} 1000"),
            &format!("DEL h{b}"),
        ]);
        (0..10).for_each(|_| drop(client.reply()));
    }
    let digest = client.ask("DEBUG DIGEST");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log = server.log.clone();
    let replayed = runtime.block_on(async move {
        let empty = proxy_shard::Replayer::new(proxy_store::Limits::default());
        proxy_shard::replay(&log, 0, empty).await.unwrap()
    });
    replayed.ks.check().unwrap();
    // A second node that restores from the same log says the same.
    server.log.hold();
    server.log.fence(0, "another", Duration::from_millis(1));
    client.send(&["SET lost 1"]);
    assert!(client.reply().starts_with("-UNCERTAIN"));
    server.log.release();
    let mut client = server.client();
    eventually(|| client.ask("DEBUG DIGEST") == digest);
    let keys: u64 = (0..16).map(|db| replayed.ks.len(db)).sum();
    assert_eq!(client.ask("DBSIZE"), format!(":{keys}"));
}
