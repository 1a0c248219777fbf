//! The manifest: the file that makes objects a snapshot. Its JSON form, and what must hold in it.

use proxy_store::{Position, SLOTS};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::RepoError;
use crate::layout;

/// The only version of the format so far.
const VERSION: u32 = 1;

/// One range of slots in one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// First slot of the range.
    pub first_slot: u16,
    /// Last slot of the range, included.
    pub last_slot: u16,
    /// The object's name below the repository's prefix. It stands beside the manifest of the snapshot that wrote it.
    pub object: String,
    /// Size of the object.
    pub bytes: u64,
    /// Keys in it, over all databases.
    pub keys: u64,
    /// Keys in it with an expiry.
    pub expires: u64,
    /// The RDB file's own checksum, 16 hexadecimal digits.
    pub crc64: String,
    /// SHA-256 of the object, 64 hexadecimal digits.
    pub sha256: String,
}

impl Segment {
    /// The slots as a range with an exclusive end.
    pub fn slots(&self) -> std::ops::Range<u16> {
        self.first_slot..self.last_slot + 1
    }
}

/// What a snapshotter knows about the snapshot it publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSnapshot {
    pub shard: u32,
    /// The snapshot holds the effects of all records up to this one.
    pub position: Position,
    /// The log's checksum chain at `position`.
    pub chain: u64,
    /// The epoch of the record at `position`.
    pub epoch: u64,
    /// The time of the record at `position`, unix milliseconds.
    pub time_ms: u64,
    /// When the snapshot was made, unix milliseconds.
    pub created_ms: u64,
    /// The newest engine version among the records read.
    pub engine_version: u16,
    /// Non-empty segments, by slot.
    pub segments: Vec<Segment>,
    /// Position of the snapshot that this one continues.
    pub previous: Option<Position>,
}

/// A published snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub version: u32,
    /// Random, by which a writer recognises its own manifest after an unknown outcome.
    pub id: String,
    pub shard: u32,
    pub position: Position,
    /// The log's checksum chain at `position`, 16 hexadecimal digits.
    pub chain: String,
    pub epoch: u64,
    pub time_ms: u64,
    pub created_ms: u64,
    pub engine_version: u16,
    pub previous: Option<Position>,
    /// Segments by slot; slots that none covers hold no keys.
    pub segments: Vec<Segment>,
    /// SHA-256 of this document with this field empty.
    pub checksum: String,
}

impl Manifest {
    pub(crate) fn new(snapshot: NewSnapshot) -> Self {
        Self {
            version: VERSION,
            id: format!("{:032x}", rand::random::<u128>()),
            shard: snapshot.shard,
            position: snapshot.position,
            chain: hex64(snapshot.chain),
            epoch: snapshot.epoch,
            time_ms: snapshot.time_ms,
            created_ms: snapshot.created_ms,
            engine_version: snapshot.engine_version,
            previous: snapshot.previous,
            segments: snapshot.segments,
            checksum: String::new(),
        }
    }

    /// The log's checksum chain at the snapshot's position.
    pub fn chain(&self) -> u64 {
        u64::from_str_radix(&self.chain, 16).unwrap_or(0)
    }

    /// Keys over all segments.
    pub fn keys(&self) -> u64 {
        self.segments.iter().map(|segment| segment.keys).sum()
    }

    /// Bytes over all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Bytes of the segments that were written for this snapshot, not taken over from an earlier one.
    pub fn own_bytes(&self) -> u64 {
        let own = |segment: &&Segment| {
            layout::parse(self.shard, &segment.object).is_some_and(|(position, _)| position == self.position)
        };
        self.segments.iter().filter(own).map(|segment| segment.bytes).sum()
    }

    /// The JSON document, with its checksum filled in.
    pub(crate) fn encode(&mut self) -> Vec<u8> {
        self.checksum = self.computed_checksum();
        // A struct of numbers, strings and lists always has a JSON form.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    fn computed_checksum(&self) -> String {
        let blank = Self { checksum: String::new(), ..self.clone() };
        hex(&Sha256::digest(serde_json::to_vec(&blank).unwrap_or_default()))
    }

    /// Reads a document found at `path`, the manifest of `shard` at `position`, and checks all that must hold in it.
    pub(crate) fn decode(text: &[u8], path: &str, shard: u32, position: Position) -> Result<Self, RepoError> {
        let wrong = |what: String| RepoError::Manifest { path: path.to_owned(), what };
        let version =
            serde_json::from_slice::<VersionOnly>(text).map_err(|error| wrong(error.to_string()))?.version;
        if version != VERSION {
            return Err(wrong(format!("has version {version}, this program reads version {VERSION}")));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        if manifest.checksum != manifest.computed_checksum() {
            return Err(wrong("its checksum is wrong".into()));
        }
        if (manifest.shard, manifest.position) != (shard, position) {
            return Err(wrong(format!("is of shard {} at position {}", manifest.shard, manifest.position)));
        }
        manifest.check_segments().map_err(|what| wrong(what.into()))?;
        Ok(manifest)
    }

    /// Segments ascend, don't overlap, lie within the slots, and name objects of this shard written up to now.
    pub(crate) fn check_segments(&self) -> Result<(), &'static str> {
        let mut next = 0;
        for segment in &self.segments {
            if segment.first_slot < next
                || segment.last_slot < segment.first_slot
                || segment.last_slot >= SLOTS
            {
                return Err("its segments overlap or lie outside of the slots");
            }
            next = segment.last_slot + 1;
            match layout::parse(self.shard, &segment.object) {
                Some((position, layout::Kind::Segment)) if position <= self.position => {}
                _ => return Err("a segment has an impossible name"),
            }
        }
        Ok(())
    }
}

/// The one field that every version has.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// A number as manifests write it, because JSON's numbers lose bits beyond 2^53 in many readers.
pub fn hex64(value: u64) -> String {
    format!("{value:016x}")
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample() -> Manifest {
        let segment = Segment {
            first_slot: 0,
            last_slot: 16383,
            object: layout::segment(2, 9, 0, 16383, "0123456789abcdef00"),
            bytes: 1,
            keys: 2,
            expires: 1,
            crc64: hex64(5),
            sha256: "0123456789abcdef00".into(),
        };
        Manifest::new(NewSnapshot {
            shard: 2,
            position: 9,
            chain: u64::MAX,
            epoch: 1,
            time_ms: 2,
            created_ms: 3,
            engine_version: 1,
            segments: vec![segment],
            previous: None,
        })
    }

    #[test]
    fn round_trip() {
        let mut manifest = sample();
        let text = manifest.encode();
        let read = Manifest::decode(&text, "p", 2, 9).unwrap();
        assert_eq!(read, manifest);
        assert_eq!(read.chain(), u64::MAX);
        assert!(Manifest::decode(&text, "p", 2, 8).is_err());
    }

    /// Whatever single byte changes, the manifest is refused or means exactly the same.
    #[test]
    fn every_changed_byte_is_noticed() {
        let mut manifest = sample();
        let text = manifest.encode();
        for place in 0..text.len() {
            let mut changed = text.clone();
            changed[place] ^= 1;
            if let Ok(read) = Manifest::decode(&changed, "p", 2, 9) {
                assert_eq!(read, manifest, "byte {place}");
            }
        }
    }

    #[test]
    fn impossible_segments_are_refused() {
        let mut manifest = sample();
        manifest.segments.push(manifest.segments[0].clone());
        assert!(manifest.check_segments().is_err());
        let mut manifest = sample();
        manifest.segments[0].object = "shard-3/snapshots/00000000000000000009/segment-x.rdb".into();
        assert!(manifest.check_segments().is_err());
    }
}
