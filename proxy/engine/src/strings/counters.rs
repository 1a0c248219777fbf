//! Strings as numbers: INCR and its sisters.

use proxy_store::ExpireChange;
use proxy_store::IntBuf;

use crate::call::Call;
use crate::errors::Fail;
use crate::parse::LongDouble;

/// INCR key
pub(crate) fn incr(call: &mut Call<'_>) -> Result<(), Fail> {
    add(call, 1)
}

/// DECR key
pub(crate) fn decr(call: &mut Call<'_>) -> Result<(), Fail> {
    add(call, -1)
}

/// INCRBY key increment
pub(crate) fn incrby(call: &mut Call<'_>) -> Result<(), Fail> {
    let by = call.int(2)?;
    add(call, by)
}

/// DECRBY key decrement
pub(crate) fn decrby(call: &mut Call<'_>) -> Result<(), Fail> {
    let by = call.int(2)?.checked_neg().ok_or(Fail::DECREMENT_OVERFLOW)?;
    add(call, by)
}

#[inline]
fn add(call: &mut Call<'_>, by: i64) -> Result<(), Fail> {
    let key = call.key(1);
    let found = call.find_string(key)?;
    let before = match &found {
        Some((value, _)) => value.to_i64().ok_or(Fail::NOT_INTEGER)?,
        None => 0,
    };
    let after = before.checked_add(by).ok_or(Fail::OVERFLOW)?;
    let handle = call.handle_of(found.map(|(_, entry)| entry).as_ref());
    call.fx.set_string(key, handle, IntBuf::new().format(after), ExpireChange::Keep);
    call.out.integer(after);
    Ok(())
}

/// INCRBYFLOAT key increment
pub(crate) fn incrbyfloat(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let found = call.find_string(key)?;
    let before = match &found {
        Some((value, _)) => LongDouble::parse(value.as_bytes(&mut IntBuf::new())),
        None => LongDouble::parse(b"0"),
    };
    let before = before.ok_or(Fail::NOT_FLOAT)?;
    let by = LongDouble::parse(call.args.at(2)).ok_or(Fail::NOT_FLOAT)?;
    let mut text = Vec::with_capacity(32);
    before.plus(by).ok_or(Fail::NAN_OR_INFINITY)?.format(&mut text);
    let handle = call.handle_of(found.map(|(_, entry)| entry).as_ref());
    call.fx.set_string(key, handle, &text, ExpireChange::Keep);
    call.out.bulk(&text);
    Ok(())
}
