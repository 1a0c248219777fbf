//! Frames to the other replicas over TCP: one connection to each, opened by the sender, reopened when it breaks. What can't be sent
//! is dropped; the consensus repeats itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use logsvc_client::wire::{
    Complaint, Frame, FrameReader, FrameSender, Hello, LinkTls, Standing, Welcome, connect, encode_frame,
    frame_queue, kind, write_frames,
};
use logsvc_raft::{Input, NodeNumber, Outgoing};
use parking_lot::RwLock;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::replica::{Called, Message, Seat, Transport};

/// Bytes queued to one peer; above it frames are dropped.
const MAX_QUEUED_BYTES: usize = 128 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Longest answer to a hello or probe.
const SMALL_FRAME_BYTES: usize = 64 << 10;

struct Peer {
    address: String,
    queue: mpsc::UnboundedSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
}

/// The transport of a replica over TCP. Clones share their connections.
#[derive(Clone)]
pub struct TcpPeers(Arc<Shared>);

struct Shared {
    peers: RwLock<HashMap<NodeNumber, Peer>>,
    hello: Hello,
    tls: Option<LinkTls>,
    seat: Arc<Seat>,
}

impl TcpPeers {
    /// Without peers yet.
    pub fn new(hello: Hello, tls: Option<LinkTls>, seat: &Arc<Seat>) -> Self {
        Self(Arc::new(Shared { peers: RwLock::default(), hello, tls, seat: Arc::clone(seat) }))
    }

    /// Connects to exactly these peers; one with another address is another peer. Runs tasks on the current runtime.
    pub fn set(&self, wanted: &HashMap<NodeNumber, String>) {
        let mut peers = self.0.peers.write();
        peers.retain(|node, peer| wanted.get(node) == Some(&peer.address));
        for (node, address) in wanted {
            peers.entry(*node).or_insert_with(|| self.start(*node, address));
        }
    }

    /// Those that it connects to.
    pub fn addresses(&self) -> HashMap<NodeNumber, String> {
        self.0.peers.read().iter().map(|(node, peer)| (*node, peer.address.clone())).collect()
    }

    fn start(&self, node: NodeNumber, address: &str) -> Peer {
        let (queue, frames) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let task = Link {
            node,
            address: address.to_owned(),
            hello: self.0.hello.clone(),
            tls: self.0.tls.clone(),
            complaint: Complaint::default(),
            seat: Arc::clone(&self.0.seat),
            queued: Arc::clone(&queued),
        };
        tokio::spawn(task.run(frames));
        Peer { address: address.to_owned(), queue, queued }
    }
}

impl Transport for TcpPeers {
    fn send(&mut self, message: Outgoing) -> Option<Called> {
        let peers = self.0.peers.read();
        let peer = peers.get(&message.to)?;
        let mut bytes = Vec::with_capacity(message.len() + 16);
        encode_frame(&mut bytes, kind::RAFT, 0, |out| {
            message.parts.iter().for_each(|part| out.0.extend_from_slice(part));
        });
        let length = bytes.len();
        if peer.queued.fetch_add(length, Ordering::Relaxed) > MAX_QUEUED_BYTES
            || peer.queue.send(bytes).is_err()
        {
            peer.queued.fetch_sub(length, Ordering::Relaxed);
        }
        None
    }
}

struct Link {
    node: NodeNumber,
    address: String,
    hello: Hello,
    tls: Option<LinkTls>,
    complaint: Complaint,
    seat: Arc<Seat>,
    queued: Arc<AtomicUsize>,
}

impl Link {
    async fn run(self, mut frames: mpsc::UnboundedReceiver<Vec<u8>>) {
        loop {
            match open(&self.address, &self.hello, self.tls.as_ref()).await {
                Ok((_, mut reader, queue, writer)) => {
                    self.complaint.clear();
                    loop {
                        tokio::select! {
                            // Peers answer nothing on this connection: whatever comes ends it.
                            _ = reader.next() => break,
                            frame = frames.recv() => {
                                let Some(frame) = frame else { return };
                                self.queued.fetch_sub(frame.len(), Ordering::Relaxed);
                                // A peer that doesn't read gets no more.
                                if queue.bytes() <= MAX_QUEUED_BYTES && !queue.send(frame) {
                                    break;
                                }
                            }
                        }
                    }
                    writer.abort();
                    tracing::info!(peer = self.address, "the connection to a log replica broke");
                    self.seat.push(Message::Input(Input::Unreachable { node: self.node }));
                }
                Err(error) => {
                    self.complaint
                        .tell(format!("the log replica at {} can't be reached: {error}", self.address));
                }
            }
            // What was queued meanwhile is stale.
            while let Ok(frame) = frames.try_recv() {
                self.queued.fetch_sub(frame.len(), Ordering::Relaxed);
            }
            if frames.is_closed() {
                return;
            }
            sleep(RECONNECT_PAUSE).await;
        }
    }
}

type Opened = (Welcome, FrameReader, FrameSender, tokio::task::JoinHandle<()>);

/// Connects and shakes hands.
async fn open(address: &str, hello: &Hello, tls: Option<&LinkTls>) -> std::io::Result<Opened> {
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
    let (read, write) = connect(address, tls, CONNECT_TIMEOUT).await?;
    let (queue, frames) = frame_queue();
    let writer = tokio::spawn(write_frames(write, frames));
    let mut bytes = Vec::new();
    encode_frame(&mut bytes, kind::HELLO, 0, |out| hello.encode(out));
    queue.send(bytes);
    let mut reader = FrameReader::new(read, SMALL_FRAME_BYTES);
    let frame = timeout(CONNECT_TIMEOUT, reader.next()).await.map_err(|_| late())??;
    let welcome = frame.filter(|frame| frame.kind == kind::WELCOME).map(|frame| Welcome::decode(frame.body));
    match welcome {
        Some(Ok(welcome)) => Ok((welcome, reader, queue, writer)),
        _ => {
            writer.abort();
            Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the handshake was refused"))
        }
    }
}

/// Asks a peer how it stands. An error means that it can't be known now.
pub async fn probe(address: &str, hello: &Hello, tls: Option<&LinkTls>) -> std::io::Result<Standing> {
    let (_, mut reader, queue, writer) = open(address, hello, tls).await?;
    let mut bytes = Vec::new();
    encode_frame(&mut bytes, kind::PROBE, 1, |_| {});
    queue.send(bytes);
    let answer = timeout(CONNECT_TIMEOUT, reader.next()).await;
    writer.abort();
    let invalid = || std::io::Error::new(std::io::ErrorKind::InvalidData, "no answer to a probe");
    match answer {
        Ok(Ok(Some(Frame { kind: kind::STANDING, body, .. }))) => {
            Standing::decode(body).map_err(|_| invalid())
        }
        _ => Err(invalid()),
    }
}
