//! Frames: cutting the byte stream into messages, on both ends.

use bytes::{Buf, Bytes, BytesMut};

use super::WireError;

/// No frame is longer: the largest block plus room for its fields.
pub const MAX_FRAME_BYTES: usize = (1 << 30) + (1 << 20);
/// Type and request id.
const FIXED_BYTES: usize = 9;

/// One message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is; see [`super::kind`].
    pub kind: u8,
    /// Chosen by who asks, repeated in the answer. 0 where there is no answer.
    pub request: u64,
    /// The fields.
    pub body: Bytes,
}

/// Appends a frame to `out`; `body` writes the fields in place.
pub fn encode_frame(out: &mut Vec<u8>, kind: u8, request: u64, body: impl FnOnce(&mut super::Writer)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind);
    out.extend_from_slice(&request.to_le_bytes());
    let mut writer = super::Writer(std::mem::take(out));
    body(&mut writer);
    *out = writer.0;
    let length = (out.len() - start - 4) as u32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Collects bytes and gives out whole frames. Memory grows with the bytes that arrived, never with what a length field promises.
#[derive(Debug)]
pub struct FrameDecoder {
    /// What has arrived and isn't given out; read into it.
    pub buffer: BytesMut,
    limit: usize,
}

impl FrameDecoder {
    /// A decoder that refuses frames above `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::with_capacity(64 << 10), limit }
    }

    /// Raises or lowers the limit, after the handshake.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next whole frame, if it has arrived.
    ///
    /// # Errors
    /// The stream is beyond repair: close it.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let Some(length) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > self.limit {
            return Err(WireError::TooLong(length as u64));
        }
        if length < FIXED_BYTES {
            return Err(WireError::CutOff);
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.buffer.advance(4);
        let mut frame = self.buffer.split_to(length).freeze();
        let kind = frame.get_u8();
        let request = frame.get_u64_le();
        Ok(Some(Frame { kind, request, body: frame }))
    }
}
