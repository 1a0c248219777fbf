//! Which arguments of a command are secret: neither MONITOR nor the slow log shows them.

use proxy_commands::{Id, Row};
use proxy_resp::Args;

use crate::params;

/// What stands in a secret's place.
pub(crate) const REDACTED: &[u8] = b"(redacted)";

/// Whether argument `at` of the command is secret.
pub(crate) fn is_secret(row: &Row, args: Args<'_>, at: usize) -> bool {
    match row.id {
        Id::Auth => at > 0,
        Id::Hello => behind_word(args, at, b"AUTH", 2),
        Id::ConfigSet => {
            at >= 3 && at % 2 == 1 && params::find(args.at(at - 1)).is_some_and(|param| param.secret)
        }
        Id::AclSetuser => at >= 2,
        Id::Migrate => behind_word(args, at, b"AUTH", 1) || behind_word(args, at, b"AUTH2", 2),
        _ => false,
    }
}

/// Whether argument `at` is one of the `n` behind a word.
fn behind_word(args: Args<'_>, at: usize, word: &[u8], n: usize) -> bool {
    (1..=n).any(|back| at > back && args.at(at - back).eq_ignore_ascii_case(word))
}
