//! A connection to another node, as one of its clients; under TLS when the node says so.

use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use config_cluster::NodeRecord;
use proxy_acl::User;
use proxy_resp::{Protocol, ReplyScanner};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::LINK_COMMAND;
use crate::cluster::LinkTls;

/// Replies are read in pieces of this size.
const READ_BYTES: usize = 64 << 10;
/// A node whose machine is gone says nothing: the system asks after so long without a byte, so often, in such distances.
const QUIET: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// A node that can't be reached confirms nothing: what was sent is given up after so long, where TCP itself tries for a quarter of
/// an hour.
const UNCONFIRMED: Duration = Duration::from_secs(6);

/// Plain or under TLS.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket for T {}

/// Where a node is, and what it wants to be shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) tls: bool,
    pub(super) key: String,
}

impl From<&NodeRecord> for Peer {
    fn from(node: &NodeRecord) -> Self {
        Self { id: node.id.clone(), address: node.address.clone(), tls: node.tls, key: node.link_key.clone() }
    }
}

/// A connection to another node.
pub(super) struct Link {
    pub(super) node: String,
    pub(super) stream: Box<dyn Socket>,
    pub(super) proto: Protocol,
    pub(super) db: u8,
    /// For whom scripts are that are sent now, if for somebody who may not do everything.
    pub(super) user: Option<Arc<User>>,
    /// CLIENT NO-TOUCH.
    pub(super) still: bool,
    /// Bytes read and not yet used.
    pub(super) input: Vec<u8>,
}

/// The next whole reply; `None` when the connection ended, or speaks another language.
pub(super) async fn next_reply(
    stream: &mut (impl AsyncReadExt + Unpin),
    input: &mut Vec<u8>,
) -> Option<Vec<u8>> {
    let mut scanner = ReplyScanner::default();
    loop {
        if let Some(end) = scanner.end(input).ok()? {
            let rest = input.split_off(end);
            return Some(std::mem::replace(input, rest));
        }
        input.reserve(READ_BYTES);
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}

impl Link {
    /// Says whether what comes now is a use of its keys, if it isn't known there. Returns the number of replies to that.
    pub(super) fn be_still(&mut self, still: bool, out: &mut Vec<u8>) -> usize {
        if std::mem::replace(&mut self.still, still) == still {
            return 0;
        }
        let word: &[u8] = if still { b"ON" } else { b"OFF" };
        proxy_resp::frame::encode_request(&[&b"CLIENT"[..], b"NO-TOUCH", word], out);
        1
    }

    /// Says for whom the scripts are that come now, if it isn't known there. Returns the number of replies to that.
    pub(super) fn act_for(&mut self, user: Option<&Arc<User>>, out: &mut Vec<u8>) -> usize {
        let same = match (&self.user, user) {
            (None, None) => true,
            (Some(known), Some(user)) => Arc::ptr_eq(known, user),
            _ => false,
        };
        if same {
            return 0;
        }
        self.user = user.cloned();
        let (name, rules) =
            user.map_or((&b""[..], Vec::new()), |user| (user.name(), user.without_passwords().to_stored()));
        proxy_resp::frame::encode_request(&[LINK_COMMAND, name, &rules], out);
        1
    }

    /// Connects and introduces itself; commands follow in `proto`.
    pub(super) async fn open(peer: &Peer, tls: Option<&LinkTls>, proto: Protocol) -> Result<Self, Error> {
        let version: &[u8] = if proto == Protocol::Resp3 { b"3" } else { b"2" };
        let hello = [LINK_COMMAND, peer.key.as_bytes()];
        Self::open_with(peer, tls, &[&hello, &[b"HELLO", version]]).await.map(|link| Self { proto, ..link })
    }

    /// Connects, in RESP2, and sends requests that must not be answered with errors.
    pub(super) async fn open_with(
        peer: &Peer,
        tls: Option<&LinkTls>,
        requests: &[&[&[u8]]],
    ) -> Result<Self, Error> {
        let mut stream = connect(&peer.address, peer.tls, tls).await?;
        let mut bytes = Vec::new();
        for request in requests {
            proxy_resp::frame::encode_request(request, &mut bytes);
        }
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        let mut input = Vec::new();
        for _ in requests {
            match next_reply(&mut stream, &mut input).await {
                Some(reply) if reply.first() != Some(&b'-') => {}
                _ => return Err(Error::new(ErrorKind::PermissionDenied, "the node refused the link")),
            }
        }
        let node = peer.id.clone();
        Ok(Self { node, stream, proto: Protocol::Resp2, db: 0, user: None, still: false, input })
    }
}

/// Connects to `address` (`host:port`), under TLS if `wants_tls`.
pub(crate) async fn connect(
    address: &str,
    wants_tls: bool,
    tls: Option<&LinkTls>,
) -> Result<Box<dyn Socket>, Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(QUIET).with_interval(PROBE_EVERY).with_retries(PROBES);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(UNCONFIRMED))?;
    if !wants_tls {
        return Ok(Box::new(stream));
    }
    let tls =
        tls.ok_or_else(|| Error::new(ErrorKind::Unsupported, "TLS is wanted, and this node has no [tls]"))?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
    Ok(Box::new(TlsConnector::from(tls.load_full()).connect(name, stream).await?))
}
