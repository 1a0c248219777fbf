//! The shards' endpoints: a port for each shard that speaks Redis Cluster, for clients that know where slots are.
//!
//! To such clients every shard on every node is a node of Redis Cluster with an identity, a port and a role of its own. So
//! what a node is can be said in their words even where it is the primary of one shard and a replica of another; and a
//! connection lives on the worker of its shard, so that nothing it asks takes a hop. What this node can't answer is never
//! passed on: MOVED names who can.
//!
//! ```text
//!   listener (a shard's port) -> the shard's worker -> guard -> check: slot, role -> the command runs here
//!                                                         '-- MOVED | held until it is known who serves -> CLUSTERDOWN
//! ```

mod commands;
mod places;

use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config_cluster::Endpoints;
use logsvc_api::ShardId;
use proxy_commands::{Flags, Id, Routing, Row};
use proxy_engine::Run;
use proxy_resp::{Args, Reply};
use proxy_shard::Role;
use proxy_store::slot_of;

use crate::conn::{Batch, Conn};
use crate::dispatch::{self, CROSSSLOT, Flow};
use crate::handshakes::{self, TlsPort};
use crate::metric_names as names;
use crate::peers::{Answer, Unit, Work};
use crate::session::Session;
use crate::shared::Shared;
use crate::worker::Worker;
use crate::{ProxyConfig, committer, guard, listener, proxy, script, transaction};

pub(crate) use commands::run;
pub(crate) use places::{Place, Places, State};

pub(crate) const UNBOUND: &str = "CLUSTERDOWN Hash slot not served";
pub(crate) const NO_SELECT: &str = "ERR SELECT is not allowed in cluster mode";
const READ_ONLY: &str = "READONLY You can't write against a read only replica.";
/// A client that waited when its shard went elsewhere, nobody knows yet where.
const DISPLACED: &str =
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
/// How often a command that is held looks whether its slot is served.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The shards' endpoints of a proxy: one port for each shard, in the order of their numbers.
#[derive(Clone)]
pub struct EndpointConfig {
    /// First plain port.
    pub port: Option<u16>,
    /// First port under TLS.
    pub tls: Option<TlsPort>,
    /// Host that clients are told; when it stands for all addresses, a client is told the one that it has come to.
    pub host: String,
    /// First port that clients are told; 0 = the one listened on.
    pub announce_port: u16,
    /// The same under TLS.
    pub announce_tls_port: u16,
}

impl EndpointConfig {
    /// What clients are told.
    pub(crate) fn announced(&self) -> Endpoints {
        let told = |announced: u16, port: Option<u16>| match (announced, port) {
            (_, None) => 0,
            (0, Some(port)) => port,
            (announced, Some(_)) => announced,
        };
        Endpoints {
            host: self.host.clone(),
            port: told(self.announce_port, self.port),
            tls_port: told(self.announce_tls_port, self.tls.as_ref().map(|tls| tls.port)),
        }
    }
}

/// An endpoint that is listened on.
pub(crate) struct Listener {
    shard: ShardId,
    listener: StdListener,
    tls: Option<TlsPort>,
}

/// Opens all endpoints.
pub(crate) fn open(config: &ProxyConfig, shards: u32) -> io::Result<Vec<Listener>> {
    let Some(endpoints) = &config.endpoints else { return Ok(Vec::new()) };
    let mut opened = Vec::new();
    for (first, tls) in
        [(endpoints.port, None), (endpoints.tls.as_ref().map(|tls| tls.port), endpoints.tls.clone())]
    {
        let Some(first) = first else { continue };
        for shard in 0..shards {
            let port = u16::try_from(u32::from(first) + shard).map_err(|_| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("no port for the endpoint of shard {shard}"),
                )
            })?;
            let listener = proxy::listen(&config.bind, port).map_err(|error| {
                io::Error::new(error.kind(), format!("endpoint of shard {shard}, port {port}: {error}"))
            })?;
            opened.push(Listener { shard, listener, tls: tls.clone() });
        }
    }
    Ok(opened)
}

impl Listener {
    /// Accepts clients from now on, on this thread.
    pub(crate) fn accept(self, shared: &Arc<Shared>) {
        let Self { shard, listener, tls } = self;
        let shared = Arc::clone(shared);
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                tokio::task::spawn_local(async move {
                    match tls {
                        None => listener::run(listener, shared, Some(shard)).await,
                        Some(tls) => handshakes::run(listener, tls, shared, Some(shard)).await,
                    }
                });
            }
            Err(error) => tracing::error!(shard, "can't listen at the endpoint: {error}"),
        }
    }
}

/// The port listened on for a shard's endpoint.
pub(crate) fn port(shared: &Shared, shard: ShardId) -> Option<u16> {
    let endpoints = shared.config.endpoints.as_ref()?;
    let first = endpoints.port.or(endpoints.tls.as_ref().map(|tls| tls.port))?;
    u16::try_from(u32::from(first) + shard).ok()
}

/// The slots of some keys.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum SlotSet {
    #[default]
    None,
    One(u16),
    Several,
}

impl SlotSet {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, set) | (set, Self::None) => set,
            (Self::One(one), Self::One(other)) if one == other => self,
            _ => Self::Several,
        }
    }
}

/// The slots of a command's keys, or of its channels if they belong to shards.
pub(crate) fn slots_of(row: &Row, args: Args<'_>) -> SlotSet {
    let mut set = SlotSet::None;
    let mut see = |position: usize| set = set.and(SlotSet::One(slot_of(args.at(position))));
    match row.id {
        Id::SPublish => see(1),
        Id::SSubscribe | Id::SUnsubscribe => (1..args.len()).for_each(see),
        _ if row.has_plain_keys() => row.plain_keys(args.len()).for_each(see),
        // What can't be told is told by the command itself: it answers a syntax error.
        _ => {
            let _ = row.for_each_key(args.len(), |at| args.at(at), |position, _| see(position));
        }
    }
    set
}

/// Why a command is refused by any node of Redis Cluster: there is one database, and SORT sees its own key's slot.
pub(crate) fn denied(row: &Row, args: Args<'_>) -> Option<&'static str> {
    let word_before = |word: &str| {
        let found = args.iter().position(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        found.map(|at| args.get(at + 1).unwrap_or_default())
    };
    match row.id {
        Id::SwapDb => Some("ERR SWAPDB is not allowed in cluster mode"),
        Id::Move => Some("ERR MOVE is not allowed in cluster mode"),
        Id::Copy => {
            let other = args.slice(3.min(args.len())..);
            let db = other.iter().position(|arg| arg.eq_ignore_ascii_case(b"DB"))?;
            let db = proxy_resp::parse_i64(other.get(db + 1)?)?;
            (db != 0).then_some("ERR Copying to another database is not allowed in cluster mode")
        }
        Id::Sort | Id::SortRo if word_before("BY").is_some_and(|pattern| pattern.contains(&b'*')) => {
            Some("ERR BY option of SORT denied in Cluster mode.")
        }
        Id::Sort | Id::SortRo if word_before("GET").is_some() => {
            Some("ERR GET option of SORT denied in Cluster mode.")
        }
        Id::Replicaof | Id::Slaveof => Some("ERR REPLICAOF not allowed in cluster mode."),
        Id::Failover => Some(
            "ERR FAILOVER not allowed in cluster mode. A shard is handed over by `fastkeep ctl failover`.",
        ),
        _ => None,
    }
}

/// Whether a shard runs the command, and not the session.
fn is_for_shard(row: &Row) -> bool {
    row.routing != Routing::Session && !matches!(proxy_engine::handler(row.id), Run::Session)
}

/// Whether the command may run on a replica: it reads, watches or is a transaction that only reads, and does not wait.
fn may_be_stale(session: &Session, row: &Row, args: Args<'_>) -> bool {
    match row.id {
        Id::Watch => true,
        Id::Exec => session.multi.as_ref().is_some_and(|multi| multi.only_reads()),
        // Wakes only where entries are added.
        Id::XRead if session.multi.is_none() => !args
            .iter()
            .take_while(|arg| !arg.eq_ignore_ascii_case(b"STREAMS"))
            .any(|arg| arg.eq_ignore_ascii_case(b"BLOCK")),
        _ => row.flags.has(Flags::READONLY) || dispatch::is_script(row) && !script::may_write(row),
    }
}

/// Lets a command of an endpoint's client pass if this node answers it; otherwise the client is told who does.
pub(crate) fn check(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    batch: &mut Batch,
) -> Result<(), Flow> {
    let Some(shard) = session.endpoint else { return Ok(()) };
    let exec = row.id == Id::Exec;
    let slots = match &session.multi {
        Some(multi) if exec => multi.slots(),
        _ => slots_of(row, args),
    };
    let passed = match slots {
        SlotSet::Several => Err(refuse(worker, session, row, batch, CROSSSLOT)),
        SlotSet::One(slot) if worker.shared.shard_of(slot) != shard => {
            Err(redirect(worker, conn, session, row, batch, slot))
        }
        SlotSet::One(_) | SlotSet::None => {
            let needs = is_for_shard(row)
                || slots != SlotSet::None
                || (exec && session.multi.as_ref().is_some_and(|multi| multi.needs_shard()));
            if needs { check_role(worker, conn, session, (row, args), (shard, slots), batch) } else { Ok(()) }
        }
    };
    passed?;
    conn.held_since.set(None);
    if !transaction::runs_at_once(row.id)
        && let Some(multi) = &mut session.multi
    {
        multi.touches(slots);
    }
    match denied(row, args) {
        Some(why) => Err(refuse(worker, session, row, batch, why)),
        None => Ok(()),
    }
}

/// Whether this node's part in the shard allows the command.
fn check_role(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    (row, args): (&'static Row, Args<'_>),
    (shard, slots): (ShardId, SlotSet),
    batch: &mut Batch,
) -> Result<(), Flow> {
    let Some(local) = worker.local(shard) else { return Ok(()) };
    let (admitted, role) = {
        let mut shard = local.shard.borrow_mut();
        worker.tell_time(&mut shard);
        (shard.admit(false).is_ok(), shard.role())
    };
    // A node that is alone says that it loads, as on its main port.
    if admitted || worker.shared.cluster.is_none() {
        return Ok(());
    }
    let reads = may_be_stale(session, row, args);
    let allowed = match slots {
        // Messages reach all nodes.
        SlotSet::One(_) if matches!(row.id, Id::SSubscribe | Id::SUnsubscribe | Id::SPublish) => {
            role != Role::Absent
        }
        SlotSet::One(_) if role == Role::Replica && reads => {
            worker.shared.cluster.as_ref().is_some_and(|cluster| cluster.reads_stale(conn.info.id))
        }
        SlotSet::One(_) | SlotSet::Several => false,
        SlotSet::None if role != Role::Replica => {
            return Err(hold(worker, conn, session, row, batch, dispatch::LOADING));
        }
        SlotSet::None if reads => true,
        SlotSet::None => return Err(refuse(worker, session, row, batch, READ_ONLY)),
    };
    match slots {
        SlotSet::One(slot) if !allowed => Err(redirect(worker, conn, session, row, batch, slot)),
        _ => Ok(()),
    }
}

/// Names who serves a slot; while nobody is known to, the command is put off.
fn redirect(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    batch: &mut Batch,
    slot: u16,
) -> Flow {
    match moved(worker, conn, slot) {
        Some(text) => {
            conn.held_since.set(None);
            let shard = session.endpoint.unwrap_or_default().to_string();
            metrics::counter!(names::REDIRECTS, "shard" => shard).increment(1);
            refuse(worker, session, row, batch, &text)
        }
        None => hold(worker, conn, session, row, batch, UNBOUND),
    }
}

/// `MOVED slot host:port`, if another endpoint than this one serves the slot or is about to.
fn moved(worker: &Worker, conn: &Conn, slot: u16) -> Option<String> {
    let shard = worker.shared.shard_of(slot);
    let places = Places::of(&worker.shared, shard);
    let next = places.primary.as_ref().filter(|place| !place.is_here || conn.info.endpoint != Some(shard))?;
    let (host, port) = next.reached_by(conn)?;
    Some(format!("MOVED {slot} {host}:{port}"))
}

/// Refuses a command as Redis Cluster does: an open MULTI fails with it, and EXEC ends it.
fn refuse(worker: &Worker, session: &mut Session, row: &'static Row, batch: &mut Batch, why: &str) -> Flow {
    if row.id == Id::Exec {
        return transaction::redirect_exec(worker, session, batch, why);
    }
    guard::refuse(worker, session, row, batch, why)
}

/// Puts the connection's next command off until it is known who serves its slot, which a failover takes a moment for; `why`
/// is the answer when that takes longer than any failover.
fn hold(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    batch: &mut Batch,
    why: &str,
) -> Flow {
    let now = worker.now().0;
    let patience = worker.shared.config.shard.lease * 2 + Duration::from_secs(1);
    let since = conn.held_since.get().unwrap_or(now);
    let Some(cluster) = worker.shared.cluster.as_ref().filter(|_| now < since + patience) else {
        conn.held_since.set(None);
        return refuse(worker, session, row, batch, why);
    };
    conn.held_since.set(Some(since));
    conn.info.postponed.store(true, Relaxed);
    let (mut routes, conn) = (cluster.routes(), Rc::clone(conn));
    tokio::task::spawn_local(async move {
        // A lease that is renewed after all is no change of routes, and one may have come just now.
        let _ = tokio::time::timeout(LOOK_EVERY, routes.changed()).await;
        conn.info.postponed.store(false, Relaxed);
        conn.wake();
    });
    Flow::PutOff
}

/// Answers a unit of an endpoint's client that has come to a shard which is not served here any more: its command had begun
/// to wait, or its transaction changes users. It has done nothing.
pub(crate) fn turn_away(worker: &Rc<Worker>, from: usize, shard: ShardId, unit: &Unit) {
    let Some(to) = unit.reply_to else { return };
    let parts = match &unit.work {
        Work::Transaction { chunks, .. } => chunks.len(),
        _ => 1,
    };
    let mut reply = Reply::new(unit.proto);
    let text = match &unit.work {
        Work::Blocking { row, args, .. } => {
            let conn = worker.conns.borrow().get(to.token).filter(|conn| conn.info.id == to.client).cloned();
            match (slots_of(row, args.as_args()), conn) {
                (SlotSet::One(slot), Some(conn)) => moved(worker, &conn, slot),
                _ => None,
            }
            .unwrap_or_else(|| DISPLACED.to_owned())
        }
        Work::Transaction { .. } => transaction::ABORT_LOADING.to_owned(),
        _ => UNBOUND.to_owned(),
    };
    tracing::debug!(shard, "a client that waited is told: {text}");
    reply.error(&text);
    let mut bytes = reply.take();
    for part in 0..parts {
        let to = crate::peers::Address { part: to.part + part as u32, ..to };
        committer::answer(worker, from, Answer { to, bytes: Some(std::mem::take(&mut bytes)), close: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_add_up() {
        let (one, other) = (SlotSet::One(1), SlotSet::One(2));
        assert_eq!(SlotSet::None.and(one), one);
        assert_eq!(one.and(SlotSet::None), one);
        assert_eq!(one.and(one), one);
        assert_eq!(one.and(other), SlotSet::Several);
        assert_eq!(SlotSet::Several.and(one), SlotSet::Several);
    }

    #[test]
    fn what_is_announced_is_what_is_listened_on_unless_told() {
        let config = EndpointConfig {
            port: Some(7000),
            tls: None,
            host: "h".into(),
            announce_port: 0,
            announce_tls_port: 9000,
        };
        assert_eq!(config.announced(), Endpoints { host: "h".into(), port: 7000, tls_port: 0 });
        let config = EndpointConfig { announce_port: 8000, ..config };
        assert_eq!(config.announced().port, 8000);
    }
}
