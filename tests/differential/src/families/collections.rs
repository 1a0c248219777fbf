//! Random commands over hashes, lists, sets and sorted sets, biased to what goes wrong: wrong types, missing
//! keys, numbers at their limits, members named twice, collections on both sides of the packing thresholds.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::Draw;

/// A request: the command's name and its arguments.
pub type Command = Vec<Vec<u8>>;

const HASH_KEYS: [&str; 3] = ["h:0", "h:1", "h:2"];
const LIST_KEYS: [&str; 3] = ["l:0", "l:1", "l:2"];
const SET_KEYS: [&str; 5] = ["s:0", "s:1", "s:2", "s:3", "s:4"];
const ZSET_KEYS: [&str; 4] = ["z:0", "z:1", "z:2", "z:3"];
/// Sorted sets whose scores are all 0: ranges of members have a meaning only there.
const LEX_KEYS: [&str; 2] = ["x:0", "x:1"];
/// Of a wrong type or missing for good, for commands that must not meet mixed scores.
const LEX_FOREIGN_KEYS: [&str; 2] = ["w:0", "never:0"];
const OTHER_KEYS: [&str; 3] = ["str:0", "missing:0", "missing:1"];

const INTEGERS: [&str; 26] = [
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "3",
    "-3",
    "5",
    "10",
    "-10",
    "100",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "4611686018427387904",
    "4294967296",
    "x",
    "",
    "1.5",
    " 1",
    "01",
    "+1",
    "-0",
    "1e3",
    "7",
];
/// Short ones, and none that means for ever.
const TIMEOUTS: [&str; 18] = [
    "0.001",
    "0.001",
    "0.001",
    "0.0015",
    "1e-3",
    "1e-10",
    "+0.001",
    "0x1p-10",
    ".001",
    "-1",
    "-0.5",
    "inf",
    "-inf",
    "nan",
    "1e300",
    "9223372036854776",
    "x",
    "",
];
/// No count of these makes a server build a reply of gigabytes.
const COUNTS: [&str; 18] = [
    "0",
    "1",
    "2",
    "3",
    "5",
    "10",
    "200",
    "1000",
    "-1",
    "-2",
    "-5",
    "-20",
    "x",
    "",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1.0",
];
const SCORES: [&str; 30] = [
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-2.5",
    "1.5",
    "0.1",
    "3.0",
    ".5",
    "5.",
    "inf",
    "-inf",
    "+inf",
    "nan",
    "1e300",
    "-1e300",
    "1e-300",
    "1e400",
    "x",
    "",
    " 1",
    "1 ",
    "0x10",
    "9007199254740993",
    "17179869184.25",
    "1e17",
    "123456789012345678",
    "infinity",
    "3",
];
const FLOATS: [&str; 20] = [
    "0",
    "1",
    "-1",
    "1.5",
    "0.1",
    "-0.1",
    "3.0e3",
    "1e20",
    "1e-18",
    "1e400",
    "inf",
    "nan",
    "x",
    "",
    " 1",
    "1 ",
    "0x10",
    "1.7e308",
    "5.0e-5",
    "100000000000000000000.5",
];

/// Chooses commands of these families.
pub struct Collections<'r> {
    pub rng: &'r mut SmallRng,
}

impl Draw for Collections<'_> {
    fn rng(&mut self) -> &mut SmallRng {
        self.rng
    }
}

impl Collections<'_> {
    /// The next command.
    pub fn command(&mut self) -> Command {
        let mut command = match self.rng.random_range(0..100) {
            0..20 => self.hash(),
            20..42 => self.list(),
            42..62 => self.set(),
            62..95 => self.zset(),
            _ => self.other(),
        };
        // Now and then an argument too few, too many, or in another case of letters.
        match self.rng.random_range(0..60) {
            0 if command.len() > 1 => {
                command.pop();
            }
            // ZRANK and ZREVRANK take one argument more than in Redis 7.0.
            1 if !command[0].ends_with(b"RANK") => command.push(self.member()),
            2 => command[0].make_ascii_lowercase(),
            _ => {}
        }
        command
    }

    /// A key of a family, sometimes one of another.
    fn key(&mut self, family: &[&str]) -> Vec<u8> {
        if self.chance(6) { self.foreign() } else { self.pick(family) }
    }

    /// A key that is missing or of a type that may be wrong. Never a lexical one: scores would differ there.
    fn foreign(&mut self) -> Vec<u8> {
        let all = [&HASH_KEYS[..], &LIST_KEYS, &SET_KEYS, &ZSET_KEYS, &OTHER_KEYS, &OTHER_KEYS].concat();
        self.pick(&all)
    }

    fn member(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..100) {
            0..40 => self.rng.random_range(0..24).to_string().into_bytes(),
            40..70 => format!("m{}", self.rng.random_range(0..16)).into_bytes(),
            70..80 => self.pick(&INTEGERS),
            80..84 => vec![b'a'; *[63, 64, 65, 100, 200].choose(self.rng).unwrap_or(&64)],
            84..88 => vec![0xff, 0, b'\r', b'\n', self.rng.random()],
            88..92 => self.rng.random_range(-70_000..70_000).to_string().into_bytes(),
            92..94 => self.rng.random::<i64>().to_string().into_bytes(),
            _ => vec![self.rng.random_range(b'a'..=b'e')],
        }
    }

    /// How many members a command gets: few, or enough to cross a threshold.
    fn amount(&mut self) -> usize {
        match self.rng.random_range(0..60) {
            0 => self.rng.random_range(100..160),
            1 => self.rng.random_range(500..560),
            2..20 => self.rng.random_range(2..9),
            _ => 1,
        }
    }

    fn members(&mut self, command: &mut Command) {
        let amount = self.amount();
        let integers = self.chance(50);
        for _ in 0..amount {
            command.push(match amount {
                0..20 => self.member(),
                _ if integers => self.rng.random_range(0..2000).to_string().into_bytes(),
                _ => format!("bulk{}", self.rng.random_range(0..2000)).into_bytes(),
            });
        }
    }

    fn integer(&mut self) -> Vec<u8> {
        if self.chance(60) {
            self.rng.random_range(-12..13).to_string().into_bytes()
        } else {
            self.pick(&INTEGERS)
        }
    }

    fn score(&mut self) -> Vec<u8> {
        if self.chance(70) {
            self.rng.random_range(-9..10).to_string().into_bytes()
        } else {
            self.pick(&SCORES)
        }
    }

    fn options(&mut self, command: &mut Command, words: &[&str], percent: u32) {
        for word in words {
            if self.chance(percent) {
                command.push(word.as_bytes().to_vec());
            }
        }
    }

    fn hash(&mut self) -> Command {
        let key = self.key(&HASH_KEYS);
        let (field, value) = (self.member(), self.member());
        match self.rng.random_range(0..20) {
            0..4 => {
                let name = if self.chance(70) { "HSET" } else { "HMSET" };
                let mut command = vec![name.into(), key];
                let mut fields = Vec::new();
                self.members(&mut fields);
                for field in fields {
                    command.extend([field, self.member()]);
                }
                command
            }
            4 => vec!["HSETNX".into(), key, field, value],
            5 => vec!["HGET".into(), key, field],
            6 => vec!["HMGET".into(), key, field, value],
            7 => vec!["HGETALL".into(), key],
            8 => vec![self.pick(&["HKEYS", "HVALS", "HLEN"]), key],
            9..11 => {
                let mut command = vec!["HDEL".into(), key];
                self.members(&mut command);
                command
            }
            11 => vec![self.pick(&["HSTRLEN", "HEXISTS"]), key, field],
            12..14 => vec!["HINCRBY".into(), key, field, self.integer()],
            14..17 => vec!["HINCRBYFLOAT".into(), key, field, self.pick(&FLOATS)],
            17 => self.random("HRANDFIELD", key, "WITHVALUES"),
            18 => self.scan("HSCAN", key),
            _ => vec!["HGETALL".into(), key],
        }
    }

    fn random(&mut self, name: &str, key: Vec<u8>, word: &str) -> Command {
        let mut command = vec![name.into(), key];
        if self.chance(80) {
            command.push(self.pick(&COUNTS));
            if !word.is_empty() {
                self.options(&mut command, &[word], 50);
            }
        }
        command
    }

    fn scan(&mut self, name: &str, key: Vec<u8>) -> Command {
        let mut command: Command = vec![name.into(), key, "0".into()];
        if self.chance(15) {
            command[2] = self.pick(&["x", " 1", "", "18446744073709551616", "1a", "-"]);
        }
        if self.chance(40) {
            command.extend(["MATCH".into(), self.pick(&["*", "m*", "[0-4]", "?", "m1?", "", "\\*"])]);
        }
        if self.chance(40) {
            command.extend(["COUNT".into(), self.pick(&["100000", "0", "x", "-1", "1000000"])]);
        } else {
            command.extend(["COUNT".into(), "100000".into()]);
        }
        self.options(&mut command, &["TYPE"], 3);
        command
    }

    fn list(&mut self) -> Command {
        let key = self.key(&LIST_KEYS);
        let end = self.pick(&["LEFT", "RIGHT", "left", "Right"]);
        match self.rng.random_range(0..26) {
            0..6 => {
                let mut command = vec![self.pick(&["LPUSH", "RPUSH", "RPUSH", "LPUSHX", "RPUSHX"]), key];
                self.members(&mut command);
                command
            }
            6..9 => {
                let mut command = vec![self.pick(&["LPOP", "RPOP"]), key];
                if self.chance(50) {
                    command.push(self.pick(&COUNTS));
                }
                command
            }
            9 => vec!["LLEN".into(), key],
            10 => vec!["LINDEX".into(), key, self.integer()],
            11 => vec!["LSET".into(), key, self.integer(), self.member()],
            12..14 => {
                let place = self.pick(&["BEFORE", "AFTER", "before", "x"]);
                vec!["LINSERT".into(), key, place, self.member(), self.member()]
            }
            14..16 => vec!["LRANGE".into(), key, self.integer(), self.integer()],
            16 => vec!["LTRIM".into(), key, self.integer(), self.integer()],
            17..19 => vec!["LREM".into(), key, self.integer(), self.member()],
            19 => {
                let mut command = vec!["LPOS".into(), key, self.member()];
                for word in ["RANK", "COUNT", "MAXLEN"] {
                    if self.chance(40) {
                        command.extend([word.into(), self.integer()]);
                    }
                }
                command
            }
            20..22 => {
                vec!["LMOVE".into(), key, self.key(&LIST_KEYS), end, self.pick(&["LEFT", "RIGHT", "x"])]
            }
            22 => vec!["RPOPLPUSH".into(), key, self.key(&LIST_KEYS)],
            23 => self.pop_many("LMPOP", &LIST_KEYS, end),
            _ => self.waiting_list(key, end),
        }
    }

    /// A list command that may wait, for a moment.
    fn waiting_list(&mut self, key: Vec<u8>, end: Vec<u8>) -> Command {
        let timeout = self.pick(&TIMEOUTS);
        match self.rng.random_range(0..4) {
            0 => {
                let other = self.key(&LIST_KEYS);
                vec!["BLMOVE".into(), key, other, end, self.pick(&["LEFT", "RIGHT", "x"]), timeout]
            }
            1 => vec!["BRPOPLPUSH".into(), key, self.key(&LIST_KEYS), timeout],
            2 => {
                let mut command = self.pop_many("BLMPOP", &LIST_KEYS, end);
                command.insert(1, timeout);
                command
            }
            _ => {
                let name = self.pick(&["BLPOP", "BRPOP"]);
                self.waiting_pop(name, &LIST_KEYS, timeout)
            }
        }
    }

    /// A sorted set command that may wait, for a moment.
    fn waiting_zset(&mut self) -> Command {
        let timeout = self.pick(&TIMEOUTS);
        if self.chance(50) {
            let side = self.pick(&["MIN", "MAX", "min", "x"]);
            let mut command = self.pop_many("BZMPOP", &ZSET_KEYS, side);
            command.insert(1, timeout);
            return command;
        }
        let name = self.pick(&["BZPOPMIN", "BZPOPMAX"]);
        self.waiting_pop(name, &ZSET_KEYS, timeout)
    }

    fn waiting_pop(&mut self, name: Vec<u8>, family: &[&str], timeout: Vec<u8>) -> Command {
        let mut command = vec![name];
        (0..self.rng.random_range(1..4)).for_each(|_| command.push(self.key(family)));
        command.push(timeout);
        command
    }

    /// LMPOP or ZMPOP.
    fn pop_many(&mut self, name: &str, family: &[&str], end: Vec<u8>) -> Command {
        let mut command = self.counted(name, family);
        command.push(end);
        if self.chance(50) {
            command.extend(["COUNT".into(), self.pick(&COUNTS)]);
        }
        self.options(&mut command, &["COUNT"], 5);
        command
    }

    /// A name, a number of keys (sometimes a wrong one), keys.
    fn counted(&mut self, name: &str, family: &[&str]) -> Command {
        let keys = self.rng.random_range(1..4);
        let mut command: Command = vec![name.into(), keys.to_string().into_bytes()];
        if self.chance(6) {
            command[1] = self.pick(&INTEGERS);
        }
        (0..keys).for_each(|_| command.push(self.key(family)));
        command
    }

    fn set(&mut self) -> Command {
        let key = self.key(&SET_KEYS);
        match self.rng.random_range(0..20) {
            0..5 => {
                let mut command = vec!["SADD".into(), key];
                self.members(&mut command);
                command
            }
            5..7 => {
                let mut command = vec!["SREM".into(), key];
                self.members(&mut command);
                command
            }
            7 => vec![self.pick(&["SMEMBERS", "SCARD"]), key],
            8 => vec!["SISMEMBER".into(), key, self.member()],
            9 => vec!["SMISMEMBER".into(), key, self.member(), self.member()],
            10 => self.random("SPOP", key, ""),
            11 => self.random("SRANDMEMBER", key, ""),
            12..14 => vec!["SMOVE".into(), key, self.key(&SET_KEYS), self.member()],
            14..16 => {
                let mut command = vec![self.pick(&["SINTER", "SUNION", "SDIFF"])];
                (0..self.rng.random_range(1..4)).for_each(|_| command.push(self.key(&SET_KEYS)));
                command
            }
            16..18 => {
                let mut command = vec![self.pick(&["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"])];
                (0..self.rng.random_range(2..5)).for_each(|_| command.push(self.key(&SET_KEYS)));
                command
            }
            18 => {
                let mut command = self.counted("SINTERCARD", &SET_KEYS);
                if self.chance(50) {
                    command.extend(["LIMIT".into(), self.pick(&COUNTS)]);
                }
                command
            }
            _ => self.scan("SSCAN", key),
        }
    }

    fn zset(&mut self) -> Command {
        let key = self.key(&ZSET_KEYS);
        match self.rng.random_range(0..41) {
            0..8 => self.zadd(key),
            8..10 => {
                let mut command = vec!["ZREM".into(), key];
                self.members(&mut command);
                command
            }
            10 => vec!["ZSCORE".into(), key, self.member()],
            11 => vec!["ZMSCORE".into(), key, self.member(), self.member()],
            12 => vec!["ZINCRBY".into(), key, self.score(), self.member()],
            13 => vec![self.pick(&["ZRANK", "ZREVRANK"]), key, self.member()],
            14 => vec!["ZCOUNT".into(), key, self.score_end(), self.score_end()],
            15 => vec!["ZCARD".into(), key],
            16..21 => self.zrange(key),
            21..23 => self.zrange_old(key),
            23..26 => self.lexical(),
            26 => vec!["ZREMRANGEBYRANK".into(), key, self.integer(), self.integer()],
            27 => vec!["ZREMRANGEBYSCORE".into(), key, self.score_end(), self.score_end()],
            28..30 => self.random_pop(key),
            30 => {
                let side = self.pick(&["MIN", "MAX", "min", "x"]);
                self.pop_many("ZMPOP", &ZSET_KEYS, side)
            }
            31 => self.random("ZRANDMEMBER", key, "WITHSCORES"),
            32..36 => self.zalgebra(),
            36..38 => self.zalgebra_store(),
            38 => {
                let mut command = self.counted("ZINTERCARD", &ZSET_KEYS);
                if self.chance(50) {
                    command.extend(["LIMIT".into(), self.pick(&COUNTS)]);
                }
                command
            }
            39 => self.waiting_zset(),
            _ => self.scan("ZSCAN", key),
        }
    }

    fn random_pop(&mut self, key: Vec<u8>) -> Command {
        let mut command = vec![self.pick(&["ZPOPMIN", "ZPOPMAX"]), key];
        if self.chance(50) {
            command.push(self.pick(&COUNTS));
        }
        command
    }

    fn zadd(&mut self, key: Vec<u8>) -> Command {
        let mut command = vec!["ZADD".into(), key];
        self.options(&mut command, &["NX", "XX", "GT", "LT", "ch", "INCR"], 9);
        let mut members = Vec::new();
        self.members(&mut members);
        let many = members.len() > 1;
        for member in members {
            let score =
                if many { self.rng.random_range(-20..20).to_string().into_bytes() } else { self.score() };
            command.extend([score, member]);
        }
        command
    }

    fn score_end(&mut self) -> Vec<u8> {
        let mut end = if self.chance(30) { b"(".to_vec() } else { Vec::new() };
        end.extend(match self.rng.random_range(0..6) {
            0 => self.pick(&["-inf", "+inf", "inf"]),
            _ => self.score(),
        });
        end
    }

    fn zrange(&mut self, key: Vec<u8>) -> Command {
        let mut command: Command = vec!["ZRANGE".into(), key];
        if self.chance(20) {
            let target = self.key(&ZSET_KEYS);
            command.splice(0..1, ["ZRANGESTORE".into(), target]);
        }
        if self.chance(50) {
            command.extend([self.integer(), self.integer()]);
        } else {
            command.extend([self.score_end(), self.score_end(), "BYSCORE".into()]);
        }
        self.options(&mut command, &["REV"], 40);
        self.limit(&mut command, 25);
        self.options(&mut command, &["WITHSCORES"], 40);
        self.options(&mut command, &["REV", "BYLEX", "LIMIT"], 2);
        command
    }

    fn limit(&mut self, command: &mut Command, percent: u32) {
        if self.chance(percent) {
            command.extend(["LIMIT".into(), self.integer(), self.integer()]);
        }
    }

    fn zrange_old(&mut self, key: Vec<u8>) -> Command {
        let name = self.pick(&["ZREVRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE"]);
        let (a, b) = match name.as_slice() {
            b"ZREVRANGE" => (self.integer(), self.integer()),
            _ => (self.score_end(), self.score_end()),
        };
        let mut command = vec![name, key, a, b];
        self.options(&mut command, &["WITHSCORES"], 40);
        self.limit(&mut command, 25);
        self.options(&mut command, &["REV", "BYLEX"], 2);
        command
    }

    fn lex_end(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..10) {
            0..2 => b"-".to_vec(),
            2..4 => b"+".to_vec(),
            4 => self.member(),
            _ => [self.pick(&["[", "("]), self.member()].concat(),
        }
    }

    fn lexical(&mut self) -> Command {
        let key = if self.chance(4) { self.pick(&LEX_FOREIGN_KEYS) } else { self.pick(&LEX_KEYS) };
        let (a, b) = (self.lex_end(), self.lex_end());
        match self.rng.random_range(0..8) {
            0..3 => {
                let mut command = vec!["ZADD".into(), self.pick(&LEX_KEYS)];
                let mut members = Vec::new();
                self.members(&mut members);
                for member in members {
                    command.extend([b"0".to_vec(), member]);
                }
                command
            }
            3 => vec!["ZLEXCOUNT".into(), key, a, b],
            4 => vec!["ZREMRANGEBYLEX".into(), key, a, b],
            5 => {
                let mut command = vec!["ZRANGE".into(), key, a, b, "BYLEX".into()];
                self.options(&mut command, &["REV"], 40);
                self.limit(&mut command, 30);
                command
            }
            _ => {
                let mut command = vec![self.pick(&["ZRANGEBYLEX", "ZREVRANGEBYLEX"]), key, a, b];
                self.limit(&mut command, 30);
                command
            }
        }
    }

    fn operands(&mut self, name: &str) -> Command {
        let family = [&ZSET_KEYS[..], &ZSET_KEYS, &SET_KEYS].concat();
        self.counted(name, &family)
    }

    /// Stored results take no negative weights: they make zeros negative, which Redis keeps or loses by encoding.
    fn weights(&mut self, command: &mut Command, keys: usize, stores: bool) {
        let finite: &[&str] = if stores { &["1", "2", "3", "0.5"] } else { &["1", "2", "-1", "0.5"] };
        if self.chance(30) {
            command.push("WEIGHTS".into());
            for _ in 0..keys {
                let weight =
                    if self.chance(85) { self.pick(finite) } else { self.pick(&["inf", "-inf", "x", "nan"]) };
                command.push(weight);
            }
        }
        if self.chance(40) {
            command.extend(["AGGREGATE".into(), self.pick(&["SUM", "MIN", "MAX", "max", "x"])]);
        }
    }

    fn zalgebra(&mut self) -> Command {
        let name = *["ZUNION", "ZINTER", "ZDIFF"].choose(self.rng).unwrap_or(&"ZUNION");
        let mut command = self.operands(name);
        let keys = command.len() - 2;
        if name != "ZDIFF" || self.chance(5) {
            self.weights(&mut command, keys, false);
        }
        self.options(&mut command, &["WITHSCORES"], 50);
        command
    }

    fn zalgebra_store(&mut self) -> Command {
        let name = *["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"].choose(self.rng).unwrap_or(&"ZUNIONSTORE");
        let mut command = self.operands(name);
        let keys = command.len() - 2;
        command.insert(1, self.key(&ZSET_KEYS));
        if name != "ZDIFFSTORE" || self.chance(5) {
            self.weights(&mut command, keys, true);
        }
        self.options(&mut command, &["WITHSCORES"], 3);
        command
    }

    /// Keys vanish, get lifetimes, change their type, and are looked at.
    fn other(&mut self) -> Command {
        let all = [&HASH_KEYS[..], &LIST_KEYS, &SET_KEYS, &ZSET_KEYS, &LEX_KEYS].concat();
        let key = self.pick(&all);
        match self.rng.random_range(0..16) {
            0..2 => vec!["DEL".into(), key],
            2..6 => vec!["EXPIREAT".into(), key, "9999999999".into()],
            6 => vec!["PERSIST".into(), key],
            7 => vec!["SET".into(), self.pick(&["str:0", "missing:0", "missing:1", "w:0"]), self.member()],
            8..13 => vec!["OBJECT".into(), "ENCODING".into(), key],
            13 => vec!["EXPIREAT".into(), key, "1".into()],
            _ => vec!["EXPIRETIME".into(), key],
        }
    }

    /// Every key that these commands can touch.
    pub fn all_keys() -> impl Iterator<Item = &'static str> {
        [&HASH_KEYS[..], &LIST_KEYS, &SET_KEYS, &ZSET_KEYS, &LEX_KEYS, &OTHER_KEYS]
            .into_iter()
            .flat_map(|keys| keys.iter().copied())
    }
}
