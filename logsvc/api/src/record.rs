//! One record inside a block: its kinds, its checksum, and reading it back. Used by the builder on the
//! way in and by the block decoder on the way out.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Position;

/// Bytes of a record before its body: kind (1) and body length (4).
pub(crate) const RECORD_PREFIX_BYTES: usize = 5;
/// Bytes of the checksum behind the body.
pub(crate) const CHECKSUM_BYTES: usize = 8;
/// Bytes that a record adds to its body.
pub const RECORD_OVERHEAD_BYTES: usize = RECORD_PREFIX_BYTES + CHECKSUM_BYTES;
/// Largest body of a record. Whoever fills a record stops before it; the block's length field is a `u32`.
pub const MAX_BODY_BYTES: usize = 1 << 30;

/// What a record means to its reader. The numbers are written to disk and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// The effects of one atomic unit.
    Effects = 1,
    /// A new primary took over.
    Claim = 2,
    /// The primary extended its lease.
    Renewal = 3,
    /// This shard's part of a unit that spans shards.
    Prepare = 4,
    /// The coordinator's outcome of such a unit.
    Decision = 5,
    /// A slot changed its shard.
    SlotOwnership = 6,
    /// A snapshot covers the log up to a position.
    SnapshotMark = 7,
    /// The primary's own checksum of its state, for comparison by replicas.
    Checksum = 8,
}

impl RecordKind {
    /// The kind with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Effects,
            2 => Self::Claim,
            3 => Self::Renewal,
            4 => Self::Prepare,
            5 => Self::Decision,
            6 => Self::SlotOwnership,
            7 => Self::SnapshotMark,
            8 => Self::Checksum,
            _ => return None,
        })
    }
}

/// One record of a decoded block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub position: Position,
    pub kind: RecordKind,
    pub body: &'a [u8],
    /// The chain at this position.
    pub checksum: u64,
}

/// Checksum of a record given its bytes from the kind to the end of the body, chained to the one before.
#[inline]
pub fn record_checksum(chain_before: u64, kind_length_body: &[u8]) -> u64 {
    xxh3_64_with_seed(kind_length_body, chain_before)
}

/// A record's fields as found in bytes, before anything was verified.
pub(crate) struct RawRecord<'a> {
    pub kind: u8,
    /// Kind, length and body: what the checksum covers.
    pub checked: &'a [u8],
    pub checksum: u64,
    /// What follows the record.
    pub rest: &'a [u8],
}

/// Splits the first record off `bytes`; `None` if they are too short for what its length field says.
#[inline]
pub(crate) fn split_record(bytes: &[u8]) -> Option<RawRecord<'_>> {
    let (&kind, after_kind) = bytes.split_first()?;
    let length = u32::from_le_bytes(*after_kind.first_chunk::<4>()?) as usize;
    let (checked, after_body) = bytes.split_at_checked(RECORD_PREFIX_BYTES.checked_add(length)?)?;
    let (checksum, rest) = after_body.split_first_chunk::<CHECKSUM_BYTES>()?;
    Some(RawRecord { kind, checked, checksum: u64::from_le_bytes(*checksum), rest })
}

/// Iterator over the records of a block that was verified when it was decoded.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    rest: &'a [u8],
    next_position: Position,
}

impl<'a> RecordIter<'a> {
    pub(crate) fn new(records: &'a [u8], first_position: Position) -> Self {
        Self { rest: records, next_position: first_position }
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        let raw = split_record(self.rest)?;
        let kind = RecordKind::from_u8(raw.kind)?;
        let body = raw.checked.get(RECORD_PREFIX_BYTES..)?;
        let position = self.next_position;
        self.rest = raw.rest;
        self.next_position += 1;
        Some(Record { position, kind, body, checksum: raw.checksum })
    }
}
