//! Replies, appended straight to an output buffer in RESP2 or RESP3. No frame is ever built: a command says
//! what it means (`map`, `set`, `double`) and the writer finds the form that the client's protocol has.

/// Which protocol a client speaks; HELLO switches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// Typed replies and push messages.
    Resp3,
}

/// Where a deferred header will be inserted. From `deferred_array` and its sisters.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Mark(usize);

/// An append-style writer of replies.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    buf: Vec<u8>,
    proto: Protocol,
}

impl Reply {
    /// An empty buffer for a client that speaks `proto`.
    pub fn new(proto: Protocol) -> Self {
        Self { buf: Vec::new(), proto }
    }

    /// A writer that appends to `buf`.
    pub fn with_buffer(buf: Vec<u8>, proto: Protocol) -> Self {
        Self { buf, proto }
    }

    /// The protocol in use.
    #[inline]
    pub fn proto(&self) -> Protocol {
        self.proto
    }

    /// Switches the protocol for what follows.
    pub fn set_proto(&mut self, proto: Protocol) {
        self.proto = proto;
    }

    /// Bytes written so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// True when nothing is written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Forgets everything behind `len`.
    pub fn truncate(&mut self, len: usize) {
        self.buf.truncate(len);
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
    }

    /// The bytes written.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.buf
    }

    /// Takes the bytes out and leaves an empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buf)
    }

    /// The buffer itself, for those who move bytes on to a socket.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Makes room for about `bytes` bytes.
    pub fn expect(&mut self, bytes: usize) {
        self.buf.reserve(bytes);
    }

    /// Appends bytes that are RESP already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.buf.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string; `text` holds no line end.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error: the full text with its code, without the minus sign. Line ends become spaces, because a
    /// text may quote what a client sent.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// [`Reply::error`] for a text that quotes a client's bytes.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.buf.push(b'-');
        self.one_line(text);
    }

    /// [`Reply::simple`] for any bytes; line ends become spaces.
    pub fn simple_bytes(&mut self, text: &[u8]) {
        self.buf.push(b'+');
        self.one_line(text);
    }

    fn one_line(&mut self, text: &[u8]) {
        self.buf.extend(text.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }));
        self.buf.extend_from_slice(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        if (0..10).contains(&value) {
            self.buf.extend_from_slice(&[b':', b'0' + value as u8, b'\r', b'\n']);
        } else {
            self.number(b':', value);
        }
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.buf.reserve(bytes.len() + 16);
        self.number(b'$', bytes.len() as i64);
        self.buf.extend_from_slice(bytes);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// A bulk string that holds a decimal integer.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// "There is no such value".
    #[inline]
    pub fn null(&mut self) {
        self.buf.extend_from_slice(match self.proto {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// "There is no such array": differs from [`Reply::null`] in RESP2.
    pub fn null_array(&mut self) {
        self.buf.extend_from_slice(match self.proto {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Header of an array of `n` elements, which follow.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.number(b'*', n as i64);
    }

    /// Header of a map of `n` pairs (RESP2: an array of twice as many).
    pub fn map(&mut self, n: usize) {
        let (tag, count) = self.map_header(n);
        self.number(tag, count);
    }

    /// Header of a set of `n` members (RESP2: an array).
    pub fn set(&mut self, n: usize) {
        self.number(self.typed(b'~'), n as i64);
    }

    /// Header of a push message of `n` elements (RESP2: an array).
    pub fn push(&mut self, n: usize) {
        self.number(self.typed(b'>'), n as i64);
    }

    /// A double (RESP2: a bulk string with the same digits).
    pub fn double(&mut self, value: f64) {
        let mut text = Vec::with_capacity(32);
        crate::format_double(value, &mut text);
        match self.proto {
            Protocol::Resp2 => self.bulk(&text),
            Protocol::Resp3 => self.line(b',', &text),
        }
    }

    /// A double whose digits are given (RESP2: a bulk string).
    pub fn double_text(&mut self, digits: &str) {
        match self.proto {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b',', digits.as_bytes()),
        }
    }

    /// A boolean (RESP2: 1 or 0).
    pub fn bool(&mut self, value: bool) {
        match self.proto {
            Protocol::Resp2 => self.integer(i64::from(value)),
            Protocol::Resp3 => self.buf.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// A text with its three-letter format, as in `verbatim("txt", ..)` (RESP2: a bulk string).
    pub fn verbatim(&mut self, format: &str, bytes: &[u8]) {
        match self.proto {
            Protocol::Resp2 => self.bulk(bytes),
            Protocol::Resp3 => {
                self.number(b'=', (bytes.len() + format.len() + 1) as i64);
                self.buf.extend_from_slice(format.as_bytes());
                self.buf.push(b':');
                self.buf.extend_from_slice(bytes);
                self.buf.extend_from_slice(b"\r\n");
            }
        }
    }

    /// An integer of any size, given as text (RESP2: a bulk string).
    pub fn big_number(&mut self, digits: &str) {
        match self.proto {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    /// Remembers where an array's header belongs whose length is known only after its elements.
    pub fn deferred_array(&mut self) -> Mark {
        Mark(self.buf.len())
    }

    /// Writes the header of the array that began at `mark`. Inner marks are finished before outer ones.
    pub fn finish_array(&mut self, mark: Mark, n: usize) {
        self.insert(mark, b'*', n as i64);
    }

    /// As [`Reply::deferred_array`], for a map.
    pub fn deferred_map(&mut self) -> Mark {
        Mark(self.buf.len())
    }

    /// Writes the header of the map of `n` pairs that began at `mark`.
    pub fn finish_map(&mut self, mark: Mark, n: usize) {
        let (tag, count) = self.map_header(n);
        self.insert(mark, tag, count);
    }

    /// As [`Reply::deferred_array`], for a set.
    pub fn deferred_set(&mut self) -> Mark {
        Mark(self.buf.len())
    }

    /// Writes the header of the set of `n` members that began at `mark`.
    pub fn finish_set(&mut self, mark: Mark, n: usize) {
        self.insert(mark, self.typed(b'~'), n as i64);
    }

    /// RESP3's type byte, or the array's in RESP2.
    fn typed(&self, tag: u8) -> u8 {
        if self.proto == Protocol::Resp3 { tag } else { b'*' }
    }

    fn map_header(&self, pairs: usize) -> (u8, i64) {
        match self.proto {
            Protocol::Resp2 => (b'*', pairs as i64 * 2),
            Protocol::Resp3 => (b'%', pairs as i64),
        }
    }

    fn line(&mut self, tag: u8, text: &[u8]) {
        self.buf.push(tag);
        self.buf.extend_from_slice(text);
        self.buf.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn number(&mut self, tag: u8, value: i64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        self.buf.reserve(digits.len() + 3);
        self.buf.push(tag);
        self.buf.extend_from_slice(digits);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// Puts a header in front of what was written since `mark`.
    fn insert(&mut self, mark: Mark, tag: u8, value: i64) {
        let end = self.buf.len();
        self.number(tag, value);
        let added = self.buf.len() - end;
        if let Some(tail) = self.buf.get_mut(mark.0..) {
            tail.rotate_right(added);
        }
    }
}
