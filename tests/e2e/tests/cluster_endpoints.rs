//! Proves that clients of Redis Cluster work on several nodes, each with an endpoint a shard: what a node can't answer is
//! answered with MOVED and never passed on, replicas answer reads after READONLY, messages of shards reach all nodes, and
//! redis-py's RedisCluster, redis-rs and `redis-cli -c` lose nothing that was answered while a primary is killed and a shard handed over.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use tests_harness::{Client, Cluster, Fastkeep, Reply, Running, ports_in_a_row, primary_of, wait_for_shards};

const LIMIT: Duration = Duration::from_secs(60);
const SHARDS: u16 = 2;
/// In slot 0, which is shard 0's, and in slot 15495, which is shard 1's.
const ZERO: &str = "{06S}";
const OTHER: &str = "a";

/// Nodes, and the port of each one's first endpoint.
struct Nodes {
    nodes: Vec<Running>,
    first: Vec<u16>,
}

impl Nodes {
    fn start(cluster: &Cluster) -> Self {
        let commands = cluster.nodes();
        let first: Vec<u16> = commands.iter().map(|_| ports_in_a_row(usize::from(SHARDS))).collect();
        let starting: Vec<_> = commands
            .into_iter()
            .zip(&first)
            .map(|(command, port)| {
                let command = command.with(&["--cluster-port", &port.to_string()]);
                std::thread::spawn(move || command.start())
            })
            .collect();
        Self { nodes: starting.into_iter().map(|node| node.join().unwrap()).collect(), first }
    }

    fn primary(&self, shard: u64) -> usize {
        primary_of(&self.nodes.iter().collect::<Vec<_>>(), shard)
    }

    /// Waits until each shard has a primary and two replicas, as all nodes know.
    fn wait_until_whole(&self) {
        for node in &self.nodes {
            wait_for_shards(node, "two replicas of each shard", |rows| {
                let held = |shard: u64, role: &str| {
                    let of = |row: &&serde_json::Value| row["shard"] == shard && row["role"] == role;
                    rows.iter().filter(of).count()
                };
                (0..u64::from(SHARDS)).all(|shard| held(shard, "primary") == 1 && held(shard, "replica") == 2)
            });
        }
    }

    fn endpoint(&self, node: usize, shard: u16) -> Client {
        Client::connect(self.first[node] + shard).unwrap()
    }
}

/// Asks until the answer is as wanted: what nodes know of each other takes a moment.
fn wait_for(client: &mut Client, words: &str, wanted: &str) {
    let begun = Instant::now();
    loop {
        let got = client.text(words);
        if got == wanted {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{words}: {got} instead of {wanted}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn texts(reply: Reply) -> Vec<String> {
    let Reply::Array(items) = reply else { panic!("no array: {reply:?}") };
    items
        .into_iter()
        .map(|item| match item {
            Reply::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
            other => format!("{other:?}"),
        })
        .collect()
}

/// A replica's transactions that only read, watches, and reads of streams that don't wait.
fn read_as_one(client: &mut Client, primary: &mut Client, moved: &str) {
    assert_eq!(client.text("WATCH {06S}k {06S}none"), "OK");
    for (words, answer) in
        [("MULTI", "OK"), ("GET {06S}k", "QUEUED"), ("DBSIZE", "QUEUED"), ("STRLEN {06S}k", "QUEUED")]
    {
        assert_eq!(client.text(words), answer, "{words}");
    }
    let all = vec![Reply::BulkString(b"1".to_vec()), Reply::Integer(1), Reply::Integer(1)];
    assert_eq!(client.run("EXEC"), Reply::Array(all));

    // What the primary changes fails the watch here, once it has come.
    assert_eq!(client.text("WATCH {06S}w"), "OK");
    assert_eq!(primary.text("SET {06S}w 1"), "OK");
    wait_for(client, "GET {06S}w", "1");
    assert_eq!((client.text("MULTI"), client.text("GET {06S}w")), ("OK".to_owned(), "QUEUED".to_owned()));
    assert_eq!(client.run("EXEC"), Reply::Null);
    assert_eq!(primary.text("DEL {06S}w"), "1");
    wait_for(client, "EXISTS {06S}w", "0");

    assert_eq!(primary.text("XADD {06S}x 1-1 f v"), "1-1");
    wait_for(client, "XLEN {06S}x", "1");
    assert!(
        matches!(client.run("XREAD COUNT 1 STREAMS {06S}x 0"), Reply::Array(streams) if streams.len() == 1)
    );
    assert_eq!(client.text("XREAD BLOCK 1 STREAMS {06S}x 1-1"), moved);
    // A message is not told by a replica as one with what it read.
    assert_eq!((client.text("MULTI"), client.text("GET {06S}k")), ("OK".to_owned(), "QUEUED".to_owned()));
    assert_eq!(
        (client.text("PUBLISH c m"), client.text("EXEC")),
        ("QUEUED".to_owned(), format!("-{}", &moved[1..]))
    );
    assert_eq!(primary.text("DEL {06S}x"), "1");
    wait_for(client, "EXISTS {06S}x", "0");
}

/// Every node answers what it serves, and tells who answers the rest.
fn roles(all: &Nodes) {
    let (at, other) = (all.primary(0), all.primary(1));
    let replica = (at + 1) % 3;
    let mut primary = all.endpoint(at, 0);
    assert_eq!(primary.text("SET {06S}k 1"), "OK");
    let moved = format!("-MOVED 0 127.0.0.1:{}", all.first[at]);
    let moved_on = format!("-MOVED 15495 127.0.0.1:{}", all.first[other] + 1);
    wait_for(&mut primary, "GET a", &moved_on);
    // Another shard of the same node is another node of the cluster.
    wait_for(&mut all.endpoint(at, 1), "GET {06S}k", &moved);

    let mut client = all.endpoint(replica, 0);
    wait_for(&mut client, "GET {06S}k", &moved);
    for words in ["SET {06S}k 2", "BLPOP {06S}l 1", "WATCH {06S}k", "EVAL return(1) 1 {06S}k"] {
        assert_eq!(client.text(words), moved, "{words}");
    }
    assert_eq!(client.text("GET a"), moved_on);
    assert_eq!(client.text("FLUSHALL"), "-READONLY You can't write against a read only replica.");
    assert_eq!(client.text("MGET {06S}k a"), "-CROSSSLOT Keys in request don't hash to the same slot");
    assert_eq!(client.text("READONLY"), "OK");
    wait_for(&mut client, "GET {06S}k", "1");
    wait_for(&mut client, "DBSIZE", "1");
    assert_eq!(
        client.call(&["EVAL_RO", "return redis.call('GET',KEYS[1])", "1", "{06S}k"]).unwrap(),
        Reply::BulkString(b"1".to_vec())
    );
    assert_eq!(client.text("SET {06S}k 2"), moved);
    assert_eq!(client.text("MULTI"), "OK");
    assert_eq!(client.text("SET {06S}k 2"), moved);
    assert!(client.text("EXEC").starts_with("-EXECABORT"));
    read_as_one(&mut client, &mut primary, &moved);
    assert_eq!(client.text("READWRITE"), "OK");
    for words in ["WATCH {06S}k", "XREAD STREAMS {06S}x 0"] {
        assert_eq!(client.text(words), moved, "{words}");
    }
    assert_eq!(client.text("MULTI"), "OK");
    assert_eq!(client.text("GET {06S}k"), moved);
    assert!(client.text("EXEC").starts_with("-EXECABORT"));
    assert_eq!(client.text("GET {06S}k"), moved);
    assert_eq!(texts(client.run("ROLE"))[..2], ["slave".to_owned(), "127.0.0.1".to_owned()]);
    assert_eq!(texts(primary.run("ROLE"))[0], "master");
    assert!(client.text("CLUSTER NODES").contains("myself,slave "));

    // The main port is one standalone Redis as ever.
    let mut main = all.nodes[replica].client();
    assert_eq!(main.text("CLUSTER INFO"), "-ERR This instance has cluster support disabled");
    assert!(main.text("INFO server").contains("redis_mode:standalone"));
    assert_eq!(main.text("GET {06S}k"), "1");

    let mut subscriber = all.endpoint(replica, 0);
    assert_eq!(texts(subscriber.run("SSUBSCRIBE {06S}c"))[..2], ["ssubscribe", "{06S}c"]);
    assert_eq!(all.endpoint(at, 1).text("SPUBLISH {06S}c m"), moved);
    let begun = Instant::now();
    // Until the nodes listen to each other.
    subscriber.stream().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let message = loop {
        primary.text("SPUBLISH {06S}c m");
        match subscriber.read() {
            Ok(message) => break texts(message),
            Err(_) => assert!(begun.elapsed() < LIMIT, "no message of the shard comes"),
        }
    };
    assert_eq!(message, ["smessage", "{06S}c", "m"]);
}

/// All nodes tell the same map, and it names every endpoint.
fn the_map(all: &Nodes) {
    let slots = |node: usize| match all.endpoint(node, 1).run("CLUSTER SLOTS") {
        Reply::Array(mut ranges) => {
            for range in &mut ranges {
                let Reply::Array(places) = range else { panic!("{range:?}") };
                places[3..].sort_by_key(|place| format!("{place:?}"));
            }
            ranges
        }
        other => panic!("{other:?}"),
    };
    let begun = Instant::now();
    loop {
        let maps: Vec<_> = (0..3).map(slots).collect();
        let whole = maps[0].iter().all(|range| matches!(range, Reply::Array(parts) if parts.len() == 5));
        if whole && maps[0].len() == usize::from(SHARDS) && maps.windows(2).all(|pair| pair[0] == pair[1]) {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "the nodes disagree: {maps:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // So do operators' views.
    let shown: serde_json::Value =
        serde_json::from_str(&all.nodes[0].ctl(&["nodes", "--json"]).unwrap()).unwrap();
    for first in &all.first {
        let wanted: Vec<String> = (0..SHARDS).map(|shard| format!(":{}", first + shard)).collect();
        let has = |row: &serde_json::Value| {
            let told = row["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
            told.len() == wanted.len()
                && told.iter().zip(&wanted).all(|(told, port)| told.as_str().unwrap().ends_with(port))
        };
        assert!(shown["nodes"].as_array().unwrap().iter().any(has), "{wanted:?}: {shown}");
    }
    let info = all.endpoint(0, 0).text("CLUSTER INFO");
    assert!(info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6"), "{info}");
}

/// Connections and redirections are counted.
fn metrics(all: &Nodes) {
    let mut metrics = String::new();
    for node in &all.nodes {
        let mut page = TcpStream::connect(("127.0.0.1", node.http_port)).unwrap();
        write!(page, "GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
        page.read_to_string(&mut metrics).unwrap();
    }
    for name in ["endpoint_connections", "redirects"] {
        let counted = |line: &str| line.starts_with(&format!("fastkeep_proxy_{name}_total{{shard="));
        assert!(metrics.lines().any(counted), "{name}: {metrics}");
    }
}

/// Whoever waits for a key when its shard is handed over is told where; a transaction that has begun is over.
fn hand_over(all: &Nodes) {
    let from = all.primary(0);
    let mut waiting = all.endpoint(from, 0);
    waiting.queue(&["BLPOP", "{06S}queue", "60"]);
    waiting.flush().unwrap();
    let mut watching = all.endpoint(from, 0);
    for words in ["WATCH {06S}k", "MULTI"] {
        assert_eq!(watching.text(words), "OK");
    }
    assert_eq!(watching.text("SET {06S}k 3"), "QUEUED");
    let mut main = all.nodes[from].client();
    let begun = Instant::now();
    while !main.text("INFO clients").contains("blocked_clients:1") {
        assert!(begun.elapsed() < LIMIT, "BLPOP doesn't wait");
    }
    let said: serde_json::Value =
        serde_json::from_str(&all.nodes[from].ctl(&["failover", "0", "--json"]).unwrap()).unwrap();
    assert_ne!(said["from"], said["to"], "{said}");
    let to = all.primary(0);
    assert_ne!(from, to);
    // Whom it was handed to, or who was quicker.
    let elsewhere: Vec<String> = (0..3)
        .filter(|node| *node != from)
        .map(|node| format!("MOVED 0 127.0.0.1:{}", all.first[node]))
        .collect();
    match waiting.read().unwrap() {
        Reply::Error(text) => assert!(elsewhere.contains(&text), "{text}"),
        other => panic!("{other:?}"),
    }
    let exec = watching.text("EXEC");
    assert!(elsewhere.contains(&exec[1..].to_owned()), "{exec}");
    assert_eq!(watching.text("EXEC"), "-ERR EXEC without MULTI");
    assert_eq!(all.endpoint(to, 0).text("GET {06S}k"), "1");
}

fn redis_cli(all: &Nodes) {
    let node = format!("127.0.0.1:{}", all.first[0]);
    let begun = Instant::now();
    loop {
        // It asks every node, and is content only when all of them tell the same.
        let out = Command::new("redis-cli").args(["--cluster", "check", &node]).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        if out.status.success() {
            assert!(said.contains("All nodes agree") && said.contains("All 16384 slots covered"), "{said}");
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{said}");
        std::thread::sleep(Duration::from_millis(50));
    }
    for (turn, port) in all.first.iter().enumerate() {
        let ask = |words: &[&str]| {
            let port = port.to_string();
            let out = Command::new("redis-cli").args(["-c", "-p", &port]).args(words).output().unwrap();
            String::from_utf8_lossy(&out.stdout).trim().to_owned()
        };
        let value = turn.to_string();
        for key in [ZERO, OTHER] {
            assert_eq!(ask(&["SET", key, &value]), "OK");
            assert_eq!(ask(&["GET", key]), value);
        }
    }
}

/// redis-rs under load: how many increments were answered, and the longest time without an answer.
struct Counting {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(i64, Duration)>,
}

impl Counting {
    fn start(ports: &[u16]) -> Self {
        let nodes: Vec<String> = ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let count = async move {
            let client = redis::cluster::ClusterClient::new(nodes).unwrap();
            let mut connection = client.get_async_connection().await.unwrap();
            let (mut answered, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
            while !told.load(Relaxed) {
                let reply: redis::RedisResult<i64> = connection.incr("{06S}counted", 1).await;
                if reply.is_ok() {
                    answered += 1;
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
            }
            let there: i64 = connection.get("{06S}counted").await.unwrap();
            assert!(there >= answered, "{answered} increments were answered, and {there} are there");
            (answered, longest)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { stop, thread: std::thread::spawn(move || runtime.block_on(count)) }
    }

    fn end(self) {
        self.stop.store(true, Relaxed);
        let (answered, longest) = self.thread.join().unwrap();
        assert!(answered > 0);
        println!(
            "redis-rs: {answered} increments answered and kept, {longest:?} the longest without an answer"
        );
    }
}

/// The program, and what it says.
struct Program {
    child: Child,
    lines: Receiver<String>,
    answered: u64,
    unanswered: u64,
}

impl Program {
    fn start(ports: &[u16]) -> Self {
        let python = std::env::var("FASTKEEP_PYTHON").unwrap_or_else(|_| {
            format!("{}/.cache/fastkeep/venv/bin/python", std::env::var("HOME").unwrap())
        });
        let mut child = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/cluster_load.py"))
            .args(ports.iter().map(u16::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, answered: 0, unanswered: 0 }
    }

    fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the program says nothing"),
        }
    }

    /// Waits until so many more writes are answered.
    fn wait_for_answers(&mut self, more: u64) {
        let (begun, before) = (Instant::now(), self.answered);
        while self.answered < before + more {
            assert!(begun.elapsed() < LIMIT, "only {} writes answered", self.answered - before);
            let line = self.line().expect("the program ended early");
            if let Some((answered, unanswered)) =
                line.strip_prefix("answered ").and_then(|counts| counts.split_once(' '))
            {
                self.answered = answered.parse().unwrap();
                self.unanswered = unanswered.parse().unwrap();
            }
        }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        let mut shown = None;
        while let Some(line) = self.line() {
            shown = line.strip_prefix("shown: ").map(str::to_owned).or(shown);
        }
        assert!(self.child.wait().unwrap().success());
        println!("{}", shown.expect("the program shows that nothing is lost"));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn cluster_clients_find_every_shard_and_lose_nothing_over_a_failover() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), u32::from(SHARDS));
    let _logs = cluster.start_logs();
    let mut all = Nodes::start(&cluster);
    all.wait_until_whole();
    the_map(&all);
    roles(&all);
    metrics(&all);
    hand_over(&all);
    redis_cli(&all);

    let mut load = Program::start(&all.first);
    let counting = Counting::start(&all.first);
    load.wait_for_answers(100);
    all.nodes[all.primary(0)].ctl(&["failover", "0"]).unwrap();
    load.wait_for_answers(100);
    assert_eq!(load.unanswered, 0, "a hand-over reached a client as an error");
    let at = all.primary(0);
    all.nodes[at].kill();
    load.wait_for_answers(200);
    load.end();
    counting.end();
}

#[test]
fn clients_are_told_the_addresses_that_they_can_reach() {
    let folder = tempfile::tempdir().unwrap();
    let first = ports_in_a_row(2);
    let port = first.to_string();
    let start = |name: &str, more: &[&str]| {
        let arguments = [&["--shards", "2", "--cluster-port", &port][..], more].concat();
        Fastkeep::up(&folder.path().join(name), &arguments).start()
    };
    let slots = |port| format!("{:?}", Client::connect(port).unwrap().run("CLUSTER SLOTS"));
    // Who listens on all addresses is told by the one that the client has come to.
    let running = start("all", &["--bind", "0.0.0.0"]);
    assert_eq!(
        Client::connect(first).unwrap().text("GET a"),
        format!("-MOVED 15495 127.0.0.1:{}", first + 1)
    );
    assert!(!slots(first).contains("0.0.0.0"));
    assert!(running.stop().success());
    let more = ["--cluster-announce-host", "cache.example", "--cluster-announce-port", "7000"];
    let _running = start("announced", &more);
    assert_eq!(Client::connect(first).unwrap().text("GET a"), "-MOVED 15495 cache.example:7001");
    let nodes = Client::connect(first).unwrap().text("CLUSTER NODES");
    assert!(nodes.contains(" cache.example:7000@0 myself,master "), "{nodes}");
}
