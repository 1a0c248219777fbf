//! XLEN, XRANGE and XREVRANGE.

use proxy_store::Stream;

use super::{ids, reply_entry};
use crate::call::Call;
use crate::errors::Fail;

/// XLEN key
pub(crate) fn xlen(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let len = call.find_stream(key)?.map_or(0, |(stream, _)| stream.len());
    call.out.integer(len as i64);
    Ok(())
}

/// XRANGE key start end [COUNT count]
pub(crate) fn xrange(call: &mut Call<'_>) -> Result<(), Fail> {
    range(call, false)
}

/// XREVRANGE key end start [COUNT count]
pub(crate) fn xrevrange(call: &mut Call<'_>) -> Result<(), Fail> {
    range(call, true)
}

fn range(call: &mut Call<'_>, down: bool) -> Result<(), Fail> {
    let (start_at, end_at) = if down { (3, 2) } else { (2, 3) };
    let start = ids::range_start(call.args.at(start_at))?;
    let end = ids::range_end(call.args.at(end_at))?;
    let mut most = usize::MAX;
    for at in (4..call.args.len()).step_by(2) {
        if !call.is(at, "COUNT") || at + 1 >= call.args.len() {
            return Err(Fail::SYNTAX);
        }
        most = usize::try_from(call.int(at + 1)?).unwrap_or(0);
    }
    let key = call.key(1);
    let Some((stream, _)) = call.find_stream(key)? else {
        call.out.array(0);
        return Ok(());
    };
    if most == 0 {
        call.out.null_array();
        return Ok(());
    }
    let stream: &Stream = stream;
    let mark = call.out.deferred_array();
    let mut count = 0;
    let mut show = |entry| {
        reply_entry(call, &entry);
        count += 1;
    };
    if down {
        stream.range_down(start, end).take(most).for_each(&mut show);
    } else {
        stream.range(start, end).take(most).for_each(&mut show);
    }
    call.out.finish_array(mark, count);
    Ok(())
}
