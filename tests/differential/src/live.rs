//! Two running servers get the same random units, pipelined in batches; replies are compared one by one.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::agreement::{agree, mirrored, name, removed_all, show};
use crate::families::collections::Command;
use crate::families::mix::{LIBRARY, Mix, Step, key_positions};
use crate::frame::Frame;
use crate::target::{Server, Target};

/// Requests collected before they are sent.
const BATCH: usize = 200;
/// Requests remembered, to show what has led to a difference.
const HISTORY: usize = 3000;
/// Requests shown with a difference.
const SHOWN: usize = 16;

/// A server's two connections: the main one, and the one that disturbs transactions.
struct Side {
    main: Server,
    other: Server,
}

impl Side {
    fn connect(port: u16, protocol: u8) -> io::Result<Self> {
        Ok(Self { main: Server::connect(port, protocol)?, other: Server::connect(port, protocol)? })
    }

    fn connection(&mut self, main: bool) -> &mut Server {
        if main { &mut self.main } else { &mut self.other }
    }
}

/// What was compared.
#[derive(Default)]
pub struct Outcome {
    /// Requests whose replies were compared.
    pub compared: usize,
    /// Differences as text, with the requests that led to each.
    pub differences: Vec<String>,
}

/// A comparison in progress.
pub struct Live {
    oracle: Side,
    tested: Side,
    protocol: u8,
    sharded: bool,
    rng: SmallRng,
    /// Requests queued in the main connection's open transaction.
    queued: Option<Vec<Command>>,
    history: VecDeque<Command>,
    outcome: Outcome,
}

impl Live {
    /// Connects to both and empties them.
    pub fn connect(oracle: u16, tested: u16, protocol: u8, seed: u64, sharded: bool) -> io::Result<Self> {
        let mut live = Self {
            oracle: Side::connect(oracle, protocol)?,
            tested: Side::connect(tested, protocol)?,
            protocol,
            sharded,
            rng: SmallRng::seed_from_u64(seed),
            queued: None,
            history: VecDeque::new(),
            outcome: Outcome::default(),
        };
        live.start_anew()?;
        Ok(live)
    }

    /// Connects to the tested server again, after it was restarted, and goes on with the data there is.
    pub fn reconnect(&mut self, oracle: u16, tested: u16) -> io::Result<()> {
        self.oracle = Side::connect(oracle, self.protocol)?;
        self.tested = Side::connect(tested, self.protocol)?;
        self.queued = None;
        Ok(())
    }

    /// What was compared so far.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Sends about `count` requests; stops after `max` differences in all.
    pub fn run(&mut self, count: usize, max: usize) -> io::Result<()> {
        let end = self.outcome.compared + count;
        while self.outcome.compared < end && self.outcome.differences.len() < max {
            let mut batch = Vec::new();
            while batch.len() < BATCH {
                let mut mix = Mix { rng: &mut self.rng, protocol: self.protocol, sharded: self.sharded };
                batch.extend(mix.unit());
            }
            if !self.run_steps(batch)? {
                self.start_anew()?;
            }
        }
        Ok(())
    }

    /// Runs steps in stretches of one connection; false after a difference.
    fn run_steps(&mut self, steps: Vec<Step>) -> io::Result<bool> {
        let mut stretch: Vec<Command> = Vec::new();
        let mut on_main = true;
        for step in steps {
            let (main, command) = match step {
                Step::Main(command) => (true, command),
                Step::Other(command) => (false, command),
                Step::Sleep(ms) => {
                    if !self.run_stretch(on_main, std::mem::take(&mut stretch))? {
                        return Ok(false);
                    }
                    std::thread::sleep(Duration::from_millis(ms));
                    continue;
                }
            };
            if main != on_main {
                if !self.run_stretch(on_main, std::mem::take(&mut stretch))? {
                    return Ok(false);
                }
                on_main = main;
            }
            stretch.push(command);
        }
        self.run_stretch(on_main, stretch)
    }

    /// The tested side goes first; what its SPOPs have drawn, the oracle is made to remove.
    fn run_stretch(&mut self, main: bool, commands: Vec<Command>) -> io::Result<bool> {
        let got = self.tested.connection(main).run_all(&commands)?;
        let mirrored: Vec<Command> =
            commands.iter().zip(&got).map(|(command, reply)| mirrored(command, reply)).collect();
        let expected = self.oracle.connection(main).run_all(&mirrored)?;
        for (at, command) in commands.iter().enumerate() {
            let (expected, got) = (&expected[at], &got[at]);
            let same = if mirrored[at] != *command {
                removed_all(&mirrored[at], expected)
            } else if main {
                self.agree_on_main(command, expected, got)
            } else {
                agree(command, expected, got)
            };
            self.outcome.compared += 1;
            if !same {
                self.note(command, expected, got);
                return Ok(false);
            }
            self.remember(command);
        }
        Ok(true)
    }

    /// Compares, and follows the open transaction: the parts of EXEC's reply belong to what was queued.
    fn agree_on_main(&mut self, command: &Command, expected: &Frame, got: &Frame) -> bool {
        let reply = expected.text();
        match name(command).as_str() {
            "MULTI" if reply == "OK" => self.queued = Some(Vec::new()),
            "EXEC" | "DISCARD" | "RESET" if command.len() == 1 => {
                let queued = self.queued.take().unwrap_or_default();
                let (a, b) = (expected.parts(), got.parts());
                if !queued.is_empty() && a.len() == queued.len() && b.len() == queued.len() {
                    return queued.iter().enumerate().all(|(i, command)| agree(command, &a[i], &b[i]));
                }
            }
            _ if reply == "QUEUED" => {
                if let Some(queued) = &mut self.queued {
                    queued.push(command.clone());
                    return expected == got;
                }
            }
            _ => {}
        }
        agree(command, expected, got)
    }

    fn remember(&mut self, command: &Command) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(command.clone());
    }

    /// Keeps a difference together with the requests before it that touched the same keys.
    fn note(&mut self, command: &Command, expected: &Frame, got: &Frame) {
        let queued = self.queued.clone().unwrap_or_default();
        let mut keys: Vec<&[u8]> = Vec::new();
        for command in queued.iter().chain([command]) {
            keys.extend(key_positions(command).into_iter().map(|at| command[at].as_slice()));
        }
        // Of a whole transaction or a command without keys: simply the last ones.
        let related = |before: &Command| {
            const WHOLE: [&str; 9] =
                ["MULTI", "EXEC", "DISCARD", "WATCH", "SELECT", "SWAPDB", "FLUSHALL", "FLUSHDB", "MOVE"];
            keys.is_empty()
                || before.iter().any(|arg| keys.contains(&arg.as_slice()))
                || WHOLE.contains(&name(before).as_str())
        };
        let mut led: Vec<String> =
            self.history.iter().rev().filter(|before| related(before)).take(SHOWN).map(show).collect();
        led.reverse();
        self.outcome.differences.push(format!(
            "#{} after\n    {}\n  {}\n  expected {expected:?}\n  got      {got:?}",
            self.outcome.compared,
            led.join("\n    "),
            show(command),
        ));
    }

    /// Empties both after a difference, so that it causes no others.
    fn start_anew(&mut self) -> io::Result<()> {
        self.queued = None;
        self.history.clear();
        let hello = format!("HELLO {}", self.protocol);
        for side in [&mut self.oracle, &mut self.tested] {
            for line in ["DISCARD", "UNWATCH", &hello, "SELECT 0", "FLUSHALL"] {
                side.main.line(line)?;
                side.other.line(line)?;
            }
            let words: [&[u8]; 4] = [b"FUNCTION", b"LOAD", b"REPLACE", LIBRARY.as_bytes()];
            side.main.run(&words.map(<[u8]>::to_vec).into())?;
        }
        Ok(())
    }

    /// Has the oracle read its data back from RDB too: what comes from a snapshot is packed anew, by what it holds by then.
    pub fn reload_oracle(&mut self) -> io::Result<()> {
        self.oracle.other.line("DEBUG RELOAD").map(drop)
    }

    /// DEBUG DIGEST of the oracle and of the tested server.
    pub fn digests(&mut self) -> io::Result<(String, String)> {
        let oracle = self.oracle.other.line("DEBUG DIGEST")?.text();
        Ok((oracle, self.tested.other.line("DEBUG DIGEST")?.text()))
    }

    /// All keys of the tested server with their types and the moments at which they end.
    pub fn keys(&mut self) -> io::Result<Vec<String>> {
        let server = &mut self.tested.other;
        let mut found = Vec::new();
        for db in 0..16 {
            server.line(&format!("SELECT {db}"))?;
            let keys = server.line("KEYS *")?;
            for key in keys.sorted(false).parts() {
                let Frame::Bulk(key) = key else { continue };
                let kind = server.run(&vec!["TYPE".into(), key.clone()])?;
                let end = server.run(&vec!["PEXPIRETIME".into(), key.clone()])?;
                found.push(format!("{db} {} {} {}", key.escape_ascii(), kind.text(), end.text()));
            }
        }
        server.line("SELECT 0")?;
        Ok(found)
    }
}
