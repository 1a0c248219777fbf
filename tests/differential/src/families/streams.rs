//! Random commands over streams, their groups and consumers, biased to what goes wrong: ids at their limits and not
//! in order, groups and keys that are missing, options that exclude each other, entries removed behind a group's back.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::Draw;
use super::collections::Command;

/// Of these the first two get many entries.
pub const STREAM_KEYS: [&str; 4] = ["st:0", "st:1", "st:2", "st:3"];
const OTHER_KEYS: [&str; 3] = ["str:0", "missing:0", "h:0"];
const GROUPS: [&str; 4] = ["g:0", "g:1", "g:2", "7"];
const CONSUMERS: [&str; 4] = ["alice", "bob", "c", "9"];
const NUMBERS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "2",
    "10",
    "-10",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "x",
    "",
    "1.5",
    " 1",
    "+1",
];
const ODD_IDS: [&str; 26] = [
    "-",
    "+",
    "*",
    "$",
    ">",
    "0",
    "0-0",
    "0-1",
    "(5",
    "(0-0",
    "(-",
    "(",
    "5-*",
    "5-",
    "-5",
    "x",
    "",
    "5-x",
    "5-3-1",
    "5--3",
    "5-+3",
    "007",
    "18446744073709551615-18446744073709551615",
    "(18446744073709551615-18446744073709551615",
    "18446744073709551615",
    "18446744073709551616",
];

/// Chooses commands of this family.
pub struct Streams<'r> {
    pub rng: &'r mut SmallRng,
}

impl Draw for Streams<'_> {
    fn rng(&mut self) -> &mut SmallRng {
        self.rng
    }
}

impl Streams<'_> {
    /// The next command.
    pub fn command(&mut self) -> Command {
        let mut command = match self.rng.random_range(0..100) {
            0..30 => self.add(),
            30..34 => self.trim(),
            34..39 => self.delete(),
            39..48 => self.range(),
            48..52 => self.read(),
            52..66 => self.read_group(),
            66..74 => self.group(),
            74..78 => self.ack(),
            78..82 => self.pending(),
            82..86 => self.claim(),
            86..89 => self.auto_claim(),
            89..95 => self.info(),
            95 => self.set_id(),
            _ => self.other(),
        };
        // Now and then an argument too few, too many, or in another case of letters. XADD makes up an id of the
        // server's own time for none of them.
        match self.rng.random_range(0..60) {
            0 if command.len() > 2 => {
                command.pop();
            }
            1 => command.push(self.pick(&NUMBERS)),
            2 => command[0].make_ascii_lowercase(),
            _ => {}
        }
        command
    }

    fn key(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..100) {
            0..4 => self.pick(&OTHER_KEYS),
            4..50 => self.pick(&STREAM_KEYS[..2]),
            _ => self.pick(&STREAM_KEYS),
        }
    }

    fn name(&mut self) -> Vec<u8> {
        if self.chance(5) { b"nobody".to_vec() } else { self.pick(&GROUPS) }
    }

    /// An id as the entries have them, most of which end up in one millisecond.
    fn id(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..100) {
            0..6 => self.pick(&ODD_IDS),
            6..14 => self.rng.random_range(595..610).to_string().into_bytes(),
            14..30 => {
                format!("{}-{}", self.rng.random_range(595..610), self.rng.random_range(0..3)).into_bytes()
            }
            _ => format!("609-{}", self.rng.random_range(0..250)).into_bytes(),
        }
    }

    fn bound(&mut self, open: &str) -> Vec<u8> {
        match self.rng.random_range(0..10) {
            0..5 => open.into(),
            5 => [b"(".to_vec(), self.id()].concat(),
            _ => self.id(),
        }
    }

    fn number(&mut self) -> Vec<u8> {
        if self.chance(75) {
            self.rng.random_range(0..30).to_string().into_bytes()
        } else {
            self.pick(&NUMBERS)
        }
    }

    fn option(&mut self, command: &mut Command, word: &str, percent: u32) {
        if self.chance(percent) {
            command.push(word.into());
        }
    }

    fn numbered(&mut self, command: &mut Command, word: &str, percent: u32) {
        if self.chance(percent) {
            command.extend([word.into(), self.number()]);
        }
    }

    fn trim_options(&mut self, command: &mut Command) {
        if self.chance(60) {
            command.push("MAXLEN".into());
            self.operator(command);
            let many = self.rng.random_range(0..400).to_string().into_bytes();
            command.push(if self.chance(70) { many } else { self.number() });
        } else {
            command.push("minid".into());
            self.operator(command);
            // Without ~ all or nothing goes: Redis may leave a node without entries behind, which counts in XINFO
            // and is explained in docs/compatibility.md.
            let exact = command.last().is_none_or(|last| last != b"~");
            command.push(if exact { self.pick(&["1", "700", "x", "-"]) } else { self.id() });
        }
        self.numbered(command, "LIMIT", 15);
        if self.chance(2) {
            command.extend(["MINID".into(), "1".into()]);
        }
    }

    fn operator(&mut self, command: &mut Command) {
        if self.chance(60) {
            command.push(self.pick(&["~", "~", "="]));
        }
    }

    /// Ids come from the stream itself (`ms-*` of a time that rises slowly) or are chosen, rarely too low.
    fn add(&mut self) -> Command {
        let mut command: Command = vec!["XADD".into(), self.key()];
        self.option(&mut command, "NOMKSTREAM", 5);
        if self.chance(8) {
            self.trim_options(&mut command);
        }
        command.push(match self.rng.random_range(0..100) {
            0..6 => match self.id() {
                // The server's own time is not the other's.
                id if id == b"*" => b"609-*".to_vec(),
                id => id,
            },
            _ => format!("{}-*", self.rng.random_range(600..610)).into_bytes(),
        });
        let same = self.chance(60);
        let fields = if same { 2 } else { self.rng.random_range(1..4) };
        for at in 0..fields {
            let name = if same { format!("f{at}") } else { self.rng.random_range(0..9).to_string() };
            command.push(name.into_bytes());
            command.push(match self.rng.random_range(0..20) {
                0 => vec![b'v'; self.rng.random_range(0..3000)],
                1 => self.pick(&NUMBERS),
                _ => self.rng.random_range(-200..200).to_string().into_bytes(),
            });
        }
        command
    }

    fn trim(&mut self) -> Command {
        let mut command: Command = vec!["XTRIM".into(), self.key()];
        self.trim_options(&mut command);
        command
    }

    fn delete(&mut self) -> Command {
        let mut command: Command = vec!["XDEL".into(), self.key()];
        (0..self.rng.random_range(1..6)).for_each(|_| command.push(self.id()));
        command
    }

    fn range(&mut self) -> Command {
        let mut command = if self.chance(20) {
            vec!["XLEN".into(), self.key()]
        } else if self.chance(50) {
            vec!["XRANGE".into(), self.key(), self.bound("-"), self.bound("+")]
        } else {
            vec!["XREVRANGE".into(), self.key(), self.bound("+"), self.bound("-")]
        };
        if command.len() > 2 {
            self.numbered(&mut command, "COUNT", 60);
        }
        command
    }

    /// STREAMS with keys and ids, now and then one too few.
    fn streams(&mut self, command: &mut Command, special: &str) {
        command.push("STREAMS".into());
        let keys = *[1, 1, 1, 2, 3].choose(self.rng).unwrap_or(&1);
        (0..keys).for_each(|_| {
            let key = self.key();
            command.push(key);
        });
        for _ in 0..keys {
            let id = match self.rng.random_range(0..10) {
                0..6 => special.into(),
                6..8 => b"0".to_vec(),
                _ => self.id(),
            };
            command.push(id);
        }
        if self.chance(3) {
            command.pop();
        }
    }

    /// Never BLOCK with a time, but for what is refused: nobody wakes the reader.
    fn read(&mut self) -> Command {
        let mut command: Command = vec!["XREAD".into()];
        self.numbered(&mut command, "COUNT", 60);
        if self.chance(5) {
            command.extend(["BLOCK".into(), self.pick(&["-1", "x", "", "1.5"])]);
        }
        self.option(&mut command, "NOACK", 2);
        self.streams(&mut command, "0");
        command
    }

    fn read_group(&mut self) -> Command {
        let mut command: Command = vec!["XREADGROUP".into()];
        if self.chance(98) {
            command.extend(["GROUP".into(), self.name(), self.pick(&CONSUMERS)]);
        }
        self.numbered(&mut command, "COUNT", 70);
        self.option(&mut command, "NOACK", 12);
        self.streams(&mut command, ">");
        command
    }

    fn group(&mut self) -> Command {
        let mut command: Command = vec!["XGROUP".into()];
        match self.rng.random_range(0..20) {
            0..9 => {
                command.extend(["CREATE".into(), self.key(), self.name(), self.group_id()]);
                self.option(&mut command, "MKSTREAM", 50);
                self.numbered(&mut command, "ENTRIESREAD", 20);
            }
            9..12 => {
                command.extend(["SETID".into(), self.key(), self.name(), self.group_id()]);
                self.numbered(&mut command, "ENTRIESREAD", 30);
            }
            12 => command.extend(["DESTROY".into(), self.key(), self.name()]),
            13..16 => {
                let consumer = self.pick(&CONSUMERS);
                command.extend(["CREATECONSUMER".into(), self.key(), self.name(), consumer]);
            }
            16..18 => {
                let consumer = self.pick(&CONSUMERS);
                command.extend(["DELCONSUMER".into(), self.key(), self.name(), consumer]);
            }
            _ => command.extend(["nothing".into(), self.key()]),
        }
        command
    }

    fn group_id(&mut self) -> Vec<u8> {
        if self.chance(40) { self.pick(&["$", "0"]) } else { self.id() }
    }

    fn ack(&mut self) -> Command {
        let mut command: Command = vec!["XACK".into(), self.key(), self.name()];
        (0..self.rng.random_range(1..20)).for_each(|_| command.push(self.id()));
        command
    }

    fn pending(&mut self) -> Command {
        let mut command: Command = vec!["XPENDING".into(), self.key(), self.name()];
        if self.chance(70) {
            if self.chance(25) {
                command.extend(["IDLE".into(), self.pick(&["0", "0", "100000", "x", "-1"])]);
            }
            command.extend([self.bound("-"), self.bound("+"), self.number()]);
            if self.chance(40) {
                command.push(self.pick(&CONSUMERS));
            }
        }
        command
    }

    /// Idle times that both servers agree on: nothing, or more than a run takes.
    fn min_idle(&mut self) -> Vec<u8> {
        self.pick(&["0", "0", "0", "0", "-5", "100000000", "x"])
    }

    fn claim(&mut self) -> Command {
        let mut command: Command = vec!["XCLAIM".into(), self.key(), self.name(), self.pick(&CONSUMERS)];
        command.push(self.min_idle());
        (0..self.rng.random_range(1..12)).for_each(|_| command.push(self.id()));
        if self.chance(15) {
            command.extend(["IDLE".into(), self.pick(&["0", "5000", "-1", "x"])]);
        }
        if self.chance(10) {
            command.extend(["TIME".into(), self.pick(&["1000", "-1", "99999999999999", "x"])]);
        }
        self.numbered(&mut command, "RETRYCOUNT", 15);
        self.option(&mut command, "FORCE", 25);
        self.option(&mut command, "JUSTID", 30);
        if self.chance(8) {
            command.extend(["LASTID".into(), self.id()]);
        }
        command
    }

    fn auto_claim(&mut self) -> Command {
        let mut command: Command = vec!["XAUTOCLAIM".into(), self.key(), self.name(), self.pick(&CONSUMERS)];
        command.extend([self.min_idle(), self.bound("0")]);
        self.numbered(&mut command, "COUNT", 60);
        self.option(&mut command, "JUSTID", 30);
        command
    }

    fn info(&mut self) -> Command {
        let mut command: Command = vec!["XINFO".into()];
        match self.rng.random_range(0..10) {
            0..3 => command.extend(["STREAM".into(), self.key()]),
            3..6 => {
                command.extend(["STREAM".into(), self.key(), "FULL".into()]);
                self.numbered(&mut command, "COUNT", 50);
            }
            6..8 => command.extend(["GROUPS".into(), self.key()]),
            8 => command.extend(["CONSUMERS".into(), self.key(), self.name()]),
            _ => command.extend(["what".into(), self.key()]),
        }
        command
    }

    fn set_id(&mut self) -> Command {
        let mut command: Command = vec!["XSETID".into(), self.key(), self.id()];
        if self.chance(40) {
            command.extend(["ENTRIESADDED".into(), self.rng.random_range(0..2000).to_string().into_bytes()]);
        }
        if self.chance(30) {
            command.extend(["MAXDELETEDID".into(), self.id()]);
        }
        command
    }

    /// Keys vanish, are copied and renamed, and begin anew before their ids run out.
    fn other(&mut self) -> Command {
        let key = self.pick(&STREAM_KEYS);
        match self.rng.random_range(0..12) {
            0 => vec!["DEL".into(), key],
            1 => vec!["COPY".into(), key, self.pick(&STREAM_KEYS), "REPLACE".into()],
            2 => vec!["RENAME".into(), key, self.pick(&STREAM_KEYS[2..])],
            3 => vec!["SET".into(), "str:0".into(), "x".into()],
            4 => vec!["EXPIREAT".into(), key, "9999999999".into()],
            5 => vec!["PERSIST".into(), key],
            6 => vec!["TYPE".into(), key],
            7 => vec!["OBJECT".into(), "ENCODING".into(), key],
            8 => vec!["EXPIREAT".into(), self.pick(&STREAM_KEYS[2..]), "1".into()],
            _ => vec!["EXPIRETIME".into(), key],
        }
    }

    /// Every key that these commands fill.
    pub fn all_keys() -> impl Iterator<Item = &'static str> {
        STREAM_KEYS.into_iter()
    }
}
