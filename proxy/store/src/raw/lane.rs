//! A lane: one 8-byte cell of a table. It is empty (null), or owns a node, or leads to an overflow block.
//!
//! Bits 0 to 46 are the address, bit 47 marks an overflow block, bits 48 to 63 are sixteen bits of the key's hash.
//! A lookup compares the tags of a bucket's eight lanes at once and follows the few that match.

use std::ptr::NonNull;

/// Bits of an address that a lane keeps; user addresses have 47 bits unless high mappings are asked for.
pub(super) const ADDRESS_BITS: u32 = 47;
const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;
const CHAIN: usize = 1 << ADDRESS_BITS;
const TAG_SHIFT: u32 = 48;

/// Lanes of a bucket: one cache line.
pub(super) const BUCKET: usize = 8;

/// One cell. A plain pointer so that its provenance is kept.
pub(super) type Lane = *mut u8;

/// What a lane holds.
pub(super) enum Cell {
    Empty,
    Node(NonNull<u8>),
    Chain(NonNull<Lane>),
}

#[inline]
pub(super) fn node_lane(node: NonNull<u8>, tag: u16) -> Lane {
    node.as_ptr().map_addr(|address| address | (usize::from(tag) << TAG_SHIFT))
}

#[inline]
pub(super) fn chain_lane(block: NonNull<Lane>) -> Lane {
    block.as_ptr().cast::<u8>().map_addr(|address| address | CHAIN)
}

#[inline]
pub(super) fn tag(lane: Lane) -> u16 {
    (lane.addr() >> TAG_SHIFT) as u16
}

/// The same node under another tag.
#[inline]
pub(super) fn retag(lane: Lane, tag: u16) -> Lane {
    lane.map_addr(|address| (address & ADDRESS) | (usize::from(tag) << TAG_SHIFT))
}

#[inline]
pub(super) fn cell(lane: Lane) -> Cell {
    match NonNull::new(lane.map_addr(|address| address & ADDRESS)) {
        None => Cell::Empty,
        Some(block) if lane.addr() & CHAIN != 0 => Cell::Chain(block.cast()),
        Some(node) => Cell::Node(node),
    }
}

#[inline]
pub(super) fn is_chain(lane: Lane) -> bool {
    lane.addr() & CHAIN != 0
}

/// A bit for each of the eight lanes whose tag is `tag` (empty and chain lanes may be among them).
#[inline]
pub(super) fn matches(bucket: &[Lane; BUCKET], tag: u16) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    return matches_sse2(bucket, tag);
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    matches_scalar(bucket, tag)
}

#[allow(dead_code)] // Stands in under miri and on other CPUs, and is what the fast form is tested against.
#[inline]
pub(super) fn matches_scalar(bucket: &[Lane; BUCKET], wanted: u16) -> u32 {
    bucket.iter().enumerate().fold(0, |mask, (i, lane)| mask | (u32::from(tag(*lane) == wanted) << i))
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
pub(super) fn matches_sse2(bucket: &[Lane; BUCKET], tag: u16) -> u32 {
    use std::arch::x86_64::{
        __m128i, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8,
        _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi16, _mm_setzero_si128, _mm_shuffle_ps, _mm_srai_epi32,
    };
    let quarter = bucket.as_ptr().cast::<__m128i>();
    // The upper dword of each of four lanes, then its upper half sign-extended: packing keeps that exactly.
    const UPPER: i32 = 0b11_01_11_01;
    // SAFETY: SSE2 is part of x86-64; the four unaligned loads cover exactly the bucket's 64 bytes.
    unsafe {
        let a = _mm_castsi128_ps(_mm_loadu_si128(quarter));
        let b = _mm_castsi128_ps(_mm_loadu_si128(quarter.add(1)));
        let c = _mm_castsi128_ps(_mm_loadu_si128(quarter.add(2)));
        let d = _mm_castsi128_ps(_mm_loadu_si128(quarter.add(3)));
        let low = _mm_srai_epi32(_mm_castps_si128(_mm_shuffle_ps::<UPPER>(a, b)), 16);
        let high = _mm_srai_epi32(_mm_castps_si128(_mm_shuffle_ps::<UPPER>(c, d)), 16);
        let equal = _mm_cmpeq_epi16(_mm_packs_epi32(low, high), _mm_set1_epi16(tag as i16));
        _mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())) as u32
    }
}

/// Asks for a cache line ahead of its use.
#[inline]
pub(super) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch is a hint; it never faults, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    //! The vector compare equals the scalar one for every tag pattern that could confuse it.
    use super::*;

    #[test]
    fn fast_compare_equals_scalar() {
        let tags = [0u16, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x00ff, 0xff00];
        let address =
            NonNull::new(std::ptr::without_provenance_mut::<u8>(0x7fff_1234_5670)).expect("not null");
        for shift in 0..8 {
            let mut bucket = [std::ptr::null_mut(); BUCKET];
            for (i, lane) in bucket.iter_mut().enumerate().skip(usize::from(shift == 3)) {
                *lane = node_lane(address, tags[(i + shift) % 8]);
            }
            for tag in tags.into_iter().chain([2, 0x1234]) {
                assert_eq!(matches(&bucket, tag), matches_scalar(&bucket, tag));
            }
        }
    }

    #[test]
    fn cells_come_back() {
        let address =
            NonNull::new(std::ptr::without_provenance_mut::<u8>(0x7fff_1234_5670)).expect("not null");
        let lane = node_lane(address, 0xabcd);
        assert_eq!(tag(lane), 0xabcd);
        assert!(matches!(cell(lane), Cell::Node(node) if node == address));
        assert!(matches!(cell(retag(lane, 0)), Cell::Node(node) if node == address));
        assert!(matches!(cell(chain_lane(address.cast())), Cell::Chain(block) if block.cast() == address));
        assert!(matches!(cell(std::ptr::null_mut()), Cell::Empty));
        assert!(is_chain(chain_lane(address.cast())) && !is_chain(lane));
    }
}
