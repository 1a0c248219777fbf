//! Whether a user may run a command: the command itself, its keys with what it does to them, its channels.

use proxy_commands::{Flags, Id, KeyFlags, Row};
use proxy_engine::glob_match;
use proxy_resp::{Args, parse_i64};

use crate::selector::Selector;
use crate::user::User;

/// What was not allowed; a later one is the more telling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    Command,
    Key,
    Channel,
}

/// A command was denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denied {
    pub reason: Reason,
    /// Position of the key or channel; 0 for a command.
    pub at: usize,
}

impl Denied {
    /// What the client is told, with its code.
    pub fn reply(&self, row: &Row) -> String {
        match self.reason {
            Reason::Command => {
                format!("NOPERM this user has no permissions to run the '{}' command", row.name)
            }
            Reason::Key => {
                "NOPERM this user has no permissions to access one of the keys used as arguments".to_owned()
            }
            Reason::Channel => {
                "NOPERM this user has no permissions to access one of the channels used as arguments"
                    .to_owned()
            }
        }
    }

    /// Why a command of a transaction isn't run although it was queued.
    pub fn reply_at_exec(&self) -> String {
        let reason = match self.reason {
            Reason::Command => "no permission to execute the command or subcommand",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Channel => "no permission to access one of the channels used as arguments to the command",
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
             command is no longer allowed for the following reason: {reason}"
        )
    }

    /// What a script is told whose user may not do this (without the code `ERR`).
    pub const fn in_script(&self) -> &'static str {
        match self.reason {
            Reason::Command => "The user executing the script can't run this command or subcommand",
            Reason::Key => {
                "The user executing the script can't access at least one of the keys mentioned in the command \
                 arguments"
            }
            Reason::Channel => {
                "The user executing the script can't publish to the channel mentioned in the command"
            }
        }
    }

    /// What ACL DRYRUN answers.
    pub fn dry_run(&self, row: &Row, args: Args<'_>) -> Vec<u8> {
        let text = |before: &str, what: &[u8], after: &str| {
            [b"This user has no permissions to ", before.as_bytes(), b" '", what, b"' ", after.as_bytes()]
                .concat()
        };
        match self.reason {
            Reason::Command => text("run the", row.name.as_bytes(), "command"),
            Reason::Key => text("access the", args.at(self.at), "key"),
            Reason::Channel => text("access the", args.at(self.at), "channel"),
        }
    }

    /// What ACL LOG calls the object of this denial.
    pub fn object<'a>(&self, row: &'a Row, args: Args<'a>) -> &'a [u8] {
        match self.reason {
            Reason::Command => row.name.as_bytes(),
            Reason::Key | Reason::Channel => args.at(self.at),
        }
    }
}

/// What a call needs, found out once for all selectors.
#[derive(Default)]
struct Needs {
    known: bool,
    /// Position, to be read, to be written.
    keys: Vec<(usize, bool, bool)>,
}

/// Whether `user` may run the command of `row` with these arguments, the command's name first.
///
/// # Errors
/// What none of the user's selectors allows.
pub fn check_command(user: &User, row: &'static Row, args: Args<'_>) -> Result<(), Denied> {
    let mut needs = Needs::default();
    let mut worst = Denied { reason: Reason::Command, at: 0 };
    for selector in user.all_selectors() {
        match selector.check(row, args, &mut needs) {
            Ok(()) => return Ok(()),
            Err(denied) if (denied.reason, denied.at) > (worst.reason, worst.at) => worst = denied,
            Err(_) => {}
        }
    }
    Err(worst)
}

/// SORT follows patterns to keys that no argument names, so BY and GET need a user who may read every key. The error
/// for one who may not, unless the command's own complaint about an earlier argument comes first.
pub fn check_sort(user: &User, row: &'static Row, args: Args<'_>) -> Result<(), &'static str> {
    if !matches!(row.id, Id::Sort | Id::SortRo) || user.is_unbounded() || reads_every_key(user, row, args) {
        return Ok(());
    }
    let mut at = 2;
    while at < args.len() {
        let (is, rest) =
            (|word: &str| args.at(at).eq_ignore_ascii_case(word.as_bytes()), args.len() - at - 1);
        at += match () {
            () if is("ASC") || is("DESC") || is("ALPHA") => 1,
            () if is("LIMIT") && rest >= 2 => {
                if parse_i64(args.at(at + 1)).is_none() || parse_i64(args.at(at + 2)).is_none() {
                    return Ok(());
                }
                3
            }
            () if is("STORE") && rest >= 1 && row.id == Id::Sort => 2,
            () if is("BY") && rest >= 1 => {
                if args.at(at + 1).contains(&b'*') {
                    return Err("ERR BY option of SORT denied due to insufficient ACL permissions.");
                }
                2
            }
            () if is("GET") && rest >= 1 => {
                return Err("ERR GET option of SORT denied due to insufficient ACL permissions.");
            }
            () => return Ok(()),
        };
    }
    Ok(())
}

/// Whether some selector lets the user run this command and read every key.
fn reads_every_key(user: &User, row: &'static Row, args: Args<'_>) -> bool {
    let mut needs = Needs::default();
    user.all_selectors().any(|selector| {
        let every = selector.all_keys || selector.keys.iter().any(|key| key.read && key.pattern == b"*");
        every && selector.check(row, args, &mut needs).is_ok()
    })
}

/// The arguments that name channels, and whether they are patterns.
fn channels(row: &Row, args: Args<'_>) -> (std::ops::Range<usize>, bool) {
    match row.name {
        "publish" | "spublish" => (1..2, false),
        "subscribe" | "ssubscribe" => (1..args.len(), false),
        "psubscribe" => (1..args.len(), true),
        _ => (0..0, false),
    }
}

impl Selector {
    fn check(&self, row: &'static Row, args: Args<'_>, needs: &mut Needs) -> Result<(), Denied> {
        if !self.all_commands && !row.flags.has(Flags::NO_AUTH) && !self.may_run(row, args) {
            return Err(Denied { reason: Reason::Command, at: 0 });
        }
        if !self.all_keys && !row.specs.is_empty() {
            if !needs.known {
                needs.find(row, args);
            }
            for (at, read, write) in &needs.keys {
                if !self.may_touch(args.at(*at), *read, *write) {
                    return Err(Denied { reason: Reason::Key, at: *at });
                }
            }
        }
        if !self.all_channels {
            let (places, literally) = channels(row, args);
            for at in places {
                let channel = args.at(at);
                let fits = |pattern: &Vec<u8>| {
                    if literally { pattern == channel } else { glob_match(pattern, channel) }
                };
                if !self.channels.iter().any(fits) {
                    return Err(Denied { reason: Reason::Channel, at });
                }
            }
        }
        Ok(())
    }

    fn may_run(&self, row: &Row, args: Args<'_>) -> bool {
        let bit = row.id as u16;
        if self.bits.has(bit) {
            return true;
        }
        let (Some(allowed), Some(first)) = (self.first_args.get(&bit), args.get(1)) else { return false };
        allowed.iter().any(|arg| arg.eq_ignore_ascii_case(first))
    }

    pub(crate) fn may_touch(&self, key: &[u8], read: bool, write: bool) -> bool {
        self.all_keys
            || self.keys.iter().any(|allowed| {
                (allowed.read || !read) && (allowed.write || !write) && glob_match(&allowed.pattern, key)
            })
    }

    /// Whether a client may stay subscribed to a channel or pattern.
    pub(crate) fn may_hear(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self
                .channels
                .iter()
                .any(|allowed| if is_pattern { allowed == channel } else { glob_match(allowed, channel) })
    }
}

impl User {
    /// Whether a client of this user may stay subscribed to a channel (or, literally, to a pattern).
    pub fn may_hear(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_selectors().any(|selector| selector.may_hear(channel, is_pattern))
    }
}

impl Needs {
    fn find(&mut self, row: &Row, args: Args<'_>) {
        self.known = true;
        let writes = KeyFlags::INSERT | KeyFlags::DELETE | KeyFlags::UPDATE;
        let found = row.for_each_key(
            args.len(),
            |at| args.at(at),
            |at, flags| {
                if !flags.has(KeyFlags::NOT_KEY) {
                    self.keys.push((at, flags.has(KeyFlags::ACCESS), flags.has(writes)));
                }
            },
        );
        // Arguments that don't say which keys they mean are refused by the command itself.
        if found.is_err() {
            self.keys.clear();
        }
    }
}
