//! What CLIENT, MONITOR, CLIENT PAUSE, SLOWLOG, LATENCY, INFO, CONFIG and DEBUG mean over several workers, and while the
//! log has not confirmed: its acknowledgements are held by the test.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::{Client, eventually, server};
use parking_lot::Mutex;
use proxy_server::Hooks;

/// A key of each of two shards.
const KEYS: [&str; 2] = ["{b}", "{a}"];

fn field(line: &str, name: &str) -> String {
    let found = line.split_whitespace().find_map(|part| part.strip_prefix(&format!("{name}=")));
    found.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
}

fn info(client: &mut Client, section: &str, name: &str) -> String {
    let text = client.ask(&format!("INFO {section}"));
    let found = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    found.unwrap_or_else(|| panic!("no {name} in {text}")).trim_end().to_owned()
}

/// The line of CLIENT LIST of one client, seen by another.
fn line_of(looker: &mut Client, id: &str) -> String {
    looker.ask(&format!("CLIENT LIST ID {id}"))
}

#[test]
fn a_pause_holds_on_every_worker_and_ends_by_itself_or_when_asked() {
    let server = server(2, 2, |_| {});
    let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
    let id = clients[0].ask("CLIENT ID").trim_start_matches(':').to_owned();
    let mut admin = server.client();
    assert_eq!(admin.ask("CLIENT PAUSE 100000 WRITE"), "+OK");
    for (at, client) in clients.iter_mut().enumerate() {
        client.send(&[&format!("SET {} {at}", KEYS[at % 2])]);
        client.assert_quiet();
    }
    assert_eq!(admin.ask("GET {a}"), "nil", "reads go on");
    assert_eq!(field(&line_of(&mut admin, &id), "flags"), "b");
    assert_eq!(info(&mut admin, "clients", "blocked_clients"), "4");
    // A transaction waits as soon as one of its commands would write.
    assert_eq!(admin.ask("MULTI"), "+OK");
    admin.send(&["SET {a} x"]);
    admin.assert_quiet();
    let mut other = server.client();
    assert_eq!(other.ask("CLIENT UNPAUSE"), "+OK");
    assert_eq!(admin.reply(), "+QUEUED");
    assert_eq!(admin.ask("DISCARD"), "+OK");
    for client in &mut clients {
        assert_eq!(client.reply(), "+OK");
    }
    // All commands, for a while; a shorter pause later does not shorten it.
    let begun = Instant::now();
    assert_eq!(other.ask("CLIENT PAUSE 300"), "+OK");
    other.send(&["CLIENT PAUSE 1 WRITE"]);
    clients[0].send(&["GET {a}"]);
    assert!(clients[0].reply().starts_with('$'));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(other.reply(), "+OK");
}

#[test]
fn a_paused_server_neither_expires_nor_changes_and_answers_what_was_written_before() {
    let server = server(1, 1, |_| {});
    let (mut writer, mut admin) = (server.client(), server.client());
    assert_eq!(writer.ask("SET mortal 1 PX 400"), "+OK");
    server.log.hold();
    writer.send(&["SET before 1"]);
    writer.assert_quiet();
    assert_eq!(admin.ask("CLIENT PAUSE 100000 WRITE"), "+OK");
    let position = info(&mut admin, "durability", "position");
    writer.send(&["SET after 1"]);
    writer.assert_quiet();
    eventually(|| admin.ask("GET mortal") == "nil");
    server.log.release();
    // What was written before the pause is answered; what came after it waits.
    assert_eq!(writer.reply(), "+OK");
    writer.assert_quiet();
    assert_eq!(info(&mut admin, "durability", "position"), position, "nothing was written, no expiry either");
    assert_eq!(admin.ask("CLIENT UNPAUSE"), "+OK");
    assert_eq!(writer.reply(), "+OK");
    eventually(|| info(&mut admin, "stats", "expired_keys") == "1");
    assert_ne!(info(&mut admin, "durability", "position"), position);
}

#[test]
fn a_client_that_waits_for_a_key_is_served_after_the_pause() {
    let server = server(2, 2, |_| {});
    let (mut waiting, mut pushing, mut admin) = (server.client(), server.client(), server.client());
    waiting.send(&["BLPOP {a} 0"]);
    eventually(|| info(&mut admin, "clients", "blocked_clients") == "1");
    assert_eq!(admin.ask("CLIENT PAUSE 100000 WRITE"), "+OK");
    pushing.send(&["RPUSH {a} x"]);
    waiting.assert_quiet();
    assert_eq!(admin.ask("CLIENT UNPAUSE"), "+OK");
    assert_eq!(waiting.reply(), "[${a} $x]");
    assert_eq!(pushing.reply(), ":1");
}

#[test]
fn monitors_see_the_commands_of_all_workers_and_no_secrets() {
    let server = server(2, 2, |_| {});
    let mut monitor = server.client();
    assert_eq!(monitor.ask("MONITOR"), "+OK");
    let mut clients: Vec<Client> = (0..2).map(|_| server.client()).collect();
    let seen = |monitor: &mut Client| {
        let line = monitor.reply();
        let (head, tail) = line.split_once("] ").unwrap_or_else(|| panic!("{line}"));
        let db = head.split_once('[').unwrap().1.split_once(' ').unwrap().0.to_owned();
        format!("{db} {tail}")
    };
    for client in &mut clients {
        assert_eq!(client.ask("SET {a} 1"), "+OK");
        assert_eq!(seen(&mut monitor), "0 \"SET\" \"{a}\" \"1\"");
        assert!(client.ask("AUTH default hunter2").starts_with(['+', '-']));
        assert_eq!(seen(&mut monitor), "0 \"AUTH\" \"(redacted)\" \"(redacted)\"");
        // Administration and what is not run are not shown.
        assert!(client.ask("CONFIG GET port").starts_with('['));
        assert!(client.ask("NOSUCH x").starts_with("-ERR"));
        assert!(client.ask("GET").starts_with("-ERR"));
        assert_eq!(client.ask("SELECT 3"), "+OK");
        assert_eq!(seen(&mut monitor), "3 \"SELECT\" \"3\"");
        assert_eq!(client.ask("SELECT 0"), "+OK");
        seen(&mut monitor);
    }
    // A transaction is shown when it runs, its commands before EXEC.
    let client = &mut clients[0];
    client.send(&["MULTI", "SET {a} 2", "EXEC"]);
    (0..3).for_each(|_| drop(client.reply()));
    let lines: Vec<String> = (0..3).map(|_| seen(&mut monitor)).collect();
    assert_eq!(lines, ["0 \"MULTI\"", "0 \"SET\" \"{a}\" \"2\"", "0 \"EXEC\""]);
    assert_eq!(field(&clients[1].ask("CLIENT LIST"), "flags"), "O");
    // RESET ends it.
    assert_eq!(monitor.ask("RESET"), "+RESET");
    assert_eq!(clients[0].ask("PING"), "+PONG");
    monitor.assert_quiet();
}

#[test]
fn monitors_do_not_wait_for_the_log_and_hold_nobody_up() {
    let server = server(1, 1, |_| {});
    let (mut monitor, mut deaf, mut writer) = (server.client(), server.client(), server.client());
    assert_eq!(deaf.ask("MONITOR"), "+OK");
    assert_eq!(monitor.ask("MONITOR"), "+OK");
    server.log.hold();
    writer.send(&["SET k v"]);
    assert!(monitor.reply().ends_with("\"SET\" \"k\" \"v\""), "a command is shown when it runs");
    writer.assert_quiet();
    server.log.release();
    assert_eq!(writer.reply(), "+OK");
    assert_eq!(monitor.ask("RESET"), "+RESET");
    // One that never reads is closed at its limit (32 MiB for those who are sent more than they ask for).
    let value = "x".repeat(1 << 20);
    let mut rounds = 0;
    while server.handle.status().connections > 2 {
        assert!(rounds < 200, "a monitor that does not read was never closed");
        assert_eq!(writer.ask(&format!("SET k {value}")), "+OK");
        rounds += 1;
    }
    assert!(rounds > 30);
}

#[test]
fn a_unit_that_is_not_run_changes_nothing_in_the_session() {
    let server = server(2, 2, |_| {});
    for _ in 0..2 {
        // On one of the workers the shard lives elsewhere, wherever the key lives.
        let (mut client, mut other) = (server.client(), server.client());
        for key in KEYS {
            assert_eq!(client.ask(&format!("WATCH {key}")), "+OK");
            assert_eq!(other.ask(&format!("SET {key} changed")), "+OK");
            let get = format!("GET {key}");
            client.send(&[
                "MULTI",
                "SELECT 5",
                "CLIENT SETNAME renamed",
                &get,
                "EXEC",
                &get,
                "CLIENT GETNAME",
            ]);
            let replies: Vec<String> = (0..7).map(|_| client.reply()).collect();
            assert_eq!(replies[4], "nil");
            assert_eq!(replies[5], "$changed", "the database is the same as before");
            assert_eq!(replies[6], "nil", "the name, too");
            // One that is run changes what it says, in order.
            client.send(&[
                "MULTI",
                &get,
                "SELECT 5",
                &get,
                "CLIENT SETNAME renamed",
                "EXEC",
                &get,
                "CLIENT GETNAME",
            ]);
            let replies: Vec<String> = (0..8).map(|_| client.reply()).collect();
            assert_eq!(replies[5], "[$changed +OK nil +OK]");
            assert_eq!(replies[6..], ["nil", "$renamed"]);
            assert_eq!(client.ask("RESET"), "+RESET");
        }
    }
}

#[test]
fn slow_commands_are_kept_with_shortened_arguments() {
    let server = server(2, 2, |_| {});
    let mut client = server.client();
    assert_eq!(client.ask("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3"), "+OK");
    assert_eq!(client.ask("CLIENT SETNAME me"), "+OK");
    (0..4).for_each(|_| drop(client.ask("PING")));
    assert_eq!(client.ask("SLOWLOG LEN"), ":3");
    assert_eq!(client.ask("CONFIG SET slowlog-log-slower-than -1 slowlog-max-len 100"), "+OK");
    assert_eq!(client.ask("SLOWLOG RESET"), "+OK");
    assert_eq!(client.ask("PING"), "+PONG");
    assert_eq!(client.ask("SLOWLOG GET"), "[]");
    // Whichever worker runs it.
    assert_eq!(client.ask("CONFIG SET slowlog-log-slower-than 0"), "+OK");
    let long = "x".repeat(200);
    for key in KEYS {
        assert_eq!(client.ask(&format!("SET {key} {long}")), "+OK");
    }
    client.ask("AUTH default hunter2");
    assert_eq!(client.ask("CONFIG SET slowlog-log-slower-than -1"), "+OK");
    let text = client.ask("SLOWLOG GET -1");
    assert_eq!(text.matches("[$SET").count(), 2, "{text}");
    assert!(!text.contains(&long) && text.contains("... (72 more bytes)] $127.0.0.1:"), "{text}");
    assert!(text.contains("[$AUTH $(redacted) $(redacted)]") && text.contains("$me]"), "{text}");
}

#[test]
fn latency_is_noted_from_a_threshold_on_and_histograms_count_every_call() {
    let server = server(1, 1, |_| {});
    let (mut client, mut other) = (server.client(), server.client());
    assert_eq!(client.ask("LATENCY LATEST"), "[]");
    client.ask("DEBUG SLEEP 0.02");
    assert_eq!(client.ask("LATENCY LATEST"), "[]", "nothing is watched yet");
    assert_eq!(client.ask("CONFIG SET latency-monitor-threshold 10"), "+OK");
    client.ask("DEBUG SLEEP 0.02");
    let latest = client.ask("LATENCY LATEST");
    assert!(latest.starts_with("[[$command :"), "{latest}");
    assert!(client.ask("LATENCY HISTORY command").starts_with("[[:"));
    assert!(client.ask("LATENCY GRAPH command").starts_with("$command - high "));
    // The log is watched as well: a block that took long shows when it is durable.
    server.log.hold();
    other.send(&["SET k v"]);
    other.assert_quiet();
    server.log.release();
    assert_eq!(other.reply(), "+OK");
    eventually(|| client.ask("LATENCY HISTORY log-append") != "[]");
    assert!(client.ask("LATENCY DOCTOR").contains("log-append"));
    assert_eq!(client.ask("CONFIG SET latency-monitor-threshold 1000000"), "+OK");
    assert_eq!(client.ask("LATENCY RESET command nothing"), ":1");
    assert_eq!(client.ask("LATENCY HISTORY command"), "[]");
    (0..5).for_each(|_| drop(client.ask("GET k")));
    let histogram = client.ask("LATENCY HISTOGRAM get");
    assert!(histogram.starts_with("[$get [$calls :5 $histogram_usec ["), "{histogram}");
    assert!(info(&mut client, "latencystats", "latency_percentiles_usec_get").starts_with("p50="));
    assert_eq!(client.ask("CONFIG SET latency-tracking no"), "+OK");
    client.ask("GET k");
    assert_eq!(client.ask("LATENCY HISTOGRAM get"), histogram);
}

#[test]
fn statistics_count_what_ran_what_failed_and_what_was_refused() {
    let server = server(2, 2, |_| {});
    let mut clients = [server.client(), server.client()];
    for client in &mut clients {
        assert_eq!(client.ask("SET {a} text"), "+OK");
        assert!(client.ask("LPUSH {a} x").starts_with("-WRONGTYPE"));
        assert!(client.ask("SET {a}").starts_with("-ERR"));
        client.send(&["MULTI", "SET {a} text", "EXEC"]);
        (0..3).for_each(|_| drop(client.reply()));
    }
    let get = |client: &mut Client, name| info(client, "commandstats", name);
    let [client, _] = &mut clients;
    let set = get(client, "cmdstat_set");
    assert!(set.starts_with("calls=4,usec=") && set.ends_with("rejected_calls=2,failed_calls=0"), "{set}");
    let push = get(client, "cmdstat_lpush");
    assert!(push.starts_with("calls=2,usec=") && push.ends_with("rejected_calls=0,failed_calls=2"), "{push}");
    assert_eq!(info(client, "errorstats", "errorstat_WRONGTYPE"), "count=2");
    assert_eq!(client.ask("CONFIG RESETSTAT"), "+OK");
    assert!(!client.ask("INFO commandstats").contains("cmdstat_set"));
}

#[test]
fn info_tells_what_is_durable_and_who_waits() {
    let server = server(1, 1, |_| {});
    let (mut writer, mut reader, mut admin) = (server.client(), server.client(), server.client());
    assert_eq!(writer.ask("SET k 1"), "+OK");
    server.log.hold();
    writer.send(&["SET k 2"]);
    writer.assert_quiet();
    reader.send(&["GET k"]);
    reader.assert_quiet();
    let durability = |client: &mut Client, name| info(client, "durability", name);
    assert_eq!(durability(&mut admin, "lag_records"), "1");
    assert_eq!(durability(&mut admin, "position"), "2");
    assert_eq!(durability(&mut admin, "durable_position"), "1");
    assert_eq!(durability(&mut admin, "blocked_reads"), "1");
    assert!(durability(&mut admin, "lag_ms").parse::<u64>().unwrap() >= 100);
    assert!(durability(&mut admin, "lease_left_ms").parse::<i64>().unwrap() > 0);
    eventually(|| durability(&mut admin, "held_replies") == "2");
    server.log.release();
    assert_eq!((writer.reply(), reader.reply()), ("+OK".into(), "$2".into()));
    assert_eq!(durability(&mut admin, "lag_records"), "0");
    assert_eq!(durability(&mut admin, "lag_ms"), "0");
}

#[test]
fn waitaof_waits_for_what_was_written_before_it() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    assert_eq!(client.ask("WAIT 0 0"), ":0");
    server.log.hold();
    client.send(&["CLIENT REPLY OFF", "SET k v", "CLIENT REPLY ON", "WAITAOF 1 0 0", "PING"]);
    client.assert_quiet();
    server.log.release();
    assert_eq!(client.reply(), "+OK", "of REPLY ON");
    assert!(client.reply().starts_with("[:1 :"));
    assert_eq!(client.reply(), "+PONG");
    assert!(client.ask("WAITAOF 2 0 0").starts_with("-ERR value is out of range"));
    assert!(client.ask("WAITAOF 0 -1 0").starts_with("-ERR value is out of range"));
    assert!(client.ask("WAITAOF 0 0 -1").starts_with("-ERR timeout is negative"));
    // More zones than there are: the timeout ends it.
    assert!(client.ask("WAITAOF 1 99 30").starts_with("[:1 :"));
}

#[test]
fn client_list_shows_real_figures() {
    let server = server(1, 2, |_| {});
    let (mut client, mut looker) = (server.client(), server.client());
    let id = client.ask("CLIENT ID").trim_start_matches(':').to_owned();
    assert_eq!(client.ask("CLIENT SETINFO LIB-NAME lib"), "+OK");
    assert_eq!(client.ask("CLIENT SETINFO lib-ver 1.2"), "+OK");
    assert_eq!(client.ask("CLIENT SETINFO foo x"), "-ERR Unrecognized option 'foo'");
    client.send(&["WATCH a b", "SELECT 4", "MULTI", "SET a 1", "SET b 2"]);
    (0..5).for_each(|_| drop(client.reply()));
    let line = line_of(&mut looker, &id);
    for (name, value) in [
        ("db", "4"),
        ("multi", "2"),
        ("watch", "2"),
        ("flags", "x"),
        ("cmd", "set"),
        ("user", "default"),
        ("resp", "2"),
        ("lib-name", "lib"),
        ("lib-ver", "1.2"),
        ("oll", "0"),
    ] {
        assert_eq!(field(&line, name), value, "{name} in {line}");
    }
    assert!(field(&line, "multi-mem").parse::<u64>().unwrap() > 0, "{line}");
    assert_eq!(client.ask("DISCARD"), "+OK");
    assert_eq!(field(&client.ask("CLIENT INFO"), "cmd"), "client|info");
    // What waits for the log is counted, and is gone when it was sent.
    server.log.hold();
    client.send(&["SET a 1"]);
    eventually(|| field(&line_of(&mut looker, &id), "omem") == "5");
    server.log.release();
    assert_eq!(client.reply(), "+OK");
    eventually(|| field(&line_of(&mut looker, &id), "omem") == "0");
    assert_eq!(looker.ask("CLIENT LIST TYPE pubsub"), "$");
    assert_eq!(looker.ask(&format!("CLIENT KILL ID {id} TYPE normal")), ":1");
    client.assert_closed();
}

#[test]
fn no_touch_leaves_idle_times_alone() {
    let server = server(2, 2, |_| {});
    let mut client = server.client();
    for key in KEYS {
        assert_eq!(client.ask(&format!("SET {key} v")), "+OK");
    }
    // One of the shards lives on the other worker.
    for key in KEYS {
        eventually(|| client.ask(&format!("OBJECT IDLETIME {key}")) != ":0");
        assert_eq!(client.ask("CLIENT NO-TOUCH ON"), "+OK");
        assert_eq!(client.ask(&format!("GET {key}")), "$v");
        assert_ne!(client.ask(&format!("OBJECT IDLETIME {key}")), ":0");
        assert_eq!(client.ask("CLIENT NO-TOUCH OFF"), "+OK");
        assert_eq!(client.ask(&format!("GET {key}")), "$v");
        assert_eq!(client.ask(&format!("OBJECT IDLETIME {key}")), ":0");
    }
}

/// Keeps what CONFIG REWRITE gives it.
#[derive(Default)]
struct Keeper(Mutex<Vec<u8>>);

#[async_trait]
impl Hooks for Keeper {
    async fn snapshot(&self) -> Result<(), String> {
        Err("ERR no snapshotter is configured".into())
    }
    fn last_snapshot_s(&self) -> i64 {
        0
    }
    fn keep_parameters(&self, text: &[u8]) -> Result<(), String> {
        *self.0.lock() = text.to_vec();
        Ok(())
    }
    fn request_shutdown(&self) {}
}

#[test]
fn parameters_are_set_all_or_none_and_kept_over_a_restart() {
    let keeper = Arc::new(Keeper::default());
    let hooks: Arc<dyn Hooks> = Arc::clone(&keeper) as _;
    let first = server(2, 2, |config| config.hooks = Arc::clone(&hooks));
    let mut client = first.client();
    let refused = client.ask("CONFIG SET maxmemory 1mb timeout x");
    assert!(
        refused.ends_with(
            "(possibly related to argument 'timeout') - argument couldn't be parsed into an integer"
        )
    );
    assert_eq!(client.ask("CONFIG GET maxmemory"), "[$maxmemory $0]");
    assert_eq!(client.ask("CONFIG SET maxmemory 100mb hash-max-ziplist-entries 7 appendonly yes"), "+OK");
    assert_eq!(
        client.ask("CONFIG GET hash-max-*-entries"),
        "[$hash-max-listpack-entries $7 $hash-max-ziplist-entries $7]"
    );
    assert!(client.ask("CONFIG SET appendonly no").contains("the log takes the place of the AOF"));
    assert!(client.ask("CONFIG SET port 1").ends_with("can't set immutable config"));
    assert_eq!(client.ask("CONFIG REWRITE"), "+OK");
    let kept = keeper.0.lock().clone();
    let text = String::from_utf8(kept.clone()).unwrap();
    assert!(text.contains("maxmemory \"104857600\"\n") && !text.contains("appendonly"), "{text}");
    let given = [(b"maxmemory 1gb\nnosuch 1\nport 7\nzset-max-listpack-entries 9\n".to_vec()), kept];
    let second = server(1, 1, |config| {
        config.parameters = given.into_iter().map(|text| ("a file".to_owned(), text)).collect();
    });
    let mut client = second.client();
    assert_eq!(
        client.ask("CONFIG GET maxmemory"),
        "[$maxmemory $104857600]",
        "what was kept outranks what is given"
    );
    assert_eq!(client.ask("CONFIG GET hash-max-listpack-entries"), "[$hash-max-listpack-entries $7]");
    assert_eq!(client.ask("CONFIG GET zset-max-listpack-entries"), "[$zset-max-listpack-entries $9]");
}

#[test]
fn debug_finds_its_shards_and_reloads_them_all() {
    let server = server(2, 2, |_| {});
    let mut client = server.client();
    for key in KEYS {
        assert_eq!(client.ask(&format!("SET {key} 1")), "+OK");
    }
    // No snapshot yet: as in Redis the start counts, which clients take for a time.
    assert!(client.ask("LASTSAVE").strip_prefix(':').unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    let digest = client.ask("DEBUG DIGEST");
    let values = client.ask("DEBUG DIGEST-VALUE {a} none {b}");
    assert_eq!(values.matches('+').count(), 3);
    assert_eq!(values.matches(&"0".repeat(40)).count(), 1, "{values}");
    for key in KEYS {
        assert!(client.ask(&format!("DEBUG OBJECT {key}")).contains("encoding:int"));
    }
    assert_eq!(client.ask("DEBUG SET-ACTIVE-EXPIRE 0"), "+OK");
    assert_eq!(client.ask("DEBUG LOADAOF"), "+OK");
    assert_eq!(client.ask("DEBUG DIGEST"), digest, "what is in memory is what the log has");
    assert_eq!(server.handle.status().shards.iter().map(|shard| shard.demotions).sum::<u64>(), 2);
    assert!(client.ask("DEBUG RELOAD MERGE").starts_with("-ERR"));
    assert!(client.ask("DEBUG RELOAD").starts_with("-ERR no snapshotter"));
    assert_eq!(client.ask("DEBUG RELOAD NOSAVE"), "+OK");
    assert_eq!(client.ask("GET {a}"), "$1");
}
