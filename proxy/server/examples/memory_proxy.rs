//! A proxy over the in-memory log: for measuring the request path alone. `memory_proxy [port] [shards] [workers]`.

use std::sync::Arc;

use logsvc_client::memory::MemoryLog;
use proxy_server::{ProxyConfig, start};

fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let number = |at: usize, default: u32| {
        std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (port, shards, workers) = (number(1, 6379), number(2, 1), number(3, 0));
    let mut config = ProxyConfig::new(Arc::new(MemoryLog::new(shards)));
    config.port = Some(port as u16);
    config.shards = shards;
    config.workers = workers as usize;
    let handle = start(config)?;
    println!("ready on 127.0.0.1:{}", handle.port());
    loop {
        std::thread::park();
    }
}
