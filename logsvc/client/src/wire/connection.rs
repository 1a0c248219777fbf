//! One connection of the log's protocol, on either end: frames in, frames out, bounded, without delay.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Frame, FrameDecoder, Incoming, Outgoing, WireError};

/// A peer that doesn't take bytes for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The receiving half.
pub struct FrameReader {
    stream: Incoming,
    decoder: FrameDecoder,
}

impl FrameReader {
    /// Frames from `stream`, none longer than `limit` bytes.
    pub fn new(stream: Incoming, limit: usize) -> Self {
        Self { stream, decoder: FrameDecoder::new(limit) }
    }

    /// Changes the limit, after the handshake.
    pub fn set_limit(&mut self, limit: usize) {
        self.decoder.set_limit(limit);
    }

    /// The next frame; none at the end of the stream. Cancel safe.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let invalid = |error: WireError| io::Error::new(io::ErrorKind::InvalidData, error);
            if let Some(frame) = self.decoder.next_frame().map_err(invalid)? {
                return Ok(Some(frame));
            }
            self.decoder.buffer.reserve(16 << 10);
            if self.stream.read_buf(&mut self.decoder.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// A queue of frames for [`write_frames`]. It takes whatever it is given; who may give it much looks at its length.
pub fn frame_queue() -> (FrameSender, FrameReceiver) {
    let (queue, frames) = mpsc::unbounded_channel();
    let bytes = Arc::new(AtomicUsize::new(0));
    (FrameSender { queue, bytes: Arc::clone(&bytes) }, FrameReceiver { frames, bytes })
}

/// The end of a queue where frames are put in.
#[derive(Debug, Clone)]
pub struct FrameSender {
    queue: mpsc::UnboundedSender<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

impl FrameSender {
    /// Adds one or more frames; false when nobody will write them any more.
    pub fn send(&self, frames: Vec<u8>) -> bool {
        self.bytes.fetch_add(frames.len(), Relaxed);
        self.queue.send(frames).is_ok()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Nobody will write any more.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

/// The end of a queue where frames are taken out.
#[derive(Debug)]
pub struct FrameReceiver {
    frames: mpsc::UnboundedReceiver<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

impl FrameReceiver {
    fn taken(&self, frames: Vec<u8>) -> Vec<u8> {
        self.bytes.fetch_sub(frames.len(), Relaxed);
        frames
    }
}

/// Writes what is queued, joining what waits, until the queue or the peer is gone.
pub async fn write_frames(mut stream: Outgoing, mut queue: FrameReceiver) {
    while let Some(frames) = queue.frames.recv().await {
        let mut bytes = queue.taken(frames);
        while bytes.len() < 256 << 10
            && let Ok(more) = queue.frames.try_recv()
        {
            bytes.extend_from_slice(&queue.taken(more));
        }
        let written = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        if !matches!(timeout(WRITE_TIMEOUT, written).await, Ok(Ok(()))) {
            return;
        }
    }
}
