//! Proves that clients that misbehave hurt only themselves: garbage, absurd headers, thousands of idle
//! connections, readers that never read. The server stays up, its memory bounded, others served.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rand::{RngCore, SeedableRng};
use tests_harness::{Fastkeep, Reply, Running};

const MIB: u64 = 1 << 20;

fn start(folder: &tempfile::TempDir, more: &[&str]) -> Running {
    Fastkeep::up(&folder.path().join("data"), more).start()
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
    std::thread::sleep(Duration::from_millis(500));
    let grown = running.memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "50 promises of 512 MB cost {} MiB", grown / MIB);
    assert_serves(&mut running);
    drop(held);
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
    let held: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(("127.0.0.1", running.port)).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(200));
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
    std::thread::sleep(Duration::from_secs(6));
    let clients = client.text("CLIENT LIST");
    assert_eq!(clients.lines().count(), 1, "only this connection is left: {clients}");
}
