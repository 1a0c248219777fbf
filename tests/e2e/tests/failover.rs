//! Proves replicas, failover and hand-over with one node in each of three zones.
//!
//! Concurrent clients on all nodes write down what they ask and what they are answered, while primaries are killed, frozen
//! beyond their lease and handed over; the history must be linearizable key by key, and the checker itself must catch a
//! stale read, a lost write and a write applied twice. Replicas follow, show a prefix and never go back; a planned hand-over
//! and the stop of a primary reach no client as an error.
#![allow(clippy::unwrap_used)]

mod history;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use history::{Event, History, Op, Ret, is_linearizable, object_of};
use tests_harness::{Client, Cluster, Reply, Running, primary_of, wait_for_shards};

fn asked(name: u64, op: Op) -> (u64, Event) {
    (name, Event::Asked(op))
}

fn answered(name: u64, ret: Ret) -> (u64, Event) {
    (name, Event::Answered(ret))
}

#[test]
fn the_checker_catches_seeded_violations() {
    let set = |name, value: &str| asked(name, Op::Set(value.into()));
    let value = |name, value: &str| answered(name, Ret::Value(Some(value.into())));
    let sound = [
        set(1, "a"),
        answered(1, Ret::Done),
        set(1, "b"),
        asked(2, Op::Get),
        value(2, "b"),
        asked(2, Op::Get),
        value(2, "b"),
        answered(1, Ret::Done),
    ];
    assert!(is_linearizable(object_of("register"), &sound));
    let mut stale = sound.to_vec();
    stale[6] = value(2, "a");
    assert!(!is_linearizable(object_of("register"), &stale), "a read went back and was not caught");

    let lost = [
        asked(1, Op::Push("a".into())),
        answered(1, Ret::Number(1)),
        asked(2, Op::Push("b".into())),
        answered(2, Ret::Number(1)),
    ];
    assert!(!is_linearizable(object_of("list"), &lost), "a lost write was not caught");

    let twice = [asked(1, Op::Incr), answered(1, Ret::Number(1)), asked(2, Op::Get), value(2, "2")];
    assert!(!is_linearizable(object_of("counter"), &twice), "a write applied twice was not caught");

    // Of an unknown outcome: both are possible, but not one after the other.
    let open = |ends: &[&str]| {
        let mut events = vec![asked(1, Op::Incr), answered(1, Ret::Number(1)), asked(3, Op::Incr)];
        for end in ends {
            events.extend([asked(2, Op::Get), value(2, end)]);
        }
        is_linearizable(object_of("counter"), &events)
    };
    assert!(open(&["1", "1"]) && open(&["2", "2"]) && open(&["1", "2"]));
    assert!(!open(&["2", "1"]), "an outcome that was taken back was not caught");
}

/// A client that works on a few keys until it is told to stop. A new key now and then keeps each key's history short.
struct Worker {
    history: Arc<History>,
    stop: Arc<AtomicBool>,
    round: Arc<AtomicU64>,
    names: Arc<AtomicU64>,
    answers: Vec<(Instant, Outcome)>,
}

/// `Err`: what the client got instead of an answer.
type Outcome = Result<(), String>;

impl Worker {
    fn run(mut self, ports: Vec<u16>, seed: u64) -> Vec<(Instant, Outcome)> {
        let (mut name, mut client, mut turn) = (self.names.fetch_add(1, Ordering::Relaxed), None, seed);
        while !self.stop.load(Ordering::Relaxed) {
            turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let draw = (turn >> 33) as usize;
            let Some(open) = &mut client else {
                client = Client::connect(ports[draw % ports.len()]).ok();
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            let round = self.round.load(Ordering::Relaxed);
            let (key, op, args) = draw_operation(draw, round, turn);
            let begun = Instant::now();
            self.history.note(&key, begun, name, Event::Asked(op.clone()));
            let reply = open.call(&args);
            let now = Instant::now();
            match reply.map_err(|error| error.to_string()).and_then(|reply| as_ret(&op, reply)) {
                Ok(ret) => {
                    self.history.note(&key, now, name, Event::Answered(ret));
                    self.answers.push((now, Ok(())));
                }
                Err(why) => {
                    // The outcome is unknown: the operation stays open, and so does its name.
                    self.answers.push((now, Err(format!("{op:?} after {:?}: {why}", now - begun))));
                    name = self.names.fetch_add(1, Ordering::Relaxed);
                    client = None;
                }
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        self.answers
    }
}

fn draw_operation(draw: usize, round: u64, turn: u64) -> (String, Op, Vec<String>) {
    let key = |kind: &str| format!("{kind}:{round}:{}", draw % 2);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match draw / 2 % 6 {
        0 => (key("register"), Op::Get, words(&["GET", &key("register")])),
        1 => {
            let value = turn.to_string();
            (key("register"), Op::Set(value.clone()), words(&["SET", &key("register"), &value]))
        }
        2 => (key("counter"), Op::Get, words(&["GET", &key("counter")])),
        3 => (key("counter"), Op::Incr, words(&["INCR", &key("counter")])),
        4 => (key("list"), Op::Range, words(&["LRANGE", &key("list"), "0", "-1"])),
        _ => {
            let value = turn.to_string();
            (key("list"), Op::Push(value.clone()), words(&["RPUSH", &key("list"), &value]))
        }
    }
}

/// The answer in the checker's words.
fn as_ret(op: &Op, reply: Reply) -> Result<Ret, String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match (op, reply) {
        (Op::Set(_), Reply::SimpleString(_)) => Ok(Ret::Done),
        (Op::Get, Reply::BulkString(bytes)) => Ok(Ret::Value(Some(text(bytes)))),
        (Op::Get, Reply::Null) => Ok(Ret::Value(None)),
        (Op::Incr | Op::Push(_), Reply::Integer(n)) => Ok(Ret::Number(n)),
        (Op::Range, Reply::Array(items)) => Ok(Ret::List(
            items
                .into_iter()
                .map(|item| match item {
                    Reply::BulkString(bytes) => text(bytes),
                    other => panic!("an element of a list is {other:?}"),
                })
                .collect(),
        )),
        (_, Reply::Error(why)) => {
            assert!(why.starts_with("UNCERTAIN"), "a client was answered {why}");
            Err(why)
        }
        (op, other) => panic!("{op:?} was answered {other:?}"),
    }
}

/// Clients on nodes, their history, and the way to end them.
struct Load {
    history: Arc<History>,
    stop: Arc<AtomicBool>,
    round: Arc<AtomicU64>,
    workers: Vec<JoinHandle<Vec<(Instant, Outcome)>>>,
}

impl Load {
    fn start(ports: &[u16], clients: u64) -> Self {
        let (history, stop) = (Arc::<History>::default(), Arc::<AtomicBool>::default());
        // Every load has keys of its own: the checker begins with empty ones.
        static LOADS: AtomicU64 = AtomicU64::new(0);
        let round = Arc::new(AtomicU64::new(LOADS.fetch_add(1, Ordering::Relaxed) * 1_000_000));
        let names = Arc::<AtomicU64>::default();
        let workers = (0..clients).map(|seed| {
            let worker = Worker {
                history: Arc::clone(&history),
                stop: Arc::clone(&stop),
                round: Arc::clone(&round),
                names: Arc::clone(&names),
                answers: Vec::new(),
            };
            let ports = ports.to_vec();
            std::thread::spawn(move || worker.run(ports, seed + 1))
        });
        let workers = workers.collect();
        Self { history, stop, round, workers }
    }

    /// Lets the load run for a while, on new keys every now and then.
    fn run(&self, time: Duration) {
        const KEYS_LAST: Duration = Duration::from_millis(120);
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::thread::sleep(KEYS_LAST);
            self.round.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the load; the answers in the order of time.
    fn end(self) -> (Arc<History>, Vec<(Instant, Outcome)>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut answers: Vec<(Instant, Outcome)> =
            self.workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        answers.sort_by_key(|(at, _)| *at);
        (self.history, answers)
    }
}

/// Waits until two replicas follow closely.
fn wait_for_replicas(node: &Running) {
    wait_for_shards(node, "two replicas do not follow", |rows| {
        let follows =
            |row: &&serde_json::Value| row["role"] == "replica" && row["lag_records"].as_u64() < Some(100);
        rows.iter().filter(follows).count() >= 2 && rows.iter().any(|row| row["role"] == "primary")
    });
}

fn errors(answers: &[(Instant, Outcome)]) -> Vec<&str> {
    answers.iter().filter_map(|(_, outcome)| outcome.as_ref().err()).map(String::as_str).collect()
}

/// The longest time without a success from a moment on.
fn gap_after(answers: &[(Instant, Outcome)], from: Instant) -> Duration {
    let successes: Vec<Instant> =
        answers.iter().filter(|(at, outcome)| outcome.is_ok() && *at >= from).map(|(at, _)| *at).collect();
    let mut before = from;
    let mut longest = Duration::ZERO;
    for at in successes {
        longest = longest.max(at - before);
        before = at;
    }
    longest
}

#[test]
fn killed_and_frozen_primaries_leave_a_linearizable_history() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let _logs = cluster.start_logs();
    let commands = cluster.nodes();
    let mut nodes = cluster.start_nodes();
    let kills: usize = std::env::var("FASTKEEP_FAILOVERS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let mut gaps = Vec::new();
    for round in 0..=kills {
        let at = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
        wait_for_replicas(&nodes[(at + 1) % 3]);
        // Clients of the node that dies would only measure their own reconnecting: those of the frozen one matter.
        let frozen = round == kills;
        let ports: Vec<u16> =
            (0..3).filter(|node| frozen || *node != at).map(|node| nodes[node].port).collect();
        let load = Load::start(&ports, 6);
        load.run(Duration::from_millis(500));
        let begun = Instant::now();
        if frozen {
            nodes[at].signal("STOP");
            load.run(Duration::from_millis(2_500));
            nodes[at].signal("CONT");
        } else {
            nodes[at].kill();
        }
        load.run(Duration::from_millis(2_000));
        let (history, answers) = load.end();
        history.check().unwrap_or_else(|key| panic!("no order explains the answers about {key}"));
        let gap = gap_after(&answers, begun);
        assert!(history.len() > 100, "only {} operations", history.len());
        assert!(gap < Duration::from_secs(20), "nobody took over for {gap:?}");
        println!("round {round}: {} operations, {gap:?} without an answer", history.len());
        if frozen {
            continue;
        }
        gaps.push(gap);
        nodes[at] = commands[at].start();
    }
    gaps.sort();
    println!("failover: median {:?}, maximum {:?}", gaps.get(gaps.len() / 2), gaps.last());
}

#[test]
fn a_hand_over_and_a_stop_reach_no_client_as_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let _logs = cluster.start_logs();
    let mut nodes = cluster.start_nodes();
    let at = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
    wait_for_replicas(&nodes[at]);
    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    // Somebody waits for a key over the hand-over.
    let mut waiting = nodes[at].client();
    waiting.queue(&["BLPOP", "queue", "30"]);
    waiting.flush().unwrap();
    let load = Load::start(&ports, 6);
    load.run(Duration::from_millis(500));
    let begun = Instant::now();
    let answer: serde_json::Value =
        serde_json::from_str(&nodes[at].ctl(&["failover", "0", "--json"]).unwrap()).unwrap();
    assert_ne!(answer["from"], answer["to"], "{answer}");
    load.run(Duration::from_secs(1));
    let now = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
    assert_ne!(now, at, "the shard stayed where it was");
    let (history, answers) = load.end();
    assert_eq!(errors(&answers), [""; 0], "a hand-over reached a client as an error");
    history.check().unwrap_or_else(|key| panic!("no order explains the answers about {key}"));
    println!("hand-over: {:?} without an answer", gap_after(&answers, begun));

    let mut other = nodes[now].client();
    assert_eq!(other.text("RPUSH queue served"), "1");
    let Reply::Array(served) = waiting.read().unwrap() else { panic!("the waiting client was not served") };
    assert_eq!(served[1], Reply::BulkString(b"served".to_vec()));

    // The stop of a primary hands over, too. Its own clients are closed, so the load is on the others.
    wait_for_replicas(&nodes[now]);
    let ports: Vec<u16> = (0..3).filter(|node| *node != now).map(|node| nodes[node].port).collect();
    let load = Load::start(&ports, 6);
    load.run(Duration::from_millis(300));
    assert!(nodes.remove(now).stop().success());
    load.run(Duration::from_millis(500));
    let (history, answers) = load.end();
    assert_eq!(errors(&answers), [""; 0], "the stop of a primary reached a client as an error");
    history.check().unwrap_or_else(|key| panic!("no order explains the answers about {key}"));
}

#[test]
fn replicas_follow_show_a_prefix_and_never_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let _logs = cluster.start_logs();
    let nodes = cluster.start_nodes();
    let at = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
    wait_for_replicas(&nodes[at]);
    let replica = &nodes[(at + 1) % 3];
    let mut writer = nodes[at].client();
    // A replica's main port serves everything without being asked to read from itself.
    let mut through = replica.client();
    assert_eq!(through.text("SET a 1"), "OK");
    assert_eq!(writer.text("GET a"), "1");
    assert_eq!(through.text("GET a"), "1");
    assert_eq!(through.text("SELECT 3"), "OK");
    assert_eq!(through.text("SET in-three yes"), "OK");
    assert_eq!(through.text("WATCH in-three"), "OK");
    assert_eq!(through.text("MULTI"), "OK");
    assert_eq!(through.text("PING"), "QUEUED");
    assert_eq!(through.text("GET in-three"), "QUEUED");
    assert_eq!(
        through.run("EXEC"),
        Reply::Array(vec![Reply::SimpleString(b"PONG".to_vec()), Reply::BulkString(b"yes".to_vec())])
    );
    assert_eq!(through.text("WATCH in-three"), "OK");
    assert_eq!(writer.text("SELECT 3"), "OK");
    assert_eq!(writer.text("SET in-three no"), "OK");
    assert_eq!(writer.text("SELECT 0"), "OK");
    assert_eq!(through.text("MULTI"), "OK");
    assert_eq!(through.text("GET in-three"), "QUEUED");
    assert_eq!(through.run("EXEC"), Reply::Null);

    // x is written before y: whoever sees y's number sees at least as much of x, and numbers never fall.
    let mut reader = replica.client();
    assert_eq!(reader.text("READONLY"), "OK");
    let stop = Arc::new(AtomicBool::new(false));
    let reading = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let (mut last, mut reads) = (0, 0_u64);
            while !stop.load(Ordering::Relaxed) {
                let number = |text: String| text.parse::<i64>().unwrap_or(0);
                let y = number(reader.text("GET y"));
                let x = number(reader.text("GET x"));
                assert!(y >= last, "y fell from {last} to {y}");
                assert!(x >= y, "y is {y}, but x, which was written first, is {x}");
                (last, reads) = (y, reads + 1);
            }
            (last, reads, reader)
        })
    };
    for n in 1..=1_000 {
        let n = n.to_string();
        for key in ["x", "y"] {
            assert_eq!(writer.call(&["SET", key, &n]).unwrap(), Reply::SimpleString(b"OK".to_vec()));
        }
    }
    let begun = Instant::now();
    while nodes[(at + 2) % 3].client().text("GET y") != "1000" {
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    stop.store(true, Ordering::Relaxed);
    let (last, reads, mut reader) = reading.join().unwrap();
    assert!(last > 0 && reads > 10, "the replica showed {last} in {reads} reads");
    let begun = Instant::now();
    while reader.text("GET y") != "1000" {
        assert!(begun.elapsed() < Duration::from_secs(20), "the replica does not follow");
    }
    // A key whose time has passed is hidden on the replica; writes of a READONLY client go to the primary.
    assert_eq!(reader.text("SET short-lived 1 PX 30"), "OK");
    assert_eq!(writer.text("DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    let begun = Instant::now();
    while reader.text("GET short-lived") != "(nil)" || begun.elapsed() < Duration::from_millis(50) {
        assert!(begun.elapsed() < Duration::from_secs(20), "an expired key is shown");
    }
}
