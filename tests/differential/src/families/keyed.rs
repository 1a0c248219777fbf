//! Random commands over strings, keys of any type, lifetimes and whole databases, biased to edges: numbers
//! at their limits, options that exclude each other, past and overflowing times, wrong types, repeated keys.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::Draw;
use super::collections::Command;

const STRING_KEYS: [&str; 8] = ["k:0", "k:1", "k:2", "k:3", "k:4", "k:5", "n:0", "n:1"];
/// Keys that [`Keyed::command`] fills with other types, and keys of the collections' commands.
const OTHER_KEYS: [&str; 9] = ["list", "hash", "set", "zset", "missing", "l:0", "h:0", "s:0", "z:0"];

const INTEGERS: [&str; 30] = [
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "7",
    "10",
    "-10",
    "100",
    "9999",
    "10000",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775806",
    "9223372036854775808",
    "536870912",
    "4294967296",
    "4611686018427387904",
    "x",
    "",
    "1.5",
    " 1",
    "1 ",
    "01",
    "+1",
    "-0",
    "1e3",
    "0x10",
];
const FLOATS: [&str; 34] = [
    "0",
    "-0",
    "1",
    "-1",
    "1.5",
    "0.1",
    "-0.1",
    "3.0e3",
    "1e20",
    "1e-18",
    "1e-17",
    "4e-18",
    "6e-18",
    "1e400",
    "1e4932",
    "-1e4931",
    "inf",
    "-Infinity",
    "nan",
    "x",
    "",
    " 1",
    "1 ",
    "0x10",
    "0x1.8p1",
    "1.7e308",
    "5.0e-5",
    "100000000000000000000.5",
    ".5",
    "5.",
    "1e",
    "123456789012345678901234567890",
    "0.12345678901234567890",
    "+3.14",
];
const TIMES: [&str; 22] = [
    "0",
    "-1",
    "7000000",
    "1000000",
    "10000000",
    "5000000",
    "6000000",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775",
    "9223372036854776",
    "9223370000000000",
    "4102444800",
    "4102444800000",
    "4102444900000",
    "8000000",
    "1600000000",
    "x",
    "",
    "1.5",
    "2000000",
    "3000000",
];
/// Ends that are far away or refused. A SET that ends in the past would leave a key which Redis deletes at a
/// moment of its own choice; the same holds for lifetimes of a few seconds.
const FAR_SECONDS: [&str; 7] =
    ["4102444800", "4102444801", "9223372036854775807", "9223372036854775", "0", "-1", "x"];
const FAR_MILLISECONDS: [&str; 6] = ["4102444800000", "4102444900000", "9223372036854775807", "0", "-1", "x"];
const PATTERNS: [&str; 19] = [
    "*", "k:*", "k:?", "k:[0-3]", "k:[^0-3]", "k:[3-0]", "*:*", "?*", "", "k:\\0", "[kn]:[01", "[k", "n*1",
    "**", "k:[\\0]", "missing", "[", "\\", "*0*",
];

/// Chooses commands of these families.
pub struct Keyed<'r> {
    pub rng: &'r mut SmallRng,
}

impl Draw for Keyed<'_> {
    fn rng(&mut self) -> &mut SmallRng {
        self.rng
    }
}

impl Keyed<'_> {
    /// The next command.
    pub fn command(&mut self) -> Command {
        let mut command = match self.rng.random_range(0..100) {
            0..24 => self.whole_string(),
            24..40 => self.counter(),
            40..52 => self.part(),
            52..66 => self.lifetime(),
            66..94 => self.key_command(),
            94..97 => self.other_type(),
            97 if self.chance(20) => self.waiting(),
            _ => self.database(),
        };
        // Now and then an argument too few, too many, or in another case of letters.
        match self.rng.random_range(0..60) {
            0 if command.len() > 1 => {
                command.pop();
            }
            1 => command.push(self.value()),
            2 => command[0].make_ascii_lowercase(),
            _ => {}
        }
        command
    }

    fn key(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..100) {
            0..8 => self.pick(&OTHER_KEYS),
            8 => Vec::new(),
            _ => self.pick(&STRING_KEYS),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..100) {
            0..30 => self.pick(&INTEGERS),
            30..45 => self.pick(&FLOATS),
            45..55 => self.rng.random::<i64>().to_string().into_bytes(),
            55..60 => vec![0xff, 0, b'\r', b'\n', self.rng.random()],
            60..65 => vec![b'v'; *[44, 45, 100, 5000].choose(self.rng).unwrap_or(&44)],
            _ => {
                let len = self.rng.random_range(0..12);
                (0..len).map(|_| self.rng.random_range(b'a'..=b'd')).collect()
            }
        }
    }

    fn float(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..4) {
            0 => format!("{}", self.rng.random_range(-1000.0..1000.0)).into_bytes(),
            1 => format!("{:e}", self.rng.random::<f64>() * 10f64.powi(self.rng.random_range(-30..30)))
                .into_bytes(),
            _ => self.pick(&FLOATS),
        }
    }

    /// A time. Lifetimes that start now are never the same twice: whether the later one of two ends later
    /// (EXPIRE with GT or LT) would hang on the millisecond in which each server ran them.
    fn time(&mut self) -> Vec<u8> {
        let time = self.pick(&TIMES);
        match std::str::from_utf8(&time).ok().and_then(|text| text.parse::<u64>().ok()) {
            Some(from_now @ 1_000_000..=10_000_000) => {
                (from_now + self.rng.random_range(0..1_000_000)).to_string().into_bytes()
            }
            _ => time,
        }
    }

    /// `name` and then what `shape` says: k key, v value, i integer, f float, t time.
    fn shaped(&mut self, name: &str, shape: &str) -> Command {
        let mut command: Command = vec![name.into()];
        for kind in shape.bytes() {
            let argument = match kind {
                b'k' => self.key(),
                b'v' => self.value(),
                b'i' => self.pick(&INTEGERS),
                b'f' => self.float(),
                _ => self.time(),
            };
            command.push(argument);
        }
        command
    }

    /// Appends each of `words` with a chance of `percent`; those with `=` are followed by a time.
    fn options(&mut self, command: &mut Command, words: &[&str], percent: u32) {
        for word in words {
            if self.chance(percent) {
                command.push(word.trim_end_matches('=').into());
                if word.ends_with('=') && !self.chance(3) {
                    let time = match word.to_ascii_uppercase().as_str() {
                        "EXAT=" => self.pick(&FAR_SECONDS),
                        "PXAT=" => self.pick(&FAR_MILLISECONDS),
                        _ => self.time(),
                    };
                    command.push(time);
                }
            }
        }
    }

    fn whole_string(&mut self) -> Command {
        match self.rng.random_range(0..14) {
            0..2 => self.shaped("SET", "kv"),
            2..4 => {
                let mut command = self.shaped("SET", "kv");
                self.options(
                    &mut command,
                    &["NX", "xx", "GET", "EX=", "PX=", "EXAT=", "pxat=", "KEEPTTL", "EX="],
                    12,
                );
                command
            }
            4 => self.shaped("SETNX", "kv"),
            5 => self.shaped("SETEX", "ktv"),
            6 => self.shaped("PSETEX", "ktv"),
            7 => self.shaped("GETSET", "kv"),
            8 => self.shaped("GETDEL", "k"),
            9 => {
                let mut command = self.shaped("GETEX", "k");
                self.options(&mut command, &["EX=", "PX=", "EXAT=", "PXAT=", "PERSIST"], 18);
                command
            }
            10 => self.many("MGET", "k"),
            11 => self.many("MSET", "kv"),
            12 => self.many("MSETNX", "kv"),
            _ => self.shaped("GET", "k"),
        }
    }

    fn many(&mut self, name: &str, shape: &str) -> Command {
        let count = if self.chance(5) { self.rng.random_range(9..20) } else { self.rng.random_range(1..4) };
        self.shaped(name, &shape.repeat(count))
    }

    fn counter(&mut self) -> Command {
        let mut command = match self.rng.random_range(0..8) {
            0 => self.shaped("INCR", "k"),
            1 => self.shaped("DECR", "k"),
            2 => self.shaped("INCRBY", "ki"),
            3 => self.shaped("DECRBY", "ki"),
            4 => self.shaped("SET", "kf"),
            _ => self.shaped("INCRBYFLOAT", "kf"),
        };
        // Counters of their own, so that sums grow.
        if self.chance(60) {
            command[1] = self.pick(&["n:0", "n:1"]);
        }
        command
    }

    fn part(&mut self) -> Command {
        match self.rng.random_range(0..8) {
            0 => self.shaped("APPEND", "kv"),
            1 => self.shaped("STRLEN", "k"),
            2 => self.shaped("GETRANGE", "kii"),
            3 => self.shaped("SUBSTR", "kii"),
            4 => {
                let mut command = self.shaped("SETRANGE", "kiv");
                // No offset that makes a string of hundreds of megabytes.
                if self.chance(70) || matches!(command[2].as_slice(), b"2147483647" | b"2147483648") {
                    command[2] = self.rng.random_range(0..30).to_string().into_bytes();
                }
                command
            }
            _ => {
                let mut command = self.shaped("LCS", "kk");
                self.options(&mut command, &["IDX"], 50);
                self.options(&mut command, &["LEN", "WITHMATCHLEN", "MINMATCHLEN="], 25);
                if command.last().is_some_and(|last| last == b"MINMATCHLEN") || self.chance(3) {
                    command.push(self.pick(&INTEGERS));
                }
                command
            }
        }
    }

    fn lifetime(&mut self) -> Command {
        match self.rng.random_range(0..12) {
            0..6 => {
                let name = self.pick(&["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"]);
                let mut command = self.shaped(&String::from_utf8_lossy(&name), "kt");
                self.options(&mut command, &["NX", "XX", "gt", "LT", "FOO"], 9);
                command
            }
            6 => self.shaped("PERSIST", "k"),
            _ => {
                let name = self.pick(&["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"]);
                self.shaped(&String::from_utf8_lossy(&name), "k")
            }
        }
    }

    fn key_command(&mut self) -> Command {
        match self.rng.random_range(0..18) {
            0 => self.many("DEL", "k"),
            1 => self.many("UNLINK", "k"),
            2 => self.many("EXISTS", "k"),
            3 => self.many("TOUCH", "k"),
            4 => self.shaped("TYPE", "k"),
            5 | 6 => self.shaped("RENAME", "kk"),
            7 => self.shaped("RENAMENX", "kk"),
            8 | 9 => {
                let mut command = self.shaped("COPY", "kk");
                if self.chance(30) {
                    command.push("DB".into());
                    command.push(self.small_db());
                }
                self.options(&mut command, &["REPLACE", "DB", "x"], 12);
                command
            }
            10 => {
                let mut command = self.shaped("MOVE", "k");
                command.push(self.small_db());
                command
            }
            11 => vec!["KEYS".into(), self.pick(&PATTERNS)],
            12 => self.scan(),
            13 => self.shaped("RANDOMKEY", ""),
            14 => {
                let sub = self.pick(&["ENCODING", "REFCOUNT", "IDLETIME", "FREQ", "FOO"]);
                [vec!["OBJECT".into(), sub], self.shaped("", "k")[1..].to_vec()].concat()
            }
            15 => {
                let sub = self.pick(&["USAGE", "USAGE", "USAGE", "FOO"]);
                let mut command = [vec!["MEMORY".into(), sub], self.shaped("", "k")[1..].to_vec()].concat();
                self.options(&mut command, &["SAMPLES", "0", "x"], 30);
                command
            }
            16 => [vec!["DEBUG".into(), "DIGEST-VALUE".into()], self.many("", "k")[1..].to_vec()].concat(),
            _ => self.shaped("DBSIZE", ""),
        }
    }

    /// Neither side has replicas, so that no more than a moment is waited for.
    fn waiting(&mut self) -> Command {
        let replicas = self.pick(&["0", "0", "1", "x", "", "9223372036854775808"]);
        vec!["WAIT".into(), replicas, self.pick(&["1", "1", "-1", "x", ""])]
    }

    /// A database number, usually one of two that exist.
    fn small_db(&mut self) -> Vec<u8> {
        if self.chance(80) {
            self.pick(&["0", "1"])
        } else {
            self.pick(&["15", "16", "-1", "x", "", "99999999999"])
        }
    }

    fn scan(&mut self) -> Command {
        let mut command: Command = vec!["SCAN".into(), "0".into()];
        if self.chance(12) {
            command[1] = self.pick(&["x", " 1", "18446744073709551616", "0a", "+0", "-0"]);
        }
        command.extend([
            b"COUNT".to_vec(),
            if self.chance(90) { b"100000".to_vec() } else { self.pick(&["0", "-1", "x", ""]) },
        ]);
        if self.chance(40) {
            command.extend([b"MATCH".to_vec(), self.pick(&PATTERNS)]);
        }
        if self.chance(30) {
            command.extend([b"type".to_vec(), self.pick(&["string", "LIST", "hash", "zset", "foo"])]);
        }
        command
    }

    /// Keys of other types come and go, so that wrong types are met.
    fn other_type(&mut self) -> Command {
        let line = *[
            "RPUSH list 1 abc 3",
            "HSET hash f v g 1",
            "SADD set 1 2 3",
            "SADD set a b",
            "ZADD zset 1 a 2.5 b -inf c",
        ]
        .choose(self.rng)
        .unwrap_or(&"RPUSH list 1");
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn database(&mut self) -> Command {
        match self.rng.random_range(0..24) {
            0 => vec!["FLUSHDB".into()],
            1 => vec!["FLUSHALL".into(), self.pick(&["ASYNC", "sync", "x"])],
            2..8 => vec!["SWAPDB".into(), self.small_db(), self.small_db()],
            8..12 => vec![self.pick(&["FOO", "GETT", "OBJECT", "DEBUG"]), self.value(), self.value()],
            _ => vec!["DEBUG".into(), "DIGEST".into()],
        }
    }
}
