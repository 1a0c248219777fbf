//! The load: one thread, many connections, each with its own pipeline, on any RESP port.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::wire::push;

/// Keys that strings, counters and hashes are spread over.
pub const KEYS: u32 = 100_000;
/// Keys of lists and sorted sets.
const LARGE_KEYS: u32 = 100;

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    Get,
    Set,
    Incr,
    LPush,
    HSet,
    ZAdd,
    /// 80 % GET, 20 % SET.
    Mix,
}

impl Workload {
    /// All of them, in the order of the report.
    pub fn all() -> [Self; 7] {
        [Self::Get, Self::Set, Self::Incr, Self::LPush, Self::HSet, Self::ZAdd, Self::Mix]
    }

    /// Its name in the report and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Incr => "incr",
            Self::LPush => "lpush",
            Self::HSet => "hset",
            Self::ZAdd => "zadd",
            Self::Mix => "mix",
        }
    }

    fn request(self, random: &mut SmallRng, out: &mut Vec<u8>) {
        let key = random.random_range(0..KEYS);
        let large = key % LARGE_KEYS;
        match self {
            Self::Get => push(out, &["GET", &format!("key:{key:012}")]),
            Self::Set => push(out, &["SET", &format!("key:{key:012}"), "sixteen bytes ok"]),
            Self::Incr => push(out, &["INCR", &format!("counter:{key:08}")]),
            Self::LPush => push(out, &["LPUSH", &format!("list:{large}"), "sixteen bytes ok"]),
            Self::HSet => {
                push(out, &["HSET", &format!("hash:{large}"), &format!("field:{}", key / 1000), "value"]);
            }
            Self::ZAdd => {
                push(
                    out,
                    &["ZADD", &format!("board:{large}"), &key.to_string(), &format!("member:{}", key / 10)],
                );
            }
            Self::Mix if random.random_range(0..5) == 0 => Self::Set.request(random, out),
            Self::Mix => Self::Get.request(random, out),
        }
    }
}

/// What a run gave.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Commands answered.
    pub commands: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Median and 99th percentile of the time from sending a pipeline to its last reply.
    pub p50: Duration,
    /// 99th percentile of the same.
    pub p99: Duration,
}

/// Runs `clients` connections for `length` against 127.0.0.1:`port`.
pub fn run(port: u16, workload: Workload, clients: usize, pipeline: usize, length: Duration) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        let mut streams = Vec::with_capacity(clients);
        for _ in 0..clients {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            streams.push(stream);
        }
        let begun = Instant::now();
        let tasks: Vec<_> = streams
            .into_iter()
            .enumerate()
            .map(|(at, stream)| {
                tokio::task::spawn_local(connection(stream, workload, pipeline, begun + length, at as u64))
            })
            .collect();
        let mut batches = Vec::new();
        for task in tasks {
            batches.extend(task.await.unwrap());
        }
        let elapsed = begun.elapsed();
        batches.sort_unstable();
        let at = |part: f64| batches[((batches.len() - 1) as f64 * part) as usize];
        Run { commands: (batches.len() * pipeline) as u64, elapsed, p50: at(0.5), p99: at(0.99) }
    })
}

/// One connection: sends a pipeline, reads its replies, again; returns the time of each.
async fn connection(
    mut stream: TcpStream,
    workload: Workload,
    pipeline: usize,
    end: Instant,
    seed: u64,
) -> Vec<Duration> {
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut request, mut received) = (Vec::new(), Vec::new());
    let mut times = Vec::new();
    while Instant::now() < end {
        request.clear();
        for _ in 0..pipeline {
            workload.request(&mut random, &mut request);
        }
        let sent = Instant::now();
        stream.write_all(&request).await.unwrap();
        received.clear();
        let (mut seen, mut parsed) = (0, 0);
        while seen < pipeline {
            let count = stream.read_buf(&mut received).await.unwrap();
            assert!(count > 0, "the server closed a connection under load");
            while let Some(next) = reply_end(&received, parsed) {
                assert!(
                    received[parsed] != b'-',
                    "error under load: {}",
                    String::from_utf8_lossy(&received[parsed..next])
                );
                parsed = next;
                seen += 1;
            }
        }
        times.push(sent.elapsed());
    }
    times
}

/// End of the flat reply that starts at `at`, if all of it is there.
fn reply_end(buf: &[u8], at: usize) -> Option<usize> {
    let line = at + buf.get(at..)?.iter().position(|&b| b == b'\n')? + 1;
    if buf[at] != b'$' {
        return Some(line);
    }
    let length: i64 = std::str::from_utf8(&buf[at + 1..line - 2]).unwrap().parse().unwrap();
    let end = if length < 0 { line } else { line + length as usize + 2 };
    (end <= buf.len()).then_some(end)
}
