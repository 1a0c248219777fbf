//! snapshot-rdb: Redis's RDB format, version 10, both ways.
//!
//! Segments of snapshots are RDB files, DUMP payloads are single RDB values. Flow of a save: `keyspace::save` walks a
//! slot range, `file::Writer` frames entries, `body` writes values, `wire` primitives, checksummed. A load is the same
//! way back, ending in effects that `Keyspace::apply` carries out: there is no second way to change data.
//!
//! Read: everything that Redis 1.0 to 7.0 wrote for strings, lists, sets, sorted sets, hashes and streams, and function
//! libraries. Refused with an error that names the key or the place: module values, module data, functions in the form
//! of release candidates.

mod body;
mod codes;
mod collect;
pub mod crc64;
mod dump;
mod error;
pub mod file;
mod keyspace;
mod lzf;
mod packed;
mod stream;
mod wire;

pub use body::{Discard, ValueSink};
pub use codes::{REDIS_VERSION, VERSION};
pub use dump::{RestoreError, dump, dump_functions, restore, restore_functions};
pub use error::RdbError;
pub use keyspace::{About, Checked, LIBRARY_SLOT, Load, Saved, check, load, save};
