//! Passwords: kept as SHA-256 and nothing else, compared in a time that tells nothing about them.

use sha2::{Digest as _, Sha256};

/// Bytes of a password at most: whoever asks to be let in may not keep a worker busy with hashing.
pub(crate) const PASSWORD_MAX_BYTES: usize = 64 << 10;

/// SHA-256 of a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// The digest of a password in clear.
pub fn digest(password: &[u8]) -> Digest {
    Digest(Sha256::digest(password).into())
}

impl Digest {
    /// From 64 lower-case hexadecimal digits.
    pub(crate) fn from_hex(text: &[u8]) -> Option<Self> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        self.0
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|n| char::from(b"0123456789abcdef"[n as usize]))
            .collect()
    }

    /// Whether both are the same, always after looking at every byte.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        let differs = self.0.iter().zip(&other.0).fold(0, |differs, (a, b)| differs | (a ^ b));
        std::hint::black_box(differs) == 0
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(..)")
    }
}
