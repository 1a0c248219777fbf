//! What stands between a parsed command and whoever runs it: the checks that a feature in use asks for.
//!
//! An ordinary client of an ordinary server has no guard set, and pays one branch. Whoever turns a feature on sets its
//! bit, in the session if it concerns one client, in the worker if it concerns all; whoever turns it off clears it.

use std::rc::Rc;

use proxy_commands::Row;
use proxy_resp::Args;

use crate::conn::{Batch, Conn};
use crate::dispatch::Flow;
use crate::session::Session;
use crate::worker::Worker;

/// Which checks are in force.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Guards(u32);

impl Guards {
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(crate) const fn any(self) -> bool {
        self.0 != 0
    }

    #[inline]
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Checks a command by the guards in force, in Redis's order: authentication, a busy script, permissions, a
/// subscriber's context, a pause. `Err` is what the connection does instead; the reply, if there is one, is written.
#[cold]
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn check(
    _worker: &Rc<Worker>,
    _conn: &Rc<Conn>,
    _session: &mut Session,
    _row: &'static Row,
    _args: Args<'_>,
    _batch: &mut Batch,
    _guards: Guards,
) -> Result<(), Flow> {
    Ok(())
}
