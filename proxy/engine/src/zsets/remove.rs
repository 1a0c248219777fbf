//! ZREMRANGEBY*: the members of a range are looked up here and logged by name.

use std::ops::Range;

use proxy_store::ZSet;

use super::bounds::{lex_bounds, score_bounds};
use crate::call::Call;
use crate::elements::index_range;
use crate::errors::Fail;

/// ZREMRANGEBYRANK key start stop
pub(crate) fn zremrangebyrank(call: &mut Call<'_>) -> Result<(), Fail> {
    let (start, stop) = (call.int(2)?, call.int(3)?);
    remove(call, |zset| {
        let (start, count) = index_range(start, stop, zset.len());
        start..start + count
    })
}

/// ZREMRANGEBYSCORE key min max
pub(crate) fn zremrangebyscore(call: &mut Call<'_>) -> Result<(), Fail> {
    let (min, max) = score_bounds(call.args.at(2), call.args.at(3))?;
    remove(call, |zset| zset.score_range(min, max))
}

/// ZREMRANGEBYLEX key min max
pub(crate) fn zremrangebylex(call: &mut Call<'_>) -> Result<(), Fail> {
    let (min, max) = lex_bounds(call.args.at(2), call.args.at(3))?;
    remove(call, |zset| zset.lex_range(min, max))
}

fn remove(call: &mut Call<'_>, ranks: impl FnOnce(&ZSet) -> Range<usize>) -> Result<(), Fail> {
    let key = call.key(1);
    let Some((zset, entry)) = call.find_zset(key)? else {
        call.out.integer(0);
        return Ok(());
    };
    let ranks = ranks(zset);
    let handle = call.handle(&entry);
    let mut fx = call.fx.zset_remove(key, handle);
    zset.range(ranks.start, ranks.len()).for_each(|(member, _)| fx.item(&member.to_cow()));
    drop(fx);
    call.out.integer(ranks.len() as i64);
    Ok(())
}
