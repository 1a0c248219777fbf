//! Lifetimes: setting, asking, removing. Times in effects are absolute.

use proxy_store::Reason;

use crate::call::Call;
use crate::errors::Fail;

const NX_OTHERS: Fail = Fail::text("ERR NX and XX, GT or LT options at the same time are not compatible");
const GT_LT: Fail = Fail::text("ERR GT and LT options at the same time are not compatible");

/// EXPIRE key seconds [NX|XX|GT|LT]
pub(crate) fn expire(call: &mut Call<'_>) -> Result<(), Fail> {
    set(call, 1000, true, "expire")
}

/// PEXPIRE key milliseconds [NX|XX|GT|LT]
pub(crate) fn pexpire(call: &mut Call<'_>) -> Result<(), Fail> {
    set(call, 1, true, "pexpire")
}

/// EXPIREAT key unix-seconds [NX|XX|GT|LT]
pub(crate) fn expireat(call: &mut Call<'_>) -> Result<(), Fail> {
    set(call, 1000, false, "expireat")
}

/// PEXPIREAT key unix-milliseconds [NX|XX|GT|LT]
pub(crate) fn pexpireat(call: &mut Call<'_>) -> Result<(), Fail> {
    set(call, 1, false, "pexpireat")
}

#[derive(Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(call: &Call<'_>) -> Result<Self, Fail> {
        let mut out = Self::default();
        for at in 3..call.args.len() {
            if call.is(at, "NX") {
                out.nx = true;
            } else if call.is(at, "XX") {
                out.xx = true;
            } else if call.is(at, "GT") {
                out.gt = true;
            } else if call.is(at, "LT") {
                out.lt = true;
            } else {
                let mut text = b"ERR Unsupported option ".to_vec();
                text.extend_from_slice(Fail::quotable(call.args.at(at), usize::MAX));
                return Err(Fail::owned(text));
            }
        }
        if out.nx && (out.xx || out.gt || out.lt) {
            return Err(NX_OTHERS);
        }
        if out.gt && out.lt { Err(GT_LT) } else { Ok(out) }
    }

    /// Whether a key that ends at `old` (never: `None`) may end at `new`.
    fn allow(&self, old: Option<i64>, new: i64) -> bool {
        !(self.nx && old.is_some()
            || self.xx && old.is_none()
            || self.gt && old.is_none_or(|old| new <= old)
            || self.lt && old.is_some_and(|old| new >= old))
    }
}

fn set(call: &mut Call<'_>, unit_ms: i64, relative: bool, command: &str) -> Result<(), Fail> {
    let conditions = Conditions::parse(call)?;
    let at = call
        .int(2)?
        .checked_mul(unit_ms)
        .and_then(|ms| ms.checked_add(if relative { call.now_ms } else { 0 }))
        .ok_or_else(|| Fail::expire_time(command))?;
    let key = call.key(1);
    let entry = call.find(key).filter(|entry| conditions.allow(entry.expire_at(), at));
    let Some(entry) = entry else {
        call.out.integer(0);
        return Ok(());
    };
    let handle = call.handle(&entry);
    if at <= call.now_ms {
        call.fx.delete(key, handle, Reason::Command);
    } else {
        call.fx.expire_at(key, handle, at);
    }
    call.out.integer(1);
    Ok(())
}

/// PERSIST key
pub(crate) fn persist(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let entry = call.find(key).filter(|entry| entry.expire_at().is_some());
    if let Some(entry) = &entry {
        let handle = call.handle(entry);
        call.fx.persist(key, handle);
    }
    call.out.integer(i64::from(entry.is_some()));
    Ok(())
}

/// TTL key
pub(crate) fn ttl(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, |at, now| ((at - now).max(0) + 500) / 1000)
}

/// PTTL key
pub(crate) fn pttl(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, |at, now| (at - now).max(0))
}

/// EXPIRETIME key
pub(crate) fn expiretime(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, |at, _| at.saturating_add(500) / 1000)
}

/// PEXPIRETIME key
pub(crate) fn pexpiretime(call: &mut Call<'_>) -> Result<(), Fail> {
    answer(call, |at, _| at)
}

/// -2 without a key, -1 without an end, otherwise `show(end, now)`.
fn answer(call: &mut Call<'_>, show: fn(i64, i64) -> i64) -> Result<(), Fail> {
    let shown = match call.peek(call.key(1)) {
        None => -2,
        Some(entry) => entry.expire_at().map_or(-1, |at| show(at, call.now_ms)),
    };
    call.out.integer(shown);
    Ok(())
}
