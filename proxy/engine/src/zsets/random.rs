//! ZRANDMEMBER.

use super::{member, members_header, read};
use crate::call::Call;
use crate::elements::Picks;
use crate::errors::Fail;

/// ZRANDMEMBER key [count [WITHSCORES]]
pub(crate) fn zrandmember(call: &mut Call<'_>) -> Result<(), Fail> {
    if call.args.len() == 2 {
        match read(call, 1)?.and_then(|zset| zset.random(call.rng)) {
            Some((name, _)) => call.bulk_elem(name),
            None => call.out.null(),
        }
        return Ok(());
    }
    let (picks, with_scores) = Picks::parse(call, "WITHSCORES")?;
    let Some(zset) = read(call, 1)? else {
        call.out.array(0);
        return Ok(());
    };
    match picks.bounded()? {
        Picks::Distinct(count) if count >= zset.len() => {
            members_header(call, zset.len(), with_scores);
            zset.iter().for_each(|(name, score)| member(call, name, score, with_scores));
        }
        Picks::Distinct(count) => {
            members_header(call, count, with_scores);
            let sample = zset.sample(call.rng, count);
            sample.for_each(|(name, score)| member(call, name, score, with_scores));
        }
        Picks::Repeated(count) => {
            members_header(call, count, with_scores);
            for _ in 0..count {
                let Some((name, score)) = zset.random(call.rng) else { break };
                member(call, name, score, with_scores);
            }
        }
    }
    Ok(())
}
