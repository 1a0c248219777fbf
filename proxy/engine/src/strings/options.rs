//! The options of SET and GETEX, and lifetimes given as numbers.

use crate::call::Call;
use crate::errors::Fail;

/// Which command's options are read: the two share most of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Set,
    GetEx,
}

/// Unit of a lifetime argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
}

/// What the options say about the lifetime.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    None,
    Keep,
    /// Argument `arg` is a number, counted from now (`relative`) or from 1970.
    Until {
        arg: usize,
        unit: Unit,
        relative: bool,
    },
}

/// What was asked for.
pub(super) struct Options {
    pub nx: bool,
    pub xx: bool,
    pub get: bool,
    pub persist: bool,
    pub lifetime: Lifetime,
}

impl Options {
    /// Reads the arguments from `first` on. The same lifetime option may be repeated (the last counts),
    /// two different ones exclude each other, as in Redis.
    pub(super) fn parse(call: &Call<'_>, first: usize, family: Family) -> Result<Self, Fail> {
        let set = family == Family::Set;
        let mut out = Self { nx: false, xx: false, get: false, persist: false, lifetime: Lifetime::None };
        let mut at = first;
        while at < call.args.len() {
            if set && call.is(at, "NX") && !out.xx {
                out.nx = true;
            } else if set && call.is(at, "XX") && !out.nx {
                out.xx = true;
            } else if set && call.is(at, "GET") {
                out.get = true;
            } else if set && call.is(at, "KEEPTTL") && matches!(out.lifetime, Lifetime::None | Lifetime::Keep)
            {
                out.lifetime = Lifetime::Keep;
            } else if !set && call.is(at, "PERSIST") && out.lifetime == Lifetime::None {
                out.persist = true;
            } else {
                out.lifetime = out.until(call, at)?;
                at += 1;
            }
            at += 1;
        }
        Ok(out)
    }

    fn until(&self, call: &Call<'_>, at: usize) -> Result<Lifetime, Fail> {
        let (unit, relative) = if call.is(at, "EX") {
            (Unit::Seconds, true)
        } else if call.is(at, "PX") {
            (Unit::Milliseconds, true)
        } else if call.is(at, "EXAT") {
            (Unit::Seconds, false)
        } else if call.is(at, "PXAT") {
            (Unit::Milliseconds, false)
        } else {
            return Err(Fail::SYNTAX);
        };
        let repeats = match self.lifetime {
            Lifetime::None => !self.persist,
            Lifetime::Keep => false,
            Lifetime::Until { unit: before, relative: from_now, .. } => {
                (before, from_now) == (unit, relative)
            }
        };
        if !repeats || at + 1 >= call.args.len() {
            return Err(Fail::SYNTAX);
        }
        Ok(Lifetime::Until { arg: at + 1, unit, relative })
    }
}

/// Argument `arg` as unix milliseconds; it must be positive and must not overflow.
pub(super) fn deadline(
    call: &Call<'_>,
    arg: usize,
    unit: Unit,
    relative: bool,
    command: &str,
) -> Result<i64, Fail> {
    let value = call.int(arg)?;
    let milliseconds = match unit {
        Unit::Seconds => value.checked_mul(1000),
        Unit::Milliseconds => Some(value),
    };
    milliseconds
        .filter(|ms| *ms > 0)
        .and_then(|ms| ms.checked_add(if relative { call.now_ms } else { 0 }))
        .ok_or_else(|| Fail::expire_time(command))
}
