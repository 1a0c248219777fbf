//! Proves, with fixed seeds, that users and their rules mean here what they mean to redis-server: random rules, right
//! and wrong, are answered with the same words and shown the same way; random commands are allowed or denied to the
//! same users with the same words, by ACL DRYRUN, by running them, in transactions and in scripts; ACL LOG tells the same.
#![allow(clippy::unwrap_used)]

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tests_differential::families::collections::Command;
use tests_differential::frame::Frame;
use tests_differential::seeded::seed;
use tests_differential::target::{Server, Target};
use tests_harness::{Fastkeep, Oracle, Running};

const USERS: [&str; 5] = ["ann", "bob", "cat", "dan", "default"];

/// Rules that are right by themselves.
const RULES: &[&str] = &[
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
    "allcommands",
    "nocommands",
    "+@read",
    "-@read",
    "+@write",
    "-@write",
    "+@keyspace",
    "-@string",
    "+@string",
    "+@hash",
    "-@list",
    "+@list",
    "-@set",
    "+@set",
    "+@sortedset",
    "-@sortedset",
    "+@geo",
    "-@geo",
    "+@stream",
    "+@bitmap",
    "-@hyperloglog",
    "+@pubsub",
    "-@pubsub",
    "+@admin",
    "-@admin",
    "+@dangerous",
    "-@dangerous",
    "+@fast",
    "-@fast",
    "+@slow",
    "-@slow",
    "+@blocking",
    "-@blocking",
    "+@connection",
    "-@connection",
    "+@transaction",
    "-@transaction",
    "+@scripting",
    "-@scripting",
    "+get",
    "-get",
    "+set",
    "-set",
    "+mget",
    "+del",
    "-del",
    "+GET",
    "+config",
    "-config",
    "+config|get",
    "-config|get",
    "+CONFIG|SET",
    "-config|set",
    "+client",
    "-client|kill",
    "+client|id",
    "+select|0",
    "+select|1",
    "+SELECT|x",
    "-select",
    "+select",
    "+debug|object",
    "+sort",
    "-sort",
    "+acl|whoami",
    "-acl|setuser",
    "+object|encoding",
    "+xgroup|create",
    "-memory|usage",
    "+cluster|slots",
    "-migrate",
    "+psync",
    "+replconf",
    "+ping",
    "+multi",
    "+exec",
    "+publish",
    "+subscribe",
    "~a*",
    "~b*",
    "%R~a*",
    "%W~a*",
    "%R~b*",
    "%W~b*",
    "%RW~c*",
    "%wr~d*",
    "%r~*",
    "~k?y",
    "~[ab]1",
    "~*",
    "&ch*",
    "&x",
    "&*",
    ">one",
    ">two",
    "<one",
    "#ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "sanitize-payload",
    "skip-sanitize-payload",
    "clearselectors",
    "(+get ~b*)",
    "(+@all -@write ~c*)",
    "(%R~a* %W~b* +copy +rename)",
    "(+set",
    "~d*)",
    "(+@read +select|3 %R~*)",
    "(allchannels +publish)",
    "()",
    "(+mget \"~a\\x31\")",
    "",
];

/// Rules that are wrong, or may be.
const WRONG: &[&str] = &[
    "nonsense",
    "+nosuch",
    "-nosuch",
    "+@nosuch",
    "+",
    "-",
    "+@",
    "+config|",
    "+config|nosuch",
    "+config|get|x",
    "+get|",
    "-select|0",
    "+|x",
    "<nosuch",
    "!abc",
    "#abc",
    "%R",
    "%",
    "%~x",
    "%RR~x",
    "%X~a",
    "~",
    "~a b",
    "&a b",
    "(+get",
    "(nosuch)",
    "(on)",
    "(>p)",
    "x)",
    "((+get))",
    "~*x",
    "(+get ~a)x",
    "!ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "#BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
];

/// Commands; `K` stands for a key, `C` for a channel. Those before the empty line are run, those behind only asked for.
const COMMANDS: &[&str] = &[
    "GET K",
    "SET K v",
    "SET K v GET",
    "SET K v EX 100 GET",
    "GETSET K v",
    "GETDEL K",
    "APPEND K x",
    "STRLEN K",
    "MGET K K K",
    "MSET K 1 K 2",
    "DEL K K",
    "UNLINK K",
    "EXISTS K K",
    "TYPE K",
    "EXPIRE K 100",
    "TTL K",
    "PERSIST K",
    "COPY K K",
    "RENAME K K",
    "RENAMENX K K",
    "OBJECT ENCODING K",
    "OBJECT HELP",
    "DUMP K",
    "TOUCH K",
    "HSET hK f v",
    "HGETALL hK",
    "LPUSH lK 1 2 3",
    "LRANGE lK 0 -1",
    "LMOVE lK lK LEFT RIGHT",
    "LMPOP 2 lK lK LEFT",
    "SADD sK 1 2",
    "SINTERSTORE sK sK sK",
    "SINTERCARD 2 sK sK",
    "ZADD zK 1 a",
    "ZUNIONSTORE zK 2 zK zK",
    "ZRANGESTORE zK zK 0 -1",
    "ZINTER 2 zK zK",
    "BITOP AND K K K",
    "BITFIELD K GET u8 0",
    "BITFIELD K SET u8 0 1",
    "BITFIELD_RO K GET u8 0",
    "BITCOUNT K",
    "PFADD pK a",
    "PFCOUNT pK pK",
    "PFMERGE pK pK",
    "GEOADD gK 1 1 a",
    "GEOSEARCHSTORE gK gK FROMLONLAT 1 1 BYBOX 1 1 m",
    "GEORADIUS gK 1 1 1 m STORE gK",
    "XADD xK 1-* f v",
    "XLEN xK",
    "XREAD COUNT 1 STREAMS xK xK 0 0",
    "XGROUP CREATE xK g $ MKSTREAM",
    "XINFO STREAM xK",
    "SORT lK",
    "SORT lK BY wK* GET #",
    "SORT lK BY nosort STORE lK",
    "SORT_RO lK GET wK*",
    "SORT lK LIMIT a b BY w*",
    "SORT lK STORE lK GET K*",
    "BLPOP lK lK 0.01",
    "MEMORY USAGE K",
    "SELECT 0",
    "SELECT 1",
    "SELECT 3",
    "PING",
    "ECHO x",
    "CONFIG GET maxmemory",
    "CONFIG",
    "CLIENT ID",
    "CLIENT GETNAME",
    "ACL WHOAMI",
    "ACL CAT nosuch",
    "DBSIZE",
    "TIME",
    "COMMAND COUNT",
    "PUBLISH C hello",
    "SPUBLISH C hello",
    "UNWATCH",
    "WAIT 0 0",
    "NOSUCH K",
    "GET",
    "ZUNIONSTORE zK 5 zK",
    "MSET K",
    "",
    "EVAL return{1} 1 K",
    "EVAL_RO return{1} 2 K K",
    "SUBSCRIBE C",
    "SUBSCRIBE C C",
    "PSUBSCRIBE C",
    "PSUBSCRIBE ch*",
    "SSUBSCRIBE C",
    "UNSUBSCRIBE C",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH K K",
    "FLUSHALL",
    "FLUSHDB",
    "AUTH x",
    "AUTH x y",
    "HELLO 3",
    "RESET",
    "QUIT",
    "SHUTDOWN NOSAVE",
    "DEBUG OBJECT K",
    "CONFIG SET x y",
    "CONFIG NOSUCH",
    "CLIENT KILL ID 5",
    "CLIENT LIST",
    "SWAPDB 0 1",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "BZMPOP 1 2 zK zK MIN",
    "BLMOVE lK lK LEFT LEFT 1",
    "XREADGROUP GROUP g c STREAMS xK >",
    "RESTORE K 0 x",
    "MOVE K 1",
    "SORT lK BY w* GET x",
    "SUBSTR K 0 1",
    "LCS K K",
    "EVALSHA x 2 K K",
];

fn words(line: &str) -> Command {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// Fills the places of keys and channels.
fn filled(line: &str, rng: &mut SmallRng) -> Command {
    const KEYS: [&str; 8] = ["a1", "a2", "b1", "b2", "c1", "d1", "key", "zz"];
    const CHANNELS: [&str; 5] = ["ch1", "ch2", "x", "y", "ch*"];
    let fill = |word: &str, rng: &mut SmallRng| match word {
        "C" => (*CHANNELS.choose(rng).unwrap()).to_owned(),
        "GET" | "SET" | "K*" => word.to_owned(),
        // A letter before the key keeps types apart; rules look at the key's first letter, so it comes last.
        _ if word.len() <= 2 && word.ends_with('K') => {
            format!("{}{}", KEYS.choose(rng).unwrap(), &word[..word.len() - 1])
        }
        _ => word.to_owned(),
    };
    line.split(' ').map(|word| fill(word, rng).into_bytes()).collect()
}

/// Commands that Redis 7.0 doesn't have, so that its rules don't name them.
const NEWER: [&str; 3] = ["waitaof", "client|no-touch", "client|setinfo"];

/// Rules of the field `commands` have no order among single commands: redis-server's comes from a random hash.
fn in_order(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split('(') {
        let (inside, outside) = part.split_once(')').unwrap_or(("", part));
        let sorted = |text: &str| {
            let newer = |word: &&str| !NEWER.contains(&word.trim_start_matches(['+', '-']));
            let mut words: Vec<&str> = text.split(' ').filter(newer).collect();
            let single = |word: &str| word.starts_with(['+', '-']) && !word.contains('@');
            let at = words.iter().position(|word| single(word)).unwrap_or(words.len());
            let end = words[at..].iter().position(|word| !single(word)).map_or(words.len(), |n| at + n);
            // Categories keep their order, which says how the rules came to be.
            words[at..end].sort_unstable();
            words.join(" ")
        };
        parts.push(format!("{}|{}", sorted(inside), sorted(outside)));
    }
    parts.join("(")
}

/// A reply with everything in it in a comparable order.
fn comparable(frame: &Frame) -> String {
    match frame {
        Frame::Bulk(bytes) => in_order(&String::from_utf8_lossy(bytes)),
        Frame::Line(line) => String::from_utf8_lossy(line).into_owned(),
        Frame::Many(tag, parts) => {
            let parts: Vec<String> = parts.iter().map(comparable).collect();
            format!("{}[{}]", char::from(*tag), parts.join(", "))
        }
    }
}

struct Pair {
    oracle: Server,
    tested: Server,
}

impl Pair {
    fn connect(oracle: &Oracle, tested: &Running, protocol: u8) -> Self {
        Self {
            oracle: Server::connect(oracle.port, protocol).unwrap(),
            tested: Server::connect(tested.port, protocol).unwrap(),
        }
    }

    fn both(&mut self, command: &Command) -> (Frame, Frame) {
        let shown = String::from_utf8_lossy(&command.join(&b' ')).into_owned();
        let reply = |server: &mut Server, which: &str| {
            server.run(command).unwrap_or_else(|error| panic!("{which}: {shown}: {error}"))
        };
        (reply(&mut self.oracle, "redis-server"), reply(&mut self.tested, "fastkeep"))
    }

    /// The same reply from both.
    fn same(&mut self, command: &Command, led: &[String]) -> Frame {
        let (expected, got) = self.both(command);
        let shown = String::from_utf8_lossy(&command.join(&b' ')).into_owned();
        assert_eq!(comparable(&got), comparable(&expected), "{shown}\nafter\n  {}", led.join("\n  "));
        got
    }

    fn line(&mut self, line: &str) -> Frame {
        self.same(&words(line), &[])
    }
}

fn is_error(frame: &Frame) -> bool {
    matches!(frame, Frame::Line(line) if line.first() == Some(&b'-'))
}

/// A denial or a success, in words where they are denials; what commands do otherwise is other tests' business.
fn decision(frame: &Frame) -> String {
    match frame.parts() {
        _ if is_error(frame) => frame.text(),
        [script, asked, done] if script.text() == SCRIPT_MARK => {
            format!("script: {} {}", asked.text(), decision(done))
        }
        _ => "done".to_owned(),
    }
}

/// What the answer of [`in_script`] begins with.
const SCRIPT_MARK: &str = "asked and done by a script";

/// A library with a function that does what the script of [`in_script`] does.
const LIBRARY: &[u8] = b"#!lua name=doer\n\
    redis.register_function('do', function(keys, args)\n\
    return {'asked and done by a script', redis.acl_check_cmd(unpack(args)) and 1 or 0, redis.pcall(unpack(args))}\n\
    end)";

/// A script or function that asks whether it may run a command, and runs it.
fn in_script(command: Command, function: bool) -> Command {
    let script = format!(
        "return {{'{SCRIPT_MARK}', redis.acl_check_cmd(unpack(ARGV)) and 1 or 0, redis.pcall(unpack(ARGV))}}"
    );
    let code: [&[u8]; 3] =
        if function { [b"FCALL", b"do", b"0"] } else { [b"EVAL", script.as_bytes(), b"0"] };
    code.into_iter().map(<[u8]>::to_vec).chain(command).collect()
}

fn start() -> Option<(Oracle, tempfile::TempDir, Running)> {
    if !Oracle::is_installed() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let tested = Fastkeep::up(&folder.path().join("data"), &["--snapshots-interval-secs", "0"]).start();
    Some((Oracle::start(&[]), folder, tested))
}

fn random_rules(rng: &mut SmallRng) -> Vec<String> {
    let count = rng.random_range(0..7);
    let mut rules: Vec<String> = Vec::new();
    for _ in 0..count {
        let from = if rng.random_bool(0.04) { WRONG } else { RULES };
        rules.push((*from.choose(rng).unwrap()).to_owned());
    }
    if rng.random_bool(0.4) {
        // Somebody who is let in, and whose scripts are asked what they may do.
        rules.extend(["on", "nopass", "+eval", "+fcall"].map(str::to_owned));
    }
    rules
}

/// Whether the tested server has a command: what it lacks can't be asked for.
fn exists(tested: &mut Server, line: &str) -> bool {
    let name = line.split(' ').next().unwrap();
    let info = tested.line(&format!("COMMAND INFO {name}")).unwrap();
    name == "NOSUCH" || info.parts().first().is_some_and(|row| !row.parts().is_empty())
}

fn compare(protocol: u8, seed: u64, rounds: usize) {
    let Some((oracle, _folder, tested)) = start() else { return };
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut admin = Pair::connect(&oracle, &tested, protocol);
    for line in ["ACL SETUSER admin on >boss ~* &* +@all", "AUTH admin boss"] {
        admin.line(line);
    }
    let behind = COMMANDS.iter().position(|line| line.is_empty()).unwrap();
    let available: Vec<(usize, &str)> = COMMANDS
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && exists(&mut admin.tested, line))
        .map(|(at, line)| (at, *line))
        .collect();
    assert!(available.len() > 100, "commands are missing: {}", available.len());
    let mut led: Vec<String> = Vec::new();
    let load = [&b"FUNCTION"[..], b"LOAD", LIBRARY].iter().map(|word| word.to_vec()).collect();
    admin.same(&load, &[]);
    let (mut denied, mut allowed, mut by_scripts) = (0, 0, 0);
    for round in 0..rounds {
        let user = *USERS.choose(&mut rng).unwrap();
        let rules = random_rules(&mut rng);
        led.push(format!("{user} {rules:?}"));
        led.drain(..led.len().saturating_sub(40));
        let mut set: Command = words(&format!("ACL SETUSER {user}"));
        set.extend(rules.iter().map(|rule| rule.clone().into_bytes()));
        admin.same(&set, &led);
        admin.same(&words(&format!("ACL GETUSER {user}")), &led);
        if round % 10 == 0 {
            admin.same(&words("ACL LIST"), &led);
            admin.same(&words("ACL USERS"), &led);
        }
        if rng.random_bool(0.02) {
            admin.same(&words(&format!("ACL DELUSER {} nobody", USERS.choose(&mut rng).unwrap())), &led);
        }
        // Asked.
        for _ in 0..12 {
            let (_, line) = available.choose(&mut rng).unwrap();
            let mut ask: Command = words(&format!("ACL DRYRUN {user}"));
            ask.extend(filled(line, &mut rng));
            let answer = admin.same(&ask, &led);
            if answer.text() == "OK" { allowed += 1 } else { denied += 1 }
        }
        // Tried, by a connection of that user.
        let mut client = Pair::connect(&oracle, &tested, protocol);
        let words_of_auth = [format!("AUTH {user} one"), format!("AUTH {user} two"), "AUTH one".to_owned()];
        client.same(&words(words_of_auth.choose(&mut rng).unwrap()), &led);
        let in_multi = rng.random_bool(0.3);
        let mut line = vec![if in_multi { words("MULTI") } else { words("ACL WHOAMI") }];
        for _ in 0..6 {
            let (at, text) = available.choose(&mut rng).unwrap();
            if *at < behind {
                let command = filled(text, &mut rng);
                let scripted = rng.random_bool(0.4);
                line.push(if scripted { in_script(command, rng.random_bool(0.3)) } else { command });
            }
        }
        if in_multi {
            line.push(words("EXEC"));
        }
        for command in line {
            let (expected, got) = client.both(&command);
            let shown = String::from_utf8_lossy(&command.join(&b' ')).into_owned();
            let parts = |frame: &Frame| frame.parts().iter().map(decision).collect::<Vec<_>>();
            assert_eq!(decision(&got), decision(&expected), "{user}: {shown}\nafter\n  {}", led.join("\n  "));
            if decision(&got).contains("unauthenticated multibulk") {
                // Nobody reads so many words of somebody unknown; the connection is closed.
                break;
            }
            by_scripts += usize::from(decision(&got).starts_with("script: 0"));
            if command == words("EXEC") {
                assert_eq!(parts(&got), parts(&expected), "{user}: EXEC\nafter\n  {}", led.join("\n  "));
            }
        }
        if round % 25 == 24 {
            let log = |server: &mut Server| {
                let log = server.line("ACL LOG 200").unwrap();
                let told = |entry: &Frame| entry.parts().iter().take(10).map(Frame::text).collect::<Vec<_>>();
                log.parts().iter().map(told).collect::<Vec<_>>()
            };
            assert_eq!(log(&mut admin.tested), log(&mut admin.oracle), "after\n  {}", led.join("\n  "));
            admin.line("ACL LOG RESET");
        }
    }
    assert!(denied > rounds && allowed > rounds, "one-sided: {denied} denied, {allowed} allowed");
    assert!(by_scripts > rounds / 5, "hardly anything was denied to scripts: {by_scripts}");
}

#[test]
fn rules_and_decisions_agree() {
    compare(2, seed(1), 400);
    compare(3, seed(2), 400);
}

/// Commands and categories are the same, whoever asks.
#[test]
fn categories_agree() {
    let Some((oracle, _folder, tested)) = start() else { return };
    let mut pair = Pair::connect(&oracle, &tested, 2);
    let known = pair.oracle.line("COMMAND LIST").unwrap();
    let known: Vec<String> = known.parts().iter().map(Frame::text).collect();
    for category in pair.line("ACL CAT").parts().to_vec() {
        let list = |server: &mut Server| {
            let list = server.line(&format!("ACL CAT {}", category.text())).unwrap();
            let mut names: Vec<String> = list.parts().iter().map(Frame::text).collect();
            // A few commands are newer than 7.0.
            names.retain(|name| known.contains(name));
            names.sort();
            names
        };
        assert_eq!(list(&mut pair.tested), list(&mut pair.oracle), "{}", category.text());
    }
}

/// What a connection is told before and after it says who it is, in the same order as there.
#[test]
fn ways_to_say_who_one_is_agree() {
    let Some((oracle, _folder, tested)) = start() else { return };
    let mut admin = Pair::connect(&oracle, &tested, 2);
    for line in [
        "ACL SETUSER admin on >boss ~* &* +@all",
        "ACL SETUSER ann on >one +@all ~* -multi",
        "ACL SETUSER off off >one",
        "AUTH admin boss",
    ] {
        admin.line(line);
    }
    for (password, lines) in [
        (
            "",
            &[
                "AUTH x",
                "AUTH default x",
                "AUTH ann x",
                "AUTH ann one",
                "AUTH",
                "AUTH a b c",
                "ACL WHOAMI",
                "MULTI",
                "EXEC",
            ][..],
        ),
        (
            "secret",
            &[
                "PING",
                "GET x",
                "GET",
                "NOSUCH",
                "AUTH bad",
                "AUTH default bad",
                "HELLO",
                "HELLO 2",
                "HELLO 4",
                "HELLO x",
                "EXEC",
                "MULTI",
                "RESET",
                "PING",
                "AUTH secret",
                "PING",
                "RESET",
                "PING",
                "AUTH default secret",
                "HELLO 2 AUTH ann one",
                "ACL WHOAMI",
                "HELLO 2 AUTH ann bad",
                "ACL WHOAMI",
                "HELLO 2 AUTH off one",
                "HELLO 2 AUTH ann",
                "AUTH off one",
                "ACL GENPASS 0",
                "ACL GENPASS x",
                "ACL GENPASS 1 2",
                "ACL LOG x",
                "ACL CAT a b",
                "ACL NOSUCH",
                "ACL",
                "ACL DRYRUN ann",
                "ACL DRYRUN nobody get x",
                "ACL DRYRUN ann nosuch",
                "ACL DELUSER default",
                "ACL DELUSER ann default",
                "ACL GETUSER nobody",
                "CLIENT KILL USER nobody",
                "ACL SETUSER",
                "ACL WHOAMI x",
            ],
        ),
    ] {
        admin.same(&vec!["CONFIG".into(), "SET".into(), "requirepass".into(), password.into()], &[]);
        let connect = |port| Server::connect(port, 2).unwrap();
        let (mut ours, mut theirs) = (connect(tested.port), connect(oracle.port));
        for line in lines {
            let (expected, got) = (theirs.line(line).unwrap(), ours.line(line).unwrap());
            // HELLO's reply names the connection.
            let whole = !line.starts_with("HELLO") || is_error(&expected);
            assert_eq!(decision(&got), decision(&expected), "{line}");
            assert!(!whole || got == expected, "{line}: {got:?} instead of {expected:?}");
        }
    }
    // Live connections: rules that change, users that go.
    let mut client = Pair::connect(&oracle, &tested, 2);
    for (by_admin, line) in [
        (false, "AUTH ann one"),
        (true, "ACL SETUSER ann +multi"),
        (false, "MULTI"),
        (false, "SET k v"),
        (false, "GET k"),
        (true, "ACL SETUSER ann -get"),
        (false, "EXEC"),
        (true, "ACL SETUSER ann +get resetkeys"),
        (false, "GET k"),
        (true, "ACL SETUSER ann off"),
        (false, "PING"),
        (true, "ACL SETUSER ann resetpass"),
        (false, "PING"),
        (true, "ACL DELUSER ann nobody"),
    ] {
        let pair = if by_admin { &mut admin } else { &mut client };
        let (expected, got) = pair.both(&words(line));
        assert_eq!(got, expected, "{line}");
    }
    assert!(client.tested.line("PING").is_err(), "the connection of a user who was removed is still there");
    assert!(client.oracle.line("PING").is_err());
}
