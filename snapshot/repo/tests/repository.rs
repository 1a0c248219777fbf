//! Proves the repository on both kinds of store: a folder, and a real S3-speaking server started here. The same suite
//! runs on both; what only a network does (lost answers, credentials) is tested on the server.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use proxy_store::effect::{EffectIndex, EffectWriter, ExpireChange, decode};
use proxy_store::{Key, Keyspace, Limits, SLOTS};
use snapshot_rdb::{About, save};
use snapshot_repo::{
    Location, Manifest, NewSnapshot, RepoConfig, RepoError, Repository, S3Config, Segment, restore,
};
use tests_harness::S3Server;

fn on_server(server: &S3Server, prefix: &str) -> RepoConfig {
    let s3 = S3Config {
        bucket: S3Server::BUCKET.into(),
        endpoint: Some(server.endpoint.clone()),
        region: Some("eu-central-1".into()),
        path_style: true,
        credentials: Some((S3Server::KEY_ID.into(), S3Server::SECRET.into())),
    };
    RepoConfig { location: Location::S3(s3), prefix: prefix.into(), ..RepoConfig::folder("") }
}

fn keyspace(keys: usize, value_bytes: usize, seed: u64) -> Keyspace {
    let mut keyspace = Keyspace::new(Limits::default());
    for i in 0..keys {
        // Not compressible, so that sizes are what they seem.
        let mut state = seed.wrapping_mul(7919).wrapping_add(i as u64 + 1);
        let value: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        })
        .take(value_bytes)
        .collect();
        let name = format!("key{i}");
        let mut body = Vec::new();
        let mut index = EffectIndex::new();
        EffectWriter::new(&mut body, &mut index).set_string(
            Key::new(0, name.as_bytes()),
            None,
            &value,
            ExpireChange::Clear,
        );
        for effect in decode(&body) {
            keyspace.apply(&effect.unwrap().0, None, 1);
        }
    }
    keyspace
}

async fn segments(repo: &Repository, position: u64, keyspace: &Keyspace) -> Vec<Segment> {
    let mut out = Vec::new();
    for slots in [0..8192, 8192..SLOTS] {
        let (file, saved) = save(Vec::new(), keyspace, slots.clone(), &About::default()).unwrap();
        out.push(repo.put_segment(0, position, slots, Bytes::from(file), saved).await.unwrap());
    }
    out
}

fn snapshot(position: u64, previous: Option<u64>, segments: Vec<Segment>) -> NewSnapshot {
    let created_ms = position * 1000;
    NewSnapshot {
        shard: 0,
        position,
        chain: 77,
        epoch: 1,
        time_ms: 1,
        created_ms,
        engine_version: 1,
        segments,
        previous,
    }
}

async fn make(repo: &Repository, position: u64, previous: Option<u64>, seed: u64) -> Manifest {
    let segments = segments(repo, position, &keyspace(100, 50, seed)).await;
    repo.publish(snapshot(position, previous, segments)).await.unwrap()
}

fn objects(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(objects(&entry.path(), end));
        } else if entry.path().to_string_lossy().ends_with(end) {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// What must hold on every store. `files`: where its objects lie as files, to damage them.
async fn suite(mut config: RepoConfig, files: &Path) {
    config.orphan_grace = Duration::ZERO;
    config.retry.attempts = 3;
    let repo = Repository::open(&config).unwrap();
    assert!(repo.latest(0).await.unwrap().is_none());
    assert!(repo.list(0).await.unwrap().is_empty());
    let mut nothing = Keyspace::new(Limits::default());
    assert!(restore(&repo, 0, &mut nothing, |_| ()).await.unwrap().is_none());

    // Published once, found by another process, restored in full.
    let first = make(&repo, 10, None, 1).await;
    let other = Repository::open(&config).unwrap();
    assert_eq!(other.latest(0).await.unwrap().unwrap(), first);
    let mut keyspace = Keyspace::new(Limits::default());
    let mut last = None;
    let restored =
        restore(&other, 0, &mut keyspace, |progress| last = Some(progress)).await.unwrap().unwrap();
    assert_eq!((restored.position, restored.chain, restored.keys), (10, 77, 100));
    assert_eq!(keyspace.len(0), 100);
    assert_eq!(last.unwrap().percent(), 100.0);

    // The position is taken, and the newest snapshot must be continued.
    let again = snapshot(10, None, first.segments.clone());
    assert!(matches!(other.publish(again).await, Err(RepoError::Conflict { .. })));
    let gap = snapshot(30, Some(20), first.segments.clone());
    assert!(matches!(other.publish(gap).await, Err(RepoError::Conflict { .. })));

    // Two at the same moment: the store lets one through.
    let (a, b) =
        (snapshot(20, Some(10), first.segments.clone()), snapshot(20, Some(10), first.segments.clone()));
    let (a, b) = futures::join!(repo.publish(a), other.publish(b));
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1, "{a:?} {b:?}");
    let conflict = a.err().or(b.err());
    assert!(matches!(conflict, Some(RepoError::Conflict { .. })), "{conflict:?}");

    // Retention: 10's segments are still named by 20, those of 30 only by itself.
    make(&repo, 30, Some(20), 3).await;
    make(&repo, 40, Some(30), 4).await;
    assert_eq!(repo.prune(0, 3, 0, 50_000).await.unwrap().snapshots, [10]);
    assert_eq!(objects(files, ".rdb").len(), 6);
    assert_eq!(
        repo.prune(0, 1, 1, 50_000).await.unwrap().snapshots,
        Vec::<u64>::new(),
        "all are younger than a day"
    );
    let pruned = repo.prune(0, 1, 1, 40_000 + 24 * 3600 * 1000).await.unwrap();
    assert_eq!((pruned.snapshots, pruned.segments), (vec![20, 30], 4));
    assert_eq!(objects(files, ".rdb").len(), 2);

    // Every kind of damage is found and named.
    assert_eq!(repo.verify(0, 40).await.unwrap().problems, Vec::<String>::new());
    let victim = objects(files, ".rdb").remove(0);
    let good = std::fs::read(&victim).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 0x10;
    for bad in [Some(flipped), Some(good[..good.len() - 1].to_vec()), None] {
        match bad {
            Some(bad) => std::fs::write(&victim, bad).unwrap(),
            None => std::fs::remove_file(&victim).unwrap(),
        }
        let problems = repo.verify(0, 40).await.unwrap().problems;
        assert!(problems.len() == 1 && problems[0].contains("segment-00000-08191"), "{problems:?}");
        let mut keyspace = Keyspace::new(Limits::default());
        let error = restore(&repo, 0, &mut keyspace, |_| ()).await.unwrap_err();
        assert!(matches!(error, RepoError::Segment { .. }), "{error}");
    }
    std::fs::write(&victim, good).unwrap();
    assert_eq!(repo.verify(0, 40).await.unwrap().problems, Vec::<String>::new());
    let manifest = objects(files, "manifest.json").remove(0);
    let text = std::fs::read_to_string(&manifest).unwrap().replace("\"epoch\": 1", "\"epoch\": 2");
    std::fs::write(&manifest, text).unwrap();
    assert!(matches!(repo.latest(0).await, Err(RepoError::Manifest { .. })));
    assert!(matches!(repo.prune(0, 1, 0, 50_000).await, Err(RepoError::Manifest { .. })));
}

#[tokio::test]
async fn folder() {
    let folder = tempfile::tempdir().unwrap();
    suite(RepoConfig::folder(folder.path().join("made/for/it")), folder.path()).await;
}

#[tokio::test]
async fn folder_with_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let config = RepoConfig { prefix: "a/b".into(), ..RepoConfig::folder(folder.path()) };
    suite(config, folder.path()).await;
    assert!(folder.path().join("a/b/shard-0/snapshots").is_dir());
}

#[tokio::test]
async fn bucket() {
    let server = S3Server::start();
    suite(on_server(&server, "some/prefix"), &server.files()).await;
}

/// Segments above the size of one part go through multipart uploads and ranged reads.
#[tokio::test]
async fn large_segments_go_in_parts() {
    let server = S3Server::start();
    let folder = tempfile::tempdir().unwrap();
    for config in [on_server(&server, ""), RepoConfig::folder(folder.path())] {
        let repo = Repository::open(&config).unwrap();
        let keyspace = keyspace(400, 200_000, 5);
        let segments = segments(&repo, 1, &keyspace).await;
        assert!(segments.iter().all(|segment| segment.bytes > 32 << 20));
        repo.publish(snapshot(1, None, segments)).await.unwrap();
        assert_eq!(repo.verify(0, 1).await.unwrap().problems, Vec::<String>::new());
    }
}

#[tokio::test]
async fn lost_answers_are_resolved() {
    let server = S3Server::start();
    let repo = Repository::open(&on_server(&server, "")).unwrap();
    // Every put is done and then fails, twice: the client's own retry is not enough.
    server.faults.do_and_fail.store(2, Ordering::SeqCst);
    let segments = segments(&repo, 1, &keyspace(10, 10, 1)).await;
    server.faults.do_and_fail.store(2, Ordering::SeqCst);
    let published = repo.publish(snapshot(1, None, segments.clone())).await.unwrap();
    assert_eq!(server.faults.do_and_fail.load(Ordering::SeqCst), 0);
    assert_eq!(repo.latest(0).await.unwrap().unwrap(), published, "our own manifest was recognised");

    server.faults.refuse.store(3, Ordering::SeqCst);
    assert_eq!(repo.verify(0, 1).await.unwrap().problems, Vec::<String>::new(), "refusals are retried");
    server.faults.refuse.store(u32::MAX, Ordering::SeqCst);
    let mut config = on_server(&server, "");
    config.retry.attempts = 2;
    let error = Repository::open(&config).unwrap().latest(0).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
}

/// Wrong credentials and a wrong bucket are told at once, without retries.
#[tokio::test]
async fn wrong_credentials_and_buckets_are_final() {
    let server = S3Server::start();
    let mut config = on_server(&server, "");
    if let Location::S3(s3) = &mut config.location {
        s3.credentials = Some((S3Server::KEY_ID.into(), "wrong".into()));
    }
    let error = Repository::open(&config).unwrap().latest(0).await.unwrap_err();
    assert!(!matches!(error, RepoError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("403"), "{error}");
    assert_eq!(server.faults.requests.load(Ordering::SeqCst), 1);

    let mut config = on_server(&server, "");
    if let Location::S3(s3) = &mut config.location {
        s3.bucket = "elsewhere".into();
    }
    let error = Repository::open(&config).unwrap().latest(0).await.unwrap_err();
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    assert_eq!(server.faults.requests.load(Ordering::SeqCst), 2);
}

const CHILD: &str = "FASTKEEP_TEST_S3_ENDPOINT";

/// Without given credentials the usual AWS variables are used. They belong to a process, so a child is started: this
/// same test, which sees by a variable that it is the child.
#[tokio::test]
async fn credentials_from_the_environment() {
    if let Ok(endpoint) = std::env::var(CHILD) {
        let config = RepoConfig::from_url("s3://bucket/from-env", &endpoint, "", true).unwrap();
        make(&Repository::open(&config).unwrap(), 5, None, 1).await;
        return;
    }
    let server = S3Server::start();
    let (endpoint, program) = (server.endpoint.clone(), std::env::current_exe().unwrap());
    let child = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["--exact", "credentials_from_the_environment"])
            .env(CHILD, endpoint)
            .env("AWS_ACCESS_KEY_ID", S3Server::KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET)
            .env("AWS_REGION", "eu-west-1")
            .output()
            .unwrap()
    });
    let output = child.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(objects(&server.files().join("from-env"), ".rdb").len(), 2);
}

#[test]
fn urls() {
    let s3 = |config: RepoConfig| match config.location {
        Location::S3(s3) => s3,
        Location::Folder(path) => panic!("a folder: {}", path.display()),
    };
    let config = RepoConfig::from_url("s3://b/c/d/", "http://h:1", "r", true).unwrap();
    assert_eq!(config.prefix, "c/d");
    let expected = S3Config {
        bucket: "b".into(),
        endpoint: Some("http://h:1".into()),
        region: Some("r".into()),
        path_style: true,
        credentials: None,
    };
    assert_eq!(s3(config), expected);
    for folder in ["file:/x/y", "file:///x/y", "/x/y"] {
        let location = RepoConfig::from_url(folder, "", "", false).unwrap().location;
        assert_eq!(location, Location::Folder("/x/y".into()));
    }
    assert!(RepoConfig::from_url("s3://", "", "", false).is_err());
    assert!(RepoConfig::from_url("gs://b", "", "", false).is_err());
    assert!(RepoConfig::from_url("", "", "", false).is_err());
}

/// The shard restores on a thread that other tasks share, through a boxed future.
#[test]
fn restore_can_be_sent() {
    fn sent(_: impl Send) {}
    let folder = tempfile::tempdir().unwrap();
    let repo = Repository::open(&RepoConfig::folder(folder.path())).unwrap();
    let mut keyspace = Keyspace::new(Limits::default());
    sent(restore(&repo, 0, &mut keyspace, |_| ()));
}
