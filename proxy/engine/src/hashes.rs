//! The hash commands. They read one hash and log fields with their new values, or fields to remove.

use proxy_store::{Elem, Hash};

use crate::call::Call;
use crate::elements::{Intent, Picks, is_resp3, scan_header};
use crate::errors::Fail;
use crate::parse::LongDouble;
use crate::scan::{ScanOptions, parse_cursor};

/// HSET key field value [field value ...]
pub(crate) fn hset(call: &mut Call<'_>) -> Result<(), Fail> {
    let added = set_fields(call, "hset")?;
    call.out.integer(added as i64);
    Ok(())
}

/// HMSET key field value [field value ...]
pub(crate) fn hmset(call: &mut Call<'_>) -> Result<(), Fail> {
    set_fields(call, "hmset")?;
    call.out.ok();
    Ok(())
}

/// Sets all pairs from argument 2 on; returns how many fields are new.
fn set_fields(call: &mut Call<'_>, name: &str) -> Result<usize, Fail> {
    let args = call.args;
    if !args.len().is_multiple_of(2) {
        return Err(Fail::arity(name));
    }
    let key = call.key(1);
    let found = call.find_hash(key)?;
    let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    let single = args.len() == 4;
    let mut seen = Intent::new();
    let mut added = 0;
    let mut fx = call.fx.hash_set(key, handle);
    for index in (2..args.len()).step_by(2) {
        let field = args.at(index);
        let known = found.as_ref().is_some_and(|(hash, _)| hash.contains(field));
        if !known && (single || seen.insert(field, ())) {
            added += 1;
        }
        fx.item(field, args.at(index + 1));
    }
    Ok(added)
}

/// HSETNX key field value
pub(crate) fn hsetnx(call: &mut Call<'_>) -> Result<(), Fail> {
    let args = call.args;
    let key = call.key(1);
    let found = call.find_hash(key)?;
    if found.as_ref().is_some_and(|(hash, _)| hash.contains(args.at(2))) {
        call.out.integer(0);
        return Ok(());
    }
    let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    call.fx.hash_set(key, handle).item(args.at(2), args.at(3));
    call.out.integer(1);
    Ok(())
}

/// The hash at argument 1, for commands that only read.
fn read<'a>(call: &mut Call<'a>) -> Result<Option<&'a Hash>, Fail> {
    let key = call.key(1);
    Ok(call.find_hash(key)?.map(|(hash, _)| hash))
}

/// HGET key field
pub(crate) fn hget(call: &mut Call<'_>) -> Result<(), Fail> {
    let value = read(call)?.and_then(|hash| hash.get(call.args.at(2)));
    bulk_or_null(call, value);
    Ok(())
}

/// HMGET key field [field ...]
pub(crate) fn hmget(call: &mut Call<'_>) -> Result<(), Fail> {
    let hash = read(call)?;
    let args = call.args;
    call.out.array(args.len() - 2);
    for field in args.slice(2..).iter() {
        let value = hash.and_then(|hash| hash.get(field));
        bulk_or_null(call, value);
    }
    Ok(())
}

fn bulk_or_null(call: &mut Call<'_>, value: Option<Elem<'_>>) {
    match value {
        Some(value) => call.bulk_elem(value),
        None => call.out.null(),
    }
}

/// HGETALL key
pub(crate) fn hgetall(call: &mut Call<'_>) -> Result<(), Fail> {
    let hash = read(call)?;
    call.out.map(hash.map_or(0, Hash::len));
    for (field, value) in hash.into_iter().flat_map(Hash::iter) {
        call.bulk_elem(field);
        call.bulk_elem(value);
    }
    Ok(())
}

/// HKEYS key
pub(crate) fn hkeys(call: &mut Call<'_>) -> Result<(), Fail> {
    let hash = read(call)?;
    call.out.array(hash.map_or(0, Hash::len));
    hash.into_iter().flat_map(Hash::iter).for_each(|(field, _)| call.bulk_elem(field));
    Ok(())
}

/// HVALS key
pub(crate) fn hvals(call: &mut Call<'_>) -> Result<(), Fail> {
    let hash = read(call)?;
    call.out.array(hash.map_or(0, Hash::len));
    hash.into_iter().flat_map(Hash::iter).for_each(|(_, value)| call.bulk_elem(value));
    Ok(())
}

/// HLEN key
pub(crate) fn hlen(call: &mut Call<'_>) -> Result<(), Fail> {
    let len = read(call)?.map_or(0, Hash::len);
    call.out.integer(len as i64);
    Ok(())
}

/// HSTRLEN key field
pub(crate) fn hstrlen(call: &mut Call<'_>) -> Result<(), Fail> {
    let value = read(call)?.and_then(|hash| hash.get(call.args.at(2)));
    call.out.integer(value.map_or(0, |value| value.len()) as i64);
    Ok(())
}

/// HEXISTS key field
pub(crate) fn hexists(call: &mut Call<'_>) -> Result<(), Fail> {
    let exists = read(call)?.is_some_and(|hash| hash.contains(call.args.at(2)));
    call.out.integer(i64::from(exists));
    Ok(())
}

/// HDEL key field [field ...]
pub(crate) fn hdel(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let Some((hash, entry)) = call.find_hash(key)? else {
        call.out.integer(0);
        return Ok(());
    };
    let handle = call.handle(&entry);
    let mut seen = Intent::new();
    let mut fx = call.fx.hash_delete(key, handle);
    for field in call.args.slice(2..).iter() {
        if hash.contains(field) && seen.insert(field, ()) {
            fx.item(field);
        }
    }
    let removed = fx.count();
    drop(fx);
    call.out.integer(removed as i64);
    Ok(())
}

/// HINCRBY key field increment
pub(crate) fn hincrby(call: &mut Call<'_>) -> Result<(), Fail> {
    let increment = call.int(3)?;
    let field = call.args.at(2);
    let key = call.key(1);
    let found = call.find_hash(key)?;
    let old = match found.as_ref().and_then(|(hash, _)| hash.get(field)) {
        Some(value) => value.to_i64().ok_or(Fail::HASH_NOT_INTEGER)?,
        None => 0,
    };
    let new = old.checked_add(increment).ok_or(Fail::OVERFLOW)?;
    let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    call.fx.hash_set(key, handle).item(field, itoa::Buffer::new().format(new).as_bytes());
    call.out.integer(new);
    Ok(())
}

/// HINCRBYFLOAT key field increment
pub(crate) fn hincrbyfloat(call: &mut Call<'_>) -> Result<(), Fail> {
    let increment = LongDouble::parse(call.args.at(3)).ok_or(Fail::NOT_FLOAT)?;
    if increment.is_infinite() {
        return Err(Fail::text("ERR value is NaN or Infinity"));
    }
    let field = call.args.at(2);
    let key = call.key(1);
    let found = call.find_hash(key)?;
    let sum = match found.as_ref().and_then(|(hash, _)| hash.get(field)) {
        Some(value) => LongDouble::parse(&value.to_cow()).ok_or(Fail::HASH_NOT_FLOAT)?.plus(increment),
        None => Some(increment),
    };
    let mut text = Vec::with_capacity(32);
    sum.ok_or(Fail::NAN_OR_INFINITY)?.format(&mut text);
    let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    call.fx.hash_set(key, handle).item(field, &text);
    call.out.bulk(&text);
    Ok(())
}

/// HRANDFIELD key [count [WITHVALUES]]
pub(crate) fn hrandfield(call: &mut Call<'_>) -> Result<(), Fail> {
    if call.args.len() == 2 {
        let field = read(call)?.and_then(|hash| hash.random(call.rng)).map(|(field, _)| field);
        bulk_or_null(call, field);
        return Ok(());
    }
    let (picks, paired) = Picks::parse(call, "WITHVALUES")?;
    let Some(hash) = read(call)? else {
        call.out.array(0);
        return Ok(());
    };
    match picks.bounded()? {
        Picks::Distinct(count) if count >= hash.len() => {
            pairs_header(call, hash.len(), paired);
            hash.iter().for_each(|(field, value)| pair(call, field, value, paired));
        }
        Picks::Distinct(count) => {
            pairs_header(call, count, paired);
            let sample = hash.sample(call.rng, count);
            sample.for_each(|(field, value)| pair(call, field, value, paired));
        }
        Picks::Repeated(count) => {
            pairs_header(call, count, paired);
            for _ in 0..count {
                let Some((field, value)) = hash.random(call.rng) else { break };
                pair(call, field, value, paired);
            }
        }
    }
    Ok(())
}

/// Pairs are nested in RESP3 and flat in RESP2.
fn pairs_header(call: &mut Call<'_>, count: usize, paired: bool) {
    let flat = paired && !is_resp3(call);
    call.out.array(if flat { count * 2 } else { count });
}

fn pair(call: &mut Call<'_>, field: Elem<'_>, value: Elem<'_>, paired: bool) {
    if paired && is_resp3(call) {
        call.out.array(2);
    }
    call.bulk_elem(field);
    if paired {
        call.bulk_elem(value);
    }
}

/// HSCAN key cursor [MATCH pattern] [COUNT count]
pub(crate) fn hscan(call: &mut Call<'_>) -> Result<(), Fail> {
    let cursor = parse_cursor(call.args.at(2))?;
    let Some(hash) = read(call)? else {
        scan_header(call, 0, 0);
        return Ok(());
    };
    let options = ScanOptions::parse(call, 3, false)?;
    let mut found = Vec::new();
    let next = hash.scan(cursor, options.count, &mut |field, value| {
        if options.lets_through(field) {
            found.push((field, value));
        }
    });
    scan_header(call, next, found.len() * 2);
    for (field, value) in found {
        call.bulk_elem(field);
        call.bulk_elem(value);
    }
    Ok(())
}
