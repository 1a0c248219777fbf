//! Proves the deployment of separate processes over TCP: three log replicas, a proxy, a snapshotter.
//!
//! A log replica is killed, or paused, under load without an error reaching a client, and catches up; a proxy is
//! killed and another one with an empty disk restores all from snapshot and log; a proxy that was paused beyond
//! its lease serves nothing that the log does not have.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tests_harness::{Client, Cluster, Reply, Running, ZONES};

/// Counts up keys of its own until told to stop; every reply must be a success.
fn write_steadily(port: u16, writer: usize, stop: &AtomicBool, written: &AtomicU64) {
    let mut client = Client::connect(port).unwrap();
    let mut n = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let reply = client.call(&["INCR", &format!("count:{writer}")]).unwrap();
        assert_eq!(reply, Reply::Integer(n as i64), "writer {writer}");
        written.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until `done` writes more have been answered.
fn wait_for_writes(written: &AtomicU64, more: u64, what: &str) {
    let (start, begun) = (written.load(Ordering::Relaxed), Instant::now());
    while written.load(Ordering::Relaxed) < start + more {
        assert!(begun.elapsed() < Duration::from_secs(30), "writes stopped {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn one_log_replica_is_killed_under_load_and_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 2);
    let mut logs = cluster.start_logs();
    let proxy = cluster.node("proxy", "az-a").start();
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (stop, written, port) = (Arc::clone(&stop), Arc::clone(&written), proxy.port);
            std::thread::spawn(move || write_steadily(port, writer, &stop, &written))
        })
        .collect();
    wait_for_writes(&written, 500, "before anything was killed");
    for at in 0..3 {
        logs[at].kill();
        wait_for_writes(&written, 500, &format!("after {} was killed", ZONES[at]));
        logs[at] = cluster.logs[at].start();
        wait_for_caught_up(&logs[at], &proxy);
        wait_for_writes(&written, 500, &format!("after {} was started again", ZONES[at]));
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().unwrap();
    }
}

/// Waits until no replica of any shard or of the metadata log lags, as the leader sees it.
fn wait_for_caught_up(log: &Running, proxy: &Running) {
    let begun = Instant::now();
    loop {
        let info: serde_json::Value =
            serde_json::from_str(&proxy.ctl(&["log", "info", "--json"]).unwrap()).unwrap();
        let replicas = info["replicas"].as_array().unwrap();
        let healthy = replicas.len() == 9
            && replicas.iter().all(|replica| {
                matches!(replica["state"].as_str(), Some("leader" | "follower"))
                    && replica["lag"].as_u64().unwrap() < 200
            });
        if healthy {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not caught up: {info}; {}", log.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn another_proxy_with_an_empty_disk_restores_all() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let _logs = cluster.start_logs();
    let snapshotter = cluster.snapshotter.start();
    let mut first = cluster.node("proxy-1", "az-a").start();
    let mut client = first.client();
    let fill = |client: &mut Client, from: u32| {
        for n in from..from + 3_000 {
            client.queue(&["SET", &format!("key:{n}"), &format!("value:{n}")]);
            client.queue(&["ZADD", "board", &n.to_string(), &format!("member:{n}")]);
        }
        client.flush().unwrap();
        for _ in 0..6_000 {
            assert!(!matches!(client.read().unwrap(), Reply::Error(_)));
        }
    };
    fill(&mut client, 0);
    // The first half comes back from a snapshot, the log behind it being trimmed, the second from the log.
    snapshotter.ctl(&["snapshot", "create"]).unwrap();
    fill(&mut client, 3_000);
    let digest = client.text("DEBUG DIGEST");
    first.kill();

    let second = cluster.node("proxy-2", "az-a").start();
    let mut client = second.client();
    assert_eq!(client.text("DEBUG DIGEST"), digest);
    assert_eq!(client.text("DBSIZE"), "6001");
    assert_eq!(client.text("GET key:5999"), "value:5999");
    assert_eq!(client.text("SET key:6000 more"), "OK");
}

#[test]
fn a_paused_log_replica_holds_nobody_up_and_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 2);
    let logs = cluster.start_logs();
    let proxy = cluster.node("proxy", "az-a").start();
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (stop, written, port) = (Arc::clone(&stop), Arc::clone(&written), proxy.port);
        std::thread::spawn(move || write_steadily(port, 0, &stop, &written))
    };
    for (zone, log) in ZONES.iter().zip(&logs) {
        log.signal("STOP");
        wait_for_writes(&written, 200, &format!("while {zone} was paused"));
        log.signal("CONT");
        wait_for_caught_up(log, &proxy);
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}

#[test]
fn a_proxy_paused_beyond_its_lease_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let _logs = cluster.start_logs();
    let proxy = cluster.node("proxy", "az-a").start();
    let mut client = proxy.client();
    for n in 1..=500 {
        assert_eq!(client.run("INCR count"), Reply::Integer(n));
    }
    // One write is on its way when the process freezes; what becomes of it may be unknown, but must be one of two.
    client.queue(&["INCR", "count"]);
    proxy.signal("STOP");
    client.flush().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    proxy.signal("CONT");
    let answered = matches!(client.read(), Ok(Reply::Integer(501)));
    let count = count_when_served(&proxy);
    assert!(
        count == 501 || (count == 500 && !answered),
        "count is {count}, the last write answered: {answered}"
    );
    let mut client = proxy.client();
    assert_eq!(client.run("INCR count"), Reply::Integer(count + 1));
}

/// The counter, as soon as the shard is served again.
fn count_when_served(proxy: &Running) -> i64 {
    let begun = Instant::now();
    loop {
        if let Ok(Reply::BulkString(text)) = proxy.client().call(&["GET", "count"]) {
            return String::from_utf8_lossy(&text).parse().unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not served again: {}", proxy.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}
