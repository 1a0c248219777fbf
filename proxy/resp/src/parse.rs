//! The request parser: incremental, never starting over, allocating nothing for an ordinary command.
//!
//! The caller keeps the bytes of the command that is not complete yet and hands them in again, longer, from
//! the command's first byte on; the parser remembers how far it came. Lengths that a client announces
//! reserve nothing: only bytes that arrived take memory.

use smallvec::SmallVec;

use crate::args::{Args, Span};

/// Longest line: an inline command, or the header of an array or a bulk string.
const LINE_MAX: usize = 64 * 1024;
/// Limits of a client that has not yet authenticated.
const UNAUTHENTICATED_ARGS: i64 = 10;
const UNAUTHENTICATED_BULK: i64 = 16 * 1024;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest argument in bytes (`proto-max-bulk-len`).
    pub bulk: i64,
    /// Most arguments of one command.
    pub args: i64,
    /// False while a password is asked for and not given: then a command is short.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bulk: 512 * 1024 * 1024, args: i64::from(i32::MAX), authenticated: true }
    }
}

/// Bytes that are no request. The connection is closed after the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The array header is no count, or too large.
    MultibulkLength,
    /// As before, while a password is needed.
    UnauthenticatedMultibulk,
    /// A bulk header is no length, or too large.
    BulkLength,
    /// As before, while a password is needed.
    UnauthenticatedBulk,
    /// Something else stands where a bulk header belongs.
    ExpectedDollar(u8),
    /// An inline command with an open quote.
    UnbalancedQuotes,
    /// An inline command longer than 64 KB.
    BigInline,
    /// An array header longer than 64 KB.
    BigCount,
    /// A bulk header longer than 64 KB.
    BigBulkCount,
}

impl ProtocolError {
    /// Redis's error text, with its code and without the minus sign.
    pub fn text(self) -> Vec<u8> {
        let what: &[u8] = match self {
            Self::MultibulkLength => b"invalid multibulk length",
            Self::UnauthenticatedMultibulk => b"unauthenticated multibulk length",
            Self::BulkLength => b"invalid bulk length",
            Self::UnauthenticatedBulk => b"unauthenticated bulk length",
            Self::UnbalancedQuotes => b"unbalanced quotes in request",
            Self::BigInline => b"too big inline request",
            Self::BigCount => b"too big mbulk count string",
            Self::BigBulkCount => b"too big bulk count string",
            Self::ExpectedDollar(got) => &[&b"expected '$', got '"[..], &[got], b"'"].concat(),
        };
        [b"ERR Protocol error: ", what].concat()
    }
}

/// What a call of [`Parser::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command of this many bytes is complete: read it through [`Parser::args`], then drop the bytes.
    Command(usize),
    /// This many bytes were empty (a blank line, `*0`): drop them and go on.
    Skip(usize),
    /// At least this many more bytes are needed; what was read so far is remembered.
    More(usize),
    /// Not a request.
    Fail(ProtocolError),
}

/// The parser of one connection.
#[derive(Default)]
pub struct Parser {
    limits: Limits,
    /// Arguments still to come of the open command; 0 between commands.
    missing: i64,
    /// Announced length of the argument that is being received, if its header is read.
    bulk: Option<u32>,
    /// Bytes of the open command that are done with.
    done: usize,
    /// Bytes behind `done` that were searched for a line end in vain.
    searched: usize,
    spans: SmallVec<[Span; 8]>,
    /// The words of an inline command with their quotes resolved.
    words: Vec<u8>,
    inline: bool,
}

impl Parser {
    /// A parser with `limits`.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The limits, to be changed between commands.
    pub fn limits_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// Looks for the next command in `buf`, which begins where that command begins. After
    /// [`Step::More`], call again with the same bytes and more behind them.
    #[inline]
    pub fn next(&mut self, buf: &[u8]) -> Step {
        if self.missing == 0 {
            match buf.first() {
                None => return Step::More(1),
                Some(b'*') => {
                    if let Some(step) = self.count(buf) {
                        return step;
                    }
                }
                Some(_) => return self.line(buf),
            }
        }
        self.bulks(buf)
    }

    /// The arguments of the command that [`Parser::next`] just completed in `buf`.
    #[inline]
    pub fn args<'a>(&'a self, buf: &'a [u8]) -> Args<'a> {
        Args::new(if self.inline { &self.words } else { buf }, &self.spans)
    }

    /// Where the arguments of the command that [`Parser::next`] just completed stand in its bytes; `None` for an inline command,
    /// whose words are in the parser.
    #[inline]
    pub fn plain_spans(&self) -> Option<&[Span]> {
        (!self.inline).then_some(&self.spans)
    }

    /// Forgets an open command: the next call begins with the first byte of a command again.
    pub fn restart(&mut self) {
        self.missing = 0;
        self.reset();
    }

    /// True when a command has begun to arrive.
    pub fn is_open(&self) -> bool {
        self.missing > 0
    }

    /// The array's header. `None`: go on with its arguments.
    #[inline]
    fn count(&mut self, buf: &[u8]) -> Option<Step> {
        // The frequent form: one digit.
        let (count, end) = if let [_, digit @ b'1'..=b'9', b'\r', b'\n', ..] = *buf {
            (i64::from(digit - b'0'), 4)
        } else {
            let (text, end) = match self.header(buf, ProtocolError::BigCount) {
                Ok(found) => found,
                Err(step) => return Some(step),
            };
            match header_number(&text[1..]) {
                Some(count) if count <= self.limits.args => (count, end),
                _ => return Some(Step::Fail(ProtocolError::MultibulkLength)),
            }
        };
        if !self.limits.authenticated && count > UNAUTHENTICATED_ARGS {
            return Some(Step::Fail(ProtocolError::UnauthenticatedMultibulk));
        }
        self.reset();
        if count <= 0 {
            return Some(Step::Skip(end));
        }
        self.missing = count;
        self.done = end;
        None
    }

    /// Arguments, until all are there or bytes run out.
    #[inline]
    fn bulks(&mut self, buf: &[u8]) -> Step {
        while self.missing > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.bulk_header(buf) {
                    Ok(length) => length,
                    Err(step) => return step,
                },
            };
            let end = self.done + length as usize;
            // What stands in the place of the line end is skipped unread, as Redis does.
            if buf.len() < end + 2 {
                self.bulk = Some(length);
                return Step::More(end + 2 - buf.len());
            }
            self.spans.push((self.done as u32, end as u32));
            self.done = end + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        let used = self.done;
        self.done = 0;
        Step::Command(used)
    }

    #[inline]
    fn bulk_header(&mut self, buf: &[u8]) -> Result<u32, Step> {
        // The frequent form: one or two digits.
        let (value, end) = match *buf.get(self.done..).unwrap_or_default() {
            [b'$', a @ b'0'..=b'9', b'\r', b'\n', ..] => (i64::from(a - b'0'), self.done + 4),
            [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => {
                (i64::from(a - b'0') * 10 + i64::from(b - b'0'), self.done + 5)
            }
            _ => {
                let (text, end) = self.header(buf, ProtocolError::BigBulkCount)?;
                if text.first() != Some(&b'$') {
                    let got = text.first().copied().unwrap_or(b'\r');
                    return Err(Step::Fail(ProtocolError::ExpectedDollar(got)));
                }
                (header_number(&text[1..]).unwrap_or(-1), end)
            }
        };
        if value < 0 || value > self.limits.bulk.min(i64::from(u32::MAX / 4)) {
            return Err(Step::Fail(ProtocolError::BulkLength));
        }
        if !self.limits.authenticated && value > UNAUTHENTICATED_BULK {
            return Err(Step::Fail(ProtocolError::UnauthenticatedBulk));
        }
        if end as u64 + value as u64 > u64::from(u32::MAX - 2) {
            // Spans are 32 bits; a command of 4 GB is beyond every query buffer limit.
            return Err(Step::Fail(ProtocolError::BulkLength));
        }
        self.done = end;
        self.searched = 0;
        Ok(value as u32)
    }

    /// The header line at `done`: its text without the line end, and where the next thing starts.
    fn header<'b>(&mut self, buf: &'b [u8], too_big: ProtocolError) -> Result<(&'b [u8], usize), Step> {
        let rest = buf.get(self.done..).unwrap_or_default();
        let found = memchr::memchr(b'\r', rest.get(self.searched..).unwrap_or_default());
        let Some(offset) = found.map(|at| at + self.searched) else {
            if rest.len() > LINE_MAX {
                return Err(Step::Fail(too_big));
            }
            self.searched = rest.len();
            return Err(Step::More(1));
        };
        if rest.len() < offset + 2 {
            self.searched = offset;
            return Err(Step::More(1));
        }
        Ok((&rest[..offset], self.done + offset + 2))
    }

    /// An inline command.
    #[cold]
    fn line(&mut self, buf: &[u8]) -> Step {
        let Some(offset) = memchr::memchr(b'\n', buf.get(self.searched..).unwrap_or_default()) else {
            if buf.len() > LINE_MAX {
                return Step::Fail(ProtocolError::BigInline);
            }
            self.searched = buf.len();
            return Step::More(1);
        };
        let end = self.searched + offset;
        let line = &buf[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.reset();
        self.inline = true;
        if !crate::split_line(line, &mut self.words, &mut self.spans) {
            return Step::Fail(ProtocolError::UnbalancedQuotes);
        }
        if self.spans.is_empty() { Step::Skip(end + 1) } else { Step::Command(end + 1) }
    }

    #[inline]
    fn reset(&mut self) {
        // A spilled list of a huge command is given back.
        if self.spans.spilled() && self.spans.capacity() > 1024 {
            self.spans = SmallVec::new();
        }
        self.spans.clear();
        if self.inline {
            self.words.clear();
            self.inline = false;
        }
        self.done = 0;
        self.searched = 0;
        self.bulk = None;
    }
}

#[inline]
fn header_number(text: &[u8]) -> Option<i64> {
    match *text {
        [digit @ b'0'..=b'9'] => Some(i64::from(digit - b'0')),
        _ => crate::parse_i64(text),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
