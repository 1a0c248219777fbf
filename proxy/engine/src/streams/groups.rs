//! XGROUP: groups are created, moved and destroyed, and so are their consumers.

use proxy_store::types::UNKNOWN_READ;
use proxy_store::{Entry, Stream, StreamId};

use super::{ids, knows, no_group};
use crate::call::Call;
use crate::errors::Fail;

const NO_KEY: Fail = Fail::text(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
);

/// The refusal of options that a subcommand does not have.
pub(super) fn bad_subcommand(call: &Call<'_>, container: &str) -> Fail {
    let mut text = b"ERR unknown subcommand or wrong number of arguments for '".to_vec();
    text.extend_from_slice(Fail::quotable(call.args.at(1), 128));
    text.extend_from_slice(format!("'. Try {container} HELP.").as_bytes());
    Fail::owned(text)
}

/// Options of CREATE and SETID, from argument 5 on.
struct Options {
    make_stream: bool,
    entries_read: i64,
}

fn options(call: &Call<'_>, create: bool) -> Result<Options, Fail> {
    const RANGE: Fail = Fail::text("ERR value for ENTRIESREAD must be positive or -1");
    let mut out = Options { make_stream: false, entries_read: UNKNOWN_READ };
    let mut at = 5;
    while at < call.args.len() {
        if create && call.is(at, "MKSTREAM") {
            out.make_stream = true;
            at += 1;
        } else if call.is(at, "ENTRIESREAD") && at + 1 < call.args.len() {
            out.entries_read = call.int(at + 1)?;
            if out.entries_read < UNKNOWN_READ {
                return Err(RANGE);
            }
            at += 2;
        } else {
            return Err(bad_subcommand(call, "XGROUP"));
        }
    }
    Ok(out)
}

/// Argument 4, read by `read`, as the id up to which a group has read; `$` is the stream's last.
fn group_id(
    call: &Call<'_>,
    stream: Option<&Stream>,
    read: fn(&[u8]) -> Result<StreamId, Fail>,
) -> Result<StreamId, Fail> {
    match call.args.at(4) {
        b"$" => Ok(stream.map_or(StreamId::MIN, Stream::last_id)),
        text => read(text),
    }
}

/// XGROUP CREATE key group id|$ [MKSTREAM] [ENTRIESREAD entries-read]
pub(crate) fn xgroup_create(call: &mut Call<'_>) -> Result<(), Fail> {
    const TAKEN: Fail = Fail::text("BUSYGROUP Consumer Group name already exists");
    let Options { make_stream, entries_read } = options(call, true)?;
    let key = call.key(2);
    let found = call.find_stream(key)?;
    if found.is_none() && !make_stream {
        return Err(NO_KEY);
    }
    let stream = found.map(|(stream, _)| stream);
    let id = group_id(call, stream, ids::id)?;
    let name = call.args.at(3);
    if stream.is_some_and(|stream| stream.group(name).is_some()) {
        return Err(TAKEN);
    }
    let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    call.fx.stream_group_set(key, handle, name, id, entries_read);
    call.out.ok();
    Ok(())
}

/// The stream at argument 2, which must be there.
fn stream<'a>(call: &mut Call<'a>) -> Result<(&'a Stream, Entry<'a>), Fail> {
    let key = call.key(2);
    call.find_stream(key)?.ok_or(NO_KEY)
}

/// XGROUP SETID key group id|$ [ENTRIESREAD entries-read]
pub(crate) fn xgroup_setid(call: &mut Call<'_>) -> Result<(), Fail> {
    let entries_read = options(call, false)?.entries_read;
    let (stream, entry) = stream(call)?;
    let (key, name) = (call.key(2), call.args.at(3));
    if stream.group(name).is_none() {
        return Err(no_group(key.bytes, name));
    }
    let id = group_id(call, Some(stream), ids::loose_id)?;
    let handle = call.handle(&entry);
    call.fx.stream_group_set(key, handle, name, id, entries_read);
    call.out.ok();
    Ok(())
}

/// XGROUP DESTROY key group
pub(crate) fn xgroup_destroy(call: &mut Call<'_>) -> Result<(), Fail> {
    let (stream, entry) = stream(call)?;
    let (key, name) = (call.key(2), call.args.at(3));
    let exists = stream.group(name).is_some();
    if exists {
        let handle = call.handle(&entry);
        call.fx.stream_group_destroy(key, handle, name);
    }
    call.out.integer(i64::from(exists));
    Ok(())
}

/// XGROUP CREATECONSUMER key group consumer
pub(crate) fn xgroup_createconsumer(call: &mut Call<'_>) -> Result<(), Fail> {
    let (stream, entry) = stream(call)?;
    let (key, name, consumer) = (call.key(2), call.args.at(3), call.args.at(4));
    let group = stream.group(name).ok_or_else(|| no_group(key.bytes, name))?;
    let new = !knows(group, consumer);
    if new {
        let handle = call.handle(&entry);
        call.fx.stream_consumer_set(key, handle, name, consumer, call.now_ms);
    }
    call.out.integer(i64::from(new));
    Ok(())
}

/// XGROUP DELCONSUMER key group consumer
pub(crate) fn xgroup_delconsumer(call: &mut Call<'_>) -> Result<(), Fail> {
    let (stream, entry) = stream(call)?;
    let (key, name, consumer) = (call.key(2), call.args.at(3), call.args.at(4));
    let group = stream.group(name).ok_or_else(|| no_group(key.bytes, name))?;
    let mut pending = 0;
    if let Some(known) = group.consumer(consumer) {
        pending = known.pending_len();
        let handle = call.handle(&entry);
        call.fx.stream_consumer_delete(key, handle, name, consumer);
    }
    call.out.integer(pending as i64);
    Ok(())
}

/// XGROUP HELP
pub(crate) fn xgroup_help(call: &mut Call<'_>) -> Result<(), Fail> {
    const LINES: &[&str] = &[
        "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <entries-read>]",
        "    Create a group that has read up to an id; MKSTREAM creates the stream, too.",
        "CREATECONSUMER <key> <group> <consumer>",
        "    Create a consumer.",
        "DELCONSUMER <key> <group> <consumer>",
        "    Remove a consumer with what is pending for it.",
        "DESTROY <key> <group>",
        "    Remove a group.",
        "SETID <key> <group> <id|$> [ENTRIESREAD <entries-read>]",
        "    Set up to which id a group has read.",
        "HELP",
        "    Print this help.",
    ];
    call.out.array(LINES.len());
    LINES.iter().for_each(|line| call.out.simple(line));
    Ok(())
}

/// XGROUP without a subcommand never gets here: its row wants two arguments.
pub(crate) fn xgroup(_call: &mut Call<'_>) -> Result<(), Fail> {
    Err(Fail::SYNTAX)
}
