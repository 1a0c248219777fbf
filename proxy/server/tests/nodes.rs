//! Two nodes over one log: what a node's clients are told when another one serves the shard, and what they had sent meanwhile.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Client, Server, eventually};
use config_cluster::failover_key;
use logsvc_client::LogService;
use logsvc_client::memory::MemoryLog;
use proxy_resp::frame;
use proxy_server::{ClusterConfig, ProxyConfig, start};
use proxy_shard::Role;

/// Two nodes with one worker and one shard; which of them serves is open.
fn nodes(change: impl Fn(&mut ProxyConfig)) -> [Server; 2] {
    let log = MemoryLog::new(1);
    let node = |name: &str| {
        let mut config = ProxyConfig::new(Arc::new(log.clone()));
        (config.port, config.workers) = (Some(0), 1);
        config.shard.owner = name.into();
        config.shard.lease = Duration::from_secs(60);
        config.cluster = Some(ClusterConfig {
            zone: name.into(),
            advertise: "127.0.0.1".into(),
            http: String::new(),
            replicas: 1,
            tls: false,
            links: None,
        });
        change(&mut config);
        Server { log: log.clone(), handle: start(config).unwrap() }
    };
    let nodes = [node("a"), node("b")];
    eventually(|| nodes.iter().all(|node| node.client().ask("GET k") == "nil"));
    nodes
}

fn serves(node: &Server) -> bool {
    node.handle.status().shards[0].role == Role::Primary
}

/// The nodes, the one that serves first.
fn by_role(nodes: &[Server; 2]) -> [&Server; 2] {
    eventually(|| nodes.iter().any(serves));
    let first = nodes.iter().position(serves).unwrap();
    [&nodes[first], &nodes[1 - first]]
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn bytes_on_their_way(node: &Server) -> u64 {
    let info = node.client().ask("INFO durability");
    let (_, behind) = info.split_once("in_flight_bytes=").unwrap();
    behind.split(',').next().unwrap().parse().unwrap()
}

/// A client keeps what it has read until it hears that it changed; of what changes on another node it would not hear.
#[test]
fn a_hand_over_makes_everything_stale() {
    let nodes = nodes(|_| {});
    let [primary, replica] = by_role(&nodes);
    let mut reader = primary.client();
    reader.hello3();
    assert_eq!(reader.ask("SET k old"), "+OK");
    assert_eq!(reader.ask("CLIENT TRACKING ON"), "+OK");
    assert_eq!(reader.ask("GET k"), "$old");
    // A hand-over needs a replica that is known to follow.
    eventually(|| primary.client().ask("INFO replication").contains("connected_slaves:1"));
    run(primary.log.meta_put(&failover_key(0), Bytes::from("*"), None)).unwrap();
    assert_eq!(reader.reply(), ">[$invalidate nil]");
    assert_eq!(replica.client().ask("SET k new"), "+OK");
}

/// What was held for a shard that nobody served runs where it is served next: no faster than the log takes it, and its node
/// goes on serving others.
#[test]
fn what_was_held_waits_for_room_in_the_log() {
    const WRITES: usize = 40;
    let nodes = nodes(|config| {
        config.shard.in_flight_bytes = 256 << 10;
        config.shard.lease = Duration::from_secs(4);
        config.shard.lease_margin = Duration::from_millis(100);
    });
    let [primary, _] = by_role(&nodes);
    primary.log.fence(0, "nobody", Duration::from_secs(4));
    // Nobody serves it for seconds.
    eventually(|| !nodes.iter().any(serves));
    let value = "v".repeat(64 << 10);
    let mut clients: Vec<Client> = nodes.iter().map(Server::client).collect();
    for client in &mut clients {
        (0..WRITES).for_each(|_| client.send_args(&["SET", "k", &value]));
    }
    primary.log.hold();
    let [node, _] = by_role(&nodes);
    // It has taken what there was room for, and waits.
    eventually(|| bytes_on_their_way(node) >= 256 << 10);
    assert_eq!(node.client().ask("PING"), "+PONG");
    primary.log.release();
    for client in &mut clients {
        (0..WRITES).for_each(|_| assert_eq!(client.reply(), "+OK"));
    }
}

/// A client that sends on and on is not read from while the worker or node of its keys can't take what it has sent.
#[test]
fn what_is_asked_of_others_is_bounded() {
    const FAR_MORE: usize = 200 << 20;
    let server = common::server(2, 2, |config| config.shard.in_flight_bytes = 1 << 20);
    server.log.hold();
    let mut request = Vec::new();
    frame::encode_request(&["SET", "k", &"v".repeat(64 << 10)], &mut request);
    // One of them is on the worker of the key's shard, the other is not.
    let clients: Vec<Client> = (0..2).map(|_| server.client()).collect();
    for client in &clients {
        assert!(sent_before_it_blocks(&client.stream, &request, FAR_MORE) < FAR_MORE);
    }
    server.log.release();
    let mut other = server.client();
    eventually(|| other.ask("EXISTS k") == ":1");
}

/// Sends a request again and again until the server has taken nothing for a while, or `most` bytes. Returns how many.
fn sent_before_it_blocks(mut stream: &TcpStream, request: &[u8], most: usize) -> usize {
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut sent = 0;
    while sent < most && stream.write_all(request).is_ok() {
        sent += request.len();
    }
    sent
}
