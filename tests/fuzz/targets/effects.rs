//! A record's body: decodes or is refused, and whatever decodes can be applied.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_store::{Effect, Keyspace, Limits, decode, slot_of};

fuzz_target!(|input: &[u8]| {
    let mut keyspace = Keyspace::new(Limits::default());
    for (position, decoded) in decode(input).enumerate() {
        let Ok((effect, _)) = decoded else { break };
        // Slots are trusted, and a far SETRANGE rightly takes its memory; see proxy/store/tests/hostile.rs.
        let far = matches!(effect, Effect::SetRange { offset, .. } if offset > 1 << 20);
        if !far && effect.key().is_none_or(|key| key.slot == slot_of(key.bytes)) {
            keyspace.apply(&effect, None, position as u64 + 1);
        }
    }
    // It walks every slot, so it takes far longer than what it checks: one input in sixteen.
    if input.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) % 16 == 0 {
        keyspace.check().expect("the keyspace is whole after any effects");
    }
});
