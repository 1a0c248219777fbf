//! Proves that the shards' endpoints speak Redis Cluster as redis-server does: two nodes of a real cluster and the endpoints of
//! two shards are asked the same, and what they answer must be equal word for word but for ids, ports, epochs and times.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tests_differential::frame::Frame;
use tests_differential::target::{Server, Target};
use tests_harness::{Fastkeep, Oracle, Running, free_ports, ports_in_a_row};

/// Two nodes: their ports, in the order of their slots, and what keeps them running.
struct Cluster<T> {
    ports: [u16; 2],
    _processes: T,
}

/// Two redis-servers with half of the slots each.
fn theirs() -> Cluster<[Oracle; 2]> {
    let buses = free_ports(2);
    let start = |bus: u16| {
        let bus = bus.to_string();
        let arguments =
            ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "20000"];
        Oracle::start(&arguments)
    };
    let nodes = [start(buses[0]), start(buses[1])];
    let ports = [nodes[0].port, nodes[1].port];
    let mut servers = ports.map(|port| Server::connect(port, 2).unwrap());
    for (server, range) in servers.iter_mut().zip(["0 8191", "8192 16383"]) {
        assert_eq!(server.line(&format!("CLUSTER ADDSLOTSRANGE {range}")).unwrap().text(), "OK");
    }
    servers[0].line(&format!("CLUSTER MEET 127.0.0.1 {} {}", ports[1], buses[1])).unwrap();
    let begun = Instant::now();
    for server in &mut servers {
        let whole = |text: &str| {
            ["cluster_state:ok", "cluster_known_nodes:2", "cluster_slots_ok:16384", "cluster_size:2"]
                .iter()
                .all(|part| text.contains(part))
        };
        while !whole(&server.line("CLUSTER INFO").unwrap().text()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "the real cluster doesn't come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Cluster { ports, _processes: nodes }
}

/// One process with two shards.
fn ours() -> Cluster<(Running, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let first = ports_in_a_row(2);
    let arguments = ["--shards", "2", "--engine-workers", "2", "--cluster-port", &first.to_string()];
    let running = Fastkeep::up(&folder.path().join("data"), &arguments).start();
    Cluster { ports: [first, first + 1], _processes: (running, folder) }
}

impl<T> Cluster<T> {
    fn connect(&self, node: usize, protocol: u8) -> Node {
        let mut server = Server::connect(self.ports[node], protocol).unwrap();
        let ids =
            self.ports.map(|port| Server::connect(port, 2).unwrap().line("CLUSTER MYID").unwrap().text());
        assert!(ids.iter().all(|id| id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit())));
        assert_ne!(ids[0], ids[1]);
        server.line("FLUSHALL").unwrap();
        Node { server, ids, ports: self.ports }
    }
}

/// A connection, and what is called differently behind it.
struct Node {
    server: Server,
    ids: [String; 2],
    ports: [u16; 2],
}

impl Node {
    /// A reply with the same names for the same things.
    fn ask(&mut self, line: &str) -> Frame {
        let line = self
            .ids
            .iter()
            .enumerate()
            .fold(line.to_owned(), |line, (n, id)| line.replace(&format!("<id{n}>"), id));
        let reply = self.server.line(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        self.named_alike(reply)
    }

    fn words(&mut self, words: &[&str]) -> Frame {
        self.server.send_words(words);
        let reply = self.server.read().unwrap();
        self.named_alike(reply)
    }

    fn named_alike(&self, frame: Frame) -> Frame {
        let text = |bytes: &[u8]| {
            let mut text = String::from_utf8_lossy(bytes).into_owned();
            for n in 0..2 {
                text = text.replace(&self.ids[n], &format!("<id{n}>"));
                text = text.replace(&format!(":{}", self.ports[n]), &format!(":<port{n}>"));
            }
            text.into_bytes()
        };
        match frame {
            Frame::Line(bytes) => Frame::Line(text(&bytes)),
            Frame::Bulk(bytes) => Frame::Bulk(text(&bytes)),
            Frame::Many(tag, parts) => {
                Frame::Many(tag, parts.into_iter().map(|part| self.named_alike(part)).collect())
            }
        }
    }
}

/// Slots: `{06S}` 0, `{b}` 3300, `{a}` 15495, `{z}` 8157.
const LINES: &str = "\
CLUSTER MYID
CLUSTER KEYSLOT a
CLUSTER KEYSLOT {user}x
CLUSTER KEYSLOT
CLUSTER COUNTKEYSINSLOT 0
SET {06S}a 1
LPUSH {06S}l 1 2
SET {b}x 1
CLUSTER COUNTKEYSINSLOT 0
CLUSTER COUNTKEYSINSLOT 3300
CLUSTER COUNTKEYSINSLOT 15495
CLUSTER COUNTKEYSINSLOT 16384
CLUSTER COUNTKEYSINSLOT -1
CLUSTER COUNTKEYSINSLOT x
CLUSTER GETKEYSINSLOT 3300 10
CLUSTER GETKEYSINSLOT 0 0
CLUSTER GETKEYSINSLOT 15495 5
CLUSTER GETKEYSINSLOT 0 x
CLUSTER GETKEYSINSLOT 0 -1
CLUSTER GETKEYSINSLOT 77777 1
CLUSTER REPLICAS nobody
CLUSTER REPLICAS <id0>
CLUSTER REPLICAS <id1>
CLUSTER SLAVES <id0>
CLUSTER COUNT-FAILURE-REPORTS nobody
CLUSTER COUNT-FAILURE-REPORTS <id1>
CLUSTER SAVECONFIG
CLUSTER NOTHING
CLUSTER
CLUSTER SLOTS x
CLUSTER SLOTS
READONLY
READWRITE
ASKING
GET {06S}a
GET a
SET a 1
MGET {06S}a {06S}b
MGET {06S}a {b}x
MGET a b
MSET {06S}a 1 {b}x 1
DEL {06S}none {b}none
EXISTS a
RENAME {06S}a {b}x
SINTERSTORE {06S}d {06S}a {b}x
SORT {06S}l BY w_*
SORT {06S}l BY nosort
SORT {06S}l GET #
SORT {06S}l GET p_*
SORT {06S}l DESC
SORT_RO {06S}l BY w_*
COPY {06S}a {06S}b DB 1
COPY {06S}a {06S}b DB 0
COPY {06S}a a
MOVE {06S}a 1
MOVE a 1
SWAPDB 0 1
SELECT 0
SELECT 1
SELECT 99
SELECT x
REPLICAOF a 1
OBJECT ENCODING a
OBJECT ENCODING {06S}a
BLPOP {06S}l a 1
BLPOP a 1
BLPOP {06S}l 1
XREAD COUNT 1 STREAMS a 0
XADD {06S}s 1-1 f v
XREAD COUNT 1 STREAMS {06S}s 0
DBSIZE
RANDOMKEY x
WATCH a
WATCH {06S}a {b}x
WATCH {06S}a
MULTI
SET {06S}a 5
DBSIZE
EXEC
MULTI
SET {06S}a 6
SET {b}x 6
EXEC
EXEC
GET {06S}a
MULTI
GET a
GET {06S}a
EXEC
MULTI
SELECT 1
EXEC
MULTI
DISCARD
UNWATCH
EVAL return(1) 0
EVAL return(1) 1 {06S}a
EVAL return(1) 1 a
EVAL return(1) 2 {06S}a {b}x
EVAL return(1) x
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 1 a
FCALL f 1 a
FCALL f 1 {06S}a
PUBLISH a m
SPUBLISH a m
SPUBLISH {06S} m
SSUBSCRIBE a {06S}
SSUBSCRIBE a
PUBSUB SHARDCHANNELS
CONFIG GET cluster-enabled
MEMORY USAGE a
TYPE a
WAIT 0 0
ROLE
FLUSHALL
DBSIZE";

#[test]
fn requests_are_answered_word_for_word() {
    if !Oracle::is_installed() {
        return;
    }
    let (theirs, ours) = (theirs(), ours());
    let (mut their, mut our) = (theirs.connect(0, 2), ours.connect(0, 2));
    for line in LINES.lines() {
        let (wanted, got) = (their.ask(line), our.ask(line));
        // The offset counts other things.
        let alike = line == "ROLE"
            && wanted.parts()[0] == got.parts()[0]
            && wanted.parts().len() == got.parts().len();
        assert!(alike || wanted == got, "{line}: {wanted:?} but {got:?}");
    }
    let scripts: &[(&str, &[&str])] = &[
        ("return redis.call('get','{b}x')", &["0"]),
        ("redis.call('set','{b}x',1) return redis.call('get','{06S}')", &["0"]),
        ("return redis.call('mget','{b}x','{06S}')", &["0"]),
        ("return redis.call('get','a')", &["0"]),
        ("return redis.call('get','{b}x')", &["1", "{06S}"]),
        ("#!lua flags=allow-cross-slot-keys\nreturn redis.call('get','{b}x')", &["1", "{06S}"]),
        ("#!lua\nreturn redis.call('get','{b}x')", &["1", "{06S}"]),
        ("#!lua\nredis.call('set','{b}x',1) return redis.call('get','{06S}')", &["0"]),
        ("#!lua flags=no-cluster\nreturn 1", &["0"]),
        ("return redis.call('select',1)", &["0"]),
        ("return redis.call('select',0)", &["0"]),
        ("return redis.call('swapdb',0,1)", &["0"]),
        ("return redis.call('move','{06S}',1)", &["1", "{06S}"]),
        ("return redis.call('dbsize')", &["0"]),
        ("return redis.call('spublish','a','m')", &["0"]),
        ("return redis.call('flushall')", &["0"]),
        ("return redis.call('keys','*')", &["0"]),
    ];
    for (code, rest) in scripts {
        let words = [&["EVAL", code][..], rest].concat();
        assert_eq!(their.words(&words), our.words(&words), "{code:?}");
    }
}

/// The lines of CLUSTER NODES without what differs: times, epochs, the port of the bus.
fn nodes(text: &str) -> BTreeSet<String> {
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        assert!(words.len() >= 8, "{line}");
        assert!(words[4..7].iter().all(|number| number.parse::<u64>().is_ok()), "{line}");
        words[1] = words[1].split('@').next().unwrap();
        words.drain(4..7);
        words.join(" ")
    };
    let text = text.strip_prefix("txt:").unwrap_or(text);
    text.lines().filter(|text| !text.is_empty()).map(line).collect()
}

fn fields(text: &str) -> BTreeSet<&str> {
    // Sums of messages by kind come and go.
    let kinds = |name: &&str| !name.starts_with("cluster_stats_messages_") || name.matches('_').count() == 3;
    text.lines().filter_map(|line| Some(line.split_once(':')?.0)).filter(kinds).collect()
}

#[test]
fn the_cluster_is_shown_in_the_same_form() {
    if !Oracle::is_installed() {
        return;
    }
    let (theirs, ours) = (theirs(), ours());
    for protocol in [2, 3] {
        let (mut their, mut our) = (theirs.connect(1, protocol), ours.connect(1, protocol));
        let (wanted, got) = (their.ask("CLUSTER NODES").text(), our.ask("CLUSTER NODES").text());
        assert_eq!(nodes(&wanted), nodes(&got));
        assert_eq!(wanted.ends_with('\n'), got.ends_with('\n'));
        assert!(wanted.contains("myself,master - ") && wanted.contains(" 8192-16383"), "{wanted}");

        let slots = |node: &mut Node| node.ask("CLUSTER SLOTS").sorted(false);
        let ports = |frame: &Frame| frame.parts().iter().map(|r| r.parts()[2].parts()[1].integer()).collect();
        let (wanted, got) = (slots(&mut their), slots(&mut our));
        let (their_ports, our_ports): (Vec<_>, Vec<_>) = (ports(&wanted), ports(&got));
        assert_eq!(format!("{wanted:?}"), format!("{got:?}"));
        assert_eq!(their_ports, our_ports);

        let shards = |node: &mut Node| {
            let reply = node.ask("CLUSTER SHARDS").sorted(false);
            let offset = Frame::Bulk(b"replication-offset".to_vec());
            blank_after(&reply, &offset)
        };
        assert_eq!(format!("{:?}", shards(&mut their)), format!("{:?}", shards(&mut our)));

        let (wanted, got) = (their.ask("CLUSTER INFO").text(), our.ask("CLUSTER INFO").text());
        assert_eq!(fields(&wanted), fields(&got));
        for same in ["cluster_state", "cluster_slots_ok", "cluster_known_nodes", "cluster_size"] {
            let line = |text: &str| text.lines().find(|line| line.starts_with(same)).map(str::to_owned);
            assert_eq!(line(&wanted), line(&got));
        }
        assert!(matches!(our.ask("CLUSTER LINKS"), Frame::Many(b'*', links) if links.is_empty()));
        for (section, lines) in [("server", "redis_mode:cluster"), ("cluster", "cluster_enabled:1")] {
            for node in [&mut their, &mut our] {
                assert!(node.ask(&format!("INFO {section}")).text().contains(lines));
            }
        }
        let hello = |node: &mut Node| {
            blank_after(&node.ask(&format!("HELLO {protocol}")), &Frame::Bulk(b"id".to_vec()))
        };
        assert_eq!(hello(&mut their), hello(&mut our));
    }
}

/// The same with nothing in place of what stands behind `name`.
fn blank_after(frame: &Frame, name: &Frame) -> Frame {
    let Frame::Many(tag, parts) = frame else { return frame.clone() };
    let mut behind = false;
    let parts = parts.iter().map(|part| {
        let blank = std::mem::replace(&mut behind, part == name);
        if blank { Frame::Line(b":".to_vec()) } else { blank_after(part, name) }
    });
    Frame::Many(*tag, parts.collect())
}

#[test]
fn what_changes_a_cluster_by_hand_is_refused_with_what_to_use() {
    let ours = ours();
    let mut our = ours.connect(0, 2);
    for line in [
        "CLUSTER MEET 127.0.0.1 1",
        "CLUSTER FORGET <id1>",
        "CLUSTER REPLICATE <id1>",
        "CLUSTER RESET",
        "CLUSTER FAILOVER",
        "CLUSTER BUMPEPOCH",
        "CLUSTER SET-CONFIG-EPOCH 1",
        "CLUSTER ADDSLOTS 1",
        "CLUSTER ADDSLOTSRANGE 1 2",
        "CLUSTER DELSLOTS 1",
        "CLUSTER DELSLOTSRANGE 1 2",
        "CLUSTER FLUSHSLOTS",
        "CLUSTER SETSLOT 1 STABLE",
    ] {
        let text = our.ask(line).text();
        assert!(text.starts_with("ERR ") && text.contains("`fastkeep ctl"), "{line}: {text}");
    }
    assert!(our.ask("CLUSTER HELP").parts().len() > 20);
}
