//! Which segments the next snapshot has. A pure function of the previous manifest and the settings.
// Lists of ranges, also of a single one, are what this is about.
#![allow(clippy::single_range_in_vec_init)]

use std::ops::Range;

use proxy_store::SLOTS;
use snapshot_repo::Segment;

/// Slots that are either all taken over in one object or all written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The previous snapshot's segment; `None`: these slots held no keys.
    pub old: Option<Segment>,
    /// The ranges that replace it when any of them changed. More than one when it has grown too large.
    pub parts: Vec<Range<u16>>,
}

/// Groups that cover every slot, in order: the previous segments, and between them ranges of a fixed grid.
pub fn plan(previous: &[Segment], segments: u16, segment_bytes: u64) -> Vec<Group> {
    let step = SLOTS.div_ceil(segments.clamp(1, SLOTS));
    let mut groups = Vec::new();
    let mut next = 0;
    for segment in previous {
        fill_gap(next..segment.first_slot, step, &mut groups);
        let parts = halves(segment.slots(), segment.bytes, segment_bytes.max(1));
        groups.push(Group { old: Some(segment.clone()), parts });
        next = segment.last_slot + 1;
    }
    fill_gap(next..SLOTS, step, &mut groups);
    groups
}

/// Cuts a range without keys at the grid's lines.
fn fill_gap(gap: Range<u16>, step: u16, groups: &mut Vec<Group>) {
    let mut start = gap.start;
    while start < gap.end {
        let line = (start / step + 1).saturating_mul(step);
        let end = line.min(gap.end);
        groups.push(Group { old: None, parts: vec![start..end] });
        start = end;
    }
}

/// Halves a range until each piece, by its share of the slots, is below the limit.
fn halves(slots: Range<u16>, bytes: u64, limit: u64) -> Vec<Range<u16>> {
    let pieces = bytes.div_ceil(limit).next_power_of_two().clamp(1, slots.len() as u64) as usize;
    let at = |piece: usize| slots.start + (slots.len() * piece / pieces) as u16;
    (0..pieces).map(|piece| at(piece)..at(piece + 1)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn segment(slots: Range<u16>, bytes: u64) -> Segment {
        Segment {
            first_slot: slots.start,
            last_slot: slots.end - 1,
            object: String::new(),
            bytes,
            keys: 1,
            expires: 0,
            crc64: String::new(),
            sha256: String::new(),
        }
    }

    fn covers_all(groups: &[Group]) {
        let parts: Vec<_> = groups.iter().flat_map(|group| group.parts.clone()).collect();
        assert_eq!(parts.first().unwrap().start, 0);
        assert_eq!(parts.last().unwrap().end, SLOTS);
        assert!(parts.iter().all(|part| !part.is_empty()));
        assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn every_slot_is_in_one_part() {
        for segments in [1, 3, 32, 1000, SLOTS, u16::MAX, 0] {
            covers_all(&plan(&[], segments, 100));
            covers_all(&plan(&[segment(5..7, 1), segment(7..9000, 1000)], segments, 100));
            covers_all(&plan(&[segment(0..SLOTS, u64::MAX)], segments, 1));
        }
        assert_eq!(plan(&[], 32, 100).len(), 32);
    }

    #[test]
    fn large_segments_are_halved() {
        let groups = plan(&[segment(0..512, 350)], 32, 100);
        assert_eq!(groups[0].parts, [0..128, 128..256, 256..384, 384..512]);
        let groups = plan(&[segment(3..4, 350)], 32, 100);
        assert_eq!(groups[1].parts, [3..4], "a slot can't be cut");
    }
}
