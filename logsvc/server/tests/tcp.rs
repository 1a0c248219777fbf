//! The log as separate servers over TCP: forms by itself, passes the conformance suite, carries on without one replica.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logsvc_client::LogService;
use logsvc_client::conformance::{self, Primary, read_all};
use logsvc_client::tcp::{Endpoint, TcpConfig, TcpLog};
use logsvc_server::{PeerConfig, ServerConfig, ServerHandle, serve};

const ZONES: [&str; 3] = ["az-a", "az-b", "az-c"];

struct Cluster {
    dir: tempfile::TempDir,
    addresses: Vec<String>,
    shards: u32,
    servers: Vec<Option<ServerHandle>>,
}

impl Cluster {
    async fn start(shards: u32) -> Self {
        let listeners: Vec<TcpListener> =
            ZONES.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = listeners.iter().map(|at| at.local_addr().unwrap().to_string()).collect();
        drop(listeners);
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self { dir, addresses, shards, servers: Vec::new() };
        for number in 0..ZONES.len() {
            let server = cluster.serve(number).await;
            cluster.servers.push(Some(server));
        }
        cluster
    }

    fn folder(&self, number: usize) -> std::path::PathBuf {
        Path::join(self.dir.path(), ZONES[number])
    }

    async fn serve(&self, number: usize) -> ServerHandle {
        let others = (0..ZONES.len()).filter(|other| *other != number);
        let peer =
            |other: usize| PeerConfig { az: ZONES[other].into(), address: self.addresses[other].clone() };
        let config = ServerConfig::new(
            &self.addresses[number],
            ZONES[number],
            self.folder(number),
            others.map(peer).collect(),
        );
        serve(ServerConfig { shards: self.shards, ..config }).await.unwrap()
    }

    fn client(&self) -> Arc<dyn LogService> {
        let endpoints = ZONES.iter().zip(&self.addresses);
        let endpoints =
            endpoints.map(|(az, at)| Endpoint { az: (*az).into(), address: at.clone() }).collect();
        TcpLog::connect(TcpConfig {
            endpoints,
            az: "az-b".into(),
            deadline: Duration::from_secs(20),
            tls: None,
        })
        .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let cluster = Cluster::start(conformance::SHARDS).await;
    conformance::run(&cluster.client()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_down_catches_up() {
    let mut cluster = Cluster::start(1).await;
    let log = cluster.client();
    let mut primary = Primary::claim(&log, 0, "a", 60_000).await;
    for number in 0..300_u32 {
        primary.append(1, &number.to_le_bytes());
        if number == 100 {
            cluster.servers[2].take().unwrap().stop().await;
        }
    }
    primary.settle().await.unwrap();
    log.trim(0, 200).await.unwrap();
    let again = cluster.serve(2).await;
    cluster.servers[2] = Some(again);
    let begin = Instant::now();
    loop {
        let found = log.describe(0).await.unwrap();
        if found.replicas.iter().all(|replica| replica.lag == 0) {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(read_all(&log, 0, 201).await.len(), 100);
}
