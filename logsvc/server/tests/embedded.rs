//! The embedded log: passes the conformance suite, survives restarts, rebuilds what one zone lost, refuses what it can't.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logsvc_client::conformance::{self, Primary, read_all};
use logsvc_client::{LogError, LogService, ReplicaState};
use logsvc_server::{EmbeddedConfig, EmbeddedHandle, EmbeddedLog, StartError};

fn config(dir: &Path, shards: u32) -> EmbeddedConfig {
    EmbeddedConfig { shards, ..EmbeddedConfig::new(dir) }
}

fn start(dir: &Path, shards: u32) -> (Arc<dyn LogService>, EmbeddedHandle) {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    EmbeddedLog::start(config(dir, shards)).unwrap()
}

/// Everything below a folder with sizes, to show that nothing was touched.
fn listing(dir: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let meta = entry.metadata().unwrap();
        found.push((entry.path().display().to_string(), if meta.is_dir() { 0 } else { meta.len() }));
        if meta.is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !done().await {
        assert!(begin.elapsed() < Duration::from_secs(20), "never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// All replicas of a shard vote, answer and have everything.
async fn whole(log: &Arc<dyn LogService>, shard: u32) -> bool {
    let Ok(found) = log.describe(shard).await else { return false };
    let well = |state| matches!(state, ReplicaState::Leader | ReplicaState::Follower);
    found.replicas.len() == 3 && found.replicas.iter().all(|replica| well(replica.state) && replica.lag == 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _handle) = start(dir.path(), conformance::SHARDS);
    conformance::run(&log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = 0;
    for round in 0..3_u64 {
        let (log, handle) = start(dir.path(), 2);
        let mut primary = Primary::claim(&log, 1, "a", 60_000).await;
        assert_eq!((primary.epoch, primary.builder.tail()), (round + 1, round * 200));
        assert_eq!(primary.builder.chain(), chain);
        for _ in 0..100 {
            primary.append(2, &[round as u8; 300]);
        }
        primary.settle().await.unwrap();
        chain = primary.builder.chain();
        let put = log.meta_put("round", round.to_string().into(), None).await.unwrap();
        assert_eq!(put, round + 1);
        assert_eq!(read_all(&log, 1, 1).await.len() as u64, (round + 1) * 100);
        handle.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, _handle) = start(dir.path(), 1);
    let refused = EmbeddedLog::start(config(dir.path(), 1)).err().unwrap();
    assert!(matches!(refused, StartError::Locked(_)), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lost_zone_is_rebuilt_and_two_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (log, handle) = start(dir.path(), 1);
    let mut primary = Primary::claim(&log, 0, "a", 60_000).await;
    for _ in 0..500 {
        primary.append(1, &[1; 200]);
    }
    primary.settle().await.unwrap();
    log.trim(0, 100).await.unwrap();
    let before = log.describe(0).await.unwrap();
    handle.stop();
    drop((log, handle));

    for az in ["az-b", "az-c"] {
        std::fs::rename(dir.path().join(az), dir.path().join(format!("{az}.gone"))).unwrap();
    }
    let listed = listing(dir.path());
    let refused = EmbeddedLog::start(config(dir.path(), 1)).err().unwrap();
    assert!(matches!(refused, StartError::TooManyWiped { .. }), "{refused}");
    assert_eq!(listing(dir.path()), listed);

    std::fs::rename(dir.path().join("az-b.gone"), dir.path().join("az-b")).unwrap();
    let (log, handle) = start(dir.path(), 1);
    until("the rebuilt replica", async || whole(&log, 0).await).await;
    let after = log.describe(0).await.unwrap();
    let id = |description: &logsvc_client::ShardDescription, az: &str| {
        description.replicas.iter().find(|replica| replica.az == az).unwrap().id
    };
    assert_ne!(id(&before, "az-c"), id(&after, "az-c"), "a wiped replica came back as its former self");
    assert_eq!(id(&before, "az-a"), id(&after, "az-a"));
    assert_eq!((after.tail, after.chain, after.trim), (before.tail, before.chain, 100));
    assert_eq!(read_all(&log, 0, 101).await.len(), 400);

    // The rebuilt one carries its share: with another zone down, writes go on.
    handle.stop_zone("az-a");
    let mut primary = Primary::claim(&log, 0, "a", 60_000).await;
    primary.append(1, b"by az-b and az-c");
    primary.settle().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_leader_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (log, handle) = start(dir.path(), 1);
    let mut primary = Primary::claim(&log, 0, "a", 60_000).await;
    for number in 0..600_u32 {
        primary.append(1, &number.to_le_bytes());
        if number == 200 {
            handle.stop_zone(&handle.leader_zone(0).unwrap());
        }
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    primary.settle().await.unwrap();
    let blocks = read_all(&log, 0, 1).await;
    for (number, block) in (0..600_u32).zip(&blocks) {
        assert_eq!(block.records().next().unwrap().body, number.to_le_bytes());
    }
    assert_eq!(blocks.len(), 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_is_found_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let (log, handle) = start(dir.path(), 1);
    let mut primary = Primary::claim(&log, 0, "a", 60_000).await;
    for number in 0..2000_u32 {
        primary.append(1, &[number as u8; 1000]);
    }
    primary.settle().await.unwrap();
    let before = log.describe(0).await.unwrap();
    handle.stop();
    drop((log, handle));
    flip_a_byte(&dir.path().join("az-a").join("db"));

    let (log, _handle) = start(dir.path(), 1);
    // Every block is served intact all the same, and the damaged replica comes back as another.
    let blocks = read_all(&log, 0, 1).await;
    for (number, block) in (0..2000_u32).zip(&blocks) {
        assert_eq!(block.records().next().unwrap().body, [number as u8; 1000]);
    }
    let id = |replicas: &[logsvc_client::ReplicaDescription]| {
        replicas.iter().find(|replica| replica.az == "az-a").map(|replica| replica.id)
    };
    until("another identity in az-a", async || {
        whole(&log, 0).await && id(&log.describe(0).await.unwrap().replicas) != id(&before.replicas)
    })
    .await;
    assert_eq!(read_all(&log, 0, 1).await.len(), 2000);
}

/// What stands in no file any more can't be told from what never was there: the replica counts as wiped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_its_wal_is_rebuilt_and_two_damaged_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (log, handle) = start(dir.path(), 1);
    let mut primary = Primary::claim(&log, 0, "a", 60_000).await;
    for number in 0..500_u32 {
        primary.append(1, &number.to_le_bytes());
    }
    primary.settle().await.unwrap();
    let before = log.describe(0).await.unwrap();
    handle.stop();
    drop((log, handle));
    let database = |az: &str| dir.path().join(az).join("db");
    let remove_wal = |az: &str| {
        for entry in std::fs::read_dir(database(az)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                std::fs::remove_file(path).unwrap();
            }
        }
    };
    remove_wal("az-b");
    let (log, handle) = start(dir.path(), 1);
    until("the rebuilt replica", async || whole(&log, 0).await).await;
    assert!(dir.path().join("az-b").join("db.damaged").exists());
    assert_eq!(log.describe(0).await.unwrap().tail, before.tail);
    assert_eq!(read_all(&log, 0, 1).await.len(), 500);
    handle.stop();
    drop((log, handle));

    remove_wal("az-a");
    std::fs::write(database("az-c").join("CURRENT"), b"MANIFEST-nothing\n").unwrap();
    let refused = EmbeddedLog::start(config(dir.path(), 1)).err().unwrap();
    let StartError::TooManyDamaged { useless } = &refused else { panic!("{refused}") };
    assert!(useless[0].contains("az-a") && useless[1].contains("az-c"), "{refused}");
    assert!(!dir.path().join("az-a").join("db.damaged").exists());
}

/// In the middle of the largest table file, where entries lie.
fn flip_a_byte(db: &Path) {
    let files = std::fs::read_dir(db).unwrap().map(|entry| entry.unwrap().path());
    let tables = files.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
    let largest = tables.max_by_key(|path| path.metadata().unwrap().len()).expect("a table file");
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&largest, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_calls_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let (log, handle) = start(dir.path(), 1);
    let mut primary = Primary::claim(&log, 0, "a", 60_000).await;
    handle.stop();
    assert!(matches!(log.describe(0).await, Err(LogError::Unavailable(_))));
    primary.append(1, b"x");
    assert!(matches!(primary.settle().await, Err(LogError::Uncertain(_) | LogError::Unavailable(_))));
}
