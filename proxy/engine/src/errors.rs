//! Every error text that commands share, in one place, word for word as Redis 7.0 says it.

use std::borrow::Cow;

/// Largest string value and largest request argument, Redis's default `proto-max-bulk-len`.
pub const MAX_STRING: usize = 512 * 1024 * 1024;

/// Why a command was refused: the full text of the error reply, its code first, without the minus sign.
/// Nothing was changed, and [`crate::run`] takes back what was written before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fail(Cow<'static, [u8]>);

impl Fail {
    pub const WRONG_TYPE: Fail =
        Fail::text("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const SYNTAX: Fail = Fail::text("ERR syntax error");
    pub const NOT_INTEGER: Fail = Fail::text("ERR value is not an integer or out of range");
    pub const NOT_FLOAT: Fail = Fail::text("ERR value is not a valid float");
    pub const NO_SUCH_KEY: Fail = Fail::text("ERR no such key");
    pub const INDEX_RANGE: Fail = Fail::text("ERR index out of range");
    pub const NOT_POSITIVE: Fail = Fail::text("ERR value is out of range, must be positive");
    pub const OUT_OF_RANGE: Fail = Fail::text("ERR value is out of range");
    pub const OFFSET_RANGE: Fail = Fail::text("ERR offset is out of range");
    pub const OVERFLOW: Fail = Fail::text("ERR increment or decrement would overflow");
    pub const DECREMENT_OVERFLOW: Fail = Fail::text("ERR decrement would overflow");
    pub const NAN_OR_INFINITY: Fail = Fail::text("ERR increment would produce NaN or Infinity");
    pub const STRING_TOO_LONG: Fail =
        Fail::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    pub const SAME_OBJECT: Fail = Fail::text("ERR source and destination objects are the same");
    pub const DB_RANGE: Fail = Fail::text("ERR DB index is out of range");
    pub const INVALID_CURSOR: Fail = Fail::text("ERR invalid cursor");
    pub const HASH_NOT_INTEGER: Fail = Fail::text("ERR hash value is not an integer");
    pub const HASH_NOT_FLOAT: Fail = Fail::text("ERR hash value is not a float");
    pub const SCORE_NAN: Fail = Fail::text("ERR resulting score is not a number (NaN)");
    pub const MIN_MAX_FLOAT: Fail = Fail::text("ERR min or max is not a float");
    pub const MIN_MAX_LEX: Fail = Fail::text("ERR min or max not valid string range item");
    pub const NUMKEYS: Fail = Fail::text("ERR numkeys should be greater than 0");

    /// A fixed text.
    pub const fn text(text: &'static str) -> Fail {
        Fail(Cow::Borrowed(text.as_bytes()))
    }

    /// A text made for the occasion; it may quote a client's bytes.
    pub fn owned(text: impl Into<Vec<u8>>) -> Fail {
        Fail(Cow::Owned(text.into()))
    }

    /// What Redis quotes of a client's bytes: up to a NUL, and no more than `max`.
    pub fn quotable(bytes: &[u8], max: usize) -> &[u8] {
        let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
        &bytes[..end.min(max)]
    }

    /// "wrong number of arguments" for a command or `container|subcommand`, in lower case.
    pub fn arity(name: &str) -> Fail {
        Fail::owned(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// A lifetime that overflows or is not positive.
    pub fn expire_time(command: &str) -> Fail {
        Fail::owned(format!("ERR invalid expire time in '{command}' command"))
    }

    /// The text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
