//! Random commands about the connection and the command table, as far as their replies can be compared:
//! databases, echoes, unknown commands, wrong numbers of arguments, stray ends of transactions.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::collections::Command;

const LINES: [&str; 62] = [
    "PING",
    "PING hello",
    "PING a b",
    "ping",
    "ECHO hello",
    "ECHO",
    "ECHO a b",
    "SELECT 0",
    "SELECT 1",
    "SELECT 0",
    "SELECT 1",
    "SELECT 0",
    "SELECT 15",
    "SELECT 16",
    "SELECT -1",
    "SELECT x",
    "SELECT 99999999999999999999",
    "SELECT",
    "SELECT 0 1",
    "EXEC",
    "DISCARD",
    "UNWATCH",
    "EXEC now",
    "WATCH",
    "UNWATCH k:0",
    "MULTI x",
    "NOSUCH",
    "NOSUCH a b c",
    "GET",
    "GET a b",
    "HSET h:0 f",
    "HSET h:0 f v g",
    "MSET k:0",
    "MSET k:0 1 k:1",
    "OBJECT",
    "OBJECT NOSUCH k:0",
    "OBJECT ENCODING",
    "OBJECT ENCODING k:0 k:1",
    "OBJECT FREQ k:0",
    "CLIENT",
    "CLIENT NOSUCH",
    "CLIENT GETNAME",
    "CLIENT SETNAME name",
    "CLIENT SETNAME",
    "CLIENT ID",
    "CLIENT ID x",
    "CLIENT NO-EVICT x",
    "CONFIG",
    "CONFIG NOSUCH",
    "CONFIG GET",
    "CONFIG GET nosuch",
    "CONFIG GET hash-max-listpack-entries",
    "CONFIG GET zset-max-listpack-*",
    "CONFIG SET nosuch 1",
    "CONFIG SET databases 3",
    "CONFIG SET hash-max-listpack-entries x",
    "COMMAND COUNT",
    "COMMAND COUNT x",
    "COMMAND NOSUCH",
    "AUTH a",
    "AUTH a b c",
    "TIME",
];

/// Command lines whose keys COMMAND GETKEYS finds, or says why not.
const GETKEYS: [&str; 22] = [
    "GET a",
    "GET",
    "SET a b EX 5",
    "MSET a 1 b 2 c 3",
    "MSET a 1 b",
    "DEL a b c",
    "PING",
    "NOSUCH a",
    "ZUNIONSTORE d 2 a b",
    "ZUNIONSTORE d 3 a b",
    "ZUNION x a",
    "ZINTERCARD 1 a LIMIT 3",
    "LMPOP 2 a b LEFT COUNT 3",
    "LMOVE a b LEFT RIGHT",
    "ZRANGESTORE d s 0 -1",
    "COPY a b DB 1",
    "OBJECT ENCODING a",
    "SINTERCARD 2 a b LIMIT 1",
    "SMOVE a b m",
    "ZADD z NX 1 a",
    "SELECT 1",
    "KEYS *",
];

/// Commands after which a connection is another one; they are sent outside of transactions only.
const TURNS: [&str; 9] = [
    "HELLO",
    "HELLO 4",
    "HELLO x",
    "HELLO 3 NOSUCH",
    "HELLO 3 AUTH a b",
    "HELLO 2 SETNAME",
    "HELLO 2",
    "HELLO 3",
    "RESET",
];

/// The words of a line, separated by single spaces.
pub fn words(line: &str) -> Command {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// Chooses commands of these families.
pub struct Sessions<'r> {
    pub rng: &'r mut SmallRng,
}

impl Sessions<'_> {
    /// The next command.
    pub fn command(&mut self) -> Command {
        if self.rng.random_range(0..5) == 0 {
            let sub = *["GETKEYS", "GETKEYSANDFLAGS", "getkeys"].choose(self.rng).unwrap_or(&"GETKEYS");
            return [words("COMMAND"), words(sub), words(GETKEYS.choose(self.rng).unwrap_or(&"GET a"))]
                .concat();
        }
        words(LINES.choose(self.rng).unwrap_or(&"PING"))
    }

    /// A command that may change the connection's protocol, and the one that puts it back.
    pub fn turn(&mut self, protocol: u8) -> [Command; 2] {
        [words(TURNS.choose(self.rng).unwrap_or(&"HELLO")), words(&format!("HELLO {protocol}"))]
    }

    /// A request that is refused when it is queued, or one that only its running shows to be wrong.
    pub fn refused(&mut self) -> Command {
        const REFUSED: [&str; 8] = [
            "NOSUCH",
            "GET",
            "SET k:0",
            "HSET h:0 f",
            "OBJECT NOSUCH k:0",
            "WATCH k:0",
            "MULTI",
            "INCRBY k:0 x",
        ];
        words(REFUSED.choose(self.rng).unwrap_or(&"GET"))
    }
}
