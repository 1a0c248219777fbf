//! A connection to another node, as one of its clients.

use std::sync::Arc;

use proxy_acl::User;
use proxy_resp::{Protocol, ReplyScanner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::LINK_COMMAND;

/// Replies are read in pieces of this size.
const READ_BYTES: usize = 64 << 10;

/// A connection to another node.
pub(super) struct Link {
    pub(super) node: String,
    pub(super) stream: TcpStream,
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

    /// Connects and introduces itself.
    pub(super) async fn open(
        node: String,
        address: &str,
        key: &str,
        proto: Protocol,
    ) -> std::io::Result<Self> {
        let refused =
            || std::io::Error::new(std::io::ErrorKind::PermissionDenied, "the node refused the link");
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut request = Vec::new();
        proxy_resp::frame::encode_request(&[LINK_COMMAND, key.as_bytes()], &mut request);
        let version: &[u8] = if proto == Protocol::Resp3 { b"3" } else { b"2" };
        proxy_resp::frame::encode_request(&[b"HELLO", version], &mut request);
        stream.write_all(&request).await?;
        let mut input = Vec::new();
        for _ in 0..2 {
            let reply = next_reply(&mut stream, &mut input).await.ok_or_else(refused)?;
            if reply.first() == Some(&b'-') {
                return Err(refused());
            }
        }
        Ok(Self { node, stream, proto, db: 0, user: None, still: false, input })
    }
}
