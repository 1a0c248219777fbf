//! Counting and finding bits in long strings, eight bytes at a time.

/// Set bits from `from` on and before `to`; both lie inside `bytes`.
pub(super) fn count(bytes: &[u8], from: usize, to: usize) -> u64 {
    let Some(whole) = bytes.get(from / 8..to.div_ceil(8)) else { return 0 };
    let (words, rest) = whole.as_chunks::<8>();
    let in_words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    let in_rest: u64 = rest.iter().map(|byte| u64::from(byte.count_ones())).sum();
    // What the first and the last byte have outside the range was counted, too.
    let before = whole.first().map_or(0, |byte| (byte & !(0xff >> (from % 8))).count_ones());
    let behind = match to % 8 {
        0 => 0,
        used => whole.last().map_or(0, |byte| (byte & (0xff >> used)).count_ones()),
    };
    in_words + in_rest - u64::from(before) - u64::from(behind)
}

/// The first bit that is `bit`, from `from` on and before `to`; both lie inside `bytes`.
pub(super) fn first(bytes: &[u8], bit: bool, from: usize, to: usize) -> Option<usize> {
    // Bytes are turned over when a zero is looked for, so that a one is looked for in any case.
    let flip = if bit { 0 } else { 0xff };
    let whole = bytes.get(from / 8..to.div_ceil(8))?;
    let (&head, rest) = whole.split_first()?;
    let head = (head ^ flip) & (0xff >> (from % 8));
    let at = if head != 0 {
        from / 8 * 8 + head.leading_zeros() as usize
    } else {
        let (words, _) = rest.as_chunks::<8>();
        let empty = [flip; 8];
        let skipped = words.iter().take_while(|word| **word == empty).count() * 8;
        let place = rest[skipped..].iter().position(|byte| *byte != flip)?;
        let byte = rest[skipped + place] ^ flip;
        (from / 8 + 1 + skipped + place) * 8 + byte.leading_zeros() as usize
    };
    (at < to).then_some(at)
}

#[cfg(test)]
mod tests {
    //! Every range of a string is compared with a walk bit by bit.
    use super::*;

    fn bits(bytes: &[u8]) -> Vec<bool> {
        (0..bytes.len() * 8).map(|at| bytes[at / 8] & (0x80 >> (at % 8)) != 0).collect()
    }

    #[test]
    fn ranges_agree_with_a_walk() {
        let patterns: [&[u8]; 4] = [
            &[0x00, 0x10, 0xff, 0xa5, 0, 0, 0, 0, 0, 0, 0, 0, 0x01],
            &[0xff; 12],
            &[0; 11],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x7f],
        ];
        for bytes in patterns {
            let bits = bits(bytes);
            for from in 0..bits.len() {
                for to in from + 1..=bits.len() {
                    let expected = bits[from..to].iter().filter(|bit| **bit).count() as u64;
                    assert_eq!(count(bytes, from, to), expected, "{bytes:?} {from} {to}");
                    for bit in [false, true] {
                        let expected = (from..to).find(|at| bits[*at] == bit);
                        assert_eq!(first(bytes, bit, from, to), expected, "{bytes:?} {from} {to} {bit}");
                    }
                }
            }
        }
    }
}
