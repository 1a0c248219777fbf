//! When two replies to one request count as equal, and a run of many requests against two targets.
//!
//! Equal means the same bytes, but for what no server promises: the order of members and keys, what is
//! drawn at random, and the few milliseconds that pass between the two servers.

use std::io;

use crate::families::collections::Command;
use crate::frame::Frame;
use crate::target::Target;

/// How far two clocks may be apart, in the unit of the reply.
const CLOCK_SLACK: i64 = 2000;

/// A request as people read it.
pub fn show(command: &Command) -> String {
    command.iter().map(|arg| format!("\"{}\"", arg.escape_ascii())).collect::<Vec<_>>().join(" ")
}

/// A request's name in capitals.
pub fn name(command: &Command) -> String {
    command.first().map(|name| String::from_utf8_lossy(name).to_ascii_uppercase()).unwrap_or_default()
}

/// Whether two replies to `command` are equal.
pub fn agree(command: &Command, a: &Frame, b: &Frame) -> bool {
    if a == b {
        return true;
    }
    let name = name(command);
    if name.starts_with('Z') {
        let (a, b) = (a.unsigned(), b.unsigned());
        a == b || unequal_bytes_agree(command, &name, &a, &b)
    } else {
        unequal_bytes_agree(command, &name, a, b)
    }
}

fn unequal_bytes_agree(command: &Command, name: &str, a: &Frame, b: &Frame) -> bool {
    match name {
        "SRANDMEMBER" | "HRANDFIELD" | "ZRANDMEMBER" | "RANDOMKEY" => a.shape() == b.shape(),
        "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" | "HKEYS" | "HVALS" | "KEYS" | "SPOP" => {
            a.sorted(false) == b.sorted(false)
        }
        "SORT" | "SORT_RO" if is_unordered_sort(command) => a.sorted(false) == b.sorted(false),
        // Tables and LZF leave a choice; the round trips of tests/values.rs look inside.
        "DUMP" => a.shape() == b.shape(),
        "HGETALL" | "CONFIG" => a.sorted(true) == b.sorted(true),
        "SSCAN" | "SCAN" => scans_agree(a, b, false),
        "HSCAN" | "ZSCAN" => scans_agree(a, b, true),
        "OBJECT" => string_forms_agree(a, b) || sorted_set_was_sorted(a, b),
        "MEMORY" => usage_agrees(a, b),
        "HELLO" => greetings_agree(a, b),
        "TIME" => a.shape() == b.shape(),
        // Times of deliveries and of consumers, and how long ago they were.
        "XINFO" => nearly(a, &without_newer_fields(b)),
        "XPENDING" => nearly(a, b),
        "CLIENT" | "COMMAND" => {
            is_number_of_its_own(command) && a.integer().is_some() == b.integer().is_some()
        }
        "TTL" | "PTTL" | "EXPIRETIME" | "PEXPIRETIME" => times_agree(a, b),
        _ => false,
    }
}

/// BY may leave the order open: a set's own with "nosort", that of equal texts with ALPHA.
fn is_unordered_sort(command: &Command) -> bool {
    command.iter().any(|arg| arg.eq_ignore_ascii_case(b"BY"))
}

/// CLIENT ID, and COMMAND COUNT: the number of commands that there are.
fn is_number_of_its_own(command: &Command) -> bool {
    command.get(1).is_some_and(|sub| sub.eq_ignore_ascii_case(b"ID") || sub.eq_ignore_ascii_case(b"COUNT"))
}

/// The same fields with the same values, but for the connection's number.
fn greetings_agree(a: &Frame, b: &Frame) -> bool {
    let without_id = |frame: &Frame| -> Vec<Frame> {
        let pairs = frame.parts().chunks(2).filter(|pair| pair[0].text() != "id");
        pairs.flat_map(|pair| pair.iter().cloned()).collect()
    };
    a.parts().len() == b.parts().len() && without_id(a) == without_id(b)
}

/// The same cursor and the same elements in any order.
fn scans_agree(a: &Frame, b: &Frame, paired: bool) -> bool {
    match (a.parts(), b.parts()) {
        ([cursor_a, a], [cursor_b, b]) => cursor_a == cursor_b && a.sorted(paired) == b.sorted(paired),
        _ => false,
    }
}

/// Which inner form a string has depends in Redis on the command that wrote it last (APPEND leaves a raw
/// string even of digits); ours depends on the value alone. Reference counts follow the form.
fn string_forms_agree(a: &Frame, b: &Frame) -> bool {
    let is_form = |frame: &Frame| matches!(frame.text().as_str(), "int" | "embstr" | "raw");
    is_form(a) && is_form(b) || a.integer().is_some() && b.integer().is_some()
}

/// SORT makes a sorted set a skiplist in Redis for good, whatever its size; ours stays as it is. (That sorted sets turn into
/// skiplists when they should is shown by tests/encodings.rs.)
fn sorted_set_was_sorted(expected: &Frame, got: &Frame) -> bool {
    expected.text() == "skiplist" && got.text() == "listpack"
}

/// Each counts what its own structures take: ours never much more than Redis's, and no less than what is kept.
fn usage_agrees(expected: &Frame, tested: &Frame) -> bool {
    let sizes = expected.integer().zip(tested.integer());
    sizes.is_some_and(|(expected, tested)| tested <= expected + expected / 2 + 64 && expected <= 8 * tested)
}

/// XINFO as Redis 7.0 has it: without the fields that 7.2 adds to consumers.
pub fn without_newer_fields(frame: &Frame) -> Frame {
    let Frame::Many(tag, parts) = frame else { return frame.clone() };
    let is_newer = |part: &Frame| matches!(part.text().as_str(), "active-time" | "inactive");
    let mut kept = Vec::with_capacity(parts.len());
    let mut rest = parts.iter();
    while let Some(part) = rest.next() {
        if parts.len().is_multiple_of(2) && kept.len() % 2 == 0 && is_newer(part) {
            rest.next();
        } else {
            kept.push(without_newer_fields(part));
        }
    }
    Frame::Many(*tag, kept)
}

/// The same but for what the clocks make of it: unix times, and how long ago something was (behind the word "idle",
/// and in the third place of XPENDING's rows).
fn nearly(a: &Frame, b: &Frame) -> bool {
    const LONG_AGO: i64 = 1_000_000_000_000;
    let (Frame::Many(tag_a, parts_a), Frame::Many(tag_b, parts_b)) = (a, b) else {
        let unix = |frame: &Frame| frame.integer().is_some_and(|value| value > LONG_AGO);
        return a == b || unix(a) && unix(b) && times_agree(a, b);
    };
    let idle = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| parts_a.get(at));
        before.is_some_and(|name| name.text() == "idle")
            || at == 2 && parts_a.len() == 4 && matches!(parts_a.first(), Some(Frame::Bulk(_)))
    };
    let mut pairs = parts_a.iter().zip(parts_b).enumerate();
    tag_a == tag_b
        && parts_a.len() == parts_b.len()
        && pairs.all(|(at, (a, b))| nearly(a, b) || idle(at) && times_agree(a, b))
}

/// Both are times (or both are the same -1 or -2) and near each other.
fn times_agree(a: &Frame, b: &Frame) -> bool {
    match (a.integer(), b.integer()) {
        (Some(a), Some(b)) => a >= 0 && b >= 0 && (a - b).abs() <= CLOCK_SLACK,
        _ => false,
    }
}

/// A request that was answered differently, with both answers.
pub struct Difference {
    pub number: usize,
    pub command: Command,
    pub expected: Frame,
    pub got: Frame,
}

impl std::fmt::Debug for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, command, expected, got } = self;
        write!(f, "#{number} {}\n  expected {expected:?}\n  got      {got:?}", show(command))
    }
}

/// Sends `count` requests to both and returns where they differ, `max` differences at most.
///
/// SPOP draws at random: the tested side draws, and the oracle is made to remove the same members.
pub fn compare(
    oracle: &mut dyn Target,
    tested: &mut dyn Target,
    mut next: impl FnMut() -> Command,
    count: usize,
    max: usize,
) -> io::Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for number in 0..count {
        let command = next();
        let got = tested.run(&command)?;
        let mirror = mirrored(&command, &got);
        let expected = oracle.run(&mirror)?;
        let same = if mirror == command {
            agree(&command, &expected, &got)
        } else {
            removed_all(&mirror, &expected)
        };
        if !same {
            differences.push(Difference { number, command, expected, got });
            if differences.len() >= max {
                break;
            }
        }
    }
    Ok(differences)
}

/// What the oracle gets in place of an SPOP that was answered with `reply`: the removal of what was drawn.
pub fn mirrored(command: &Command, reply: &Frame) -> Command {
    let drawn = if name(command) == "SPOP" { drawn_members(reply) } else { Vec::new() };
    match command.get(1) {
        Some(key) if !drawn.is_empty() => [vec![b"SREM".to_vec(), key.clone()], drawn].concat(),
        _ => command.clone(),
    }
}

/// Whether the oracle had everything that such a removal names.
pub fn removed_all(removal: &Command, reply: &Frame) -> bool {
    reply.integer() == Some(removal.len() as i64 - 2)
}

fn drawn_members(reply: &Frame) -> Vec<Vec<u8>> {
    let bulk = |frame: &Frame| match frame {
        Frame::Bulk(bytes) => Some(bytes.clone()),
        _ => None,
    };
    match reply {
        Frame::Many(_, parts) => parts.iter().filter_map(bulk).collect(),
        one => bulk(one).into_iter().collect(),
    }
}
