//! Hosts Lua: the machine that scripts and functions run in, its sandbox, its libraries, and the conversions between
//! replies and Lua values. What a script calls goes through [`Host`], so nothing here knows shards or connections.

mod bit;
mod cjson;
mod cmsgpack;
mod convert;
mod errors;
mod functions;
mod host;
mod number;
mod random;
mod redis;
mod sandbox;
mod shebang;
mod structs;
mod vm;

pub use functions::{Functions, Library, LoadError, RegisteredFunction};
pub use host::{Host, LogLevel, Verdict};
pub use shebang::{Flags, Shebang, ShebangError};
pub use vm::{Failure, Limits, Sha, Vm, sha1};
