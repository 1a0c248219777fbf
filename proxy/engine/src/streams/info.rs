//! XINFO: what a stream, its groups and their consumers are like. Consumers have the field of Redis 7.2 that says when
//! they were last given something.

use proxy_store::types::{Consumer, Group, NEVER_ACTIVE, StreamEntry, UNKNOWN_READ};
use proxy_store::{Stream, StreamId};

use super::groups::bad_subcommand;
use super::progress::Counts;
use super::{idle_ms, no_group, reply_entry, reply_id};
use crate::call::Call;
use crate::errors::Fail;

/// The stream at argument 2, which must be there.
fn stream<'a>(call: &mut Call<'a>) -> Result<&'a Stream, Fail> {
    let key = call.key(2);
    Ok(call.find_stream(key)?.ok_or(Fail::NO_SUCH_KEY)?.0)
}

fn named_integer(call: &mut Call<'_>, name: &str, value: i64) {
    call.out.bulk(name.as_bytes());
    call.out.integer(value);
}

fn named_id(call: &mut Call<'_>, name: &str, id: StreamId) {
    call.out.bulk(name.as_bytes());
    reply_id(call, id);
}

/// XINFO STREAM key [FULL [COUNT count]]
pub(crate) fn xinfo_stream(call: &mut Call<'_>) -> Result<(), Fail> {
    /// Entries, and pending entries of each group and consumer, that FULL shows.
    const SHOWN: usize = 10;
    let count = call.args.len();
    let stream = stream(call)?;
    if count == 3 {
        call.out.map(10);
        counters(call, stream);
        named_integer(call, "groups", stream.groups().len() as i64);
        named_entry(call, "first-entry", stream.range(StreamId::MIN, StreamId::MAX).next());
        named_entry(call, "last-entry", stream.range_down(StreamId::MIN, StreamId::MAX).next());
        return Ok(());
    }
    if !call.is(3, "FULL") || !(count == 4 || count == 6 && call.is(4, "COUNT")) {
        return Err(bad_subcommand(call, "XINFO"));
    }
    let mut most = SHOWN;
    if count == 6 {
        most = match call.int(5)? {
            0 => usize::MAX,
            count => usize::try_from(count).unwrap_or(SHOWN),
        };
    }
    call.out.map(9);
    counters(call, stream);
    call.out.bulk(b"entries");
    let mark = call.out.deferred_array();
    let mut shown = 0;
    for entry in stream.range(StreamId::MIN, StreamId::MAX).take(most) {
        reply_entry(call, &entry);
        shown += 1;
    }
    call.out.finish_array(mark, shown);
    call.out.bulk(b"groups");
    call.out.array(stream.groups().len());
    let counts = Counts::of(stream);
    for (name, group) in stream.groups() {
        full_group(call, name, group, &counts, most);
    }
    Ok(())
}

fn named_entry(call: &mut Call<'_>, name: &str, entry: Option<StreamEntry<'_>>) {
    call.out.bulk(name.as_bytes());
    match entry {
        Some(entry) => reply_entry(call, &entry),
        None => call.out.null(),
    }
}

/// The seven pairs with which both forms begin.
fn counters(call: &mut Call<'_>, stream: &Stream) {
    named_integer(call, "length", stream.len() as i64);
    named_integer(call, "radix-tree-keys", stream.nodes().len() as i64);
    named_integer(call, "radix-tree-nodes", radix_nodes(stream) as i64);
    named_id(call, "last-generated-id", stream.last_id());
    named_id(call, "max-deleted-entry-id", stream.max_deleted());
    named_integer(call, "entries-added", stream.entries_added() as i64);
    named_id(call, "recorded-first-entry-id", stream.first_id());
}

/// How many nodes a radix tree over the first ids of the stream's nodes has, as Redis builds it: one for each key,
/// one wherever keys part, one for each run of bytes between those.
fn radix_nodes(stream: &Stream) -> usize {
    const KEY_BYTES: usize = 16;
    let bytes = |id: StreamId| u128::from(id.ms) << 64 | u128::from(id.seq);
    let common = |a: StreamId, b: StreamId| (bytes(a) ^ bytes(b)).leading_zeros() as usize / 8;
    let firsts: Vec<StreamId> = stream.nodes().map(|node| node.first_id()).collect();
    if firsts.is_empty() {
        return 1;
    }
    // Depths at which keys part, from the root to where the walk is; the root's own run begins at 0.
    let mut open: Vec<usize> = Vec::new();
    let mut nodes = 0;
    // The run between a parting at `above` (its byte leads the way down) and what lies at `below`.
    let run = |above: Option<usize>, below: usize| usize::from(below > above.map_or(0, |depth| depth + 1));
    for (at, id) in firsts.iter().enumerate() {
        let ahead = firsts.get(at + 1).map(|next| common(*id, *next));
        let behind = open.last().copied();
        if let Some(ahead) = ahead
            && behind.is_none_or(|depth| ahead > depth)
        {
            open.push(ahead);
        }
        nodes += 1 + run(open.last().copied(), KEY_BYTES);
        // Partings deeper than the next one are done with.
        while let Some(depth) = open.last().copied()
            && ahead.is_none_or(|ahead| ahead < depth)
        {
            open.pop();
            if let Some(ahead) = ahead
                && open.last().is_none_or(|above| *above < ahead)
            {
                open.push(ahead);
            }
            nodes += 1 + run(open.last().copied(), depth);
        }
    }
    nodes
}

/// Entries read and lag, null where nobody knows.
fn read_and_lag(call: &mut Call<'_>, group: &Group, counts: &Counts) {
    call.out.bulk(b"entries-read");
    match group.entries_read() {
        UNKNOWN_READ => call.out.null(),
        read => call.out.integer(read),
    }
    call.out.bulk(b"lag");
    match counts.lag(group.last_id(), group.entries_read()) {
        Some(lag) => call.out.integer(lag),
        None => call.out.null(),
    }
}

fn full_group(call: &mut Call<'_>, name: &[u8], group: &Group, counts: &Counts, most: usize) {
    call.out.map(7);
    call.out.bulk(b"name");
    call.out.bulk(name);
    named_id(call, "last-delivered-id", group.last_id());
    read_and_lag(call, group, counts);
    named_integer(call, "pel-count", group.pending_len() as i64);
    call.out.bulk(b"pending");
    call.out.array(group.pending_len().min(most));
    for (id, pending) in group.pending(StreamId::MIN..=StreamId::MAX).take(most) {
        call.out.array(4);
        reply_id(call, id);
        call.out.bulk(group.owner(pending).map_or(b"", Consumer::name));
        call.out.integer(pending.time);
        call.out.integer(pending.count as i64);
    }
    call.out.bulk(b"consumers");
    call.out.array(group.consumers_len());
    for consumer in group.consumers() {
        call.out.map(5);
        call.out.bulk(b"name");
        call.out.bulk(consumer.name());
        named_integer(call, "seen-time", consumer.seen());
        named_integer(call, "active-time", consumer.active());
        named_integer(call, "pel-count", consumer.pending_len() as i64);
        call.out.bulk(b"pending");
        call.out.array(consumer.pending_len().min(most));
        for id in consumer.pending(StreamId::MIN..=StreamId::MAX).take(most) {
            let (time, count) = group.pending_at(id).map_or((0, 0), |pending| (pending.time, pending.count));
            call.out.array(3);
            reply_id(call, id);
            call.out.integer(time);
            call.out.integer(count as i64);
        }
    }
}

/// XINFO GROUPS key
pub(crate) fn xinfo_groups(call: &mut Call<'_>) -> Result<(), Fail> {
    let stream = stream(call)?;
    let counts = Counts::of(stream);
    call.out.array(stream.groups().len());
    for (name, group) in stream.groups() {
        call.out.map(6);
        call.out.bulk(b"name");
        call.out.bulk(name);
        named_integer(call, "consumers", group.consumers_len() as i64);
        named_integer(call, "pending", group.pending_len() as i64);
        named_id(call, "last-delivered-id", group.last_id());
        read_and_lag(call, group, &counts);
    }
    Ok(())
}

/// XINFO CONSUMERS key group
pub(crate) fn xinfo_consumers(call: &mut Call<'_>) -> Result<(), Fail> {
    let stream = stream(call)?;
    let (key, name) = (call.key(2), call.args.at(3));
    let group = stream.group(name).ok_or_else(|| no_group(key.bytes, name))?;
    call.out.array(group.consumers_len());
    for consumer in group.consumers() {
        call.out.map(4);
        call.out.bulk(b"name");
        call.out.bulk(consumer.name());
        named_integer(call, "pending", consumer.pending_len() as i64);
        let idle = idle_ms(call, consumer.seen());
        named_integer(call, "idle", idle);
        let active = consumer.active();
        let inactive = if active == NEVER_ACTIVE { NEVER_ACTIVE } else { idle_ms(call, active) };
        named_integer(call, "inactive", inactive);
    }
    Ok(())
}

/// XINFO HELP
pub(crate) fn xinfo_help(call: &mut Call<'_>) -> Result<(), Fail> {
    const LINES: &[&str] = &[
        "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CONSUMERS <key> <group>",
        "    Show the consumers of a group.",
        "GROUPS <key>",
        "    Show the groups of a stream.",
        "STREAM <key> [FULL [COUNT <count>]]",
        "    Show what a stream is like; FULL with entries, groups and what is pending.",
        "HELP",
        "    Print this help.",
    ];
    call.out.array(LINES.len());
    LINES.iter().for_each(|line| call.out.simple(line));
    Ok(())
}

/// XINFO without a subcommand never gets here: its row wants two arguments.
pub(crate) fn xinfo(_call: &mut Call<'_>) -> Result<(), Fail> {
    Err(Fail::SYNTAX)
}

#[cfg(test)]
mod tests {
    //! When a consumer was active: whenever it was given something to acknowledge, and not when it looked at what it has; COPY
    //! keeps it, and so does a replica.

    use crate::testing::TestDb;

    /// "idle inactive" of the only consumer.
    fn times(db: &mut TestDb, key: &str) -> String {
        let info = db.line(&format!("XINFO CONSUMERS {key} g"));
        let at = |name: &str| {
            let from = info.find(&format!("{name} :")).map_or(0, |found| found + name.len() + 2);
            info[from..].split([' ', ']']).next().unwrap_or_default().to_owned()
        };
        format!("{} {}", at("idle"), at("inactive"))
    }

    #[test]
    fn consumers_are_active_when_they_are_given_something() {
        let mut db = TestDb::new();
        db.line("XADD s 1-1 f v");
        db.line("XGROUP CREATE s g 0");
        db.line("XGROUP CREATECONSUMER s g c");
        let made = db.line("XINFO CONSUMERS s g");
        assert!(made.contains("inactive") && made.contains(":-1"), "{made}");
        db.now_ms += 10;
        db.line("XREADGROUP GROUP g c STREAMS s >");
        db.now_ms += 100;
        assert_eq!(times(&mut db, "s"), "100 100");
        db.line("XREADGROUP GROUP g c STREAMS s 0");
        db.now_ms += 5;
        assert_eq!(times(&mut db, "s"), "5 105");
        db.line("XACK s g 1-1");
        db.line("COPY s t");
        assert_eq!(times(&mut db, "t"), "5 105");
        db.check();
    }
}
