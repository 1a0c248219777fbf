//! ZPOPMIN, ZPOPMAX, ZMPOP and their sisters that wait: members leave from an end; the log names them.

use std::ops::Range;

use proxy_store::{Handle, Key, ZSet};

use super::members_header;
use crate::blocking::{Wait, WaitKind, pop_or_wait, timeout_at};
use crate::call::Call;
use crate::elements::{int_at_least, is_resp3, pop_count};
use crate::errors::Fail;
use crate::lists::pop_options;

/// The end that members leave from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Min,
    Max,
}

/// ZPOPMIN key [count]
pub(crate) fn zpopmin(call: &mut Call<'_>) -> Result<(), Fail> {
    pop(call, Side::Min)
}

/// ZPOPMAX key [count]
pub(crate) fn zpopmax(call: &mut Call<'_>) -> Result<(), Fail> {
    pop(call, Side::Max)
}

fn pop(call: &mut Call<'_>, side: Side) -> Result<(), Fail> {
    let count = match call.args.len() {
        2 => None,
        3 => Some(pop_count(call, 2)?),
        _ => return Err(Fail::SYNTAX),
    };
    let key = call.key(1);
    let found = call.find_zset(key)?;
    let taken = found.as_ref().map_or(0, |(zset, _)| count.unwrap_or(1).min(zset.len()));
    let Some((zset, entry)) = found.filter(|_| taken > 0) else {
        call.out.array(0);
        return Ok(());
    };
    // Without a count the one pair is flat in RESP3, too.
    if count.is_some() {
        members_header(call, taken, true);
    } else {
        call.out.array(2);
    }
    let nested = count.is_some() && is_resp3(call);
    let handle = call.handle(&entry);
    take(call, (key, handle), zset, side, taken, nested);
    Ok(())
}

/// Writes `count` members with scores and logs their removal.
fn take(
    call: &mut Call<'_>,
    (key, handle): (Key<'_>, Option<Handle>),
    zset: &ZSet,
    side: Side,
    count: usize,
    nested: bool,
) {
    let out = &mut *call.out;
    let mut fx = call.fx.zset_remove(key, handle);
    let mut each = |(member, score): (proxy_store::Elem<'_>, f64)| {
        if nested {
            out.array(2);
        }
        let bytes = member.to_cow();
        out.bulk(&bytes);
        out.double(score);
        fx.item(&bytes);
    };
    match side {
        Side::Min => zset.range(0, count).for_each(&mut each),
        Side::Max => zset.rev_range(0, count).for_each(&mut each),
    }
}

/// ZMPOP numkeys key [key ...] MIN|MAX [COUNT count]
pub(crate) fn zmpop(call: &mut Call<'_>) -> Result<(), Fail> {
    let (keys, side, count) = multi_pop(call, 1)?;
    if !pop_first(call, keys, side, count)? {
        call.out.null_array();
    }
    Ok(())
}

/// BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count]
pub(crate) fn bzmpop(call: &mut Call<'_>) -> Result<(), Fail> {
    let (keys, side, count) = multi_pop(call, 2)?;
    let timeout_ms = timeout_at(call, 1)?;
    if !pop_first(call, keys.clone(), side, count)? && !call.wait(Wait::new(WaitKind::ZSet, keys, timeout_ms))
    {
        call.out.null_array();
    }
    Ok(())
}

/// BZPOPMIN key [key ...] timeout
pub(crate) fn bzpopmin(call: &mut Call<'_>) -> Result<(), Fail> {
    pop_or_wait(call, WaitKind::ZSet, |call, index| pop_named(call, index, Side::Min))
}

/// BZPOPMAX key [key ...] timeout
pub(crate) fn bzpopmax(call: &mut Call<'_>) -> Result<(), Fail> {
    pop_or_wait(call, WaitKind::ZSet, |call, index| pop_named(call, index, Side::Max))
}

/// Answers key, member and score, in one row in RESP3, too; false when the sorted set at argument `index` isn't there.
fn pop_named(call: &mut Call<'_>, index: usize, side: Side) -> Result<bool, Fail> {
    let key = call.key(index);
    let Some((zset, entry)) = call.find_zset(key)? else { return Ok(false) };
    let handle = call.handle(&entry);
    call.out.array(3);
    call.out.bulk(key.bytes);
    take(call, (key, handle), zset, side, 1, false);
    Ok(true)
}

/// The keys, the end and the count of ZMPOP, from the argument `numkeys` on.
fn multi_pop(call: &Call<'_>, numkeys: usize) -> Result<(Range<usize>, Side, usize), Fail> {
    let keys = int_at_least(call, numkeys, 1, Fail::NUMKEYS)?;
    let option = keys.saturating_add(numkeys + 1);
    if option >= call.args.len() {
        return Err(Fail::SYNTAX);
    }
    let side = match () {
        () if call.is(option, "MIN") => Side::Min,
        () if call.is(option, "MAX") => Side::Max,
        () => return Err(Fail::SYNTAX),
    };
    Ok((numkeys + 1..option, side, pop_options(call, option + 1)?))
}

/// Pops from the first sorted set that is there; false when none is.
fn pop_first(call: &mut Call<'_>, keys: Range<usize>, side: Side, count: usize) -> Result<bool, Fail> {
    for index in keys {
        if call.passes_over(index) {
            continue;
        }
        let key = call.key(index);
        let Some((zset, entry)) = call.find_zset(key)? else { continue };
        let handle = call.handle(&entry);
        let taken = count.min(zset.len());
        call.out.array(2);
        call.out.bulk(key.bytes);
        call.out.array(taken);
        take(call, (key, handle), zset, side, taken, true);
        return Ok(true);
    }
    Ok(false)
}
