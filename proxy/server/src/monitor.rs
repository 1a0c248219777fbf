//! MONITOR: every command that runs, on any worker, as a line to each monitoring client.
//!
//! A command is shown when it has run, not when its answer leaves: a line may come before the write that it shows is
//! durable. MONITOR shows what is asked of the server; it promises nothing about the data.

use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use proxy_commands::{Flags, Row};
use proxy_resp::Args;

use crate::clients::ClientInfo;
use crate::guard::Guards;
use crate::params::quoted;
use crate::push;
use crate::secrets::{REDACTED, is_secret};
use crate::worker::Worker;

/// Who monitors.
#[derive(Default)]
pub(crate) struct Monitors(Mutex<Vec<Arc<ClientInfo>>>);

impl Monitors {
    /// Adds a client; false when it monitors already.
    pub(crate) fn add(&self, client: &Arc<ClientInfo>) -> bool {
        let fresh = !client.monitor.swap(true, Relaxed);
        if fresh {
            self.0.lock().push(Arc::clone(client));
        }
        fresh
    }

    /// Takes a client out; false when it was not in.
    pub(crate) fn remove(&self, client: &ClientInfo) -> bool {
        let was_in = client.monitor.swap(false, Relaxed);
        if was_in {
            self.0.lock().retain(|one| one.id != client.id);
        }
        was_in
    }

    pub(crate) fn any(&self) -> bool {
        !self.0.lock().is_empty()
    }
}

/// Sets or clears this worker's guard.
pub(crate) fn refresh(worker: &Worker) {
    let guards = worker.guards.get();
    let on = worker.shared.monitors.any();
    worker.guards.set(if on { guards.with(Guards::MONITOR) } else { guards.without(Guards::MONITOR) });
}

/// Who sent a command.
pub(crate) enum Source<'a> {
    Client(&'a ClientInfo),
    /// A script or a function.
    Script,
}

/// Shows a command that has run.
#[cold]
pub(crate) fn feed(worker: &Rc<Worker>, source: &Source<'_>, db: u8, row: &Row, args: Args<'_>) {
    if !row.flags.has(Flags::SKIP_MONITOR.with(Flags::ADMIN)) {
        show(worker, source, db, row, args);
    }
}

/// Shows a command that is about to run a script, so that it stands in front of what the script calls.
#[cold]
pub(crate) fn feed_script(worker: &Rc<Worker>, client: &ClientInfo, db: u8, row: &Row, args: Args<'_>) {
    show(worker, &Source::Client(client), db, row, args);
}

fn show(worker: &Rc<Worker>, source: &Source<'_>, db: u8, row: &Row, args: Args<'_>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line = Vec::with_capacity(64 + args.bytes());
    let _ = write!(line, "+{}.{:06} [{db} ", now.as_secs(), now.subsec_micros());
    let _ = match source {
        Source::Client(client) => write!(line, "{}", client.addr),
        Source::Script => write!(line, "lua"),
    };
    line.push(b']');
    for (at, arg) in args.iter().enumerate() {
        line.push(b' ');
        quoted(if is_secret(row, args, at) { REDACTED } else { arg }, &mut line);
    }
    line.extend_from_slice(b"\r\n");
    let line: Arc<[u8]> = line.into();
    for client in worker.shared.monitors.0.lock().iter() {
        push::push(worker, client, Arc::clone(&line));
    }
}
