//! proxy-engine: what each command does. A command's function reads the keyspace, writes its reply and
//! the effects that say what is to change, and changes nothing itself; the shard applies the effects.
//!
//! The way of a request: [`resolve`] finds its row and checks its form, [`handler`] its function,
//! [`run`] calls it on a [`Call`] (arguments, keyspace, reply, effects). One file a family.

// Every handler has one signature, whether it can fail or not.
#![allow(clippy::unnecessary_wraps, clippy::needless_for_each, clippy::format_collect)]

mod bitmaps;
mod blocking;
mod call;
mod command_info;
mod debug;
mod digest;
mod dispatch;
mod elements;
mod errors;
mod expire;
mod geo;
mod glob;
mod hashes;
mod hyperloglog;
mod keys;
mod lists;
mod memory;
mod parse;
mod scan;
mod serialized;
mod sets;
mod sort;
mod streams;
mod strings;
pub mod testing;
mod zsets;

pub use blocking::{Patience, Wait, WaitKind};
pub use call::{Call, Context, Request};
pub use command_info::command_reply;
pub use digest::DataDigest;
pub use dispatch::{Handler, Run, handler, resolve, run};
pub use errors::{Fail, MAX_STRING};
pub use glob::glob_match;
pub use parse::{LongDouble, parse_double};
pub use scan::{ScanOptions, parse_cursor};
pub use sort::sort_patterns;
