//! The list commands. They read lists and log pushes, pops, and changes by index; some wait for a list.

use std::ops::Range;

use proxy_store::types::End;
use proxy_store::{Elem, List};

use crate::blocking::{Wait, WaitKind, pop_or_wait, timeout_at};
use crate::call::Call;
use crate::elements::{index_range, int_at_least, pop_count};
use crate::errors::Fail;

/// LPUSH key element [element ...]
pub(crate) fn lpush(call: &mut Call<'_>) -> Result<(), Fail> {
    push(call, End::Left, true)
}

/// RPUSH key element [element ...]
pub(crate) fn rpush(call: &mut Call<'_>) -> Result<(), Fail> {
    push(call, End::Right, true)
}

/// LPUSHX key element [element ...]
pub(crate) fn lpushx(call: &mut Call<'_>) -> Result<(), Fail> {
    push(call, End::Left, false)
}

/// RPUSHX key element [element ...]
pub(crate) fn rpushx(call: &mut Call<'_>) -> Result<(), Fail> {
    push(call, End::Right, false)
}

fn push(call: &mut Call<'_>, end: End, create: bool) -> Result<(), Fail> {
    let key = call.key(1);
    let found = call.find_list(key)?;
    if found.is_none() && !create {
        call.out.integer(0);
        return Ok(());
    }
    let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    let mut fx = call.fx.list_push(key, handle, end);
    call.args.slice(2..).iter().for_each(|element| fx.item(element));
    let pushed = fx.count();
    drop(fx);
    call.out.integer((found.map_or(0, |(list, _)| list.len()) + pushed) as i64);
    Ok(())
}

/// LPOP key [count]
pub(crate) fn lpop(call: &mut Call<'_>) -> Result<(), Fail> {
    pop(call, End::Left, "lpop")
}

/// RPOP key [count]
pub(crate) fn rpop(call: &mut Call<'_>) -> Result<(), Fail> {
    pop(call, End::Right, "rpop")
}

fn pop(call: &mut Call<'_>, end: End, name: &str) -> Result<(), Fail> {
    let count = match call.args.len() {
        2 => None,
        3 => Some(pop_count(call, 2)?),
        _ => return Err(Fail::arity(name)),
    };
    let key = call.key(1);
    let Some((list, entry)) = call.find_list(key)? else {
        match count {
            Some(_) => call.out.null_array(),
            None => call.out.null(),
        }
        return Ok(());
    };
    let handle = call.handle(&entry);
    let taken = count.unwrap_or(1).min(list.len());
    if count.is_some() {
        call.out.array(taken);
    }
    elements_from(call, list, end, taken);
    if taken > 0 {
        call.fx.list_pop(key, handle, end, taken);
    }
    Ok(())
}

/// Makes room for `count` elements of a list in the reply: growing a large one bit by bit costs more than writing it.
fn expect(call: &mut Call<'_>, list: &List, count: usize) {
    /// More than what stands before and behind an element, beyond what it takes in memory.
    const AROUND: usize = 8;
    if count > 1000 {
        let bytes = list.heap_bytes() as u64 * count as u64 / list.len().max(1) as u64;
        call.out.expect(bytes as usize + count * AROUND);
    }
}

/// Writes `count` elements of an end in the order in which they are popped.
fn elements_from(call: &mut Call<'_>, list: &List, end: End, count: usize) {
    expect(call, list, count);
    match end {
        End::Left => list.range(0, count).for_each(|element| call.bulk_elem(element)),
        End::Right => list.rev_range(0, count).for_each(|element| call.bulk_elem(element)),
    }
}

/// The list at argument 1, for commands that only read.
fn read<'a>(call: &mut Call<'a>) -> Result<Option<&'a List>, Fail> {
    let key = call.key(1);
    Ok(call.find_list(key)?.map(|(list, _)| list))
}

/// LLEN key
pub(crate) fn llen(call: &mut Call<'_>) -> Result<(), Fail> {
    let len = read(call)?.map_or(0, List::len);
    call.out.integer(len as i64);
    Ok(())
}

/// The place that a possibly negative index means, `None` outside of the list.
fn place(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

/// LINDEX key index
pub(crate) fn lindex(call: &mut Call<'_>) -> Result<(), Fail> {
    let Some(list) = read(call)? else {
        call.out.null();
        return Ok(());
    };
    let index = call.int(2)?;
    match place(index, list.len()).and_then(|index| list.get(index)) {
        Some(element) => call.bulk_elem(element),
        None => call.out.null(),
    }
    Ok(())
}

/// LSET key index element
pub(crate) fn lset(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let (list, entry) = call.find_list(key)?.ok_or(Fail::NO_SUCH_KEY)?;
    let index = place(call.int(2)?, list.len()).ok_or(Fail::INDEX_RANGE)?;
    let handle = call.handle(&entry);
    call.fx.list_set(key, handle, index, call.args.at(3));
    call.out.ok();
    Ok(())
}

/// LINSERT key BEFORE|AFTER pivot element
pub(crate) fn linsert(call: &mut Call<'_>) -> Result<(), Fail> {
    let after = call.is(2, "AFTER");
    if !after && !call.is(2, "BEFORE") {
        return Err(Fail::SYNTAX);
    }
    let key = call.key(1);
    let Some((list, entry)) = call.find_list(key)? else {
        call.out.integer(0);
        return Ok(());
    };
    let pivot = call.args.at(3);
    match list.iter().position(|element| element.eq_bytes(pivot)) {
        Some(at) => {
            let handle = call.handle(&entry);
            call.fx.list_insert(key, handle, at + usize::from(after), call.args.at(4));
            call.out.integer(list.len() as i64 + 1);
        }
        None => call.out.integer(-1),
    }
    Ok(())
}

/// LRANGE key start stop
pub(crate) fn lrange(call: &mut Call<'_>) -> Result<(), Fail> {
    let (start, stop) = (call.int(2)?, call.int(3)?);
    let Some(list) = read(call)? else {
        call.out.array(0);
        return Ok(());
    };
    let (start, count) = index_range(start, stop, list.len());
    call.out.array(count);
    expect(call, list, count);
    list.range(start, count).for_each(|element| call.bulk_elem(element));
    Ok(())
}

/// LTRIM key start stop
pub(crate) fn ltrim(call: &mut Call<'_>) -> Result<(), Fail> {
    let (start, stop) = (call.int(2)?, call.int(3)?);
    let key = call.key(1);
    if let Some((list, entry)) = call.find_list(key)? {
        let (start, count) = index_range(start, stop, list.len());
        if count < list.len() {
            let handle = call.handle(&entry);
            call.fx.list_trim(key, handle, start, count);
        } else {
            call.touched = Some(1);
        }
    }
    call.out.ok();
    Ok(())
}

/// LREM key count element
pub(crate) fn lrem(call: &mut Call<'_>) -> Result<(), Fail> {
    let count = call.int(2)?;
    let element = call.args.at(3);
    let key = call.key(1);
    let Some((list, entry)) = call.find_list(key)? else {
        call.out.integer(0);
        return Ok(());
    };
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let handle = call.handle(&entry);
    let mut fx = call.fx.list_remove(key, handle);
    if count < 0 {
        let last = list.len();
        let mut indexes: Vec<usize> =
            matches(list.iter_rev(), element).map(|back| last - 1 - back).take(most).collect();
        indexes.reverse();
        for index in indexes {
            fx.index(index);
        }
    } else {
        matches(list.iter(), element).take(most).for_each(|index| fx.index(index));
    }
    let removed = fx.count();
    drop(fx);
    call.out.integer(removed as i64);
    Ok(())
}

/// Places of the elements equal to `wanted`, in the order of `elements`.
fn matches<'a>(elements: impl Iterator<Item = Elem<'a>>, wanted: &[u8]) -> impl Iterator<Item = usize> {
    elements.enumerate().filter(move |(_, element)| element.eq_bytes(wanted)).map(|(index, _)| index)
}

/// How LPOS searches.
struct Search {
    from_end: bool,
    /// Matches to pass over.
    skip: usize,
    /// `None`: answer the first match alone, not as an array.
    count: Option<usize>,
    /// Elements to compare at most.
    most: usize,
}

impl Search {
    fn parse(call: &Call<'_>) -> Result<Self, Fail> {
        const RANK: Fail = Fail::text(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
             or use negative to start from the end of the list",
        );
        let mut search = Search { from_end: false, skip: 0, count: None, most: usize::MAX };
        let unlimited = |n: usize| if n == 0 { usize::MAX } else { n };
        for index in (3..call.args.len()).step_by(2) {
            if index + 1 >= call.args.len() {
                return Err(Fail::SYNTAX);
            }
            if call.is(index, "RANK") {
                let rank = call.int(index + 1)?;
                if rank == 0 {
                    return Err(RANK);
                }
                search.from_end = rank < 0;
                // The one rank that has no positive counterpart starts at the first match from the end.
                search.skip = rank.checked_abs().map_or(0, |rank| usize::try_from(rank - 1).unwrap_or(0));
            } else if call.is(index, "COUNT") {
                let fail = Fail::text("ERR COUNT can't be negative");
                search.count = Some(unlimited(int_at_least(call, index + 1, 0, fail)?));
            } else if call.is(index, "MAXLEN") {
                let fail = Fail::text("ERR MAXLEN can't be negative");
                search.most = unlimited(int_at_least(call, index + 1, 0, fail)?);
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(search)
    }

    /// Indexes of the matches, counted from the left, in the order of the search.
    fn run(&self, list: &List, wanted: &[u8]) -> Vec<usize> {
        let count = self.count.unwrap_or(1);
        if self.from_end {
            let last = list.len();
            let found = matches(list.iter_rev().take(self.most), wanted).skip(self.skip).take(count);
            found.map(|back| last - 1 - back).collect()
        } else {
            matches(list.iter().take(self.most), wanted).skip(self.skip).take(count).collect()
        }
    }
}

/// LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]
pub(crate) fn lpos(call: &mut Call<'_>) -> Result<(), Fail> {
    let search = Search::parse(call)?;
    let found = match read(call)? {
        Some(list) => search.run(list, call.args.at(2)),
        None => Vec::new(),
    };
    if search.count.is_some() {
        call.out.array(found.len());
        for index in found {
            call.out.integer(index as i64);
        }
    } else {
        match found.first() {
            Some(index) => call.out.integer(*index as i64),
            None => call.out.null(),
        }
    }
    Ok(())
}

/// LEFT or RIGHT at argument `index`.
fn end_at(call: &Call<'_>, index: usize) -> Result<End, Fail> {
    if call.is(index, "LEFT") {
        Ok(End::Left)
    } else if call.is(index, "RIGHT") {
        Ok(End::Right)
    } else {
        Err(Fail::SYNTAX)
    }
}

/// LMOVE source destination LEFT|RIGHT LEFT|RIGHT
pub(crate) fn lmove(call: &mut Call<'_>) -> Result<(), Fail> {
    let (from, to) = (end_at(call, 3)?, end_at(call, 4)?);
    if !move_element(call, from, to)? {
        call.out.null();
    }
    Ok(())
}

/// BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout
pub(crate) fn blmove(call: &mut Call<'_>) -> Result<(), Fail> {
    let (from, to) = (end_at(call, 3)?, end_at(call, 4)?);
    move_or_wait(call, from, to, 5)
}

/// BRPOPLPUSH source destination timeout
pub(crate) fn brpoplpush(call: &mut Call<'_>) -> Result<(), Fail> {
    move_or_wait(call, End::Right, End::Left, 3)
}

fn move_or_wait(call: &mut Call<'_>, from: End, to: End, timeout: usize) -> Result<(), Fail> {
    let timeout_ms = timeout_at(call, timeout)?;
    if !move_element(call, from, to)? && !call.wait(Wait::new(WaitKind::List, 1..2, timeout_ms)) {
        call.out.null();
    }
    Ok(())
}

/// RPOPLPUSH source destination
pub(crate) fn rpoplpush(call: &mut Call<'_>) -> Result<(), Fail> {
    if !move_element(call, End::Right, End::Left)? {
        call.out.null();
    }
    Ok(())
}

/// Moves an element and answers it; false when the source has none.
fn move_element(call: &mut Call<'_>, from: End, to: End) -> Result<bool, Fail> {
    let (source_key, target_key) = (call.key(1), call.key(2));
    let Some((source, source_entry)) = call.find_list(source_key)? else { return Ok(false) };
    let target = call.find_list(target_key)?;
    let element = match from {
        End::Left => source.get(0),
        End::Right => source.len().checked_sub(1).and_then(|last| source.get(last)),
    };
    let Some(element) = element else { return Ok(false) };
    // Push before pop: a list of one element that moves onto itself is never empty, so it keeps its expiry.
    let handle = call.handle_of(target.as_ref().map(|(_, entry)| entry));
    call.fx.list_push(target_key, handle, to).item(&element.to_cow());
    let handle = call.handle(&source_entry);
    call.fx.list_pop(source_key, handle, from, 1);
    call.bulk_elem(element);
    Ok(true)
}

/// BLPOP key [key ...] timeout
pub(crate) fn blpop(call: &mut Call<'_>) -> Result<(), Fail> {
    pop_or_wait(call, WaitKind::List, |call, index| pop_named(call, index, End::Left))
}

/// BRPOP key [key ...] timeout
pub(crate) fn brpop(call: &mut Call<'_>) -> Result<(), Fail> {
    pop_or_wait(call, WaitKind::List, |call, index| pop_named(call, index, End::Right))
}

/// Answers key and element; false when the list at argument `index` isn't there.
fn pop_named(call: &mut Call<'_>, index: usize, end: End) -> Result<bool, Fail> {
    let key = call.key(index);
    let Some((list, entry)) = call.find_list(key)? else { return Ok(false) };
    let handle = call.handle(&entry);
    call.out.array(2);
    call.out.bulk(key.bytes);
    elements_from(call, list, end, 1);
    call.fx.list_pop(key, handle, end, 1);
    Ok(true)
}

/// LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]
pub(crate) fn lmpop(call: &mut Call<'_>) -> Result<(), Fail> {
    let (keys, end, count) = multi_pop(call, 1)?;
    if !pop_first(call, keys, end, count)? {
        call.out.null_array();
    }
    Ok(())
}

/// BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]
pub(crate) fn blmpop(call: &mut Call<'_>) -> Result<(), Fail> {
    let (keys, end, count) = multi_pop(call, 2)?;
    let timeout_ms = timeout_at(call, 1)?;
    if !pop_first(call, keys.clone(), end, count)? && !call.wait(Wait::new(WaitKind::List, keys, timeout_ms))
    {
        call.out.null_array();
    }
    Ok(())
}

/// The keys, the end and the count of LMPOP, from the argument `numkeys` on.
fn multi_pop(call: &Call<'_>, numkeys: usize) -> Result<(Range<usize>, End, usize), Fail> {
    let keys = int_at_least(call, numkeys, 1, Fail::NUMKEYS)?;
    let option = keys.saturating_add(numkeys + 1);
    if option >= call.args.len() {
        return Err(Fail::SYNTAX);
    }
    Ok((numkeys + 1..option, end_at(call, option)?, pop_options(call, option + 1)?))
}

/// Pops from the first list that is there; false when none is.
fn pop_first(call: &mut Call<'_>, keys: Range<usize>, end: End, count: usize) -> Result<bool, Fail> {
    for index in keys {
        if call.passes_over(index) {
            continue;
        }
        let key = call.key(index);
        let Some((list, entry)) = call.find_list(key)? else { continue };
        let handle = call.handle(&entry);
        let taken = count.min(list.len());
        call.out.array(2);
        call.out.bulk(key.bytes);
        call.out.array(taken);
        elements_from(call, list, end, taken);
        call.fx.list_pop(key, handle, end, taken);
        return Ok(true);
    }
    Ok(false)
}

/// `[COUNT count]` of LMPOP and ZMPOP, from argument `index` to the end; 1 when absent.
pub(crate) fn pop_options(call: &Call<'_>, index: usize) -> Result<usize, Fail> {
    match call.args.len() - index {
        0 => Ok(1),
        2 if call.is(index, "COUNT") => {
            int_at_least(call, index + 1, 1, Fail::text("ERR count should be greater than 0"))
        }
        // Redis reads the first COUNT before it trips over what follows.
        more if more > 2 && call.is(index, "COUNT") => {
            int_at_least(call, index + 1, 1, Fail::text("ERR count should be greater than 0"))?;
            Err(Fail::SYNTAX)
        }
        _ => Err(Fail::SYNTAX),
    }
}
