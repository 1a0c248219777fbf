//! Random commands over what is kept inside strings and sorted sets (bits, HyperLogLogs, places), over sorting
//! and over serialized values, biased to edges: ends of ranges, widths, poles, damaged payloads, wrong types.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use snapshot_rdb::crc64::crc64;

use super::Draw;
use super::collections::Command;

const BIT_KEYS: [&str; 4] = ["b:0", "b:1", "b:2", "b:3"];
const SKETCH_KEYS: [&str; 5] = ["p:0", "p:1", "p:2", "p:3", "p:4"];
const PLACE_KEYS: [&str; 3] = ["g:0", "g:1", "g:2"];
const SORT_KEYS: [&str; 4] = ["q:list", "q:numbers", "q:set", "q:zset"];
const OTHER_KEYS: [&str; 7] = ["missing", "b:0", "g:0", "q:list", "q:set", "k:0", "h:0"];

const BIT_TYPES: [&str; 18] = [
    "u1", "i1", "u2", "u7", "u8", "i8", "u13", "i16", "u31", "i32", "u63", "i64", "u64", "i65", "i0", "x",
    "U8", "u08",
];
const NUMBERS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "3",
    "7",
    "8",
    "-8",
    "100",
    "127",
    "128",
    "255",
    "256",
    "-128",
    "9223372036854775807",
    "-9223372036854775808",
    "4611686018427387904",
    "x",
    "",
    "1.5",
    "4294967296",
];
const LONGITUDES: [&str; 10] =
    ["0", "180", "-180", "179.9999", "-179.99999", "180.1", "13.361389", "x", "nan", "inf"];
const LATITUDES: [&str; 11] =
    ["0", "85.05112878", "-85.05112878", "85.06", "84.9", "-84.9", "66.5", "-70", "38.115556", "x", ""];
/// No number out of range here: in Redis it makes a later SORT fail, which looks at a stale `errno`.
const RADII: [&str; 14] =
    ["0", "1", "10.5", "200", "1500", "5000", "10000", "20038", "25000", "-1", "x", "1e3", "inf", "0.001"];

/// Chooses commands of these families.
pub struct Values<'r> {
    pub rng: &'r mut SmallRng,
}

impl Draw for Values<'_> {
    fn rng(&mut self) -> &mut SmallRng {
        self.rng
    }
}

impl Values<'_> {
    /// Keys that the commands work on.
    pub fn all_keys() -> impl Iterator<Item = &'static str> {
        [&BIT_KEYS[..], &SKETCH_KEYS, &PLACE_KEYS, &SORT_KEYS].into_iter().flatten().copied()
    }

    /// The next command.
    pub fn command(&mut self) -> Command {
        let mut command = match self.rng.random_range(0..100) {
            0..26 => self.bits(),
            26..44 => self.sketch(),
            44..74 => self.place(),
            74..90 => self.sorting(),
            90..96 => self.serialized(),
            _ => self.upkeep(),
        };
        match self.rng.random_range(0..60) {
            0 if command.len() > 1 => {
                command.pop();
            }
            1 => command.push(self.pick(&NUMBERS)),
            2 => command[0].make_ascii_lowercase(),
            _ => {}
        }
        command
    }

    fn key(&mut self, from: &[&str]) -> Vec<u8> {
        if self.chance(4) { self.pick(&OTHER_KEYS) } else { self.pick(from) }
    }

    fn push(&mut self, command: &mut Command, words: &[&str]) {
        let word = self.pick(words);
        command.push(word);
    }

    fn bits(&mut self) -> Command {
        let name = self.pick(&["SETBIT", "GETBIT", "BITCOUNT", "BITPOS", "BITOP", "BITFIELD", "BITFIELD_RO"]);
        let mut command = vec![name.clone()];
        if name == b"BITOP" {
            self.push(&mut command, &["AND", "or", "XOR", "NOT", "NOT", "foo"]);
            let not = command[1] == b"NOT" && self.chance(90);
            let keys = if not { 2 } else { self.rng.random_range(2..5) };
            (0..keys).for_each(|_| command.push(self.key(&BIT_KEYS)));
            return command;
        }
        command.push(self.key(&BIT_KEYS));
        match name.as_slice() {
            b"SETBIT" | b"GETBIT" => {
                command.push(self.bit_offset(false));
                if name == b"SETBIT" {
                    self.push(&mut command, &["0", "1", "0", "1", "2", "-1", "x"]);
                }
            }
            b"BITCOUNT" | b"BITPOS" => {
                if name == b"BITPOS" {
                    self.push(&mut command, &["0", "1", "0", "1", "2", "x"]);
                }
                let ends = self.rng.random_range(0..3);
                (0..ends).for_each(|_| {
                    let end = self.range_end();
                    command.push(end);
                });
                if ends == 2 && self.chance(60) {
                    self.push(&mut command, &["BYTE", "BIT", "bit", "foo"]);
                }
            }
            _ => {
                for _ in 0..self.rng.random_range(0..4) {
                    self.field(&mut command);
                }
            }
        }
        command
    }

    fn bit_offset(&mut self, fields: bool) -> Vec<u8> {
        match self.rng.random_range(0..20) {
            0 => self.pick(&["-1", "x", "4294967296", "9223372036854775807", "", "1.5"]),
            1..8 if fields => format!("#{}", self.rng.random_range(0..12)).into_bytes(),
            _ => self.rng.random_range(0..300).to_string().into_bytes(),
        }
    }

    fn range_end(&mut self) -> Vec<u8> {
        if self.chance(20) {
            self.pick(&NUMBERS)
        } else {
            self.rng.random_range(-60..60).to_string().into_bytes()
        }
    }

    fn field(&mut self, command: &mut Command) {
        if self.chance(40) {
            command.push("OVERFLOW".into());
            self.push(command, &["WRAP", "SAT", "FAIL", "sat", "FAIL", "x"]);
        }
        let name = self.pick(&["GET", "SET", "INCRBY", "incrby", "GET", "FOO"]);
        let writes = !name.eq_ignore_ascii_case(b"GET");
        command.push(name);
        self.push(command, &BIT_TYPES);
        command.push(self.bit_offset(true));
        if writes {
            self.push(command, &NUMBERS);
        }
    }

    fn sketch(&mut self) -> Command {
        match self.rng.random_range(0..20) {
            0..9 => {
                let mut command = vec!["PFADD".into(), self.key(&SKETCH_KEYS)];
                let many = self.chance(5);
                let count = if many { self.rng.random_range(100..900) } else { self.rng.random_range(0..6) };
                // Small numbers come again.
                let width = *[50u32, 1000, u32::MAX].choose(self.rng).unwrap_or(&50);
                (0..count)
                    .for_each(|_| command.push(self.rng.random_range(0..width).to_string().into_bytes()));
                command
            }
            9..13 => self.keys("PFCOUNT", 1),
            13..15 => self.keys("PFMERGE", 1),
            15..18 => vec!["GET".into(), self.key(&SKETCH_KEYS)],
            18 => {
                let sub = self.pick(&["ENCODING", "DECODE", "encoding", "TODENSE", "GETREG", "foo"]);
                vec!["PFDEBUG".into(), sub, self.key(&SKETCH_KEYS)]
            }
            // Damage in the header. A damaged body is none of ours: Redis reads beyond it, and keeps half of a PFADD.
            _ if self.chance(40) => {
                let offset = self.pick(&["0", "3", "8", "9", "14", "15"]);
                let byte = vec![self.rng.random::<u8>()];
                vec!["SETRANGE".into(), self.pick(&["p:3", "p:4"]), offset, byte]
            }
            _ => vec!["DEL".into(), self.pick(&["p:2", "p:3", "p:4"])],
        }
    }

    fn keys(&mut self, name: &str, least: usize) -> Command {
        let mut command = vec![name.into()];
        let more = if self.chance(40) { self.rng.random_range(0..3) } else { 0 };
        // Damaged values stay among themselves: how far Redis reads into one is its own affair.
        let whole = self.chance(85);
        let from: &[&str] = if whole { &SKETCH_KEYS[..3] } else { &SKETCH_KEYS[3..] };
        (0..least + more).for_each(|_| command.push(self.pick(from)));
        command
    }

    fn degrees(&mut self, known: &[&str], most: f64) -> Vec<u8> {
        if self.chance(12) {
            self.pick(known)
        } else {
            let near = if self.chance(50) { 5.0 } else { most };
            format!("{:.6}", self.rng.random_range(-near..near)).into_bytes()
        }
    }

    /// Longitude and latitude; one of them may be an edge, not both: of places at one point, which come within
    /// a COUNT is left open.
    fn push_place(&mut self, command: &mut Command) {
        let (x, y) = (self.degrees(&LONGITUDES, 180.0), self.degrees(&LATITUDES, 85.0));
        let edges = LONGITUDES.iter().any(|edge| edge.as_bytes() == x)
            && LATITUDES.iter().any(|edge| edge.as_bytes() == y);
        command.push(x);
        command.push(if edges {
            format!("{:.6}", self.rng.random_range(-85.0..85.0)).into_bytes()
        } else {
            y
        });
    }

    fn member(&mut self) -> Vec<u8> {
        format!("m{}", self.rng.random_range(0..60)).into_bytes()
    }

    fn push_circle(&mut self, command: &mut Command) {
        self.push(command, &RADII);
        self.push(command, &["m", "km", "KM", "ft", "mi", "km", "km", "foo"]);
    }

    fn place(&mut self) -> Command {
        let name = self.pick(&[
            "GEOADD",
            "GEOADD",
            "GEOADD",
            "GEODIST",
            "GEOHASH",
            "GEOPOS",
            "GEORADIUS",
            "GEORADIUS_RO",
            "GEORADIUSBYMEMBER",
            "GEORADIUSBYMEMBER_RO",
            "GEOSEARCH",
            "GEOSEARCH",
            "GEOSEARCHSTORE",
        ]);
        let mut command = vec![name.clone()];
        if name == b"GEOSEARCHSTORE" {
            command.push(self.key(&["g:2", "g:stored"]));
        }
        command.push(self.key(&PLACE_KEYS));
        match name.as_slice() {
            b"GEOADD" => {
                for word in ["NX", "xx", "CH"] {
                    if self.chance(10) {
                        command.push(word.into());
                    }
                }
                for _ in 0..self.rng.random_range(1..5) {
                    self.push_place(&mut command);
                    command.push(self.member());
                }
            }
            b"GEODIST" => {
                command.extend([self.member(), self.member()]);
                if self.chance(50) {
                    self.push(&mut command, &["m", "km", "FT", "mi", "foo"]);
                }
            }
            b"GEOHASH" | b"GEOPOS" => {
                (0..self.rng.random_range(0..4)).for_each(|_| command.push(self.member()));
            }
            b"GEOSEARCH" | b"GEOSEARCHSTORE" => {
                self.search_area(&mut command);
                self.search_options(&mut command, name == b"GEOSEARCHSTORE", false);
            }
            name => {
                if name.starts_with(b"GEORADIUSBY") {
                    command.push(self.member());
                } else {
                    self.push_place(&mut command);
                }
                self.push_circle(&mut command);
                self.search_options(&mut command, false, true);
            }
        }
        command
    }

    fn search_area(&mut self, command: &mut Command) {
        if self.chance(97) {
            if self.chance(50) {
                command.push("FROMMEMBER".into());
                command.push(self.member());
            } else {
                command.push("FROMLONLAT".into());
                self.push_place(command);
            }
        }
        if self.chance(97) {
            if self.chance(50) {
                command.push("BYRADIUS".into());
            } else {
                command.push("BYBOX".into());
                self.push(command, &RADII);
            }
            self.push_circle(command);
        }
    }

    fn search_options(&mut self, command: &mut Command, stores: bool, names_store: bool) {
        for word in ["WITHDIST", "WITHCOORD", "withhash"] {
            if self.chance(if stores { 2 } else { 25 }) {
                command.push(word.into());
            }
        }
        if self.chance(35) {
            self.push(command, &["ASC", "DESC", "desc"]);
        }
        if self.chance(30) {
            command.push("COUNT".into());
            self.push(command, &["1", "2", "5", "100", "0", "-1", "x"]);
            if self.chance(40) {
                command.push("ANY".into());
            }
        } else if self.chance(2) {
            command.push("ANY".into());
        }
        if stores && self.chance(30) || self.chance(1) {
            command.push("STOREDIST".into());
        }
        if names_store && self.chance(12) {
            self.push(command, &["STORE", "STOREDIST"]);
            self.push(command, &["g:stored", "g:2", "b:3"]);
        }
    }

    fn sorting(&mut self) -> Command {
        if self.chance(25) {
            return self.sort_data();
        }
        let name = self.pick(&["SORT", "SORT", "SORT_RO"]);
        let mut command = vec![name, self.key(&SORT_KEYS)];
        let by = self.chance(45);
        if by {
            command.push("BY".into());
            self.push(
                &mut command,
                &["w:*", "w:*", "hw:*->f", "hw:*->g", "nosort", "none:*", "w:*->f", "hw:*->", "#", "*"],
            );
        }
        for _ in 0..self.rng.random_range(0..5) / 2 {
            command.push("GET".into());
            self.push(
                &mut command,
                &["#", "w:*", "hw:*->f", "hw:*->g", "none:*", "nostar", "*", "w:*->f", "hw:*"],
            );
        }
        if self.chance(40) {
            self.push(&mut command, &["ASC", "DESC", "desc", "x"]);
        }
        if self.chance(50) {
            command.push("ALPHA".into());
        }
        // Which of several equals come within a limit is left open.
        if !by && self.chance(35) {
            command.push("LIMIT".into());
            (0..2).for_each(|_| {
                self.push(&mut command, &["0", "1", "2", "5", "-1", "100", "9223372036854775807", "x"]);
            });
        }
        if !by && self.chance(15) {
            command.push("STORE".into());
            command.push(self.key(&["q:stored", "q:list"]));
        }
        command
    }

    fn sort_data(&mut self) -> Command {
        let element = |values: &mut Self| match values.rng.random_range(0..10) {
            0 => values.pick(&["x", "", " 1", "1 ", "nan", "inf", "-inf", "0x10", "-0"]),
            1..4 => values.pick(&["a", "b", "ab", "B", "\u{e4}"]),
            _ => values.rng.random_range(-12..12).to_string().into_bytes(),
        };
        let number = self.rng.random_range(-12..12).to_string().into_bytes();
        match self.rng.random_range(0..9) {
            0 => vec!["RPUSH".into(), "q:list".into(), element(self), number],
            1 => vec!["LPUSH".into(), "q:numbers".into(), number],
            2 => vec!["SADD".into(), "q:set".into(), element(self), number],
            3 => {
                let score = self.rng.random_range(-5..5).to_string().into_bytes();
                vec!["ZADD".into(), "q:zset".into(), score, element(self)]
            }
            4 | 5 => vec!["SET".into(), [b"w:", number.as_slice()].concat(), element(self)],
            6 => vec![
                "HSET".into(),
                [b"hw:", number.as_slice()].concat(),
                self.pick(&["f", "g", ""]),
                element(self),
            ],
            7 => vec!["LTRIM".into(), self.pick(&["q:list", "q:numbers"]), "-30".into(), "-1".into()],
            _ => vec!["DEL".into(), self.pick(&["q:set", "q:zset", "q:list"])],
        }
    }

    fn serialized(&mut self) -> Command {
        if self.chance(30) {
            let keys: Vec<&str> = Self::all_keys().collect();
            return vec!["DUMP".into(), self.key(&keys)];
        }
        let ttl = self.pick(&["0", "0", "0", "100000000", "-1", "x", "4102444800000"]);
        let mut command =
            vec!["RESTORE".into(), self.key(&["b:0", "b:1", "q:list", "q:set", "r:0"]), ttl, self.payload()];
        for word in ["REPLACE", "ABSTTL", "IDLETIME=", "FREQ=", "foo"] {
            if self.chance(if word == "REPLACE" { 70 } else { 6 }) {
                command.push(word.trim_end_matches('=').into());
                if word.ends_with('=') {
                    self.push(&mut command, &["0", "1", "255", "256", "-1", "x"]);
                }
            }
        }
        command
    }

    /// A payload: a string, a list, a set, or a hash in their plainest forms; damaged now and then.
    fn payload(&mut self) -> Vec<u8> {
        let mut payload: Vec<u8> = match self.rng.random_range(0..6) {
            0 => b"\x00\x03abc".to_vec(),
            1 => b"\x00\xc0\x07".to_vec(),
            2 => b"\x01\x03\x01a\x01b\x012".to_vec(),
            3 => b"\x02\x02\x01a\x01b".to_vec(),
            4 => b"\x04\x01\x01f\x01v".to_vec(),
            _ => b"\x05\x01\x01m\0\0\0\0\0\0\xf8\x3f".to_vec(),
        };
        if self.chance(5) {
            payload[0] = 250;
        }
        payload.extend([if self.chance(95) { 10 } else { 11 }, 0]);
        let mut checksum = crc64(&payload);
        if self.chance(5) {
            checksum ^= 1;
        }
        payload.extend(checksum.to_le_bytes());
        if self.chance(3) {
            payload.truncate(self.rng.random_range(0..payload.len()));
        }
        payload
    }

    /// Data of other kinds under these keys, lifetimes, and a look at all data.
    fn upkeep(&mut self) -> Command {
        let keys: Vec<&str> = Self::all_keys().collect();
        match self.rng.random_range(0..10) {
            0 => vec!["DEBUG".into(), "DIGEST".into()],
            1 | 2 => {
                let keys = keys.into_iter().chain(["g:stored", "q:stored", "r:0"]);
                ["DEBUG", "DIGEST-VALUE"]
                    .into_iter()
                    .chain(keys)
                    .map(|word| word.as_bytes().to_vec())
                    .collect()
            }
            3 => vec!["DEL".into(), self.pick(&keys)],
            4 => vec!["EXPIRE".into(), self.pick(&keys), "1000000".into()],
            5 => vec!["TTL".into(), self.pick(&keys)],
            6 => vec!["RPUSH".into(), self.pick(&["b:3", "g:stored"]), "1".into()],
            7 => vec!["SET".into(), self.pick(&BIT_KEYS), self.pick(&NUMBERS)],
            8 => vec!["GET".into(), self.pick(&BIT_KEYS)],
            _ => vec!["ZRANGE".into(), self.pick(&PLACE_KEYS), "0".into(), "-1".into(), "WITHSCORES".into()],
        }
    }
}
