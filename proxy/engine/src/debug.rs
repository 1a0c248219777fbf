//! The few DEBUG subcommands that tests and people need.

use std::time::Duration;

use proxy_store::types::image;

use crate::call::{Call, Request};
use crate::digest::{DataDigest, value_hex};
use crate::errors::Fail;

/// DEBUG subcommand ...
pub(crate) fn debug(call: &mut Call<'_>) -> Result<(), Fail> {
    let count = call.args.len();
    if call.is(1, "HELP") && count == 2 {
        help(call);
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
    } else if call.is(1, "OBJECT") && count == 3 {
        object(call)?;
    } else {
        return Err(unknown(call.args.at(1)));
    }
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
