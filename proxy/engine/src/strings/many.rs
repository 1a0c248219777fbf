//! Many strings at once: MGET, MSET, MSETNX.

use proxy_store::{ExpireChange, Value};

use crate::call::Call;
use crate::errors::Fail;

/// MGET key [key ...]
pub(crate) fn mget(call: &mut Call<'_>) -> Result<(), Fail> {
    call.out.array(call.args.len() - 1);
    call.each_key(1, |call, key| match call.find(key).map(|entry| entry.value()) {
        Some(Value::Str(value)) => call.bulk_elem(value),
        _ => call.out.null(),
    });
    Ok(())
}

/// MSET key value [key value ...]
pub(crate) fn mset(call: &mut Call<'_>) -> Result<(), Fail> {
    check_pairs(call, "mset")?;
    set_pairs(call);
    call.out.ok();
    Ok(())
}

/// MSETNX key value [key value ...]
pub(crate) fn msetnx(call: &mut Call<'_>) -> Result<(), Fail> {
    check_pairs(call, "msetnx")?;
    for at in (1..call.args.len()).step_by(2) {
        if call.find(call.key(at)).is_some() {
            call.out.integer(0);
            return Ok(());
        }
    }
    set_pairs(call);
    call.out.integer(1);
    Ok(())
}

fn check_pairs(call: &Call<'_>, name: &str) -> Result<(), Fail> {
    if call.args.len().is_multiple_of(2) { Err(Fail::arity(name)) } else { Ok(()) }
}

fn set_pairs(call: &mut Call<'_>) {
    for at in (1..call.args.len()).step_by(2) {
        call.fx.set_string(call.key(at), None, call.args.at(at + 1), ExpireChange::Clear);
    }
}
