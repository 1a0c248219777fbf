//! A sealed block and its header: decoding with every check there is. Nothing behind [`Block::decode`]
//! needs to distrust the bytes again.

use bytes::Bytes;

use crate::record::{CHECKSUM_BYTES, RECORD_OVERHEAD_BYTES, RecordIter, record_checksum, split_record};
use crate::{Epoch, Position, RecordKind, ShardId};

/// First four bytes of a block: "FKB" and the version of the format.
pub const MAGIC: [u8; 4] = *b"FKB\x01";
/// Bytes before the first record.
pub const HEADER_BYTES: usize = 56;
/// Bytes covered by the header's CRC32C, which follows them.
const CRC_OFFSET: usize = 52;

/// Why bytes are not a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    #[error("block of {found} bytes is shorter than its {HEADER_BYTES} byte header")]
    Short { found: usize },
    #[error("not a block: magic {found:02x?}")]
    Magic { found: [u8; 4] },
    #[error("block format version {found} is not supported")]
    Version { found: u8 },
    #[error("header checksum {computed:08x} does not match {found:08x}")]
    HeaderChecksum { computed: u32, found: u32 },
    #[error("header says {expected} bytes, block has {found}")]
    Length { expected: u32, found: usize },
    #[error("unknown flags {flags:#06x}")]
    Flags { flags: u16 },
    #[error("header holds no possible positions: first {first_position}, {record_count} records")]
    Positions { first_position: Position, record_count: u32 },
    #[error("record at position {position} is cut off")]
    CutOff { position: Position },
    #[error("record at position {position} has unknown kind {kind}")]
    Kind { position: Position, kind: u8 },
    #[error("record at position {position} fails its checksum")]
    RecordChecksum { position: Position },
    #[error("{extra} bytes behind the last record")]
    Trailing { extra: usize },
}

/// What stands before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Length of the whole block, header included.
    pub length: u32,
    pub shard: ShardId,
    /// A reader with a lower version stops before this block.
    pub engine_version: u16,
    pub epoch: Epoch,
    pub first_position: Position,
    /// When the primary sealed the block, unix milliseconds.
    pub time_ms: u64,
    /// Checksum of the record at `first_position - 1`.
    pub chain_before: u64,
    pub record_count: u32,
}

/// Reads `N` bytes at a fixed offset of the header.
fn field<const N: usize>(header: &[u8; HEADER_BYTES], offset: usize) -> [u8; N] {
    header.get(offset..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

impl BlockHeader {
    /// Decodes and verifies the first [`HEADER_BYTES`] of `bytes`; what follows them is not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        let raw = bytes.first_chunk::<HEADER_BYTES>().ok_or(BlockError::Short { found: bytes.len() })?;
        let magic: [u8; 4] = field(raw, 0);
        if magic != MAGIC {
            let [a, b, c, version] = magic;
            let foreign = [a, b, c] != *b"FKB";
            return Err(if foreign {
                BlockError::Magic { found: magic }
            } else {
                BlockError::Version { found: version }
            });
        }
        let found = u32::from_le_bytes(field(raw, CRC_OFFSET));
        let computed = crc32c::crc32c(raw.get(..CRC_OFFSET).unwrap_or_default());
        if found != computed {
            return Err(BlockError::HeaderChecksum { computed, found });
        }
        let flags = u16::from_le_bytes(field(raw, 14));
        if flags != 0 {
            return Err(BlockError::Flags { flags });
        }
        let header = Self {
            length: u32::from_le_bytes(field(raw, 4)),
            shard: u32::from_le_bytes(field(raw, 8)),
            engine_version: u16::from_le_bytes(field(raw, 12)),
            epoch: u64::from_le_bytes(field(raw, 16)),
            first_position: u64::from_le_bytes(field(raw, 24)),
            time_ms: u64::from_le_bytes(field(raw, 32)),
            chain_before: u64::from_le_bytes(field(raw, 40)),
            record_count: u32::from_le_bytes(field(raw, 48)),
        };
        header.check_positions()?;
        Ok(header)
    }

    /// Writes the header, CRC included, over the first [`HEADER_BYTES`] of a block.
    pub(crate) fn write_to(&self, out: &mut [u8; HEADER_BYTES]) {
        let mut put = |offset: usize, bytes: &[u8]| {
            if let Some(place) = out.get_mut(offset..offset + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(0, &MAGIC);
        put(4, &self.length.to_le_bytes());
        put(8, &self.shard.to_le_bytes());
        put(12, &self.engine_version.to_le_bytes());
        put(14, &0u16.to_le_bytes());
        put(16, &self.epoch.to_le_bytes());
        put(24, &self.first_position.to_le_bytes());
        put(32, &self.time_ms.to_le_bytes());
        put(40, &self.chain_before.to_le_bytes());
        put(48, &self.record_count.to_le_bytes());
        let (covered, crc) = out.split_at_mut(CRC_OFFSET);
        crc.copy_from_slice(&crc32c::crc32c(covered).to_le_bytes());
    }

    /// Position of the last record.
    pub fn last_position(&self) -> Position {
        self.first_position + u64::from(self.record_count) - 1
    }

    /// A header that passes has positions from 1 up that do not overflow, and room for its records.
    fn check_positions(&self) -> Result<(), BlockError> {
        let possible = self.first_position >= 1
            && self.record_count >= 1
            && self.first_position.checked_add(u64::from(self.record_count)).is_some();
        let room = (self.length as usize).saturating_sub(HEADER_BYTES) / RECORD_OVERHEAD_BYTES;
        if possible && self.record_count as usize <= room {
            return Ok(());
        }
        Err(BlockError::Positions { first_position: self.first_position, record_count: self.record_count })
    }
}

/// A verified block. Cloning it shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub header: BlockHeader,
    bytes: Bytes,
    chain: u64,
}

impl Block {
    /// Takes `bytes` as exactly one block and verifies the header's CRC, the lengths, the record count and
    /// every record's checksum. Keeps the bytes, copies nothing.
    pub fn decode(bytes: Bytes) -> Result<Self, BlockError> {
        let header = BlockHeader::decode(&bytes)?;
        if header.length as usize != bytes.len() {
            return Err(BlockError::Length { expected: header.length, found: bytes.len() });
        }
        let chain = verify_records(&header, bytes.get(HEADER_BYTES..).unwrap_or_default())?;
        Ok(Self { header, bytes, chain })
    }

    /// The records in order.
    pub fn records(&self) -> RecordIter<'_> {
        RecordIter::new(self.bytes.get(HEADER_BYTES..).unwrap_or_default(), self.header.first_position)
    }

    /// Position of the last record.
    pub fn last_position(&self) -> Position {
        self.header.last_position()
    }

    /// Checksum of the last record: the chain after this block.
    pub fn chain(&self) -> u64 {
        self.chain
    }

    /// The block as it was sealed.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Walks the records, checks each, and returns the last checksum.
fn verify_records(header: &BlockHeader, records: &[u8]) -> Result<u64, BlockError> {
    let mut rest = records;
    let mut chain = header.chain_before;
    for offset in 0..u64::from(header.record_count) {
        let position = header.first_position + offset;
        let raw = split_record(rest).ok_or(BlockError::CutOff { position })?;
        if record_checksum(chain, raw.checked) != raw.checksum {
            return Err(BlockError::RecordChecksum { position });
        }
        if RecordKind::from_u8(raw.kind).is_none() {
            return Err(BlockError::Kind { position, kind: raw.kind });
        }
        chain = raw.checksum;
        rest = raw.rest;
    }
    if rest.is_empty() { Ok(chain) } else { Err(BlockError::Trailing { extra: rest.len() }) }
}

const _: () = assert!(CRC_OFFSET + 4 == HEADER_BYTES && CHECKSUM_BYTES == 8);
