//! Proves that docs/compatibility.md says what is true: its list of commands is made from redis-server's own
//! COMMAND DOCS beside the command table. `FASTKEEP_WRITE_DOCS=1` rewrites the list instead of checking it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use tests_harness::{Client, Oracle, Reply};

const BEGIN: &str = "<!-- commands: begin (made by tests/e2e/tests/compatibility_page.rs) -->";
const END: &str = "<!-- commands: end -->";

fn text(reply: &Reply) -> String {
    match reply {
        Reply::SimpleString(bytes) | Reply::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("not a text: {other:?}"),
    }
}

fn pairs(reply: &Reply) -> Vec<(String, &Reply)> {
    let Reply::Array(items) = reply else { panic!("not a map: {reply:?}") };
    items.chunks(2).map(|pair| (text(&pair[0]), &pair[1])).collect()
}

/// Every command and subcommand of redis-server: name -> (group, since).
fn redis_commands() -> BTreeMap<String, (String, String)> {
    let oracle = Oracle::start(&[]);
    let docs = Client::connect(oracle.port).unwrap().run("COMMAND DOCS");
    let mut found = BTreeMap::new();
    for (name, fields) in pairs(&docs) {
        collect(&name, fields, &mut found);
    }
    found
}

fn collect(name: &str, fields: &Reply, into: &mut BTreeMap<String, (String, String)>) {
    let fields = pairs(fields);
    let field = |wanted: &str| fields.iter().find(|(key, _)| key == wanted).map(|(_, value)| *value);
    if let Some(subcommands) = field("subcommands") {
        for (sub, fields) in pairs(subcommands) {
            collect(&sub, fields, into);
        }
        return;
    }
    let known = |wanted| field(wanted).map(text).unwrap_or_default();
    into.insert(name.to_uppercase().replace('|', " "), (known("group"), known("since")));
}

/// All rows, subcommands instead of their containers: name -> what the page says of it. The summary of a row that only
/// answers why it can't be done begins with "Refused".
fn our_commands() -> BTreeMap<String, &'static str> {
    let mut names = BTreeMap::new();
    for row in proxy_commands::rows() {
        let rows = if row.subcommands.is_empty() { std::slice::from_ref(row) } else { row.subcommands };
        for row in rows {
            let state = if row.summary.starts_with("Refused") { "refused" } else { "yes" };
            names.insert(row.name.to_uppercase().replace('|', " "), state);
        }
    }
    names
}

/// The generated part of the page.
fn list() -> String {
    let redis = redis_commands();
    let ours = our_commands();
    let state = |name: &String| ours.get(name).copied().unwrap_or("not supported");
    let mut groups: BTreeMap<&str, Vec<(&str, &str, &str)>> = BTreeMap::new();
    for (name, (group, since)) in &redis {
        groups.entry(group).or_default().push((name, since, state(name)));
    }
    let supported = redis.keys().filter(|name| state(name) == "yes").count();
    let mut page = format!("{supported} of Redis 7.0's {} commands and subcommands.\n", redis.len());
    for (group, commands) in groups {
        let _ = writeln!(page, "\n### {group}\n\n| command | since Redis | |\n|---|---|---|");
        for (name, since, state) in commands {
            let _ = writeln!(page, "| {name} | {since} | {state} |");
        }
    }
    let more: Vec<&String> = ours.keys().filter(|name| !redis.contains_key(*name)).collect();
    if !more.is_empty() {
        page += "\n### Beyond Redis 7.0\n\n";
        for name in more {
            let _ = writeln!(page, "- {name}");
        }
    }
    page
}

#[test]
fn the_list_of_commands_is_true() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let begin = page.find(BEGIN).expect("the page has the begin mark") + BEGIN.len();
    let end = page.find(END).expect("the page has the end mark");
    let new = format!("{}\n\n{}\n{}", &page[..begin], list(), &page[end..]);
    if std::env::var_os("FASTKEEP_WRITE_DOCS").is_some() {
        std::fs::write(&file, new).unwrap();
        return;
    }
    assert_eq!(
        page, new,
        "run this test with FASTKEEP_WRITE_DOCS=1 to bring docs/compatibility.md up to date"
    );
}
