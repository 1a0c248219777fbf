//! Random units of all families: single commands, transactions that a second connection may disturb, keys
//! whose time comes. With several shards, the keys of one unit share a hash tag.

use proxy_commands::{Flags, Id, KeyFlags, Routing, Row};
use proxy_resp::OwnedArgs;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, IteratorRandom};

use super::Draw;
use super::collections::{Collections, Command};
use super::keyed::Keyed;
use super::sessions::{Sessions, words};
use super::streams::Streams;
use super::values::Values;

/// Hash tags that units choose from.
const TAGS: u8 = 9;

/// One thing to do, on both servers alike.
#[derive(Clone, Debug)]
pub enum Step {
    /// A request on the main connection.
    Main(Command),
    /// A request on the second connection, after everything before it has been answered.
    Other(Command),
    /// Time passes, in milliseconds, after everything before has been answered.
    Sleep(u64),
}

/// Chooses units.
pub struct Mix<'r> {
    pub rng: &'r mut SmallRng,
    pub protocol: u8,
    /// Whether keys are spread over several shards.
    pub sharded: bool,
}

impl Draw for Mix<'_> {
    fn rng(&mut self) -> &mut SmallRng {
        self.rng
    }
}

impl Mix<'_> {
    /// The next unit.
    pub fn unit(&mut self) -> Vec<Step> {
        let mut unit = match self.rng.random_range(0..1000) {
            0..6 => Sessions { rng: self.rng }.turn(self.protocol).map(Step::Main).into(),
            6..80 => self.transaction(),
            80..120 => vec![Step::Main(Sessions { rng: self.rng }.command())],
            120 => self.expiry(),
            _ => vec![Step::Main(self.data())],
        };
        if self.sharded {
            let tag = self.rng.random_range(0..TAGS);
            for step in &mut unit {
                if let Step::Main(command) | Step::Other(command) = step {
                    put_tag(command, tag);
                }
            }
        }
        unit
    }

    /// A command over data of any family, now and then through a script or a function.
    fn data(&mut self) -> Command {
        let scripted = !self.sharded && self.chance(6);
        loop {
            let command = self.plain();
            if !scripted {
                return command;
            }
            if writes_alike(&command) {
                return self.in_script(command);
            }
        }
    }

    /// A script or function that runs a command.
    fn in_script(&mut self, command: Command) -> Command {
        let head: &[&str] = if self.chance(50) { &["EVAL", RUN, "0"] } else { &["FCALL", "run", "0"] };
        head.iter().map(|word| word.as_bytes().to_vec()).chain(command).collect()
    }

    fn plain(&mut self) -> Command {
        loop {
            let command = match self.rng.random_range(0..100) {
                0..36 => Keyed { rng: self.rng }.command(),
                36..52 => Values { rng: self.rng }.command(),
                52..60 => Streams { rng: self.rng }.command(),
                _ => Collections { rng: self.rng }.command(),
            };
            if !waits_long(&command)
                && sorts_alike(&command)
                && (!self.sharded || has_one_answer_on_shards(&command))
            {
                return command;
            }
        }
    }

    /// A command for the inside of a transaction. SPOP takes all there is: what it draws from a part can't be
    /// told to the other server before the transaction has run.
    fn queued(&mut self) -> Command {
        if self.chance(8) {
            let command = Sessions { rng: self.rng }.command();
            // Explained in docs/compatibility.md: over several shards these don't wait for WATCH's verdict.
            let changes_session = matches!(command[0].as_slice(), b"SELECT" | b"CLIENT");
            return if self.sharded && changes_session { words("PING") } else { command };
        }
        loop {
            let mut command = self.data();
            if self.sharded && row(&command).is_some_and(|row| matches!(row.routing, Routing::AllShards(_))) {
                continue;
            }
            if command[0].eq_ignore_ascii_case(b"SPOP") {
                command.truncate(2);
                command.push("100000".into());
            }
            return command;
        }
    }

    /// A command between WATCH and MULTI. No LTRIM: in Redis one that removes nothing counts as a change, too.
    fn touching(&mut self) -> Command {
        loop {
            let command = self.queued();
            if !command[0].eq_ignore_ascii_case(b"LTRIM") {
                return command;
            }
        }
    }

    fn any_key(&mut self) -> &'static str {
        let keyed = ["k:0", "k:1", "n:0", "list", "hash"].into_iter();
        keyed.chain(Collections::all_keys()).choose(self.rng).unwrap_or("k:0")
    }

    /// MULTI to EXEC or DISCARD, with WATCH before it and refusals inside now and then.
    fn transaction(&mut self) -> Vec<Step> {
        let mut unit = Vec::new();
        if self.chance(40) {
            self.watch(&mut unit);
        }
        unit.push(Step::Main(words("MULTI")));
        for _ in 0..self.rng.random_range(0..7) {
            let command = self.queued();
            unit.push(Step::Main(command));
        }
        if self.chance(15) {
            let at = self.rng.random_range(0..=unit.len());
            unit.insert(at, Step::Main(Sessions { rng: self.rng }.refused()));
        }
        if self.chance(5) {
            unit.push(Step::Other(self.data()));
        }
        let end = *["EXEC", "EXEC", "EXEC", "EXEC", "EXEC", "EXEC", "exec", "DISCARD"]
            .choose(self.rng)
            .unwrap_or(&"EXEC");
        unit.push(Step::Main(words(end)));
        // What is left open by a stray command ends here, and what is watched is forgotten.
        unit.push(Step::Main(words("DISCARD")));
        unit.push(Step::Main(words("UNWATCH")));
        unit
    }

    /// Watched keys, and what happens to them before MULTI.
    fn watch(&mut self, unit: &mut Vec<Step>) {
        let mut command = words("WATCH");
        (0..self.rng.random_range(1..4)).for_each(|_| command.push(self.any_key().into()));
        let first = command[1].clone();
        unit.push(Step::Main(command));
        match self.rng.random_range(0..10) {
            0..2 => unit.push(Step::Main(self.touching())),
            2..5 => unit.push(Step::Other(self.touching())),
            5 => unit.push(Step::Other(vec!["DEL".into(), first])),
            6 => unit.push(Step::Other(vec!["SET".into(), first, "other".into()])),
            7 => unit.push(Step::Main(words("UNWATCH"))),
            _ => {}
        }
    }

    /// Keys get a moment to live; a random command is the first to meet one of them afterwards.
    fn expiry(&mut self) -> Vec<Step> {
        let keys: Vec<&str> = (0..3).map(|_| self.any_key()).collect();
        let mut unit: Vec<Step> =
            keys.iter().map(|key| Step::Main(words(&format!("PEXPIRE {key} 40")))).collect();
        let watched = self.chance(30);
        if watched {
            unit.push(Step::Main(words(&format!("WATCH {}", keys[0]))));
        }
        unit.push(Step::Sleep(50));
        if watched {
            unit.extend(["MULTI", "PING", "EXEC"].map(|line| Step::Main(words(line))));
        }
        // Score 0, since ranges of members have no meaning over mixed scores.
        const MEETING: [&str; 19] = [
            "GET @",
            "TYPE @",
            "EXISTS @",
            "DEL @",
            "TTL @",
            "SET @ v NX",
            "SET @ v XX KEEPTTL",
            "INCR @",
            "LPUSH @ a",
            "HSET @ f v",
            "SADD @ 1",
            "ZADD @ 0 a",
            "PERSIST @",
            "RENAME @ k:1",
            "COPY @ k:1",
            "GETDEL @",
            "PEXPIRE @ 100000000",
            "OBJECT ENCODING @",
            "MEMORY USAGE @ SAMPLES 0",
        ];
        for key in keys {
            let line = MEETING.choose(self.rng).unwrap_or(&"GET @").replace('@', key);
            unit.push(Step::Main(words(&line)));
            unit.push(Step::Main(words(&format!("EXISTS {key}"))));
        }
        unit
    }
}

/// Runs a command. Of replies with parts their number is given: what matters is what the command has done.
const RUN: &str =
    "local r = redis.pcall(unpack(ARGV)) if type(r) == 'table' then return r.err or r.ok or #r end return r";

/// A library with a function that does what [`RUN`] does.
pub const LIBRARY: &str = "#!lua name=running\n\
    redis.register_function('run', function(keys, args) local r = redis.pcall(unpack(args)) \
    if type(r) == 'table' then return r.err or r.ok or #r end return r end)";

/// A command that writes, and whatever it draws at random or takes from the clock is no business of comparisons.
fn writes_alike(command: &Command) -> bool {
    let random = matches!(command[0].to_ascii_uppercase().as_slice(), b"SPOP" | b"XADD" | b"LTRIM");
    !random
        && row(command).is_some_and(|row| {
            row.flags.has(Flags::WRITE) && matches!(row.routing, Routing::Keys | Routing::Split(_))
        })
}

/// The row of a request that is not refused at once.
fn row(command: &Command) -> Option<&'static Row> {
    let args: OwnedArgs = command.iter().collect();
    proxy_engine::resolve(args.as_args()).ok()
}

/// Positions of a request's keys.
pub fn key_positions(command: &Command) -> Vec<usize> {
    let mut found = Vec::new();
    if let Some(row) = row(command) {
        if row.has_plain_keys() {
            found.extend(row.plain_keys(command.len()));
        } else {
            let _ = row.for_each_key(command.len(), |i| &command[i], |at, _: KeyFlags| found.push(at));
        }
    }
    found.retain(|at| *at < command.len());
    found
}

/// A command that waits, with a time (an argument too many can make one) that nobody wants to wait for.
fn waits_long(command: &Command) -> bool {
    let timeout = match command[0].to_ascii_uppercase().as_slice() {
        b"BLPOP" | b"BRPOP" | b"BZPOPMIN" | b"BZPOPMAX" | b"BLMOVE" | b"BRPOPLPUSH" => command.last(),
        b"BLMPOP" | b"BZMPOP" => command.get(1),
        _ => None,
    };
    let seconds = timeout.and_then(|text| std::str::from_utf8(text).ok()?.parse::<f64>().ok());
    seconds.is_some_and(|seconds| seconds == 0.0 || seconds > 0.1)
}

/// A SORT of numbers fails in Redis after any number out of range, by a stale `errno`; other families send such.
fn sorts_alike(command: &Command) -> bool {
    !row(command).is_some_and(|row| matches!(row.id, Id::Sort | Id::SortRo))
        || command.iter().any(|arg| arg.eq_ignore_ascii_case(b"ALPHA"))
}

/// SCAN's cursors name shards, DEBUG looks at one shard only, and SORT's patterns carry no hash tags here.
fn has_one_answer_on_shards(command: &Command) -> bool {
    row(command).is_none_or(|row| !matches!(row.id, Id::Scan | Id::Debug | Id::Sort | Id::SortRo))
}

/// Ends every key with the same hash tag.
fn put_tag(command: &mut Command, tag: u8) {
    let mut positions = key_positions(command);
    positions.sort_unstable();
    positions.dedup();
    for at in positions {
        command[at].extend(format!("{{{tag}}}").into_bytes());
    }
}
