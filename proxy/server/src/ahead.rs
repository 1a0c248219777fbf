//! A pipeline's next commands: parsed a few at a time before the first of them runs, so that the memory which their keys are in
//! is asked for in one go. Each lookup would wait for it alone otherwise, and on a large keyspace that is most of its time.
//! Between [`crate::conn`] and [`crate::dispatch`].

use proxy_commands::Row;
use proxy_resp::{Args, Parser, Span, Step};
use proxy_store::{PREFETCHED, Spot};

use crate::worker::Worker;

/// A command with more arguments is the last that is parsed ahead.
const MANY: usize = 64;

/// What is known of a command before it is dispatched.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Its row, if it is of the right form.
    pub(crate) row: Option<&'static Row>,
    /// Where the key in argument 1 is.
    pub(crate) spot: Option<Spot>,
}

/// Commands that are parsed and not run yet. Reused from one batch to the next.
#[derive(Default)]
pub(crate) struct Ahead {
    commands: Vec<Command>,
    /// The arguments of all but the last command; the parser has those.
    spans: Vec<Span>,
    /// The first command that has not run.
    next: usize,
    /// Where the parser stands in the buffer.
    parsed: usize,
    /// What it found behind the commands, if no command.
    end: Option<Step>,
}

#[derive(Clone, Copy)]
struct Command {
    /// Where it begins in the buffer, and its length.
    at: usize,
    used: usize,
    /// Its part of `spans`.
    spans: (u32, u32),
    seen: Seen,
}

/// What comes next.
pub(crate) enum Next<'a> {
    /// A command of so many bytes.
    Command(usize, Args<'a>, Seen),
    /// Not a command: never [`Step::Command`].
    Other(Step),
}

impl Ahead {
    /// Begins with a new buffer.
    pub(crate) fn clear(&mut self) {
        self.commands.clear();
        self.next = 0;
        self.parsed = 0;
        self.end = None;
    }

    /// What comes next in `buffer`, of which `done` bytes are done with. Parses on, in database `db`, when nothing is left; only one
    /// command if `alone`.
    #[inline]
    pub(crate) fn next<'a>(
        &'a mut self,
        worker: &Worker,
        parser: &'a mut Parser,
        (buffer, done): (&'a [u8], usize),
        (db, alone): (u8, bool),
    ) -> Next<'a> {
        if self.next == self.commands.len() {
            if let Some(step) = self.end.take() {
                return Next::Other(step);
            }
            self.parse(parser, buffer, done, if alone { 1 } else { PREFETCHED });
            if self.commands.len() > 1 {
                self.look(worker, parser, buffer, db);
            }
        }
        let Some(command) = self.commands.get(self.next).copied() else {
            return Next::Other(self.end.take().unwrap_or(Step::More(1)));
        };
        let index = self.next;
        self.next += 1;
        Next::Command(command.used, self.args(parser, buffer, index), command.seen)
    }

    /// Ends with a buffer of which `done` bytes are done with: commands that have not run are forgotten, and parsed again.
    pub(crate) fn end(&mut self, parser: &mut Parser, done: usize) {
        if done != self.parsed {
            parser.restart();
        }
    }

    #[inline]
    fn parse(&mut self, parser: &mut Parser, buffer: &[u8], done: usize, most: usize) {
        self.clear();
        self.spans.clear();
        self.parsed = done;
        loop {
            let at = self.parsed;
            match parser.next(buffer.get(at..).unwrap_or_default()) {
                Step::Command(used) => {
                    self.parsed += used;
                    self.commands.push(Command { at, used, spans: (0, 0), seen: Seen::default() });
                    let last = self.commands.len() == most || self.parsed == buffer.len();
                    let Some(spans) = parser.plain_spans().filter(|spans| !last && spans.len() <= MANY)
                    else {
                        return;
                    };
                    let from = self.spans.len() as u32;
                    self.spans.extend_from_slice(spans);
                    if let Some(command) = self.commands.last_mut() {
                        command.spans = (from, self.spans.len() as u32);
                    }
                }
                step => {
                    self.end = Some(step);
                    return;
                }
            }
        }
    }

    #[inline]
    fn args<'a>(&'a self, parser: &'a Parser, buffer: &'a [u8], index: usize) -> Args<'a> {
        let Some(command) = self.commands.get(index) else { return Args::default() };
        let bytes = buffer.get(command.at..).unwrap_or_default();
        let (from, to) = command.spans;
        match self.spans.get(from as usize..to as usize) {
            Some(spans) if !spans.is_empty() => Args::new(bytes, spans),
            _ => parser.args(bytes),
        }
    }

    /// Finds out where the commands' keys are, and has them brought here.
    fn look(&mut self, worker: &Worker, parser: &Parser, buffer: &[u8], db: u8) {
        let Some((_, any)) = worker.locals().next() else { return };
        // A script that runs here may have it.
        let Ok(shard) = any.shard.try_borrow() else { return };
        for index in 0..self.commands.len() {
            let args = self.args(parser, buffer, index);
            let row = proxy_engine::resolve(args).ok();
            let key = row.is_some_and(|row| row.first_key == 1).then(|| args.at(1));
            let spot = key.map(|key| shard.keyspace().spot(key));
            if let Some(command) = self.commands.get_mut(index) {
                command.seen = Seen { row, spot };
            }
        }
        drop(shard);
        let shared = &worker.shared;
        for (id, local) in worker.locals() {
            if let Ok(shard) = local.shard.try_borrow() {
                let spots = self.commands.iter().filter_map(|command| command.seen.spot);
                let here = spots.filter(|spot| shared.shard_of(spot.slot) == id);
                shard.keyspace().prefetch(here.map(|spot| (db, spot)));
            }
        }
    }
}
