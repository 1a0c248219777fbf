//! The server that keys are moved to, seen as one of its clients.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::error;
use crate::cluster::LinkTls;
use crate::remote::link::{Socket, connect};

/// Requests are written in pieces of this size, each of which may take as long as the timeout says.
const WRITE_BYTES: usize = 64 << 10;
const READ_BYTES: usize = 4 << 10;
const WRITING: &[u8] = b"IOERR error or timeout writing to target instance";
/// The answers are single lines; a longer one is none.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Where keys go to.
pub(super) struct Place {
    /// `host:port`, as the client has said it.
    pub(super) address: String,
    /// What AUTH is given, if anything.
    pub(super) auth: Vec<Vec<u8>>,
    pub(super) db: i64,
    /// The keys come from a client of Redis Cluster.
    pub(super) asking: bool,
    pub(super) wants_tls: bool,
    pub(super) tls: Option<LinkTls>,
}

/// The connection.
pub(super) struct Target {
    stream: Box<dyn Socket>,
    input: Vec<u8>,
    timeout: Duration,
    /// Requests that are not sent yet.
    request: Vec<u8>,
    /// Answers to AUTH and SELECT that are still to come.
    greetings: usize,
    /// What the target said against AUTH or SELECT: it holds for all that follows.
    refused: Option<Vec<u8>>,
    /// RESTORE, by the name that the target knows.
    restore: &'static [u8],
}

/// How the exchange ended before everything was answered: the reply that says so.
pub(super) struct Broken(pub(super) Vec<u8>);

impl Target {
    /// Connects.
    pub(super) async fn open(place: &Place, patience: Duration) -> Result<Self, Broken> {
        let connected = timeout(patience, connect(&place.address, place.wants_tls, place.tls.as_ref())).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            // Redis learns that when it writes.
            Ok(Err(refused)) if refused.kind() == ErrorKind::ConnectionRefused => {
                return Err(Broken(error(WRITING)));
            }
            _ => return Err(Broken(error(b"IOERR error or timeout connecting to the client"))),
        };
        let restore: &[u8] = if place.asking { b"RESTORE-ASKING" } else { b"RESTORE" };
        let mut target = Self {
            stream,
            input: Vec::new(),
            timeout: patience,
            request: Vec::new(),
            greetings: 1,
            refused: None,
            restore,
        };
        if !place.auth.is_empty() {
            target.greetings += 1;
            let auth: Vec<&[u8]> =
                std::iter::once(&b"AUTH"[..]).chain(place.auth.iter().map(Vec::as_slice)).collect();
            target.ask(&auth);
        }
        target.ask(&[b"SELECT", place.db.to_string().as_bytes()]);
        Ok(target)
    }

    fn ask(&mut self, args: &[&[u8]]) {
        proxy_resp::frame::encode_request(args, &mut self.request);
    }

    /// Adds a key; `ttl` in milliseconds, 0 for none.
    pub(super) fn restore(&mut self, key: &[u8], ttl: i64, payload: &[u8], replace: bool) {
        let ttl = ttl.to_string();
        let all = [self.restore, key, ttl.as_bytes(), payload, b"REPLACE"];
        self.ask(&all[..if replace { 5 } else { 4 }]);
    }

    /// Adds the removal of a key.
    pub(super) fn remove(&mut self, key: &[u8]) {
        self.ask(&[b"DEL", key]);
    }

    /// Sends what was added.
    pub(super) async fn send(&mut self) -> Result<(), Broken> {
        let request = std::mem::take(&mut self.request);
        for piece in request.chunks(WRITE_BYTES) {
            let wrote = timeout(self.timeout, self.stream.write_all(piece)).await;
            if !matches!(wrote, Ok(Ok(()))) {
                return Err(Broken(error(WRITING)));
            }
        }
        match timeout(self.timeout, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Broken(error(WRITING))),
        }
    }

    /// The next answer to what was added: `Err` inside is what the target says against it.
    pub(super) async fn answer(&mut self) -> Result<Result<(), Vec<u8>>, Broken> {
        while self.greetings > 0 {
            self.greetings -= 1;
            let line = self.line().await?;
            if line.first() == Some(&b'-') {
                self.refused.get_or_insert(line);
            }
        }
        let line = self.line().await?;
        let against = match &self.refused {
            Some(refused) => refused,
            None if line.first() == Some(&b'-') => &line,
            None => return Ok(Ok(())),
        };
        let text = against.get(1..).unwrap_or_default();
        Ok(Err(error(&[b"ERR Target instance replied with error: ", text].concat())))
    }

    async fn line(&mut self) -> Result<Vec<u8>, Broken> {
        let broken = || Broken(error(b"IOERR error or timeout reading to target instance"));
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let rest = self.input.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.input, rest);
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            if self.input.len() > LINE_BYTES_MAX {
                return Err(broken());
            }
            self.input.reserve(READ_BYTES);
            match timeout(self.timeout, self.stream.read_buf(&mut self.input)).await {
                Ok(Ok(1..)) => {}
                _ => return Err(broken()),
            }
        }
    }
}
