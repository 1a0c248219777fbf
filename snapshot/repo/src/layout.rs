//! Names of objects. Below the prefix: `shard-N/snapshots/POSITION/manifest.json` and, beside it, the segments that
//! were written for that snapshot. Pure text; what a name from a manifest may be is checked here.

use proxy_store::Position;

/// Everything of a shard's snapshots.
pub fn snapshots(shard: u32) -> String {
    format!("shard-{shard}/snapshots")
}

/// The manifest of the snapshot at a position. Twenty digits, so that names sort as positions do.
pub fn manifest(shard: u32, position: Position) -> String {
    format!("{}/{position:020}/{MANIFEST}", snapshots(shard))
}

const MANIFEST: &str = "manifest.json";

/// A segment's object. The name holds a part of the content's hash: the same name means the same bytes, so writing it
/// again after an unknown outcome is harmless, and two attempts never mix.
pub fn segment(shard: u32, position: Position, first_slot: u16, last_slot: u16, sha256: &str) -> String {
    let hash = sha256.get(..16).unwrap_or(sha256);
    format!("{}/{position:020}/segment-{first_slot:05}-{last_slot:05}-{hash}.rdb", snapshots(shard))
}

/// What an object below [`snapshots`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Manifest,
    Segment,
}

/// Position and kind of an object's name; `None` for names that are not ours.
pub fn parse(shard: u32, path: &str) -> Option<(Position, Kind)> {
    let rest = path.strip_prefix(&snapshots(shard))?.strip_prefix('/')?;
    let (position, file) = rest.split_once('/')?;
    let position = parse_position(position)?;
    if file == MANIFEST {
        return Some((position, Kind::Manifest));
    }
    let name = file.strip_prefix("segment-")?.strip_suffix(".rdb")?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain.then_some((position, Kind::Segment))
}

/// A position as it stands in names: exactly twenty digits.
pub fn parse_position(text: &str) -> Option<Position> {
    let digits = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        assert_eq!(parse(3, &manifest(3, 17)), Some((17, Kind::Manifest)));
        let name = segment(3, 17, 0, 255, "0123456789abcdef0123");
        assert_eq!(name, "shard-3/snapshots/00000000000000000017/segment-00000-00255-0123456789abcdef.rdb");
        assert_eq!(parse(3, &name), Some((17, Kind::Segment)));
        assert_eq!(parse(3, "shard-30/snapshots/00000000000000000017/manifest.json"), None);
        assert_eq!(parse(3, "shard-3/snapshots/00000000000000000017/../x"), None);
        assert_eq!(parse(3, "shard-3/snapshots/00000000000000000017/segment-../../x.rdb"), None);
    }
}
