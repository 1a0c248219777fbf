//! ZRANGE in all its forms and the older commands that are special cases of it.

use std::ops::Range;

use proxy_store::types::{LexBound, ScoreBound};
use proxy_store::{Elem, ZSet};

use super::bounds::{lex_bounds, score_bounds};
use super::{member, members_header, read};
use crate::call::Call;
use crate::elements::index_range;
use crate::errors::Fail;

/// What the two ends of a range mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// A range command before its arguments are read: what its name fixes, and what options may still choose.
#[derive(Clone, Copy)]
struct Form {
    /// Index of the key that is read; the ends follow it.
    source: usize,
    store: bool,
    by: Option<By>,
    reverse: Option<bool>,
}

/// A range command with its options.
struct Request {
    form: Form,
    by: By,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    /// Negative: no limit.
    limit: i64,
}

/// Both ends, read.
enum Ends<'a> {
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

impl Request {
    fn parse(call: &Call<'_>, form: Form) -> Result<Self, Fail> {
        let mut request = Request {
            form,
            by: form.by.unwrap_or(By::Rank),
            reverse: form.reverse.unwrap_or(false),
            with_scores: false,
            offset: 0,
            limit: -1,
        };
        let (mut chosen, mut turned) = (form.by.is_some(), form.reverse.is_some());
        let mut index = form.source + 3;
        while index < call.args.len() {
            if !form.store && call.is(index, "WITHSCORES") {
                request.with_scores = true;
            } else if call.is(index, "LIMIT") && index + 2 < call.args.len() {
                request.offset = call.int(index + 1)?;
                request.limit = call.int(index + 2)?;
                index += 2;
            } else if !turned && call.is(index, "REV") {
                (request.reverse, turned) = (true, true);
            } else if !chosen && call.is(index, "BYLEX") {
                (request.by, chosen) = (By::Lex, true);
            } else if !chosen && call.is(index, "BYSCORE") {
                (request.by, chosen) = (By::Score, true);
            } else {
                return Err(Fail::SYNTAX);
            }
            index += 1;
        }
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), Fail> {
        if self.limit != -1 && self.by == By::Rank {
            return Err(Fail::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if self.with_scores && self.by == By::Lex {
            return Err(Fail::text("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        Ok(())
    }

    fn ends<'a>(&self, call: &Call<'a>) -> Result<Ends<'a>, Fail> {
        let first = self.form.source + 1;
        // A reversed range by score or member names its upper end first.
        let (min, max) = if self.reverse { (first + 1, first) } else { (first, first + 1) };
        Ok(match self.by {
            By::Rank => Ends::Rank(call.int(first)?, call.int(first + 1)?),
            By::Score => {
                let (min, max) = score_bounds(call.args.at(min), call.args.at(max))?;
                Ends::Score(min, max)
            }
            By::Lex => {
                let (min, max) = lex_bounds(call.args.at(min), call.args.at(max))?;
                Ends::Lex(min, max)
            }
        })
    }

    /// The chosen members as a start and a count in the direction of the answer.
    fn select(&self, ends: &Ends<'_>, zset: &ZSet) -> (usize, usize) {
        let ranks = match *ends {
            Ends::Rank(start, stop) => return index_range(start, stop, zset.len()),
            Ends::Score(min, max) => zset.score_range(min, max),
            Ends::Lex(min, max) => zset.lex_range(min, max),
        };
        self.limited(ranks, zset.len())
    }

    fn limited(&self, ranks: Range<usize>, len: usize) -> (usize, usize) {
        let Ok(offset) = usize::try_from(self.offset) else { return (0, 0) };
        let start = if self.reverse { len - ranks.end } else { ranks.start };
        let left = ranks.len().saturating_sub(offset);
        let count = usize::try_from(self.limit).map_or(left, |limit| left.min(limit));
        (start.saturating_add(offset), count)
    }

    /// Calls `f` for each chosen member in the order of the answer.
    fn each<'a>(&self, zset: &'a ZSet, (start, count): (usize, usize), f: impl FnMut((Elem<'a>, f64))) {
        if self.reverse {
            zset.rev_range(start, count).for_each(f);
        } else {
            zset.range(start, count).for_each(f);
        }
    }
}

fn answer(call: &mut Call<'_>, by: Option<By>, reverse: Option<bool>) -> Result<(), Fail> {
    let request = Request::parse(call, Form { source: 1, store: false, by, reverse })?;
    let ends = request.ends(call)?;
    let Some(zset) = read(call, 1)? else {
        call.out.array(0);
        return Ok(());
    };
    let selection = request.select(&ends, zset);
    members_header(call, selection.1, request.with_scores);
    request.each(zset, selection, |(name, score)| member(call, name, score, request.with_scores));
    Ok(())
}

/// ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]
pub(crate) fn zrange(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, None, None)
}

/// ZREVRANGE key start stop [WITHSCORES]
pub(crate) fn zrevrange(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Some(By::Rank), Some(true))
}

/// ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]
pub(crate) fn zrangebyscore(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Some(By::Score), Some(false))
}

/// ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]
pub(crate) fn zrevrangebyscore(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Some(By::Score), Some(true))
}

/// ZRANGEBYLEX key min max [LIMIT offset count]
pub(crate) fn zrangebylex(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Some(By::Lex), Some(false))
}

/// ZREVRANGEBYLEX key max min [LIMIT offset count]
pub(crate) fn zrevrangebylex(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Some(By::Lex), Some(true))
}

/// ZRANGESTORE dst src min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]
pub(crate) fn zrangestore(call: &mut Call<'_>) -> Result<(), Fail> {
    let request = Request::parse(call, Form { source: 2, store: true, by: None, reverse: None })?;
    let ends = request.ends(call)?;
    let zset = read(call, 2)?;
    let key = call.key(1);
    call.replace(1);
    let mut fx = call.fx.zset_add(key, None);
    if let Some(zset) = zset {
        let selection = request.select(&ends, zset);
        request.each(zset, selection, |(name, score)| fx.item(&name.to_cow(), score));
    }
    let stored = fx.count();
    drop(fx);
    call.out.integer(stored as i64);
    Ok(())
}
