//! The columns of the command table and the small constructors with which `table/` writes its rows.
//! Everything is built in constants: a row costs nothing at start and nothing to look at.

use crate::{Categories, Flags, Id, KeyFlags};

/// One command, or one subcommand of a container command.
#[derive(Debug)]
pub struct Row {
    pub id: Id,
    /// Lower case; a subcommand carries its container's name before a bar (`config|get`).
    pub name: &'static str,
    /// Number of arguments, the name included; `-n` means at least n.
    pub arity: i16,
    pub flags: Flags,
    pub categories: Categories,
    /// Position of the first key, 0 when the command has none at a fixed place.
    pub first_key: i16,
    /// Position of the last key; -1 is the last argument, -2 the one before it.
    pub last_key: i16,
    /// Distance between keys.
    pub step: i16,
    pub specs: &'static [KeySpec],
    /// Hints that COMMAND INFO gives to proxies and clients.
    pub tips: &'static [&'static str],
    pub group: Group,
    pub since: &'static str,
    pub summary: &'static str,
    pub complexity: &'static str,
    /// Since when the command is deprecated, and what stands in for it.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Meant for the server's own people (`doc_flags: syscmd`).
    pub system: bool,
    pub args: &'static [Arg],
    pub routing: Routing,
    pub subcommands: &'static [Row],
}

/// How a command finds the shards that run it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Routing {
    /// All its keys must live in one shard; that shard runs it.
    Keys,
    /// The keys are divided over their shards, each of which runs the command on its part.
    Split(Merge),
    /// Every shard runs the whole command.
    AllShards(Merge),
    /// No key: any one shard can answer.
    AnyShard,
    /// The session answers without a shard, or drives the shards by itself.
    Session,
}

/// How the replies of several shards become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merge {
    /// Integers are added.
    Sum,
    /// Arrays are joined in any order.
    Concat,
    /// OK when each says OK, otherwise the first error.
    AllOk,
    /// Array elements go back to the places of their keys (MGET).
    Ordered,
    /// One shard after another behind one cursor (SCAN).
    Scan,
    /// One shard drawn by its number of keys (RANDOMKEY); another when it has none.
    Random,
    /// Digests of the data set are combined (DEBUG DIGEST).
    Digest,
}

/// The documentation group, as COMMAND DOCS names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    Generic,
    String,
    Hash,
    List,
    Set,
    SortedSet,
    Bitmap,
    HyperLogLog,
    Geo,
    Stream,
    Connection,
    Transactions,
    Pubsub,
    Scripting,
    Cluster,
    Server,
}

impl Group {
    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::Hash => "hash",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Bitmap => "bitmap",
            Group::HyperLogLog => "hyperloglog",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Connection => "connection",
            Group::Transactions => "transactions",
            Group::Pubsub => "pubsub",
            Group::Scripting => "scripting",
            Group::Cluster => "cluster",
            Group::Server => "server",
        }
    }

    /// The ACL category that every command of the group has.
    const fn category(self) -> Categories {
        match self {
            Group::Generic => Categories::KEYSPACE,
            Group::String => Categories::STRING,
            Group::Hash => Categories::HASH,
            Group::List => Categories::LIST,
            Group::Set => Categories::SET,
            Group::SortedSet => Categories::SORTEDSET,
            Group::Bitmap => Categories::BITMAP,
            Group::HyperLogLog => Categories::HYPERLOGLOG,
            Group::Geo => Categories::GEO,
            Group::Stream => Categories::STREAM,
            Group::Connection => Categories::CONNECTION,
            Group::Transactions => Categories::TRANSACTION,
            // Its category follows from the flag.
            Group::Scripting => Categories::SCRIPTING,
            Group::Pubsub | Group::Cluster | Group::Server => Categories(0),
        }
    }
}

/// One way in which keys are found among the arguments.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub flags: KeyFlags,
    pub begin: Begin,
    pub find: Find,
    pub note: Option<&'static str>,
}

/// Where the search of a key spec begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// At this position.
    Index(i16),
    /// Behind this word (in any case), which is looked for from a position on.
    Keyword { word: &'static str, from: i16 },
    /// The arguments alone don't tell, or only the command's own reading of them.
    Unknown,
}

/// What a key spec does from its beginning on.
#[derive(Clone, Copy, Debug)]
pub enum Find {
    /// Keys at `begin`, `begin + step`, ... up to `begin + last` (negative: counted from the end, and
    /// with `limit` > 1 only that fraction of the arguments).
    Range { last: i16, step: i16, limit: i16 },
    /// The argument at `begin + count_at` says how many keys follow from `begin + first` on.
    Count { count_at: i16, first: i16, step: i16 },
    /// With [`Begin::Unknown`].
    Unknown,
}

/// One argument in COMMAND DOCS.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    pub name: &'static str,
    pub kind: ArgKind,
    pub key_spec: Option<u8>,
    pub token: Option<&'static str>,
    pub since: Option<&'static str>,
    pub deprecated: Option<&'static str>,
    pub optional: bool,
    pub multiple: bool,
    /// The token is repeated with the argument.
    pub multiple_token: bool,
    pub args: &'static [Arg],
}

/// The type of a documented argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl ArgKind {
    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Key => "key",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf => "oneof",
            ArgKind::Block => "block",
        }
    }
}

/// Starts a row; the chained setters fill the other columns.
pub(crate) const fn row(id: Id, name: &'static str, arity: i16, group: Group, since: &'static str) -> Row {
    Row {
        id,
        name,
        arity,
        flags: Flags(0),
        categories: group.category(),
        first_key: 0,
        last_key: 0,
        step: 0,
        specs: &[],
        tips: &[],
        group,
        since,
        summary: "",
        complexity: "O(1)",
        deprecated: None,
        system: false,
        args: &[],
        routing: Routing::Session,
        subcommands: &[],
    }
}

impl Row {
    /// Sets flags, and the ACL categories that follow from them.
    pub(crate) const fn flags(mut self, flags: &[Flags]) -> Row {
        let mut i = 0;
        while i < flags.len() {
            self.flags = self.flags.with(flags[i]);
            i += 1;
        }
        let mut implied = self.flags;
        // Of scripts Redis does not say that they read, whatever their flags.
        if matches!(self.group, Group::Scripting) && implied.has(Flags::READONLY) {
            implied = Flags(implied.0 & !Flags::READONLY.0);
        }
        self.categories = self.categories.with(implied_categories(implied));
        self
    }

    /// Replaces the group's category by these (rows whose categories differ from their group's).
    pub(crate) const fn acl(mut self, categories: &[Categories]) -> Row {
        self.categories = implied_categories(self.flags);
        let mut i = 0;
        while i < categories.len() {
            self.categories = self.categories.with(categories[i]);
            i += 1;
        }
        self
    }

    /// Sets the key specs and derives first/last/step from them; the keys route the command.
    pub(crate) const fn keys(mut self, specs: &'static [KeySpec]) -> Row {
        self.specs = specs;
        self.routing = Routing::Keys;
        let (Find::Range { last, step, .. }, Begin::Index(begin)) = (specs[0].find, specs[0].begin) else {
            self.flags = self.flags.with(Flags::MOVABLEKEYS);
            return self;
        };
        self.first_key = begin;
        self.last_key = if last < 0 { last } else { begin + last };
        self.step = step;
        let mut i = 1;
        while i < specs.len() {
            match (specs[i].find, specs[i].begin) {
                (Find::Range { last, .. }, Begin::Index(begin)) if begin == self.last_key + 1 => {
                    self.last_key = if last < 0 { last } else { begin + last };
                }
                _ => self.flags = self.flags.with(Flags::MOVABLEKEYS),
            }
            i += 1;
        }
        self
    }

    pub(crate) const fn route(mut self, routing: Routing) -> Row {
        self.routing = routing;
        self
    }

    pub(crate) const fn docs(mut self, summary: &'static str, complexity: &'static str) -> Row {
        self.summary = summary;
        self.complexity = complexity;
        self
    }

    pub(crate) const fn tips(mut self, tips: &'static [&'static str]) -> Row {
        self.tips = tips;
        self
    }

    pub(crate) const fn args(mut self, args: &'static [Arg]) -> Row {
        self.args = args;
        self
    }

    pub(crate) const fn deprecated(mut self, since: &'static str, replaced_by: &'static str) -> Row {
        self.deprecated = Some((since, replaced_by));
        self
    }

    pub(crate) const fn system(mut self) -> Row {
        self.system = true;
        self
    }

    pub(crate) const fn subcommands(mut self, rows: &'static [Row]) -> Row {
        self.subcommands = rows;
        self
    }

    /// True when `argc` arguments (the name, and a container's subcommand name, included) fit.
    pub const fn arity_fits(&self, argc: usize) -> bool {
        if self.arity >= 0 { argc == self.arity as usize } else { argc >= self.arity.unsigned_abs() as usize }
    }
}

/// The categories that follow from flags alone.
const fn implied_categories(flags: Flags) -> Categories {
    let mut out = if flags.has(Flags::FAST) { Categories::FAST } else { Categories::SLOW };
    if flags.has(Flags::WRITE) {
        out = out.with(Categories::WRITE);
    }
    if flags.has(Flags::READONLY) {
        out = out.with(Categories::READ);
    }
    if flags.has(Flags::ADMIN) {
        out = out.with(Categories::ADMIN).with(Categories::DANGEROUS);
    }
    if flags.has(Flags::PUBSUB) {
        out = out.with(Categories::PUBSUB);
    }
    if flags.has(Flags::BLOCKING) {
        out = out.with(Categories::BLOCKING);
    }
    out
}

const fn spec(begin: Begin, find: Find, flags: &[KeyFlags]) -> KeySpec {
    let mut all = KeyFlags(0);
    let mut i = 0;
    while i < flags.len() {
        all = all.with(flags[i]);
        i += 1;
    }
    KeySpec { flags: all, begin, find, note: None }
}

/// One key at `begin`.
pub(crate) const fn one(begin: i16, flags: &[KeyFlags]) -> KeySpec {
    range(begin, 0, 1, flags)
}

/// Keys from `begin` on, see [`Find::Range`].
pub(crate) const fn range(begin: i16, last: i16, step: i16, flags: &[KeyFlags]) -> KeySpec {
    spec(Begin::Index(begin), Find::Range { last, step, limit: 0 }, flags)
}

/// Keys behind a word that is looked for from `from` on: the first half of all arguments that are left.
pub(crate) const fn halved(from: i16, word: &'static str, flags: &[KeyFlags]) -> KeySpec {
    spec(Begin::Keyword { word, from }, Find::Range { last: -1, step: 1, limit: 2 }, flags)
}

/// As many keys as the argument at `begin` says, directly behind it.
pub(crate) const fn counted(begin: i16, flags: &[KeyFlags]) -> KeySpec {
    spec(Begin::Index(begin), Find::Count { count_at: 0, first: 1, step: 1 }, flags)
}

/// One key behind `word`, which is looked for from `from` on.
pub(crate) const fn behind(word: &'static str, from: i16, flags: &[KeyFlags]) -> KeySpec {
    spec(Begin::Keyword { word, from }, Find::Range { last: 0, step: 1, limit: 0 }, flags)
}

/// All arguments behind `word`, which is looked for from `from` on; from the end, if that is negative.
pub(crate) const fn all_behind(word: &'static str, from: i16, flags: &[KeyFlags]) -> KeySpec {
    spec(Begin::Keyword { word, from }, Find::Range { last: -1, step: 1, limit: 0 }, flags)
}

/// Keys that no rule finds.
pub(crate) const fn unknown(flags: &[KeyFlags]) -> KeySpec {
    spec(Begin::Unknown, Find::Unknown, flags)
}

impl KeySpec {
    pub(crate) const fn note(mut self, note: &'static str) -> KeySpec {
        self.note = Some(note);
        self
    }
}

const fn arg(name: &'static str, kind: ArgKind) -> Arg {
    Arg {
        name,
        kind,
        key_spec: None,
        token: None,
        since: None,
        deprecated: None,
        optional: false,
        multiple: false,
        multiple_token: false,
        args: &[],
    }
}

pub(crate) const fn key(name: &'static str, spec: u8) -> Arg {
    let mut out = arg(name, ArgKind::Key);
    out.key_spec = Some(spec);
    out
}
pub(crate) const fn string(name: &'static str) -> Arg {
    arg(name, ArgKind::String)
}
pub(crate) const fn integer(name: &'static str) -> Arg {
    arg(name, ArgKind::Integer)
}
pub(crate) const fn double(name: &'static str) -> Arg {
    arg(name, ArgKind::Double)
}
pub(crate) const fn pattern(name: &'static str) -> Arg {
    arg(name, ArgKind::Pattern)
}
pub(crate) const fn unix_time(name: &'static str) -> Arg {
    arg(name, ArgKind::UnixTime)
}
/// A word that stands for itself; `name` is shown, `token` is typed.
pub(crate) const fn word(name: &'static str, token: &'static str) -> Arg {
    arg(name, ArgKind::PureToken).token(token)
}
/// Exactly one of `args`.
pub(crate) const fn oneof(name: &'static str, args: &'static [Arg]) -> Arg {
    let mut out = arg(name, ArgKind::OneOf);
    out.args = args;
    out
}
/// All of `args` together.
pub(crate) const fn block(name: &'static str, args: &'static [Arg]) -> Arg {
    let mut out = arg(name, ArgKind::Block);
    out.args = args;
    out
}

impl Arg {
    pub(crate) const fn token(mut self, token: &'static str) -> Arg {
        self.token = Some(token);
        self
    }
    pub(crate) const fn since(mut self, since: &'static str) -> Arg {
        self.since = Some(since);
        self
    }
    pub(crate) const fn deprecated(mut self, since: &'static str) -> Arg {
        self.deprecated = Some(since);
        self
    }
    pub(crate) const fn optional(mut self) -> Arg {
        self.optional = true;
        self
    }
    pub(crate) const fn multiple(mut self) -> Arg {
        self.multiple = true;
        self
    }
    pub(crate) const fn multiple_token(mut self) -> Arg {
        self.multiple_token = true;
        self
    }
    pub(crate) const fn spec(mut self, spec: u8) -> Arg {
        self.key_spec = Some(spec);
        self
    }
}
