//! A log of three servers over TCP on folders of one temporary folder.
#![allow(clippy::unwrap_used, dead_code)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use logsvc_client::LogService;
use logsvc_client::tcp::{Endpoint, TcpConfig, TcpLog};
use logsvc_server::{PeerConfig, ServerConfig, ServerHandle, serve};

pub const ZONES: [&str; 3] = ["az-a", "az-b", "az-c"];

pub struct Cluster {
    dir: tempfile::TempDir,
    pub addresses: Vec<String>,
    shards: u32,
    pub servers: Vec<Option<ServerHandle>>,
}

impl Cluster {
    /// Addresses and folders, nothing started.
    pub fn new(shards: u32) -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        // An address of the loopback network for each cluster, so that ports stay its own while a server is down.
        static CLUSTERS: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        let host = format!("127.{high}.{low}.{}", CLUSTERS.fetch_add(1, Ordering::Relaxed));
        // All are held until all are known, so that they differ.
        let free: Vec<_> = ZONES.iter().map(|_| TcpListener::bind((host.as_str(), 0)).unwrap()).collect();
        let addresses = free.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
        let servers = ZONES.iter().map(|_| None).collect();
        Self { dir: tempfile::tempdir().unwrap(), addresses, shards, servers }
    }

    /// All servers started.
    pub async fn start(shards: u32) -> Self {
        let mut cluster = Self::new(shards);
        for number in 0..ZONES.len() {
            cluster.serve(number).await;
        }
        cluster
    }

    pub fn folder(&self, number: usize) -> PathBuf {
        Path::join(self.dir.path(), ZONES[number])
    }

    pub async fn serve(&mut self, number: usize) {
        let others = (0..ZONES.len()).filter(|other| *other != number);
        let peer =
            |other: usize| PeerConfig { az: ZONES[other].into(), address: self.addresses[other].clone() };
        let config = ServerConfig::new(
            &self.addresses[number],
            ZONES[number],
            self.folder(number),
            others.map(peer).collect(),
        );
        let server = serve(ServerConfig { shards: self.shards, ..config }).await.unwrap();
        self.servers[number] = Some(server);
    }

    pub async fn stop(&mut self, number: usize) {
        self.servers[number].take().unwrap().stop().await;
    }

    pub fn is_serving(&self, number: usize) -> bool {
        self.servers[number].as_ref().is_some_and(ServerHandle::is_serving)
    }

    /// A client in a zone, which reads from that zone's replica.
    pub fn client(&self, zone: usize) -> Arc<dyn LogService> {
        let endpoints = ZONES.iter().zip(&self.addresses);
        let endpoints =
            endpoints.map(|(az, at)| Endpoint { az: (*az).into(), address: at.clone() }).collect();
        TcpLog::connect(TcpConfig {
            endpoints,
            az: ZONES[zone].into(),
            deadline: Duration::from_secs(20),
            tls: None,
        })
        .unwrap()
    }
}

/// Waits for a condition.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !done().await {
        assert!(begin.elapsed() < Duration::from_secs(30), "never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
