//! The string family: reading and replacing whole values. Options of SET and GETEX, counters, parts of
//! strings, many keys at once and LCS have files of their own.

mod counters;
mod lcs;
mod many;
mod options;
mod ranges;

pub(crate) use counters::{decr, decrby, incr, incrby, incrbyfloat};
pub(crate) use lcs::lcs;
pub(crate) use many::{mget, mset, msetnx};
pub(crate) use ranges::{append, getrange, setrange};

use proxy_store::{Elem, Entry, ExpireChange, Reason};

use crate::call::Call;
use crate::errors::Fail;
use options::{Family, Lifetime, Options, Unit, deadline};

/// GET key
pub(crate) fn get(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    reply_string(call, key)?;
    Ok(())
}

/// Answers the string at a key (or null) and returns what was found.
fn reply_string<'a>(
    call: &mut Call<'a>,
    key: proxy_store::Key<'a>,
) -> Result<Option<(Elem<'a>, Entry<'a>)>, Fail> {
    let found = call.find_string(key)?;
    match found {
        Some((value, _)) => call.bulk_elem(value),
        None => call.out.null(),
    }
    Ok(found)
}

/// SET key value [NX|XX] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL]
pub(crate) fn set(call: &mut Call<'_>) -> Result<(), Fail> {
    if call.args.len() > 3 {
        return set_with_options(call);
    }
    // No need to look: whatever is there is replaced, and apply finds its place.
    call.fx.set_string(call.key(1), None, call.args.at(2), ExpireChange::Clear);
    call.out.ok();
    Ok(())
}

fn set_with_options(call: &mut Call<'_>) -> Result<(), Fail> {
    let options = Options::parse(call, 3, Family::Set)?;
    let expire = match options.lifetime {
        Lifetime::None => ExpireChange::Clear,
        Lifetime::Keep => ExpireChange::Keep,
        Lifetime::Until { arg, unit, relative } => {
            ExpireChange::At(deadline(call, arg, unit, relative, "set")?)
        }
    };
    let key = call.key(1);
    let entry = if options.get { reply_string(call, key)?.map(|(_, entry)| entry) } else { call.find(key) };
    if (options.nx && entry.is_some()) || (options.xx && entry.is_none()) {
        if !options.get {
            call.out.null();
        }
        return Ok(());
    }
    let handle = call.handle_of(entry.as_ref());
    call.fx.set_string(key, handle, call.args.at(2), expire);
    if !options.get {
        call.out.ok();
    }
    Ok(())
}

/// SETNX key value
pub(crate) fn setnx(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    if call.find(key).is_some() {
        call.out.integer(0);
        return Ok(());
    }
    call.fx.set_string(key, None, call.args.at(2), ExpireChange::Clear);
    call.out.integer(1);
    Ok(())
}

/// SETEX key seconds value
pub(crate) fn setex(call: &mut Call<'_>) -> Result<(), Fail> {
    set_for(call, Unit::Seconds, "setex")
}

/// PSETEX key milliseconds value
pub(crate) fn psetex(call: &mut Call<'_>) -> Result<(), Fail> {
    set_for(call, Unit::Milliseconds, "psetex")
}

fn set_for(call: &mut Call<'_>, unit: Unit, command: &str) -> Result<(), Fail> {
    let at = deadline(call, 2, unit, true, command)?;
    call.fx.set_string(call.key(1), None, call.args.at(3), ExpireChange::At(at));
    call.out.ok();
    Ok(())
}

/// GETSET key value
pub(crate) fn getset(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let found = reply_string(call, key)?;
    let handle = call.handle_of(found.map(|(_, entry)| entry).as_ref());
    call.fx.set_string(key, handle, call.args.at(2), ExpireChange::Clear);
    Ok(())
}

/// GETDEL key
pub(crate) fn getdel(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    if let Some((_, entry)) = reply_string(call, key)? {
        let handle = call.handle(&entry);
        call.fx.delete(key, handle, Reason::Command);
    }
    Ok(())
}

/// GETEX key [EX s|PX ms|EXAT s|PXAT ms|PERSIST]
pub(crate) fn getex(call: &mut Call<'_>) -> Result<(), Fail> {
    let options = Options::parse(call, 2, Family::GetEx)?;
    let key = call.key(1);
    let Some((_, entry)) = reply_string(call, key)? else { return Ok(()) };
    let handle = call.handle(&entry);
    match options.lifetime {
        Lifetime::Until { arg, unit, relative } => {
            let at = deadline(call, arg, unit, relative, "getex")?;
            if !relative && at <= call.now_ms {
                call.fx.delete(key, handle, Reason::Command);
            } else {
                call.fx.expire_at(key, handle, at);
            }
        }
        Lifetime::None => {
            if options.persist && entry.expire_at().is_some() {
                call.fx.persist(key, handle);
            }
        }
        Lifetime::Keep => {}
    }
    Ok(())
}

/// STRLEN key
pub(crate) fn strlen(call: &mut Call<'_>) -> Result<(), Fail> {
    let len = call.find_string(call.key(1))?.map_or(0, |(value, _)| value.len());
    call.out.integer(len as i64);
    Ok(())
}
