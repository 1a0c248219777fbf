//! Proves for the collection commands what no comparison with redis-server shows: that random members are
//! members and distinct, that scans of large collections miss nothing, what 7.2 added, and the gate of replies.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proxy_engine::testing::TestDb;

/// The bulk strings of a RESP2 reply, nested ones in place.
fn bulks(reply: &[u8]) -> Vec<String> {
    let text = String::from_utf8(reply.to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let mut bulks = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with('$') && line != "$-1" {
            bulks.push(lines.next().unwrap().to_owned());
        }
    }
    bulks
}

fn fill(db: &mut TestDb, count: usize) {
    for i in 0..count {
        let name = format!("m{i}");
        db.run(&["SADD", "s", &name]);
        db.run(&["HSET", "h", &name, &i.to_string()]);
        db.run(&["ZADD", "z", &i.to_string(), &name]);
    }
}

/// Runs a line and returns the bulk strings of its reply.
fn ask(db: &mut TestDb, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    bulks(&db.run(&words))
}

#[test]
fn drawn_members_are_distinct_members() {
    for count in [5, 600] {
        let mut db = TestDb::new();
        fill(&mut db, count);
        for (command, pair) in
            [("SRANDMEMBER s 4", ""), ("HRANDFIELD h 4", "WITHVALUES"), ("ZRANDMEMBER z 4", "WITHSCORES")]
        {
            for _ in 0..50 {
                let drawn = ask(&mut db, command);
                let distinct: BTreeSet<&String> = drawn.iter().collect();
                assert_eq!((drawn.len(), distinct.len()), (4, 4), "{command}");
                assert!(drawn.iter().all(|name| name[1..].parse::<usize>().unwrap() < count));
            }
            if !pair.is_empty() {
                for drawn in ask(&mut db, &format!("{command} {pair}")).chunks(2) {
                    assert_eq!(drawn[0][1..], drawn[1], "{command}: the pair belongs together");
                }
            }
        }
    }
}

/// 6,000 draws from 6 members: each about 1,000 times, five standard deviations allowed.
#[test]
fn draws_are_even() {
    let mut db = TestDb::new();
    fill(&mut db, 6);
    for command in ["SRANDMEMBER s -6000", "HRANDFIELD h -6000", "ZRANDMEMBER z -6000"] {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for name in ask(&mut db, command) {
            *counts.entry(name).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (850..1150).contains(count)), "{command}: {counts:?}");
    }
}

#[test]
fn spop_empties_a_set_without_losing_or_repeating_a_member() {
    let mut db = TestDb::new();
    fill(&mut db, 700);
    let mut popped = BTreeSet::new();
    for count in ["", " 1", " 3", " 300", " 0", " 1000"] {
        for name in ask(&mut db, &format!("SPOP s{count}")) {
            assert!(popped.insert(name));
        }
    }
    assert_eq!(popped.len(), 700);
    assert_eq!(db.line("EXISTS s"), ":0");
    db.check();
}

#[test]
fn scans_of_large_collections_miss_nothing_while_they_change() {
    let mut db = TestDb::new();
    fill(&mut db, 2000);
    for (command, width) in [("SSCAN s", 1), ("HSCAN h", 2), ("ZSCAN z", 2)] {
        let (mut cursor, mut seen, mut rounds) = ("0".to_owned(), BTreeSet::new(), 0);
        loop {
            let reply = ask(&mut db, &format!("{command} {cursor} COUNT 50"));
            seen.extend(reply[1..].chunks(width).map(|pair| pair[0].clone()));
            assert!(reply.len() < 500, "one step stays small");
            cursor.clone_from(&reply[0]);
            rounds += 1;
            for kind in ["SADD s", "HSET h", "ZADD z 1"] {
                let value = if kind.starts_with('H') { " v" } else { "" };
                db.line(&format!("{kind} new{rounds}{value}"));
            }
            if cursor == "0" {
                break;
            }
        }
        assert!(rounds > 10);
        assert_eq!(seen.iter().filter(|name| name.starts_with('m')).count(), 2000, "{command}");
    }
    db.check();
}

#[test]
fn a_count_that_would_fill_memory_is_refused() {
    let mut db = TestDb::new();
    fill(&mut db, 3);
    for command in ["SRANDMEMBER s", "HRANDFIELD h", "ZRANDMEMBER z"] {
        assert_eq!(db.line(&format!("{command} -9223372036854775807")), "-ERR value is out of range");
    }
}

#[test]
fn a_list_that_moves_onto_itself_keeps_its_lifetime() {
    let mut db = TestDb::new();
    db.line("RPUSH l only");
    db.line("EXPIREAT l 9999999999");
    for ends in ["LEFT RIGHT", "LEFT LEFT", "RIGHT LEFT", "RIGHT RIGHT"] {
        assert_eq!(db.line(&format!("LMOVE l l {ends}")), "$4 only");
        assert_eq!(db.line("EXPIRETIME l"), ":9999999999");
        assert_eq!(db.line("LRANGE l 0 -1"), "*1 $4 only");
    }
    db.check();
}

#[test]
fn rank_with_score() {
    let mut db = TestDb::new();
    db.line("ZADD z 1.5 a 2 b");
    assert_eq!(db.line("ZRANK z b WITHSCORE"), "*2 :1 $1 2");
    assert_eq!(db.line("ZREVRANK z a withscore"), "*2 :1 $3 1.5");
    assert_eq!(db.line("ZRANK z none WITHSCORE"), "*-1");
    assert_eq!(db.line("ZRANK none a WITHSCORE"), "*-1");
    assert_eq!(db.line("ZRANK z a SCORE"), "-ERR wrong number of arguments for 'zrank' command");
}

#[test]
fn zeros_have_no_sign() {
    let mut db = TestDb::new();
    db.line("ZADD z -0 a 0 b");
    assert_eq!(db.line("ZSCORE z a"), "$1 0");
    assert_eq!(db.line("ZRANGE z 0 -1"), "*2 $1 a $1 b");
    db.line("ZUNIONSTORE y 1 z WEIGHTS -1");
    assert_eq!(db.line("ZSCORE y a"), "$1 0");
    db.check();
}

#[test]
fn a_failed_command_leaves_no_effect() {
    let mut db = TestDb::new();
    db.line("ZADD z inf a");
    let before = db.position;
    assert_eq!(db.line("ZINCRBY z -inf a"), "-ERR resulting score is not a number (NaN)");
    assert_eq!(db.line("SADD z x"), "-WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_eq!(db.line("SREM missing x"), ":0");
    assert_eq!(db.line("LREM missing 0 x"), ":0");
    assert_eq!(db.line("ZADD z XX 1 b"), ":0");
    assert_eq!(db.position, before, "nothing was logged");
}

#[test]
fn replies_wait_for_what_they_saw() {
    let mut db = TestDb::new();
    db.line("SADD s a");
    let added = db.position;
    db.line("SISMEMBER s b");
    assert_eq!(db.gate, added);
    db.line("SREM s a");
    let removed = db.position;
    db.line("SINTER missing s");
    assert_eq!(db.gate, removed, "a deletion in flight counts, too");
}
