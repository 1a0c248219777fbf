//! Where a reply ends: for whoever passes replies on without looking into them.
//!
//! Resumable and iterative: a reply that arrives in pieces is looked at once, however deep it nests. Replies come from
//! nodes of the same cluster, so a malformed one is an error of the link, not an attack; it still allocates nothing.

use crate::parse_i64;

/// Bytes that are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Looks for the end of one reply in a growing buffer.
#[derive(Debug, Clone)]
pub struct ReplyScanner {
    /// Up to where frames are complete.
    at: usize,
    /// Frames still to come.
    missing: u64,
}

impl Default for ReplyScanner {
    fn default() -> Self {
        Self { at: 0, missing: 1 }
    }
}

impl ReplyScanner {
    /// The length of the reply at the front of `buffer`, once it is there as a whole. Until then `buffer` may only grow.
    ///
    /// # Errors
    /// When it is no reply of RESP2 or RESP3.
    pub fn end(&mut self, buffer: &[u8]) -> Result<Option<usize>, Malformed> {
        while self.missing > 0 {
            let rest = buffer.get(self.at..).unwrap_or_default();
            let Some(line_end) = memchr::memchr(b'\n', rest) else { return Ok(None) };
            let line = rest.get(..line_end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed)?;
            let (kind, text) = line.split_first().ok_or(Malformed)?;
            let number = || parse_i64(text).filter(|n| *n >= -1).ok_or(Malformed);
            let mut length = line_end + 1;
            let more = match kind {
                b'+' | b'-' | b':' | b',' | b'(' | b'#' | b'_' => 0,
                b'$' | b'=' | b'!' => {
                    if let Ok(bytes) = u64::try_from(number()?) {
                        length = usize::try_from(bytes).map_err(|_| Malformed)?.saturating_add(length + 2);
                    }
                    0
                }
                b'*' | b'~' | b'>' => u64::try_from(number()?).unwrap_or(0),
                b'%' => u64::try_from(number()?).unwrap_or(0).saturating_mul(2),
                // What it is an attribute of follows.
                b'|' => u64::try_from(number()?).unwrap_or(0).saturating_mul(2).saturating_add(1),
                _ => return Err(Malformed),
            };
            if rest.len() < length {
                return Ok(None);
            }
            self.at += length;
            self.missing = (self.missing - 1).saturating_add(more);
        }
        Ok(Some(self.at))
    }
}

/// Cuts the first complete reply off; `None` when there is none.
pub fn split_reply(buffer: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = ReplyScanner::default().end(buffer).ok()??;
    buffer.split_at_checked(end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const REPLIES: [&[u8]; 9] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b"$5\r\nab\r\nc\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n+x\r\n",
        b"%2\r\n+a\r\n:1\r\n+b\r\n~2\r\n#t\r\n,1.5\r\n",
        b"|1\r\n+ttl\r\n:3\r\n*1\r\n_\r\n",
        b"=7\r\ntxt:abc\r\n",
    ];

    #[test]
    fn finds_the_end_wherever_the_bytes_are_cut() {
        for reply in REPLIES {
            let mut scanner = ReplyScanner::default();
            for cut in 0..reply.len() {
                assert_eq!(scanner.end(&reply[..cut]), Ok(None), "{:?}", String::from_utf8_lossy(reply));
            }
            let mut more = reply.to_vec();
            more.extend_from_slice(b"+next\r\n");
            assert_eq!(scanner.end(&more), Ok(Some(reply.len())));
            assert_eq!(split_reply(&more).unwrap(), (reply, &b"+next\r\n"[..]));
        }
    }

    #[test]
    fn refuses_what_is_no_reply() {
        for bytes in [&b"?\r\n"[..], b"$x\r\n", b"*-2\r\n", b"\r\n", b"+a\n", b"$99999999999999999999\r\n"] {
            assert_eq!(ReplyScanner::default().end(bytes), Err(Malformed));
        }
    }
}
