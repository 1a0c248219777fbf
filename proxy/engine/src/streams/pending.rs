//! XACK and XPENDING: what was delivered and not yet acknowledged.

use std::collections::HashSet;

use proxy_store::StreamId;
use proxy_store::types::{Group, Pending};

use super::{idle_ms, ids, no_key_or_group, reply_id};
use crate::call::Call;
use crate::errors::Fail;

/// XACK key group id [id ...]
pub(crate) fn xack(call: &mut Call<'_>) -> Result<(), Fail> {
    let (key, name) = (call.key(1), call.args.at(2));
    let found = call.find_stream(key)?;
    let Some((group, entry)) = found.and_then(|(stream, entry)| Some((stream.group(name)?, entry))) else {
        call.out.integer(0);
        return Ok(());
    };
    let ids: Vec<StreamId> = call.args.slice(3..).iter().map(ids::id).collect::<Result<_, _>>()?;
    let handle = call.handle(&entry);
    let mut seen = HashSet::new();
    let mut fx = call.fx.stream_ack(key, handle, name);
    ids.into_iter()
        .filter(|id| group.pending_at(*id).is_some() && seen.insert(*id))
        .for_each(|id| fx.item(id));
    let count = fx.count();
    drop(fx);
    call.out.integer(count as i64);
    Ok(())
}

/// What XPENDING's longer form asks for.
struct Wanted<'a> {
    min_idle: i64,
    start: StreamId,
    end: StreamId,
    most: usize,
    consumer: Option<&'a [u8]>,
}

/// XPENDING key group [[IDLE min-idle-time] start end count [consumer]]
pub(crate) fn xpending(call: &mut Call<'_>) -> Result<(), Fail> {
    let args = call.args;
    let wanted = if args.len() == 3 {
        None
    } else if (6..=9).contains(&args.len()) {
        let (mut at, mut min_idle) = (3, 0);
        if call.is(3, "IDLE") {
            min_idle = call.int(4)?;
            if args.len() < 8 {
                return Err(Fail::SYNTAX);
            }
            at = 5;
        }
        let most = usize::try_from(call.int(at + 2)?).unwrap_or(0);
        let (start, end) = (ids::range_start(args.at(at))?, ids::range_end(args.at(at + 1))?);
        Some(Wanted { min_idle, start, end, most, consumer: args.get(at + 3) })
    } else {
        return Err(Fail::SYNTAX);
    };
    let (key, name) = (call.key(1), args.at(2));
    let found = call.find_stream(key)?;
    let group = found.and_then(|(stream, _)| stream.group(name));
    let group = group.ok_or_else(|| no_key_or_group(key.bytes, name, ""))?;
    match wanted {
        None => summary(call, group),
        Some(wanted) => list(call, group, &wanted),
    }
    Ok(())
}

fn summary(call: &mut Call<'_>, group: &Group) {
    call.out.array(4);
    call.out.integer(group.pending_len() as i64);
    let mut all = group.pending(StreamId::MIN..=StreamId::MAX);
    let (first, last) = (all.next(), all.next_back());
    let Some((first, _)) = first else {
        call.out.null();
        call.out.null();
        call.out.null_array();
        return;
    };
    reply_id(call, first);
    reply_id(call, last.map_or(first, |(last, _)| last));
    let mark = call.out.deferred_array();
    let mut count = 0;
    for consumer in group.consumers().filter(|consumer| consumer.pending_len() > 0) {
        call.out.array(2);
        call.out.bulk(consumer.name());
        call.out.bulk_int(consumer.pending_len() as i64);
        count += 1;
    }
    call.out.finish_array(mark, count);
}

fn list(call: &mut Call<'_>, group: &Group, wanted: &Wanted<'_>) {
    let range = wanted.start..=wanted.end;
    let long_enough = |now: i64, pending: &Pending| {
        wanted.min_idle == 0 || now.saturating_sub(pending.time) >= wanted.min_idle
    };
    let now = call.now_ms;
    let mark = call.out.deferred_array();
    let mut count = 0;
    let mut show = |(id, pending): (StreamId, &Pending)| {
        let owner = group.owner(pending).map_or(&b""[..], |consumer| consumer.name());
        call.out.array(4);
        reply_id(call, id);
        call.out.bulk(owner);
        call.out.integer(idle_ms(call, pending.time));
        call.out.integer(pending.count as i64);
        count += 1;
    };
    match wanted.consumer {
        None => group
            .pending(range)
            .filter(|(_, pending)| long_enough(now, pending))
            .take(wanted.most)
            .for_each(&mut show),
        Some(name) => group
            .consumer(name)
            .into_iter()
            .flat_map(|consumer| consumer.pending(range.clone()))
            .filter_map(|id| Some((id, group.pending_at(id)?)))
            .filter(|(_, pending)| long_enough(now, pending))
            .take(wanted.most)
            .for_each(&mut show),
    }
    call.out.finish_array(mark, count);
}
