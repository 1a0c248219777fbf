//! ZUNION, ZINTER, ZDIFF, their storing forms, and ZINTERCARD. Sets take part as if every score were 1.

use std::cmp::Ordering;
use std::collections::HashMap;

use proxy_store::{Elem, Set, Value, ZSet};

use super::{member, members_header, stored};
use crate::call::Call;
use crate::elements::{Member, int_at_least};
use crate::errors::Fail;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How scores of one member become one.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of both signs cancel out.
            Aggregate::Sum => zero_if_nan(a + b),
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

fn zero_if_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// One collection that takes part.
#[derive(Clone, Copy)]
enum Operand<'a> {
    Missing,
    Set(&'a Set),
    ZSet(&'a ZSet),
}

impl<'a> Operand<'a> {
    fn len(self) -> usize {
        match self {
            Operand::Missing => 0,
            Operand::Set(set) => set.len(),
            Operand::ZSet(zset) => zset.len(),
        }
    }

    fn score(self, name: Elem<'_>) -> Option<f64> {
        match self {
            Operand::Missing => None,
            Operand::Set(set) => set.contains_elem(name).then_some(1.0),
            Operand::ZSet(zset) => zset.score(&name.to_cow()),
        }
    }

    /// Calls `f` for every member until it answers false.
    fn each(self, mut f: impl FnMut(Elem<'a>, f64) -> bool) {
        match self {
            Operand::Missing => {}
            Operand::Set(set) => {
                set.iter().all(|name| f(name, 1.0));
            }
            Operand::ZSet(zset) => {
                zset.iter().all(|(name, score)| f(name, score));
            }
        }
    }
}

/// A command of this family with its arguments read.
struct Request<'a> {
    operands: Vec<(Operand<'a>, f64)>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: usize,
}

/// Which options a command of this family knows.
#[derive(Clone, Copy)]
struct Form {
    operation: Operation,
    /// Index of the number of keys.
    first: usize,
    /// The command counts only: it takes LIMIT and no other option.
    counts: bool,
}

impl<'a> Request<'a> {
    fn parse(call: &mut Call<'a>, form: Form, name: &str) -> Result<Self, Fail> {
        let keys = call.int(form.first)?;
        if keys < 1 {
            return Err(Fail::owned(format!("ERR at least 1 input key is needed for '{name}' command")));
        }
        let keys = usize::try_from(keys).unwrap_or(usize::MAX);
        if keys > call.args.len() - form.first - 1 {
            return Err(Fail::SYNTAX);
        }
        let mut request = Request {
            operands: Vec::new(),
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: usize::MAX,
        };
        for index in form.first + 1..=form.first + keys {
            let key = call.key(index);
            let operand = match call.find(key).map(|entry| entry.value()) {
                None => Operand::Missing,
                Some(Value::Set(set)) => Operand::Set(set),
                Some(Value::ZSet(zset)) => Operand::ZSet(zset),
                Some(_) => return Err(Fail::WRONG_TYPE),
            };
            request.operands.push((operand, 1.0));
        }
        request.options(call, form, form.first + keys + 1)?;
        Ok(request)
    }

    fn options(&mut self, call: &Call<'_>, form: Form, mut index: usize) -> Result<(), Fail> {
        let weighs = form.operation != Operation::Difference && !form.counts;
        let stores = form.first == 2;
        while index < call.args.len() {
            let rest = call.args.len() - index - 1;
            if weighs && rest >= self.operands.len() && call.is(index, "WEIGHTS") {
                for (_, weight) in &mut self.operands {
                    index += 1;
                    *weight = call.float(index).map_err(|_| Fail::text("ERR weight value is not a float"))?;
                }
            } else if weighs && rest >= 1 && call.is(index, "AGGREGATE") {
                index += 1;
                self.aggregate = match () {
                    () if call.is(index, "SUM") => Aggregate::Sum,
                    () if call.is(index, "MIN") => Aggregate::Min,
                    () if call.is(index, "MAX") => Aggregate::Max,
                    () => return Err(Fail::SYNTAX),
                };
            } else if !stores && !form.counts && call.is(index, "WITHSCORES") {
                self.with_scores = true;
            } else if form.counts && rest >= 1 && call.is(index, "LIMIT") {
                index += 1;
                let limit = int_at_least(call, index, 0, Fail::text("ERR LIMIT can't be negative"))?;
                self.limit = if limit == 0 { usize::MAX } else { limit };
            } else {
                return Err(Fail::SYNTAX);
            }
            index += 1;
        }
        Ok(())
    }

    /// The result's members, distinct, in no order.
    fn combine(mut self, operation: Operation) -> Vec<(Member<'a>, f64)> {
        match operation {
            Operation::Difference => self.difference(),
            Operation::Union => {
                // Smallest first, as Redis adds scores up: rounding depends on it.
                self.operands.sort_by_key(|(operand, _)| operand.len());
                self.union()
            }
            Operation::Intersection => {
                let mut members = Vec::new();
                self.intersect(|name, score| {
                    members.push((Member::from(name), score));
                    true
                });
                members
            }
        }
    }

    fn union(&self) -> Vec<(Member<'a>, f64)> {
        let mut scores: HashMap<Member<'a>, f64> = HashMap::new();
        for (operand, weight) in &self.operands {
            operand.each(|name, score| {
                let score = zero_if_nan(score * weight);
                let joined = scores.entry(Member::from(name));
                joined.and_modify(|old| *old = self.aggregate.join(*old, score)).or_insert(score);
                true
            });
        }
        scores.into_iter().collect()
    }

    /// Calls `f` for the members of all operands until it answers false.
    fn intersect(&mut self, mut f: impl FnMut(Elem<'a>, f64) -> bool) {
        self.operands.sort_by_key(|(operand, _)| operand.len());
        let Some((&(smallest, weight), others)) = self.operands.split_first() else { return };
        smallest.each(|name, score| {
            let mut joined = zero_if_nan(score * weight);
            for (operand, weight) in others {
                let Some(score) = operand.score(name) else { return true };
                joined = self.aggregate.join(joined, score * weight);
            }
            f(name, joined)
        });
    }

    fn difference(&self) -> Vec<(Member<'a>, f64)> {
        let Some(((first, _), others)) = self.operands.split_first() else { return Vec::new() };
        let mut members = Vec::new();
        first.each(|name, score| {
            if others.iter().all(|(operand, _)| operand.score(name).is_none()) {
                members.push((Member::from(name), score));
            }
            true
        });
        members
    }
}

/// Ascending by score, then by member.
fn order(a: &(Member<'_>, f64), b: &(Member<'_>, f64)) -> Ordering {
    let scores = a.1.partial_cmp(&b.1).unwrap_or(Ordering::Equal);
    scores.then_with(|| a.0.elem().cmp(&b.0.elem()))
}

fn answer(call: &mut Call<'_>, operation: Operation, name: &str) -> Result<(), Fail> {
    let request = Request::parse(call, Form { operation, first: 1, counts: false }, name)?;
    let with_scores = request.with_scores;
    let mut members = request.combine(operation);
    members.sort_unstable_by(order);
    members_header(call, members.len(), with_scores);
    for (name, score) in members {
        member(call, name.elem(), score, with_scores);
    }
    Ok(())
}

fn store(call: &mut Call<'_>, operation: Operation, name: &str) -> Result<(), Fail> {
    let request = Request::parse(call, Form { operation, first: 2, counts: false }, name)?;
    let mut members = request.combine(operation);
    // The log must not depend on the order of a hash table.
    members.sort_unstable_by(order);
    let key = call.key(1);
    call.replace(1);
    let mut fx = call.fx.zset_add(key, None);
    for (name, score) in &members {
        fx.item(&name.elem().to_cow(), stored(*score));
    }
    drop(fx);
    call.out.integer(members.len() as i64);
    Ok(())
}

/// ZUNION numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]
pub(crate) fn zunion(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Operation::Union, "zunion")
}

/// ZINTER numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]
pub(crate) fn zinter(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Operation::Intersection, "zinter")
}

/// ZDIFF numkeys key [key ...] [WITHSCORES]
pub(crate) fn zdiff(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Operation::Difference, "zdiff")
}

/// ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]
pub(crate) fn zunionstore(call: &mut Call<'_>) -> Result<(), Fail> {
    store(call, Operation::Union, "zunionstore")
}

/// ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]
pub(crate) fn zinterstore(call: &mut Call<'_>) -> Result<(), Fail> {
    store(call, Operation::Intersection, "zinterstore")
}

/// ZDIFFSTORE destination numkeys key [key ...]
pub(crate) fn zdiffstore(call: &mut Call<'_>) -> Result<(), Fail> {
    store(call, Operation::Difference, "zdiffstore")
}

/// ZINTERCARD numkeys key [key ...] [LIMIT limit]
pub(crate) fn zintercard(call: &mut Call<'_>) -> Result<(), Fail> {
    let form = Form { operation: Operation::Intersection, first: 1, counts: true };
    let mut request = Request::parse(call, form, "zintercard")?;
    let limit = request.limit;
    let mut count = 0;
    request.intersect(|_, _| {
        count += 1;
        count < limit
    });
    call.out.integer(count as i64);
    Ok(())
}
