//! Strings, keys and expiry through the whole decide, encode, apply path, against known answers.
#![allow(clippy::unwrap_used)]

use proxy_engine::testing::TestDb;

fn check(lines: &[(&str, &str)]) {
    let mut db = TestDb::new();
    for (line, expected) in lines {
        assert_eq!(db.line(line), *expected, "{line}");
        db.check();
    }
}

#[test]
fn strings() {
    check(&[
        ("SET a 1", "+OK"),
        ("GET a", "$1 1"),
        ("SET a 2 NX", "$-1"),
        ("SET a 2 XX GET", "$1 1"),
        ("SET a 3 EX 10 EX 20", "+OK"),
        ("TTL a", ":20"),
        ("SET a 3 EX 10 PX 20", "-ERR syntax error"),
        ("INCR a", ":4"),
        ("TTL a", ":20"),
        ("INCRBYFLOAT a 0.1", "$3 4.1"),
        ("INCR a", "-ERR value is not an integer or out of range"),
        ("APPEND a xyz", ":6"),
        ("GETRANGE a -3 -1", "$3 xyz"),
        ("SETRANGE a 8 z", ":9"),
        ("STRLEN a", ":9"),
        ("GETDEL a", "$9 4.1xyz\0\0z"),
        ("MSET a 1 b 2 c", "-ERR wrong number of arguments for 'mset' command"),
        ("MSET a ohmytext b mynewtext", "+OK"),
        ("LCS a b", "$6 mytext"),
        ("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6"),
        ("MGET a none b", "*3 $8 ohmytext $-1 $9 mynewtext"),
        ("OBJECT FOO a", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP."),
        ("FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b'"),
    ]);
}

#[test]
fn keys_and_lifetimes() {
    check(&[
        ("MSET a 1 b 2", "+OK"),
        ("DEL a a x", ":1"),
        ("EXISTS b b", ":2"),
        ("RENAME b c", "+OK"),
        ("RENAME b c", "-ERR no such key"),
        ("RENAMENX c c", ":0"),
        ("EXPIRE c 100", ":1"),
        ("COPY c d", ":1"),
        ("TTL d", ":100"),
        ("EXPIRE c 50 GT", ":0"),
        ("EXPIRE c 50 LT", ":1"),
        ("PERSIST c", ":1"),
        ("PERSIST c", ":0"),
        ("EXPIRE c -1", ":1"),
        ("EXISTS c", ":0"),
        ("MOVE d 3", ":1"),
        ("DBSIZE", ":0"),
        ("SWAPDB 0 3", "+OK"),
        ("KEYS *", "*1 $1 d"),
        ("SCAN 0 COUNT 100", "*2 $1 0 *1 $1 d"),
        ("TYPE d", "+string"),
        ("OBJECT ENCODING d", "$3 int"),
        ("FLUSHALL", "+OK"),
        ("DBSIZE", ":0"),
    ]);
}

#[test]
fn expired_keys_are_deleted_by_the_command_that_meets_them() {
    let mut db = TestDb::new();
    db.line("SET a 1 PX 10");
    db.line("SET b 1");
    db.now_ms += 10;
    assert_eq!(db.line("GET a"), "$1 1");
    db.now_ms += 1;
    let before = db.position;
    assert_eq!(db.line("DEL b a"), ":1");
    assert_eq!(db.position, before + 1);
    assert_eq!(db.line("DBSIZE"), ":0");
    db.check();
}
