//! The sorted set commands. `add` writes scores, `members` answers about single members and counts, `bounds`
//! reads the ends of ranges, `range` and `remove` work on ranges, `pop` and `random` take members out or
//! draw them, `algebra` joins several sets.

mod add;
mod algebra;
mod bounds;
mod members;
mod pop;
mod random;
mod range;
mod remove;

pub(crate) use add::{Options as AddOptions, add_scores, zadd, zincrby};
pub(crate) use algebra::{zdiff, zdiffstore, zinter, zintercard, zinterstore, zunion, zunionstore};
pub(crate) use members::{zcard, zcount, zlexcount, zmscore, zrank, zrem, zrevrank, zscan, zscore};
pub(crate) use pop::{bzmpop, bzpopmax, bzpopmin, zmpop, zpopmax, zpopmin};
pub(crate) use random::zrandmember;
pub(crate) use range::{
    zrange, zrangebylex, zrangebyscore, zrangestore, zrevrange, zrevrangebylex, zrevrangebyscore,
};
pub(crate) use remove::{zremrangebylex, zremrangebyrank, zremrangebyscore};

use proxy_store::{Elem, ZSet};

use crate::call::Call;
use crate::elements::is_resp3;
use crate::errors::Fail;

/// The sorted set at argument `index`, for commands that only read.
fn read<'a>(call: &mut Call<'a>, index: usize) -> Result<Option<&'a ZSet>, Fail> {
    let key = call.key(index);
    Ok(call.find_zset(key)?.map(|(zset, _)| zset))
}

/// Header of `count` members; with scores they are pairs in RESP3 and a flat row in RESP2.
fn members_header(call: &mut Call<'_>, count: usize, with_scores: bool) {
    let flat = with_scores && !is_resp3(call);
    call.out.array(if flat { count * 2 } else { count });
}

/// One member below [`members_header`].
fn member(call: &mut Call<'_>, member: Elem<'_>, score: f64, with_scores: bool) {
    if with_scores && is_resp3(call) {
        call.out.array(2);
    }
    call.bulk_elem(member);
    if with_scores {
        call.out.double(score);
    }
}

/// A score as it is stored: there is one zero. Redis keeps or loses a zero's sign by the encoding that the
/// sorted set happens to have; then two copies of the same data could differ.
fn stored(score: f64) -> f64 {
    score + 0.0
}
