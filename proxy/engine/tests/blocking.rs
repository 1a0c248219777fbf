//! Proves of commands that may wait, without a shard: what they read, refuse and wait for, and what they answer
//! when they may not wait.
#![allow(clippy::unwrap_used)]

use proxy_engine::WaitKind;
use proxy_engine::testing::TestDb;

/// What redis-server says of each timeout.
#[test]
fn timeouts_are_read_as_redis_reads_them() {
    let mut db = TestDb::new();
    db.patient = true;
    for (text, ms) in [
        ("0", None),
        ("-0", None),
        ("-0.0001", None),
        ("-0.001", None),
        ("1e-10", Some(1)),
        ("0.001", Some(1)),
        ("0.0011", Some(2)),
        ("0.07", Some(70)),
        ("1.001", Some(1001)),
        ("0x10", Some(16_000)),
        ("0x1p-4", Some(63)),
        ("9223372036854775.807", Some(i64::MAX as u64)),
    ] {
        assert_eq!(db.run(&["BLPOP", "k", text]), b"", "{text}");
        assert_eq!(db.wait.take().unwrap().timeout_ms, ms, "{text}");
    }
    for text in ["-1", "-0.002", "inf", "-inf", "1e17", "9e18", "1e300", "-1e300", "9223372036854776"] {
        assert_eq!(db.run(&["BLPOP", "k", text]), b"-ERR timeout is negative\r\n", "{text}");
    }
    for text in ["", "abc", "nan", " 1", "1 ", "1x"] {
        let reply = db.run(&["BZPOPMIN", "k", text]);
        assert_eq!(reply, b"-ERR timeout is not a float or out of range\r\n", "{text}");
    }
}

#[test]
fn they_wait_for_their_keys_and_their_type() {
    let mut db = TestDb::new();
    db.patient = true;
    for (line, kind, keys) in [
        ("BLPOP a b 0", WaitKind::List, 1..3),
        ("BRPOP a 0", WaitKind::List, 1..2),
        ("BLMOVE a b LEFT RIGHT 0", WaitKind::List, 1..2),
        ("BRPOPLPUSH a b 0", WaitKind::List, 1..2),
        ("BLMPOP 0 2 a b LEFT COUNT 3", WaitKind::List, 3..5),
        ("BZPOPMIN a b 0", WaitKind::ZSet, 1..3),
        ("BZPOPMAX a 0", WaitKind::ZSet, 1..2),
        ("BZMPOP 0 1 a MAX", WaitKind::ZSet, 3..4),
    ] {
        assert_eq!(db.line(line), "", "{line}");
        let wait = db.wait.take().unwrap();
        assert_eq!((wait.kind, wait.keys), (kind, keys), "{line}");
    }
    db.line("SET s x");
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for line in
        ["BLPOP a s 0", "BLMOVE s a LEFT LEFT 0", "BLMPOP 0 2 a s LEFT", "BZPOPMAX s 0", "BZMPOP 0 1 s MIN"]
    {
        assert_eq!(db.line(line), wrong, "{line}");
        assert!(db.wait.is_none());
    }
    db.line("RPUSH l 1");
    assert_eq!(db.line("BLMOVE l s LEFT LEFT 0"), wrong, "nothing is lost to a wrong destination");
    assert_eq!(db.line("LLEN l"), ":1");
    db.check();
}

#[test]
fn what_is_there_is_taken_at_once() {
    let mut db = TestDb::new();
    db.patient = true;
    db.line("RPUSH l 1 2 3 4 5 6 7");
    assert_eq!(db.line("BLPOP none l other 0"), "*2 $1 l $1 1");
    assert_eq!(db.line("BRPOP l 0"), "*2 $1 l $1 7");
    assert_eq!(db.line("BLMOVE l m LEFT RIGHT 0"), "$1 2");
    assert_eq!(db.line("BRPOPLPUSH l m 0"), "$1 6");
    assert_eq!(db.line("BLMPOP 0 2 none l RIGHT COUNT 9"), "*2 $1 l *3 $1 5 $1 4 $1 3");
    assert_eq!(db.line("LRANGE m 0 -1"), "*2 $1 6 $1 2");
    db.line("ZADD z 1 a 2 b 3 c 4 d");
    assert_eq!(db.line("BZPOPMIN none z 0"), "*3 $1 z $1 a $1 1");
    assert_eq!(db.line("BZPOPMAX z 0"), "*3 $1 z $1 d $1 4");
    assert_eq!(db.line("BZMPOP 0 1 z MIN COUNT 9"), "*2 $1 z *2 *2 $1 b $1 2 *2 $1 c $1 3");
    assert!(db.wait.is_none());
    db.check();
    let mut db = TestDb::new().resp3();
    db.line("ZADD z 1.5 a");
    assert_eq!(db.line("BZPOPMIN z 0"), "*3 $1 z $1 a ,1.5");
}

#[test]
fn inside_multi_nothing_waits() {
    let mut db = TestDb::new();
    for line in ["BLPOP k 0", "BRPOP k 0", "BLMPOP 0 1 k LEFT", "BZPOPMIN k 0", "BZPOPMAX k 0"] {
        assert_eq!(db.line(line), "*-1", "{line}");
    }
    for line in ["BLMOVE k l LEFT RIGHT 0", "BRPOPLPUSH k l 0"] {
        assert_eq!(db.line(line), "$-1", "{line}");
    }
    assert!(db.wait.is_none());
}
