//! The set commands: membership, random members, and the algebra of several sets.

use proxy_store::{Elem, Entry, Reason, Set};

use crate::call::Call;
use crate::elements::{Intent, Member, MemberSet, Picks, int_at_least, pop_count, scan_header};
use crate::errors::Fail;
use crate::scan::{ScanOptions, parse_cursor};

/// Redis answers unions and differences of so many integers in ascending order, as its result is an intset.
const ASCENDING: usize = 512;

/// SADD key member [member ...]
pub(crate) fn sadd(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let found = call.find_set(key)?;
    let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    let mut seen = Intent::new();
    let mut fx = call.fx.set_add(key, handle);
    for member in call.args.slice(2..).iter() {
        let known = found.as_ref().is_some_and(|(set, _)| set.contains(member));
        if !known && seen.insert(member, ()) {
            fx.item(member);
        }
    }
    let added = fx.count();
    drop(fx);
    call.out.integer(added as i64);
    Ok(())
}

/// SREM key member [member ...]
pub(crate) fn srem(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let Some((set, entry)) = call.find_set(key)? else {
        call.out.integer(0);
        return Ok(());
    };
    let handle = call.handle(&entry);
    let mut seen = Intent::new();
    let mut fx = call.fx.set_remove(key, handle);
    for member in call.args.slice(2..).iter() {
        if set.contains(member) && seen.insert(member, ()) {
            fx.item(member);
        }
    }
    let removed = fx.count();
    drop(fx);
    call.out.integer(removed as i64);
    Ok(())
}

/// The set at argument 1, for commands that only read.
fn read<'a>(call: &mut Call<'a>) -> Result<Option<&'a Set>, Fail> {
    let key = call.key(1);
    Ok(call.find_set(key)?.map(|(set, _)| set))
}

/// SMEMBERS key
pub(crate) fn smembers(call: &mut Call<'_>) -> Result<(), Fail> {
    let set = read(call)?;
    call.out.set(set.map_or(0, Set::len));
    set.into_iter().flat_map(Set::iter).for_each(|member| call.bulk_elem(member));
    Ok(())
}

/// SISMEMBER key member
pub(crate) fn sismember(call: &mut Call<'_>) -> Result<(), Fail> {
    let member = read(call)?.is_some_and(|set| set.contains(call.args.at(2)));
    call.out.integer(i64::from(member));
    Ok(())
}

/// SMISMEMBER key member [member ...]
pub(crate) fn smismember(call: &mut Call<'_>) -> Result<(), Fail> {
    let set = read(call)?;
    let args = call.args;
    call.out.array(args.len() - 2);
    for member in args.slice(2..).iter() {
        call.out.integer(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(())
}

/// SCARD key
pub(crate) fn scard(call: &mut Call<'_>) -> Result<(), Fail> {
    let len = read(call)?.map_or(0, Set::len);
    call.out.integer(len as i64);
    Ok(())
}

/// SPOP key [count]
pub(crate) fn spop(call: &mut Call<'_>) -> Result<(), Fail> {
    let count = match call.args.len() {
        2 => None,
        3 => Some(pop_count(call, 2)?),
        _ => return Err(Fail::SYNTAX),
    };
    let key = call.key(1);
    let found = call.find_set(key)?;
    let Some(count) = count else {
        let Some((set, entry)) = found else {
            call.out.null();
            return Ok(());
        };
        if let Some(member) = set.random(call.rng) {
            let handle = call.handle(&entry);
            call.fx.set_remove(key, handle).item(&member.to_cow());
            call.bulk_elem(member);
        } else {
            call.out.null();
        }
        return Ok(());
    };
    let Some((set, entry)) = found.filter(|_| count > 0) else {
        call.out.set(0);
        return Ok(());
    };
    pop_several(call, set, &entry, count);
    Ok(())
}

fn pop_several(call: &mut Call<'_>, set: &Set, entry: &Entry<'_>, count: usize) {
    let key = call.key(1);
    let handle = call.handle(entry);
    if count >= set.len() {
        call.out.set(set.len());
        set.iter().for_each(|member| call.bulk_elem(member));
        call.fx.delete(key, handle, Reason::Command);
        return;
    }
    call.out.set(count);
    let mut fx = call.fx.set_remove(key, handle);
    for member in set.sample(call.rng, count) {
        let bytes = member.to_cow();
        fx.item(&bytes);
        call.out.bulk(&bytes);
    }
}

/// SRANDMEMBER key [count]
pub(crate) fn srandmember(call: &mut Call<'_>) -> Result<(), Fail> {
    if call.args.len() == 2 {
        match read(call)?.and_then(|set| set.random(call.rng)) {
            Some(member) => call.bulk_elem(member),
            None => call.out.null(),
        }
        return Ok(());
    }
    if call.args.len() > 3 {
        return Err(Fail::SYNTAX);
    }
    let (picks, _) = Picks::parse(call, "")?;
    let Some(set) = read(call)? else {
        call.out.array(0);
        return Ok(());
    };
    match picks.bounded()? {
        Picks::Distinct(count) if count >= set.len() => {
            call.out.array(set.len());
            set.iter().for_each(|member| call.bulk_elem(member));
        }
        Picks::Distinct(count) => {
            call.out.array(count);
            let sample = set.sample(call.rng, count);
            sample.for_each(|member| call.bulk_elem(member));
        }
        Picks::Repeated(count) => {
            call.out.array(count);
            for _ in 0..count {
                let Some(member) = set.random(call.rng) else { break };
                call.bulk_elem(member);
            }
        }
    }
    Ok(())
}

/// SMOVE source destination member
pub(crate) fn smove(call: &mut Call<'_>) -> Result<(), Fail> {
    let (source_key, target_key) = (call.key(1), call.key(2));
    let member = call.args.at(3);
    let Some((source, source_entry)) = call.find_set(source_key)? else {
        call.out.integer(0);
        return Ok(());
    };
    let target = call.find_set(target_key)?;
    let moves = source.contains(member);
    call.out.integer(i64::from(moves));
    if moves && source_key.bytes != target_key.bytes {
        let handle = call.handle(&source_entry);
        call.fx.set_remove(source_key, handle).item(member);
        if target.is_none_or(|(set, _)| !set.contains(member)) {
            call.fx.set_add(target_key, None).item(member);
        }
    }
    Ok(())
}

/// The sets at arguments `from..to`; `None` for missing keys. Every key is looked at, so that a wrong type
/// is an error even where the result is clear without it.
fn sets<'a>(call: &mut Call<'a>, from: usize, to: usize) -> Result<Vec<Option<&'a Set>>, Fail> {
    let mut sets = Vec::with_capacity(to.saturating_sub(from));
    for index in from..to {
        let key = call.key(index);
        sets.push(call.find_set(key)?.map(|(set, _)| set));
    }
    Ok(sets)
}

/// How several sets become one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Algebra {
    Intersection,
    Union,
    Difference,
}

/// Calls `f` for each member of all sets until it answers false.
fn intersect<'a>(sets: Vec<Option<&'a Set>>, mut f: impl FnMut(Member<'a>) -> bool) {
    // A missing key is an empty set.
    let Some(mut sets) = sets.into_iter().collect::<Option<Vec<&Set>>>() else { return };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    // A set that is named twice is not asked for its own members.
    let others: Vec<&Set> = others.iter().copied().filter(|set| !std::ptr::eq(*set, *smallest)).collect();
    for member in smallest.iter() {
        if others.iter().all(|set| set.contains_elem(member)) && !f(Member::from(member)) {
            return;
        }
    }
}

/// Up to this many sets, a member of one is looked for in those before it; above, a table of all that was seen is built.
const LOOK_UP: usize = 4;

fn union<'a>(sets: &[Option<&'a Set>]) -> Vec<Member<'a>> {
    let mut present: Vec<&Set> = sets.iter().copied().flatten().collect();
    if present.len() <= LOOK_UP {
        // The largest first: its members are not looked for at all.
        present.sort_by_key(|set| std::cmp::Reverse(set.len()));
        let mut members = Vec::with_capacity(present.first().map_or(0, |set| set.len()));
        for (at, set) in present.iter().enumerate() {
            let before = present.get(..at).unwrap_or_default();
            let new = |member: &Elem<'_>| !before.iter().any(|set| set.contains_elem(*member));
            members.extend(set.iter().filter(new).map(Member::from));
        }
        return members;
    }
    let mut seen = MemberSet::default();
    let mut members = Vec::new();
    for member in present.into_iter().flat_map(Set::iter).map(Member::from) {
        if seen.insert(member) {
            members.push(member);
        }
    }
    members
}

fn difference<'a>(sets: &[Option<&'a Set>]) -> Vec<Member<'a>> {
    let Some((Some(first), others)) = sets.split_first() else { return Vec::new() };
    let others: Vec<&Set> = others.iter().copied().flatten().collect();
    let kept = first.iter().filter(|member| !others.iter().any(|set| set.contains_elem(*member)));
    kept.map(Member::from).collect()
}

/// The result's members, distinct.
fn combine(algebra: Algebra, sets: Vec<Option<&Set>>) -> Vec<Member<'_>> {
    let mut members = match algebra {
        Algebra::Intersection => {
            let mut members = Vec::new();
            intersect(sets, |member| {
                members.push(member);
                true
            });
            return members;
        }
        Algebra::Union => union(&sets),
        Algebra::Difference => difference(&sets),
    };
    if members.len() <= ASCENDING && members.iter().all(|member| matches!(member, Member::Int(_))) {
        members.sort_unstable_by_key(|member| match member {
            Member::Int(value) => *value,
            Member::Bytes(_) => 0,
        });
    }
    members
}

fn answer(call: &mut Call<'_>, algebra: Algebra) -> Result<(), Fail> {
    let sets = sets(call, 1, call.args.len())?;
    let members = combine(algebra, sets);
    call.out.set(members.len());
    for member in members {
        call.bulk_elem(member.elem());
    }
    Ok(())
}

fn store(call: &mut Call<'_>, algebra: Algebra) -> Result<(), Fail> {
    let sets = sets(call, 2, call.args.len())?;
    let members = combine(algebra, sets);
    let key = call.key(1);
    call.replace(1);
    let mut fx = call.fx.set_add(key, None);
    for member in &members {
        fx.item(&member.elem().to_cow());
    }
    drop(fx);
    call.out.integer(members.len() as i64);
    Ok(())
}

/// SINTER key [key ...]
pub(crate) fn sinter(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Algebra::Intersection)
}

/// SUNION key [key ...]
pub(crate) fn sunion(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Algebra::Union)
}

/// SDIFF key [key ...]
pub(crate) fn sdiff(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, Algebra::Difference)
}

/// SINTERSTORE destination key [key ...]
pub(crate) fn sinterstore(call: &mut Call<'_>) -> Result<(), Fail> {
    store(call, Algebra::Intersection)
}

/// SUNIONSTORE destination key [key ...]
pub(crate) fn sunionstore(call: &mut Call<'_>) -> Result<(), Fail> {
    store(call, Algebra::Union)
}

/// SDIFFSTORE destination key [key ...]
pub(crate) fn sdiffstore(call: &mut Call<'_>) -> Result<(), Fail> {
    store(call, Algebra::Difference)
}

/// SINTERCARD numkeys key [key ...] [LIMIT limit]
pub(crate) fn sintercard(call: &mut Call<'_>) -> Result<(), Fail> {
    let keys = int_at_least(call, 1, 1, Fail::NUMKEYS)?;
    if keys > call.args.len() - 2 {
        return Err(Fail::text("ERR Number of keys can't be greater than number of args"));
    }
    let mut limit = usize::MAX;
    for index in (keys + 2..call.args.len()).step_by(2) {
        if !call.is(index, "LIMIT") || index + 1 >= call.args.len() {
            return Err(Fail::SYNTAX);
        }
        let value = int_at_least(call, index + 1, 0, Fail::text("ERR LIMIT can't be negative"))?;
        limit = if value == 0 { usize::MAX } else { value };
    }
    let sets = sets(call, 2, keys + 2)?;
    let mut count = 0;
    intersect(sets, |_| {
        count += 1;
        count < limit
    });
    call.out.integer(count as i64);
    Ok(())
}

/// SSCAN key cursor [MATCH pattern] [COUNT count]
pub(crate) fn sscan(call: &mut Call<'_>) -> Result<(), Fail> {
    let cursor = parse_cursor(call.args.at(2))?;
    let Some(set) = read(call)? else {
        scan_header(call, 0, 0);
        return Ok(());
    };
    let options = ScanOptions::parse(call, 3, false)?;
    let mut found = Vec::new();
    let next = set.scan(cursor, options.count, &mut |member| {
        if options.lets_through(member) {
            found.push(member);
        }
    });
    scan_header(call, next, found.len());
    for member in found {
        call.bulk_elem(member);
    }
    Ok(())
}
