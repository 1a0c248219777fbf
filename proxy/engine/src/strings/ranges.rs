//! Parts of strings: APPEND, GETRANGE (and SUBSTR), SETRANGE.

use proxy_store::IntBuf;

use crate::call::Call;
use crate::errors::{Fail, MAX_STRING};

/// APPEND key value
pub(crate) fn append(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let tail = call.args.at(2);
    let found = call.find_string(key)?;
    let len = found.as_ref().map_or(0, |(value, _)| value.len());
    check_length(len, tail.len())?;
    let handle = call.handle_of(found.map(|(_, entry)| entry).as_ref());
    call.fx.append_string(key, handle, tail);
    call.out.integer((len + tail.len()) as i64);
    Ok(())
}

/// SETRANGE key offset value
pub(crate) fn setrange(call: &mut Call<'_>) -> Result<(), Fail> {
    let offset = call.int(2)?;
    let bytes = call.args.at(3);
    let offset = usize::try_from(offset).map_err(|_| Fail::OFFSET_RANGE)?;
    let key = call.key(1);
    let found = call.find_string(key)?;
    let len = found.as_ref().map_or(0, |(value, _)| value.len());
    if bytes.is_empty() {
        call.out.integer(len as i64);
        return Ok(());
    }
    check_length(offset, bytes.len())?;
    let handle = call.handle_of(found.map(|(_, entry)| entry).as_ref());
    call.fx.set_range(key, handle, offset as u32, bytes);
    call.out.integer(len.max(offset + bytes.len()) as i64);
    Ok(())
}

fn check_length(before: usize, added: usize) -> Result<(), Fail> {
    if before.saturating_add(added) > MAX_STRING { Err(Fail::STRING_TOO_LONG) } else { Ok(()) }
}

/// GETRANGE key start end, and SUBSTR
pub(crate) fn getrange(call: &mut Call<'_>) -> Result<(), Fail> {
    let (start, end) = (call.int(2)?, call.int(3)?);
    let Some((value, _)) = call.find_string(call.key(1))? else {
        call.out.bulk(b"");
        return Ok(());
    };
    let mut digits = IntBuf::new();
    let bytes = value.as_bytes(&mut digits);
    let (from, to) = clamp(start, end, bytes.len());
    call.out.bulk(bytes.get(from..to).unwrap_or_default());
    Ok(())
}

/// Start and end (exclusive) inside `len` bytes for indexes that may count from the end.
fn clamp(start: i64, end: i64, len: usize) -> (usize, usize) {
    if start < 0 && end < 0 && start > end {
        return (0, 0);
    }
    let place = |index: i64| {
        let from_end = if index < 0 { index.saturating_add(len as i64).max(0) } else { index };
        from_end as usize
    };
    let (from, to) = (place(start), place(end).saturating_add(1).min(len));
    (from.min(to), to)
}
