//! The primitive fields of a frame's body: integers, optional integers, strings and byte strings.

use bytes::{Buf, Bytes};

/// Why bytes are not what the protocol says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The body ends inside a field.
    #[error("the message is cut off")]
    CutOff,
    /// Bytes are left behind the last field.
    #[error("{0} bytes behind the end of the message")]
    Trailing(usize),
    /// A text isn't UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A frame longer than the limit.
    #[error("a frame of {0} bytes is above the limit")]
    TooLong(u64),
    /// A number that the protocol doesn't know.
    #[error("unknown {what} {number}")]
    Unknown {
        /// What kind of number.
        what: &'static str,
        /// Its value.
        number: u64,
    },
}

/// Takes fields off the front of a body without copying byte strings.
#[derive(Debug)]
pub struct Reader(Bytes);

impl Reader {
    /// Reads from `body`.
    pub fn new(body: Bytes) -> Self {
        Self(body)
    }

    fn need(&self, count: usize) -> Result<(), WireError> {
        if self.0.len() < count { Err(WireError::CutOff) } else { Ok(()) }
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.need(2)?;
        Ok(self.0.get_u16_le())
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.need(4)?;
        Ok(self.0.get_u32_le())
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.need(8)?;
        Ok(self.0.get_u64_le())
    }

    /// A flag byte, and eight bytes if it is 1.
    pub fn optional_u64(&mut self) -> Result<Option<u64>, WireError> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.u64().map(Some),
            other => Err(WireError::Unknown { what: "flag", number: other.into() }),
        }
    }

    /// A u32 length and that many bytes.
    pub fn bytes(&mut self) -> Result<Bytes, WireError> {
        let length = self.u32()? as usize;
        self.need(length)?;
        Ok(self.0.split_to(length))
    }

    /// A byte string that is UTF-8.
    pub fn text(&mut self) -> Result<String, WireError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| WireError::Text)
    }

    /// A u32 count and that many items. `smallest` is the least that an item takes, so that a hostile count allocates nothing.
    pub fn list<T>(
        &mut self,
        smallest: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.u32()? as usize;
        self.need(count.saturating_mul(smallest.max(1)))?;
        (0..count).map(|_| item(self)).collect()
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    /// Checks that nothing is left.
    pub fn end(self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Trailing(self.0.len())) }
    }
}

/// Appends fields to a body.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A flag byte, and the value if there is one.
    pub fn optional_u64(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(value) => self.u8(1).u64(value),
        }
    }

    /// Length and bytes.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u32(value.len() as u32);
        self.0.extend_from_slice(value);
        self
    }

    /// Length and text.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }
}
