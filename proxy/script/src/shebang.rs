//! The first line of a script or library: `#!lua name=<library> flags=<flag>,<flag>`.

/// What a script says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    pub no_writes: bool,
    pub allow_oom: bool,
    pub allow_stale: bool,
    pub no_cluster: bool,
    pub allow_cross_slot_keys: bool,
    /// There is no first line of this kind: the rules before Redis 7 hold.
    pub compatible: bool,
}

impl Flags {
    /// Names, in the order in which Redis lists them.
    pub const NAMES: [&str; 5] =
        ["no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"];

    /// Sets the flag of this name; false when there is none.
    pub fn set(&mut self, name: &[u8]) -> bool {
        let flag = match name {
            b"no-writes" => &mut self.no_writes,
            b"allow-oom" => &mut self.allow_oom,
            b"allow-stale" => &mut self.allow_stale,
            b"no-cluster" => &mut self.no_cluster,
            b"allow-cross-slot-keys" => &mut self.allow_cross_slot_keys,
            _ => return false,
        };
        *flag = true;
        true
    }

    /// The names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set =
            [self.no_writes, self.allow_oom, self.allow_stale, self.no_cluster, self.allow_cross_slot_keys];
        Self::NAMES.into_iter().zip(set).filter_map(|(name, set)| set.then_some(name))
    }
}

/// A first line, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shebang<'a> {
    pub engine: &'a [u8],
    pub options: Vec<&'a [u8]>,
    /// What follows; the line end is its first byte, so that lines keep their numbers.
    pub body: &'a [u8],
}

/// Why a script's first line is refused; the text of the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShebangError(pub Vec<u8>);

impl<'a> Shebang<'a> {
    /// `None` when the code begins otherwise; an error when the first line does not end.
    pub fn parse(code: &'a [u8]) -> Result<Option<Self>, ShebangError> {
        if !code.starts_with(b"#!") {
            return Ok(None);
        }
        let Some(end) = code.iter().position(|b| *b == b'\n') else {
            return Err(ShebangError(b"Invalid script shebang".to_vec()));
        };
        let (line, body) = code.split_at(end);
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(unquoted);
        let engine = words.next().unwrap_or_default();
        Ok(Some(Self { engine, options: words.collect(), body }))
    }
}

fn unquoted(word: &[u8]) -> &[u8] {
    let inner = |q: u8| word.strip_prefix(&[q]).and_then(|word| word.strip_suffix(&[q]));
    inner(b'"').or_else(|| inner(b'\'')).unwrap_or(word)
}

/// Takes the flags of a script from its first line; returns them and the code that is to be compiled.
pub fn script(code: &[u8]) -> Result<(Flags, &[u8]), ShebangError> {
    let Some(shebang) = Shebang::parse(code)? else {
        return Ok((Flags { compatible: true, ..Flags::default() }, code));
    };
    let quote = |text: &str, word: &[u8]| ShebangError([text.as_bytes(), word].concat());
    if shebang.engine != b"#!lua" {
        return Err(quote("Unexpected engine in script shebang: ", shebang.engine));
    }
    let mut flags = Flags::default();
    for option in shebang.options {
        let Some(names) = option.strip_prefix(b"flags=") else {
            return Err(quote("Unknown lua shebang option: ", option));
        };
        if names.is_empty() {
            continue;
        }
        for name in names.split(|b| *b == b',') {
            if !flags.set(name) {
                return Err(quote("Unexpected flag in script shebang: ", name));
            }
        }
    }
    Ok((flags, shebang.body))
}

/// Takes a library's name from its first line; returns it and the code that is to be compiled.
pub fn library(code: &[u8]) -> Result<(&[u8], &[u8]), ShebangError> {
    let fail = |text: &str| ShebangError(text.into());
    let shebang = match Shebang::parse(code) {
        Ok(Some(shebang)) => shebang,
        Ok(None) => return Err(fail("Missing library metadata")),
        Err(_) => return Err(fail("Invalid library metadata")),
    };
    let mut name = None;
    for option in shebang.options {
        match option.strip_prefix(b"name=") {
            Some(_) if name.is_some() => {
                return Err(fail("Invalid metadata value, name argument was given multiple times"));
            }
            Some(given) => name = Some(given),
            None => return Err(ShebangError([b"Invalid metadata value given: ", option].concat())),
        }
    }
    let name = name.ok_or_else(|| fail("Library name was not given"))?;
    if !is_name(name) {
        return Err(fail(NOT_A_NAME));
    }
    let engine = shebang.engine.get(2..).unwrap_or_default();
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(ShebangError([b"Engine '", engine, b"' not found"].concat()));
    }
    Ok((name, shebang.body))
}

pub(crate) const NOT_A_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Whether a library or function may have this name.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        assert!(script(b"return 1").is_ok_and(|(flags, body)| flags.compatible && body == b"return 1"));
        let code = b"#!lua  flags=no-writes   flags=allow-oom\nreturn 1";
        let (flags, body) = script(code).unwrap_or_default();
        assert!(flags.no_writes && flags.allow_oom && !flags.compatible);
        assert_eq!(body, b"\nreturn 1");
        for (code, text) in [
            ("#!lua", "Invalid script shebang"),
            ("#!LUA\n", "Unexpected engine in script shebang: #!LUA"),
            ("#!lua flags=no-writes,\n", "Unexpected flag in script shebang: "),
            ("#!lua foo=bar\n", "Unknown lua shebang option: foo=bar"),
        ] {
            assert_eq!(script(code.as_bytes()), Err(ShebangError(text.as_bytes().to_vec())));
        }
    }
}
