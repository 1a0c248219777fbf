//! The keyed hash that places keys and members in tables: SipHash-1-3 under a random key of this process.
//!
//! SCAN shows clients the order of these hashes, so an unkeyed or weakly keyed one could be turned against us. The
//! hash never goes to log or disk.

use std::sync::OnceLock;

use rand::RngCore;
use siphasher::sip::SipHasher13;

/// Hashes bytes to 64 bits.
#[derive(Clone, Copy)]
pub(crate) struct Hasher {
    sip: SipHasher13,
    /// All ones, but in tests that force collisions.
    mask: u64,
}

impl Hasher {
    /// The process's hasher; its key is drawn at the first call.
    pub(crate) fn shared() -> Self {
        static KEYS: OnceLock<(u64, u64)> = OnceLock::new();
        let (k0, k1) = *KEYS.get_or_init(|| {
            let mut rng = rand::rng();
            (rng.next_u64(), rng.next_u64())
        });
        Self { sip: SipHasher13::new_with_keys(k0, k1), mask: u64::MAX }
    }

    /// A hasher that keeps only the bits in `mask`, to force collisions.
    #[cfg(test)]
    pub(crate) fn colliding(mask: u64) -> Self {
        Self { mask, ..Self::shared() }
    }

    /// The hash of `bytes`.
    #[inline]
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        self.sip.hash(bytes) & self.mask
    }
}
