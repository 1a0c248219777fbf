//! One connection of the log's protocol, on either end: frames in, frames out, bounded, without delay.

use std::io;
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

/// Writes what is queued, joining what waits, until the queue or the peer is gone.
pub async fn write_frames(mut stream: Outgoing, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(mut bytes) = queue.recv().await {
        while bytes.len() < 256 << 10
            && let Ok(more) = queue.try_recv()
        {
            bytes.extend_from_slice(&more);
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
