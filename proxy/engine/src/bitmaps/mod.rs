//! The bitmap commands: strings as rows of bits, the highest bit of the first byte being bit 0. BITFIELD
//! has a file of its own, and so has the counting and finding of bits.

mod field;
mod scan;

pub(crate) use field::{bitfield, bitfield_ro};

use proxy_store::{IntBuf, Reason};

use crate::call::Call;
use crate::errors::{Fail, MAX_STRING};

const BIT_OFFSET: Fail = Fail::text("ERR bit offset is not an integer or out of range");
const BIT_VALUE: Fail = Fail::text("ERR bit is not an integer or out of range");

/// A bit's place as clients write it; `#n` counts in fields of `width` bits where that is allowed.
fn bit_offset(text: &[u8], width: Option<u32>) -> Result<usize, Fail> {
    let (digits, unit) = match (text, width) {
        ([b'#', digits @ ..], Some(width)) => (digits, i64::from(width)),
        _ => (text, 1),
    };
    let offset = proxy_resp::parse_i64(digits).and_then(|n| n.checked_mul(unit)).ok_or(BIT_OFFSET)?;
    usize::try_from(offset).ok().filter(|offset| offset / 8 < MAX_STRING).ok_or(BIT_OFFSET)
}

/// SETBIT key offset value
pub(crate) fn setbit(call: &mut Call<'_>) -> Result<(), Fail> {
    let offset = bit_offset(call.args.at(2), None)?;
    let on = match call.int(3) {
        Ok(bit @ 0..=1) => bit == 1,
        _ => return Err(BIT_VALUE),
    };
    let key = call.key(1);
    let found = call.find_string(key)?;
    let mut digits = IntBuf::new();
    let byte = found.as_ref().and_then(|(value, _)| value.as_bytes(&mut digits).get(offset / 8).copied());
    let mask = 0x80 >> (offset % 8);
    let old = byte.unwrap_or(0);
    let new = if on { old | mask } else { old & !mask };
    if byte != Some(new) {
        let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
        call.fx.set_range(key, handle, (offset / 8) as u32, &[new]);
    }
    call.out.integer(i64::from(old & mask != 0));
    Ok(())
}

/// GETBIT key offset
pub(crate) fn getbit(call: &mut Call<'_>) -> Result<(), Fail> {
    let offset = bit_offset(call.args.at(2), None)?;
    let found = call.find_string(call.key(1))?;
    let mut digits = IntBuf::new();
    let byte = found.as_ref().and_then(|(value, _)| value.as_bytes(&mut digits).get(offset / 8).copied());
    call.out.integer(i64::from(byte.unwrap_or(0) & (0x80 >> (offset % 8)) != 0));
    Ok(())
}

/// Whether argument `index` counts in bits.
fn counts_bits(call: &Call<'_>, index: usize) -> Result<bool, Fail> {
    if call.is(index, "BIT") {
        Ok(true)
    } else if call.is(index, "BYTE") {
        Ok(false)
    } else {
        Err(Fail::SYNTAX)
    }
}

/// Start and end, which may count from the end, as bits of a string of `len` bytes: first and one behind the
/// last. `None` when nothing lies between them.
fn bit_range(start: i64, end: i64, len: usize, in_bits: bool) -> Option<(usize, usize)> {
    let unit = if in_bits { 1 } else { 8 };
    let total = (len * 8 / unit) as i64;
    let place = |index: i64| if index < 0 { index.saturating_add(total).max(0) } else { index };
    let (from, to) = (place(start), place(end).min(total - 1));
    (from <= to).then(|| (from as usize * unit, (to as usize + 1) * unit))
}

/// BITCOUNT key [start end [BYTE|BIT]]
pub(crate) fn bitcount(call: &mut Call<'_>) -> Result<(), Fail> {
    let Some((value, _)) = call.find_string(call.key(1))? else {
        call.out.integer(0);
        return Ok(());
    };
    let (mut start, mut end, mut in_bits) = (0, -1, false);
    match call.args.len() {
        2 => {}
        count @ 4..=5 => {
            (start, end) = (call.int(2)?, call.int(3)?);
            // Before the unit is looked at, as in Redis.
            if start < 0 && end < 0 && start > end {
                call.out.integer(0);
                return Ok(());
            }
            in_bits = count == 5 && counts_bits(call, 4)?;
        }
        _ => return Err(Fail::SYNTAX),
    }
    let mut digits = IntBuf::new();
    let bytes = value.as_bytes(&mut digits);
    let count =
        bit_range(start, end, bytes.len(), in_bits).map_or(0, |(from, to)| scan::count(bytes, from, to));
    call.out.integer(count as i64);
    Ok(())
}

/// BITPOS key bit [start [end [BYTE|BIT]]]
pub(crate) fn bitpos(call: &mut Call<'_>) -> Result<(), Fail> {
    let bit = match call.int(2)? {
        0 => false,
        1 => true,
        _ => return Err(Fail::text("ERR The bit argument must be 1 or 0.")),
    };
    let Some((value, _)) = call.find_string(call.key(1))? else {
        call.out.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    let count = call.args.len();
    if count > 6 {
        return Err(Fail::SYNTAX);
    }
    let start = if count > 3 { call.int(3)? } else { 0 };
    let in_bits = count == 6 && counts_bits(call, 5)?;
    let end = if count > 4 { call.int(4)? } else { -1 };
    let mut digits = IntBuf::new();
    let bytes = value.as_bytes(&mut digits);
    let position = match bit_range(start, end, bytes.len(), in_bits) {
        None => -1,
        Some((from, to)) => match scan::first(bytes, bit, from, to) {
            Some(at) => at as i64,
            // Without an end the string goes on with zeros for ever.
            None if !bit && count < 5 => (bytes.len() * 8) as i64,
            None => -1,
        },
    };
    call.out.integer(position);
    Ok(())
}

/// BITOP AND|OR|XOR|NOT destkey key [key ...]
pub(crate) fn bitop(call: &mut Call<'_>) -> Result<(), Fail> {
    let join: Option<fn(u8, u8) -> u8> = match () {
        () if call.is(1, "AND") => Some(|a, b| a & b),
        () if call.is(1, "OR") => Some(|a, b| a | b),
        () if call.is(1, "XOR") => Some(|a, b| a ^ b),
        () if call.is(1, "NOT") => None,
        () => return Err(Fail::SYNTAX),
    };
    if join.is_none() && call.args.len() != 4 {
        return Err(Fail::text("ERR BITOP NOT must be called with a single source key."));
    }
    let mut sources = Vec::with_capacity(call.args.len() - 3);
    for at in 3..call.args.len() {
        sources.push(call.find_string(call.key(at))?.map(|(value, _)| value));
    }
    let longest = sources.iter().flatten().map(|value| value.len()).max().unwrap_or(0);
    let mut sources =
        sources.into_iter().map(|source| source.map_or_else(Default::default, |value| value.to_cow()));
    let mut result = sources.next().map_or_else(Vec::new, |source| source.into_owned());
    result.resize(longest, 0);
    match join {
        None => result.iter_mut().for_each(|byte| *byte = !*byte),
        Some(join) => {
            for source in sources {
                let (both, rest) = result.split_at_mut(source.len());
                both.iter_mut().zip(source.iter()).for_each(|(a, b)| *a = join(*a, *b));
                rest.iter_mut().for_each(|a| *a = join(*a, 0));
            }
        }
    }
    let key = call.key(2);
    if !result.is_empty() {
        call.fx.set_string(key, None, &result, proxy_store::ExpireChange::Clear);
    } else if let Some(entry) = call.find(key) {
        let handle = call.handle(&entry);
        call.fx.delete(key, handle, Reason::Command);
    }
    call.out.integer(longest as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_both_ends_in_both_units() {
        assert_eq!(bit_range(0, -1, 3, false), Some((0, 24)));
        assert_eq!(bit_range(-2, -1, 3, false), Some((8, 24)));
        assert_eq!(bit_range(5, 30, 3, true), Some((5, 24)));
        assert_eq!(bit_range(-3, -2, 3, true), Some((21, 23)));
        assert_eq!(bit_range(i64::MIN, i64::MAX, 3, true), Some((0, 24)));
        assert_eq!(bit_range(2, 1, 3, false), None);
        assert_eq!(bit_range(3, 9, 3, false), None);
        assert_eq!(bit_range(0, -1, 0, false), None);
    }

    #[test]
    fn offsets_end_where_strings_must() {
        assert_eq!(bit_offset(b"4294967295", None), Ok(4_294_967_295));
        assert_eq!(bit_offset(b"#3", Some(5)), Ok(15));
        for refused in ["4294967296", "-1", "#1", "x", ""] {
            assert_eq!(bit_offset(refused.as_bytes(), None), Err(BIT_OFFSET), "{refused}");
        }
        assert_eq!(bit_offset(b"#9223372036854775807", Some(64)), Err(BIT_OFFSET));
    }
}
