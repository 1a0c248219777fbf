//! The words that the log service and its users share: numbers, records, blocks. A primary fills a
//! [`BlockBuilder`], the log service carries the sealed bytes without looking at record bodies, and
//! replicas and snapshotters take them apart again with [`Block::decode`]. The bytes are described in
//! `docs/log-format.md`.

mod block;
mod builder;
mod record;

pub use block::{Block, BlockError, BlockHeader, HEADER_BYTES, MAGIC};
pub use builder::BlockBuilder;
pub use record::{MAX_BODY_BYTES, RECORD_OVERHEAD_BYTES, Record, RecordIter, RecordKind, record_checksum};

/// Dense number of a record in its shard's log. The first record is 1; 0 means "nothing".
pub type Position = u64;

/// The number of a primary's term. The log refuses appends that carry an older one. 0 = never claimed.
pub type Epoch = u64;

/// Number of a shard, `0..N`.
pub type ShardId = u32;

/// Chain value before the first record of a log.
pub const CHAIN_START: u64 = 0;
