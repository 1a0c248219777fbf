//! The few DEBUG subcommands that tests and people need.

use std::time::Duration;

use proxy_store::types::image;

use crate::call::{Call, Request};
use crate::digest::{DataDigest, value_hex};
use crate::errors::Fail;
use crate::glob::glob_match;

/// DEBUG subcommand ...
pub(crate) fn debug(call: &mut Call<'_>) -> Result<(), Fail> {
    let count = call.args.len();
    if call.is(1, "HELP") && count == 2 {
        help(call);
    } else if call.is(1, "ERROR") && count == 3 {
        call.out.error_bytes(call.args.at(2));
    } else if call.is(1, "SLEEP") && count == 3 {
        sleep(call);
    } else if call.is(1, "SET-ACTIVE-EXPIRE") && count == 3 {
        call.request = Some(Request::ActiveExpire(proxy_resp::parse_i64(call.args.at(2)).unwrap_or(0) != 0));
        call.out.ok();
    } else if call.is(1, "DIGEST") && count == 2 {
        call.raise_gate_to_tail();
        let now = call.now_ms;
        let digest = DataDigest::of(call.ks, |entry| entry.expire_at().is_some_and(|at| at < now));
        call.out.simple(&digest.hex());
    } else if call.is(1, "DIGEST-VALUE") && count >= 2 {
        call.out.array(count - 2);
        for at in 2..count {
            let entry = call.peek(call.key(at));
            call.out.simple(&value_hex(entry.as_ref()));
        }
    } else if call.is(1, "QUICKLIST-PACKED-THRESHOLD") && count == 3 {
        packed_threshold(call)?;
    } else if call.is(1, "STRINGMATCH-LEN") && count == 4 {
        let (length, pattern) = (proxy_resp::parse_i64(call.args.at(2)), call.args.at(3));
        let length = length.filter(|n| (0..=1 << 20).contains(n)).ok_or(Fail::NOT_INTEGER)?;
        call.out.integer(i64::from(glob_match(pattern, &vec![b'x'; length as usize])));
    } else if call.is(1, "OBJECT") && count == 3 {
        object(call)?;
    } else {
        return Err(unknown(call.args.at(1)));
    }
    Ok(())
}

/// DEBUG QUICKLIST-PACKED-THRESHOLD size: lists keep elements of any size in their chunks by `list-max-listpack-size`
/// alone, so no size makes a difference; one that Redis refuses is refused.
fn packed_threshold(call: &mut Call<'_>) -> Result<(), Fail> {
    const WRONG: Fail = Fail::text("ERR argument must be a memory value bigger than 1 and smaller than 4gb");
    let text = call.args.at(2);
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let number = proxy_resp::parse_i64(&text[..digits]).ok_or(WRONG)?;
    let factor: i64 = match text[digits..].to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return Err(WRONG),
    };
    if !number.checked_mul(factor).is_some_and(|bytes| (0..=4 << 30).contains(&bytes)) {
        return Err(WRONG);
    }
    call.out.ok();
    Ok(())
}

fn unknown(name: &[u8]) -> Fail {
    let mut text = b"ERR unknown subcommand or wrong number of arguments for '".to_vec();
    text.extend_from_slice(Fail::quotable(name, 128));
    text.extend_from_slice(b"'. Try DEBUG HELP.");
    Fail::owned(text)
}

/// DEBUG SLEEP seconds: the shard sleeps, not we. A text that is no number counts as 0.
fn sleep(call: &mut Call<'_>) {
    const LONGEST_SECONDS: f64 = 3600.0;
    let seconds = crate::parse_double(call.args.at(2)).unwrap_or(0.0).clamp(0.0, LONGEST_SECONDS);
    call.request = Some(Request::Sleep(Duration::from_secs_f64(seconds)));
    call.out.ok();
}

/// DEBUG OBJECT key: the encoding and the size of the value as the log would carry it.
fn object(call: &mut Call<'_>) -> Result<(), Fail> {
    let entry = call.peek(call.key(2)).ok_or(Fail::NO_SUCH_KEY)?;
    let mut bytes = Vec::new();
    image::encode(entry.value(), &mut bytes);
    let (encoding, len) = (entry.encoding(), bytes.len());
    let (lru, idle) = (entry.access(), call.ks.idle_seconds(&entry));
    call.out.simple(&format!(
        "Value at:0x0 refcount:1 encoding:{encoding} serializedlength:{len} lru:{lru} lru_seconds_idle:{idle}"
    ));
    Ok(())
}

fn help(call: &mut Call<'_>) {
    const LINES: &[&str] = &[
        "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CHANGE-REPL-ID",
        "    Give the history of the data another name.",
        "ERROR <text>",
        "    Answer an error.",
        "LOADAOF",
        "    Drop all memory and restore it from snapshots and log.",
        "LOG <text>",
        "    Write a line to the server's log.",
        "PROTOCOL <string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false>",
        "    Answer something of that type.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Accepted; chunks of lists know no such size.",
        "RELOAD [NOSAVE]",
        "    Take a snapshot, then do what LOADAOF does.",
        "STRINGMATCH-LEN <length> <pattern>",
        "    Match a text of so many letters x against a pattern.",
        "DIGEST",
        "    Print the digest of the data set, the same as redis-server's for the same data.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Print the digests of single values.",
        "OBJECT <key>",
        "    Show the inner form of a value and its size.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Stop or resume the deletion of expired keys in the background.",
        "SLEEP <seconds>",
        "    Hold the shard.",
        "HELP",
        "    Print this help.",
    ];
    call.out.array(LINES.len());
    LINES.iter().for_each(|line| call.out.simple(line));
}
