//! XCLAIM and XAUTOCLAIM: pending entries move to another consumer. An entry that is gone from the stream is
//! forgotten on the way.

use std::collections::HashMap;

use proxy_store::types::Group;
use proxy_store::{Entry, Key, Stream, StreamId};

use super::{ids, no_key_or_group, reply_entry, reply_id};
use crate::call::Call;
use crate::errors::Fail;

/// What a command has decided, to be logged at its end.
struct Claims<'a> {
    key: Key<'a>,
    name: &'a [u8],
    consumer: &'a [u8],
    time: i64,
    /// Gone from the stream, and so from what is pending.
    forgotten: Vec<StreamId>,
    /// Claimed, with the number of deliveries.
    claimed: Vec<(StreamId, u64)>,
    /// Set when an entry was found that may be claimed; then the consumer is there, and seen.
    consumer_seen: bool,
}

impl<'a> Claims<'a> {
    /// Logs everything; `last_id`: the group moves on to it.
    fn log(self, call: &mut Call<'a>, entry: &Entry<'a>, group: &Group, last_id: Option<StreamId>) {
        let Self { key, name, consumer, time, forgotten, claimed, consumer_seen } = self;
        let handle = call.handle(entry);
        if let Some(last_id) = last_id {
            call.fx.stream_group_set(key, handle, name, last_id, group.entries_read());
        }
        let handle = call.handle(entry);
        let mut fx = call.fx.stream_ack(key, handle, name);
        forgotten.into_iter().for_each(|id| fx.item(id));
        drop(fx);
        let handle = call.handle(entry);
        if consumer_seen {
            call.fx.stream_consumer_set(key, handle, name, consumer, call.now_ms);
        }
        let mut fx = call.fx.stream_pend(key, None, name, consumer, time);
        claimed.into_iter().for_each(|(id, count)| fx.item(id, count));
    }
}

/// Stream and group of a command, and what it begins with.
fn begin<'a>(call: &mut Call<'a>) -> Result<(&'a Stream, &'a Group, Entry<'a>), Fail> {
    let (key, name) = (call.key(1), call.args.at(2));
    let found = call.find_stream(key)?;
    found
        .and_then(|(stream, entry)| Some((stream, stream.group(name)?, entry)))
        .ok_or_else(|| no_key_or_group(key.bytes, name, ""))
}

fn claims<'a>(call: &Call<'a>) -> Claims<'a> {
    Claims {
        key: call.key(1),
        name: call.args.at(2),
        consumer: call.args.at(3),
        time: call.now_ms,
        forgotten: Vec::new(),
        claimed: Vec::new(),
        consumer_seen: false,
    }
}

/// Argument 4, not below zero.
fn min_idle(call: &Call<'_>, refusal: Fail) -> Result<i64, Fail> {
    Ok(call.int(4).map_err(|_| refusal)?.max(0))
}

/// Options of XCLAIM.
#[derive(Default)]
struct Options {
    time: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

fn options(call: &Call<'_>, first: usize) -> Result<Options, Fail> {
    const IDLE: Fail = Fail::text("ERR Invalid IDLE option argument for XCLAIM");
    const TIME: Fail = Fail::text("ERR Invalid TIME option argument for XCLAIM");
    const RETRYCOUNT: Fail = Fail::text("ERR Invalid RETRYCOUNT option argument for XCLAIM");
    let mut out = Options::default();
    let mut at = first;
    while at < call.args.len() {
        let more = at + 1 < call.args.len();
        let value = || call.int(at + 1);
        let mut with_value = true;
        if call.is(at, "FORCE") {
            (out.force, with_value) = (true, false);
        } else if call.is(at, "JUSTID") {
            (out.just_id, with_value) = (true, false);
        } else if more && call.is(at, "IDLE") {
            out.time = Some(call.now_ms.wrapping_sub(value().map_err(|_| IDLE)?));
        } else if more && call.is(at, "TIME") {
            out.time = Some(value().map_err(|_| TIME)?);
        } else if more && call.is(at, "RETRYCOUNT") {
            out.deliveries = u64::try_from(value().map_err(|_| RETRYCOUNT)?).ok();
        } else if more && call.is(at, "LASTID") {
            out.last_id = ids::id(call.args.at(at + 1))?;
        } else {
            let mut text = b"ERR Unrecognized XCLAIM option '".to_vec();
            text.extend_from_slice(Fail::quotable(call.args.at(at), usize::MAX));
            text.push(b'\'');
            return Err(Fail::owned(text));
        }
        at += 1 + usize::from(with_value);
    }
    Ok(out)
}

/// XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count]
/// [FORCE] [JUSTID] [LASTID id]
pub(crate) fn xclaim(call: &mut Call<'_>) -> Result<(), Fail> {
    const MIN_IDLE: Fail = Fail::text("ERR Invalid min-idle-time argument for XCLAIM");
    let (stream, group, entry) = begin(call)?;
    let min_idle = min_idle(call, MIN_IDLE)?;
    let ids: Vec<StreamId> = call.args.slice(5..).iter().map_while(ids::maybe_id).collect();
    let options = options(call, 5 + ids.len())?;
    let now = call.now_ms;
    let mut claims = claims(call);
    claims.time = options.time.filter(|time| (0..=now).contains(time)).unwrap_or(now);
    let last_id = Some(options.last_id).filter(|id| *id > group.last_id());
    // What this very command has made of an id: when it was delivered and how often, or that it is not pending.
    let mut known: HashMap<StreamId, Option<(i64, u64)>> = HashMap::new();
    let mark = call.out.deferred_array();
    for id in ids {
        let before = group.pending_at(id).map(|pending| (pending.time, pending.count));
        let pending = known.get(&id).copied().unwrap_or(before);
        let Some(found) = stream.get(id) else {
            if pending.is_some() {
                claims.forgotten.push(id);
                known.insert(id, None);
            }
            continue;
        };
        let deliveries = match pending {
            Some((time, _)) if min_idle > 0 && now.saturating_sub(time) < min_idle => continue,
            Some((_, deliveries)) => deliveries,
            // Forced into what is pending, where an entry counts as delivered.
            None if options.force => 1,
            None => continue,
        };
        let deliveries = match options.deliveries {
            Some(given) => given,
            None if options.just_id => deliveries,
            None => deliveries.wrapping_add(1),
        };
        claims.consumer_seen = true;
        claims.claimed.push((id, deliveries));
        known.insert(id, Some((claims.time, deliveries)));
        if options.just_id {
            reply_id(call, id);
        } else {
            reply_entry(call, &found);
        }
    }
    call.out.finish_array(mark, claims.claimed.len());
    claims.log(call, &entry, group, last_id);
    Ok(())
}

/// XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]
pub(crate) fn xautoclaim(call: &mut Call<'_>) -> Result<(), Fail> {
    const MIN_IDLE: Fail = Fail::text("ERR Invalid min-idle-time argument for XAUTOCLAIM");
    const COUNT: Fail = Fail::text("ERR COUNT must be > 0");
    const MEMORY: Fail =
        Fail::text("ERR Insufficient memory, failed allocating transient memory, COUNT too high.");
    /// What Redis can count, and what it can hold: 16 bytes for each.
    const HIGHEST: i64 = i64::MAX / 16;
    const HOLDABLE: i64 = 1 << 43;
    /// Looked at for each that is wanted.
    const ATTEMPTS: usize = 10;
    let min_idle = min_idle(call, MIN_IDLE)?;
    let start = ids::range_start(call.args.at(5))?;
    let (mut most, mut just_id) = (100, false);
    let mut at = 6;
    while at < call.args.len() {
        if call.is(at, "COUNT") && at + 1 < call.args.len() {
            at += 1;
            most = call.int(at).ok().filter(|count| (1..=HIGHEST).contains(count)).ok_or(COUNT)?;
        } else if call.is(at, "JUSTID") {
            just_id = true;
        } else {
            return Err(Fail::SYNTAX);
        }
        at += 1;
    }
    let (stream, group, entry) = begin(call)?;
    if most > HOLDABLE {
        return Err(MEMORY);
    }
    let mut claims = claims(call);
    let (now, mut left) = (call.now_ms, most as usize);
    let mut pending = group.pending(start..=StreamId::MAX);
    call.out.array(3);
    let mut shown = Vec::new();
    let mut attempts = left.saturating_mul(ATTEMPTS);
    while attempts > 0 && left > 0 {
        attempts -= 1;
        let Some((id, old)) = pending.next() else { break };
        let Some(found) = stream.get(id) else {
            claims.forgotten.push(id);
            left -= 1;
            continue;
        };
        if min_idle > 0 && now.saturating_sub(old.time) < min_idle {
            continue;
        }
        claims.consumer_seen = true;
        claims.claimed.push((id, if just_id { old.count } else { old.count.wrapping_add(1) }));
        shown.push(found);
        left -= 1;
    }
    reply_id(call, pending.next().map_or(StreamId::MIN, |(id, _)| id));
    call.out.array(shown.len());
    for found in &shown {
        if just_id {
            reply_id(call, found.id);
        } else {
            reply_entry(call, found);
        }
    }
    call.out.array(claims.forgotten.len());
    claims.forgotten.iter().for_each(|id| reply_id(call, *id));
    claims.log(call, &entry, group, None);
    Ok(())
}
