//! A DUMP payload with a right footer around arbitrary bytes: restores or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_store::Limits;

fuzz_target!(|input: &[u8]| {
    // A checksum of zero counts as "not checked", so that the fuzzer reaches what lies behind it.
    let payload = [input, &[10, 0], &[0; 8]].concat();
    let _ = snapshot_rdb::restore(&payload, &Limits::default());
});
