//! The commands and categories that rules can name: those of the command table, and those of Redis 7.0 that are not
//! offered here, so that a rule file written for Redis means the same.

use std::collections::HashMap;
use std::sync::LazyLock;

use proxy_commands::{Categories, rows};

/// A command or subcommand as rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    /// Its place in a selector's bits; equal to the row's id for commands of the table.
    pub(crate) bit: u16,
    /// As COMMAND shows it: `get`, `config|get`.
    pub(crate) name: &'static str,
    pub(crate) categories: Categories,
    pub(crate) is_subcommand: bool,
    /// Redis 7.0 doesn't have it: it must not change how rules are shown.
    pub(crate) is_newer: bool,
    /// Where its subcommands stand among all commands.
    subcommands: (usize, usize),
}

impl Command {
    pub(crate) fn has_subcommands(&self) -> bool {
        self.subcommands.0 < self.subcommands.1
    }
}

/// The bit of the first command that is not in the table.
const FIRST_FOREIGN_BIT: u16 = 512;

/// Commands of Redis 7.0 that rules may name although the table may lack them, with their categories.
const FOREIGN: &[(&str, &str)] = &[
    ("asking", "fast connection"),
    ("bgrewriteaof", "admin slow dangerous"),
    ("client|caching", "slow connection"),
    ("client|getredir", "slow connection"),
    ("client|pause", "admin slow dangerous connection"),
    ("client|tracking", "slow connection"),
    ("client|trackinginfo", "slow connection"),
    ("client|unpause", "admin slow dangerous connection"),
    ("cluster", "slow"),
    ("cluster|addslots", "admin slow dangerous"),
    ("cluster|addslotsrange", "admin slow dangerous"),
    ("cluster|bumpepoch", "admin slow dangerous"),
    ("cluster|count-failure-reports", "admin slow dangerous"),
    ("cluster|countkeysinslot", "slow"),
    ("cluster|delslots", "admin slow dangerous"),
    ("cluster|delslotsrange", "admin slow dangerous"),
    ("cluster|failover", "admin slow dangerous"),
    ("cluster|flushslots", "admin slow dangerous"),
    ("cluster|forget", "admin slow dangerous"),
    ("cluster|getkeysinslot", "slow"),
    ("cluster|help", "slow"),
    ("cluster|info", "slow"),
    ("cluster|keyslot", "slow"),
    ("cluster|links", "slow"),
    ("cluster|meet", "admin slow dangerous"),
    ("cluster|myid", "slow"),
    ("cluster|nodes", "slow"),
    ("cluster|replicas", "admin slow dangerous"),
    ("cluster|replicate", "admin slow dangerous"),
    ("cluster|reset", "admin slow dangerous"),
    ("cluster|saveconfig", "admin slow dangerous"),
    ("cluster|set-config-epoch", "admin slow dangerous"),
    ("cluster|setslot", "admin slow dangerous"),
    ("cluster|shards", "slow"),
    ("cluster|slaves", "admin slow dangerous"),
    ("cluster|slots", "slow"),
    ("eval", "slow scripting"),
    ("eval_ro", "slow scripting"),
    ("evalsha", "slow scripting"),
    ("evalsha_ro", "slow scripting"),
    ("failover", "admin slow dangerous"),
    ("fcall", "slow scripting"),
    ("fcall_ro", "slow scripting"),
    ("function", "slow"),
    ("function|delete", "write slow scripting"),
    ("function|dump", "slow scripting"),
    ("function|flush", "write slow scripting"),
    ("function|help", "slow scripting"),
    ("function|kill", "slow scripting"),
    ("function|list", "slow scripting"),
    ("function|load", "write slow scripting"),
    ("function|restore", "write slow scripting"),
    ("function|stats", "slow scripting"),
    ("latency", "slow"),
    ("latency|doctor", "admin slow dangerous"),
    ("latency|graph", "admin slow dangerous"),
    ("latency|help", "slow"),
    ("latency|histogram", "admin slow dangerous"),
    ("latency|history", "admin slow dangerous"),
    ("latency|latest", "admin slow dangerous"),
    ("latency|reset", "admin slow dangerous"),
    ("lolwut", "read fast"),
    ("migrate", "keyspace write slow dangerous"),
    ("module", "slow"),
    ("module|help", "slow"),
    ("module|list", "admin slow dangerous"),
    ("module|load", "admin slow dangerous"),
    ("module|loadex", "admin slow dangerous"),
    ("module|unload", "admin slow dangerous"),
    ("monitor", "admin slow dangerous"),
    ("psubscribe", "pubsub slow"),
    ("psync", "admin slow dangerous"),
    ("publish", "pubsub fast"),
    ("pubsub", "slow"),
    ("pubsub|channels", "pubsub slow"),
    ("pubsub|help", "slow"),
    ("pubsub|numpat", "pubsub slow"),
    ("pubsub|numsub", "pubsub slow"),
    ("pubsub|shardchannels", "pubsub slow"),
    ("pubsub|shardnumsub", "pubsub slow"),
    ("punsubscribe", "pubsub slow"),
    ("readonly", "fast connection"),
    ("readwrite", "fast connection"),
    ("replconf", "admin slow dangerous"),
    ("replicaof", "admin slow dangerous"),
    ("role", "admin fast dangerous"),
    ("script", "slow"),
    ("script|debug", "slow scripting"),
    ("script|exists", "slow scripting"),
    ("script|flush", "slow scripting"),
    ("script|help", "slow scripting"),
    ("script|kill", "slow scripting"),
    ("script|load", "slow scripting"),
    ("slaveof", "admin slow dangerous"),
    ("slowlog", "slow"),
    ("slowlog|get", "admin slow dangerous"),
    ("slowlog|help", "slow"),
    ("slowlog|len", "admin slow dangerous"),
    ("slowlog|reset", "admin slow dangerous"),
    ("spublish", "pubsub fast"),
    ("ssubscribe", "pubsub slow"),
    ("subscribe", "pubsub slow"),
    ("sunsubscribe", "pubsub slow"),
    ("sync", "admin slow dangerous"),
    ("unsubscribe", "pubsub slow"),
];

struct Vocabulary {
    /// A container stands before its subcommands.
    commands: Vec<Command>,
    by_name: HashMap<&'static str, usize>,
}

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| {
    let mut commands: Vec<Command> = Vec::new();
    let of_table: HashMap<&str, (u16, Categories, bool)> = rows()
        .flat_map(|row| std::iter::once(row).chain(row.subcommands))
        .map(|row| (row.name, (row.id as u16, row.categories, is_newer(row.since))))
        .collect();
    let mut named: Vec<(&'static str, u16, Categories, bool)> =
        of_table.iter().map(|(name, (bit, categories, newer))| (*name, *bit, *categories, *newer)).collect();
    for (at, (name, words)) in FOREIGN.iter().enumerate() {
        if !of_table.contains_key(name) {
            let categories = words.split(' ').filter_map(|word| category(word.as_bytes()));
            let categories = categories.fold(Categories(0), |all, one| all | one);
            named.push((name, FIRST_FOREIGN_BIT + at as u16, categories, false));
        }
    }
    // By name, a container and its subcommands together: a bar sorts behind every letter, so not plainly.
    named.sort_by_key(|(name, ..)| name.split_once('|').unwrap_or((name, "")));
    for (name, bit, categories, is_newer) in named {
        let at = commands.len();
        let container = name.split_once('|').map(|(container, _)| container);
        let parent =
            container.and_then(|container| commands.iter_mut().rfind(|other| other.name == container));
        if let Some(parent) = parent {
            let first = if parent.has_subcommands() { parent.subcommands.0 } else { at };
            parent.subcommands = (first, at + 1);
        }
        let is_subcommand = container.is_some();
        commands.push(Command { bit, name, categories, is_subcommand, is_newer, subcommands: (0, 0) });
    }
    let by_name = commands.iter().enumerate().map(|(at, command)| (command.name, at)).collect();
    Vocabulary { commands, by_name }
});

/// Whether a version of Redis is above 7.0.
fn is_newer(since: &str) -> bool {
    let mut parts = since.split('.').map_while(|part| part.parse::<u32>().ok());
    (parts.next(), parts.next()) > (Some(7), Some(0))
}

/// A command or subcommand by its full name, in any case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    /// Longer than any name.
    const NAME_MAX: usize = 64;
    let name = name.get(..NAME_MAX.min(name.len())).unwrap_or_default().to_ascii_lowercase();
    let name = std::str::from_utf8(&name).ok()?;
    VOCABULARY.by_name.get(name).and_then(|at| VOCABULARY.commands.get(*at))
}

/// Every command, containers before their subcommands.
pub(crate) fn commands() -> impl Iterator<Item = &'static Command> {
    VOCABULARY.commands.iter()
}

pub(crate) fn subcommands(container: &Command) -> impl Iterator<Item = &'static Command> {
    let (from, to) = container.subcommands;
    VOCABULARY.commands.get(from..to).unwrap_or_default().iter()
}

pub(crate) fn by_category(category: Categories) -> impl Iterator<Item = &'static Command> {
    commands().filter(move |command| command.categories.has(category))
}

/// A category by its name without the sign, in any case.
pub(crate) fn category(name: &[u8]) -> Option<Categories> {
    category_names()
        .position(|known| known.as_bytes().eq_ignore_ascii_case(name))
        .map(|bit| Categories(1 << bit))
}

/// The categories, in the order of ACL CAT.
pub fn category_names() -> impl ExactSizeIterator<Item = &'static str> {
    Categories::NAMES.iter().map(|name| name.trim_start_matches('@'))
}

/// The commands of a category, for ACL CAT; `None` for a name that is no category.
pub fn commands_of(name: &[u8]) -> Option<impl Iterator<Item = &'static str>> {
    category(name).map(|category| by_category(category).map(|command| command.name))
}
