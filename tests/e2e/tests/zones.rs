//! Proves what the loss of zone folders does to `fastkeep up`: one is rebuilt, two stop it untouched.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use tests_harness::{Fastkeep, Reply, Running};

fn write(running: &Running, keys: u32) {
    let mut client = running.client();
    for key in 0..keys {
        client.queue(&["SET", &format!("key:{key}"), &format!("value:{key}")]);
    }
    client.flush().unwrap();
    for _ in 0..keys {
        assert_eq!(client.read().unwrap(), Reply::SimpleString(b"OK".to_vec()));
    }
}

fn check(running: &Running, keys: u32) {
    let mut client = running.client();
    for key in 0..keys {
        assert_eq!(client.text(&format!("GET key:{key}")), format!("value:{key}"));
    }
}

/// Files of a folder, recursively, with their sizes.
fn listing(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.metadata().unwrap();
            if kind.is_dir() {
                found.push((entry.path().display().to_string(), 0));
                open.push(entry.path());
            } else {
                found.push((entry.path().display().to_string(), kind.len()));
            }
        }
    }
    found.sort();
    found
}

/// Waits until all replicas of the shard and of the metadata log are followers or leader: three of each, none on its way in or out.
fn wait_for_three(running: &Running) {
    let begun = Instant::now();
    loop {
        let info = running.ctl(&["log", "info", "--json"]).unwrap();
        let value: serde_json::Value = serde_json::from_str(&info).unwrap();
        let replicas = value["replicas"].as_array().unwrap();
        let well = |r: &serde_json::Value| matches!(r["state"].as_str(), Some("leader" | "follower"));
        if replicas.len() == 6 && replicas.iter().all(well) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "the third replica did not come back: {info}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn one_zone_deleted_is_rebuilt_and_two_deleted_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Fastkeep::up(&data, &[]);
    let running = server.start();
    write(&running, 2_000);
    assert!(running.stop().success());

    std::fs::remove_dir_all(data.join("logsvc/az-b")).unwrap();
    let running = server.start();
    check(&running, 2_000);
    write(&running, 3_000);
    wait_for_three(&running);
    assert!(running.stop().success());

    // The rebuilt zone carries its weight: with another one gone, it and the third hold everything.
    std::fs::remove_dir_all(data.join("logsvc/az-a")).unwrap();
    let running = server.start();
    check(&running, 3_000);
    wait_for_three(&running);
    assert!(running.stop().success());

    std::fs::remove_dir_all(data.join("logsvc/az-a")).unwrap();
    std::fs::remove_dir_all(data.join("logsvc/az-c")).unwrap();
    let before = listing(&data.join("logsvc"));
    let refused = server.try_start().err().expect("it must refuse to serve with two zones gone");
    assert!(refused.contains("az-a") && refused.contains("az-c"), "the refusal names the zones: {refused}");
    assert_eq!(listing(&data.join("logsvc")), before, "a refused start touches nothing");
}
