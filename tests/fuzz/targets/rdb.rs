//! An RDB file: loads or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = snapshot_rdb::check(input, 0..16_384);
});
