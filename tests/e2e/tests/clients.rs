//! Proves that real, unmodified clients work: redis-cli, redis-benchmark, redis-py, and redis-rs (async).
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use redis::AsyncCommands;
use tests_harness::{Fastkeep, Running};

fn start(folder: &tempfile::TempDir, shards: &str) -> Running {
    Fastkeep::up(&folder.path().join("data"), &["--shards", shards]).start()
}

fn output(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; `make needs-test` installs it"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed: {out}{err}");
    out.into_owned()
}

fn redis_cli(running: &Running, arguments: &[&str]) -> String {
    output(Command::new("redis-cli").args(["-p", &running.port.to_string()]).args(arguments))
}

#[test]
fn redis_cli_works() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(&folder, "1");
    assert_eq!(redis_cli(&running, &["set", "a", "1"]).trim(), "OK");
    assert_eq!(redis_cli(&running, &["get", "a"]).trim(), "1");
    assert_eq!(redis_cli(&running, &["-3", "hset", "h", "f", "v"]).trim(), "1");
    assert_eq!(redis_cli(&running, &["-n", "3", "dbsize"]).trim(), "0");
    assert!(redis_cli(&running, &["info", "server"]).contains("redis_version:7."));
    assert!(redis_cli(&running, &["--scan"]).contains('a'));
    assert!(redis_cli(&running, &["--bigkeys"]).contains("Biggest"));
}

/// The default tests of redis-benchmark, with those left out whose commands are documented as unsupported.
#[test]
fn redis_benchmark_works() {
    let folder = tempfile::tempdir().unwrap();
    for shards in ["1", "3"] {
        let folder = folder.path().join(shards);
        let running = Fastkeep::up(&folder, &["--shards", shards]).start();
        let tests = "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,lrange_300,lrange_500,lrange_600,mset";
        let port = running.port.to_string();
        for pipeline in ["1", "16"] {
            let said = output(Command::new("redis-benchmark").args([
                "-p", &port, "-q", "-n", "2000", "-c", "20", "-r", "1000", "-P", pipeline, "-t", tests,
            ]));
            assert!(said.contains("MSET (10 keys)") && !said.to_lowercase().contains("error"), "{said}");
        }
    }
}

#[test]
fn redis_py_works() {
    let folder = tempfile::tempdir().unwrap();
    let python = std::env::var("FASTKEEP_PYTHON").unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap();
        format!("{home}/.cache/fastkeep/venv/bin/python")
    });
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/redis_py.py");
    for shards in ["1", "3"] {
        let running = Fastkeep::up(&folder.path().join(shards), &["--shards", shards]).start();
        let said = output(Command::new(&python).arg(&program).arg(running.port.to_string()));
        assert!(said.contains("all as expected"), "{said}");
    }
}

#[tokio::test]
async fn redis_rs_works() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(&folder, "1");
    for protocol in ["resp2", "resp3"] {
        let url = format!("redis://127.0.0.1:{}/?protocol={protocol}", running.port);
        let mut connection =
            redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
        let () = connection.set("greeting", "hello").await.unwrap();
        assert_eq!(connection.get::<_, String>("greeting").await.unwrap(), "hello");
        let () = connection.del(("counter", "hash", "board")).await.unwrap();
        let (first, second): (i64, i64) = redis::pipe()
            .atomic()
            .incr("counter", 1)
            .incr("counter", 2)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!((first, second), (1, 3));
        let () = connection.hset_multiple("hash", &[("a", 1), ("b", 2)]).await.unwrap();
        let hash: HashMap<String, i64> = connection.hgetall("hash").await.unwrap();
        assert_eq!(hash, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
        let () = connection.zadd_multiple("board", &[(1.5, "one"), (2.5, "two")]).await.unwrap();
        let board: Vec<(String, f64)> = connection.zrange_withscores("board", 0, -1).await.unwrap();
        assert_eq!(board, [("one".to_owned(), 1.5), ("two".to_owned(), 2.5)]);
        let many: Vec<_> = (0..200)
            .map(|n| {
                let mut connection = connection.clone();
                tokio::spawn(async move { connection.set::<_, _, ()>(format!("many:{n}"), n).await })
            })
            .collect();
        for one in many {
            one.await.unwrap().unwrap();
        }
        assert_eq!(connection.get::<_, i64>("many:199").await.unwrap(), 199);
    }
}
