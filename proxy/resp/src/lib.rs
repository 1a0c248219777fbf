//! RESP, the wire language of Redis: requests in, replies out.
//!
//! A request's bytes are cut into [`Args`] by [`Parser`] (written by hand: untrusted input, the hottest
//! loop of the server); a command streams its answer into a [`Reply`], which knows RESP2 and RESP3. The
//! typed frames of `redis-protocol` live in [`frame`] and serve the client's side of a connection and the
//! tests; request bytes never reach them.

mod args;
mod double;
pub mod frame;
mod inline;
mod number;
mod parse;
mod reply;
mod scan;

pub use args::{Args, OwnedArgs, Span};
pub use double::format_double;
pub use inline::split_line;
pub use number::parse_i64;
pub use parse::{Limits, Parser, ProtocolError, Step};
pub use reply::{Mark, Protocol, Reply};
pub use scan::{Malformed, ReplyScanner, split_reply};
