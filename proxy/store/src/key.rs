//! Names of keys: database, slot and bytes, and how a key's slot is found (Redis Cluster's CRC16 of the hash tag).
//!
//! Every lookup starts here: the server computes slot and hash once, when a request is parsed, and passes them on in [`Key`].

use std::num::NonZeroU64;

/// Dense number of a record in its shard's log; the first record is 1, 0 means "nothing".
pub type Position = u64;

/// Number of slots of a keyspace, fixed by Redis Cluster.
pub const SLOTS: u16 = 16384;

/// Number of databases (SELECT 0 to 15).
pub const DATABASES: u8 = 16;

/// What a lookup needs to know of a key's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    /// Slot, 0 to 16383.
    pub slot: u16,
    /// The hash that places it in tables, if it is computed already.
    pub(crate) hash: Option<NonZeroU64>,
}

impl Spot {
    /// The place of the key `bytes`; computes the slot.
    #[inline]
    pub fn new(bytes: &[u8]) -> Self {
        Self { slot: slot_of(bytes), hash: None }
    }
}

/// A key as the engine names it. `slot` must be `slot_of(bytes)`, `db` below [`DATABASES`].
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// Database, 0 to 15.
    pub db: u8,
    /// Slot, 0 to 16383.
    pub slot: u16,
    /// The key's own bytes.
    pub bytes: &'a [u8],
    /// As in [`Spot`].
    pub(crate) hash: Option<NonZeroU64>,
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.db, self.bytes) == (other.db, other.bytes)
    }
}

impl Eq for Key<'_> {}

impl<'a> Key<'a> {
    /// The key `bytes` of database `db`; computes the slot.
    #[inline]
    pub fn new(db: u8, bytes: &'a [u8]) -> Self {
        Self::in_slot(db, slot_of(bytes), bytes)
    }

    /// The key `bytes` of database `db`, whose slot is known.
    #[inline]
    pub const fn in_slot(db: u8, slot: u16, bytes: &'a [u8]) -> Self {
        Self { db, slot, bytes, hash: None }
    }

    /// The same bytes in another database.
    #[inline]
    #[must_use]
    pub fn in_database(self, db: u8) -> Self {
        Self { db, ..self }
    }

    /// The key `bytes` of database `db`, whose place is known.
    #[inline]
    pub fn at(db: u8, spot: Spot, bytes: &'a [u8]) -> Self {
        Self { db, slot: spot.slot, bytes, hash: spot.hash }
    }
}

/// Slot of a key: CRC16 (XMODEM) modulo 16384 of the hash tag, which is what stands between the first `{` and the
/// next `}` if that is not empty, else the whole key.
pub fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) & (SLOTS - 1)
}

fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    let rest = key.get(open + 1..).unwrap_or_default();
    match memchr::memchr(b'}', rest) {
        Some(close) if close > 0 => &rest[..close],
        _ => key,
    }
}

/// `TABLES[k][b]` is the CRC of byte `b` followed by `k` zero bytes, so that eight bytes are folded in one step.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let shorter = tables[zeros - 1][byte];
            tables[zeros][byte] = (shorter << 8) ^ tables[0][(shorter >> 8) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let mut chunks = bytes.chunks_exact(8);
    for c in chunks.by_ref() {
        crc = TABLES[7][(c[0] ^ (crc >> 8) as u8) as usize]
            ^ TABLES[6][(c[1] ^ crc as u8) as usize]
            ^ TABLES[5][c[2] as usize]
            ^ TABLES[4][c[3] as usize]
            ^ TABLES[3][c[4] as usize]
            ^ TABLES[2][c[5] as usize]
            ^ TABLES[1][c[6] as usize]
            ^ TABLES[0][c[7] as usize];
    }
    for &byte in chunks.remainder() {
        crc = (crc << 8) ^ TABLES[0][((crc >> 8) as u8 ^ byte) as usize];
    }
    crc
}

#[cfg(test)]
mod tests {
    //! Known slots (from the Redis Cluster specification's examples and redis-server's CLUSTER KEYSLOT), and the
    //! eight-table form against the definition bit by bit.
    use super::*;

    #[test]
    fn known_slots() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(slot_of(b"foo{}{bar}"), crc16(b"foo{}{bar}") & 16383);
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
        assert_eq!(slot_of(b""), 0);
    }

    #[test]
    fn tables_agree_with_the_definition() {
        let bytes: Vec<u8> = (0..100u32).map(|i| (i * 37 + 11) as u8).collect();
        for len in 0..bytes.len() {
            let mut crc = 0u16;
            for &b in &bytes[..len] {
                crc ^= u16::from(b) << 8;
                for _ in 0..8 {
                    crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
                }
            }
            assert_eq!(crc16(&bytes[..len]), crc);
        }
    }
}
