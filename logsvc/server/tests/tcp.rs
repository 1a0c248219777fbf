//! The log as separate servers over TCP: passes the conformance suite, carries on without one replica, which then catches up, and
//! streams its tail.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Cluster, until};
use logsvc_api::Block;
use logsvc_client::conformance::{self, Primary, read_all};
use logsvc_client::wire::{
    Answer, FrameReader, FrameSender, Hello, MAX_FRAME_BYTES, OLDEST_VERSION, Request, Role, VERSION,
    Welcome, Writer, encode_frame, frame_queue, kind, write_frames,
};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let cluster = Cluster::start(conformance::SHARDS).await;
    conformance::run(&cluster.client(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_down_catches_up() {
    let mut cluster = Cluster::start(1).await;
    let log = cluster.client(1);
    let mut primary = Primary::claim(&log, 0, "a", 60_000).await;
    for number in 0..300_u32 {
        primary.append(1, &number.to_le_bytes());
        if number == 100 {
            cluster.stop(2).await;
        }
    }
    primary.settle().await.unwrap();
    log.trim(0, 200).await.unwrap();
    cluster.serve(2).await;
    until("the replica that was down", async || {
        log.describe(0).await.unwrap().replicas.iter().all(|replica| replica.lag == 0)
    })
    .await;
    assert_eq!(read_all(&log, 0, 201).await.len(), 100);
}

/// A connection of another program's kind: frames as docs/log-protocol.md has them.
async fn raw_client(address: &str) -> (FrameReader, FrameSender) {
    let hello =
        Hello { version: VERSION, role: Role::Client, cluster: 0, replica: 0, az: "elsewhere".into() };
    let (mut reader, queue) = say(address, |out| hello.encode(out)).await;
    assert_eq!(reader.next().await.unwrap().unwrap().kind, kind::WELCOME);
    (reader, queue)
}

/// A connection that has said hello.
async fn say(address: &str, hello: impl FnOnce(&mut Writer)) -> (FrameReader, FrameSender) {
    let (read, write) = TcpStream::connect(address).await.unwrap().into_split();
    let (queue, frames) = frame_queue();
    tokio::spawn(write_frames(Box::new(write), frames));
    let reader = FrameReader::new(Box::new(read), MAX_FRAME_BYTES);
    let mut bytes = Vec::new();
    encode_frame(&mut bytes, kind::HELLO, 0, hello);
    assert!(queue.send(bytes));
    (reader, queue)
}

fn ask(queue: &FrameSender, id: u64, request: &Request) {
    let mut bytes = Vec::new();
    encode_frame(&mut bytes, request.kind(), id, |out| request.encode(out));
    assert!(queue.send(bytes));
}

/// The blocks of the next frame of a stream.
async fn next_blocks(reader: &mut FrameReader, id: u64) -> Vec<Block> {
    let frame = timeout(Duration::from_secs(20), reader.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(frame.request, id);
    match Answer::decode(frame.kind, frame.body).unwrap() {
        Answer::Blocks(blocks) => blocks.into_iter().map(|block| Block::decode(block).unwrap()).collect(),
        other => panic!("{other:?}"),
    }
}

/// Both ends speak the newest version that both know; a newer one's hello may be longer, and who is too old is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_agreed() {
    let cluster = Cluster::start(1).await;
    let hello =
        |version| Hello { version, role: Role::Client, cluster: 0, replica: 0, az: "elsewhere".into() };
    let newer = say(&cluster.addresses[0], |out| {
        hello(VERSION + 7).encode(out);
        out.text("what only newer ones know");
    });
    let welcome = newer.await.0.next().await.unwrap().unwrap();
    assert_eq!(welcome.kind, kind::WELCOME);
    assert_eq!(Welcome::decode(welcome.body).unwrap().version, VERSION);

    let too_old = say(&cluster.addresses[0], |out| hello(OLDEST_VERSION - 1).encode(out));
    let refused = too_old.await.0.next().await.unwrap().unwrap();
    let Answer::Error { error, .. } = Answer::decode(refused.kind, refused.body).unwrap() else {
        panic!("not an error")
    };
    assert!(error.to_string().contains("protocol version"), "{error}");

    // Nor does a client go on with a replica that speaks what it doesn't.
    for version in [OLDEST_VERSION - 1, VERSION + 1] {
        let mut out = Writer(Vec::new());
        let welcome = Welcome { version, cluster: 0, replica: 1, az: "a".into(), shards: 1 };
        welcome.encode(&mut out);
        assert!(Welcome::decode(out.0.into()).is_err());
    }
}

/// A stream gives what is there and then what comes, each position once and in order, from any replica, until it is cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_streams_its_tail() {
    let cluster = Cluster::start(1).await;
    let log = cluster.client(0);
    let mut primary = Primary::claim(&log, 0, "a", 60_000).await;
    for number in 0..50_u32 {
        primary.append(3, &number.to_le_bytes());
    }
    primary.settle().await.unwrap();
    let mut streams = Vec::new();
    for address in &cluster.addresses {
        let (reader, queue) = raw_client(address).await;
        ask(&queue, 7, &Request::Tail { shard: 0, from: 11 });
        streams.push((reader, queue, 11));
    }
    for goal in [150, 300] {
        for (reader, _, next) in &mut streams {
            while *next <= goal {
                for block in next_blocks(reader, 7).await {
                    let first = block.header.first_position;
                    assert!(first <= *next && block.last_position() >= *next, "{first} after {next}");
                    *next = block.last_position() + 1;
                }
            }
        }
        if goal == 150 {
            for number in 0..50_u32 {
                primary.append(3, &number.to_le_bytes());
            }
        }
    }
    // Behind the cancellation only answers to what is asked after it.
    let (reader, queue, _) = &mut streams[1];
    ask(queue, 7, &Request::Cancel);
    ask(queue, 8, &Request::Describe { shard: 0 });
    let mut frame = timeout(Duration::from_secs(20), reader.next()).await.unwrap().unwrap().unwrap();
    while frame.request == 7 {
        frame = timeout(Duration::from_secs(20), reader.next()).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(frame.request, 8);
    primary.append(1, b"after");
    primary.settle().await.unwrap();
    ask(queue, 9, &Request::Read { shard: 0, from: 301, max_bytes: 1000, wait_ms: 10_000 });
    assert_eq!(next_blocks(reader, 9).await.len(), 1);
}

/// A stream that nobody reads from takes no more memory than what is on its way, and gives everything when it is read from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_no_faster_than_its_reader() {
    const BLOCKS: u64 = 400;
    let cluster = Cluster::start(1).await;
    let log = cluster.client(0);
    let mut primary = Primary::claim(&log, 0, "a", 60_000).await;
    let body = vec![7; 128 << 10];
    for _ in 0..BLOCKS {
        primary.append(1, &body);
        primary.settle().await.unwrap();
    }
    let (mut reader, queue) = raw_client(&cluster.addresses[0]).await;
    ask(&queue, 7, &Request::Tail { shard: 0, from: 1 });
    let mut next = 1;
    while next <= BLOCKS {
        for block in next_blocks(&mut reader, 7).await {
            assert_eq!(block.header.first_position, next);
            next = block.last_position() + 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A node follows many shards, each by a read that waits: what it asks besides is answered at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_wait_hold_up_nothing() {
    let cluster = Cluster::start(1).await;
    // From here on it serves.
    let _primary = Primary::claim(&cluster.client(0), 0, "a", 60_000).await;
    let (mut reader, queue) = raw_client(&cluster.addresses[0]).await;
    for id in 10..1100 {
        ask(&queue, id, &Request::Read { shard: 0, from: 100, max_bytes: 1000, wait_ms: 10_000 });
    }
    ask(&queue, 7, &Request::MetaWatch { since: 0, wait_ms: 0 });
    let frame = timeout(Duration::from_secs(20), reader.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(frame.request, 7);
}

/// A start says what it waits for: first the other processes, by address; without a majority, the groups, and whose majority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_waited_for_is_said() {
    let mut cluster = Cluster::new(1);
    cluster.serve(0).await;
    let waits_for = |cluster: &Cluster, number: usize| {
        cluster.servers[number].as_ref().unwrap().health().waits_for().unwrap_or_default()
    };
    let address = cluster.addresses[2].clone();
    until("the others' addresses", async || waits_for(&cluster, 0).contains(&address)).await;
    cluster.serve(1).await;
    cluster.serve(2).await;
    for number in 0..3 {
        until("a leader of all groups", async || waits_for(&cluster, number).is_empty()).await;
    }
    cluster.stop(1).await;
    cluster.stop(2).await;
    let groups =
        ["shard 0 waits for a majority of az-a (1.", "the metadata log waits for a majority of az-a (1."];
    until("the groups without a leader", async || {
        let said = waits_for(&cluster, 0);
        groups.iter().all(|group| said.contains(group)) && said.contains("az-c (3.")
    })
    .await;
}
