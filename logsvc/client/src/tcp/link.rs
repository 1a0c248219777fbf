//! A connection to one log replica: kept open, its answers handed to whoever waits for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::Shared;
use crate::wire::{
    Answer, Complaint, Frame, FrameReader, FrameSender, Hello, LinkTls, MAX_FRAME_BYTES, Request, Role,
    VERSION, Welcome, connect, encode_frame, frame_queue, kind, write_frames,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// How often a connection is tried out.
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// A replica that leaves a probe unanswered for this long counts as gone, although its connection stands: its
/// process is paused, or the network is cut. Shorter than leases, so that another leader is found in time.
const PROBE_LIMIT: Duration = Duration::from_millis(250);
const HANDSHAKE_BYTES: usize = 64 << 10;

/// Why a call over a link brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkError {
    /// Not connected: the request never left.
    NotSent,
    /// The connection broke: the request may have been carried out.
    Broken,
}

/// One replica's connection.
pub struct Link {
    /// The replica's zone.
    pub az: String,
    address: String,
    tls: Option<LinkTls>,
    complaint: Complaint,
    number: usize,
    up: AtomicBool,
    /// The replica does not belong to the log any more: the connection is kept while it stands, and not made again.
    leaving: AtomicBool,
    gone: AtomicBool,
    next_request: AtomicU64,
    queue: Mutex<Option<FrameSender>>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
}

impl Link {
    /// A link that isn't connected yet.
    pub fn new(number: usize, az: String, address: String, tls: Option<LinkTls>) -> Self {
        Self {
            az,
            address,
            tls,
            complaint: Complaint::default(),
            number,
            up: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            next_request: AtomicU64::new(1),
            queue: Mutex::new(None),
            waiting: Mutex::default(),
        }
    }

    /// Whether it leads to that replica, and will go on doing so.
    pub fn leads_to(&self, az: &str, address: &str) -> bool {
        !self.is_gone() && self.az == az && self.address == address
    }

    /// Whether the replica belongs to the log.
    pub fn belongs(&self, belongs: bool) {
        self.leaving.store(!belongs, Ordering::Release);
    }

    /// True when it leads nowhere any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// True while connected.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Sends a request that is answered cumulatively (appends). False if not connected.
    pub fn send(&self, request: &Request) -> bool {
        self.send_frame(request, 0)
    }

    fn send_frame(&self, request: &Request, id: u64) -> bool {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, request.kind(), id, |out| request.encode(out));
        self.queue.lock().as_ref().is_some_and(|queue| queue.send(bytes))
    }

    /// Sends a request and waits for its answer, without a limit of its own.
    pub async fn call(&self, request: &Request) -> Result<Answer, LinkError> {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(id, sender);
        // Removed even when the caller gives up waiting.
        let _entry = Entry { link: self, id };
        if !self.send_frame(request, id) {
            return Err(LinkError::NotSent);
        }
        answer.await.map_err(|_| LinkError::Broken)
    }

    /// Keeps the connection open until the client is gone.
    pub(super) async fn run(self: Arc<Self>, shared: std::sync::Weak<Shared>) {
        while shared.strong_count() > 0 {
            if self.leaving.load(Ordering::Acquire) {
                self.gone.store(true, Ordering::Release);
                return;
            }
            let connected = self.connect().await;
            if let Err(why) = &connected {
                self.complaint.tell(format!("the log replica at {} cannot be used: {why}", self.address));
            }
            if let Ok(mut reader) = connected {
                self.complaint.clear();
                self.read(&mut reader, &shared).await;
                self.up.store(false, Ordering::Release);
                *self.queue.lock() = None;
                self.waiting.lock().clear();
                if let Some(shared) = shared.upgrade() {
                    shared.link_broke(self.number);
                }
            }
            sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn connect(&self) -> std::io::Result<FrameReader> {
        let invalid = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
        let (read, write) = connect(&self.address, self.tls.as_ref(), CONNECT_TIMEOUT).await?;
        let (queue, frames) = frame_queue();
        tokio::spawn(write_frames(write, frames));
        let hello = Hello { version: VERSION, role: Role::Client, cluster: 0, replica: 0, az: String::new() };
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, kind::HELLO, 0, |out| hello.encode(out));
        queue.send(bytes);
        let mut reader = FrameReader::new(read, HANDSHAKE_BYTES);
        let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to the hello in time");
        let frame = timeout(CONNECT_TIMEOUT, reader.next()).await.map_err(late)??;
        let frame = frame.ok_or_else(|| invalid("it closed the connection during the hello".to_owned()))?;
        if frame.kind != kind::WELCOME {
            return Err(invalid("it refused the hello".to_owned()));
        }
        Welcome::decode(frame.body).map_err(|error| invalid(error.to_string()))?;
        reader.set_limit(MAX_FRAME_BYTES);
        *self.queue.lock() = Some(queue);
        self.up.store(true, Ordering::Release);
        Ok(reader)
    }

    /// Ends when a probe stays unanswered.
    async fn silence(&self) {
        while timeout(PROBE_LIMIT, self.call(&PROBE)).await.is_ok() {
            sleep(PROBE_EVERY).await;
        }
    }

    async fn read(&self, reader: &mut FrameReader, shared: &std::sync::Weak<Shared>) {
        let silence = self.silence();
        tokio::pin!(silence);
        loop {
            let frame = tokio::select! {
                frame = reader.next() => frame,
                () = gone(shared) => return,
                () = &mut silence => {
                    tracing::warn!(az = self.az, address = self.address, "a log replica does not answer; connecting again");
                    return;
                }
            };
            let Ok(Some(Frame { kind, request, body })) = frame else { return };
            let answer = match Answer::decode(kind, body) {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::warn!(address = self.address, %error, "a log replica sent what isn't an answer");
                    return;
                }
            };
            if request == 0 {
                let Some(shared) = shared.upgrade() else { return };
                shared.progress(self.number, answer);
            } else if let Some(waiting) = self.waiting.lock().remove(&request) {
                let _ = waiting.send(answer);
            }
        }
    }
}

/// Answered by any replica from memory: a read behind everything there is.
const PROBE: Request = Request::Read { shard: 0, from: i64::MAX as u64, max_bytes: 0, wait_ms: 0 };

/// Ends when the client was dropped.
async fn gone(shared: &std::sync::Weak<Shared>) {
    while shared.strong_count() > 0 {
        sleep(Duration::from_millis(200)).await;
    }
}

struct Entry<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.link.waiting.lock().remove(&self.id);
    }
}
