//! A record's body: decodes or is refused, and whatever decodes can be applied.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_store::{Keyspace, Limits, decode};

fuzz_target!(|input: &[u8]| {
    let mut keyspace = Keyspace::new(Limits::default());
    for (position, decoded) in decode(input).enumerate() {
        let Ok((effect, _)) = decoded else { break };
        keyspace.apply(&effect, None, position as u64 + 1);
    }
    keyspace.check().expect("the keyspace is whole after any effects");
});
