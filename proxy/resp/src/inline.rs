//! Inline commands: a line of words, quoted as in redis-cli, typed by hand over telnet or netcat.

use crate::args::Span;

/// Splits `line` (without its line end) into words with Redis's quoting rules: double quotes know
/// `\n \r \t \b \a \xHH` and take any other escaped byte as it is, single quotes know `\'` only, a closing
/// quote must be followed by a space or the end. Words are appended to `words`, their ends to `spans`.
/// False when quotes don't balance.
#[must_use]
pub fn split_line(line: &[u8], words: &mut Vec<u8>, spans: &mut impl Extend<Span>) -> bool {
    let mut rest = line;
    loop {
        rest = trim_start(rest);
        if rest.is_empty() {
            return true;
        }
        let start = words.len() as u32;
        match word(rest, words) {
            Some(used) => rest = &rest[used..],
            None => return false,
        }
        spans.extend([(start, words.len() as u32)]);
    }
}

/// C's `isspace`, which also knows vertical tab and form feed; a NUL ends a word as well.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn trim_start(line: &[u8]) -> &[u8] {
    let spaces = line.iter().take_while(|b| is_space(**b)).count();
    match &line[spaces..] {
        [0, ..] => &[],
        rest => rest,
    }
}

/// Takes one word off the front, returns the bytes used; `None` for an open or badly closed quote.
fn word(line: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        match line.get(at) {
            None | Some(0) => return Some(at),
            Some(b) if is_space(*b) => return Some(at),
            Some(b'"') => at = double_quoted(line, at + 1, out)?,
            Some(b'\'') => at = single_quoted(line, at + 1, out)?,
            Some(b) => {
                out.push(*b);
                at += 1;
            }
        }
    }
}

fn double_quoted(line: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *line.get(at..)? {
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(high) << 4 | hex(low));
                at += 4;
            }
            [b'\\', escaped, ..] => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                at += 2;
            }
            [b'"', ..] => return closed(line, at + 1),
            [0, ..] | [] => return None,
            [byte, ..] => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

fn single_quoted(line: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *line.get(at..)? {
            [b'\\', b'\'', ..] => {
                out.push(b'\'');
                at += 2;
            }
            [b'\'', ..] => return closed(line, at + 1),
            [0, ..] | [] => return None,
            [byte, ..] => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// A closing quote ends its word: a space or nothing comes next.
fn closed(line: &[u8], at: usize) -> Option<usize> {
    match line.get(at) {
        None | Some(0) => Some(at),
        Some(b) if is_space(*b) => Some(at),
        Some(_) => None,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        split_line(line.as_bytes(), &mut bytes, &mut spans).then(|| {
            spans
                .iter()
                .map(|&(a, b)| String::from_utf8_lossy(&bytes[a as usize..b as usize]).into_owned())
                .collect()
        })
    }

    #[test]
    fn quoting_rules() {
        assert_eq!(words("  set  a b "), Some(vec!["set".into(), "a".into(), "b".into()]));
        assert_eq!(words(r#"set "a b" 'c\'d'"#), Some(vec!["set".into(), "a b".into(), "c'd".into()]));
        assert_eq!(words(r#""\x41\n\q""#), Some(vec!["A\nq".into()]));
        assert_eq!(words(r#"a"b c"d"#), None);
        assert_eq!(words(r#"a"b c""#), Some(vec!["ab c".into()]));
        assert_eq!(words("\"open"), None);
        assert_eq!(words("'open"), None);
        assert_eq!(words(r#""\"#), None);
        assert_eq!(words(""), Some(vec![]));
    }
}
