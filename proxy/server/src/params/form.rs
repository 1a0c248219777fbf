//! How a parameter's value is written: parsing it, with Redis's words for what is wrong, and showing it.

/// The form of a value.
pub(crate) enum Form {
    /// A whole number within bounds.
    Integer { min: i64, max: i64 },
    /// A number of bytes with an optional unit.
    Bytes { min: i64, max: i64 },
    /// `yes` or `no`.
    Bool,
    /// One of these words, in any case of letters.
    Choice(&'static [&'static str]),
    /// Anything; whoever owns the parameter looks at it.
    Text,
}

impl Form {
    /// The number that `text` stands for: a boolean is 0 or 1, a word its place in the list.
    ///
    /// # Errors
    /// What is wrong, as redis-server 7.0 says it.
    pub(crate) fn parse(&self, text: &[u8]) -> Result<i64, String> {
        let (value, min, max) = match self {
            Form::Integer { min, max } => {
                let value = proxy_resp::parse_i64(text);
                (value.ok_or("argument couldn't be parsed into an integer")?, *min, *max)
            }
            Form::Bytes { min, max } => {
                (parse_bytes(text).ok_or("argument must be a memory value")?, *min, *max)
            }
            Form::Bool => {
                let is = |word: &[u8]| text.eq_ignore_ascii_case(word);
                return match (is(b"yes"), is(b"no")) {
                    (true, _) => Ok(1),
                    (_, true) => Ok(0),
                    _ => Err("argument must be 'yes' or 'no'".into()),
                };
            }
            Form::Choice(words) => {
                let place = words.iter().position(|word| word.as_bytes().eq_ignore_ascii_case(text));
                return place.map(|at| at as i64).ok_or_else(|| {
                    format!("argument(s) must be one of the following: {}", words.join(", "))
                });
            }
            Form::Text => return Ok(0),
        };
        if value < min || value > max {
            return Err(format!("argument must be between {min} and {max} inclusive"));
        }
        Ok(value)
    }

    /// The text of a number that [`Form::parse`] may have given.
    pub(crate) fn show(&self, value: i64) -> String {
        match self {
            Form::Bool => if value == 0 { "no" } else { "yes" }.to_owned(),
            Form::Choice(words) => {
                let word = usize::try_from(value).ok().and_then(|at| words.get(at));
                word.copied().unwrap_or_default().to_owned()
            }
            _ => value.to_string(),
        }
    }
}

/// A number of bytes with an optional unit: k, kb, m, mb, g, gb, b.
pub(crate) fn parse_bytes(text: &[u8]) -> Option<i64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1000 * 1000,
        b"mb" => 1 << 20,
        b"g" => 1000 * 1000 * 1000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    std::str::from_utf8(number).ok()?.parse::<i64>().ok()?.checked_mul(factor)
}
