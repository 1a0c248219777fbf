//! Clients that are many, slow, rude or gone; sessions; several shards on several workers.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read;

use common::{eventually, server};

#[test]
fn pipelines_and_chunks() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    let lines: Vec<String> = (0..20_000).map(|i| format!("SET key{i} value{i}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut sender = client.twin();
    std::thread::scope(|scope| {
        scope.spawn(|| sender.send(&lines));
        for _ in 0..20_000 {
            assert_eq!(client.reply(), "+OK");
        }
    });
    assert_eq!(client.ask("DBSIZE"), ":20000");
    // One command, byte by byte.
    for byte in b"*2\r\n$3\r\nGET\r\n$6\r\nkey123\r\n" {
        client.raw(&[*byte]);
    }
    assert_eq!(client.reply(), "$value123");
    client.raw(b"get key7\r\nPING\r\n\r\n  \r\nset \"a b\" 'c'\r\n");
    assert_eq!([client.reply(), client.reply(), client.reply()], ["$value7", "+PONG", "+OK"]);
}

#[test]
fn large_values_and_impossible_lengths() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    let value = "v".repeat(8 << 20);
    assert_eq!(client.ask(&format!("SET big {value}")), "+OK");
    assert_eq!(client.ask("STRLEN big"), format!(":{}", value.len()));
    assert_eq!(client.ask("GET big").len(), value.len() + 1);
    let mut announcer = server.client();
    announcer.raw(b"*2\r\n$3\r\nGET\r\n$1073741824\r\n");
    assert_eq!(announcer.reply(), "-ERR Protocol error: invalid bulk length");
    announcer.assert_closed();
    // Allowed, announced, never sent: takes no memory, disturbs nobody.
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let mut client = server.client();
            client.raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nx");
            client
        })
        .collect();
    assert_eq!(client.ask("PING"), "+PONG");
    drop(waiting);
}

#[test]
fn writes_larger_than_the_log_takes_are_refused() {
    const REFUSED: &str =
        "-ERR the write is larger than the log takes at once (65536 bytes, limits.undurable_bytes)";
    let server = server(2, 2, |config| config.shard.in_flight_bytes = 64 << 10);
    let mut client = server.client();
    let (large, half) = ("v".repeat(70_000), "v".repeat(40_000));
    for write in ["SET k", "APPEND k", "EVAL return(1) 1 k", "LPUSH k"] {
        assert_eq!(client.ask(&format!("{write} {large}")), REFUSED, "{write}");
    }
    assert_eq!(client.ask("EXISTS k"), ":0");
    // Not what only reads or says.
    assert_eq!(client.ask(&format!("ECHO {large}")).len(), large.len() + 1);
    assert_eq!(client.ask(&format!("EXISTS {large}")), ":0");
    assert_eq!(client.ask(&format!("SET k {half}")), "+OK");
    // A transaction is one record.
    assert_eq!(client.ask("MULTI"), "+OK");
    assert_eq!(client.ask(&format!("SET k {half}")), "+QUEUED");
    assert_eq!(client.ask(&format!("SET k {half}")), REFUSED);
    assert_eq!(client.ask("EXEC"), "-EXECABORT Transaction discarded because of previous errors.");
    assert_eq!(client.ask("STRLEN k"), ":40000");
}

#[test]
fn garbage_is_answered_and_closed() {
    let server = server(1, 1, |_| {});
    for (bytes, answer) in [
        (&b"*1\r\nxyz\r\n"[..], "-ERR Protocol error: expected '$', got 'x'"),
        (b"*99999999999\r\n", "-ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n$-7\r\n", "-ERR Protocol error: invalid bulk length"),
        (b"set \"x\r\n", "-ERR Protocol error: unbalanced quotes in request"),
    ] {
        let mut client = server.client();
        client.raw(bytes);
        assert_eq!(client.reply(), answer);
        client.assert_closed();
    }
    let mut client = server.client();
    client.raw(&[0x01, 0x02, 0x00, b'\r', b'\n']);
    assert!(client.reply().starts_with("-ERR unknown command"));
    assert_eq!(client.ask("PING"), "+PONG");
}

#[test]
fn a_client_that_never_reads_is_left_alone_and_then_dropped() {
    let server = server(1, 1, |config| {
        config.output_pause_bytes = 256 * 1024;
        config.output_stall_ms = 500;
    });
    let (mut deaf, mut other) = (server.client(), server.client());
    let value = "v".repeat(100_000);
    assert_eq!(other.ask(&format!("SET big {value}")), "+OK");
    deaf.send(&vec!["GET big"; 2000]);
    assert_eq!(other.ask("PING"), "+PONG");
    eventually(|| {
        let line = other.ask("CLIENT LIST");
        let shown = line.lines().find(|line| line.contains("omem=") && !line.contains("omem=0 "));
        let Some(shown) = shown else { return false };
        let omem: u64 = shown.split("omem=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(omem < 2_000_000, "memory stays bounded: {omem}");
        true
    });
    eventually(|| server.handle.status().connections == 1);
    let mut rest = Vec::new();
    let _ = deaf.stream.read_to_end(&mut rest);
    assert!(rest.len() < 2000 * value.len());
}

/// A pipeline for another worker's shard, whose answers nobody knows the length of before they come.
#[test]
fn a_client_that_never_reads_what_other_workers_answer_takes_little_memory() {
    let server = server(2, 2, |config| {
        config.output_pause_bytes = 256 * 1024;
        config.output_stall_ms = 500;
    });
    let (mut deaf, mut other) = (server.client(), server.client());
    let value = "v".repeat(100_000);
    // One key of each shard.
    assert_eq!([other.ask(&format!("SET a {value}")), other.ask(&format!("SET b {value}"))], ["+OK", "+OK"]);
    deaf.send(&["GET a", "GET b"].repeat(2000));
    let mut most = 0;
    eventually(|| {
        let list = other.ask("CLIENT LIST");
        let shown = list.split(' ').filter_map(|field| field.strip_prefix("omem="));
        most = shown.filter_map(|omem| omem.parse::<u64>().ok()).fold(most, u64::max);
        server.handle.status().connections == 1
    });
    // What is asked at one time, and the replies of this worker in between.
    assert!(most > 0 && most < 200 * 100_000, "of 400 MB in all: {most}");
}

#[test]
fn too_many_clients() {
    let server = server(1, 1, |config| config.max_clients = 2);
    let (mut first, mut second) = (server.client(), server.client());
    assert_eq!([first.ask("PING"), second.ask("PING")], ["+PONG", "+PONG"]);
    let mut third = server.client();
    assert_eq!(third.reply(), "-ERR max number of clients reached");
    third.assert_closed();
    drop(first);
    eventually(|| server.handle.status().connections == 1);
    assert_eq!(server.client().ask("PING"), "+PONG");
}

#[test]
fn sessions() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    assert_eq!(client.ask("PING hi"), "$hi");
    assert_eq!(client.ask("SELECT 16"), "-ERR DB index is out of range");
    assert_eq!(client.ask("SELECT 5"), "+OK");
    assert_eq!(client.ask("SET k v"), "+OK");
    assert_eq!(client.ask("CLIENT SETNAME me"), "+OK");
    assert_eq!(client.ask("CLIENT GETNAME"), "$me");
    assert!(client.ask("CLIENT LIST").contains("name=me"));
    assert_eq!(client.ask("RESET"), "+RESET");
    assert_eq!([client.ask("GET k"), client.ask("CLIENT GETNAME")], ["nil", "nil"]);
    client.send(&["CLIENT REPLY OFF", "PING", "CLIENT REPLY ON", "CLIENT REPLY SKIP", "PING", "ECHO x"]);
    assert_eq!([client.reply(), client.reply()], ["+OK", "$x"]);
}

#[test]
fn hello_switches_the_protocol() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    client.raw(b"HELLO 3\r\n");
    let mut head = [0; 4];
    client.stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"%7\r\n");
}

#[test]
fn info_and_config() {
    let server = server(1, 1, |_| {});
    let mut client = server.client();
    client.ask("SET a 1");
    client.ask("GET a");
    client.ask("LPUSH a 1");
    let info = client.ask("INFO everything");
    for expected in [
        "redis_version:7.0.15",
        "redis_mode:standalone",
        "role:master",
        "cmdstat_get:calls=1",
        "errorstat_WRONGTYPE:count=1",
        "db0:keys=1,expires=0",
        "# Durability",
        "loading:0",
    ] {
        assert!(info.contains(expected), "{expected} in {info}");
    }
    assert_eq!(client.ask("INFO nosuch"), "$");
    assert_eq!(client.ask("CONFIG GET maxclients"), "[$maxclients $10000]");
    assert_eq!(client.ask("CONFIG SET hash-max-listpack-entries 2"), "+OK");
    assert_eq!(
        client.ask("CONFIG GET hash-max-listpack-*"),
        "[$hash-max-listpack-entries $2 $hash-max-listpack-value $64]"
    );
    eventually(|| {
        client.ask("DEL h");
        client.ask("HSET h a 1 b 2 c 3");
        client.ask("OBJECT ENCODING h") == "$hashtable"
    });
    assert_eq!(
        client.ask("CONFIG SET port 1"),
        "-ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config"
    );
    assert_eq!(
        client.ask("CONFIG SET nosuch 1"),
        "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"
    );
}

/// Keys that spread over three shards on two workers, from a connection on each.
#[test]
fn many_shards() {
    let server = server(3, 2, |_| {});
    for mut client in [server.client(), server.client()] {
        assert_eq!(client.ask("FLUSHALL"), "+OK");
        let pairs: Vec<String> = (0..30).map(|i| format!("key{i} {i}")).collect();
        assert_eq!(client.ask(&format!("MSET {}", pairs.join(" "))), "+OK");
        assert_eq!(client.ask("DBSIZE"), ":30");
        assert_eq!(client.ask("MGET key3 nothing key29 key0"), "[$3 nil $29 $0]");
        assert_eq!(client.ask("EXISTS key1 key2 key3 nothing key1"), ":4");
        assert_eq!(client.ask("DEL key1 key2 nothing"), ":2");
        assert_eq!(client.ask("KEYS *").matches("key").count(), 28);
        assert!(client.ask("RANDOMKEY").starts_with("$key"));
        let mut seen = 0;
        let mut cursor = "0".to_owned();
        loop {
            let page = client.ask(&format!("SCAN {cursor} COUNT 5"));
            seen += page.matches("$key").count();
            cursor = page.trim_start_matches("[$").split(' ').next().unwrap().to_owned();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen, 28);
        assert_eq!(client.ask("RENAME key3 key4"), "-CROSSSLOT Keys in request don't hash to the same slot");
        assert_eq!(client.ask("MSET {t}a 1 {t}b 2"), "+OK");
        assert_eq!(client.ask("RENAME {t}a {t}c"), "+OK");
        client.send(&["MULTI", "SET {t}x 1", "INCR {t}x", "PING", "EXEC"]);
        let replies: Vec<String> = (0..5).map(|_| client.reply()).collect();
        assert_eq!(replies[4], "[+OK :2 +PONG]");
        // Replies in order although their shards are on different workers.
        let lines: Vec<String> = (5..25).map(|i| format!("GET key{i}")).collect();
        client.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        for i in 5..25 {
            assert_eq!(client.reply(), format!("${i}"));
        }
    }
}

#[test]
fn transactions_and_watches_on_another_worker() {
    let server = server(3, 2, |_| {});
    let (mut client, mut other) = (server.client(), server.client());
    for tag in ["a", "b", "c", "d", "e", "f"] {
        let key = format!("{{{tag}}}k");
        client.ask(&format!("SET {key} 1"));
        assert_eq!(client.ask(&format!("WATCH {key}")), "+OK");
        client.send(&["MULTI", &format!("INCR {key}"), "EXEC"]);
        assert_eq!([client.reply(), client.reply(), client.reply()], ["+OK", "+QUEUED", "[:2]"]);
        assert_eq!(client.ask(&format!("WATCH {key}")), "+OK");
        assert_eq!(other.ask(&format!("INCR {key}")), ":3");
        client.send(&["MULTI", &format!("INCR {key}"), "EXEC"]);
        assert_eq!([client.reply(), client.reply(), client.reply()], ["+OK", "+QUEUED", "nil"]);
    }
    for tag in ["a", "b", "c", "d"] {
        // Which keys a wrong count means can't be told; the command itself says what is wrong.
        client.send(&["MULTI", &format!("SET {{{tag}}}k 1"), &format!("LMPOP -1 {{{tag}}}l LEFT"), "EXEC"]);
        let replies: Vec<String> = (0..4).map(|_| client.reply()).collect();
        assert_eq!(replies[3], "[+OK -ERR numkeys should be greater than 0]");
    }
    client.send(&["MULTI", "SET a 1", "SET b 1", "SET c 1", "EXEC"]);
    let replies: Vec<String> = (0..5).map(|_| client.reply()).collect();
    assert!(replies.iter().any(|reply| reply.starts_with("-CROSSSLOT")), "{replies:?}");
    assert!(replies[4].starts_with("-EXECABORT"));
}

#[test]
fn forwarded_replies_wait_for_their_log() {
    let server = server(3, 2, |_| {});
    let mut clients = [server.client(), server.client()];
    server.log.hold();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&[&format!("MSET a{i} 1 b{i} 1 c{i} 1"), &format!("GET a{i}"), "PING"]);
        client.assert_quiet();
    }
    server.log.release();
    for client in &mut clients {
        assert_eq!([client.reply(), client.reply(), client.reply()], ["+OK", "$1", "+PONG"]);
    }
}

#[test]
fn idle_connections_are_cheap_and_shutdown_closes_them() {
    let server = server(1, 1, |_| {});
    let mut clients: Vec<_> = (0..800).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("PING"), "+PONG");
    }
    let before = resident_kb();
    for client in &mut clients {
        assert_eq!(client.ask("SET k v"), "+OK");
    }
    let grown = resident_kb().saturating_sub(before);
    assert!(grown < 800 * 16, "{grown} kB for 800 connections that wait");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(server.handle.shutdown());
    clients[0].assert_closed();
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
