//! Proves that clients that misbehave hurt only themselves: garbage, absurd headers, thousands of idle
//! connections, readers and subscribers that never read, scripts without end, arguments of half a gigabyte. The server stays
//! up, its memory bounded, others served.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rand::{RngCore, SeedableRng};
use tests_harness::{Client, Fastkeep, Reply, Running};

const MIB: u64 = 1 << 20;

fn start(folder: &tempfile::TempDir, more: &[&str]) -> Running {
    Fastkeep::up(&folder.path().join("data"), more).start()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Others are served, promptly and durably.
fn assert_serves(running: &mut Running) {
    let begun = Instant::now();
    let mut client = running.client();
    assert_eq!(client.text("SET others served"), "OK");
    assert_eq!(client.text("GET others"), "served");
    assert!(begun.elapsed() < Duration::from_secs(10), "served after {:?}", begun.elapsed());
    assert!(running.is_alive());
}

/// What the server answers to raw bytes before it closes the connection.
fn answer_to(running: &Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn garbage_on_the_port() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(&folder, &[]);
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    for _ in 0..200 {
        let mut bytes = vec![0_u8; 2_000];
        random.fill_bytes(&mut bytes);
        let mut stream = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
        let _ = stream.write_all(&bytes);
    }
    let nested = "*1\r\n".repeat(100_000);
    assert!(answer_to(&running, nested.as_bytes()).starts_with("-ERR Protocol error: expected '$', got '*'"));
    assert!(answer_to(&running, b"*3\r\n$abc\r\n").starts_with("-ERR Protocol error: invalid bulk length"));
    assert!(
        answer_to(&running, b"*2147483648\r\n").starts_with("-ERR Protocol error: invalid multibulk length")
    );
    assert!(
        answer_to(&running, b"GET \"unbalanced\r\n")
            .starts_with("-ERR Protocol error: unbalanced quotes in request")
    );
    let long = vec![b'x'; 70_000];
    assert!(answer_to(&running, &long).starts_with("-ERR Protocol error: too big inline request"));
    assert_serves(&mut running);
}

#[test]
fn a_huge_header_costs_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(&folder, &[]);
    assert!(
        answer_to(&running, b"*2\r\n$3\r\nGET\r\n$1073741824\r\n")
            .starts_with("-ERR Protocol error: invalid bulk length")
    );
    let before = running.memory();
    // Below the limit, so the server waits for the bytes; 50 clients promise half a gigabyte each.
    let held: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
            stream.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nonly this").unwrap();
            stream
        })
        .collect();
    let mut client = running.client();
    let has_begun = |line: &str| line.contains(" qbuf=") && !line.contains(" qbuf=0 ");
    eventually("all promises were read", || {
        client.text("CLIENT LIST").lines().filter(|line| has_begun(line)).count() >= held.len()
    });
    let grown = running.memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "50 promises of 512 MB cost {} MiB", grown / MIB);
    assert_serves(&mut running);
    drop(held);
}

#[test]
fn half_a_gigabyte_is_refused_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(&folder, &["--primary-lease-ms", "30000"]);
    let before = running.memory();
    let mut client = running.client();
    let mut writer = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
    writer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    writer.write_all(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$536870912\r\n").unwrap();
    let piece = vec![b'x'; MIB as usize];
    for mib in 0..512 {
        writer.write_all(&piece).unwrap();
        if mib % 32 == 0 {
            assert_eq!(client.text("INCR meanwhile"), (mib / 32 + 1).to_string());
        }
    }
    writer.write_all(b"\r\n*1\r\n$4\r\nPING\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"+PONG\r\n") {
        let mut chunk = [0_u8; 256];
        let count = writer.read(&mut chunk).unwrap();
        assert!(count > 0, "closed");
        answer.extend_from_slice(&chunk[..count]);
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("-ERR the write is larger than the log takes at once"), "{answer}");
    assert_serves(&mut running);
    assert_eq!(client.text("EXISTS big"), "0");
    drop(writer);
    eventually("its memory is given back", || running.memory().saturating_sub(before) < 128 * MIB);
}

#[test]
fn scripts_without_end_or_measure_harm_only_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(&folder, &["--primary-lease-ms", "30000"]);
    let mut client = running.client();
    let before = running.memory();
    let endless = "while true do pcall(function() while true do end end) end";
    assert_eq!(client.text("CONFIG SET busy-reply-threshold 50"), "OK");
    let mut runner = running.client();
    runner.queue(&["EVAL", endless, "0"]);
    runner.flush().unwrap();
    eventually("others hear of it", || client.text("GET others").starts_with("-BUSY"));
    assert_eq!(running.client().text("SCRIPT KILL"), "OK");
    assert!(matches!(runner.read().unwrap(), Reply::Error(text) if text.contains("killed by user")));
    assert_serves(&mut running);

    let greedy = "local t = {} while true do t[#t + 1] = string.rep('x', 1048576) .. #t end";
    let nested = "local t = {} for n = 1, 100000 do t = {t} end return cjson.encode(t)";
    let deep = "return cjson.decode(string.rep('[', 5000000))";
    let looped = "local t = {} t[1] = t return cmsgpack.pack(t)";
    for (script, why) in [
        (greedy, "not enough memory"),
        (nested, "excessive nesting"),
        (deep, "too many nested"),
        (looped, ""),
    ] {
        match runner.call(&["EVAL", script, "0"]).unwrap() {
            Reply::Error(text) => assert!(text.contains(why), "{script}: {text}"),
            // A table within itself is packed as far as the depth that Redis packs, too.
            other => assert!(script == looped, "{script}: {other:?}"),
        }
        assert_serves(&mut running);
    }
    eventually("their memory is given back", || running.memory().saturating_sub(before) < 384 * MIB);
}

#[test]
fn a_subscriber_that_never_reads_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(&folder, &[]);
    let mut client = running.client();
    let before = running.memory();
    let mut deaf = running.client();
    deaf.queue(&["SUBSCRIBE", "news"]);
    deaf.flush().unwrap();
    eventually("it listens", || client.text("PUBLISH news hello") == "1");
    let text = "x".repeat(1 << 20);
    // Half a gigabyte; it is dropped long before, at the limit of the class pubsub, 32 MB.
    let mut most = 0;
    for sent in 0.. {
        assert!(sent < 512, "never dropped");
        if client.text(&format!("PUBLISH news {text}")) == "0" {
            break;
        }
        most = most.max(running.memory().saturating_sub(before));
    }
    assert!(most < 256 * MIB, "a subscriber that never reads costs {} MiB", most / MIB);
    assert_serves(&mut running);
}

#[test]
fn ten_thousand_idle_connections() {
    rlimit::increase_nofile_limit(20_000).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(&folder, &["--limits-max-clients", "10100"]);
    let before = running.memory();
    let mut held = Vec::new();
    for at in 0..10_000 {
        match TcpStream::connect(("127.0.0.1", running.port)) {
            Ok(stream) => held.push(stream),
            Err(error) => panic!("connection {at}: {error} (see `ulimit -n`)"),
        }
    }
    assert_serves(&mut running);
    let each = running.memory().saturating_sub(before) / 10_000;
    println!("{each} bytes for each idle connection");
    assert!(each < 16_384, "an idle connection costs {each} bytes");
}

#[test]
fn beyond_max_clients_the_error_is_redis_s() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(&folder, &["--limits-max-clients", "3"]);
    let held: Vec<Client> = (0..3).map(|_| running.client()).collect();
    assert_eq!(answer_to(&running, b""), "-ERR max number of clients reached\r\n");
    drop(held);
}

#[test]
fn a_client_that_never_reads_is_bounded_and_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(&folder, &["--limits-output-stall-ms", "3000"]);
    let mut client = running.client();
    let value = "v".repeat(1 << 20);
    assert_eq!(client.call(&["SET", "big", &value]).unwrap(), Reply::SimpleString(b"OK".to_vec()));
    let before = running.memory();
    let mut greedy = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
    greedy.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let request = b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n".repeat(1_000);
    // 10 GB of replies are asked for and none is read; writing stops when the server stops reading.
    for _ in 0..10 {
        if greedy.write_all(&request).is_err() {
            break;
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    let grown = running.memory().saturating_sub(before);
    assert!(grown < 256 * MIB, "a client that never reads costs {} MiB", grown / MIB);
    assert_serves(&mut running);
    // It is disconnected once it has stalled for long enough: what was sent ends in a closed connection.
    eventually("only this connection is left", || client.text("CLIENT LIST").lines().count() == 1);
}
