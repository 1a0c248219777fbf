//! The log's wire protocol: frames, handshake, requests and answers. Both ends use this file; `docs/log-protocol.md` describes the
//! same bytes for other programs.
//!
//! A frame is `length u32 | type u8 | request id u64 | body`; all integers little endian, `length` counts what follows it. Decoding
//! trusts nothing: every length is checked against the bytes that are there before anything is allocated from it.

mod codec;
mod connection;
mod frame;
mod message;
mod transport;

pub use codec::{Reader, WireError, Writer};
pub use connection::{FrameReader, FrameReceiver, FrameSender, frame_queue, write_frames};
pub use frame::{Frame, FrameDecoder, MAX_FRAME_BYTES, encode_frame};
pub use message::{Answer, Hello, Request, Role, Standing, Welcome, kind};
pub use transport::{Complaint, Incoming, LinkTls, Outgoing, accept, connect};

/// Newest version of the protocol that this build speaks. Both ends of a connection speak the older one's newest.
pub const VERSION: u16 = 2 + cfg!(feature = "next-version") as u16;
/// Oldest version that it still speaks.
pub const OLDEST_VERSION: u16 = 2;
/// First four bytes of a hello.
pub const MAGIC: [u8; 4] = *b"FKLW";
