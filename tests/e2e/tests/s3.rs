//! Proves snapshots on S3: taken, trimmed behind and restored from a real S3-speaking server; and while that server is
//! away, writes go on, the log stays whole, and an empty copy is never served in place of the data.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tests_harness::{Client, Fastkeep, Reply, Running, S3Server, binary};

/// Flags that put the snapshots into the bucket of `store`, on demand only.
fn flags(store: &S3Server) -> [&str; 10] {
    [
        "--store-url",
        "s3://bucket/some/prefix",
        "--store-s3-endpoint",
        &store.endpoint,
        "--store-s3-path-style",
        "true",
        "--store-s3-region",
        "us-east-1",
        "--snapshots-interval-secs",
        "0",
    ]
}

fn up(data: &Path, store: &S3Server) -> Fastkeep {
    Fastkeep::up(data, &flags(store))
        .env("AWS_ACCESS_KEY_ID", S3Server::KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET)
}

/// Pipelines keys of several types, `round` in every value.
fn write(client: &mut Client, round: u32) {
    for n in 0..200 {
        client.queue(&["SET", &format!("string:{n}"), &format!("{round}:{n}")]);
        client.queue(&["HSET", &format!("hash:{}", n % 7), &format!("field:{n}"), &format!("{round}")]);
        client.queue(&["RPUSH", "list", &format!("{round}:{n}")]);
        client.queue(&["ZADD", "board", &format!("{round}.{n}"), &format!("member:{n}")]);
    }
    client.flush().unwrap();
    for _ in 0..800 {
        let reply = client.read().unwrap();
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
    }
}

/// Where the log of the shard begins, and where it ends.
fn log(running: &Running) -> (u64, u64) {
    let info: serde_json::Value =
        serde_json::from_str(&running.ctl(&["log", "info", "--json"]).unwrap()).unwrap();
    let shard = &info["shards"][0];
    (shard["trim"].as_u64().unwrap(), shard["tail"].as_u64().unwrap())
}

fn segments(store: &S3Server) -> usize {
    let folder = store.files().join("some/prefix/shard-0/snapshots");
    let snapshots = std::fs::read_dir(folder).unwrap();
    snapshots.map(|snapshot| std::fs::read_dir(snapshot.unwrap().path()).unwrap().count()).sum()
}

#[test]
fn snapshots_on_s3_give_the_same_data_after_a_crash() {
    let store = S3Server::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = up(&data, &store);
    let mut running = server.start();
    let mut client = running.client();
    write(&mut client, 1);
    running.ctl(&["snapshot", "create"]).unwrap();
    let (trim, tail) = log(&running);
    assert_eq!(trim, tail, "the log behind a verified snapshot is trimmed");
    assert!(segments(&store) > 1, "segments and manifest lie in the bucket");
    assert!(!data.join("snapshots").join("shard-0").exists(), "and nowhere else");
    assert!(running.ctl(&["snapshot", "verify"]).unwrap().contains("ok"));

    // Some of the data is in the snapshot only, some in the log only.
    write(&mut client, 2);
    let digest = client.text("DEBUG DIGEST");
    running.kill();
    let running = server.start();
    assert_eq!(running.client().text("DEBUG DIGEST"), digest);
    running.ctl(&["snapshot", "create"]).unwrap();
    assert_eq!(running.client().text("DEBUG DIGEST"), digest);
}

#[test]
fn while_s3_is_away_writes_go_on_and_the_log_stays() {
    let mut store = S3Server::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = up(&data, &store);
    let mut running = server.start();
    let mut client = running.client();
    write(&mut client, 1);
    running.ctl(&["snapshot", "create"]).unwrap();
    let (trimmed, _) = log(&running);

    store.stop();
    write(&mut client, 2);
    let begun = Instant::now();
    let error = running.ctl(&["snapshot", "create"]).unwrap_err();
    assert!(error.contains("snapshot store") && error.contains(&store.endpoint), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60), "the answer took {:?}", begun.elapsed());
    write(&mut client, 3);
    let (trim, tail) = log(&running);
    assert_eq!(trim, trimmed, "nothing is trimmed without a snapshot");
    assert!(tail > trim);
    let digest = client.text("DEBUG DIGEST");
    running.kill();

    // Without the store there is no way to the older data: rather not ready than empty.
    store.start_again();
    store.faults.refuse.store(u32::MAX, Ordering::SeqCst);
    let waiting = std::thread::spawn({
        let server = server.clone();
        move || server.try_start()
    });
    std::thread::sleep(Duration::from_secs(4));
    assert!(!waiting.is_finished(), "it was ready without its snapshot, or gave up");
    store.faults.refuse.store(0, Ordering::SeqCst);
    let running = waiting.join().unwrap().unwrap();
    assert_eq!(running.client().text("DEBUG DIGEST"), digest);
    running.ctl(&["snapshot", "create"]).unwrap();
    let (trim, tail) = log(&running);
    assert_eq!(trim, tail);
}

#[test]
fn wrong_credentials_are_told_and_cost_no_data() {
    let store = S3Server::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = up(&data, &store);
    let mut running = server.start();
    write(&mut running.client(), 1);
    let digest = running.client().text("DEBUG DIGEST");
    running.kill();

    // It says why it isn't ready, and waits for somebody to put that right.
    let log = folder.path().join("wrong.log");
    let mut waiting = Command::new(binary())
        .args(["up", "--port", "0", "--http-port", "0", "--data"])
        .arg(&data)
        .args(flags(&store))
        .envs([("AWS_ACCESS_KEY_ID", S3Server::KEY_ID), ("AWS_SECRET_ACCESS_KEY", "wrong")])
        .stdout(File::create(folder.path().join("wrong.out")).unwrap())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let logged = || std::fs::read_to_string(&log).unwrap();
    while !logged().contains("SignatureDoesNotMatch") && begun.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = waiting.try_wait().unwrap();
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    assert!(ended.is_none() && logged().contains("SignatureDoesNotMatch"), "{ended:?}: {}", logged());
    let said = std::fs::read_to_string(folder.path().join("wrong.out")).unwrap();
    assert!(!said.contains("ready on"), "it was ready without its store: {said}");
    assert_eq!(server.start().client().text("DEBUG DIGEST"), digest);
}
