//! Redis's way to write parameters into a file: a line each, the name and its words, quoted where needed.

/// A line that sets something.
pub(crate) struct Line {
    pub(crate) name: Vec<u8>,
    /// What stands behind the name, words joined by single blanks.
    pub(crate) value: Vec<u8>,
    /// Number of the line, from 1.
    pub(crate) number: usize,
}

/// The lines of a file that set something, or the number of the first one whose quotes don't match.
///
/// # Errors
/// The number of that line.
pub(crate) fn parse_lines(text: &[u8]) -> Result<Vec<Line>, usize> {
    let mut lines = Vec::new();
    for (at, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let words = words(line).ok_or(at + 1)?;
        if let Some((name, rest)) = words.split_first() {
            lines.push(Line { name: name.clone(), value: rest.join(&b' '), number: at + 1 });
        }
    }
    Ok(lines)
}

/// The words of a line; none when quotes don't match.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while let Some(first) = rest.first() {
        let (word, left) = match first {
            b'"' => double_quoted(&rest[1..])?,
            b'\'' => single_quoted(&rest[1..])?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        if left.first().is_some_and(|b| !b.is_ascii_whitespace()) {
            return None;
        }
        words.push(word);
        rest = left.trim_ascii_start();
    }
    Some(words)
}

fn single_quoted(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match rest {
            [b'\\', b'\'', left @ ..] => {
                word.push(b'\'');
                rest = left;
            }
            [b'\'', left @ ..] => return Some((word, left)),
            [byte, left @ ..] => {
                word.push(*byte);
                rest = left;
            }
            [] => return None,
        }
    }
}

fn double_quoted(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let hex = |b: u8| (b as char).to_digit(16);
    let mut word = Vec::new();
    loop {
        match rest {
            [b'"', left @ ..] => return Some((word, left)),
            [b'\\', b'x', high, low, left @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                let byte = hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0);
                word.push(byte as u8);
                rest = left;
            }
            [b'\\', escaped, left @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = left;
            }
            [byte, left @ ..] => {
                word.push(*byte);
                rest = left;
            }
            [] => return None,
        }
    }
}

/// A text in double quotes, everything that is not printable escaped: MONITOR's and the file's way.
pub(crate) fn quoted(text: &[u8], into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    into.push(b'"');
    for byte in text {
        match byte {
            b'\\' | b'"' => into.extend_from_slice(&[b'\\', *byte]),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            7 => into.extend_from_slice(b"\\a"),
            8 => into.extend_from_slice(b"\\b"),
            b' '..=b'~' => into.push(*byte),
            _ => {
                into.extend_from_slice(b"\\x");
                into.push(DIGITS[usize::from(byte >> 4)]);
                into.push(DIGITS[usize::from(byte & 15)]);
            }
        }
    }
    into.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_what_redis_writes() {
        let mut text =
            b"# a comment\n\n  maxmemory 100mb\nsave \"\"\nnotify-keyspace-events 'K\\'x'\nrequirepass "
                .to_vec();
        quoted(b"a\0\"\\ \xff\n", &mut text);
        text.extend_from_slice(b"\r\nsave 900 1  300 10\n");
        let lines = parse_lines(&text).unwrap_or_default();
        let shown: Vec<(&[u8], &[u8])> =
            lines.iter().map(|line| (line.name.as_slice(), line.value.as_slice())).collect();
        let expected: [(&[u8], &[u8]); 5] = [
            (b"maxmemory", b"100mb"),
            (b"save", b""),
            (b"notify-keyspace-events", b"K'x"),
            (b"requirepass", b"a\0\"\\ \xff\n"),
            (b"save", b"900 1 300 10"),
        ];
        assert_eq!(shown, expected);
        assert_eq!(parse_lines(b"\nbind \"open\n").err(), Some(2));
        assert_eq!(parse_lines(b"bind \"a\"b\n").err(), Some(1));
    }
}
