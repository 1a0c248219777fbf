//! Proves that commands that wait work over the whole path, with the real log: woken by a push on any shard, and
//! that an element that was popped for somebody stays popped when the process is killed right after the answer.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use tests_harness::{Client, Fastkeep, Reply, Running};

/// A client that has sent this and waits.
fn waiting(running: &Running, words: &str) -> Client {
    let (mut client, mut watcher) = (running.client(), running.client());
    client.queue(&words.split(' ').collect::<Vec<_>>());
    client.flush().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !watcher.text("INFO clients").contains("blocked_clients:1\r\n") {
        assert!(Instant::now() < until, "it doesn't wait: {words}");
        std::thread::sleep(Duration::from_millis(5));
    }
    client
}

#[test]
fn queues_on_any_shard() {
    let folder = tempfile::tempdir().unwrap();
    for shards in ["1", "3"] {
        let running = Fastkeep::up(&folder.path().join(shards), &["--shards", shards]).start();
        let mut pusher = running.client();
        for key in ["a", "b", "c", "d", "e", "f"] {
            let mut popper = waiting(&running, &format!("BLPOP {key} 0"));
            assert_eq!(pusher.text(&format!("RPUSH {key} 1 2")), "2");
            assert_eq!(popper.read().unwrap(), popped(key));
            assert_eq!(pusher.text(&format!("LPOP {key}")), "2");
        }
        assert_eq!(pusher.text("BLMOVE none none LEFT LEFT 0.01"), "(nil)");
        let _idle = waiting(&running, "BLPOP none 0");
        assert!(running.stop().success(), "a client that waits does not keep the process up");
    }
}

fn popped(key: &str) -> Reply {
    Reply::Array(vec![Reply::BulkString(key.as_bytes().to_vec()), Reply::BulkString(b"1".to_vec())])
}

#[test]
fn a_served_pop_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let fastkeep = Fastkeep::up(&folder.path().join("data"), &["--shards", "1"]);
    let mut running = fastkeep.start();
    let mut popper = waiting(&running, "BLMOVE queue taken LEFT RIGHT 30");
    assert_eq!(running.client().text("RPUSH queue 1 2"), "2");
    assert_eq!(popper.read().unwrap(), Reply::BulkString(b"1".to_vec()));
    running.kill();
    let running = fastkeep.start();
    let mut client = running.client();
    assert_eq!(client.text("LLEN queue"), "1");
    assert_eq!(client.text("LINDEX queue 0"), "2");
    assert_eq!(client.text("LINDEX taken -1"), "1");
}
