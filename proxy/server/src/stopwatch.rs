//! How long commands take. The time is read from the processor's counter (through `quanta`, which falls back to the
//! system's monotonic clock where that counter can't be trusted): one reading a command, at its end, which is also the
//! beginning of the next; one more when a connection wakes. A reading takes a few nanoseconds, a call of the system's
//! clock several times that.

use std::cell::Cell;

/// A worker's stopwatch.
pub(crate) struct Stopwatch {
    clock: quanta::Clock,
    last: Cell<u64>,
}

impl Stopwatch {
    pub(crate) fn new() -> Self {
        let clock = quanta::Clock::new();
        let last = Cell::new(clock.raw());
        Self { clock, last }
    }

    /// What comes next begins now.
    #[inline]
    pub(crate) fn start(&self) {
        self.last.set(self.clock.raw());
    }

    /// When the last thing that was measured ended, as this counter has it.
    #[inline]
    pub(crate) fn last(&self) -> u64 {
        self.last.get()
    }

    /// What is being measured has begun at `begun`, whatever parts of it were measured meanwhile.
    #[inline]
    pub(crate) fn go_back(&self, begun: u64) {
        self.last.set(begun);
    }

    /// Nanoseconds since `begun`; what comes next begins now.
    #[inline]
    pub(crate) fn lap(&self, begun: u64) -> u64 {
        let now = self.clock.raw();
        self.last.set(now);
        self.clock.delta_as_nanos(begun, now)
    }
}
