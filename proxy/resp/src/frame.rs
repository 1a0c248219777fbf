//! Typed frames, the one place that names `redis-protocol`: the client's side of a connection (links, tools,
//! tests) and the oracle that the hand-written code is compared with.
//!
//! Only replies of peers that we trust come here. The crate decodes by recursion without a limit and starts
//! over on partial input, so request bytes of clients never do.

use redis_protocol::resp2::types::Resp2Frame;

pub use redis_protocol::resp2::types::OwnedFrame as Frame2;
pub use redis_protocol::resp3::types::OwnedFrame as Frame3;

/// Bytes that are no reply, or a frame that can't be written.
#[derive(Debug)]
pub struct FrameError(String);

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RESP frame: {}", self.0)
    }
}

impl std::error::Error for FrameError {}

fn wrong(error: redis_protocol::error::RedisProtocolError) -> FrameError {
    FrameError(error.to_string())
}

/// Decodes one RESP2 frame from the front of `buf`: the frame and the bytes it took, or `None` if more is needed.
pub fn decode2(buf: &[u8]) -> Result<Option<(Frame2, usize)>, FrameError> {
    redis_protocol::resp2::decode::decode(buf).map_err(wrong)
}

/// Decodes one RESP3 frame from the front of `buf`, as [`decode2`] does.
pub fn decode3(buf: &[u8]) -> Result<Option<(Frame3, usize)>, FrameError> {
    redis_protocol::resp3::decode::complete::decode(buf).map_err(wrong)
}

/// Appends a RESP2 frame to `out`.
pub fn encode2(frame: &Frame2, out: &mut Vec<u8>) -> Result<(), FrameError> {
    // The crate sizes a frame before writing it and guesses one byte too many for some integers; the count
    // that it returns is right, so what it left behind that is cut off.
    let start = out.len();
    let room = Resp2Frame::encode_len(frame, false);
    out.resize(start + room, 0);
    let written = redis_protocol::resp2::encode::encode(&mut out[start..], frame, false);
    out.truncate(start + written.as_ref().map_or(0, |count| *count));
    written.map(|_| ()).map_err(wrong)
}

/// A request: an array of bulk strings.
pub fn encode_request<T: AsRef<[u8]>>(args: &[T], out: &mut Vec<u8>) {
    let mut writer = crate::Reply::with_buffer(std::mem::take(out), crate::Protocol::Resp2);
    writer.array(args.len());
    for arg in args {
        writer.bulk(arg.as_ref());
    }
    *out = writer.take();
}
