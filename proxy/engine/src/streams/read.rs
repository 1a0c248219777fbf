//! XREAD and XREADGROUP: the entries behind an id, of several streams; for a group also those that wait for the
//! consumer's acknowledgement.

use std::collections::{BTreeMap, HashMap};

use proxy_resp::{OwnedArgs, Protocol};
use proxy_store::types::Group;
use proxy_store::{Entry, Key, Stream, StreamId};

use super::progress::Counts;
use super::{ids, no_key_or_group, reply_entry, reply_id};
use crate::blocking::{Wait, WaitKind};
use crate::call::Call;
use crate::errors::Fail;

/// What a request asks for, before its streams.
struct Options<'a> {
    /// Entries of each stream.
    most: usize,
    /// How long to wait in milliseconds when there is nothing, 0 for ever; `None`: not at all.
    block: Option<i64>,
    /// Group and consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    /// Position of the first key, and the number of streams.
    first: usize,
    streams: usize,
}

/// Which entries of a stream are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// Behind an id; in a group: of those pending for the consumer.
    Behind(StreamId),
    /// Those that the group has not read: `>`.
    New,
}

fn options<'a>(call: &Call<'a>, grouped: bool) -> Result<Options<'a>, Fail> {
    const UNBALANCED: Fail = Fail::text(
        "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
    );
    const GROUP: Fail =
        Fail::text("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
    const NOACK: Fail =
        Fail::text("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
    const NO_GROUP: Fail = Fail::text("ERR Missing GROUP option for XREADGROUP");
    let mut out = Options { most: usize::MAX, block: None, group: None, no_ack: false, first: 0, streams: 0 };
    let count = call.args.len();
    let mut at = 1;
    while at < count {
        let more = count - at - 1;
        if more > 0 && call.is(at, "BLOCK") {
            at += 1;
            out.block = Some(timeout(call, at)?);
        } else if more > 0 && call.is(at, "COUNT") {
            at += 1;
            out.most = match call.int(at)? {
                ..=0 => usize::MAX,
                most => most as usize,
            };
        } else if more > 0 && call.is(at, "STREAMS") {
            if !more.is_multiple_of(2) {
                return Err(UNBALANCED);
            }
            (out.first, out.streams) = (at + 1, more / 2);
            break;
        } else if more > 1 && call.is(at, "GROUP") {
            if !grouped {
                return Err(GROUP);
            }
            out.group = Some((call.args.at(at + 1), call.args.at(at + 2)));
            at += 2;
        } else if call.is(at, "NOACK") {
            if !grouped {
                return Err(NOACK);
            }
            out.no_ack = true;
        } else {
            return Err(Fail::SYNTAX);
        }
        at += 1;
    }
    if out.first == 0 {
        return Err(Fail::SYNTAX);
    }
    if grouped && out.group.is_none() {
        return Err(NO_GROUP);
    }
    Ok(out)
}

/// The argument of BLOCK.
fn timeout(call: &Call<'_>, at: usize) -> Result<i64, Fail> {
    const NOT_INTEGER: Fail = Fail::text("ERR timeout is not an integer or out of range");
    const NEGATIVE: Fail = Fail::text("ERR timeout is negative");
    let timeout = call.int(at).map_err(|_| NOT_INTEGER)?;
    if timeout < 0 { Err(NEGATIVE) } else { Ok(timeout) }
}

/// Nothing is there for any stream: a client that gave BLOCK begins to wait; one that cannot is answered at once.
/// `args`: what later runs are asked, in place of the request.
fn nothing(call: &mut Call<'_>, options: &Options<'_>, args: Option<OwnedArgs>) {
    if let Some(timeout) = options.block {
        let keys = options.first..options.first + options.streams;
        let timeout_ms = u64::try_from(timeout).ok().filter(|timeout| *timeout > 0);
        let mut wait = Wait::new(WaitKind::Stream, keys, timeout_ms);
        wait.also_gone = options.group.is_some();
        wait.args = args;
        if call.wait(wait) {
            return;
        }
    }
    call.out.null_array();
}

/// The header of one stream's entries.
fn stream_header(call: &mut Call<'_>, key: &[u8]) {
    if call.out.proto() == Protocol::Resp2 {
        call.out.array(2);
    }
    call.out.bulk(key);
}

/// XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]
pub(crate) fn xread(call: &mut Call<'_>) -> Result<(), Fail> {
    const NEW: Fail = Fail::text(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
    );
    let options = options(call, false)?;
    let mut wanted = Vec::new();
    let mut last_ids: Vec<(usize, Vec<u8>)> = Vec::new();
    for at in options.first..options.first + options.streams {
        if call.passes_over(at) {
            continue;
        }
        let key = call.key(at);
        let stream = call.find_stream(key)?.map(|(stream, _)| stream);
        let from = match call.args.at(at + options.streams) {
            b"$" => {
                let id = stream.map_or(StreamId::MIN, Stream::last_id);
                let mut text = Vec::new();
                id.append_to(&mut text);
                last_ids.push((at + options.streams, text));
                id
            }
            b">" => return Err(NEW),
            text => ids::id(text)?,
        };
        wanted.push((key, stream, from));
    }
    let mark = call.out.deferred_map();
    let mut shown = 0;
    for (key, stream, from) in wanted {
        let (Some(stream), Some(start)) = (stream, from.next()) else { continue };
        let mut entries = stream.range(start, StreamId::MAX).take(options.most).peekable();
        // An entry that came and went at once is shown as none to who has waited for it.
        let none = entries.peek().is_none() && !call.has_waited();
        if from >= stream.last_id() || none {
            continue;
        }
        stream_header(call, key.bytes);
        let entries_mark = call.out.deferred_array();
        let mut count = 0;
        for entry in entries {
            reply_entry(call, &entry);
            count += 1;
        }
        call.out.finish_array(entries_mark, count);
        shown += 1;
    }
    match shown {
        0 => {
            // `$` stays what it is now.
            let args = (!last_ids.is_empty()).then(|| {
                let mut all: Vec<&[u8]> = call.args.iter().collect();
                for (at, text) in &last_ids {
                    if let Some(arg) = all.get_mut(*at) {
                        *arg = text;
                    }
                }
                all.iter().collect()
            });
            nothing(call, &options, args);
        }
        // An array of pairs, not a flat map.
        _ if call.out.proto() == Protocol::Resp2 => call.out.finish_array(mark, shown),
        _ => call.out.finish_map(mark, shown),
    }
    Ok(())
}

/// One stream that a group reads, and what this command has made of it so far: a key may be named twice.
struct Reading<'a> {
    stream: &'a Stream,
    group: &'a Group,
    entry: Entry<'a>,
    counts: Counts,
    last_id: StreamId,
    entries_read: i64,
    /// Something was shown; only then the consumer is there, and seen.
    showed: bool,
    /// Deliveries of entries that became pending for the consumer, or were shown to it again.
    delivered: BTreeMap<StreamId, u64>,
}

/// XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]
pub(crate) fn xreadgroup(call: &mut Call<'_>) -> Result<(), Fail> {
    const LAST: Fail = Fail::text(
        "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
    );
    const KEY_GONE: Fail = Fail::text("UNBLOCKED the stream key no longer exists");
    const GROUP_GONE: Fail =
        Fail::text("NOGROUP the consumer group this client was blocked on no longer exists");
    let options = options(call, true)?;
    let (group_name, consumer) = options.group.unwrap_or_default();
    let mut readings: HashMap<&[u8], Reading<'_>> = HashMap::with_capacity(options.streams);
    let mut wanted = Vec::with_capacity(options.streams);
    for at in options.first..options.first + options.streams {
        if call.passes_over(at) {
            continue;
        }
        let key = call.key(at);
        let served = call.has_waited();
        let found = match call.find_stream(key) {
            Ok(None) | Err(_) if served => return Err(KEY_GONE),
            found => found?,
        };
        let Some((stream, group, entry)) =
            found.and_then(|(stream, entry)| Some((stream, stream.group(group_name)?, entry)))
        else {
            if served {
                return Err(GROUP_GONE);
            }
            return Err(no_key_or_group(key.bytes, group_name, " in XREADGROUP with GROUP option"));
        };
        let from = match call.args.at(at + options.streams) {
            b"$" => return Err(LAST),
            b">" => From::New,
            text => match ids::id(text)? {
                // Redis marks `>` by this id, so that it means the same.
                StreamId::MAX => From::New,
                id => From::Behind(id),
            },
        };
        wanted.push((key, from));
        readings.entry(key.bytes).or_insert_with(|| Reading {
            stream,
            group,
            entry,
            counts: Counts::of(stream),
            last_id: group.last_id(),
            entries_read: group.entries_read(),
            showed: false,
            delivered: BTreeMap::new(),
        });
    }
    let mark = call.out.deferred_map();
    let mut shown = 0;
    for (key, from) in &wanted {
        let Some(reading) = readings.get_mut(key.bytes) else { continue };
        let showed = match from {
            From::New => show_new(call, *key, reading, &options),
            From::Behind(id) => {
                show_pending(call, *key, reading, *id, &options, consumer);
                true
            }
        };
        reading.showed |= showed;
        shown += usize::from(showed);
    }
    match shown {
        0 if call.has_waited() => {
            // Another consumer has it.
            nothing(call, &options, None);
            return Ok(());
        }
        0 => nothing(call, &options, None),
        _ if call.out.proto() == Protocol::Resp2 => call.out.finish_array(mark, shown),
        _ => call.out.finish_map(mark, shown),
    }
    // In the order of the request: every run of a command writes the same effects.
    for (key, _) in wanted {
        if let Some(reading) = readings.remove(key.bytes).filter(|reading| reading.showed) {
            log(call, key, &reading, group_name, consumer);
        }
    }
    Ok(())
}

/// Shows the entries that the group has not read; false when there are none.
fn show_new(call: &mut Call<'_>, key: Key<'_>, reading: &mut Reading<'_>, options: &Options<'_>) -> bool {
    let stream = reading.stream;
    let Some(start) = reading.last_id.next().filter(|_| reading.last_id < stream.last_id()) else {
        return false;
    };
    let mut entries = stream.range(start, StreamId::MAX).take(options.most).peekable();
    if entries.peek().is_none() && !call.has_waited() {
        return false;
    }
    stream_header(call, key.bytes);
    let mark = call.out.deferred_array();
    let mut count = 0;
    for entry in entries {
        reading.entries_read = reading.counts.after(entry.id, reading.entries_read);
        reading.last_id = entry.id;
        if !options.no_ack {
            reading.delivered.insert(entry.id, 1);
        }
        reply_entry(call, &entry);
        count += 1;
    }
    call.out.finish_array(mark, count);
    true
}

/// Shows again what is pending for the consumer behind an id.
fn show_pending(
    call: &mut Call<'_>,
    key: Key<'_>,
    reading: &mut Reading<'_>,
    behind: StreamId,
    options: &Options<'_>,
    consumer: &[u8],
) {
    let Reading { stream, group, delivered, .. } = reading;
    stream_header(call, key.bytes);
    let range = behind.next().unwrap_or(StreamId::MAX)..=StreamId::MAX;
    let old = group.consumer(consumer).into_iter().flat_map(|consumer| consumer.pending(range.clone()));
    let ids: Vec<StreamId> = if delivered.is_empty() {
        old.take(options.most).collect()
    } else {
        // What this command has delivered stands among what was pending before.
        let mut all: Vec<StreamId> = old.chain(delivered.range(range.clone()).map(|(id, _)| *id)).collect();
        all.sort_unstable();
        all.dedup();
        all.truncate(options.most);
        all
    };
    call.out.array(ids.len());
    for id in ids {
        let Some(entry) = stream.get(id) else {
            call.out.array(2);
            reply_id(call, id);
            call.out.null_array();
            continue;
        };
        let before = delivered.get(&id).copied().or_else(|| group.pending_at(id).map(|old| old.count));
        delivered.insert(id, before.unwrap_or(0).wrapping_add(1));
        reply_entry(call, &entry);
    }
}

/// Logs what became of one stream's group.
fn log(call: &mut Call<'_>, key: Key<'_>, reading: &Reading<'_>, group: &[u8], consumer: &[u8]) {
    let now = call.now_ms;
    let handle = call.handle(&reading.entry);
    let known = reading.group.consumer(consumer);
    if known.is_none_or(|known| known.seen() != now) {
        call.fx.stream_consumer_set(key, handle, group, consumer, now);
    }
    let (last_id, entries_read) = (reading.last_id, reading.entries_read);
    if last_id != reading.group.last_id() {
        let handle = call.handle(&reading.entry);
        call.fx.stream_group_set(key, handle, group, last_id, entries_read);
    }
    let handle = call.handle(&reading.entry);
    let mut fx = call.fx.stream_pend(key, handle, group, consumer, now);
    reading.delivered.iter().for_each(|(id, count)| fx.item(*id, *count));
}
