//! Messages over nodes: this node takes everything that is published on each of the others, and hands it to its own
//! subscribers.
//!
//! ```text
//!   PUBLISH there --> its subscribers
//!                 '-> this link (FASTKEEP.LINK MESSAGES) --> pubsub::publish_here --> subscribers here
//! ```
//! A message leaves the other node when it would reach a subscriber there, so it tells nothing that can be taken back.
//! A link that breaks is made again; what is published meanwhile doesn't come here, as it doesn't reach any subscriber
//! whose connection breaks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use proxy_resp::{Limits, Parser, Step};
use tokio::io::AsyncReadExt;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::link::{Link, Peer};
use super::{LINK_COMMAND, TAKES_MESSAGES};
use crate::cluster::Cluster;
use crate::pubsub::{self, Kind};
use crate::shared::Shared;

/// Patience with a new link.
const CONNECT: Duration = Duration::from_secs(2);
/// Pause before a link is made again.
const RETRY: Duration = Duration::from_millis(100);
/// Whatever the other node lets its clients publish.
const BULK: i64 = i32::MAX as i64;
/// Messages are read in pieces of this size.
const READ_BYTES: usize = 64 << 10;

/// A link's task, which ends with its entry.
struct Listening(AbortHandle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps a link to every other node, until the proxy stops.
pub(crate) async fn follow(shared: Arc<Shared>, cluster: Arc<Cluster>) {
    let mut routes = cluster.routes();
    let mut links: HashMap<Peer, Listening> = HashMap::new();
    while !shared.stopping.load(Relaxed) {
        let map = cluster.map();
        // Whoever was started again has another key.
        let others: HashSet<Peer> =
            map.nodes().filter(|node| node.id != cluster.id).map(Peer::from).collect();
        links.retain(|peer, _| others.contains(peer));
        for peer in others {
            links.entry(peer.clone()).or_insert_with(|| {
                let listening = listen(Arc::clone(&shared), Arc::clone(&cluster), peer);
                Listening(tokio::task::spawn_local(listening).abort_handle())
            });
        }
        if routes.changed().await.is_err() {
            return;
        }
    }
}

/// Listens to one node for as long as it is there.
async fn listen(shared: Arc<Shared>, cluster: Arc<Cluster>, node: Peer) {
    loop {
        let hello = [LINK_COMMAND, node.key.as_bytes()];
        let tls = cluster.config.links.as_ref();
        match timeout(CONNECT, Link::open_with(&node, tls, &[&hello, &[LINK_COMMAND, TAKES_MESSAGES]])).await
        {
            Ok(Ok(link)) => {
                tracing::debug!(node = %node.id, "taking its messages");
                let why = pass_on(&shared, link).await;
                tracing::debug!(node = %node.id, "its messages end: {why}");
            }
            Ok(Err(error)) => tracing::debug!(node = %node.id, %error, "can't take its messages"),
            Err(_) => tracing::debug!(node = %node.id, "can't take its messages: it doesn't answer"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Hands on what comes until the link ends; says why it did.
async fn pass_on(shared: &Shared, mut link: Link) -> String {
    let mut parser = Parser::new(Limits { bulk: BULK, ..Limits::default() });
    loop {
        let mut at = 0;
        loop {
            let rest = link.input.get(at..).unwrap_or_default();
            match parser.next(rest) {
                Step::Command(length) => {
                    let message = parser.args(rest);
                    let kind = match message.at(0) {
                        b"message" => Kind::Channel,
                        b"smessage" => Kind::Shard,
                        other => return format!("it says {}", String::from_utf8_lossy(other)),
                    };
                    pubsub::publish_here(shared, kind, message.at(1), message.at(2));
                    at += length;
                }
                Step::Skip(length) => at += length,
                Step::More(_) => break,
                Step::Fail(error) => return String::from_utf8_lossy(&error.text()).into_owned(),
            }
        }
        link.input.drain(..at);
        link.input.reserve(READ_BYTES);
        match link.stream.read_buf(&mut link.input).await {
            Ok(0) => return "it has closed".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}
