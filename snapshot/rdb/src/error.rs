//! What can be wrong with an RDB file or payload, in words for the person who has to act on it.

/// Why reading or writing RDB failed.
#[derive(Debug, thiserror::Error)]
pub enum RdbError {
    #[error("not an RDB file (it does not start with REDIS and a version)")]
    NotRdb,
    #[error("RDB version {0} is not supported (1 to 10 are)")]
    Version(u32),
    #[error("the RDB data ends early, at byte {offset}")]
    Truncated { offset: u64 },
    #[error("corrupt RDB data at byte {offset}: {what}")]
    Corrupt { offset: u64, what: &'static str },
    #[error("unsupported type {code} ({name}) for key \"{key}\" in database {db}")]
    UnsupportedType { code: u8, name: &'static str, key: String, db: u64 },
    #[error("unsupported part at byte {offset}: {what}")]
    Unsupported { offset: u64, what: &'static str },
    #[error("database {0} does not exist here (0 to 15 do)")]
    Database(u64),
    #[error("the checksum is {computed:016x}, the data says {stored:016x}")]
    Checksum { stored: u64, computed: u64 },
    #[error("the key \"{key}\" belongs to slot {slot}, outside of the expected range")]
    Slot { key: String, slot: u16 },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A key in an error message: printable, and of bounded length.
pub(crate) fn printable(key: &[u8]) -> String {
    let mut text = key.get(..128).unwrap_or(key).escape_ascii().to_string();
    if key.len() > 128 {
        text.push_str("...");
    }
    text
}
