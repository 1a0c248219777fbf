//! Proves snapshots: taken under load, log trimmed behind them, restart gives exactly the same data, and
//! Redis's own tools read every segment.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tests_harness::{Client, Fastkeep, Oracle, Running};

/// Keys of every type, in small and large encodings, with and without expiry.
fn fill(client: &mut Client) {
    for n in 0..300 {
        client.run(&format!("SET string:{n} {}", "text".repeat(n % 40)));
        client.run(&format!("SET number:{n} {}", n * 1_000_003));
        client.run(&format!("HSET hash:{} field:{n} value:{n}", n % 3));
        client.run(&format!("RPUSH list:{} element:{n}", n % 3));
        client.run(&format!("SADD numbers:{} {n}", n % 3));
        client.run(&format!("SADD words:{} word:{n}", n % 3));
        client.run(&format!("ZADD board:{} {n}.5 member:{n}", n % 3));
    }
    for n in 0..2_000 {
        client.run(&format!("ZADD large {n} member:{n}"));
        client.run(&format!("HSET wide field:{n} {n}"));
    }
    client.run("EXPIREAT string:7 4102444800");
    client.run("SELECT 5");
    client.run("SET elsewhere yes");
    client.run("SELECT 0");
}

/// Adds keys of its own until told to stop.
fn write_on(port: u16, stop: &AtomicBool) {
    let mut client = Client::connect(port).unwrap();
    let mut n = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        client.run(&format!("SET live:{} {n}", n % 500));
        client.run(&format!("RPUSH live-list {n}"));
    }
}

fn files_with(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found
}

fn trimmed(running: &Running) -> u64 {
    let info: serde_json::Value =
        serde_json::from_str(&running.ctl(&["log", "info", "--json"]).unwrap()).unwrap();
    info["shards"][0]["trim"].as_u64().unwrap()
}

#[test]
fn a_snapshot_under_load_gives_the_same_data_and_redis_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Fastkeep::up(&data, &["--snapshots-interval-secs", "0"]);
    let mut running = server.start();
    let mut client = running.client();
    fill(&mut client);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, port) = (Arc::clone(&stop), running.port);
        std::thread::spawn(move || write_on(port, &stop))
    };
    running.ctl(&["snapshot", "create"]).unwrap();
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(trimmed(&running) > 0, "the log behind a verified snapshot is trimmed");
    let digest = client.text("DEBUG DIGEST");
    running.kill();

    let mut running = server.start();
    let mut client = running.client();
    assert_eq!(client.text("DEBUG DIGEST"), digest, "snapshot and log give exactly what was there");
    // Now a snapshot of everything, to be read by Redis itself.
    running.ctl(&["snapshot", "create"]).unwrap();
    assert!(running.ctl(&["snapshot", "verify"]).unwrap().contains("ok"));
    let digest_now = client.text("DEBUG DIGEST");
    assert_eq!(digest_now, digest);
    check_newest_with_redis(&running, &data.join("snapshots"), &mut client);
    running.kill();
    let running = server.start();
    assert_eq!(running.client().text("DEBUG DIGEST"), digest);
    check_that_damage_is_named(&running, &data.join("snapshots"));
}

/// One byte of one segment is another one: the verification fails and names the segment.
fn check_that_damage_is_named(running: &Running, store: &Path) {
    let object = newest_objects(running).remove(0);
    let path = store.join(&object);
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    damaged[sound.len() / 2] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let told = running.ctl(&["snapshot", "verify"]).unwrap_err();
    assert!(told.contains(&object) && told.contains("SHA-256"), "{told}");
    std::fs::write(&path, sound).unwrap();
    assert!(running.ctl(&["snapshot", "verify"]).unwrap().contains("ok"));
}

/// Names of the newest snapshot's segments.
fn newest_objects(running: &Running) -> Vec<String> {
    let listed: serde_json::Value =
        serde_json::from_str(&running.ctl(&["snapshot", "list", "--json"]).unwrap()).unwrap();
    let newest =
        listed["snapshots"].as_array().unwrap().iter().max_by_key(|s| s["position"].as_u64()).unwrap();
    newest["objects"].as_array().unwrap().iter().map(|object| object.as_str().unwrap().to_owned()).collect()
}

/// Every segment of the newest snapshot passes redis-check-rdb and loads into redis-server; together they
/// hold all keys, each with the same digest.
fn check_newest_with_redis(running: &Running, store: &Path, client: &mut Client) {
    let objects: Vec<PathBuf> = newest_objects(running).iter().map(|object| store.join(object)).collect();
    let all = files_with(store, "rdb");
    assert!(
        !objects.is_empty() && objects.iter().all(|object| all.contains(object)),
        "{objects:?} in {all:?}"
    );
    let mut keys = 0_u64;
    for object in &objects {
        let checked = Command::new("redis-check-rdb").arg(object).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(checked.status.success() && said.contains("RDB looks OK"), "{}: {said}", object.display());
        keys += load_and_compare(object, client);
    }
    let mut expected = client.text("DBSIZE").parse::<u64>().unwrap();
    expected += 1; // `elsewhere`, in database 5
    assert_eq!(keys, expected, "the segments together hold every key");
}

/// Loads one segment into redis-server and compares each key's digest; returns the number of keys.
fn load_and_compare(object: &Path, client: &mut Client) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(object, folder.path().join("dump.rdb")).unwrap();
    let oracle = Oracle::start(&["--dir", folder.path().to_str().unwrap()]);
    let mut redis = Client::connect(oracle.port).unwrap();
    let mut keys = 0;
    for database in [0, 5] {
        redis.run(&format!("SELECT {database}"));
        client.run(&format!("SELECT {database}"));
        let tests_harness::Reply::Array(names) = redis.run("KEYS *") else {
            panic!("KEYS must answer an array")
        };
        for name in names {
            let tests_harness::Reply::BulkString(name) = name else { panic!("a key must be a bulk string") };
            let ask = [b"DEBUG".as_slice(), b"DIGEST-VALUE", &name];
            assert_eq!(
                redis.call(&ask).unwrap(),
                client.call(&ask).unwrap(),
                "{}",
                String::from_utf8_lossy(&name)
            );
            keys += 1;
        }
    }
    client.run("SELECT 0");
    keys
}
