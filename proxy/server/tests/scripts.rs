//! Scripts and functions on the server: one record a script, answers that wait for what they rest on, units with
//! scripts in them, scripts that run long (others hear BUSY, kills, the lease holds), bounds of memory, libraries that
//! come back with the log. Texts were seen with redis-server 7.0.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use common::{Client, Server, eventually, server};
use proxy_server::Hooks;

const LIBRARY: &str = "#!lua name=lib\n\
    local calls = 0\n\
    redis.register_function('put', function(keys, args) calls = calls + 1 redis.call('SET', keys[1], args[1]) return calls end)\n\
    redis.register_function{function_name='peek', callback=function(keys) return redis.call('GET', keys[1]) end, \
    flags={'no-writes'}}\n\
    redis.register_function('loop', function() while true do end end)";
const BUSY: &str = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

fn eval(client: &mut Client, script: &str) -> String {
    client.call(&["EVAL", script, "0"])
}

fn position(server: &Server) -> u64 {
    server.handle.status().shards[0].position
}

#[test]
fn a_script_is_one_record() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    let script = "for i = 1, 10 do redis.call('SET', 'k' .. i, i) end return redis.call('GET', 'k7')";
    assert_eq!(eval(&mut client, script), "$7");
    eventually(|| position(&server) == 1);
    // What was done before an error is kept.
    let reply = eval(&mut client, "redis.call('SET', 'a', 1) redis.call('LPUSH', 'a', 1)");
    assert!(reply.starts_with("-WRONGTYPE") && reply.ends_with("on @user_script:1."), "{reply}");
    assert_eq!(client.ask("GET a"), "$1");
    eventually(|| position(&server) == 2);
    assert_eq!(eval(&mut client, "return redis.call('GET', 'a')"), "$1");
    eventually(|| position(&server) == 2);
}

#[test]
fn answers_wait_for_what_the_script_wrote_and_read() {
    let server = server(1, 1, |_| {});
    let mut writer = server.client();
    let mut reader = server.client();
    assert_eq!(writer.ask("SET calm 1"), "+OK");
    server.log.hold();
    writer.send_args(&["EVAL", "return redis.call('INCR', 'n')", "0"]);
    writer.assert_quiet();
    assert_eq!(eval(&mut reader, "return redis.call('GET', 'calm')"), "$1");
    reader.send_args(&["EVAL_RO", "return redis.call('GET', 'n')", "0"]);
    reader.assert_quiet();
    server.log.release();
    assert_eq!([writer.reply(), reader.reply()], [":1", "$1"]);
}

#[test]
fn scripts_are_parts_of_transactions_and_serve_those_who_wait() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    let mut waiting = server.client();
    waiting.send(&["BLPOP q 0"]);
    eventually(|| client.ask("INFO clients").contains("blocked_clients:1"));
    assert_eq!(client.ask("MULTI"), "+OK");
    assert_eq!(client.ask("SET a 1"), "+QUEUED");
    let script = "redis.call('RPUSH', 'q', redis.call('GET', 'a')) return redis.call('LLEN', 'q')";
    assert_eq!(eval(&mut client, script), "+QUEUED");
    assert_eq!(client.ask("GET a"), "+QUEUED");
    assert_eq!(client.ask("EXEC"), "[+OK :1 $1]");
    assert_eq!(waiting.reply(), "[$q $1]");
    eventually(|| position(&server) == 1);
    assert_eq!(client.ask("EXISTS q"), ":0");
}

#[test]
fn scripts_are_known_to_all_workers_until_they_are_flushed() {
    let server = server(4, 2, |_| {});
    let mut client = server.client();
    let sha = client.call(&["SCRIPT", "LOAD", "return redis.call('SET', KEYS[1], ARGV[1])"]);
    let sha = sha.strip_prefix('$').unwrap();
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let mut other = server.client();
        assert_eq!(other.call(&["EVALSHA", sha, "1", key, "v"]), "+OK");
        assert_eq!(other.call(&["GET", key]), "$v");
    }
    let reply = client.call(&["EVAL", "return redis.call('GET', ARGV[1])", "1", "a", "b"]);
    let foreign = "-ERR Script attempted to access a non local key in a cluster node";
    assert!(reply == "$v" || reply.starts_with(foreign), "{reply}");
    assert_eq!(
        client.call(&["EVAL", "return 1", "2", "a", "b"]),
        "-CROSSSLOT Keys in request don't hash to the same slot"
    );
    assert_eq!(client.ask("SCRIPT FLUSH"), "+OK");
    assert_eq!(client.call(&["SCRIPT", "EXISTS", sha]), "[:0]");
    assert_eq!(
        client.call(&["EVALSHA", sha, "1", "a", "v"]),
        "-NOSCRIPT No matching script. Please use EVAL."
    );
}

#[test]
fn others_hear_busy_and_may_kill_a_script_that_has_written_nothing() {
    let server = server(2, 2, |_| {});
    let mut client = server.client();
    let mut runners = [server.client(), server.client()];
    let mut early = server.client();
    assert_eq!(early.ask("PING"), "+PONG");
    assert_eq!(client.ask("CONFIG SET busy-reply-threshold 20"), "+OK");
    assert_eq!(client.ask("SCRIPT KILL"), "-NOTBUSY No scripts in execution right now.");
    for runner in &mut runners {
        runner.send_args(&["EVAL", "while true do pcall(function() while true do end end) end", "1", "k"]);
        // Whoever is on the worker, or wants its shard, hears of it; new clients too.
        eventually(|| server.client().ask("GET k") == BUSY);
        assert_eq!(early.ask("GET k"), BUSY);
        assert!(early.ask("FUNCTION KILL").starts_with("-BUSY"));
        assert_eq!(server.client().ask("SCRIPT KILL"), "+OK");
        let reply = runner.reply();
        assert!(reply.starts_with("-ERR Script killed by user with SCRIPT KILL... script: "), "{reply}");
        eventually(|| early.ask("GET k") == "nil");
    }
    assert_eq!(client.ask("SET k 1"), "+OK");
}

/// A change of users reaches every connection, also the one whose script runs and can't look at it now.
#[test]
fn users_change_while_a_script_runs() {
    let server = server(2, 2, |_| {});
    let (mut admin, mut other) = (server.client(), server.client());
    assert_eq!(admin.ask("CONFIG SET busy-reply-threshold 20"), "+OK");
    assert_eq!(admin.ask("ACL SETUSER runner on nopass ~* +@all"), "+OK");
    // One on each worker, of which the other one goes on.
    for _ in 0..2 {
        let mut runner = server.client();
        assert_eq!(runner.ask("AUTH runner any"), "+OK");
        runner.send_args(&["EVAL", "while true do end", "1", "k"]);
        eventually(|| [&mut admin, &mut other].into_iter().any(|client| client.ask("GET k") == BUSY));
        let change = |client: &mut Client| client.ask("ACL SETUSER runner -get") == "+OK";
        assert!(change(&mut admin) || change(&mut other));
        assert_eq!(server.client().ask("SCRIPT KILL"), "+OK");
        assert!(runner.reply().starts_with("-ERR Script killed by user"));
        assert!(runner.ask("GET k").starts_with("-NOPERM"));
        assert_eq!(runner.ask("SET k v"), "+OK");
        eventually(|| admin.ask("ACL SETUSER runner +get") == "+OK");
    }
}

#[test]
fn a_script_that_has_written_runs_to_its_end_and_keeps_its_lease() {
    let server = server(1, 1, |config| {
        config.shard.lease = Duration::from_millis(400);
        config.shard.lease_margin = Duration::from_millis(50);
    });
    let mut client = server.client();
    let mut other = server.client();
    assert_eq!(client.ask("CONFIG SET lua-time-limit 20"), "+OK");
    let script = "redis.call('SET', 'k', 'v') local first = redis.call('TIME') \
        repeat local t = redis.call('TIME') local passed = (t[1] - first[1]) * 1000 + (t[2] - first[2]) / 1000 \
        until passed > 1500 return redis.call('GET', 'k')";
    client.send_args(&["EVAL", script, "0"]);
    eventually(|| other.ask("GET k") == BUSY);
    assert!(other.ask("SCRIPT KILL").starts_with("-UNKILLABLE "));
    assert_eq!(client.reply(), "$v");
    assert_eq!(other.ask("GET k"), "$v");
    assert_eq!(server.handle.status().shards[0].demotions, 0);
}

#[test]
fn memory_of_scripts_is_bounded() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    let script = "local t = {} while true do t[#t + 1] = string.rep('x', 32 * 1024 * 1024) .. #t end";
    let reply = eval(&mut client, script);
    assert!(reply.starts_with("-ERR not enough memory"), "{reply}");
    assert_eq!(eval(&mut client, "return 'fine'"), "$fine");
    let deep = "local s = string.rep('[', 100000) return cjson.decode(s)";
    assert!(eval(&mut client, deep).contains("Found too many nested data structures (1001)"));
}

/// Counts requests to stop.
#[derive(Default)]
struct Stops(AtomicUsize);

#[async_trait]
impl Hooks for Stops {
    async fn snapshot(&self) -> Result<(), String> {
        Err("ERR no snapshotter is configured".into())
    }
    fn last_snapshot_s(&self) -> i64 {
        0
    }
    fn keep_parameters(&self, _text: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn request_shutdown(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn shutdown_without_saving_ends_a_script_that_has_written_and_its_writes() {
    let stops = Arc::new(Stops::default());
    let hooks: Arc<dyn Hooks> = Arc::clone(&stops) as _;
    let server = server(2, 2, |config| config.hooks = Arc::clone(&hooks));
    // The script keeps one worker busy; whoever asks for the end may be on either.
    let mut others: Vec<Client> = (0..4).map(|_| server.client()).collect();
    let mut runner = server.client();
    assert_eq!(others[0].ask("CONFIG SET busy-reply-threshold 20"), "+OK");
    runner.send_args(&["EVAL", "redis.call('SET', KEYS[1], 'v') while true do end", "1", "k"]);
    eventually(|| others[0].ask("GET k") == BUSY);
    for other in &mut others {
        assert_eq!(other.ask("SHUTDOWN"), BUSY);
    }
    assert_eq!(stops.0.load(SeqCst), 0);
    let mut unknown = others.pop().unwrap();
    unknown.send(&["SHUTDOWN NOSAVE"]);
    eventually(|| stops.0.load(SeqCst) == 1);
    // The log has not heard of the script: its shard starts a new term without what it wrote.
    assert!(runner.reply().starts_with('-'));
    eventually(|| others[0].ask("GET k") == "nil");
}

#[test]
fn what_scripts_and_functions_take_is_told() {
    let server = server(2, 2, |_| {});
    let mut client = server.client();
    let field = |client: &mut Client, name: &str| -> u64 {
        let info = client.ask("INFO memory");
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name} in {info}")).trim().parse().unwrap()
    };
    assert_eq!(field(&mut client, "number_of_cached_scripts"), 0);
    assert_eq!(eval(&mut client, "return 1"), ":1");
    assert_eq!(eval(&mut client, "return 2"), ":2");
    assert_eq!(client.call(&["FUNCTION", "LOAD", LIBRARY]), "$lib");
    eventually(|| field(&mut client, "number_of_functions") == 3);
    assert_eq!(field(&mut client, "number_of_libraries"), 1);
    assert_eq!(
        field(&mut client, "number_of_cached_scripts"),
        2,
        "these are counted when they are asked for"
    );
    for name in [
        "used_memory_vm_eval",
        "used_memory_vm_functions",
        "used_memory_functions",
        "used_memory_scripts_eval",
    ] {
        eventually(|| field(&mut client, name) > 0);
    }
    // Both shards have it, and each worker tells once a second.
    eventually(|| field(&mut client, "used_memory_functions") >= 2 * LIBRARY.len() as u64);
    assert_eq!([client.ask("SCRIPT FLUSH"), client.ask("FUNCTION FLUSH")], ["+OK", "+OK"]);
    assert_eq!(field(&mut client, "used_memory_scripts_eval"), 0);
    eventually(|| field(&mut client, "number_of_functions") == 0);
    eventually(|| field(&mut client, "used_memory_functions") == 0);
}

#[test]
fn libraries_are_data_of_every_shard() {
    let server = server(2, 2, |_| {});
    let mut client = server.client();
    assert_eq!(client.call(&["FUNCTION", "LOAD", LIBRARY]), "$lib");
    assert_eq!(client.call(&["FUNCTION", "LOAD", LIBRARY]), "-ERR Library 'lib' already exists");
    for (nth, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
        assert!(client.call(&["FCALL", "put", "1", key, "v"]).starts_with(':'), "call {nth}");
        assert_eq!(client.call(&["FCALL_RO", "PEEK", "1", key]), "$v");
    }
    let dump = client.ask("FUNCTION LIST");
    assert!(dump.contains("$lib") && dump.contains("$put") && dump.contains("+no-writes"), "{dump}");
}

#[test]
fn libraries_come_back_with_the_log() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    assert_eq!(client.call(&["FUNCTION", "LOAD", LIBRARY]), "$lib");
    assert_eq!(client.call(&["FCALL", "put", "1", "a", "v"]), ":1");
    // The shard loses its term, and restores.
    server.log.hold();
    server.log.fence(0, "another", Duration::from_millis(1));
    client.send(&["SET lost 1"]);
    assert!(client.reply().starts_with("-UNCERTAIN"));
    server.log.release();
    let mut client = server.client();
    eventually(|| client.call(&["FCALL_RO", "peek", "1", "a"]) == "$v");
    assert!(client.call(&["FCALL", "put", "1", "z", "w"]).starts_with(':'));
    assert_eq!(client.ask("FUNCTION DELETE lib"), "+OK");
    assert_eq!(client.call(&["FCALL", "put", "1", "z", "w"]), "-ERR Function not found");
    assert_eq!(client.ask("FUNCTION LIST"), "[]");
}

#[test]
fn functions_wait_for_their_library_and_can_be_killed() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    let mut other = server.client();
    server.log.hold();
    client.send_args(&["FUNCTION", "LOAD", LIBRARY]);
    client.assert_quiet();
    other.send_args(&["FCALL_RO", "peek", "1", "k"]);
    other.assert_quiet();
    server.log.release();
    assert_eq!([client.reply(), other.reply()], ["$lib", "nil"]);
    assert_eq!(client.ask("CONFIG SET busy-reply-threshold 20"), "+OK");
    client.send_args(&["FCALL", "loop", "0", "x"]);
    eventually(|| other.ask("PING").starts_with("-BUSY"));
    assert!(other.ask("FUNCTION STATS").contains("[$FCALL $loop $0 $x]"));
    assert!(other.ask("SCRIPT KILL").contains("You can only call FUNCTION KILL"));
    assert_eq!(other.ask("FUNCTION KILL"), "+OK");
    assert!(client.reply().contains("script: loop, on @user_function:"));
}
