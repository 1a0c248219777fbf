//! The primary's open block: record bodies are written straight into the buffer that becomes the block, so
//! an effect is encoded once and never moved. One builder a shard; it follows the log's tail by itself.

use bytes::Bytes;

use crate::block::{BlockHeader, HEADER_BYTES};
use crate::record::{MAX_BODY_BYTES, RECORD_PREFIX_BYTES, record_checksum};
use crate::{Epoch, Position, RecordKind, ShardId};

/// A block up to this length is copied out at exact size and the builder keeps its buffer; a longer one
/// takes the buffer with it, because copying would cost more than a new allocation.
const COPY_LIMIT_BYTES: usize = 32 * 1024;
/// Capacity of a fresh buffer.
const START_BYTES: usize = 4 * 1024;

/// Builds blocks that follow each other without a gap.
///
/// Use: `begin`, append the body to the returned `Vec`, `commit` (or `cancel`); any number of times; `seal`.
/// Only bytes from `body_start` on belong to the open record; what lies before it must not be touched.
#[derive(Debug)]
pub struct BlockBuilder {
    buffer: Vec<u8>,
    shard: ShardId,
    /// Offset of the open record's kind byte, or the end of the committed records.
    record_start: usize,
    record_count: u32,
    /// Last committed position.
    tail: Position,
    /// Checksum of the record at `tail`.
    chain: u64,
    /// `chain` before the first record of this block.
    chain_before: u64,
}

impl BlockBuilder {
    /// A builder that continues a log whose last record is at `tail` (0 = empty) with checksum `chain`.
    pub fn new(shard: ShardId, tail: Position, chain: u64) -> Self {
        let mut buffer = Vec::with_capacity(START_BYTES);
        buffer.resize(HEADER_BYTES, 0);
        Self { buffer, shard, record_start: HEADER_BYTES, record_count: 0, tail, chain, chain_before: chain }
    }

    /// Goes on behind records that others wrote: the log's last record is at `tail` with checksum `chain`. What was gathered
    /// here is dropped.
    pub fn follow(&mut self, tail: Position, chain: u64) {
        self.buffer.truncate(HEADER_BYTES);
        self.record_start = HEADER_BYTES;
        self.record_count = 0;
        self.tail = tail;
        self.chain = chain;
        self.chain_before = chain;
    }

    /// Opens a record and returns the buffer to append its body to. A record still open is dropped.
    #[inline]
    pub fn begin(&mut self, kind: RecordKind) -> &mut Vec<u8> {
        self.buffer.truncate(self.record_start);
        self.buffer.extend_from_slice(&[kind as u8, 0, 0, 0, 0]);
        &mut self.buffer
    }

    /// The buffer again, while a record is open.
    #[inline]
    pub fn body(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Where the open record's body starts in the buffer.
    #[inline]
    pub fn body_start(&self) -> usize {
        self.record_start + RECORD_PREFIX_BYTES
    }

    /// Closes the open record and returns its position.
    ///
    /// # Panics
    /// If no record is open, or its body is longer than [`MAX_BODY_BYTES`]: the caller bounds what it writes,
    /// and a wrong length here would damage the log for every reader.
    #[inline]
    pub fn commit(&mut self) -> Position {
        let body_length = self.buffer.len().checked_sub(self.body_start());
        let length = match body_length {
            Some(length) if length <= MAX_BODY_BYTES => length as u32,
            _ => panic!("commit of a record that is not open or too long: {body_length:?} bytes"),
        };
        let record = &mut self.buffer[self.record_start..];
        record[1..RECORD_PREFIX_BYTES].copy_from_slice(&length.to_le_bytes());
        self.chain = record_checksum(self.chain, record);
        self.buffer.extend_from_slice(&self.chain.to_le_bytes());
        self.record_start = self.buffer.len();
        self.record_count += 1;
        self.tail += 1;
        self.tail
    }

    /// Drops the open record, if there is one.
    #[inline]
    pub fn cancel(&mut self) {
        self.buffer.truncate(self.record_start);
    }

    /// Position that the open or next record gets.
    #[inline]
    pub fn next_position(&self) -> Position {
        self.tail + 1
    }

    /// True while no record was committed since the last `seal`.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Length of the block if it were sealed now; an open record is not counted.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.record_start
    }

    /// Closes the block and returns its bytes; the builder goes on with the next one. An open record is
    /// dropped. Sealing an empty builder returns an empty `Bytes`: there is no block without records.
    pub fn seal(&mut self, epoch: Epoch, time_ms: u64, engine_version: u16) -> Bytes {
        self.cancel();
        if self.is_empty() {
            return Bytes::new();
        }
        let header = BlockHeader {
            length: u32::try_from(self.buffer.len()).expect("the caller seals before a block passes 4 GiB"),
            shard: self.shard,
            engine_version,
            epoch,
            first_position: self.tail + 1 - u64::from(self.record_count),
            time_ms,
            chain_before: self.chain_before,
            record_count: self.record_count,
        };
        if let Some(out) = self.buffer.first_chunk_mut::<HEADER_BYTES>() {
            header.write_to(out);
        }
        self.record_count = 0;
        self.chain_before = self.chain;
        self.record_start = HEADER_BYTES;
        self.take_bytes()
    }

    /// Checksum of the last committed record.
    #[inline]
    pub fn chain(&self) -> u64 {
        self.chain
    }

    /// Position of the last committed record.
    #[inline]
    pub fn tail(&self) -> Position {
        self.tail
    }

    fn take_bytes(&mut self) -> Bytes {
        if self.buffer.len() <= COPY_LIMIT_BYTES {
            let block = Bytes::copy_from_slice(&self.buffer);
            self.buffer.truncate(HEADER_BYTES);
            return block;
        }
        let mut fresh = Vec::with_capacity(START_BYTES);
        fresh.resize(HEADER_BYTES, 0);
        Bytes::from(std::mem::replace(&mut self.buffer, fresh))
    }
}
