//! What stands between a parsed command and whoever runs it: the checks that a feature in use asks for.
//!
//! An ordinary client of an ordinary server has no guard set, and pays one branch. Whoever turns a feature on sets its
//! bit, in the session if it concerns one client, in the worker if it concerns all; whoever turns it off clears it.

use std::rc::Rc;

use proxy_commands::{Flags, Id, Row};
use proxy_resp::Args;

use crate::conn::{Batch, Conn};
use crate::dispatch::Flow;
use crate::endpoint;
use crate::pause;
use crate::script;
use crate::session::{Session, acl};
use crate::transaction;
use crate::worker::Worker;

/// Which checks are in force.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Guards(u32);

impl Guards {
    pub(crate) const NONE: Self = Self(0);
    /// The client caches what it reads.
    pub(crate) const CACHING: Self = Self(1 << 12);
    /// The client has subscriptions, and speaks RESP2.
    pub(crate) const SUBSCRIBER: Self = Self(1);
    /// A script runs here for too long; of the worker.
    pub(crate) const BUSY: Self = Self(1 << 16);
    /// Somebody who has not said who they are, or may not do everything.
    pub(crate) const ACL: Self = Self(2);

    /// The client speaks Redis Cluster to a shard.
    pub(crate) const ENDPOINT: Self = Self(1 << 13);
    /// CLIENT PAUSE is in force.
    pub(crate) const PAUSE: Self = Self(1 << 8);
    /// CLIENT NO-TOUCH is on.
    pub(crate) const NO_TOUCH: Self = Self(1 << 10);
    /// The command at hand is larger than the log takes at once.
    pub(crate) const LARGE: Self = Self(1 << 11);
    /// Somebody monitors.
    pub(crate) const MONITOR: Self = Self(1 << 9);

    #[inline]
    pub(crate) const fn any(self) -> bool {
        self.0 != 0
    }

    #[inline]
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[inline]
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Checks a command by the guards in force, in Redis's order: authentication, a busy script, permissions,
/// who serves the slot, a subscriber's context, a pause. `Err` is what the connection does instead; the reply, if there is one, is written.
#[cold]
pub(crate) fn check(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    batch: &mut Batch,
    guards: Guards,
) -> Result<(), Flow> {
    if guards.has(Guards::ACL) {
        acl::check_authenticated(worker, session, row, batch)?;
    }
    if guards.has(Guards::BUSY) && !may_run_while_busy(row, args) {
        return Err(refuse(worker, session, row, batch, script::busy_text(worker)));
    }
    if guards.has(Guards::ACL) {
        acl::check_permitted(worker, conn, session, row, args, batch)?;
    }
    if guards.has(Guards::ENDPOINT) {
        endpoint::check(worker, conn, session, row, args, batch)?;
    }
    if guards.has(Guards::SUBSCRIBER) && !is_for_subscribers(row.id) {
        let text = format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context",
            row.name
        );
        return Err(refuse(worker, session, row, batch, &text));
    }
    if guards.has(Guards::LARGE) && (row.flags.has(Flags::WRITE) || script::may_write(row)) {
        return Err(refuse(worker, session, row, batch, &too_large(worker)));
    }
    if guards.has(Guards::PAUSE) && pause::holds(&worker.shared, session, row, worker.now().0) {
        pause::put_off(worker, conn);
        return Err(Flow::PutOff);
    }
    if guards.has(Guards::CACHING) {
        session.begin_caching(row);
    }
    Ok(())
}

/// Why a write is refused that is larger than what may be on its way to the log: it would have to be durable within a
/// lease, and nobody else's write would be meanwhile.
pub(crate) fn too_large(worker: &Worker) -> String {
    let bytes = worker.shared.config.shard.in_flight_bytes;
    format!("ERR the write is larger than the log takes at once ({bytes} bytes, limits.undurable_bytes)")
}

/// Answers an error instead of running the command; an open MULTI fails with it, or ends if the command is EXEC.
pub(crate) fn refuse(
    worker: &Worker,
    session: &mut Session,
    row: &'static Row,
    batch: &mut Batch,
    why: &str,
) -> Flow {
    if row.id == Id::Exec {
        return transaction::refuse_exec(worker, session, batch, why.as_bytes());
    }
    session.reject();
    batch.reply.error(why);
    Flow::Next
}

/// What may run beside a script that doesn't end.
fn may_run_while_busy(row: &Row, args: Args<'_>) -> bool {
    match row.id {
        Id::Shutdown => args.iter().skip(1).any(|word| word.eq_ignore_ascii_case(b"NOSAVE")),
        _ => row.flags.has(Flags::ALLOW_BUSY),
    }
}

/// What a subscriber may do in RESP2, in which messages and replies can't be told apart.
fn is_for_subscribers(id: Id) -> bool {
    matches!(
        id,
        Id::Ping
            | Id::Subscribe
            | Id::SSubscribe
            | Id::SUnsubscribe
            | Id::Unsubscribe
            | Id::PSubscribe
            | Id::PUnsubscribe
            | Id::Quit
            | Id::Reset
    )
}
