//! Proves the interface of the binary that others rely on: ports, refusals, a clean stop, ctl and HTTP.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use tests_harness::{Fastkeep, Running, binary};

fn http_get(running: &Running, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", running.http_port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_second_instance_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Fastkeep::up(&folder.path().join("data"), &[]);
    let mut first = server.start();
    let refused = server.try_start().err().expect("the second instance must be refused");
    assert!(refused.contains("in use by another fastkeep"), "{refused}");
    assert!(first.is_alive());
    assert_eq!(first.client().text("PING"), "PONG");
}

#[test]
fn a_changed_number_of_shards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert!(Fastkeep::up(&data, &["--shards", "2"]).start().stop().success());
    let refused = Fastkeep::up(&data, &["--shards", "3"]).try_start().err().expect("must be refused");
    assert!(refused.contains("shards"), "{refused}");
    assert!(Fastkeep::up(&data, &["--shards", "2"]).start().stop().success());
}

#[test]
fn sigterm_stops_cleanly_and_the_data_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Fastkeep::up(&folder.path().join("data"), &[]);
    let running = server.start();
    assert_eq!(running.client().text("SET greeting hello"), "OK");
    assert!(running.stop().success());
    let running = server.start();
    assert_eq!(running.client().text("GET greeting"), "hello");
}

#[test]
fn sighup_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let running = Fastkeep::up(&folder.path().join("data"), &[]).start();
    running.signal("HUP");
    assert_eq!(running.client().text("PING"), "PONG");
    assert!(running.stop().success());
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = Fastkeep::up(&folder.path().join("data"), &["--port", &port]).try_start().err().unwrap();
    assert!(refused.contains(&port), "{refused}");
}

#[test]
fn unknown_keys_in_a_file_are_named_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("up.toml");
    std::fs::write(&config, "port = 0\nprot = 7\n").unwrap();
    let output = Command::new(binary()).args(["up", "--config"]).arg(&config).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("line 2") && text.contains("prot"), "{text}");
}

fn keys_told(running: &Running) -> u64 {
    let shards: serde_json::Value =
        serde_json::from_str(&running.ctl(&["shards", "--json"]).unwrap()).unwrap();
    shards["shards"].as_array().unwrap().iter().map(|shard| shard["keys"].as_u64().unwrap()).sum()
}

#[test]
fn ctl_and_http_answer() {
    let folder = tempfile::tempdir().unwrap();
    let running = Fastkeep::up(&folder.path().join("data"), &["--shards", "2"]).start();
    let mut client = running.client();
    for key in 0..100 {
        assert_eq!(client.text(&format!("SET key:{key} {key}")), "OK");
    }
    let status: serde_json::Value =
        serde_json::from_str(&running.ctl(&["status", "--json"]).unwrap()).unwrap();
    assert_eq!(status["ready"], true, "{status}");
    // Workers publish their figures a few times a second.
    let begun = Instant::now();
    while keys_told(&running) != 100 {
        assert!(begun.elapsed() < Duration::from_secs(10), "ctl shards tells {} keys", keys_told(&running));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(running.ctl(&["nodes"]).unwrap().contains("az-b"));
    assert!(running.ctl(&["log", "info"]).unwrap().contains("leader"));
    assert!(running.ctl(&["snapshot", "create"]).unwrap().contains("shard"));
    let listed: serde_json::Value =
        serde_json::from_str(&running.ctl(&["snapshot", "list", "--json"]).unwrap()).unwrap();
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 2, "{listed}");
    assert!(running.ctl(&["snapshot", "verify"]).unwrap().contains("ok"));

    assert!(http_get(&running, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(http_get(&running, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(http_get(&running, "/nowhere").starts_with("HTTP/1.1 404"));
    let metrics = http_get(&running, "/metrics");
    assert!(metrics.contains("fastkeep_") && metrics.contains("# TYPE"), "{metrics}");
}

#[test]
fn ctl_says_what_it_cannot_reach() {
    let output =
        Command::new(binary()).args(["ctl", "--http", "http://127.0.0.1:1", "status"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("127.0.0.1:1"), "{text}");
}
