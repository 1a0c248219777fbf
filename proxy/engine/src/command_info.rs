//! COMMAND and its subcommands, answered from the table. Run by the session, which has no keyspace: only
//! arguments in, reply out.

use proxy_commands::{Arg, Begin, Categories, Find, Flags, Id, KeySpec, KeysError, Row, lookup, rows};
use proxy_resp::{Args, Reply};

use crate::dispatch::resolve;
use crate::errors::Fail;
use crate::glob::glob_match;

/// Answers COMMAND, COMMAND COUNT, DOCS, GETKEYS, GETKEYSANDFLAGS, HELP, INFO and LIST. `args` are the
/// whole request; an error in them is answered, too.
pub fn command_reply(args: Args<'_>, out: &mut Reply) {
    let start = out.len();
    if let Err(fail) = answer(args, out) {
        out.truncate(start);
        out.error_bytes(fail.as_bytes());
    }
}

fn answer(args: Args<'_>, out: &mut Reply) -> Result<(), Fail> {
    match resolve(args)?.id {
        Id::Command => {
            out.array(rows().len());
            rows().for_each(|row| info(row, out));
        }
        Id::CommandCount => out.integer(rows().len() as i64),
        Id::CommandDocs => docs_of(args, out),
        Id::CommandInfo => info_of(args, out),
        Id::CommandList => list(args, out)?,
        Id::CommandGetkeys => get_keys(args.slice(2..), false, out)?,
        Id::CommandGetkeysandflags => get_keys(args.slice(2..), true, out)?,
        Id::CommandHelp => help(out),
        _ => return Err(Fail::SYNTAX),
    }
    Ok(())
}

/// A row by the name that COMMAND shows: `get`, or `config|get`.
fn by_full_name(name: &[u8]) -> Option<&'static Row> {
    match memchr::memchr(b'|', name) {
        Some(bar) => lookup(&name[..bar])?.subcommand(&name[bar + 1..]),
        None => lookup(name),
    }
}

fn info_of(args: Args<'_>, out: &mut Reply) {
    if args.len() == 2 {
        out.array(rows().len());
        rows().for_each(|row| info(row, out));
        return;
    }
    out.array(args.len() - 2);
    for name in args.slice(2..).iter() {
        match by_full_name(name) {
            Some(row) => info(row, out),
            None => out.null(),
        }
    }
}

fn info(row: &Row, out: &mut Reply) {
    out.array(10);
    out.bulk(row.name.as_bytes());
    out.integer(i64::from(row.arity));
    words(row.flags.names(), out);
    for place in [row.first_key, row.last_key, row.step] {
        out.integer(i64::from(place));
    }
    words(row.categories.names(), out);
    out.set(row.tips.len());
    row.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    out.set(row.specs.len());
    row.specs.iter().for_each(|spec| key_spec(spec, out));
    out.set(row.subcommands.len());
    row.subcommands.iter().for_each(|sub| info(sub, out));
}

/// A set of simple strings.
fn words(names: impl Iterator<Item = &'static str> + Clone, out: &mut Reply) {
    out.set(names.clone().count());
    names.for_each(|name| out.simple(name));
}

fn key_spec(spec: &KeySpec, out: &mut Reply) {
    out.map(3 + usize::from(spec.note.is_some()));
    if let Some(note) = spec.note {
        pair("notes", note, out);
    }
    out.bulk(b"flags");
    words(spec.flags.names(), out);
    out.bulk(b"begin_search");
    match spec.begin {
        Begin::Index(begin) => typed("index", &[("index", begin)], out),
        Begin::Keyword { word, from } => {
            out.map(2);
            pair("type", "keyword", out);
            out.bulk(b"spec");
            out.map(2);
            pair("keyword", word, out);
            out.bulk(b"startfrom");
            out.integer(i64::from(from));
        }
        Begin::Unknown => typed("unknown", &[], out),
    }
    out.bulk(b"find_keys");
    match spec.find {
        Find::Range { last, step, limit } => {
            typed("range", &[("lastkey", last), ("keystep", step), ("limit", limit)], out);
        }
        Find::Count { count_at, first, step } => {
            typed("keynum", &[("keynumidx", count_at), ("firstkey", first), ("keystep", step)], out);
        }
        Find::Unknown => typed("unknown", &[], out),
    }
}

fn typed(kind: &str, spec: &[(&str, i16)], out: &mut Reply) {
    out.map(2);
    pair("type", kind, out);
    out.bulk(b"spec");
    out.map(spec.len());
    for (name, value) in spec {
        out.bulk(name.as_bytes());
        out.integer(i64::from(*value));
    }
}

fn pair(name: &str, value: &str, out: &mut Reply) {
    out.bulk(name.as_bytes());
    out.bulk(value.as_bytes());
}

fn docs_of(args: Args<'_>, out: &mut Reply) {
    let mark = out.deferred_map();
    let mut count = 0;
    let mut show = |row: &Row| {
        out.bulk(row.name.as_bytes());
        docs(row, out);
        count += 1;
    };
    if args.len() == 2 {
        rows().for_each(&mut show);
    } else {
        args.slice(2..).iter().filter_map(by_full_name).for_each(&mut show);
    }
    out.finish_map(mark, count);
}

fn docs(row: &Row, out: &mut Reply) {
    let deprecated = if row.deprecated.is_some() { 2 } else { 0 };
    let flagged = row.system || row.deprecated.is_some();
    let optional = [flagged, !row.args.is_empty(), !row.subcommands.is_empty()];
    out.map(4 + deprecated + optional.iter().filter(|there| **there).count());
    pair("summary", row.summary, out);
    pair("since", row.since, out);
    pair("group", row.group.name(), out);
    pair("complexity", row.complexity, out);
    if flagged {
        out.bulk(b"doc_flags");
        let names = [(row.deprecated.is_some(), "deprecated"), (row.system, "syscmd")];
        words(names.into_iter().filter(|(set, _)| *set).map(|(_, name)| name), out);
    }
    if let Some((since, replaced_by)) = row.deprecated {
        pair("deprecated_since", since, out);
        pair("replaced_by", replaced_by, out);
    }
    if !row.args.is_empty() {
        out.bulk(b"arguments");
        arguments(row.args, out);
    }
    if !row.subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(row.subcommands.len());
        for sub in row.subcommands {
            out.bulk(sub.name.as_bytes());
            docs(sub, out);
        }
    }
}

fn arguments(args: &[Arg], out: &mut Reply) {
    out.array(args.len());
    args.iter().for_each(|arg| argument(arg, out));
}

fn argument(arg: &Arg, out: &mut Reply) {
    let flagged = arg.optional || arg.multiple || arg.multiple_token;
    let given = [
        arg.key_spec.is_some(),
        arg.token.is_some(),
        arg.since.is_some(),
        arg.deprecated.is_some(),
        flagged,
        !arg.args.is_empty(),
    ];
    out.map(2 + given.iter().filter(|there| **there).count());
    pair("name", arg.name, out);
    pair("type", arg.kind.name(), out);
    if let Some(index) = arg.key_spec {
        out.bulk(b"key_spec_index");
        out.integer(i64::from(index));
    }
    for (name, value) in [("token", arg.token), ("since", arg.since), ("deprecated_since", arg.deprecated)] {
        if let Some(value) = value {
            pair(name, value, out);
        }
    }
    if flagged {
        out.bulk(b"flags");
        let names =
            [(arg.optional, "optional"), (arg.multiple, "multiple"), (arg.multiple_token, "multiple_token")];
        words(names.into_iter().filter(|(set, _)| *set).map(|(_, name)| name), out);
    }
    if !arg.args.is_empty() {
        out.bulk(b"arguments");
        arguments(arg.args, out);
    }
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]
fn list(args: Args<'_>, out: &mut Reply) -> Result<(), Fail> {
    let is = |at: usize, word: &str| args.at(at).eq_ignore_ascii_case(word.as_bytes());
    let value = args.at(4);
    let mark = out.deferred_array();
    let mut count = 0;
    let mut show = |row: &Row| {
        out.bulk(row.name.as_bytes());
        count += 1;
    };
    let with_subcommands = || rows().flat_map(|row| std::iter::once(row).chain(row.subcommands));
    if args.len() == 2 {
        with_subcommands().for_each(&mut show);
    } else if args.len() != 5 || !is(2, "FILTERBY") {
        return Err(Fail::SYNTAX);
    } else if is(3, "PATTERN") {
        let pattern = value.to_ascii_lowercase();
        with_subcommands().filter(|row| glob_match(&pattern, row.name.as_bytes())).for_each(&mut show);
    } else if is(3, "ACLCAT") {
        let place =
            Categories::NAMES.iter().position(|name| name.as_bytes()[1..].eq_ignore_ascii_case(value));
        let wanted = place.map_or(Categories(0), |bit| Categories(1 << bit));
        with_subcommands().filter(|row| row.categories.has(wanted)).for_each(&mut show);
    } else if !is(3, "MODULE") {
        return Err(Fail::SYNTAX);
    }
    out.finish_array(mark, count);
    Ok(())
}

/// The keys of the command line in `args`, with what happens to them when `with_flags`.
fn get_keys(args: Args<'_>, with_flags: bool, out: &mut Reply) -> Result<(), Fail> {
    const UNKNOWN: Fail = Fail::text("ERR Invalid command specified");
    const ARITY: Fail = Fail::text("ERR Invalid number of arguments specified for command");
    const NO_KEYS: Fail = Fail::text("ERR The command has no key arguments");
    const BAD: Fail = Fail::text("ERR Invalid arguments specified for command");
    let row = lookup(args.at(0)).ok_or(UNKNOWN)?;
    let row = if row.subcommands.is_empty() { row } else { row.subcommand(args.at(1)).ok_or(UNKNOWN)? };
    if row.specs.is_empty() {
        return Err(NO_KEYS);
    }
    if !row.arity_fits(args.len()) {
        return Err(ARITY);
    }
    let mark = out.deferred_array();
    let mut count = 0;
    let found = row.for_each_key(
        args.len(),
        |at| args.at(at),
        |at, flags| {
            count += 1;
            if with_flags {
                out.array(2);
                out.bulk(args.at(at));
                words(flags.names(), out);
            } else {
                out.bulk(args.at(at));
            }
        },
    );
    match found {
        // EVAL and its kin may go without keys.
        Ok(()) | Err(KeysError::BadCount) if count == 0 && row.flags.has(Flags::NO_MANDATORY_KEYS) => {
            out.finish_array(mark, 0);
        }
        Ok(()) if count == 0 => return Err(BAD),
        Ok(()) => out.finish_array(mark, count),
        Err(KeysError::NoKeys) => return Err(NO_KEYS),
        Err(KeysError::BadCount) => return Err(BAD),
    }
    Ok(())
}

fn help(out: &mut Reply) {
    const LINES: &[&str] = &[
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Describe all commands.",
        "COUNT",
        "    Return the number of commands.",
        "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
        "    List the names of the commands.",
        "INFO [<name> ...]",
        "    Describe commands; all of them without a name.",
        "DOCS [<name> ...]",
        "    Document commands; all of them without a name.",
        "GETKEYS <command line>",
        "    Find the keys in a command line.",
        "GETKEYSANDFLAGS <command line>",
        "    Find the keys in a command line and what happens to them.",
        "HELP",
        "    Print this help.",
    ];
    out.array(LINES.len());
    LINES.iter().for_each(|line| out.simple(line));
}
