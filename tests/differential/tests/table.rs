//! Proves that COMMAND says of every row what redis-server says: arity, flags, key positions and specs, ACL
//! categories, hints (COMMAND INFO); version, group, deprecation and arguments (COMMAND DOCS); the keys of
//! command lines (COMMAND GETKEYS). Summaries, complexities and notes are in our own words and left out.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proxy_commands::{Row, rows};
use proxy_resp::{OwnedArgs, Protocol, Reply};
use tests_differential::frame::Frame;
use tests_differential::target::{Server, Target};
use tests_harness::Oracle;

fn ours(line: &str) -> Frame {
    let args: OwnedArgs = line.split(' ').collect();
    let mut out = Reply::new(Protocol::Resp3);
    proxy_engine::command_reply(args.as_args(), &mut out);
    Frame::read(&mut out.as_slice()).unwrap()
}

/// Drops what is in our own words and subcommands that we don't have; sorts what is a set or a map.
fn comparable(frame: &Frame) -> Frame {
    const OWN_WORDS: [&str; 4] = ["summary", "complexity", "notes", "history"];
    let Frame::Many(tag, parts) = frame else { return frame.clone() };
    let mut parts: Vec<Frame> = if *tag == b'%' {
        let kept = parts.chunks(2).filter(|pair| {
            let name = pair[0].text();
            !OWN_WORDS.contains(&name.as_str()) && (!name.contains('|') || known(&name))
        });
        kept.flat_map(|pair| pair.iter().map(comparable)).collect()
    } else {
        let kept = parts.iter().filter(|part| part.parts().first().is_none_or(|name| known(&name.text())));
        kept.map(comparable).collect()
    };
    let paired = *tag == b'%';
    if paired || *tag == b'~' {
        parts = Frame::Many(*tag, parts).sorted(paired).parts().to_vec();
    }
    Frame::Many(*tag, parts)
}

/// Whether a subcommand's name is in the table; other names pass.
fn known(name: &str) -> bool {
    !name.contains('|') || (all().any(|row| row.name == name) && !NEWER.contains(&name))
}

fn all() -> impl Iterator<Item = &'static Row> {
    rows().flat_map(|row| std::iter::once(row).chain(row.subcommands))
}

fn oracle() -> Option<(Oracle, Server)> {
    if !Oracle::is_installed() {
        return None;
    }
    let oracle = Oracle::start(&[]);
    let server = Server::connect(oracle.port, 3).unwrap();
    Some((oracle, server))
}

/// Rows that have an option of Redis 7.2 (WITHSCORE), so that arity and arguments differ from 7.0's, and those that 7.0
/// doesn't have at all.
const NEWER: [&str; 5] = ["zrank", "zrevrank", "waitaof", "client|no-touch", "client|setinfo"];

#[test]
fn info_and_docs_agree_for_every_row() {
    let Some((_running, mut server)) = oracle() else { return };
    for row in all().filter(|row| !NEWER.contains(&row.name)) {
        for what in ["INFO", "DOCS"] {
            let line = format!("COMMAND {what} {}", row.name);
            let theirs = server.line(&line).unwrap();
            assert_eq!(comparable(&theirs), comparable(&ours(&line)), "{line}");
        }
    }
}

#[test]
fn keys_and_refusals_agree() {
    let Some((_running, mut server)) = oracle() else { return };
    for line in [
        "GET a",
        "GET",
        "PING",
        "FOO a b",
        "MSET a 1 b 2",
        "MSET a 1 b",
        "SET a b",
        "SET a b GET",
        "DEL a b c",
        "ZUNION 2 a b",
        "ZUNION 0 a b",
        "ZUNION x a b",
        "ZUNION 5 a b",
        "ZUNIONSTORE d 2 a b",
        "LMPOP 1 a LEFT",
        "OBJECT ENCODING a",
        "OBJECT FOO a",
        "CONFIG GET a",
        "RENAME a b",
        "SINTERCARD 2 a b",
        "SORT l BY w GET x LIMIT 0 1 STORE d",
        "SORT l STORE",
        "SORT l STORE a STORE b",
        "SORT l LIMIT STORE a STORE b",
        "SORT_RO l STORE d",
        "GEORADIUS k 1 2 3 m STORE a STOREDIST b",
        "GEORADIUS k STORE 2 3 m",
        "GEORADIUSBYMEMBER k m 3 m STORE x",
        "PFMERGE d a b",
        "PFMERGE d",
        "BITOP AND d a b",
        "BITFIELD a",
        "BITFIELD a GET u8 0 OVERFLOW SAT",
        "BITFIELD a INCRBY u8 0 1",
        "GEOSEARCHSTORE a b c d e f g h",
        "PFDEBUG a b",
        "XREAD STREAMS a b 0 0",
        "EVAL s 0",
        "EVAL s 5 a",
        "EVALSHA s x a",
        "FCALL f 1 a",
        "MIGRATE h 1 k 0 10",
        "MIGRATE h 1 k 0 10 KEYS",
        "MIGRATE h 1 k 0 10 KEYS a",
        "MIGRATE h 1 k 0 10 AUTH KEYS KEYS",
        "MIGRATE h 1 k 0 10 AUTH2 KEYS KEYS COPY",
        "XREAD COUNT 1 streams a 0",
        "XREAD STREAMS a b 0",
        "XREAD COUNT 1 BLOCK 0",
        "XREADGROUP GROUP STREAMS c STREAMS a >",
        "XGROUP CREATE a g $",
        "EVAL x 0",
        "EVAL x 0 a",
        "EVALSHA x no a",
        "EVAL_RO x -1 a",
        "EVAL x 2 a",
        "FCALL f 0",
        "FCALL_RO f 1 a b",
    ] {
        for sub in ["GETKEYS", "GETKEYSANDFLAGS"] {
            let line = format!("COMMAND {sub} {line}");
            assert_eq!(server.line(&line).unwrap(), ours(&line), "{line}");
        }
    }
    for line in [
        "COMMAND FOO",
        "COMMAND INFO foo get|x",
        "COMMAND LIST FILTERBY PATTERN config|g*",
        "COMMAND LIST FILTERBY PATTERN GET",
        "COMMAND LIST FILTERBY ACLCAT foo",
        "COMMAND LIST FILTERBY FOO x",
        "COMMAND LIST x",
        "COMMAND COUNT x",
    ] {
        assert_eq!(server.line(line).unwrap(), ours(line), "{line}");
    }
    let names = |list: &Frame| list.parts().iter().map(Frame::text).collect::<BTreeSet<String>>();
    let (expected, got) = (names(&server.line("COMMAND LIST").unwrap()), names(&ours("COMMAND LIST")));
    let missing: Vec<_> =
        expected.difference(&got).filter(|name| all().any(|row| row.name == name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
