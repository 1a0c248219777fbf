//! A connection's state, and the commands that need nothing but it.

pub(crate) mod acl;
mod admin;
pub(crate) mod client;
mod config;
mod connection;
mod debug;
mod info;
mod info_counts;
mod info_text;
mod latency;
mod memory;
mod monitoring;
pub(crate) mod pubsub;
mod replication;
mod slowlog;
mod tracking;

use std::rc::Rc;
use std::sync::Arc;

use logsvc_api::ShardId;
use proxy_acl::User;
use proxy_commands::{Group, Id, Row};
use proxy_resp::{Args, Protocol, Reply};
use proxy_shard::WatchId;

use crate::conn::{Batch, Conn};
use crate::dispatch::Flow;
use crate::endpoint;
use crate::guard::Guards;
use crate::migrate;
use crate::peers::{Unit, Work};
use crate::remote;
use crate::script;
use crate::transaction::{self, Multi};
use crate::users::Directory;
use crate::worker::Worker;

/// CLIENT REPLY.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ReplyMode {
    #[default]
    On,
    Off,
    /// This command's reply is dropped.
    Skip,
    /// This reply is dropped, and the next.
    SkipNext,
}

/// What a connection has set up.
pub(crate) struct Session {
    pub(crate) proto: Protocol,
    pub(crate) db: u8,
    pub(crate) multi: Option<Box<Multi>>,
    /// Shards on which keys are watched.
    pub(crate) watched: Vec<ShardId>,
    /// Keys given to WATCH since.
    pub(crate) watched_keys: u64,
    pub(crate) reply_mode: ReplyMode,
    /// The command before this one.
    pub(crate) last_command: Option<&'static Row>,
    /// EXEC runs a command of the session: it is answered at once.
    pub(crate) in_exec: bool,
    /// How the client caches what it reads, if it does.
    pub(crate) caching: Option<tracking::Caching>,
    /// What the client listens to, if to anything.
    pub(crate) subscriptions: Option<Box<pubsub::Subscriptions>>,
    /// Checks that concern this client.
    pub(crate) guards: Guards,
    /// Whose rules hold: the default user's, until somebody else is let in.
    pub(crate) user: Arc<User>,
    /// Somebody was let in, or nobody had to say who they are when this connection began.
    authenticated: bool,
    /// Nobody has to say who they are.
    open: bool,
    /// Another node: it passes on what its own clients' users may do.
    link: bool,
    /// Whose scripts that node passes on, if somebody's who may not do everything.
    acts_for: Option<Arc<User>>,
    /// The user is gone, or may not listen any more: the connection is about to close.
    is_over: bool,
    /// Revision of the users as last seen.
    users_seen: u64,
    /// A command of its own changes users just now, and closes the connection itself if that takes its user away.
    pub(crate) changes_users: bool,
    /// The shard whose endpoint the client has come to, if it isn't the main port.
    pub(crate) endpoint: Option<ShardId>,
    id: u64,
}

impl Session {
    pub(crate) fn new(id: u64, users: &Directory, endpoint: Option<ShardId>) -> Self {
        let mut session = Self {
            proto: Protocol::Resp2,
            db: 0,
            multi: None,
            watched: Vec::new(),
            watched_keys: 0,
            reply_mode: ReplyMode::On,
            last_command: None,
            in_exec: false,
            caching: None,
            subscriptions: None,
            guards: if endpoint.is_some() { Guards::ENDPOINT } else { Guards::NONE },
            user: Arc::clone(users.current().default_user()),
            authenticated: false,
            open: false,
            link: false,
            acts_for: None,
            is_over: false,
            users_seen: 0,
            changes_users: false,
            endpoint,
            id,
        };
        session.begin(users);
        session
    }

    /// A command was refused: an open MULTI will not run.
    pub(crate) fn reject(&mut self) {
        if let Some(multi) = &mut self.multi {
            multi.spoil();
        }
    }

    /// The name of this connection's watches.
    pub(crate) fn watch_id(&self) -> WatchId {
        WatchId(self.id)
    }

    /// CLIENT NO-TOUCH.
    pub(crate) fn set_no_touch(&mut self, on: bool) {
        let bit = Guards::NO_TOUCH;
        self.guards = if on { self.guards.with(bit) } else { self.guards.without(bit) };
    }

    /// Whether what it runs is no use of keys.
    pub(crate) fn is_still(&self) -> bool {
        self.guards.has(Guards::NO_TOUCH)
    }

    /// Ends all watches.
    pub(crate) fn unwatch(&mut self, worker: &Worker) {
        self.watched_keys = 0;
        let id = self.watch_id();
        for shard in self.watched.drain(..) {
            match worker.local(shard) {
                Some(local) => {
                    local.shard.borrow_mut().unwatch(id);
                    remote::unwatch(worker, shard, self.id, self.proto);
                }
                None => {
                    worker.send_unit(Unit::plain(shard, self.id, self.proto, None, Work::Unwatch { id }));
                }
            }
        }
    }

    /// The connection is gone, or as good as new.
    pub(crate) fn end(&mut self, worker: &Worker, conn: &Conn) {
        self.multi = None;
        self.unwatch(worker);
        self.forget_subscriptions(worker, conn);
        self.stop_caching(worker, conn);
    }
}

/// Runs a command of the session.
pub(crate) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    batch: &mut Batch,
) -> Flow {
    if row.id == Id::ConfigSet
        && let Some(flow) = acl::set_password(worker, conn, session, args, batch)
    {
        return flow;
    }
    let reply = &mut batch.reply;
    match row.id {
        Id::Ping => return connection::ping(session, args, reply),
        Id::Echo => reply.bulk(args.at(1)),
        Id::Quit => {
            reply.ok();
            return Flow::Close;
        }
        Id::Select => connection::select(session, args, reply),
        Id::Auth => acl::auth(worker, conn, session, args, reply),
        Id::Hello => connection::hello(worker, conn, session, args, reply),
        Id::Reset => connection::reset(worker, conn, session, reply),
        Id::Time => connection::time(reply),
        Id::Multi => transaction::multi(session, reply),
        Id::Discard => transaction::discard(worker, session, reply),
        Id::Unwatch => {
            session.unwatch(worker);
            reply.ok();
        }
        Id::Readonly | Id::Readwrite => {
            remote::set_stale_reads(worker, conn, row.id == Id::Readonly, reply);
        }
        _ if row.group == Group::Cluster => match session.endpoint {
            Some(_) if row.id == Id::Asking => reply.ok(),
            Some(shard) => endpoint::run(worker, conn, shard, row.id, args, batch),
            None => reply.error(remote::NO_CLUSTER),
        },
        Id::Migrate => return migrate::run(worker, conn, session, args, batch),
        Id::Watch => return transaction::watch(worker, conn, session, args, batch),
        Id::Exec => return transaction::exec(worker, conn, session, batch),
        Id::Info => info::info(worker, session.endpoint, args, reply),
        Id::Acl
        | Id::AclCat
        | Id::AclDeluser
        | Id::AclDryrun
        | Id::AclGenpass
        | Id::AclGetuser
        | Id::AclHelp
        | Id::AclList
        | Id::AclLoad
        | Id::AclLog
        | Id::AclSave
        | Id::AclSetuser
        | Id::AclUsers
        | Id::AclWhoami => return acl::run(worker, conn, session, row, args, batch),
        Id::Config
        | Id::ConfigGet
        | Id::ConfigHelp
        | Id::ConfigResetstat
        | Id::ConfigRewrite
        | Id::ConfigSet => config::run(worker, conn, session, row.id, args, batch),
        Id::Memory
        | Id::MemoryDoctor
        | Id::MemoryHelp
        | Id::MemoryMallocStats
        | Id::MemoryPurge
        | Id::MemoryStats => memory::run(worker, row.id, reply),
        Id::Slowlog | Id::SlowlogGet | Id::SlowlogHelp | Id::SlowlogLen | Id::SlowlogReset => {
            slowlog::run(worker, row.id, args, reply);
        }
        Id::Latency
        | Id::LatencyDoctor
        | Id::LatencyGraph
        | Id::LatencyHelp
        | Id::LatencyHistogram
        | Id::LatencyHistory
        | Id::LatencyLatest
        | Id::LatencyReset => latency::run(worker, row.id, args, reply),
        Id::Debug => return debug::run(worker, conn, session, row, args, batch),
        Id::Monitor => monitoring::monitor(worker, conn, session, batch),
        Id::ClientPause => monitoring::pause(worker, conn, session, args, batch),
        Id::ClientUnpause => monitoring::unpause(worker, conn, session, batch),
        Id::Client
        | Id::ClientGetname
        | Id::ClientHelp
        | Id::ClientId
        | Id::ClientInfo
        | Id::ClientKill
        | Id::ClientList
        | Id::ClientNoEvict
        | Id::ClientNoTouch
        | Id::ClientReply
        | Id::ClientSetinfo
        | Id::ClientSetname
        | Id::ClientUnblock => return client::run(worker, conn, session, row.id, args, reply),
        Id::ClientCaching | Id::ClientGetredir | Id::ClientTracking | Id::ClientTrackinginfo => {
            tracking::run(worker, conn, session, row.id, args, reply);
        }
        Id::Subscribe
        | Id::Unsubscribe
        | Id::PSubscribe
        | Id::PUnsubscribe
        | Id::SSubscribe
        | Id::SUnsubscribe
        | Id::Publish
        | Id::SPublish
        | Id::Pubsub
        | Id::PubsubChannels
        | Id::PubsubHelp
        | Id::PubsubNumpat
        | Id::PubsubNumsub
        | Id::PubsubShardchannels
        | Id::PubsubShardnumsub => pubsub::run(worker, conn, session, row.id, args, batch),
        Id::Script
        | Id::ScriptDebug
        | Id::ScriptExists
        | Id::ScriptFlush
        | Id::ScriptHelp
        | Id::ScriptKill
        | Id::ScriptLoad
        | Id::Function
        | Id::FunctionHelp
        | Id::FunctionKill
        | Id::FunctionStats => script::run_command(worker, row, args, reply),
        _ => return admin::run(worker, conn, session, row, args, batch),
    }
    Flow::Next
}

/// The lines of a HELP subcommand.
pub(crate) fn help(reply: &mut proxy_resp::Reply, lines: &[&str]) {
    reply.array(lines.len());
    for line in lines {
        reply.simple(line);
    }
}

/// The database that SELECT names, if there is one.
pub(crate) fn database(text: &[u8]) -> Option<u8> {
    let databases = i64::from(proxy_store::DATABASES);
    proxy_resp::parse_i64(text).filter(|db| (0..databases).contains(db)).map(|db| db as u8)
}

/// Runs a command of the session that a script calls, if it makes sense there.
pub(crate) fn run_in_script(
    worker: &Rc<Worker>,
    endpoint: Option<ShardId>,
    row: &'static Row,
    args: Args<'_>,
    reply: &mut Reply,
) -> bool {
    match row.id {
        Id::Ping => match args.len() {
            1 => reply.simple("PONG"),
            2 => reply.bulk(args.at(1)),
            _ => wrong_arguments(reply, "ping"),
        },
        Id::Echo => reply.bulk(args.at(1)),
        Id::Time => connection::time(reply),
        Id::Info => info::info(worker, endpoint, args, reply),
        Id::LastSave => reply.integer(worker.shared.last_snapshot_s()),
        Id::Command
        | Id::CommandCount
        | Id::CommandDocs
        | Id::CommandGetkeys
        | Id::CommandGetkeysandflags
        | Id::CommandHelp
        | Id::CommandInfo
        | Id::CommandList => proxy_engine::command_reply(args, reply),
        _ => return false,
    }
    true
}

/// More arguments than a subcommand takes whose arity is open.
fn too_many(args: Args<'_>, container: &str, reply: &mut proxy_resp::Reply) {
    let name = proxy_engine::Fail::quotable(args.at(1), 128);
    let before = b"ERR unknown subcommand or wrong number of arguments for '";
    let text = [&before[..], name, format!("'. Try {container} HELP.").as_bytes()].concat();
    reply.error_bytes(&text);
}

/// "wrong number of arguments", as Redis says it.
fn wrong_arguments(reply: &mut Reply, command: &str) {
    reply.error(&format!("ERR wrong number of arguments for '{command}' command"));
}
