//! Proves that messages cross nodes: whatever is published on any node reaches every subscriber on every node once and in
//! order, by channel, pattern and shard channel, alone, in a transaction, in a script, and as events of keys; also when
//! nodes are reached under TLS only, and after one was killed. On the way: commands passed on by nodes that ask for passwords.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tests_harness::{Authority, Client, Cluster, Fastkeep, Identity, Reply, Running, ZONES, free_ports};

const PASSWORD: &str = "of-this-test";
/// Messages of each node.
const COUNT: usize = 200;

fn bulk(reply: &Reply) -> String {
    match reply {
        Reply::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// A client that may do everything.
fn client(node: &Running) -> Client {
    let mut client = node.client();
    assert_eq!(client.text(&format!("AUTH {PASSWORD}")), "OK");
    client
}

/// A connection that only listens: by channel, by pattern, by shard channel.
struct Listener(Client);

impl Listener {
    fn new(node: &Running) -> Self {
        let mut own = client(node);
        for subscribe in ["SUBSCRIBE news", "PSUBSCRIBE *", "SSUBSCRIBE orders"] {
            own.run(subscribe);
        }
        Self(own)
    }

    /// How it was told, on what channel, and what.
    fn next(&mut self) -> (String, String, String) {
        let Reply::Array(parts) = self.0.read().unwrap() else { panic!("no message") };
        let words: Vec<String> = parts.iter().map(bulk).collect();
        let channel = words[words.len() - 2].clone();
        (words[0].clone(), channel, words[words.len() - 1].clone())
    }

    /// Reads until `text` is heard on `channel` by pattern.
    fn until(&mut self, channel: &str, text: &str) -> Vec<(String, String, String)> {
        let mut heard = Vec::new();
        loop {
            let message = self.next();
            if message.0 == "pmessage" && message.1 == channel && message.2 == text {
                return heard;
            }
            heard.push(message);
        }
    }
}

/// Waits until what is published on each node is heard on all: the links between them are made after a node's start.
fn wait_for_links(nodes: &[Running], listeners: &mut [Listener]) {
    for (at, node) in nodes.iter().enumerate() {
        let mut publisher = client(node);
        for listener in listeners.iter_mut() {
            let wanted = format!("from {at}");
            let begun = Instant::now();
            listener.0.stream().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            loop {
                assert!(begun.elapsed() < Duration::from_secs(30), "nothing comes from node {at}");
                publisher.call(&["PUBLISH", "warm", &wanted]).unwrap();
                match listener.0.read() {
                    Ok(Reply::Array(parts)) if parts.last().map(bulk).as_ref() == Some(&wanted) => break,
                    _ => {}
                }
            }
            listener.0.stream().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        }
    }
    // Whatever else of that is still on its way has come before this.
    for (at, node) in nodes.iter().enumerate() {
        let end = format!("end {at}");
        client(node).call(&["PUBLISH", "warm", &end]).unwrap();
        for listener in listeners.iter_mut() {
            listener.until("warm", &end);
        }
    }
}

/// Everybody publishes at once; everybody hears all of it, in each publisher's order.
fn publish_everywhere(nodes: &[Running], listeners: &mut [Listener]) {
    std::thread::scope(|scope| {
        for (at, node) in nodes.iter().enumerate() {
            scope.spawn(move || {
                let mut own = client(node);
                for n in 0..COUNT {
                    own.queue(&["PUBLISH", "news", &format!("{at} {n}")]);
                    own.queue(&["SPUBLISH", "orders", &format!("{at} {n}")]);
                }
                own.queue(&["PUBLISH", "end", "of it"]);
                own.flush().unwrap();
                // The node's own listener: by channel and by pattern.
                for _ in 0..COUNT {
                    assert_eq!(own.read().unwrap(), Reply::Integer(2));
                    assert_eq!(own.read().unwrap(), Reply::Integer(1));
                }
                own.read().unwrap();
            });
        }
    });
    for listener in listeners {
        let mut heard: HashMap<(String, String), Vec<String>> = HashMap::new();
        let mut ends = 0;
        while ends < nodes.len() {
            let (how, channel, text) = listener.next();
            if channel == "end" {
                ends += 1;
            } else {
                let publisher = text.split(' ').next().unwrap().to_owned();
                heard.entry((how, publisher)).or_default().push(text);
            }
        }
        for (at, _) in nodes.iter().enumerate() {
            let all: Vec<String> = (0..COUNT).map(|n| format!("{at} {n}")).collect();
            for how in ["message", "pmessage", "smessage"] {
                assert_eq!(heard[&(how.to_owned(), at.to_string())], all, "{how} of node {at}");
            }
        }
        assert_eq!(heard.len(), 3 * nodes.len());
    }
}

/// What a unit publishes, wherever its shard is served, is heard once; so is the event of a key.
fn units_and_events(nodes: &[Running], listeners: &mut [Listener]) {
    for node in nodes {
        assert_eq!(client(node).text("CONFIG SET notify-keyspace-events EA"), "OK");
    }
    for (at, node) in nodes.iter().enumerate() {
        let mut own = client(node);
        for key in 0..8 {
            let name = format!("key:{at}:{key}");
            assert_eq!(own.text("MULTI"), "OK");
            own.run(&format!("SET {name} 1"));
            own.run(&format!("PUBLISH unit {name}"));
            assert!(matches!(own.run("EXEC"), Reply::Array(_)));
            let script = "redis.call('PUBLISH', 'script', KEYS[1]) return redis.call('INCR', KEYS[1])";
            assert_eq!(own.call(&["EVAL", script, "1", &name]).unwrap(), Reply::Integer(2));
            own.run(&format!("PUBLISH done {name}"));
            for (who, listener) in listeners.iter_mut().enumerate() {
                let heard = |message: &(String, String, String)| format!("{} {}", message.1, message.2);
                let mut told: Vec<String> = listener.until("done", &name).iter().map(heard).collect();
                // Those of the node that ran the unit and of the one that passed it on come over different links.
                while told.len() < 4 {
                    told.push(heard(&listener.next()));
                }
                told.sort();
                let wanted = [
                    format!("__keyevent@0__:incrby {name}"),
                    format!("__keyevent@0__:set {name}"),
                    format!("script {name}"),
                    format!("unit {name}"),
                ];
                assert_eq!(told, wanted, "listener {who}");
            }
        }
    }
}

/// A script that one node knows runs wherever its keys are; a client that caches keeps nothing that it wouldn't be told of.
fn scripts_by_hash_and_caches(nodes: &[Running]) {
    for (at, node) in nodes.iter().enumerate() {
        let mut own = client(node);
        let code = format!("return {{redis.call('INCR', KEYS[1]), ARGV[1], {at}}}");
        let hash = bulk(&own.call(&["SCRIPT", "LOAD", &code]).unwrap());
        for key in 0..8 {
            let ran = own.call(&["EVALSHA", &hash, "1", &format!("scripted:{at}:{key}"), "x"]).unwrap();
            let wanted = vec![Reply::Integer(1), Reply::BulkString(b"x".to_vec()), Reply::Integer(at as i64)];
            assert_eq!(ran, Reply::Array(wanted));
        }
        let unknown = own.call(&["EVALSHA", &"0".repeat(40), "1", "key"]).unwrap();
        assert!(matches!(unknown, Reply::Error(text) if text.starts_with("NOSCRIPT")));

        // RESP2: told by another connection of the node.
        let mut told = client(node);
        let id = told.text("CLIENT ID");
        told.run("SUBSCRIBE __redis__:invalidate");
        own.text(&format!("CLIENT TRACKING ON REDIRECT {id}"));
        let mut stale = Vec::new();
        for key in 0..8 {
            let name = format!("cached:{at}:{key}");
            assert_eq!(own.text(&format!("GET {name}")), "(nil)");
            // Changed through another node: whoever has the key is told of it, before or after.
            assert_eq!(client(&nodes[(at + 1) % nodes.len()]).text(&format!("SET {name} new")), "OK");
            stale.push(name);
        }
        let mut missing = stale.clone();
        while !missing.is_empty() {
            let Reply::Array(parts) = told.read().unwrap() else { panic!("no message") };
            let Some(Reply::Array(keys)) = parts.last() else { panic!("{parts:?}") };
            let keys: Vec<String> = keys.iter().map(bulk).collect();
            missing.retain(|name| !keys.contains(name));
        }
    }
}

#[test]
fn messages_reach_subscribers_on_every_node() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 2);
    let _logs = cluster.start_logs();
    let protected = |node: Fastkeep| node.env("FASTKEEP_USERS_REQUIREPASS", PASSWORD);
    let commands: Vec<Fastkeep> = cluster.nodes().into_iter().map(protected).collect();
    let mut nodes: Vec<Running> = start(&commands);

    // Every node serves every key, whichever node has its shard, to who has said the password, and to nobody else.
    for node in &nodes {
        assert!(node.client().text("GET key").starts_with("-NOAUTH"));
        assert!(node.client().text("FASTKEEP.LINK guess").starts_with("-ERR unknown command"));
        assert!(node.client().text("FASTKEEP.LINK guess MESSAGES").starts_with("-ERR unknown command"));
    }
    for round in 1..=10 {
        for (at, node) in nodes.iter().enumerate() {
            let mut own = client(node);
            for key in 0..8 {
                let reply = own.run(&format!("INCR n:{key}"));
                assert_eq!(reply, Reply::Integer((round - 1) * nodes.len() as i64 + at as i64 + 1));
            }
        }
    }

    scripts_by_hash_and_caches(&nodes);

    let mut listeners: Vec<Listener> = nodes.iter().map(Listener::new).collect();
    wait_for_links(&nodes, &mut listeners);
    publish_everywhere(&nodes, &mut listeners);
    units_and_events(&nodes, &mut listeners);

    // A node that was killed is listened to again when it is back, and listens.
    nodes[0].kill();
    nodes[0] = commands[0].start();
    listeners[0] = Listener::new(&nodes[0]);
    for node in &nodes {
        assert_eq!(client(node).text("CONFIG SET notify-keyspace-events "), "OK");
    }
    wait_for_links(&nodes, &mut listeners);
    publish_everywhere(&nodes, &mut listeners);
}

fn start(commands: &[Fastkeep]) -> Vec<Running> {
    std::thread::scope(|scope| {
        let starting: Vec<_> = commands.iter().map(|command| scope.spawn(|| command.start())).collect();
        starting.into_iter().map(|started| started.join().unwrap()).collect()
    })
}

/// redis-cli under TLS, the one client that these nodes let in.
fn redis_cli(node: &Running, authority: &Authority, shown: &Identity) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &node.tls_port.to_string(), "--tls", "--cacert"]).arg(&authority.file);
    command.arg("--cert").arg(&shown.cert).arg("--key").arg(&shown.key);
    command
}

struct Subscriber {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Subscriber {
    fn start(mut command: Command) -> Self {
        let mut child = command.args(["SUBSCRIBE", "news"]).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    fn hears(&self, text: &str, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if line.contains(text) {
                return true;
            }
        }
        false
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nodes_that_speak_tls_only_reach_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let cluster = Cluster::new(folder.path(), 2);
    let _logs = cluster.start_logs();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (server, between) = (authority.issue("server"), authority.issue("between"));
    let commands: Vec<Fastkeep> = ZONES[..2]
        .iter()
        .map(|zone| {
            cluster
                .node(&format!("node-{zone}"), zone)
                .env("FASTKEEP_TLS_PORT", &free_ports(1)[0].to_string())
                .env("FASTKEEP_NODE_ADVERTISE", "localhost")
                .env("FASTKEEP_TLS_CERT_FILE", &text(&server.cert))
                .env("FASTKEEP_TLS_KEY_FILE", &text(&server.key))
                .env("FASTKEEP_TLS_CA_CERT_FILE", &text(&authority.file))
                .env("FASTKEEP_TLS_CLIENT_CERT_FILE", &text(&between.cert))
                .env("FASTKEEP_TLS_CLIENT_KEY_FILE", &text(&between.key))
        })
        .collect();
    let nodes = start(&commands);
    let shown = authority.issue("client");
    let ask = |node: &Running, words: &[&str]| {
        let output = redis_cli(node, &authority, &shown).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    // Both shards are served through both nodes, so one of the two passes each of them on.
    for key in ["a", "b", "c", "d"] {
        assert_eq!(ask(&nodes[0], &["SET", key, "1"]), "OK");
        assert_eq!(ask(&nodes[1], &["INCR", key]), "2");
        assert_eq!(ask(&nodes[0], &["GET", key]), "2");
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let subscriber = Subscriber::start(redis_cli(&nodes[to], &authority, &shown));
        let begun = Instant::now();
        loop {
            ask(&nodes[from], &["PUBLISH", "news", "hello"]);
            if subscriber.hears("hello", Duration::from_millis(100)) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{}", nodes[to].log());
        }
    }
}
