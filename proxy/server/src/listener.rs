//! The port: accepts clients, counts them against the limit, and deals them out to the workers in turn.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::peers::Message;
use crate::shared::Shared;

/// Accepts until the proxy stops.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut next = 0;
    while !shared.stopping.load(Relaxed) {
        let (stream, addr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: those who are here go on.
                tracing::warn!("can't accept a client: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if !shared.clients.admit(shared.params.max_clients.load(Relaxed)) {
            if let Some(stats) = shared.stats.first() {
                stats.rejected_connections.add(1);
            }
            let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
            continue;
        }
        let worker = next % shared.workers;
        next += 1;
        let handed = stream.into_std().ok().zip(shared.inboxes.get(worker));
        let sent =
            handed.is_some_and(|(stream, inbox)| inbox.send(Message::Connection(stream, addr)).is_ok());
        if !sent {
            shared.clients.forgo();
        }
    }
}
