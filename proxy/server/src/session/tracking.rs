//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR: how a connection caches what it reads.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use proxy_commands::{Id, Row};
use proxy_resp::{Args, Reply};
use proxy_shard::Caller;

use super::Session;
use crate::conn::Conn;
use crate::guard::Guards;
use crate::tracking::{BROKEN, Mode, Options};
use crate::worker::Worker;

/// What a session remembers of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caching {
    mode: Mode,
    /// CLIENT CACHING was called, and concerns the next command.
    asked: bool,
    /// What the running command reads is remembered.
    remembers: bool,
}

impl Session {
    /// Before each command of a client that caches: whether what it reads is to be remembered.
    pub(crate) fn begin_caching(&mut self, row: &Row) {
        let in_multi = self.multi.is_some();
        let Some(caching) = &mut self.caching else { return };
        caching.remembers = match caching.mode {
            Mode::Every => true,
            Mode::OptIn => caching.asked,
            Mode::OptOut => !caching.asked,
            Mode::Broadcast => false,
        };
        let keeps = row.name.starts_with("client") || row.id == Id::Multi || (in_multi && row.id != Id::Exec);
        caching.asked &= keeps;
    }

    /// What shards are to know of a client that caches.
    #[inline]
    pub(crate) fn caller(&self) -> Option<Caller> {
        self.caching.map(|caching| Caller { client: self.id, remembers: caching.remembers })
    }

    /// Ends caching (RESET, or the connection is gone).
    pub(crate) fn stop_caching(&mut self, worker: &Worker, conn: &Conn) {
        if self.caching.take().is_some() {
            self.guards = self.guards.without(Guards::CACHING);
            worker.shared.tracking.set(&worker.shared, &conn.info, None);
        }
    }
}

pub(super) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    id: Id,
    args: Args<'_>,
    reply: &mut Reply,
) {
    match id {
        Id::ClientTracking => match tracking(worker, conn, session, args) {
            Ok(()) => reply.ok(),
            Err(why) => reply.error_bytes(&why),
        },
        Id::ClientCaching => match caching(session, args) {
            Ok(()) => reply.ok(),
            Err(why) => reply.error(why),
        },
        Id::ClientGetredir => {
            let options = worker.shared.tracking.get(conn.info.id);
            reply.integer(options.map_or(-1, |options| options.redirect.map_or(0, |id| id as i64)));
        }
        _ => info(worker, conn, session, reply),
    }
}

const SYNTAX: &str = "ERR syntax error";

fn tracking(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    args: Args<'_>,
) -> Result<(), Vec<u8>> {
    let shared = &worker.shared;
    let (mut redirect, mut prefixes) = (None, Vec::new());
    let (mut broadcast, mut opt_in, mut opt_out, mut no_loop) = (false, false, false, false);
    let mut at = 3;
    while let Some(option) = args.get(at) {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        if is("REDIRECT") && at + 1 < args.len() {
            at += 1;
            if redirect.is_some() {
                return Err("ERR A client can only redirect to a single other client".into());
            }
            let id =
                proxy_resp::parse_i64(args.at(at)).ok_or("ERR value is not an integer or out of range")?;
            // The client may go at any moment later; then the one that redirects is told.
            let id = u64::try_from(id).ok().filter(|id| shared.clients.get(*id).is_some());
            redirect = Some(id.ok_or("ERR The client ID you want redirect to does not exist")?);
        } else if is("BCAST") {
            broadcast = true;
        } else if is("OPTIN") {
            opt_in = true;
        } else if is("OPTOUT") {
            opt_out = true;
        } else if is("NOLOOP") {
            no_loop = true;
        } else if is("PREFIX") && at + 1 < args.len() {
            at += 1;
            prefixes.push(args.at(at).to_vec());
        } else {
            return Err(SYNTAX.into());
        }
        at += 1;
    }
    let word = args.at(2);
    if word.eq_ignore_ascii_case(b"off") {
        session.stop_caching(worker, conn);
        return Ok(());
    }
    if !word.eq_ignore_ascii_case(b"on") {
        return Err(SYNTAX.into());
    }
    if !broadcast && !prefixes.is_empty() {
        return Err("ERR PREFIX option requires BCAST mode to be enabled".into());
    }
    let old = shared.tracking.get(conn.info.id);
    if old.as_ref().is_some_and(|old| (old.mode == Mode::Broadcast) != broadcast) {
        return Err(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                    re-enabling it with a different mode."
                .into(),
        );
    }
    if broadcast && (opt_in || opt_out) {
        return Err("ERR OPTIN and OPTOUT are not compatible with BCAST".into());
    }
    if opt_in && opt_out {
        return Err("ERR You can't specify both OPTIN mode and OPTOUT mode".into());
    }
    let switches =
        |old: &Options| (opt_in && old.mode == Mode::OptOut) || (opt_out && old.mode == Mode::OptIn);
    if old.as_ref().is_some_and(switches) {
        return Err(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                    re-enabling it with a different mode."
                .into(),
        );
    }
    let known = old.as_ref().map(|old| old.prefixes.as_slice()).unwrap_or_default();
    overlap(known, &prefixes)?;
    let mode = match (broadcast, opt_in, opt_out) {
        (true, ..) => Mode::Broadcast,
        (_, true, _) => Mode::OptIn,
        (_, _, true) => Mode::OptOut,
        _ => Mode::Every,
    };
    if let Some(old) = old {
        // Every key, or what was followed and what comes to it.
        prefixes = if prefixes.is_empty() || (broadcast && old.prefixes.is_empty()) {
            old.prefixes
        } else {
            old.prefixes.into_iter().chain(prefixes).collect()
        };
    }
    shared.tracking.set(shared, &conn.info, Some(Options { mode, no_loop, redirect, prefixes }));
    session.caching = Some(Caching { mode, asked: false, remembers: false });
    session.guards = session.guards.with(Guards::CACHING);
    Ok(())
}

/// Two prefixes of one client must not begin alike: it would be told twice.
fn overlap(known: &[Vec<u8>], new: &[Vec<u8>]) -> Result<(), Vec<u8>> {
    let begin_alike = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    for (at, prefix) in new.iter().enumerate() {
        let refuse = |other: &[u8], which: &str| {
            let parts: [&[u8]; 6] = [
                b"ERR Prefix '",
                prefix,
                b"' overlaps with ",
                which.as_bytes(),
                other,
                b"'. Prefixes for a single client must not overlap.",
            ];
            parts.concat()
        };
        if let Some(other) = known.iter().find(|other| begin_alike(prefix, other)) {
            return Err(refuse(other, "an existing prefix '"));
        }
        if let Some(other) = new.iter().skip(at + 1).find(|other| begin_alike(prefix, other)) {
            return Err(refuse(other, "another provided prefix '"));
        }
    }
    Ok(())
}

fn caching(session: &mut Session, args: Args<'_>) -> Result<(), &'static str> {
    let caching =
        session.caching.as_mut().filter(|caching| matches!(caching.mode, Mode::OptIn | Mode::OptOut));
    let caching = caching.ok_or(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    )?;
    let word = args.at(2);
    let needed = if word.eq_ignore_ascii_case(b"yes") {
        Mode::OptIn
    } else if word.eq_ignore_ascii_case(b"no") {
        Mode::OptOut
    } else {
        return Err(SYNTAX);
    };
    if caching.mode != needed {
        return Err(match needed {
            Mode::OptIn => "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            _ => "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        });
    }
    caching.asked = true;
    Ok(())
}

fn info(worker: &Worker, conn: &Conn, session: &Session, reply: &mut Reply) {
    let options = worker.shared.tracking.get(conn.info.id);
    let mut flags = vec![if options.is_some() { "on" } else { "off" }];
    if let Some(options) = &options {
        let asked = session.caching.is_some_and(|caching| caching.asked);
        match options.mode {
            Mode::Every => {}
            Mode::Broadcast => flags.push("bcast"),
            Mode::OptIn => flags.extend(["optin"].into_iter().chain(asked.then_some("caching-yes"))),
            Mode::OptOut => flags.extend(["optout"].into_iter().chain(asked.then_some("caching-no"))),
        }
        if options.no_loop {
            flags.push("noloop");
        }
        if conn.info.tracking.load(Relaxed) & BROKEN != 0 {
            flags.push("broken_redirect");
        }
    }
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    for flag in flags {
        reply.bulk(flag.as_bytes());
    }
    reply.bulk(b"redirect");
    reply.integer(options.as_ref().map_or(-1, |options| options.redirect.map_or(0, |id| id as i64)));
    reply.bulk(b"prefixes");
    let mut prefixes = options.map(|options| options.prefixes).unwrap_or_default();
    prefixes.sort_unstable();
    reply.array(prefixes.len());
    for prefix in prefixes {
        reply.bulk(&prefix);
    }
}
