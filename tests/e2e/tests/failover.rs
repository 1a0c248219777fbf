//! Proves replicas, failover and hand-over with one node in each of three zones.
//!
//! Concurrent clients on all nodes write down what they ask and what they are answered, while primaries are killed, frozen
//! beyond their lease and handed over; the history must be linearizable key by key, and the checker itself must catch a
//! stale read, a lost write and a write applied twice. Replicas follow, show a prefix and never go back; a planned hand-over
//! and the stop of a primary reach no client as an error.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // Not every test needs all of it.
mod history;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use history::load::{Load, errors, gap_after, settle, wait_for_replicas};
use history::{Event, Op, Ret, Way, is_linearizable, object_of};
use tests_harness::{Cluster, Reply, primary_of};

fn asked(name: u64, op: Op) -> (u64, Event) {
    (name, Event::Asked(op))
}

fn answered(name: u64, ret: Ret) -> (u64, Event) {
    (name, Event::Answered(ret))
}

#[test]
fn the_checker_catches_seeded_violations() {
    let set = |name, value: &str| asked(name, Op::Set(value.into()));
    let value = |name, value: &str| answered(name, Ret::Value(Some(value.into())));
    let sound = [
        set(1, "a"),
        answered(1, Ret::Done),
        set(1, "b"),
        asked(2, Op::Get),
        value(2, "b"),
        asked(2, Op::Get),
        value(2, "b"),
        answered(1, Ret::Done),
    ];
    assert!(is_linearizable(object_of("register"), &sound));
    let mut stale = sound.to_vec();
    stale[6] = value(2, "a");
    assert!(!is_linearizable(object_of("register"), &stale), "a read went back and was not caught");

    let lost = [
        asked(1, Op::Push("a".into())),
        answered(1, Ret::Number(1)),
        asked(2, Op::Push("b".into())),
        answered(2, Ret::Number(1)),
    ];
    assert!(!is_linearizable(object_of("list"), &lost), "a lost write was not caught");

    let twice = [asked(1, Op::Incr), answered(1, Ret::Number(1)), asked(2, Op::Get), value(2, "2")];
    assert!(!is_linearizable(object_of("counter"), &twice), "a write applied twice was not caught");

    // Of an unknown outcome: both are possible, but not one after the other.
    let open = |ends: &[&str]| {
        let mut events = vec![asked(1, Op::Incr), answered(1, Ret::Number(1)), asked(3, Op::Incr)];
        for end in ends {
            events.extend([asked(2, Op::Get), value(2, end)]);
        }
        is_linearizable(object_of("counter"), &events)
    };
    assert!(open(&["1", "1"]) && open(&["2", "2"]) && open(&["1", "2"]));
    assert!(!open(&["2", "1"]), "an outcome that was taken back was not caught");
}

/// One client after the other: (operation, answer).
fn in_turn(key: &str, steps: &[(Op, Ret)]) -> bool {
    let events: Vec<(u64, Event)> = (0..)
        .zip(steps)
        .flat_map(|(name, (op, ret))| [asked(name, op.clone()), answered(name, ret.clone())])
        .collect();
    is_linearizable(object_of(key), &events)
}

/// For each kind of key: what is right passes, then a stale read, a lost write or a write applied twice, and halves of a unit.
#[test]
fn the_checker_catches_seeded_violations_of_every_kind() {
    let list = |items: &[&str]| Ret::List(items.iter().map(|item| (*item).to_owned()).collect());
    let add = |member: &str| Op::Add(member.into());
    let one = Ret::Number(1);
    assert!(in_turn(
        "set",
        &[(add("a"), one.clone()), (add("a"), Ret::Number(0)), (Op::Members, list(&["a"]))]
    ));
    assert!(!in_turn("set", &[(add("a"), one.clone()), (Op::Members, list(&[]))]), "a stale read of a set");
    assert!(!in_turn("set", &[(add("a"), one.clone()), (add("a"), one.clone())]), "a lost member of a set");
    let remove = Op::Remove("a".into());
    assert!(
        !in_turn("set", &[(add("a"), one.clone()), (remove, Ret::Number(0))]),
        "a removal that found nothing"
    );

    let score = || Op::Score("a".into());
    assert!(in_turn("zset", &[(score(), one.clone()), (Op::Ranking, list(&["a", "1"]))]));
    assert!(!in_turn("zset", &[(score(), one.clone()), (score(), one.clone())]), "a lost score");
    assert!(
        !in_turn("zset", &[(score(), one.clone()), (Op::Ranking, list(&["a", "2"]))]),
        "a score added twice"
    );

    let field = |value: &str| Op::Field("f".into(), value.into());
    assert!(in_turn(
        "hash",
        &[(field("1"), one.clone()), (field("2"), Ret::Number(0)), (Op::Fields, list(&["f", "2"]))]
    ));
    let stale = [(field("1"), one.clone()), (field("2"), Ret::Number(0)), (Op::Fields, list(&["f", "1"]))];
    assert!(!in_turn("hash", &stale), "a stale field");
    assert!(!in_turn("hash", &[(field("1"), one.clone()), (field("2"), one)]), "a lost field");

    for way in [Way::Multi, Way::Script] {
        let both = |item: &str| Op::Both(item.into(), way);
        let whole =
            |count, items: &[&str]| Ret::Whole(count, items.iter().map(|item| (*item).to_owned()).collect());
        let first = (both("x"), Ret::Both(1, 1));
        assert!(in_turn("pair", &[first.clone(), (Op::ReadBoth(way), whole(1, &["x"]))]));
        assert!(
            !in_turn("pair", &[first.clone(), (Op::ReadBoth(way), whole(1, &[]))]),
            "half of a unit ({way:?})"
        );
        assert!(
            !in_turn("pair", &[first.clone(), (both("y"), Ret::Both(2, 1))]),
            "half of a unit was lost ({way:?})"
        );
        assert!(!in_turn("pair", &[first.clone(), (both("y"), Ret::Both(1, 1))]), "a lost unit ({way:?})");
        assert!(!in_turn("pair", &[first, (both("y"), Ret::Both(3, 3))]), "a unit applied twice ({way:?})");
    }
}

#[test]
fn killed_and_frozen_primaries_leave_a_linearizable_history() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let _logs = cluster.start_logs();
    let commands = cluster.nodes();
    let mut nodes = cluster.start_nodes();
    let kills: usize = std::env::var("FASTKEEP_FAILOVERS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let mut gaps = Vec::new();
    for round in 0..=kills {
        let at = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
        wait_for_replicas(&nodes[(at + 1) % 3]);
        // Clients of the node that dies would only measure their own reconnecting: those of the frozen one matter.
        let frozen = round == kills;
        let ports: Vec<u16> =
            (0..3).filter(|node| frozen || *node != at).map(|node| nodes[node].port).collect();
        let load = Load::start(&ports, 6);
        load.run(Duration::from_millis(500));
        let begun = Instant::now();
        if frozen {
            nodes[at].signal("STOP");
            load.run(Duration::from_millis(2_500));
            nodes[at].signal("CONT");
        } else {
            nodes[at].kill();
        }
        load.run(Duration::from_millis(2_000));
        let (history, answers) = load.end();
        settle(&history, &nodes[(at + 1) % 3]);
        let gap = gap_after(&answers, begun);
        assert!(history.len() > 100, "only {} operations", history.len());
        assert!(gap < Duration::from_secs(20), "nobody took over for {gap:?}");
        println!("round {round}: {} operations, {gap:?} without an answer", history.len());
        if frozen {
            continue;
        }
        gaps.push(gap);
        nodes[at] = commands[at].start();
    }
    gaps.sort();
    println!("failover: median {:?}, maximum {:?}", gaps.get(gaps.len() / 2), gaps.last());
}

#[test]
fn a_hand_over_and_a_stop_reach_no_client_as_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let _logs = cluster.start_logs();
    let mut nodes = cluster.start_nodes();
    let at = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
    wait_for_replicas(&nodes[at]);
    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    // Somebody waits for a key over the hand-over.
    let mut waiting = nodes[at].client();
    waiting.queue(&["BLPOP", "queue", "30"]);
    waiting.flush().unwrap();
    let load = Load::start(&ports, 6);
    load.run(Duration::from_millis(500));
    let begun = Instant::now();
    let answer: serde_json::Value =
        serde_json::from_str(&nodes[at].ctl(&["failover", "0", "--json"]).unwrap()).unwrap();
    assert_ne!(answer["from"], answer["to"], "{answer}");
    load.run(Duration::from_secs(1));
    let now = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
    assert_ne!(now, at, "the shard stayed where it was");
    let (history, answers) = load.end();
    assert_eq!(errors(&answers), [""; 0], "a hand-over reached a client as an error");
    settle(&history, &nodes[now]);
    println!("hand-over: {:?} without an answer", gap_after(&answers, begun));

    let mut other = nodes[now].client();
    assert_eq!(other.text("RPUSH queue served"), "1");
    let Reply::Array(served) = waiting.read().unwrap() else { panic!("the waiting client was not served") };
    assert_eq!(served[1], Reply::BulkString(b"served".to_vec()));

    // The stop of a primary hands over, too. Its own clients are closed, so the load is on the others.
    wait_for_replicas(&nodes[now]);
    let ports: Vec<u16> = (0..3).filter(|node| *node != now).map(|node| nodes[node].port).collect();
    let load = Load::start(&ports, 6);
    load.run(Duration::from_millis(300));
    assert!(nodes.remove(now).stop().success());
    load.run(Duration::from_millis(500));
    let (history, answers) = load.end();
    assert_eq!(errors(&answers), [""; 0], "the stop of a primary reached a client as an error");
    settle(&history, &nodes[0]);
}

#[test]
fn replicas_follow_show_a_prefix_and_never_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(folder.path(), 1);
    let _logs = cluster.start_logs();
    let nodes = cluster.start_nodes();
    let at = primary_of(&nodes.iter().collect::<Vec<_>>(), 0);
    wait_for_replicas(&nodes[at]);
    let replica = &nodes[(at + 1) % 3];
    let mut writer = nodes[at].client();
    // A replica's main port serves everything without being asked to read from itself.
    let mut through = replica.client();
    assert_eq!(through.text("SET a 1"), "OK");
    assert_eq!(writer.text("GET a"), "1");
    assert_eq!(through.text("GET a"), "1");
    // Scripts, too: the primary was never shown this one.
    let code = "return redis.call('GET',KEYS[1])";
    let Reply::BulkString(sha) = through.call(&["SCRIPT", "LOAD", code]).unwrap() else {
        panic!("no digest")
    };
    let sha = String::from_utf8(sha).unwrap();
    assert_eq!(through.text(&format!("EVALSHA {sha} 1 a")), "1");
    assert_eq!(through.text("SELECT 3"), "OK");
    assert_eq!(through.text("SET in-three yes"), "OK");
    assert_eq!(through.text("WATCH in-three"), "OK");
    assert_eq!(through.text("MULTI"), "OK");
    assert_eq!(through.text("PING"), "QUEUED");
    assert_eq!(through.text("GET in-three"), "QUEUED");
    assert_eq!(
        through.run("EXEC"),
        Reply::Array(vec![Reply::SimpleString(b"PONG".to_vec()), Reply::BulkString(b"yes".to_vec())])
    );
    assert_eq!(through.text("WATCH in-three"), "OK");
    assert_eq!(writer.text("SELECT 3"), "OK");
    assert_eq!(writer.text("SET in-three no"), "OK");
    assert_eq!(writer.text("SELECT 0"), "OK");
    assert_eq!(through.text("MULTI"), "OK");
    assert_eq!(through.text("GET in-three"), "QUEUED");
    assert_eq!(through.run("EXEC"), Reply::Null);

    // Two hold what was written, and say so; a third isn't there, which only ends with the time given.
    assert_eq!(writer.text("SET a 2"), "OK");
    assert_eq!(writer.text("WAIT 2 0"), "2");
    assert_eq!(writer.text("WAIT 3 50"), "2");

    // x is written before y: whoever sees y's number sees at least as much of x, and numbers never fall.
    let mut reader = replica.client();
    assert_eq!(reader.text("READONLY"), "OK");
    let stop = Arc::new(AtomicBool::new(false));
    let reading = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let (mut last, mut reads) = (0, 0_u64);
            while !stop.load(Ordering::Relaxed) {
                let number = |text: String| text.parse::<i64>().unwrap_or(0);
                let y = number(reader.text("GET y"));
                let x = number(reader.text("GET x"));
                assert!(y >= last, "y fell from {last} to {y}");
                assert!(x >= y, "y is {y}, but x, which was written first, is {x}");
                (last, reads) = (y, reads + 1);
            }
            (last, reads, reader)
        })
    };
    for n in 1..=1_000 {
        let n = n.to_string();
        for key in ["x", "y"] {
            assert_eq!(writer.call(&["SET", key, &n]).unwrap(), Reply::SimpleString(b"OK".to_vec()));
        }
    }
    let begun = Instant::now();
    while nodes[(at + 2) % 3].client().text("GET y") != "1000" {
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    stop.store(true, Ordering::Relaxed);
    let (last, reads, mut reader) = reading.join().unwrap();
    assert!(last > 0 && reads > 10, "the replica showed {last} in {reads} reads");
    let begun = Instant::now();
    while reader.text("GET y") != "1000" {
        assert!(begun.elapsed() < Duration::from_secs(20), "the replica does not follow");
    }
    // A key whose time has passed is hidden on the replica; writes of a READONLY client go to the primary.
    assert_eq!(reader.text("SET short-lived 1 PX 30"), "OK");
    assert_eq!(writer.text("DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    let begun = Instant::now();
    while reader.text("GET short-lived") != "(nil)" || begun.elapsed() < Duration::from_millis(50) {
        assert!(begun.elapsed() < Duration::from_secs(20), "an expired key is shown");
    }
}
