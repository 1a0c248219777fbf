//! Clients that work on a few keys of all kinds at once and write down what they ask and are answered.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tests_harness::{Client, Reply, Running, wait_for_shards};

use super::{Event, History, Op, Ret, Way};

/// Changes a pair as one.
const BOTH: &str = "local n = redis.call('INCR', KEYS[1]) return {n, redis.call('RPUSH', KEYS[2], ARGV[1])}";
/// Reads a pair as one.
const READ_BOTH: &str = "return {redis.call('GET', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, -1)}";

/// A client that works on a few keys until it is told to stop. A new key now and then keeps each key's history short.
struct Worker {
    history: Arc<History>,
    stop: Arc<AtomicBool>,
    round: Arc<AtomicU64>,
    names: Arc<AtomicU64>,
    answers: Vec<(Instant, Outcome)>,
}

/// `Err`: what the client got instead of an answer.
pub type Outcome = Result<(), String>;

impl Worker {
    fn run(mut self, nodes: Vec<SocketAddr>, seed: u64) -> Vec<(Instant, Outcome)> {
        let (mut name, mut client, mut turn) = (self.names.fetch_add(1, Ordering::Relaxed), None, seed);
        while !self.stop.load(Ordering::Relaxed) {
            turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let draw = (turn >> 33) as usize;
            let Some(open) = &mut client else {
                client = Client::connect_to(nodes[draw % nodes.len()]).ok();
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            let round = self.round.load(Ordering::Relaxed);
            let (key, op) = draw_operation(draw, round, turn);
            let begun = Instant::now();
            self.history.note(&key, begun, name, Event::Asked(op.clone()));
            let reply = ask(open, &key, &op);
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

fn draw_operation(draw: usize, round: u64, turn: u64) -> (String, Op) {
    let key = |kind: &str| format!("{kind}:{round}:{}", draw % 2);
    let (value, few) = (turn.to_string(), format!("m{}", turn >> 40 & 3));
    let way = if turn >> 50 & 1 == 0 { Way::Multi } else { Way::Script };
    match draw / 2 % 15 {
        0 => (key("register"), Op::Get),
        1 => (key("register"), Op::Set(value)),
        2 => (key("counter"), Op::Get),
        3 => (key("counter"), Op::Incr),
        4 => (key("list"), Op::Range),
        5 => (key("list"), Op::Push(value)),
        6 => (key("set"), Op::Add(few)),
        7 => (key("set"), Op::Remove(few)),
        8 => (key("set"), Op::Members),
        9 => (key("zset"), Op::Score(few)),
        10 => (key("zset"), Op::Ranking),
        11 => (key("hash"), Op::Field(few, value)),
        12 => (key("hash"), Op::Fields),
        13 => (key("pair"), Op::Both(value, way)),
        _ => (key("pair"), Op::ReadBoth(way)),
    }
}

/// The operation that shows all of a key.
fn reading(key: &str) -> Op {
    match key.split(':').next() {
        Some("list") => Op::Range,
        Some("set") => Op::Members,
        Some("zset") => Op::Ranking,
        Some("hash") => Op::Fields,
        Some("pair") => Op::ReadBoth(Way::Multi),
        _ => Op::Get,
    }
}

/// Sends an operation and waits for its answer; of a MULTI, for EXEC's, or the first error.
fn ask(client: &mut Client, key: &str, op: &Op) -> io::Result<Reply> {
    let (count, list) = (format!("{{{key}}}:count"), format!("{{{key}}}:list"));
    match op {
        Op::Get => client.call(&["GET", key]),
        Op::Set(value) => client.call(&["SET", key, value]),
        Op::Incr => client.call(&["INCR", key]),
        Op::Push(value) => client.call(&["RPUSH", key, value]),
        Op::Range => client.call(&["LRANGE", key, "0", "-1"]),
        Op::Add(member) => client.call(&["SADD", key, member]),
        Op::Remove(member) => client.call(&["SREM", key, member]),
        Op::Members => client.call(&["SMEMBERS", key]),
        Op::Score(member) => client.call(&["ZINCRBY", key, "1", member]),
        Op::Ranking => client.call(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
        Op::Field(name, value) => client.call(&["HSET", key, name, value]),
        Op::Fields => client.call(&["HGETALL", key]),
        Op::Both(value, Way::Script) => client.call(&["EVAL", BOTH, "2", &count, &list, value]),
        Op::ReadBoth(Way::Script) => client.call(&["EVAL", READ_BOTH, "2", &count, &list]),
        Op::Both(value, Way::Multi) => transaction(client, &[&["INCR", &count], &["RPUSH", &list, value]]),
        Op::ReadBoth(Way::Multi) => transaction(client, &[&["GET", &count], &["LRANGE", &list, "0", "-1"]]),
    }
}

fn transaction(client: &mut Client, commands: &[&[&str]]) -> io::Result<Reply> {
    client.queue(&["MULTI"]);
    for command in commands {
        client.queue(command);
    }
    client.queue(&["EXEC"]);
    client.flush()?;
    for _ in 0..=commands.len() {
        if let error @ Reply::Error(_) = client.read()? {
            return Ok(error);
        }
    }
    client.read()
}

fn text(reply: Reply) -> String {
    match reply {
        Reply::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("a text is {other:?}"),
    }
}

/// The answer in the checker's words.
fn as_ret(op: &Op, reply: Reply) -> Result<Ret, String> {
    let texts = |items: Vec<Reply>| items.into_iter().map(text).collect::<Vec<String>>();
    match (op, reply) {
        (Op::Set(_), Reply::SimpleString(_)) => Ok(Ret::Done),
        (Op::Get, value @ Reply::BulkString(_)) => Ok(Ret::Value(Some(text(value)))),
        (Op::Get, Reply::Null) => Ok(Ret::Value(None)),
        (Op::Incr | Op::Push(_) | Op::Add(_) | Op::Remove(_) | Op::Field(..), Reply::Integer(n)) => {
            Ok(Ret::Number(n))
        }
        (Op::Score(_), score @ Reply::BulkString(_)) => Ok(Ret::Number(text(score).parse().unwrap())),
        (Op::Range | Op::Ranking, Reply::Array(items)) => Ok(Ret::List(texts(items))),
        (Op::Members, Reply::Array(items)) => {
            let mut members = texts(items);
            members.sort_unstable();
            Ok(Ret::List(members))
        }
        (Op::Fields, Reply::Array(items)) => {
            let texts = texts(items);
            let mut fields: Vec<&[String]> = texts.chunks(2).collect();
            fields.sort_unstable();
            Ok(Ret::List(fields.concat()))
        }
        (Op::Both(..), Reply::Array(both)) => match &both[..] {
            [Reply::Integer(count), Reply::Integer(length)] => Ok(Ret::Both(*count, *length)),
            other => panic!("{op:?} was answered {other:?}"),
        },
        (Op::ReadBoth(_), Reply::Array(mut both)) => match (both.pop(), both.pop()) {
            (Some(Reply::Array(items)), Some(Reply::Null)) => Ok(Ret::Whole(0, texts(items))),
            (Some(Reply::Array(items)), Some(count)) => {
                Ok(Ret::Whole(text(count).parse().unwrap(), texts(items)))
            }
            other => panic!("{op:?} was answered {other:?}"),
        },
        (_, Reply::Error(why)) => {
            assert!(why.starts_with("UNCERTAIN"), "a client was answered {why}");
            Err(why)
        }
        (op, other) => panic!("{op:?} was answered {other:?}"),
    }
}

/// Clients on nodes, their history, and the way to end them.
pub struct Load {
    history: Arc<History>,
    stop: Arc<AtomicBool>,
    round: Arc<AtomicU64>,
    workers: Vec<JoinHandle<Vec<(Instant, Outcome)>>>,
}

impl Load {
    pub fn start(ports: &[u16], clients: u64) -> Self {
        let here = |port: &u16| SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        Self::on(&ports.iter().map(here).collect::<Vec<_>>(), clients)
    }

    pub fn on(nodes: &[SocketAddr], clients: u64) -> Self {
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
            let nodes = nodes.to_vec();
            std::thread::spawn(move || worker.run(nodes, seed + 1))
        });
        let workers = workers.collect();
        Self { history, stop, round, workers }
    }

    /// Lets the load run for a while, on new keys every now and then.
    pub fn run(&self, time: Duration) {
        const KEYS_LAST: Duration = Duration::from_millis(120);
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::thread::sleep(KEYS_LAST);
            self.round.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the load; the answers in the order of time.
    pub fn end(self) -> (Arc<History>, Vec<(Instant, Outcome)>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut answers: Vec<(Instant, Outcome)> =
            self.workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        answers.sort_by_key(|(at, _)| *at);
        (self.history, answers)
    }

    /// The history, by which a kill or a hand-over may be followed while it grows.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }
}

/// Waits until two replicas follow closely.
pub fn wait_for_replicas(node: &Running) {
    wait_for_shards(node, "two replicas do not follow", |rows| {
        let follows =
            |row: &&serde_json::Value| row["role"] == "replica" && row["lag_records"].as_u64() < Some(100);
        rows.iter().filter(follows).count() >= 2 && rows.iter().any(|row| row["role"] == "primary")
    });
}

pub fn errors(answers: &[(Instant, Outcome)]) -> Vec<&str> {
    answers.iter().filter_map(|(_, outcome)| outcome.as_ref().err()).map(String::as_str).collect()
}

/// The longest time without a success from a moment on.
pub fn gap_after(answers: &[(Instant, Outcome)], from: Instant) -> Duration {
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

/// Reads every key once more, which the history must explain, too, and adds up what was added: nothing that was answered is
/// missing, nothing is there twice.
pub fn settle(history: &History, node: &Running) {
    let (answered, unknown) = history.additions();
    let (mut client, mut found) = (node.client(), 0);
    for key in history.keys() {
        let (op, begun) = (reading(&key), Instant::now());
        let ret = as_ret(&op, ask(&mut client, &key, &op).unwrap()).unwrap();
        found += match (&ret, key.split(':').next()) {
            (Ret::Value(Some(count)), Some("counter")) => count.parse::<u64>().unwrap(),
            (Ret::List(items), Some("list")) => items.len() as u64,
            (Ret::Whole(count, items), _) => {
                assert_eq!(*count as usize, items.len(), "{key} was changed by halves");
                items.len() as u64
            }
            _ => 0,
        };
        history.note(&key, begun, u64::MAX, Event::Asked(op));
        history.note(&key, Instant::now(), u64::MAX, Event::Answered(ret));
    }
    assert!(
        (answered..=answered + unknown).contains(&found),
        "{answered} additions were answered, {unknown} are unknown, {found} are there"
    );
    history.check().unwrap_or_else(|key| panic!("no order explains the answers about {key}"));
}
