//! Proves the rules of ARCHITECTURE.md about what the server's own commands mean while writes wait for the log, whose
//! acknowledgement the test holds back: FLUSHALL, transactions with everything in them, WATCH, scripts and functions.
//! Answered is what is durable or rests on nothing that isn't; nobody reads, or hears of, what can be taken back.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Client, Server, eventually, server};

const LIBRARY: &str = "#!lua name=lib\n\
    redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)\n\
    redis.register_function{function_name='peek', flags={'no-writes'}, \
    callback=function(keys) return redis.call('GET', keys[1]) end}";

/// Keys of different shards, of two.
const KEYS: [&str; 2] = ["{a}", "{b}"];

fn position(server: &Server) -> u64 {
    server.handle.status().shards[0].position
}

fn replies(client: &mut Client, count: usize) -> Vec<String> {
    (0..count).map(|_| client.reply()).collect()
}

/// Everything that has no answer yet gets the same one: nobody knows.
fn assert_uncertain(client: &mut Client) {
    let reply = client.reply();
    assert!(reply.starts_with("-UNCERTAIN"), "{reply}");
    client.assert_closed();
}

#[test]
fn whoever_finds_nothing_after_flushall_waits_for_it() {
    for command in ["FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC"] {
        let server = server(2, 2, |_| {});
        let (mut flusher, mut reader, mut counter) = (server.client(), server.client(), server.client());
        for key in KEYS {
            assert_eq!(flusher.ask(&format!("SET {key} v")), "+OK");
        }
        server.log.hold();
        flusher.send(&[command]);
        flusher.assert_quiet();
        reader.send(&["GET {a}", "EXISTS {b}"]);
        reader.assert_quiet();
        counter.send(&["DBSIZE"]);
        assert_eq!(server.client().ask("PING"), "+PONG");
        // One shard is not enough.
        server.log.release_up_to(0, u64::MAX);
        flusher.assert_quiet();
        server.log.release();
        assert_eq!(flusher.reply(), "+OK", "{command}");
        assert_eq!(replies(&mut reader, 2), ["nil", ":0"]);
        assert_eq!(counter.reply(), ":0");
    }
}

#[test]
fn what_flushall_took_is_back_when_the_log_never_heard_of_it() {
    let server = server(1, 1, |_| {});
    let (mut flusher, mut reader) = (server.client(), server.client());
    assert_eq!(flusher.ask("SET k v"), "+OK");
    server.log.hold();
    flusher.send(&["FLUSHALL"]);
    flusher.assert_quiet();
    reader.send(&["GET k"]);
    reader.assert_quiet();
    server.log.fence(0, "another", Duration::from_millis(1));
    assert_uncertain(&mut flusher);
    assert_uncertain(&mut reader);
    server.log.release();
    let mut client = server.client();
    eventually(|| client.ask("GET k") == "$v");
}

/// MULTI with a bit of everything in it, up to EXEC.
fn send_mix(client: &mut Client) {
    client.send(&["MULTI", "SET {a}1 1", "GET {a}calm"]);
    client.send_args(&["EVAL", "return redis.call('INCR', KEYS[1])", "1", "{a}1"]);
    client.send_args(&["FCALL", "put", "1", "{a}2", "v"]);
    client.send_args(&["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "{a}2"]);
    client.send(&[
        "PUBLISH ch told",
        "SCRIPT EXISTS x",
        "CLIENT SETNAME me",
        "SELECT 1",
        "LPUSH {a}l x",
        "SELECT 0",
        "LRANGE {a}l 0 -1",
        "WAIT 0 0",
        "EXEC",
    ]);
}

const MIX: usize = 14;
const MIX_ANSWER: &str = "[+OK $calm :2 +OK $v :1 [:0] +OK +OK :1 +OK [] :0]";

#[test]
fn a_transaction_with_everything_in_it_is_one_record_and_one_answer() {
    for workers in [1, 2] {
        // On one of the workers the shard lives elsewhere.
        for turn in 0..workers {
            let server = server(2, workers, |_| {});
            let _others: Vec<Client> = (0..turn).map(|_| server.client()).collect();
            let (mut client, mut reader, mut listener) = (server.client(), server.client(), server.client());
            assert_eq!(reader.call(&["FUNCTION", "LOAD", LIBRARY]), "$lib");
            assert_eq!(reader.ask("SET {a}calm calm"), "+OK");
            assert_eq!(listener.ask("SUBSCRIBE ch"), "[$subscribe $ch :1]");
            server.log.hold();
            send_mix(&mut client);
            assert_eq!(replies(&mut client, MIX).len(), MIX);
            client.assert_quiet();
            assert_eq!(reader.ask("GET {a}calm"), "$calm", "nobody waits for what was only read");
            reader.send(&["GET {a}1"]);
            reader.assert_quiet();
            listener.assert_quiet();
            server.log.release();
            assert_eq!(client.reply(), MIX_ANSWER);
            assert_eq!(reader.reply(), "$2");
            assert_eq!(listener.reply(), "[$message $ch $told]");
            // The library in both shards, the key, the unit.
            let records = || server.handle.status().shards.iter().map(|shard| shard.position).sum::<u64>();
            eventually(|| records() == 4);
        }
    }
}

#[test]
fn nobody_hears_of_a_transaction_that_the_log_never_took() {
    let server = server(1, 1, |_| {});
    let (mut client, mut reader, mut listener) = (server.client(), server.client(), server.client());
    assert_eq!(reader.call(&["FUNCTION", "LOAD", LIBRARY]), "$lib");
    assert_eq!(reader.ask("SET {a}calm calm"), "+OK");
    assert_eq!(listener.ask("SUBSCRIBE ch"), "[$subscribe $ch :1]");
    server.log.hold();
    send_mix(&mut client);
    replies(&mut client, MIX);
    client.assert_quiet();
    server.log.fence(0, "another", Duration::from_millis(1));
    assert_uncertain(&mut client);
    server.log.release();
    eventually(|| server.client().ask("GET {a}calm") == "$calm");
    let mut client = server.client();
    assert_eq!(client.ask("EXISTS {a}1 {a}2 {a}l"), ":0");
    assert_eq!(client.ask("PUBLISH ch next"), ":1");
    assert_eq!(listener.reply(), "[$message $ch $next]", "the first message was never sent");
}

#[test]
fn functions_are_known_at_once_and_answered_when_they_are_durable() {
    let server = server(1, 1, |_| {});
    let mut clients: Vec<Client> = (0..6).map(|_| server.client()).collect();
    let [loader, caller, lister, dumper, deleter, late] = clients.as_mut_slice() else { unreachable!() };
    // A library that is not durable: whoever finds it waits.
    server.log.hold();
    loader.send_args(&["FUNCTION", "LOAD", LIBRARY]);
    loader.assert_quiet();
    caller.send_args(&["FCALL_RO", "peek", "1", "k"]);
    lister.send_args(&["FUNCTION", "LIST"]);
    dumper.send_args(&["FUNCTION", "DUMP"]);
    caller.assert_quiet();
    lister.assert_quiet();
    dumper.assert_quiet();
    server.log.release();
    assert_eq!([loader.reply(), caller.reply()], ["$lib", "nil"]);
    assert!(lister.reply().contains("$lib") && dumper.reply().starts_with('$'));
    // One whose removal is not durable: whoever misses it waits.
    server.log.hold();
    deleter.send(&["FUNCTION DELETE lib"]);
    deleter.assert_quiet();
    late.send_args(&["FCALL", "put", "1", "k", "v"]);
    late.assert_quiet();
    caller.send(&["FUNCTION DELETE lib"]);
    caller.assert_quiet();
    lister.send(&["FUNCTION LIST"]);
    lister.assert_quiet();
    server.log.release();
    assert_eq!([deleter.reply(), late.reply()], ["+OK", "-ERR Function not found"]);
    assert_eq!([caller.reply(), lister.reply()], ["-ERR Library not found", "[]"]);
    // Lost with its term: the library is back.
    assert_eq!(loader.call(&["FUNCTION", "LOAD", LIBRARY]), "$lib");
    server.log.hold();
    deleter.send(&["FUNCTION FLUSH"]);
    deleter.assert_quiet();
    server.log.fence(0, "another", Duration::from_millis(1));
    assert_uncertain(deleter);
    server.log.release();
    eventually(|| server.client().call(&["FCALL_RO", "peek", "1", "k"]) == "nil");
}

#[test]
fn errors_of_scripts_wait_for_what_the_script_saw() {
    let server = server(1, 1, |_| {});
    let (mut writer, mut reader, mut calm) = (server.client(), server.client(), server.client());
    server.log.hold();
    writer.send(&["SET k v"]);
    writer.assert_quiet();
    reader.send_args(&["EVAL", "error(redis.call('GET', KEYS[1]))", "1", "k"]);
    reader.assert_quiet();
    assert!(calm.call(&["EVAL", "error('x')", "0"]).starts_with("-ERR user_script:1: x"));
    server.log.release();
    assert_eq!(writer.reply(), "+OK");
    assert!(reader.reply().starts_with("-ERR user_script:1: v"));
}

#[test]
fn exec_never_wins_over_a_write_on_its_way() {
    let server = server(1, 1, |_| {});
    let (mut writer, mut loser, mut winner) = (server.client(), server.client(), server.client());
    assert_eq!(loser.ask("WATCH k"), "+OK");
    server.log.hold();
    writer.send(&["SET k 1"]);
    writer.assert_quiet();
    // Watched from now on: what is on its way was before.
    winner.send(&["WATCH k", "MULTI", "GET k", "EXEC"]);
    assert_eq!(replies(&mut winner, 3), ["+OK", "+OK", "+QUEUED"]);
    loser.send(&["MULTI", "SET k 2", "EXEC"]);
    assert_eq!(replies(&mut loser, 2), ["+OK", "+QUEUED"]);
    loser.assert_quiet();
    winner.assert_quiet();
    server.log.release();
    assert_eq!([writer.reply(), loser.reply(), winner.reply()], ["+OK", "nil", "[$1]"]);
    assert_eq!(position(&server), 1, "the loser has written nothing");
    // A script's write counts like any other.
    assert_eq!(loser.ask("WATCH k"), "+OK");
    server.log.hold();
    writer.send_args(&["EVAL", "return redis.call('APPEND', KEYS[1], 'x')", "1", "k"]);
    writer.assert_quiet();
    loser.send(&["MULTI", "GET k", "EXEC"]);
    replies(&mut loser, 2);
    loser.assert_quiet();
    server.log.release();
    assert_eq!([writer.reply(), loser.reply()], [":2", "nil"]);
}
