//! Sorted set commands about named members and about how many there are.

use proxy_store::ZSet;

use super::bounds::{lex_bounds, score_bounds};
use super::read;
use crate::call::Call;
use crate::elements::{Intent, scan_header};
use crate::errors::Fail;
use crate::scan::{ScanOptions, parse_cursor};

/// ZCARD key
pub(crate) fn zcard(call: &mut Call<'_>) -> Result<(), Fail> {
    let len = read(call, 1)?.map_or(0, ZSet::len);
    call.out.integer(len as i64);
    Ok(())
}

/// ZSCORE key member
pub(crate) fn zscore(call: &mut Call<'_>) -> Result<(), Fail> {
    let score = read(call, 1)?.and_then(|zset| zset.score(call.args.at(2)));
    score_or_null(call, score);
    Ok(())
}

/// ZMSCORE key member [member ...]
pub(crate) fn zmscore(call: &mut Call<'_>) -> Result<(), Fail> {
    let zset = read(call, 1)?;
    let args = call.args;
    call.out.array(args.len() - 2);
    for member in args.slice(2..).iter() {
        score_or_null(call, zset.and_then(|zset| zset.score(member)));
    }
    Ok(())
}

fn score_or_null(call: &mut Call<'_>, score: Option<f64>) {
    match score {
        Some(score) => call.out.double(score),
        None => call.out.null(),
    }
}

/// ZRANK key member [WITHSCORE]
pub(crate) fn zrank(call: &mut Call<'_>) -> Result<(), Fail> {
    rank(call, "zrank", ZSet::rank)
}

/// ZREVRANK key member [WITHSCORE]
pub(crate) fn zrevrank(call: &mut Call<'_>) -> Result<(), Fail> {
    rank(call, "zrevrank", ZSet::rev_rank)
}

fn rank(
    call: &mut Call<'_>,
    name: &str,
    rank_of: impl Fn(&ZSet, &[u8]) -> Option<usize>,
) -> Result<(), Fail> {
    let with_score = match call.args.len() {
        3 => false,
        4 if call.is(3, "WITHSCORE") => true,
        // Redis 7.0 doesn't know the option: every other fourth word is one too many, as there.
        _ => return Err(Fail::arity(name)),
    };
    let member = call.args.at(2);
    let zset = read(call, 1)?;
    let found = zset.and_then(|zset| Some((rank_of(zset, member)?, zset.score(member)?)));
    match found {
        Some((rank, score)) if with_score => {
            call.out.array(2);
            call.out.integer(rank as i64);
            call.out.double(score);
        }
        Some((rank, _)) => call.out.integer(rank as i64),
        None if with_score => call.out.null_array(),
        None => call.out.null(),
    }
    Ok(())
}

/// ZREM key member [member ...]
pub(crate) fn zrem(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let Some((zset, entry)) = call.find_zset(key)? else {
        call.out.integer(0);
        return Ok(());
    };
    let handle = call.handle(&entry);
    let mut seen = Intent::new();
    let mut fx = call.fx.zset_remove(key, handle);
    for member in call.args.slice(2..).iter() {
        if zset.contains(member) && seen.insert(member, ()) {
            fx.item(member);
        }
    }
    let removed = fx.count();
    drop(fx);
    call.out.integer(removed as i64);
    Ok(())
}

/// ZCOUNT key min max
pub(crate) fn zcount(call: &mut Call<'_>) -> Result<(), Fail> {
    let (min, max) = score_bounds(call.args.at(2), call.args.at(3))?;
    let count = read(call, 1)?.map_or(0, |zset| zset.score_range(min, max).len());
    call.out.integer(count as i64);
    Ok(())
}

/// ZLEXCOUNT key min max
pub(crate) fn zlexcount(call: &mut Call<'_>) -> Result<(), Fail> {
    let (min, max) = lex_bounds(call.args.at(2), call.args.at(3))?;
    let count = read(call, 1)?.map_or(0, |zset| zset.lex_range(min, max).len());
    call.out.integer(count as i64);
    Ok(())
}

/// ZSCAN key cursor [MATCH pattern] [COUNT count]
pub(crate) fn zscan(call: &mut Call<'_>) -> Result<(), Fail> {
    let cursor = parse_cursor(call.args.at(2))?;
    let Some(zset) = read(call, 1)? else {
        scan_header(call, 0, 0);
        return Ok(());
    };
    let options = ScanOptions::parse(call, 3, false)?;
    let mut found = Vec::new();
    let next = zset.scan(cursor, options.count, &mut |member, score| {
        if options.lets_through(member) {
            found.push((member, score));
        }
    });
    scan_header(call, next, found.len() * 2);
    let packed = zset.listpack().is_some();
    let mut text = Vec::with_capacity(32);
    for (member, score) in found {
        call.bulk_elem(member);
        // A string in RESP3, too.
        text.clear();
        match integral(score).filter(|_| packed) {
            Some(score) => text.extend_from_slice(itoa::Buffer::new().format(score).as_bytes()),
            None => proxy_resp::format_double(score, &mut text),
        }
        call.out.bulk(&text);
    }
    Ok(())
}

/// A score that a listpack keeps as an integer; ZSCAN shows it without an exponent then, however large.
fn integral(score: f64) -> Option<i64> {
    const LIMIT: f64 = (i64::MAX / 2) as f64;
    let inside = score > -LIMIT && score < LIMIT && score.trunc() == score;
    inside.then_some(score as i64)
}
