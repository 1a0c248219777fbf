//! Redis's glob patterns (KEYS, SCAN MATCH): `*`, `?`, `[abc]`, `[^a-z]`, `\x`. Steps back only to the last
//! star, so the time is bounded by pattern times text, whatever the pattern.

/// Whether the whole `text` matches `pattern`. As in Redis, no star matches an empty text; commands that
/// take a lone `*` as "everything" say so themselves.
pub fn glob_match(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit: behind the star, one byte later.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        match pattern.get(p..).filter(|rest| !rest.is_empty()).map(|rest| step(rest, text[t])) {
            Some((true, used)) => {
                p += used;
                t += 1;
            }
            _ => match retry {
                Some((behind_star, from)) => {
                    (p, t) = (behind_star, from + 1);
                    retry = Some((p, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Compares one byte with the first element of a pattern that is no star; also the element's length.
fn step(pattern: &[u8], byte: u8) -> (bool, usize) {
    match pattern {
        [b'?', ..] => (true, 1),
        [b'[', ..] => class(pattern, byte),
        [b'\\', escaped, ..] => (*escaped == byte, 2),
        _ => (pattern[0] == byte, 1),
    }
}

/// A class in brackets. One that is not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> (bool, usize) {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = 1 + usize::from(negated);
    let mut found = false;
    loop {
        match pattern.get(at..).unwrap_or_default() {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [low, b'-', high, ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                at += 3;
            }
            [one, ..] => {
                found |= *one == byte;
                at += 1;
            }
        }
    }
    (found != negated, at.min(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::glob_match;

    fn matches(pattern: &str, text: &str) -> bool {
        glob_match(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn each_element() {
        for (pattern, text) in [
            ("*", "a"),
            ("*", "abc"),
            ("a?c", "abc"),
            ("a*c*e", "abcde"),
            ("[a-c]x", "bx"),
            ("[c-a]x", "bx"),
            ("[^a]", "b"),
            ("\\*", "*"),
            ("[\\]]", "]"),
            ("a[b", "ab"),
            ("**a", "ba"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("?", ""),
            ("**", ""),
            ("a?c", "ac"),
            ("[^a]", "a"),
            ("\\*", "a"),
            ("a*b", "ac"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    /// Patterns that make a recursive matcher run for ages.
    #[test]
    fn many_stars_end_soon() {
        let pattern = "a*".repeat(2000) + "b";
        assert!(!matches(&pattern, &"a".repeat(5000)));
    }
}
