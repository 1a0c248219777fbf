//! Proves that rules mean what Redis's mean, that a refused list of rules changes nothing, that every user comes
//! back from the metadata log as they were, and that permissions follow from rules whatever their order.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proxy_resp::OwnedArgs;

use crate::{Context, Denied, Event, Log, Reason, User, Users, check_command};

fn user(rules: &[&str]) -> User {
    let mut user = User::new(b"u", 7, false);
    user.apply(rules.iter().map(|rule| rule.as_bytes()), false).unwrap();
    user
}

fn refused(rules: &[&str]) -> String {
    let mut user = User::new(b"u", 7, false);
    let before = user.clone();
    let error = user.apply(rules.iter().map(|rule| rule.as_bytes()), false).unwrap_err();
    assert_eq!(user, before, "a refused list of rules changed something");
    error.to_string()
}

fn shown(rules: &[&str]) -> String {
    String::from_utf8(user(rules).describe()).unwrap()
}

fn check(user: &User, line: &str) -> Result<(), Denied> {
    let args: OwnedArgs = line.split(' ').collect();
    let row = proxy_engine::resolve(args.as_args()).unwrap();
    check_command(user, row, args.as_args())
}

fn denied(reason: Reason, at: usize) -> Result<(), Denied> {
    Err(Denied { reason, at })
}

#[test]
fn rules_are_shown_as_redis_shows_them() {
    for (rules, expected) in [
        (&[][..], "off resetchannels -@all"),
        (&["on", "nopass", "~*", "&*", "+@all"], "on nopass ~* &* +@all"),
        (&["reset"], "off sanitize-payload resetchannels -@all"),
        (&["%R~a", "%W~a", "%w~x", "~y", "&c", "&c"], "off ~a %W~x ~y resetchannels &c -@all"),
        (&["+@all", "-config", "+config|get"], "off resetchannels +@all -config +config|get"),
        (&["+@all", "-select", "+select|0", "+SELECT|0"], "off resetchannels +@all -select +select|0"),
        (&["-@all", "+@read", "-get", "+get"], "off resetchannels -@all +@read"),
        (
            &["(+get", "~x)", "()"],
            "off resetchannels -@all (~x resetchannels -@all +get) (resetchannels -@all)",
        ),
        (&["(+set \"~a\\x41\")"], "off resetchannels -@all (~aA resetchannels -@all +set)"),
        (&["allkeys", "%RW~*", "resetkeys", "~b"][..1], "off ~* resetchannels -@all"),
    ] {
        assert_eq!(shown(rules), expected, "{rules:?}");
    }
}

#[test]
fn refusals_have_redis_words() {
    let modifier = |rule: &str, text: &str| format!("Error in ACL SETUSER modifier '{rule}': {text}");
    for (rules, rule, text) in [
        (&["on", "foo"][..], "foo", "Syntax error"),
        (&["+nosuch"], "+nosuch", "Unknown command or category name in ACL"),
        (&["+config|"], "+config|", "Syntax error"),
        (&["+config|get|x"], "+config|get|x", "Allowing first-arg of a subcommand is not supported"),
        (&["-select|0"], "-select|0", "Unknown command or category name in ACL"),
        (&["<x"], "<x", "The password you are trying to remove from the user does not exist"),
        (&["(nopass)"], "(nopass)", "Syntax error"),
        (&["~a b"], "~a b", "Syntax error"),
        (&["%R~x", "%RR~x"], "%RR~x", "Syntax error"),
        (&["%"], "%", "Syntax error"),
    ] {
        assert_eq!(refused(rules), modifier(rule, text));
    }
    assert!(refused(&["~*", "~a"]).ends_with("Try 'resetkeys' to start with an empty list of patterns"));
    assert!(refused(&["&*", "&a"]).ends_with("Try 'resetchannels' to start with an empty list of channels"));
    assert_eq!(refused(&["(+get", "~x"]), "Unmatched parenthesis in acl selector starting at '(+get'.");
}

#[test]
fn decisions_follow_commands_keys_and_what_is_done_to_them() {
    let user = user(&[
        "+get",
        "+set",
        "+copy",
        "+mget",
        "+select|3",
        "%R~r*",
        "%W~w*",
        "(+getset ~b*)",
        "(+mget ~m*)",
    ]);
    for (line, expected) in [
        ("GET r1", Ok(())),
        ("GET w1", denied(Reason::Key, 1)),
        ("SET w1 x", Ok(())),
        ("SET r1 x", denied(Reason::Key, 1)),
        // With GET it reads too.
        ("SET w1 x GET", denied(Reason::Key, 1)),
        ("COPY r1 w1", Ok(())),
        ("COPY r1 r2", denied(Reason::Key, 2)),
        ("MGET r1 r2 m3", denied(Reason::Key, 3)),
        ("MGET m1 m2", Ok(())),
        ("GETSET b1 x", Ok(())),
        ("GETSET r1 x", denied(Reason::Key, 1)),
        ("SELECT 3", Ok(())),
        ("SELECT 4", denied(Reason::Command, 0)),
        ("CONFIG GET x", denied(Reason::Command, 0)),
        // Needs no authentication, so no permission either.
        ("AUTH x", Ok(())),
    ] {
        assert_eq!(check(&user, line), expected, "{line}");
    }
}

#[test]
fn passwords_let_in_whoever_has_one() {
    let mut users = Users::default();
    users.insert(user(&[
        "on",
        ">a",
        ">b",
        "#ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ]));
    for (password, expected) in [("a", true), ("b", true), ("abc", true), ("c", false), ("", false)] {
        assert_eq!(users.authenticate(b"u", password.as_bytes()).is_some(), expected, "{password}");
    }
    assert!(users.authenticate(b"nobody", b"a").is_none());
    let mut off = user(&["off", ">a"]);
    assert!(!off.admits(b"a"));
    off.apply([&b"on"[..], b"nopass"], false).unwrap();
    assert!(off.admits(b"anything"));
    assert!(!format!("{:?}", user(&[">secret"])).contains("secret"));
}

#[test]
fn the_log_counts_what_happens_again() {
    let event = |object: &str| Event {
        reason: Some(Reason::Key),
        context: Context::TopLevel,
        object: object.into(),
        user: b"u".to_vec(),
    };
    let mut log = Log::default();
    log.note(event("a"), String::new(), 1000, 3);
    log.note(event("b"), String::new(), 2000, 3);
    log.note(event("a"), String::new(), 3000, 3);
    let seen: Vec<(u64, Vec<u8>)> =
        log.iter().map(|entry| (entry.count, entry.event.object.clone())).collect();
    assert_eq!(seen, [(2, b"a".to_vec()), (1, b"b".to_vec())]);
    log.note(event("a"), String::new(), 100_000, 3);
    assert_eq!(log.iter().map(|entry| entry.count).collect::<Vec<_>>(), [1, 2, 1]);
    log.note(event("c"), String::new(), 100_000, 3);
    assert_eq!(log.iter().len(), 3);
}

fn rule() -> impl Strategy<Value = String> {
    let words = [
        "on",
        "off",
        "nopass",
        "resetpass",
        "reset",
        "allkeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "+@all",
        "-@all",
        "+@read",
        "-@read",
        "+@write",
        "-@dangerous",
        "+@slow",
        "-@fast",
        "-@connection",
        "+get",
        "-get",
        "+set",
        "+config",
        "-config|set",
        "+config|get",
        "-client|kill",
        "+select|1",
        "+select|x",
        "-select",
        "+cluster|slots",
        "-migrate",
        "~a*",
        "%R~b*",
        "%W~b*",
        "%RW~c?",
        "~*",
        "&ch*",
        "&*",
        ">p1",
        ">p2",
        "<p1",
        "skip-sanitize-payload",
        "sanitize-payload",
        "clearselectors",
        "(+get ~x*)",
        "(+@all -@write %R~*)",
        "(+select|2 allkeys &y)",
        "()",
        "nonsense",
        "(off)",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

const LINES: [&str; 12] = [
    "GET a1",
    "GET b1",
    "SET b1 x",
    "SET a1 x GET",
    "CONFIG GET x",
    "CONFIG SET x y",
    "SELECT 1",
    "SELECT 5",
    "CLIENT KILL ID 1",
    "MGET a1 c1 x1",
    "PING",
    "FLUSHALL",
];

proptest! {
    /// What the metadata log keeps makes the same user again, and ACL LIST's line does too.
    #[test]
    fn users_come_back_as_they_were(rules in prop::collection::vec(rule(), 0..12)) {
        let mut user = User::new(b"u", 42, false);
        for rule in &rules {
            let _ = user.apply([rule.as_bytes()], false);
        }
        let again = User::from_stored(b"u", &user.to_stored()).unwrap();
        prop_assert_eq!(again.describe(), user.describe());
        prop_assert_eq!(again.to_stored(), user.to_stored());
        prop_assert_eq!(again.tag(), 42);
        let mut told = User::new(b"u", 0, false);
        let line = user.describe();
        told.apply(line.split(|b| *b == b' '), false).unwrap();
        prop_assert_eq!(told.describe(), line);
        for line in LINES {
            prop_assert_eq!(check(&again, line), check(&user, line), "{}", line);
            prop_assert_eq!(check(&told, line), check(&user, line), "{}", line);
        }
    }

    /// All rules at once are the same as one after another, unless one is refused: then nothing has happened.
    #[test]
    fn rules_are_atomic(rules in prop::collection::vec(rule(), 0..8)) {
        let (mut at_once, mut stepwise) = (User::new(b"u", 1, false), User::new(b"u", 1, false));
        let all = rules.iter().all(|rule| stepwise.apply([rule.as_bytes()], false).is_ok());
        let before = at_once.clone();
        let applied = at_once.apply(rules.iter().map(|rule| rule.as_bytes()), false);
        prop_assert_eq!(applied.is_ok(), all);
        prop_assert_eq!(&at_once, if all { &stepwise } else { &before });
    }

    /// Whatever bytes a kept user holds, reading them doesn't panic, nor do rules.
    #[test]
    fn foreign_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), rules in prop::collection::vec("[-+(~&%#<>!@|a-z* )\"\\\\]{0,12}", 0..6)) {
        let _ = User::from_stored(b"u", &bytes);
        let mut user = User::new(b"u", 1, true);
        if user.apply(rules.iter().map(|rule| rule.as_bytes()), true).is_ok() {
            let again = User::from_stored(b"u", &user.to_stored()).unwrap();
            prop_assert_eq!(again.to_stored(), user.to_stored());
        }
    }
}
