//! The TLS port: accepts, shakes hands on a thread of its own, and only then hands a client on to a worker.
//!
//! Public-key arithmetic is the dearest thing that a stranger can ask for. On its own thread a storm of handshakes takes one
//! core at most, and those who are connected go on. At most so many handshakes are open at once, each for so long; more
//! strangers wait in the system's queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use logsvc_api::ShardId;
use rustls::{ServerConfig, ServerConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::listener::{Dealer, accept};
use crate::shared::Shared;
use crate::stream::Accepted;

/// The TLS port of a proxy.
#[derive(Clone)]
pub struct TlsPort {
    /// Port; 0 picks a free one, see `ProxyHandle::tls_port`.
    pub port: u16,
    /// What new connections are answered with; may change while the proxy runs.
    pub server: Arc<ArcSwap<ServerConfig>>,
    /// A handshake that takes longer is broken off.
    pub handshake: Duration,
    /// Handshakes at one time.
    pub handshakes: usize,
}

/// What became of handshakes.
#[derive(Default)]
pub(crate) struct HandshakeStats {
    pub(crate) done: AtomicU64,
    /// Refused by either side, or no TLS at all.
    pub(crate) failed: AtomicU64,
    pub(crate) late: AtomicU64,
}

/// Accepts until the proxy stops, on the main TLS port or on that of a shard's endpoint.
pub(crate) async fn run(
    listener: TcpListener,
    port: TlsPort,
    shared: Arc<Shared>,
    endpoint: Option<ShardId>,
) {
    let permits = Arc::new(Semaphore::new(port.handshakes.max(1)));
    let dealer = Arc::new(Dealer::default());
    while !shared.stopping.load(Relaxed) {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let Some((tcp, addr)) = accept(&listener).await else { continue };
        let acceptor = TlsAcceptor::from(port.server.load_full());
        let (shared, dealer, limit) = (Arc::clone(&shared), Arc::clone(&dealer), port.handshake);
        tokio::task::spawn_local(async move {
            if let Some((tcp, session)) = shake(acceptor, tcp, addr, limit, &shared.handshakes).await {
                dealer.deal(&shared, Accepted { tcp, session: Some(session), endpoint }, addr);
            }
            drop(permit);
        });
    }
}

/// One handshake; none if it failed, which is counted and told.
async fn shake(
    acceptor: TlsAcceptor,
    tcp: TcpStream,
    addr: SocketAddr,
    limit: Duration,
    stats: &HandshakeStats,
) -> Option<(std::net::TcpStream, Box<ServerConnection>)> {
    let _ = tcp.set_nodelay(true);
    match tokio::time::timeout(limit, acceptor.accept(tcp)).await {
        Ok(Ok(stream)) => {
            stats.done.fetch_add(1, Relaxed);
            let (tcp, session) = stream.into_inner();
            Some((tcp.into_std().ok()?, Box::new(session)))
        }
        Ok(Err(error)) => {
            stats.failed.fetch_add(1, Relaxed);
            tracing::debug!(%addr, "TLS handshake failed: {error}");
            None
        }
        Err(_) => {
            stats.late.fetch_add(1, Relaxed);
            tracing::debug!(%addr, "TLS handshake took too long");
            None
        }
    }
}
