//! ZADD, ZINCRBY and what GEOADD shares with them: which scores a sorted set gets.

use proxy_store::ZSet;
use smallvec::SmallVec;

use super::stored;
use crate::call::Call;
use crate::elements::Intent;
use crate::errors::Fail;

/// ZADD's options.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    pub only_new: bool,
    pub only_known: bool,
    greater: bool,
    less: bool,
    pub changed: bool,
    increment: bool,
}

/// What became of one member.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    /// The options forbade it.
    Refused,
    Unchanged(f64),
    Updated(f64),
    Added(f64),
}

impl Options {
    /// Reads options from argument 2 on; returns them and the index of the first score.
    fn parse(call: &Call<'_>) -> Result<(Self, usize), Fail> {
        let mut options = Options::default();
        let mut index = 2;
        while index < call.args.len() {
            let option = match () {
                () if call.is(index, "NX") => &mut options.only_new,
                () if call.is(index, "XX") => &mut options.only_known,
                () if call.is(index, "GT") => &mut options.greater,
                () if call.is(index, "LT") => &mut options.less,
                () if call.is(index, "CH") => &mut options.changed,
                () if call.is(index, "INCR") => &mut options.increment,
                () => break,
            };
            *option = true;
            index += 1;
        }
        options.check(call.args.len() - index)?;
        Ok((options, index))
    }

    /// Checks that options fit each other and the number of arguments behind them.
    fn check(self, rest: usize) -> Result<(), Fail> {
        if rest == 0 || !rest.is_multiple_of(2) {
            return Err(Fail::SYNTAX);
        }
        if self.only_new && self.only_known {
            return Err(Fail::text("ERR XX and NX options at the same time are not compatible"));
        }
        let conditions = [self.only_new, self.greater, self.less];
        if conditions.into_iter().filter(|set| *set).count() > 1 {
            return Err(Fail::text("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if self.increment && rest > 2 {
            return Err(Fail::text("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    fn decide(self, old: Option<f64>, given: f64) -> Result<Outcome, Fail> {
        let Some(old) = old else {
            return Ok(if self.only_known { Outcome::Refused } else { Outcome::Added(given) });
        };
        if self.only_new {
            return Ok(Outcome::Refused);
        }
        let new = if self.increment { old + given } else { given };
        if new.is_nan() {
            return Err(Fail::SCORE_NAN);
        }
        let refused = (self.less && new >= old) || (self.greater && new <= old);
        Ok(match refused {
            true => Outcome::Refused,
            false if new == old => Outcome::Unchanged(old),
            false => Outcome::Updated(new),
        })
    }
}

/// ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]
pub(crate) fn zadd(call: &mut Call<'_>) -> Result<(), Fail> {
    let (options, first) = Options::parse(call)?;
    let mut scores = SmallVec::<[f64; 8]>::new();
    for index in (first..call.args.len()).step_by(2) {
        scores.push(call.float(index)?);
    }
    add_scores(call, options, (first, 2), &scores)
}

/// Adds members, the last of every `step` arguments from `first` on, and answers as ZADD does.
pub(crate) fn add_scores(
    call: &mut Call<'_>,
    options: Options,
    place: (usize, usize),
    scores: &[f64],
) -> Result<(), Fail> {
    let outcome = add(call, options, place, scores)?;
    match (options.increment, outcome.last) {
        (true, Outcome::Refused) => call.out.null(),
        (true, Outcome::Unchanged(score) | Outcome::Updated(score) | Outcome::Added(score)) => {
            call.out.double(score);
        }
        (false, _) if options.changed => call.out.integer((outcome.added + outcome.updated) as i64),
        (false, _) => call.out.integer(outcome.added as i64),
    }
    Ok(())
}

/// ZINCRBY key increment member
pub(crate) fn zincrby(call: &mut Call<'_>) -> Result<(), Fail> {
    // ZADD's options are read here, too; behind one there are never pairs of scores and members.
    Options::parse(call)?;
    let increment = call.float(2)?;
    let options = Options { increment: true, ..Options::default() };
    match add(call, options, (2, 2), &[increment])?.last {
        Outcome::Unchanged(score) | Outcome::Updated(score) | Outcome::Added(score) => {
            call.out.double(score);
        }
        Outcome::Refused => call.out.null(),
    }
    Ok(())
}

struct Sum {
    added: usize,
    updated: usize,
    last: Outcome,
}

/// Decides each member, the last of every `step` arguments from `first` on, and logs the scores that change.
fn add(
    call: &mut Call<'_>,
    options: Options,
    (first, step): (usize, usize),
    scores: &[f64],
) -> Result<Sum, Fail> {
    let args = call.args;
    let key = call.key(1);
    let found = call.find_zset(key)?;
    let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    let zset: Option<&ZSet> = found.map(|(zset, _)| zset);
    let mut sum = Sum { added: 0, updated: 0, last: Outcome::Refused };
    // A pair sees what pairs before it did; with one pair there is nothing to remember.
    let mut intent = (scores.len() > 1).then(Intent::<f64>::new);
    let mut fx = call.fx.zset_add(key, handle);
    for (pair, &given) in scores.iter().enumerate() {
        let member = args.at(first + step * (pair + 1) - 1);
        let decided = intent.as_ref().and_then(|intent| intent.get(member));
        let old = decided.or_else(|| zset.and_then(|zset| zset.score(member)));
        sum.last = options.decide(old, given)?;
        let (Outcome::Added(score) | Outcome::Updated(score)) = sum.last else { continue };
        if old.is_none() {
            sum.added += 1;
        } else {
            sum.updated += 1;
        }
        fx.item(member, stored(score));
        if let Some(intent) = &mut intent {
            intent.insert(member, score);
        }
    }
    Ok(sum)
}
