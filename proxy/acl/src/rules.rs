//! ACL SETUSER's rules: each changes a user or one of their selectors, or is refused with Redis's words.

use proxy_commands::Categories;
use proxy_resp::split_line;

use crate::password::{Digest, PASSWORD_MAX_BYTES, digest};
use crate::selector::{KeyPattern, Selector};
use crate::user::{Sanitize, User, is_space};
use crate::vocabulary;

/// Why a rule is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    Unknown,
    Syntax,
    AllKeys,
    AllChannels,
    NoSuchPassword,
    BadHash,
    LongPassword,
    FirstArgOfSubcommand,
}

impl Refusal {
    const fn text(self) -> &'static str {
        match self {
            Refusal::Unknown => "Unknown command or category name in ACL",
            Refusal::Syntax => "Syntax error",
            Refusal::AllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Refusal::AllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have \
                 any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Refusal::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Refusal::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Refusal::LongPassword => "Passwords may have 65536 bytes",
            Refusal::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        }
    }
}

/// Why a list of rules is refused, as ACL SETUSER says it (without the code `ERR`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error(Vec<u8>);

impl Error {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn refused(rule: &[u8], refusal: Refusal) -> Self {
        // Nobody wants a long password repeated.
        let rule = if refusal == Refusal::LongPassword { b">..." } else { until_nul(rule) };
        Self([b"Error in ACL SETUSER modifier '", rule, b"': ", refusal.text().as_bytes()].concat())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// As far as C reads a text.
fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|b| *b == 0).next().unwrap_or_default()
}

impl User {
    /// ACL SETUSER: applies rules in their order, all or none of them. Selectors begin with all channels if
    /// `all_channels` (`acl-pubsub-default`). Also tells which rules allow a first argument: a use that Redis has
    /// deprecated, worth a line in the log.
    ///
    /// # Errors
    /// The text for the client.
    pub fn apply<'a>(
        &mut self,
        rules: impl IntoIterator<Item = &'a [u8]>,
        all_channels: bool,
    ) -> Result<Vec<String>, Error> {
        let mut changed = self.clone();
        let mut deprecated = Vec::new();
        for rule in join_selectors(rules)? {
            let applied = changed.rule(&rule, all_channels, &mut deprecated);
            applied.map_err(|refusal| Error::refused(&rule, refusal))?;
        }
        *self = changed;
        Ok(deprecated)
    }

    fn rule(&mut self, rule: &[u8], all_channels: bool, deprecated: &mut Vec<String>) -> Result<(), Refusal> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            [] => {}
            [b'>', password @ ..] if password.len() > PASSWORD_MAX_BYTES => {
                return Err(Refusal::LongPassword);
            }
            [b'>', password @ ..] => self.add_password(digest(password)),
            [b'#', hash @ ..] => self.add_password(Digest::from_hex(hash).ok_or(Refusal::BadHash)?),
            [b'<', password @ ..] => self.remove_password(&digest(password))?,
            [b'!', hash @ ..] => self.remove_password(&Digest::from_hex(hash).ok_or(Refusal::BadHash)?)?,
            [b'(', inner @ .., b')'] => self.others.push(nested(inner, all_channels, deprecated)?),
            _ if is("on") => self.enabled = true,
            _ if is("off") => self.enabled = false,
            _ if is("nopass") => {
                self.no_password = true;
                self.passwords.clear();
            }
            _ if is("resetpass") => self.reset_passwords(),
            _ if is("skip-sanitize-payload") => self.sanitize = Sanitize::Skip,
            _ if is("sanitize-payload") => self.sanitize = Sanitize::Always,
            _ if is("clearselectors") => self.others.clear(),
            _ if is("reset") => {
                self.reset_passwords();
                self.enabled = false;
                self.sanitize = Sanitize::Always;
                self.others.clear();
                self.root = Selector::new(all_channels);
            }
            _ => self.root.rule(rule, deprecated)?,
        }
        Ok(())
    }

    fn reset_passwords(&mut self) {
        self.no_password = false;
        self.passwords.clear();
    }

    fn add_password(&mut self, password: Digest) {
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
        self.no_password = false;
    }

    fn remove_password(&mut self, password: &Digest) -> Result<(), Refusal> {
        let at = self.passwords.iter().position(|kept| kept == password).ok_or(Refusal::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }
}

/// A selector in parentheses may have come as several arguments: they are one rule. As in Redis, one that is opened
/// before the last one was closed takes its place.
fn join_selectors<'a>(rules: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, Error> {
    let mut joined = Vec::new();
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for rule in rules {
        let closes = rule.last() == Some(&b')');
        if rule.first() == Some(&b'(') && !closes {
            open = Some((rule, rule.to_vec()));
        } else if let Some((first, mut text)) = open.take() {
            text.push(b' ');
            text.extend_from_slice(rule);
            if closes {
                joined.push(text);
            } else {
                open = Some((first, text));
            }
        } else {
            joined.push(rule.to_vec());
        }
    }
    match open {
        None => Ok(joined),
        Some((first, _)) => {
            let first = until_nul(first);
            Err(Error([b"Unmatched parenthesis in acl selector starting at '", first, b"'."].concat()))
        }
    }
}

/// A selector of the words between two parentheses; words whose quotes don't fit are no words.
fn nested(inner: &[u8], all_channels: bool, deprecated: &mut Vec<String>) -> Result<Selector, Refusal> {
    let mut selector = Selector::new(all_channels);
    let (mut words, mut spans) = (Vec::new(), Vec::new());
    if split_line(inner, &mut words, &mut spans) {
        for (start, end) in spans {
            selector.rule(words.get(start as usize..end as usize).unwrap_or_default(), deprecated)?;
        }
    }
    Ok(selector)
}

impl Selector {
    fn rule(&mut self, rule: &[u8], deprecated: &mut Vec<String>) -> Result<(), Refusal> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            _ if is("allkeys") || rule == b"~*" => {
                self.all_keys = true;
                self.keys.clear();
            }
            _ if is("resetkeys") => {
                self.all_keys = false;
                self.keys.clear();
            }
            _ if is("allchannels") || rule == b"&*" => {
                self.all_channels = true;
                self.channels.clear();
            }
            _ if is("resetchannels") => {
                self.all_channels = false;
                self.channels.clear();
            }
            _ if is("allcommands") || is("+@all") => self.set_every_command(true),
            _ if is("nocommands") || is("-@all") => self.set_every_command(false),
            [b'~', pattern @ ..] => self.add_keys(pattern, true, true)?,
            [b'%', rest @ ..] => self.add_keys_with_permissions(rest)?,
            [b'&', pattern @ ..] => self.add_channels(pattern)?,
            [b'+', b'@', name @ ..] => self.set_category(category(name)?, true),
            [b'-', b'@', name @ ..] => self.set_category(category(name)?, false),
            [b'+', name @ ..] => self.allow(until_nul(name), deprecated)?,
            [b'-', name @ ..] => {
                let command = vocabulary::find(until_nul(name)).ok_or(Refusal::Unknown)?;
                self.set_command(command, false);
            }
            _ => return Err(Refusal::Syntax),
        }
        Ok(())
    }

    fn add_keys_with_permissions(&mut self, rest: &[u8]) -> Result<(), Refusal> {
        if self.all_keys {
            return Err(Refusal::AllKeys);
        }
        let (mut read, mut write, mut at) = (false, false, 0);
        while let Some(byte) = rest.get(at) {
            at += 1;
            match byte.to_ascii_uppercase() {
                b'R' if !read => read = true,
                b'W' if !write => write = true,
                b'~' if read || write => break,
                _ => return Err(Refusal::Syntax),
            }
        }
        if !read && !write {
            return Err(Refusal::Syntax);
        }
        self.add_keys(rest.get(at..).unwrap_or_default(), read, write)
    }

    fn add_keys(&mut self, pattern: &[u8], read: bool, write: bool) -> Result<(), Refusal> {
        if self.all_keys {
            return Err(Refusal::AllKeys);
        }
        if !is_pattern(pattern) {
            return Err(Refusal::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.pattern == pattern) {
            Some(known) => {
                known.read |= read;
                known.write |= write;
            }
            None => self.keys.push(KeyPattern { read, write, pattern: pattern.to_vec() }),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), Refusal> {
        if self.all_channels {
            return Err(Refusal::AllChannels);
        }
        if !is_pattern(pattern) {
            return Err(Refusal::Syntax);
        }
        if !self.channels.iter().any(|known| known == pattern) {
            self.channels.push(pattern.to_vec());
        }
        Ok(())
    }

    /// `+command`, `+command|subcommand` or, deprecated, `+command|argument`.
    fn allow(&mut self, name: &[u8], deprecated: &mut Vec<String>) -> Result<(), Refusal> {
        let Some(bar) = name.iter().rposition(|b| *b == b'|') else {
            let command = vocabulary::find(name).ok_or(Refusal::Unknown)?;
            self.set_command(command, true);
            return Ok(());
        };
        let (container, sub) = (&name[..bar], &name[bar + 1..]);
        let command = vocabulary::find(container).ok_or(Refusal::Unknown)?;
        if command.is_subcommand {
            return Err(Refusal::FirstArgOfSubcommand);
        }
        if sub.is_empty() {
            return Err(Refusal::Syntax);
        }
        if command.has_subcommands() {
            self.set_command(vocabulary::find(name).ok_or(Refusal::Unknown)?, true);
        } else {
            self.add_first_arg(command, sub);
            deprecated.push(String::from_utf8_lossy(name).into_owned());
        }
        Ok(())
    }
}

fn is_pattern(pattern: &[u8]) -> bool {
    !pattern.iter().any(|b| is_space(*b) || *b == 0)
}

fn category(name: &[u8]) -> Result<Categories, Refusal> {
    vocabulary::category(until_nul(name)).ok_or(Refusal::Unknown)
}
