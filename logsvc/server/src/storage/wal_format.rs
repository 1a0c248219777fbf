//! What has to be known of the format of RocksDB's WAL files, for `wal_room` and `wal_tail`.
//!
//! A file is a row of blocks of 32 KB. A record has a header of 7 bytes: masked CRC-32C of kind and payload, length of the
//! payload (u16), kind (u8), little-endian. It never crosses a block: a longer batch is cut into a first, middle ones and a last. Fewer
//! than 7 bytes at the end of a block stay zero.

use std::path::Path;

pub(super) const BLOCK_BYTES: usize = 32 << 10;
pub(super) const HEADER_BYTES: usize = 7;

/// What a record is of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A batch as a whole, or a note about the file.
    Whole,
    First,
    Middle,
    Last,
}

/// A record's header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    masked_crc: u32,
    pub(super) length: usize,
    kind: u8,
}

impl Header {
    /// The header at the start of `bytes`; `None` if there are too few.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d, low, high, kind] = *bytes.first_chunk::<HEADER_BYTES>()?;
        let masked_crc = u32::from_le_bytes([a, b, c, d]);
        Some(Self { masked_crc, length: usize::from(u16::from_le_bytes([low, high])), kind })
    }

    /// Whether this is a place that nothing was written to.
    pub(super) fn is_blank(self) -> bool {
        self.kind == 0 && self.length == 0
    }

    /// Whether the checksum is that of a payload of `length` bytes; `rest` begins with this header.
    pub(super) fn fits(self, rest: &[u8], length: usize) -> bool {
        let covered = rest.get(HEADER_BYTES - 1..HEADER_BYTES + length);
        covered.is_some_and(|covered| mask(crc32c::crc32c(covered)) == self.masked_crc)
    }

    /// Whether the checksum is right for another length: then the payload is whole, and the header damaged.
    pub(super) fn fits_another_length(self, rest: &[u8]) -> bool {
        let Some((kind, payload)) = rest.get(HEADER_BYTES - 1..).and_then(<[u8]>::split_first) else {
            return false;
        };
        let mut crc = crc32c::crc32c(&[*kind]);
        payload.iter().any(|byte| {
            crc = crc32c::crc32c_append(crc, &[*byte]);
            mask(crc) == self.masked_crc
        })
    }

    /// What the record is, if `rest`, which begins with it and ends with its block, holds it intact.
    pub(super) fn intact(self, rest: &[u8]) -> Option<Kind> {
        let kind = match self.kind {
            2 => Kind::First,
            3 => Kind::Middle,
            4 => Kind::Last,
            // Batches, and the notes of files that aren't recycled: compression, sizes of time stamps, the file before.
            1 | 9 | 10 | 130 => Kind::Whole,
            _ => return None,
        };
        self.fits(rest, self.length).then_some(kind)
    }
}

/// RocksDB stores checksums rotated and shifted.
fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The number of a WAL file, which its name is.
pub(super) fn number(path: &Path) -> Option<u64> {
    let is_wal = path.extension().is_some_and(|extension| extension == "log");
    is_wal.then(|| path.file_stem()?.to_str()?.parse().ok()).flatten()
}
