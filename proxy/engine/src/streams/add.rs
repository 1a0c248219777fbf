//! XADD, XDEL, XTRIM and XSETID: what changes a stream's entries.

use std::collections::HashSet;

use proxy_store::{Stream, StreamId};

use super::ids::{self, NewId};
use super::reply_id;
use super::trim::Trim;
use crate::call::Call;
use crate::errors::Fail;

/// Bytes of names and values beyond which no entry is taken.
const MAX_ENTRY: usize = 1 << 30;

/// XADD key [NOMKSTREAM] [MAXLEN|MINID [=|~] threshold [LIMIT count]] *|id field value [field value ...]
pub(crate) fn xadd(call: &mut Call<'_>) -> Result<(), Fail> {
    const ZERO: Fail = Fail::text("ERR The ID specified in XADD must be greater than 0-0");
    const EXHAUSTED: Fail =
        Fail::text("ERR The stream has exhausted the last possible ID, unable to add more items");
    const TOO_LARGE: Fail = Fail::text("ERR Elements are too large to be stored");
    let (mut trim, mut must_exist, mut wanted) = (Trim::default(), false, None);
    let mut at = 2;
    while at < call.args.len() {
        if call.args.at(at) == b"*" {
            wanted = Some(NewId::Auto);
            break;
        }
        if let Some(next) = trim.option(call, at)? {
            at = next;
        } else if call.is(at, "NOMKSTREAM") {
            must_exist = true;
            at += 1;
        } else {
            wanted = Some(ids::new_id(call.args.at(at))?);
            break;
        }
    }
    trim.finish(call, false)?;
    let fields = at + 1;
    let count = call.args.len().saturating_sub(fields);
    let Some(wanted) = wanted.filter(|_| count >= 2 && count.is_multiple_of(2)) else {
        return Err(Fail::arity("xadd"));
    };
    if wanted == NewId::Given(StreamId::MIN) {
        return Err(ZERO);
    }
    let key = call.key(1);
    let found = call.find_stream(key)?;
    if found.is_none() && must_exist {
        call.out.null();
        return Ok(());
    }
    let stream = found.map(|(stream, _)| stream);
    let last = stream.map_or(StreamId::MIN, Stream::last_id);
    if last == StreamId::MAX {
        return Err(EXHAUSTED);
    }
    let id = choose(wanted, last, call.now_ms)?;
    let bytes = call.args.slice(fields..).iter().map(<[u8]>::len).sum();
    if bytes > MAX_ENTRY {
        return Err(TOO_LARGE);
    }
    let gone = trim.count(call, stream, Some((id, bytes)));
    let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    let args = call.args;
    let mut entry = call.fx.stream_add(key, handle, id);
    for at in (fields..args.len()).step_by(2) {
        entry.item(args.at(at), args.at(at + 1));
    }
    drop(entry);
    if gone > 0 {
        call.fx.stream_trim(key, None, gone);
    }
    reply_id(call, id);
    Ok(())
}

/// The id of a new entry behind `last`.
fn choose(wanted: NewId, last: StreamId, now_ms: i64) -> Result<StreamId, Fail> {
    const NOT_ABOVE: Fail =
        Fail::text("ERR The ID specified in XADD is equal or smaller than the target stream top item");
    let id = match wanted {
        NewId::Given(id) => Some(id),
        NewId::AutoSeq(ms) if ms == last.ms => last.seq.checked_add(1).map(|seq| StreamId { ms, seq }),
        NewId::AutoSeq(ms) => Some(StreamId { ms, seq: 0 }),
        NewId::Auto => {
            let now = StreamId { ms: u64::try_from(now_ms).unwrap_or(0), seq: 0 };
            if now.ms > last.ms { Some(now) } else { last.next() }
        }
    };
    id.filter(|id| *id > last).ok_or(NOT_ABOVE)
}

/// XTRIM key MAXLEN|MINID [=|~] threshold [LIMIT count]
pub(crate) fn xtrim(call: &mut Call<'_>) -> Result<(), Fail> {
    let mut trim = Trim::default();
    let mut at = 2;
    while at < call.args.len() {
        at = trim.option(call, at)?.ok_or(Fail::SYNTAX)?;
    }
    trim.finish(call, true)?;
    let key = call.key(1);
    let mut gone = 0;
    if let Some((stream, entry)) = call.find_stream(key)? {
        gone = trim.count(call, Some(stream), None);
        if gone > 0 {
            let handle = call.handle(&entry);
            call.fx.stream_trim(key, handle, gone);
        }
    }
    call.out.integer(gone as i64);
    Ok(())
}

/// XDEL key id [id ...]
pub(crate) fn xdel(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let Some((stream, entry)) = call.find_stream(key)? else {
        call.out.integer(0);
        return Ok(());
    };
    let ids: Vec<StreamId> = call.args.slice(2..).iter().map(ids::id).collect::<Result<_, _>>()?;
    let handle = call.handle(&entry);
    let mut seen = HashSet::new();
    let mut fx = call.fx.stream_delete(key, handle);
    ids.into_iter().filter(|id| stream.contains(*id) && seen.insert(*id)).for_each(|id| fx.item(id));
    let removed = fx.count();
    drop(fx);
    call.out.integer(removed as i64);
    Ok(())
}

/// XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]
pub(crate) fn xsetid(call: &mut Call<'_>) -> Result<(), Fail> {
    const NEGATIVE: Fail = Fail::text("ERR entries_added must be positive");
    const BELOW_GIVEN: Fail =
        Fail::text("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
    const BELOW_TOP: Fail =
        Fail::text("ERR The ID specified in XSETID is smaller than the target stream top item");
    const TOO_FEW: Fail =
        Fail::text("ERR The entries_added specified in XSETID is smaller than the target stream length");
    let id = ids::id(call.args.at(2))?;
    let (mut added, mut deleted) = (None, StreamId::MIN);
    for at in (3..call.args.len()).step_by(2) {
        let more = at + 1 < call.args.len();
        if more && call.is(at, "ENTRIESADDED") {
            added = Some(u64::try_from(call.int(at + 1)?).map_err(|_| NEGATIVE)?);
        } else if more && call.is(at, "MAXDELETEDID") {
            deleted = ids::id(call.args.at(at + 1))?;
            if id < deleted {
                return Err(BELOW_GIVEN);
            }
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    let key = call.key(1);
    let (stream, entry) = call.find_stream(key)?.ok_or(Fail::NO_SUCH_KEY)?;
    if let Some(top) = stream.range_down(StreamId::MIN, StreamId::MAX).next() {
        if id < top.id {
            return Err(BELOW_TOP);
        }
        if added.is_some_and(|added| added < stream.len()) {
            return Err(TOO_FEW);
        }
    }
    let deleted = if deleted == StreamId::MIN { stream.max_deleted() } else { deleted };
    let handle = call.handle(&entry);
    call.fx.stream_set_id(key, handle, id, deleted, added.unwrap_or(stream.entries_added()));
    call.out.ok();
    Ok(())
}
