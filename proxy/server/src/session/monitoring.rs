//! MONITOR, CLIENT PAUSE and CLIENT UNPAUSE: what every worker has to know of before the answer leaves.

use std::rc::Rc;
use std::time::{Duration, Instant};

use proxy_resp::Args;

use super::Session;
use crate::conn::{Batch, Conn};
use crate::pause;
use crate::worker::Worker;

pub(super) fn monitor(worker: &Rc<Worker>, conn: &Rc<Conn>, session: &Session, batch: &mut Batch) {
    if session.in_exec {
        return batch.reply.error("ERR MONITOR isn't allowed for DENY BLOCKING client");
    }
    // Asked for again it has no answer, as in Redis.
    if worker.shared.monitors.add(&conn.info) {
        pause::tell_all(worker, conn, session, batch);
    }
}

/// CLIENT PAUSE milliseconds [WRITE | ALL]
pub(super) fn pause(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &Session,
    args: Args<'_>,
    batch: &mut Batch,
) {
    let mode = args.at(3);
    let all = args.len() == 3 || mode.eq_ignore_ascii_case(b"all");
    if args.len() > 4 {
        return super::too_many(args, "CLIENT", &mut batch.reply);
    }
    if !all && !mode.eq_ignore_ascii_case(b"write") {
        return batch.reply.error("ERR CLIENT PAUSE mode must be WRITE or ALL");
    }
    let Some(ms) = proxy_resp::parse_i64(args.at(2)) else {
        return batch.reply.error("ERR timeout is not an integer or out of range");
    };
    let Ok(ms) = u64::try_from(ms) else { return batch.reply.error("ERR timeout is negative") };
    let now = Instant::now();
    match now.checked_add(Duration::from_millis(ms)) {
        Some(until) => {
            worker.shared.pauses.begin(now, until, all);
            pause::tell_all(worker, conn, session, batch);
        }
        None => batch.reply.error("ERR timeout is out of range"),
    }
}

pub(super) fn unpause(worker: &Rc<Worker>, conn: &Rc<Conn>, session: &Session, batch: &mut Batch) {
    worker.shared.pauses.end();
    pause::tell_all(worker, conn, session, batch);
}
