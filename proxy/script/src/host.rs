//! What a running script asks of the world around it.

use proxy_resp::{Args, Reply};

/// How important a script says its message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// What becomes of a running script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    GoOn,
    /// Somebody asked for its end.
    Kill,
}

/// The caller of a script, for the time that it runs.
pub trait Host {
    /// Runs a command and appends its reply, in the protocol of `out`. An error is a reply too.
    fn call(&self, args: Args<'_>, out: &mut Reply);
    /// Whether the caller may run this command; `None` when there is no such command.
    fn may_run(&self, args: Args<'_>) -> Option<bool>;
    /// `redis.log`.
    fn log(&self, level: LogLevel, message: &[u8]);
    /// Called now and then while the script runs.
    fn pause(&self) -> Verdict;
}
