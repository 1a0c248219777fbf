//! SCAN, and the cursor and options that HSCAN, SSCAN and ZSCAN share with it.

use proxy_store::{Elem, IntBuf};

use crate::call::Call;
use crate::errors::Fail;
use crate::glob::glob_match;

/// What a step of a scan was asked for.
pub struct ScanOptions<'a> {
    pub count: usize,
    /// `None` lets everything through.
    pub pattern: Option<&'a [u8]>,
    /// The type that SCAN is to show; never set for the scans of one key.
    pub kind: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    /// Reads `MATCH`, `COUNT` and (when `whole_database`) `TYPE` from argument `first` on.
    pub fn parse(call: &Call<'a>, first: usize, whole_database: bool) -> Result<Self, Fail> {
        let mut out = Self { count: 10, pattern: None, kind: None };
        for at in (first..call.args.len()).step_by(2) {
            let value = call.args.get(at + 1).ok_or(Fail::SYNTAX)?;
            if call.is(at, "COUNT") {
                out.count = match call.int(at + 1)? {
                    ..1 => return Err(Fail::SYNTAX),
                    count => count as usize,
                };
            } else if call.is(at, "MATCH") {
                out.pattern = (value != b"*").then_some(value);
            } else if whole_database && call.is(at, "TYPE") {
                out.kind = Some(value);
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(out)
    }

    /// Whether a name may be shown.
    #[inline]
    pub fn lets_through(&self, name: Elem<'_>) -> bool {
        self.pattern.is_none_or(|pattern| glob_match(pattern, name.as_bytes(&mut IntBuf::new())))
    }
}

/// A cursor as C's `strtoul` reads it: a sign is taken, an empty text is 0, no leading space.
pub fn parse_cursor(text: &[u8]) -> Result<u64, Fail> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() && !text.is_empty() {
        return Err(Fail::INVALID_CURSOR);
    }
    let value = digits.iter().try_fold(0u64, |n, d| {
        let digit = d.is_ascii_digit().then(|| u64::from(d - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    });
    let value = value.ok_or(Fail::INVALID_CURSOR)?;
    Ok(if negative { value.wrapping_neg() } else { value })
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
pub(crate) fn scan(call: &mut Call<'_>) -> Result<(), Fail> {
    let cursor = parse_cursor(call.args.at(1))?;
    let options = ScanOptions::parse(call, 2, true)?;
    call.raise_gate_to_tail();
    let ks = call.ks;
    let now = call.now_ms;
    // The next cursor is known only after the keys; they are few enough to be pointed at.
    let mut keys = Vec::new();
    let next = ks.scan(call.db, cursor, options.count, &mut |entry| {
        let alive = entry.expire_at().is_none_or(|at| at >= now);
        let right_type =
            options.kind.is_none_or(|kind| entry.value().type_name().as_bytes().eq_ignore_ascii_case(kind));
        if alive && right_type && options.lets_through(Elem::Bytes(entry.key())) {
            keys.push(entry.key());
        }
    });
    call.out.array(2);
    call.out.bulk(next.to_string().as_bytes());
    call.out.array(keys.len());
    keys.iter().for_each(|key| call.out.bulk(key));
    Ok(())
}

/// KEYS pattern
pub(crate) fn keys(call: &mut Call<'_>) -> Result<(), Fail> {
    call.raise_gate_to_tail();
    let pattern = call.args.at(1);
    let all = pattern == b"*";
    let now = call.now_ms;
    let mark = call.out.deferred_array();
    let mut count = 0;
    let (ks, out) = (call.ks, &mut *call.out);
    ks.for_each(call.db, &mut |entry| {
        let alive = entry.expire_at().is_none_or(|at| at >= now);
        if alive && (all || glob_match(pattern, entry.key())) {
            out.bulk(entry.key());
            count += 1;
        }
    });
    call.out.finish_array(mark, count);
    Ok(())
}
