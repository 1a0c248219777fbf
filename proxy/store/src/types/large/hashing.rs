//! Keyed hashing of elements. The key is random per process, because SCAN's order shows hash bits to clients;
//! hashes never leave the process.

use std::sync::OnceLock;

use siphasher::sip::SipHasher13;

use crate::types::Elem;

static KEYS: OnceLock<(u64, u64)> = OnceLock::new();

/// Hash of an element; equal for an integer and its decimal form when the latter is passed as `Elem::Int`.
#[inline]
pub(super) fn hash(elem: Elem<'_>) -> u64 {
    let (a, b) = *KEYS.get_or_init(rand::random);
    let hasher = SipHasher13::new_with_keys(a, b);
    match elem {
        Elem::Bytes(bytes) => hasher.hash(bytes),
        Elem::Int(value) => hasher.hash(&value.to_le_bytes()),
    }
}
