//! DUMP and RESTORE: values in the form of Redis's RDB files, version 10, with its CRC-64. The codec is
//! snapshot-rdb's; here are options, refusals and lifetimes.

use proxy_store::Reason;
use snapshot_rdb::RestoreError;

use crate::call::{Call, Request};
use crate::errors::Fail;

const BUSY: Fail = Fail::text("BUSYKEY Target key name already exists.");
const TTL: Fail = Fail::text("ERR Invalid TTL value, must be >= 0");
const IDLE_TIME: Fail = Fail::text("ERR Invalid IDLETIME value, must be >= 0");
const FREQUENCY: Fail = Fail::text("ERR Invalid FREQ value, must be >= 0 and <= 255");
const CHECKSUM: Fail = Fail::text("ERR DUMP payload version or checksum are wrong");
const FORMAT: Fail = Fail::text("ERR Bad data format");

/// DUMP key
pub(crate) fn dump(call: &mut Call<'_>) -> Result<(), Fail> {
    let Some(entry) = call.find(call.key(1)) else {
        call.out.null();
        return Ok(());
    };
    let payload = snapshot_rdb::dump(entry.value()).map_err(|error| Fail::owned(format!("ERR {error}")))?;
    call.out.bulk(&payload);
    Ok(())
}

/// RESTORE's options.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<u32>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(call: &Call<'_>) -> Result<Self, Fail> {
        let mut options = Options::default();
        let mut at = 4;
        while at < call.args.len() {
            let more = at + 1 < call.args.len();
            if call.is(at, "REPLACE") {
                options.replace = true;
            } else if call.is(at, "ABSTTL") {
                options.absolute = true;
            } else if call.is(at, "IDLETIME") && more && options.frequency.is_none() {
                at += 1;
                let idle = u64::try_from(call.int(at)?).map_err(|_| IDLE_TIME)?;
                options.idle_seconds = Some(u32::try_from(idle).unwrap_or(u32::MAX));
            } else if call.is(at, "FREQ") && more && options.idle_seconds.is_none() {
                at += 1;
                options.frequency = Some(u8::try_from(call.int(at)?).map_err(|_| FREQUENCY)?);
            } else {
                return Err(Fail::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }
}

/// RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds | FREQ frequency]
pub(crate) fn restore(call: &mut Call<'_>) -> Result<(), Fail> {
    let options = Options::parse(call)?;
    let key = call.key(1);
    let found = call.find(key);
    if found.is_some() && !options.replace {
        return Err(BUSY);
    }
    let ttl = call.int(2)?;
    if ttl < 0 {
        return Err(TTL);
    }
    let image = snapshot_rdb::restore(call.args.at(3), call.ks.limits()).map_err(|error| match error {
        RestoreError::VersionOrChecksum => CHECKSUM,
        RestoreError::BadData => FORMAT,
    })?;
    let expire_at = match ttl {
        0 => None,
        at if options.absolute => Some(at),
        from_now => Some(call.now_ms.saturating_add(from_now)),
    };
    let handle = call.handle_of(found.as_ref());
    // What has ended already is not created.
    if expire_at.is_none_or(|at| at >= call.now_ms) {
        call.fx.put(key, handle, &image, expire_at);
        let Options { idle_seconds, frequency, .. } = options;
        if idle_seconds.is_some() || frequency.is_some() {
            call.request = Some(Request::SetAccess { db: key.db, arg: 1, idle_seconds, frequency });
        }
    } else if found.is_some() {
        call.fx.delete(key, handle, Reason::Command);
    }
    call.out.ok();
    Ok(())
}
