//! Rows of the replica's database: keys that sort by group and index, and values that carry their own checksum.
//!
//! ```text
//! column family   key (big endian)              value (little endian)
//! log             group u32 | index u64         crc32c u32 | version u8 | kind u8 | term u64 | payload
//! meta            group u32 | tag u8            crc32c u32 | version u8 | content
//! meta            group u32 | tag 3 | index u64 crc32c u32 | version u8 | checkpoint
//! ```
//! A value's checksum also covers its key, so that a row in the wrong place is found out.

use bytes::Bytes;
use logsvc_raft::{EntryKind, GroupId, HardState, LogEntry, ReplicaId};

/// Column family of the entries.
pub const LOG: &str = "log";
/// Column family of everything else.
pub const META: &str = "meta";
const VERSION: u8 = 1;
const CRC_BYTES: usize = 4;
const ENTRY_HEADER_BYTES: usize = CRC_BYTES + 1 + 1 + 8;

/// What a row of `meta` holds. Numbers are on disk and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// The replica's identity.
    Identity = 0,
    /// Term, vote, commit.
    HardState = 1,
    /// The checkpoint that the log begins behind.
    Snapshot = 2,
    /// A checkpoint within the log; the index follows.
    Checkpoint = 3,
}

/// Key of an entry.
pub fn entry_key(group: GroupId, index: u64) -> [u8; 12] {
    let mut key = [0; 12];
    let (left, right) = key.split_at_mut(4);
    left.copy_from_slice(&group.to_be_bytes());
    right.copy_from_slice(&index.to_be_bytes());
    key
}

/// The index in an entry's key, if it is one of this group.
pub fn entry_index(group: GroupId, key: &[u8]) -> Option<u64> {
    let index = key.strip_prefix(&group.to_be_bytes())?;
    Some(u64::from_be_bytes(index.try_into().ok()?))
}

/// Key of a single row of a group.
pub fn meta_key(group: GroupId, tag: Tag) -> [u8; 5] {
    let [a, b, c, d] = group.to_be_bytes();
    [a, b, c, d, tag as u8]
}

/// Key of a checkpoint.
pub fn checkpoint_key(group: GroupId, index: u64) -> [u8; 13] {
    let mut key = [0; 13];
    let (left, right) = key.split_at_mut(5);
    left.copy_from_slice(&meta_key(group, Tag::Checkpoint));
    right.copy_from_slice(&index.to_be_bytes());
    key
}

/// Value of an entry, written into a reused buffer.
pub fn encode_entry(out: &mut Vec<u8>, key: &[u8], entry: &LogEntry) {
    out.clear();
    out.extend_from_slice(&[0; CRC_BYTES]);
    out.push(VERSION);
    out.push(entry.kind as u8);
    out.extend_from_slice(&entry.term.to_le_bytes());
    out.extend_from_slice(&entry.payload);
    seal(out, key);
}

/// Reads an entry's value; the text says what is wrong with it.
pub fn decode_entry(key: &[u8], index: u64, value: &[u8]) -> Result<LogEntry, String> {
    open(value, key)?;
    let fields =
        value.get(CRC_BYTES + 1..ENTRY_HEADER_BYTES).and_then(|fields| fields.split_first_chunk::<1>());
    let Some(([kind], term)) = fields else { return Err("the row is too short".into()) };
    let kind = EntryKind::from_u8(*kind).ok_or_else(|| format!("unknown entry kind {kind}"))?;
    let term = u64::from_le_bytes(term.try_into().unwrap_or_default());
    let payload = Bytes::copy_from_slice(value.get(ENTRY_HEADER_BYTES..).unwrap_or_default());
    Ok(LogEntry { index, term, kind, payload })
}

/// Value of a `meta` row.
pub fn encode_meta(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(CRC_BYTES + 1 + content.len());
    out.extend_from_slice(&[0; CRC_BYTES]);
    out.push(VERSION);
    out.extend_from_slice(content);
    seal(&mut out, key);
    out
}

/// Content of a `meta` row.
pub fn decode_meta<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], String> {
    open(value, key)
}

/// The content of a hard state row.
pub fn hard_state_content(state: &HardState) -> [u8; 24] {
    let mut out = [0; 24];
    for (place, number) in out.chunks_exact_mut(8).zip([state.term, state.vote, state.commit]) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    out
}

/// Reads [`hard_state_content`].
pub fn parse_hard_state(content: &[u8]) -> Option<HardState> {
    let [term, vote, commit] = numbers::<3>(content)?;
    Some(HardState { term, vote, commit })
}

/// Reads an identity row's content.
pub fn parse_identity(content: &[u8]) -> Option<ReplicaId> {
    numbers::<1>(content).map(|[id]| ReplicaId(id))
}

fn numbers<const N: usize>(content: &[u8]) -> Option<[u64; N]> {
    if content.len() != 8 * N {
        return None;
    }
    let mut out = [0; N];
    for (place, chunk) in out.iter_mut().zip(content.chunks_exact(8)) {
        *place = u64::from_le_bytes(chunk.try_into().ok()?);
    }
    Some(out)
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), rest)
}

fn seal(out: &mut [u8], key: &[u8]) {
    if let Some((crc, rest)) = out.split_first_chunk_mut::<CRC_BYTES>() {
        *crc = checksum(key, rest).to_le_bytes();
    }
}

/// Verifies checksum and version; returns what follows the version.
fn open<'a>(value: &'a [u8], key: &[u8]) -> Result<&'a [u8], String> {
    let (crc, rest) = value.split_first_chunk::<CRC_BYTES>().ok_or("the row is too short")?;
    if u32::from_le_bytes(*crc) != checksum(key, rest) {
        return Err("the row fails its checksum".into());
    }
    match rest.split_first() {
        Some((&VERSION, content)) => Ok(content),
        Some((version, _)) => Err(format!("row version {version} is not supported")),
        None => Err("the row is too short".into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_row_is_read_back_only_intact_and_in_its_place() {
        let entry =
            LogEntry { index: 7, term: 3, kind: EntryKind::Block, payload: Bytes::from_static(b"payload") };
        let key = entry_key(4, 7);
        let mut value = Vec::new();
        encode_entry(&mut value, &key, &entry);
        assert_eq!(decode_entry(&key, 7, &value).unwrap(), entry);
        assert!(decode_entry(&entry_key(4, 8), 8, &value).is_err());
        for place in 0..value.len() {
            let mut damaged = value.clone();
            damaged[place] ^= 4;
            assert!(decode_entry(&key, 7, &damaged).is_err());
            assert!(decode_entry(&key, 7, &value[..place]).is_err());
        }
    }

    #[test]
    fn keys_sort_by_group_and_index() {
        assert!(entry_key(1, u64::MAX) < entry_key(2, 0));
        assert_eq!(entry_index(9, &entry_key(9, 300)), Some(300));
        assert_eq!(entry_index(8, &entry_key(9, 300)), None);
    }
}
