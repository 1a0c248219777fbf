//! Memory stays bounded under a write load whatever the policy, what goes is what the policy says, and the log of it
//! all replays to the same data; who sees that a key was evicted waits until that is durable.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use logsvc_client::memory::MemoryLog;
use logsvc_client::{Claim, LogService};
use proxy_engine::DataDigest;
use proxy_resp::{OwnedArgs, Protocol, Reply};
use proxy_store::Limits;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::shard::Ran;
use crate::{Replayer, Shard, ShardConfig, replay};

const START_MS: i64 = 1_700_000_000_000;
const MIB: u64 = 1 << 20;

struct Primary {
    shard: Shard,
    log: MemoryLog,
    start: Instant,
    commands: u64,
}

impl Primary {
    async fn new(memory: MemoryConfig) -> Self {
        let log = MemoryLog::new(1);
        let claim =
            Claim { shard: 0, owner: "test".into(), lease_ms: 60_000, expected_epoch: 0, expected_tail: 0 };
        let epoch = log.claim(claim).await.unwrap().epoch;
        let start = Instant::now();
        let mut shard = Shard::new(0, ShardConfig { memory, ..ShardConfig::default() }, Arc::default());
        shard.set_clock(start, START_MS);
        let lease = start + Duration::from_secs(3600);
        shard.follow(Replayer::new(Limits::default()));
        shard.promote(epoch, log.appender(0, epoch), lease);
        Self { shard, log, start, commands: 0 }
    }

    fn advance(&mut self, ms: i64) {
        let now = self.shard.now_ms() + ms;
        self.shard.set_clock(self.start, now);
        while self.shard.expire_due() {}
    }

    fn run(&mut self, line: &str) -> (String, Ran) {
        self.run_in(0, line)
    }

    fn run_in(&mut self, db: u8, line: &str) -> (String, Ran) {
        let args: OwnedArgs = line.split(' ').collect();
        let row = proxy_engine::resolve(args.as_args()).unwrap();
        let mut out = Reply::new(Protocol::Resp2);
        let ran = self.shard.run(row, args.as_args(), db, None, &mut out);
        self.commands += 1;
        if self.commands.is_multiple_of(50) {
            self.settle();
        }
        (String::from_utf8_lossy(out.as_slice()).trim_end().to_owned(), ran)
    }

    /// Has the log take what was written.
    fn settle(&mut self) {
        self.shard.flush(false);
        assert!(self.shard.poll_log(Waker::noop()).is_none());
    }

    fn evicted(&self) -> u64 {
        self.shard.status().evicted.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Keys, values and tables, and what is deleted but not freed.
    fn bytes(&self) -> u64 {
        self.shard.keyspace().data_bytes() + self.shard.keyspace().unfreed().1
    }

    fn has(&self, key: &str) -> bool {
        self.shard.keyspace().find(Key::new(0, key.as_bytes())).entry().is_some()
    }

    /// The log gives the same data, and the keyspace is consistent.
    async fn check(&mut self) {
        while self.shard.tail() > self.shard.durable() {
            self.settle();
        }
        let replayed = replay(&self.log, 0, Replayer::new(Limits::default())).await.unwrap();
        let digest = |ks| DataDigest::of(ks, |_| false);
        assert_eq!(digest(&replayed.ks), digest(self.shard.keyspace()));
        self.shard.keyspace().check().unwrap();
    }
}

fn memory(policy: EvictionPolicy, max_bytes: u64) -> MemoryConfig {
    MemoryConfig { max_bytes, policy, ..MemoryConfig::default() }
}

/// A command that takes memory: strings and collections of all sizes, most with an expiry, in two databases.
fn write(rng: &mut SmallRng) -> (u8, Vec<String>) {
    let key = format!("key:{}", rng.random_range(0..40_000));
    let size = *[1, 10, 100, 1000, 5000].choose(rng).unwrap();
    let value = "v".repeat(rng.random_range(1..=size));
    let many = |rng: &mut SmallRng, value: &str| {
        (0..rng.random_range(1..40)).fold(String::new(), |all, i| format!("{all} {i}{value}"))
    };
    let short = "v".repeat(rng.random_range(1..60));
    let line = match rng.random_range(0..6) {
        0 | 1 => format!("SET {key} {value}"),
        2 => format!("APPEND {key} {value}"),
        3 => format!("RPUSH list:{key}{}", many(rng, &short)),
        4 => format!("SADD set:{key}{}", many(rng, &short)),
        _ => format!("HSET hash:{key} f{} {value}", rng.random_range(0..50)),
    };
    let written = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut lines = vec![line];
    if rng.random_range(0..5) > 0 {
        lines.push(format!("EXPIRE {written} {}", rng.random_range(100..100_000)));
    }
    (rng.random_range(0..2), lines)
}

#[tokio::test]
async fn memory_is_bounded_whatever_the_policy() {
    const LIMIT: u64 = 3 * MIB;
    /// What one round may add before the next one makes room.
    const SLACK: u64 = 64 << 10;
    for policy in EvictionPolicy::ALL {
        let mut primary = Primary::new(memory(policy, LIMIT)).await;
        let mut rng = SmallRng::seed_from_u64(11);
        let mut refused = 0;
        for _ in 0..30_000 {
            let (db, lines) = write(&mut rng);
            for line in lines {
                let (reply, _) = primary.run_in(db, &line);
                if reply == format!("-{}", crate::OUT_OF_MEMORY) {
                    refused += 1;
                } else {
                    assert!(!reply.starts_with('-'), "{line:.60}: {reply}");
                }
            }
            assert!(primary.bytes() <= LIMIT + SLACK, "{policy:?}: {}", primary.bytes());
        }
        let evicts = policy != EvictionPolicy::NoEviction;
        // Under a volatile policy the few keys without an expiry fill memory in the end, and then writes fail.
        assert_eq!(refused > 0, !evicts || policy.is_volatile(), "{policy:?}: {refused}");
        assert_eq!(primary.evicted() > 1000, evicts, "{policy:?}: {}", primary.evicted());
        assert!(primary.bytes() > LIMIT / 2, "{policy:?} keeps {}", primary.bytes());
        primary.check().await;
    }
}

/// Of keys "a" and "b" in equal numbers, how many of each are left after a third of the data had to go.
async fn survivors(policy: EvictionPolicy, use_them: impl Fn(&mut Primary)) -> (usize, usize) {
    let mut primary = Primary::new(memory(policy, 0)).await;
    let value = "v".repeat(200);
    for number in 0..3000 {
        primary.run(&format!("SET a:{number} {value} EX 50000"));
        primary.run(&format!("SET b:{number} {value} EX 60000"));
    }
    use_them(&mut primary);
    let full = primary.shard.keyspace().data_bytes();
    primary.shard.set_memory(MemoryConfig { samples: 10, ..memory(policy, full - full / 4) });
    while primary.shard.make_room() == Room::More {}
    assert_eq!(primary.shard.make_room(), Room::Enough);
    let left = |name: &str| (0..3000).filter(|number| primary.has(&format!("{name}:{number}"))).count();
    let left = (left("a"), left("b"));
    primary.check().await;
    left
}

#[tokio::test]
async fn what_goes_is_what_the_policy_says() {
    let used_lately = |primary: &mut Primary| {
        primary.advance(20_000);
        for number in 0..3000 {
            primary.run(&format!("GET b:{number}"));
        }
        primary.advance(20_000);
    };
    for policy in [EvictionPolicy::AllKeysLru, EvictionPolicy::VolatileLru] {
        let (a, b) = survivors(policy, used_lately).await;
        assert!(b > 2950 && a < 2000, "{policy:?}: {a} idle, {b} used");
    }
    for policy in [EvictionPolicy::AllKeysLfu, EvictionPolicy::VolatileLfu] {
        let (a, b) = survivors(policy, |primary| {
            primary.shard.set_memory(memory(policy, 0));
            for number in 0..30_000 {
                primary.run(&format!("GET b:{}", number % 3000));
            }
        })
        .await;
        assert!(b > 2900 && a < 2000, "{policy:?}: {a} seldom, {b} often used");
    }
    let (a, b) = survivors(EvictionPolicy::VolatileTtl, used_lately).await;
    assert!(a < 1700 && b > 2950, "ttl: {a} that end sooner, {b} later");
    for policy in [EvictionPolicy::AllKeysRandom, EvictionPolicy::VolatileRandom] {
        let (a, b) = survivors(policy, used_lately).await;
        assert!(a.abs_diff(b) < 300 && a + b < 4800, "{policy:?}: {a} and {b}");
    }
}

#[tokio::test]
async fn a_few_volatile_keys_are_found_among_many() {
    for policy in [EvictionPolicy::VolatileLru, EvictionPolicy::VolatileRandom, EvictionPolicy::VolatileTtl] {
        let mut primary = Primary::new(memory(policy, 0)).await;
        primary.advance(10);
        for number in 0..30_000 {
            primary.run(&format!("SET stays:{number} value"));
        }
        for number in 0..30 {
            primary.run(&format!("SET goes:{number} {} EX 5000", "v".repeat(1000)));
        }
        let full = primary.shard.keyspace().data_bytes();
        primary.shard.set_memory(memory(policy, full - 20_000));
        let rounds = (0..20).take_while(|_| primary.shard.make_room() == Room::More).count();
        assert!(rounds < 20 && primary.evicted() <= 25, "{policy:?}: {rounds}, {}", primary.evicted());
        primary.shard.set_memory(memory(policy, full - 100_000));
        (0..100).take_while(|_| primary.shard.make_room() == Room::More).for_each(drop);
        assert_eq!(primary.shard.make_room(), Room::None, "{policy:?}");
        assert_eq!(primary.shard.keyspace().len(0), 30_000, "{policy:?}");
        assert_eq!(primary.run("SET k v").0, format!("-{}", crate::OUT_OF_MEMORY));
        assert_eq!(primary.run("DEL stays:1").0, ":1");
        assert_eq!(primary.run("GET stays:2").0, "$5\r\nvalue");
        primary.check().await;
    }
}

#[tokio::test]
async fn the_absence_of_an_evicted_key_is_gated() {
    let mut primary = Primary::new(memory(EvictionPolicy::AllKeysLru, 0)).await;
    for number in 0..1000 {
        primary.run(&format!("SET key:{number} {}", "v".repeat(300)));
    }
    primary.settle();
    primary.log.hold();
    let full = primary.shard.keyspace().data_bytes();
    primary.shard.set_memory(memory(EvictionPolicy::AllKeysLru, full - 10_000));
    assert_eq!(primary.shard.make_room(), Room::Enough);
    let tail = primary.shard.tail();
    let gone = (0..1000).find(|number| !primary.has(&format!("key:{number}"))).unwrap();
    let (reply, ran) = primary.run(&format!("GET key:{gone}"));
    assert_eq!((reply.as_str(), ran.gate), ("$-1", tail));
    let there = (0..1000).find(|number| primary.has(&format!("key:{number}"))).unwrap();
    assert_eq!(primary.run(&format!("GET key:{there}")).1.gate, 0);
    primary.log.release();
    primary.settle();
    assert_eq!(primary.run(&format!("GET key:{gone}")).1.gate, 0);
}
