//! The table on its own: every row is found by its name in any case, ids are unique, summaries are there,
//! and key positions come out as the specs say. Agreement with redis-server is tested in
//! tests/differential, which can talk to one.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::*;

fn all() -> impl Iterator<Item = &'static Row> {
    rows().flat_map(|row| std::iter::once(row).chain(row.subcommands))
}

#[test]
fn every_row_is_found_in_any_case() {
    for wanted in rows() {
        for name in [wanted.name.to_owned(), wanted.name.to_ascii_uppercase()] {
            assert_eq!(lookup(name.as_bytes()).unwrap().id, wanted.id, "{name}");
        }
        for sub in wanted.subcommands {
            let name = sub.name.split('|').nth(1).unwrap();
            assert_eq!(wanted.subcommand(name.to_ascii_uppercase().as_bytes()).unwrap().id, sub.id);
        }
    }
    let strangers: [&[u8]; 7] =
        [b"", b"ge", b"gett", b"get\0", b"zremrangebyscorex", b"zremrangebyscor", &[0; 40]];
    for name in strangers {
        assert!(lookup(name).is_none(), "{}", name.escape_ascii());
    }
}

#[test]
fn rows_are_complete_and_distinct() {
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for row in all() {
        assert!(ids.insert(row.id) && names.insert(row.name), "{} stands there twice", row.name);
        assert!(!row.summary.is_empty() && row.arity != 0, "{}", row.name);
        assert_eq!(super::row(row.id).unwrap().name, row.name);
        let keyed = matches!(row.routing, Routing::Keys | Routing::Split(_));
        assert!(!keyed || !row.specs.is_empty(), "{} is routed by keys and has none", row.name);
        assert!(row.name.len() <= 32 && row.name == row.name.to_ascii_lowercase());
    }
}

fn keys(line: &str) -> Result<Vec<String>, KeysError> {
    let args: Vec<&str> = line.split(' ').collect();
    let row = lookup(args[0].as_bytes()).unwrap();
    let row = if row.subcommands.is_empty() { row } else { row.subcommand(args[1].as_bytes()).unwrap() };
    let mut out = Vec::new();
    row.for_each_key(args.len(), |at| args[at].as_bytes(), |at, _| out.push(args[at].to_owned()))?;
    if row.has_plain_keys() {
        let plain: Vec<String> = row.plain_keys(args.len()).map(|at| args[at].to_owned()).collect();
        assert_eq!(plain, out, "{line}");
    }
    Ok(out)
}

#[test]
fn keys_are_found() {
    let some = |line: &str| keys(line).unwrap().join(" ");
    assert_eq!(some("get a"), "a");
    assert_eq!(some("mset a 1 b 2"), "a b");
    assert_eq!(some("del a b c"), "a b c");
    assert_eq!(some("rename a b"), "a b");
    assert_eq!(some("object encoding a"), "a");
    assert_eq!(some("zunionstore d 2 a b weights 1 2"), "d a b");
    assert_eq!(some("lmpop 1 a left"), "a");
    for bad in ["lmpop 0 a left", "lmpop x a left", "lmpop 9 a left", "zunion 99999999999 a"] {
        assert_eq!(keys(bad), Err(KeysError::BadCount), "{bad}");
    }
    assert_eq!(keys("ping"), Err(KeysError::NoKeys));
}
