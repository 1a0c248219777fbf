//! Proves the snapshotter over the in-memory log, a folder and an S3 server: equal contents, only changed segments
//! rewritten, the log trimmed only behind what was verified, nothing broken by a crash, or a store damaged or away.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logsvc_api::{BlockBuilder, RecordKind};
use logsvc_client::memory::MemoryLog;
use logsvc_client::{Appender, Claim, LogService};
use proxy_store::effect::{ENGINE_VERSION, EffectIndex, EffectWriter, ExpireChange, Reason, decode};
use proxy_store::types::End;
use proxy_store::{Key, Keyspace, Limits, slot_of};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use snapshot_repo::{Location, RepoConfig, RepoError, Repository, S3Config, restore, restore_with_log};
use snapshot_worker::{Maker, SnapshotError, Snapshotter, SnapshotterConfig};
use tests_harness::S3Server;

/// A primary: what it writes goes to the log and, the same way, to its own keyspace.
struct World {
    log: Arc<MemoryLog>,
    repo: Arc<Repository>,
    folder: tempfile::TempDir,
    config: SnapshotterConfig,
    keyspace: Keyspace,
    builder: BlockBuilder,
    appender: Box<dyn Appender>,
    epoch: u64,
}

impl World {
    /// With its snapshots in a folder.
    async fn new(change: impl FnOnce(&mut SnapshotterConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = RepoConfig::folder(folder.path().join("store"));
        Self::on(folder, store, change).await
    }

    async fn on(
        folder: tempfile::TempDir,
        mut repo_config: RepoConfig,
        change: impl FnOnce(&mut SnapshotterConfig),
    ) -> Self {
        let log = Arc::new(MemoryLog::new(1));
        let claim =
            Claim { shard: 0, owner: "a".into(), lease_ms: 60_000, expected_epoch: 0, expected_tail: 0 };
        let claimed = log.claim(claim).await.unwrap();
        repo_config.retry.attempts = 1;
        repo_config.orphan_grace = Duration::ZERO;
        let repo = Arc::new(Repository::open(&repo_config).unwrap());
        let mut config =
            SnapshotterConfig { work_folder: folder.path().join("work"), keep_days: 0, ..Default::default() };
        change(&mut config);
        let appender = log.appender(0, claimed.epoch);
        let builder = BlockBuilder::new(0, claimed.tail, claimed.chain);
        let keyspace = Keyspace::new(Limits::default());
        Self { log, repo, folder, config, keyspace, builder, appender, epoch: claimed.epoch }
    }

    fn maker(&self) -> Maker {
        let log: Arc<dyn LogService> = self.log.clone();
        Maker { config: self.config.clone(), log, repo: Arc::clone(&self.repo) }
    }

    /// One record with the effects that `write` writes.
    fn record(&mut self, write: impl FnOnce(&mut EffectWriter<'_>)) {
        let mut body = Vec::new();
        write(&mut EffectWriter::new(&mut body, &mut EffectIndex::new()));
        self.builder.begin(RecordKind::Effects).extend_from_slice(&body);
        let position = self.builder.commit();
        for effect in decode(&body) {
            self.keyspace.apply(&effect.unwrap().0, None, position);
        }
    }

    fn send(&mut self) {
        let block = self.builder.seal(self.epoch, 1_700_000_000_000, 1);
        self.appender.append(block);
        assert!(self.appender.progress().failure().is_none());
    }

    fn set(&mut self, key: &str, value: &str) {
        self.record(|effects| {
            effects.set_string(Key::new(0, key.as_bytes()), None, value.as_bytes(), ExpireChange::Clear);
        });
        self.send();
    }

    /// A block of random effects on a few hundred keys of all types.
    fn random_block(&mut self, rng: &mut StdRng) {
        for _ in 0..rng.random_range(1..20) {
            let db = if rng.random_bool(0.8) { 0 } else { 3 };
            let shape = rng.random_range(0..5);
            let name = format!("{shape}:{}", rng.random_range(0..60));
            let item = format!("{}", rng.random_range(-50..50)).repeat(rng.random_range(1..40));
            let dice = rng.random_range(0..200);
            let other = format!("{shape}:{}", rng.random_range(0..60));
            let there = self.keyspace.find(Key::new(db, name.as_bytes())).entry().is_some();
            self.record(|effects| {
                let key = Key::new(db, name.as_bytes());
                match (dice, shape) {
                    (0, _) => return effects.flush_database(db),
                    (1, _) => return effects.swap_databases(0, 3),
                    (2..20, _) => return effects.delete(key, None, Reason::Expired),
                    (20..30, _) => return effects.expire_at(key, None, 1_000 + i64::from(dice)),
                    // Mostly into another segment, and on from there.
                    (30..60, _) if there && other != name => {
                        effects.move_value(key, None, Key::new(db, other.as_bytes()));
                        return effects.move_value(
                            Key::new(db, other.as_bytes()),
                            None,
                            Key::new(1, b"moved"),
                        );
                    }
                    (60..90, _) if there => {
                        return effects.move_value(key, None, Key::new(3 - db, other.as_bytes()));
                    }
                    (90..120, _) if there && other != name => {
                        effects.copy_value(key, Key::new(db, other.as_bytes()));
                        return effects.copy_value(Key::new(db, other.as_bytes()), Key::new(1, b"copied"));
                    }
                    (_, 0) => return effects.set_string(key, None, item.as_bytes(), ExpireChange::At(5)),
                    _ => {}
                }
                match shape {
                    1 => effects.hash_set(key, None).item(item.as_bytes(), b"value"),
                    2 => effects.list_push(key, None, End::Left).item(item.as_bytes()),
                    3 => effects.set_add(key, None).item(item.as_bytes()),
                    _ => effects.zset_add(key, None).item(item.as_bytes(), f64::from(dice) / 3.0),
                }
            });
        }
        self.send();
    }

    async fn restored(&self) -> (Keyspace, u64) {
        let mut keyspace = Keyspace::new(Limits::default());
        let restored = restore(&self.repo, 0, &mut keyspace, |_| ()).await.unwrap().unwrap();
        keyspace.check().unwrap();
        (keyspace, restored.position)
    }

    async fn trim(&self) -> u64 {
        self.log.describe(0).await.unwrap().trim
    }

    fn files(&self, end: &str) -> Vec<PathBuf> {
        let mut files: Vec<_> = walk(self.folder.path().join("store"));
        files.retain(|file| file.to_string_lossy().ends_with(end));
        files
    }
}

fn walk(folder: PathBuf) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(walk(entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// Everything in a keyspace: values as DUMP payloads rebuilt in one form, so that equal data compares equal.
fn contents(keyspace: &Keyspace) -> BTreeMap<(u8, Vec<u8>), (Option<i64>, String)> {
    use proxy_store::types::Value;
    let mut out = BTreeMap::new();
    for db in 0..16 {
        keyspace.for_each(db, &mut |entry| {
            let value = match entry.value() {
                Value::Str(text) => format!("{text:?}"),
                Value::List(list) => format!("{:?}", list.iter().collect::<Vec<_>>()),
                Value::Hash(hash) => format!("{:?}", hash.iter().collect::<BTreeMap<_, _>>()),
                Value::Set(set) => format!("{:?}", set.iter().collect::<std::collections::BTreeSet<_>>()),
                Value::ZSet(zset) => format!("{:?}", zset.iter().collect::<Vec<_>>()),
                Value::Stream(stream) => format!("{stream:?}"),
            };
            out.insert((db, entry.key().to_vec()), (entry.expire_at(), value));
        });
    }
    out
}

#[tokio::test]
async fn snapshots_equal_the_primary_at_every_step() {
    for seed in 0..4 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(|config| config.segments = 20).await;
        for _ in 0..8 {
            for _ in 0..rng.random_range(1..12) {
                world.random_block(&mut rng);
            }
            let made = world.maker().make(0, true).await.unwrap();
            let (restored, position) = world.restored().await;
            assert_eq!(position, world.builder.tail());
            assert_eq!(contents(&restored), contents(&world.keyspace), "seed {seed}");
            assert_eq!(world.trim().await, position);
            let manifest = made.manifest.unwrap();
            assert_eq!(manifest.chain(), world.builder.chain());
            let report = world.repo.verify(0, position).await.unwrap();
            assert_eq!(report.problems, Vec::<String>::new());
        }
        assert!(
            std::fs::read_dir(world.folder.path().join("work")).unwrap().next().is_none(),
            "work files stay"
        );
    }
}

#[tokio::test]
async fn only_changed_segments_are_rewritten() {
    let mut world = World::new(|config| config.segments = 64).await;
    for i in 0..2000 {
        world.set(&format!("key{i}"), "a");
    }
    let first = world.maker().make(0, true).await.unwrap().manifest.unwrap();
    assert_eq!(first.segments.len(), 64);
    let times = |world: &World| -> Vec<_> {
        world.files(".rdb").iter().map(|file| std::fs::metadata(file).unwrap().modified().unwrap()).collect()
    };
    let before = times(&world);
    world.set("key7", "b");
    let made = world.maker().make(0, true).await.unwrap();
    assert_eq!(made.rewritten, 1);
    let second = made.manifest.unwrap();
    let same = second.segments.iter().filter(|segment| first.segments.contains(segment)).count();
    assert_eq!((second.segments.len(), same), (64, 63));
    assert_eq!(second.previous, Some(first.position));
    assert_eq!(times(&world)[..64], before[..], "no old object was touched");
    assert_eq!(contents(&world.restored().await.0), contents(&world.keyspace));

    // The segment of the source is replayed for the copy's sake, and stays.
    world.record(|effects| effects.copy_value(Key::new(0, b"key7"), Key::new(0, b"key8")));
    world.send();
    assert_ne!(slot_of(b"key7") / 256, slot_of(b"key8") / 256);
    assert_eq!(world.maker().make(0, true).await.unwrap().rewritten, 1);
    assert_eq!(contents(&world.restored().await.0), contents(&world.keyspace));

    world.record(|effects| effects.flush_database(0));
    world.set("after", "flush");
    let made = world.maker().make(0, true).await.unwrap();
    assert_eq!(
        (made.rewritten, made.manifest.unwrap().segments.len()),
        (1, 1),
        "empty segments are left out"
    );
}

/// A segment that has grown is halved when it changes, and everything is still there once.
#[tokio::test]
async fn large_segments_are_halved() {
    let mut world = World::new(|config| (config.segments, config.segment_bytes) = (1, 2000)).await;
    for i in 0..1000 {
        world.set(&format!("key{i}"), &format!("value {i}"));
    }
    world.maker().make(0, true).await.unwrap();
    world.set("one", "more");
    let manifest = world.maker().make(0, true).await.unwrap().manifest.unwrap();
    assert!(manifest.segments.len() > 8, "{}", manifest.segments.len());
    assert_eq!(contents(&world.restored().await.0), contents(&world.keyspace));
}

#[tokio::test]
async fn the_log_stays_while_the_store_is_broken() {
    let mut world = World::new(|_| ()).await;
    world.set("a", "1");
    world.maker().make(0, true).await.unwrap();
    world.set("b", "2");
    // The snapshots' folder becomes a file: nothing can be written below it.
    let shard = world.folder.path().join("store/shard-0");
    std::fs::rename(&shard, world.folder.path().join("aside")).unwrap();
    std::fs::write(&shard, "in the way").unwrap();
    assert!(world.maker().make(0, true).await.is_err());
    assert_eq!(world.trim().await, 1);
    std::fs::remove_file(&shard).unwrap();
    std::fs::rename(world.folder.path().join("aside"), &shard).unwrap();
    world.maker().make(0, true).await.unwrap();
    assert_eq!(world.trim().await, 2);
    assert_eq!(contents(&world.restored().await.0), contents(&world.keyspace));
}

/// The same on a bucket: answers get lost, then the server goes away and comes back.
#[tokio::test]
async fn a_bucket_serves_as_well_as_a_folder() {
    let mut server = S3Server::start();
    let s3 = S3Config {
        bucket: S3Server::BUCKET.into(),
        endpoint: Some(server.endpoint.clone()),
        region: Some("eu-central-1".into()),
        path_style: true,
        credentials: Some((S3Server::KEY_ID.into(), S3Server::SECRET.into())),
    };
    let store = RepoConfig { location: Location::S3(s3), prefix: "a/b".into(), ..RepoConfig::folder("") };
    let mut world = World::on(tempfile::tempdir().unwrap(), store, |config| config.segments = 8).await;
    let mut rng = StdRng::seed_from_u64(9);
    for lost in [0, 0, 1, 1] {
        (0..5).for_each(|_| world.random_block(&mut rng));
        server.faults.do_and_fail.store(lost, Ordering::SeqCst);
        let made = world.maker().make(0, true).await.unwrap().manifest.unwrap();
        assert_eq!((made.position, made.chain()), (world.builder.tail(), world.builder.chain()));
        assert_eq!(contents(&world.restored().await.0), contents(&world.keyspace));
        assert_eq!(world.trim().await, made.position);
    }
    assert_eq!(world.repo.list(0).await.unwrap().len(), 3, "retention deletes objects");

    let kept = world.trim().await;
    server.stop();
    world.random_block(&mut rng);
    let error = world.maker().make(0, true).await.unwrap_err();
    assert!(error.to_string().contains("snapshot store"), "{error}");
    assert_eq!(world.trim().await, kept);
    server.start_again();
    world.maker().make(0, true).await.unwrap();
    assert_eq!(contents(&world.restored().await.0), contents(&world.keyspace));
    assert_eq!(world.trim().await, world.builder.tail());
}

/// A crash before the manifest leaves the old snapshot in force, and the next attempt succeeds and cleans up.
#[tokio::test]
async fn a_snapshot_without_manifest_does_not_exist() {
    let mut world = World::new(|config| config.keep_count = 1).await;
    world.set("a", "1");
    world.maker().make(0, true).await.unwrap();
    let before = contents(&world.keyspace);
    world.set("a", "2");
    world.maker().make(0, true).await.unwrap();
    // What the crash would leave: the segments of position 2, no manifest; and, here, the log not yet trimmed.
    let store = world.folder.path().join("store/shard-0/snapshots");
    let left = store.join(format!("{:020}/segment-00000-00511-00.rdb", 2));
    std::fs::write(&left, "half a segment").unwrap();
    world.set("a", "3");
    world.maker().make(0, true).await.unwrap();
    assert!(!left.exists(), "left over segments are deleted");

    let mut world = World::new(|_| ()).await;
    world.set("a", "1");
    world.maker().make(0, true).await.unwrap();
    let store = world.folder.path().join("store/shard-0/snapshots");
    std::fs::create_dir_all(store.join(format!("{:020}", 2))).unwrap();
    std::fs::write(store.join(format!("{:020}/segment-00000-00511-00.rdb", 2)), "half").unwrap();
    let (restored, position) = world.restored().await;
    assert_eq!((contents(&restored), position), (before, 1));
}

#[tokio::test]
async fn damaged_segments_are_named_and_never_built_upon() {
    let mut world = World::new(|config| (config.segments, config.keep_log_snapshots) = (1, 1)).await;
    world.set("a", "1");
    world.maker().make(0, true).await.unwrap();
    world.set("a", "2");
    world.maker().make(0, true).await.unwrap();
    assert_eq!(world.trim().await, 1, "the log behind the second newest snapshot is kept");
    let newest = world.files(".rdb").pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let name = newest.file_name().unwrap().to_str().unwrap();

    let problems = world.repo.verify(0, 2).await.unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains(name), "{problems:?}");
    let mut keyspace = Keyspace::new(Limits::default());
    let error = restore(&world.repo, 0, &mut keyspace, |_| ()).await.unwrap_err().to_string();
    assert!(error.contains(name), "{error}");

    // The log after the older snapshot is still there, so that one will do. Were it gone, it would not.
    let mut keyspace = Keyspace::new(Limits::default());
    let restored =
        restore_with_log(&world.repo, 0, 1, ENGINE_VERSION, &mut keyspace, |_| ()).await.unwrap().unwrap();
    assert_eq!((restored.position, keyspace.len(0)), (1, 1));
    assert!(restore_with_log(&world.repo, 0, 2, ENGINE_VERSION, &mut keyspace, |_| ()).await.is_err());

    // The next snapshot would have to read the damaged segment: it fails, and the log stays.
    world.set("a", "3");
    let error = world.maker().make(0, true).await.unwrap_err().to_string();
    assert!(error.contains(name), "{error}");
    assert_eq!(world.trim().await, 1);
}

#[tokio::test]
async fn a_log_that_does_not_continue_the_snapshot_is_refused() {
    let mut world = World::new(|_| ()).await;
    world.set("a", "1");
    world.maker().make(0, true).await.unwrap();
    // Another log: same positions, other contents.
    let mut other = World::new(|_| ()).await;
    other.set("x", "1");
    other.set("y", "2");
    other.repo = Arc::clone(&world.repo);
    let error = other.maker().make(0, true).await.unwrap_err();
    assert!(matches!(error, SnapshotError::Chain { .. }), "{error}");
    assert_eq!(other.trim().await, 0);
    // A log without its beginning, and no snapshot of it.
    let mut trimmed = World::new(|_| ()).await;
    trimmed.set("a", "1");
    trimmed.log.trim(0, 1).await.unwrap();
    assert!(matches!(trimmed.maker().make(0, true).await, Err(SnapshotError::LogGone { .. })));
}

#[tokio::test]
async fn records_of_a_newer_engine_are_left_in_the_log() {
    let mut world = World::new(|_| ()).await;
    world.set("a", "1");
    world.record(|effects| {
        effects.set_string(Key::new(0, b"b"), None, b"2", ExpireChange::Clear);
    });
    let block = world.builder.seal(world.epoch, 1, ENGINE_VERSION + 1);
    world.appender.append(block);
    let made = world.maker().make(0, true).await.unwrap();
    assert_eq!((made.manifest.unwrap().position, world.trim().await), (1, 1));
    let refused = world.maker().make(0, true).await;
    assert!(
        matches!(refused, Err(SnapshotError::EngineVersion { needed, .. }) if needed == ENGINE_VERSION + 1)
    );

    // A newer snapshotter takes it up. What it makes then, older programs don't touch: they begin at the snapshot before.
    let mut newer = world.maker();
    newer.config.engine_version += 1;
    newer.config.keep_log_snapshots = 1;
    let made = newer.make(0, true).await.unwrap().manifest.unwrap();
    assert_eq!((made.position, made.engine_version), (2, ENGINE_VERSION + 1));
    assert!(matches!(world.maker().make(0, true).await, Err(SnapshotError::Repo(RepoError::Newer { .. }))));
    for (version, position) in [(ENGINE_VERSION, 1), (ENGINE_VERSION + 1, 2)] {
        let mut keyspace = Keyspace::new(Limits::default());
        let restored =
            restore_with_log(&world.repo, 0, 1, version, &mut keyspace, |_| ()).await.unwrap().unwrap();
        assert_eq!((restored.position, keyspace.len(0)), (position, position));
    }
}

#[tokio::test]
async fn retention_keeps_the_newest_and_what_they_need() {
    let mut world = World::new(|config| config.keep_count = 2).await;
    world.set("never changed", "x");
    for i in 0..5 {
        world.set("changed", &i.to_string());
        world.maker().make(0, true).await.unwrap();
    }
    let listed = world.repo.list(0).await.unwrap();
    assert_eq!(listed.iter().map(|listed| listed.position).collect::<Vec<_>>(), [5, 6]);
    for listed in listed {
        assert_eq!(world.repo.verify(0, listed.position).await.unwrap().problems, Vec::<String>::new());
    }
    assert_eq!(world.files(".rdb").len(), 3, "one unchanged, two of the changed segment");
    assert_eq!(contents(&world.restored().await.0), contents(&world.keyspace));
}

#[tokio::test]
async fn the_schedule_works_by_time_size_and_demand() {
    let mut world = World::new(|config| {
        config.poll = Duration::from_millis(10);
        config.interval = Duration::ZERO;
        config.log_bytes = 5000;
    })
    .await;
    let log: Arc<dyn LogService> = world.log.clone();
    let handle = Snapshotter::start(world.config.clone(), log, Arc::clone(&world.repo));
    world.set("a", "1");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(handle.status()[0].position, None, "nothing is due");
    let status = handle.trigger(None).await.unwrap();
    assert_eq!((status[0].position, status[0].keys, status[0].made), (Some(1), 1, 1));
    assert!(handle.trigger(Some(9)).await.is_err());

    world.set("b", &"x".repeat(6000));
    wait_for(|| handle.status()[0].position == Some(2)).await;
    world.log.set_unavailable(Some("away"));
    let error = handle.trigger(None).await.unwrap_err();
    assert!(error.contains("away"), "{error}");
    assert!(handle.status()[0].error.is_some());
    world.log.set_unavailable(None);
    handle.trigger(None).await.unwrap();
    assert_eq!(handle.status()[0].error, None);
    handle.shutdown().await;

    world.config.interval = Duration::from_millis(50);
    let log: Arc<dyn LogService> = world.log.clone();
    let handle = Snapshotter::start(world.config.clone(), log, Arc::clone(&world.repo));
    world.set("c", "3");
    wait_for(|| handle.status()[0].position == Some(3)).await;
    assert_eq!(contents(&world.restored().await.0), contents(&world.keyspace));
}

async fn wait_for(mut condition: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it didn't happen");
}
