//! The ports: accept clients, count them against the limit, and deal them out to the workers in turn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use logsvc_api::ShardId;
use tokio::net::{TcpListener, TcpStream};

use crate::metric_names as names;
use crate::peers::Message;
use crate::shared::Shared;
use crate::stream::{Accepted, Stream};

/// Accepts on a plain port until the proxy stops: the main port, or a shard's endpoint.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>, endpoint: Option<ShardId>) {
    let dealer = Dealer::default();
    while !shared.stopping.load(Relaxed) {
        if let Some((stream, addr)) = accept(&listener).await
            && let Ok(tcp) = stream.into_std()
        {
            dealer.deal(&shared, Accepted { tcp, session: None, endpoint }, addr);
        }
    }
}

/// The next stranger.
pub(crate) async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            // Out of descriptors, most likely: those who are here go on.
            tracing::warn!("can't accept a client: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// Gives the workers clients: those of an endpoint to its shard's, the others in turn.
#[derive(Default)]
pub(crate) struct Dealer {
    next: AtomicUsize,
}

impl Dealer {
    /// Admits a client and gives it to a worker, or tells it that there are too many.
    pub(crate) fn deal(&self, shared: &Shared, client: Accepted, addr: SocketAddr) {
        if !shared.clients.admit(shared.params.max_clients.load(Relaxed)) {
            if let Some(stats) = shared.stats.first() {
                stats.rejected_connections.add(1);
            }
            const FULL: &[u8] = b"-ERR max number of clients reached\r\n";
            if client.session.is_none() {
                // Straight to the socket, which the runtime has not looked at yet.
                let _ = std::io::Write::write(&mut &client.tcp, FULL);
            } else if let Ok(mut stream) = Stream::new(client) {
                let _ = stream.try_write(FULL);
                stream.close();
            }
            return;
        }
        let worker = match client.endpoint {
            Some(shard) => {
                metrics::counter!(names::ENDPOINT_CONNECTIONS, "shard" => shard.to_string()).increment(1);
                shared.owner(shard)
            }
            None => self.next.fetch_add(1, Relaxed) % shared.workers,
        };
        let handed = shared.inboxes.get(worker);
        if handed.is_none_or(|inbox| inbox.send(Message::Connection(client, addr)).is_err()) {
            shared.clients.forgo();
        }
    }
}
