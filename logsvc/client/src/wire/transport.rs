//! What a connection of the log's protocol runs over: TCP, or TLS with certificates at both ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The receiving half of a connection.
pub type Incoming = Box<dyn AsyncRead + Send + Unpin>;
/// The sending half of a connection.
pub type Outgoing = Box<dyn AsyncWrite + Send + Unpin>;

/// TLS of links between own processes. Connections take what is there when they begin.
#[derive(Debug, Clone)]
pub struct LinkTls {
    /// What a replica answers new connections with; asks for a certificate.
    pub server: Arc<ArcSwap<ServerConfig>>,
    /// What a new connection is opened with; shows a certificate.
    pub client: Arc<ArcSwap<ClientConfig>>,
}

/// Opens a connection to `host:port`; under TLS the other end's certificate must be for that host.
///
/// # Errors
/// Of the connection or the handshake; `TimedOut` after `limit`.
pub async fn connect(
    address: &str,
    tls: Option<&LinkTls>,
    limit: Duration,
) -> io::Result<(Incoming, Outgoing)> {
    let open = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls else {
            let (read, write) = stream.into_split();
            return Ok((Box::new(read) as Incoming, Box::new(write) as Outgoing));
        };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = TlsConnector::from(tls.client.load_full()).connect(name, stream).await?;
        let (read, write) = tokio::io::split(stream);
        Ok((Box::new(read) as Incoming, Box::new(write) as Outgoing))
    };
    timeout(limit, open)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
}

/// Takes a connection; under TLS, whoever shows no certificate of the own authority is refused.
///
/// # Errors
/// Of the handshake.
pub async fn accept(stream: TcpStream, tls: Option<&LinkTls>) -> io::Result<(Incoming, Outgoing)> {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        let (read, write) = stream.into_split();
        return Ok((Box::new(read), Box::new(write)));
    };
    let stream = TlsAcceptor::from(tls.server.load_full()).accept(stream).await?;
    let (read, write) = tokio::io::split(stream);
    Ok((Box::new(read), Box::new(write)))
}

/// Logs what goes wrong again and again once, until it is something else.
#[derive(Debug, Default)]
pub struct Complaint(Mutex<String>);

impl Complaint {
    /// Logs `what` unless it was the last that was logged.
    pub fn tell(&self, what: String) {
        let mut last = self.0.lock();
        if *last != what {
            tracing::warn!("{what}");
            *last = what;
        }
    }

    /// What was wrong is over.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
}
