//! The stream commands: entries (`add`, `range`), reading with and without a group (`read`), groups and consumers
//! (`groups`), what is pending (`pending`, `claim`), and XINFO (`info`). They log entries with their final ids, trims
//! with their final counts, and deliveries with their times.

mod add;
mod claim;
mod groups;
mod ids;
mod info;
mod pending;
mod progress;
mod range;
mod read;
mod trim;

use proxy_store::StreamId;
use proxy_store::types::{Group, StreamEntry};

use crate::call::Call;
use crate::errors::Fail;

pub(crate) use add::{xadd, xdel, xsetid, xtrim};
pub(crate) use claim::{xautoclaim, xclaim};
pub(crate) use groups::{
    xgroup, xgroup_create, xgroup_createconsumer, xgroup_delconsumer, xgroup_destroy, xgroup_help,
    xgroup_setid,
};
pub(crate) use info::{xinfo, xinfo_consumers, xinfo_groups, xinfo_help, xinfo_stream};
pub(crate) use pending::{xack, xpending};
pub(crate) use range::{xlen, xrange, xrevrange};
pub(crate) use read::{xread, xreadgroup};

/// Writes an id as a bulk string.
fn reply_id(call: &mut Call<'_>, id: StreamId) {
    let mut text = Vec::with_capacity(24);
    id.append_to(&mut text);
    call.out.bulk(&text);
}

/// Writes an entry: its id, and names and values of its fields in one row.
fn reply_entry(call: &mut Call<'_>, entry: &StreamEntry<'_>) {
    call.out.array(2);
    reply_id(call, entry.id);
    call.out.array(entry.len() * 2);
    for (name, value) in entry.fields() {
        call.bulk_elem(name);
        call.bulk_elem(value);
    }
}

/// Text, one argument, text, another argument, text: an error that quotes names as Redis does.
fn quoting(parts: [&str; 3], names: [&[u8]; 2]) -> Fail {
    let mut text = parts[0].as_bytes().to_vec();
    for (name, part) in names.into_iter().zip(&parts[1..]) {
        text.extend_from_slice(Fail::quotable(name, usize::MAX));
        text.extend_from_slice(part.as_bytes());
    }
    Fail::owned(text)
}

/// The refusal of the commands that want key and group.
fn no_key_or_group(key: &[u8], group: &[u8], behind: &str) -> Fail {
    let behind = format!("'{behind}");
    quoting(["NOGROUP No such key '", "' or consumer group '", &behind], [key, group])
}

/// The refusal of the commands that want a group of a key that exists.
fn no_group(key: &[u8], group: &[u8]) -> Fail {
    quoting(["NOGROUP No such consumer group '", "' for key name '", "'"], [group, key])
}

/// Milliseconds since `time`, as far as this clock can tell.
fn idle_ms(call: &Call<'_>, time: i64) -> i64 {
    call.now_ms.saturating_sub(time).max(0)
}

/// Whether a consumer with that name is in the group.
fn knows(group: &Group, consumer: &[u8]) -> bool {
    group.consumer(consumer).is_some()
}
