//! Appends a second and their latency on an embedded log, at fixed numbers of outstanding blocks.
//!
//! `cargo run --release -p logsvc-server --example append_bench [DIR]`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use logsvc_client::conformance::Primary;
use logsvc_server::{EmbeddedConfig, EmbeddedLog};

fn main() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = std::env::args().nth(1).map_or(scratch.path().to_owned(), Into::into);
    let (log, handle) = EmbeddedLog::start(EmbeddedConfig::new(dir.join("log"))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut primary = Primary::claim(&log, 0, "bench", 600_000).await;
        println!(
            "{:>6} {:>12} {:>12} {:>10} {:>10}",
            "bytes", "outstanding", "appends/s", "p50 us", "p99 us"
        );
        for (bytes, outstanding) in [(128, 1), (128, 50), (128, 256), (4096, 8)] {
            measure(&mut primary, bytes, outstanding, Duration::from_millis(500)).await;
            let (count, time, mut latencies) =
                measure(&mut primary, bytes, outstanding, Duration::from_secs(3)).await;
            latencies.sort_unstable();
            let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_micros();
            let rate = f64::from(count) / time.as_secs_f64();
            println!("{bytes:>6} {outstanding:>12} {rate:>12.0} {:>10} {:>10}", at(0.5), at(0.99));
        }
    });
    handle.stop();
}

/// Keeps `outstanding` blocks in flight for a while.
async fn measure(
    primary: &mut Primary,
    bytes: usize,
    outstanding: usize,
    length: Duration,
) -> (u32, Duration, Vec<Duration>) {
    // 56 bytes of header, 13 around the record.
    let body = vec![7; bytes - 69];
    let begin = Instant::now();
    let (mut sent, mut latencies) = (VecDeque::new(), Vec::new());
    while begin.elapsed() < length {
        while sent.len() < outstanding {
            let position = primary.append(1, &body);
            sent.push_back((position, Instant::now()));
        }
        let Some((oldest, _)) = sent.front().copied() else { break };
        primary.appender.progress().wait_for(oldest).await.unwrap();
        let durable = primary.appender.progress().durable();
        let now = Instant::now();
        while let Some((position, at)) = sent.front().copied()
            && position <= durable
        {
            latencies.push(now - at);
            sent.pop_front();
        }
    }
    primary.settle().await.unwrap();
    (latencies.len() as u32, begin.elapsed(), latencies)
}
