//! The ACL family, AUTH, and what a session's user may do: the checks of [`crate::guard`] and of EXEC.
//!
//! Commands that change users wait for the metadata log ([`crate::users`]); the connection runs nothing behind them
//! until they are answered.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use proxy_acl::{Context, Denied, Event, Reason, Selector, User};
use proxy_commands::{Flags, Id, Row};
use proxy_engine::resolve;
use proxy_resp::{Args, OwnedArgs, Protocol, Reply};
use rand::RngCore;

use super::{Session, client, wrong_arguments};
use crate::clients::ClientInfo;
use crate::conn::{Batch, Conn};
use crate::dispatch::{Flow, LOADING};
use crate::guard::{Guards, refuse};
use crate::pause;
use crate::script;
use crate::users::{self, ChangeError, Directory};
use crate::worker::{Worker, unix_ms};

pub(super) const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_AUTH: &str = "NOAUTH Authentication required.";
/// Most bits of ACL GENPASS.
const PASSWORD_BITS_MAX: i64 = 4096;
/// Entries that ACL LOG shows when it isn't told how many.
const LOG_SHOWN: i64 = 10;

impl Session {
    /// What a new connection is.
    pub(super) fn begin(&mut self, users: &Directory) {
        self.authenticated = false;
        self.look_again(users);
        self.authenticated = self.open;
    }

    /// Whether commands may be run without saying first who one is.
    #[inline]
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated || self.open || self.link
    }

    /// The client has shown that it is another node of this cluster, which has checked what it passes on.
    pub(crate) fn become_link(&mut self) {
        self.link = true;
        self.set_guard();
    }

    /// Whether it is another node.
    pub(crate) fn is_link(&self) -> bool {
        self.link
    }

    /// Another node says whose rules the scripts must keep that it passes on from now on. False from anybody else.
    pub(crate) fn act_for(&mut self, user: Option<User>) -> bool {
        if self.link {
            self.acts_for = user.map(Arc::new);
        }
        self.link
    }

    /// For whom scripts run.
    pub(crate) fn actor(&self) -> script::Actor {
        let user = if self.link {
            self.acts_for.clone()
        } else {
            self.guards.has(Guards::ACL).then(|| Arc::clone(&self.user))
        };
        script::Actor { client: self.id, user, endpoint: self.endpoint.is_some() }
    }

    /// Looks at the users again if they have changed. False when this session must end: its user is gone, or may not
    /// hear any more what it listens to.
    #[inline]
    pub(crate) fn follow_users(&mut self, users: &Directory) -> bool {
        (self.users_seen == users.revision() && !self.is_over) || self.look_again(users)
    }

    #[cold]
    fn look_again(&mut self, directory: &Directory) -> bool {
        self.is_over |= !self.goes_on(directory);
        !self.is_over
    }

    fn goes_on(&mut self, directory: &Directory) -> bool {
        self.users_seen = directory.revision();
        if self.link {
            return true;
        }
        let users = directory.current();
        self.open = directory.is_known() && !users.default_needs_auth();
        if !self.authenticated {
            self.user = Arc::clone(users.default_user());
        } else {
            match users.get(self.user.name()).filter(|user| user.tag() == self.user.tag()) {
                Some(user) => self.user = Arc::clone(user),
                None => return false,
            }
        }
        self.set_guard();
        self.subscriptions.as_ref().is_none_or(|subscriptions| subscriptions.are_allowed(&self.user))
    }

    /// The session is this user from now on.
    fn become_user(&mut self, conn: &Conn, user: &Arc<User>) {
        self.user = Arc::clone(user);
        self.authenticated = true;
        *conn.info.user.lock() = user.name().to_vec();
        self.set_guard();
    }

    /// Back to what a new connection is.
    pub(super) fn become_nobody(&mut self, worker: &Worker, conn: &Conn) {
        *conn.info.user.lock() = proxy_acl::DEFAULT.to_vec();
        self.begin(&worker.shared.users);
    }

    /// An ordinary user needs no check.
    fn set_guard(&mut self) {
        let bounded = !self.link && (!self.is_authenticated() || !self.user.is_unbounded());
        self.guards = if bounded { self.guards.with(Guards::ACL) } else { self.guards.without(Guards::ACL) };
    }
}

/// Whether the session may run commands at all: the first of all checks.
pub(crate) fn check_authenticated(
    worker: &Worker,
    session: &mut Session,
    row: &'static Row,
    batch: &mut Batch,
) -> Result<(), Flow> {
    let error = match (worker.shared.users.is_known(), session.is_authenticated()) {
        (true, true) => return Ok(()),
        (true, false) if row.flags.has(Flags::NO_AUTH) => return Ok(()),
        (true, false) => NO_AUTH,
        (false, _) => LOADING,
    };
    Err(refuse(worker, session, row, batch, error))
}

/// Whether the session's user may run this command.
pub(crate) fn check_permitted(
    worker: &Worker,
    conn: &Conn,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    batch: &mut Batch,
) -> Result<(), Flow> {
    let error = match proxy_acl::check_command(&session.user, row, args) {
        Ok(()) => match proxy_acl::check_sort(&session.user, row, args) {
            Ok(()) => return Ok(()),
            // A transaction takes it up all the same: the command itself refuses, when it runs.
            Err(_) if session.multi.is_some() => return Ok(()),
            Err(error) => {
                batch.reply.error(error);
                return Err(Flow::Next);
            }
        },
        Err(denied) => {
            let context = if session.multi.is_some() { Context::Multi } else { Context::TopLevel };
            note_denied(worker, conn, session, (row, args), denied, context);
            denied.reply(row)
        }
    };
    Err(refuse(worker, session, row, batch, &error))
}

/// The error of a call that a script's user may not do.
pub(crate) fn check_in_script(
    worker: &Worker,
    (client, user): (u64, &User),
    row: &'static Row,
    args: Args<'_>,
) -> Result<(), String> {
    match proxy_acl::check_command(user, row, args) {
        Ok(()) => proxy_acl::check_sort(user, row, args).map_err(str::to_owned),
        Err(denied) => {
            let object = denied.object(row, args).to_vec();
            let event = (Some(denied.reason), Context::Script, object, user.name().to_vec());
            // Of a client that has gone meanwhile there is nothing to tell but what it tried.
            note(worker, worker.shared.clients.get(client).as_deref(), event);
            Err(format!("ERR {}", denied.in_script()))
        }
    }
}

/// The error of a command that EXEC must not run although it was queued: rules have changed since.
pub(crate) fn check_queued(
    worker: &Worker,
    conn: &Conn,
    session: &Session,
    row: &'static Row,
    args: Args<'_>,
) -> Result<(), String> {
    if !session.guards.has(Guards::ACL) {
        return Ok(());
    }
    match proxy_acl::check_command(&session.user, row, args) {
        Ok(()) => proxy_acl::check_sort(&session.user, row, args).map_err(str::to_owned),
        Err(denied) => {
            note_denied(worker, conn, session, (row, args), denied, Context::Multi);
            Err(denied.reply_at_exec())
        }
    }
}

/// Whether the session's user may run a queued command. Notes nothing: [`check_queued`] will.
pub(crate) fn may_run_queued(session: &Session, row: &'static Row, args: Args<'_>) -> bool {
    !session.guards.has(Guards::ACL)
        || (proxy_acl::check_command(&session.user, row, args).is_ok()
            && proxy_acl::check_sort(&session.user, row, args).is_ok())
}

/// The error of a queued command that was not allowed when its unit began.
pub(crate) fn denied_before() -> String {
    Denied { reason: Reason::Command, at: 0 }.reply_at_exec()
}

/// Notes in ACL LOG that a command was denied.
pub(crate) fn note_denied(
    worker: &Worker,
    conn: &Conn,
    session: &Session,
    (row, args): (&Row, Args<'_>),
    denied: Denied,
    context: Context,
) {
    let object = denied.object(row, args).to_vec();
    client::publish(conn, session, args);
    note(worker, Some(&conn.info), (Some(denied.reason), context, object, session.user.name().to_vec()));
}

fn note(
    worker: &Worker,
    client: Option<&ClientInfo>,
    (reason, context, object, user): (Option<Reason>, Context, Vec<u8>, Vec<u8>),
) {
    /// Of a name or key that a client may have made up.
    const KEPT_BYTES: usize = 1024;
    let cut = |mut text: Vec<u8>| {
        text.truncate(KEPT_BYTES);
        text
    };
    let event = Event { reason, context, object: cut(object), user: cut(user) };
    let (now_ms, max) = (unix_ms(), worker.shared.params.acl_log_max.load(Relaxed));
    let line = client.map(|client| client.line(now_ms)).unwrap_or_default();
    worker.shared.users.log.lock().note(event, line, now_ms, max as usize);
}

/// Lets the session in as `name`, or notes that it tried.
pub(super) fn authenticate(
    worker: &Worker,
    conn: &Conn,
    session: &mut Session,
    args: Args<'_>,
    (name, password): (&[u8], &[u8]),
) -> bool {
    let users = worker.shared.users.current();
    if let Some(user) = users.authenticate(name, password) {
        session.become_user(conn, user);
        return true;
    }
    let context = if session.multi.is_some() { Context::Multi } else { Context::TopLevel };
    client::publish(conn, session, args);
    note(worker, Some(&conn.info), (None, context, args.at(0).to_vec(), name.to_vec()));
    false
}

/// AUTH.
pub(super) fn auth(worker: &Worker, conn: &Conn, session: &mut Session, args: Args<'_>, reply: &mut Reply) {
    let (name, password) = match args.len() {
        2 if worker.shared.users.current().default_user().needs_no_password() => {
            return reply.error(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            );
        }
        2 => (proxy_acl::DEFAULT, args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return reply.error("ERR syntax error"),
    };
    if authenticate(worker, conn, session, args, (name, password)) {
        reply.ok();
    } else {
        reply.error(WRONG_PASSWORD);
    }
}

/// Whether a command changes users, so that it waits for the metadata log.
pub(crate) fn changes_users(row: &Row, args: Args<'_>) -> bool {
    match row.id {
        Id::AclSetuser | Id::AclDeluser | Id::AclLoad => true,
        Id::ConfigSet => args.len().is_multiple_of(2) && password_at(args).is_some(),
        _ => false,
    }
}

/// The ACL family.
pub(super) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    batch: &mut Batch,
) -> Flow {
    let shared = &worker.shared;
    let users = shared.users.current();
    let reply = &mut batch.reply;
    match row.id {
        Id::AclWhoami => reply.bulk(session.user.name()),
        Id::AclUsers => {
            reply.array(users.iter().len());
            users.iter().for_each(|user| reply.bulk(user.name()));
        }
        Id::AclList => {
            reply.array(users.iter().len());
            for user in users.iter() {
                reply.bulk(&[b"user ", user.name(), b" ", user.describe().as_slice()].concat());
            }
        }
        Id::AclGetuser => match users.get(args.at(2)) {
            Some(user) => get_user(user, reply),
            None => reply.null(),
        },
        Id::AclCat => cat(args, reply),
        Id::AclDryrun => dry_run(worker, args, reply),
        Id::AclGenpass => generate(args, reply),
        Id::AclLog => log(worker, args, reply),
        Id::AclHelp => help(reply),
        // Whatever was answered is in the metadata log.
        Id::AclSave => reply.ok(),
        Id::AclLoad | Id::AclSetuser | Id::AclDeluser => {
            return match prepare(worker, row, args, reply) {
                Some(prepared) => change(worker, conn, session, batch, prepared),
                None => Flow::Next,
            };
        }
        _ => wrong_arguments(reply, "acl"),
    }
    Flow::Next
}

/// A change of users, to be awaited.
pub(crate) type Change = Pin<Box<dyn Future<Output = Result<Reply, ChangeError>>>>;

/// Takes up a command that changes users. `None`: it is answered.
pub(crate) fn prepare(
    worker: &Rc<Worker>,
    row: &'static Row,
    args: Args<'_>,
    reply: &mut Reply,
) -> Option<Change> {
    match row.id {
        Id::AclLoad => Some(load(worker)),
        Id::AclSetuser => set_user(worker, args, reply),
        Id::AclDeluser => delete_users(worker, args, reply),
        _ => prepare_password(worker, args, reply),
    }
}

/// What a change is answered; `None` when its outcome is unknown.
pub(crate) fn outcome(outcome: Result<Reply, ChangeError>) -> Option<Reply> {
    match outcome {
        Ok(reply) => Some(reply),
        Err(ChangeError::Refused(text)) => Some(error_reply(&text)),
        Err(ChangeError::Uncertain) => None,
    }
}

/// Has a change of users done, and answers when it is; nothing of this connection runs before.
fn change(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    batch: &mut Batch,
    change: Change,
) -> Flow {
    let to = conn.wait_for_answer(worker, session, None, batch);
    session.changes_users = true;
    let (worker, conn) = (Rc::clone(worker), Rc::clone(conn));
    tokio::task::spawn_local(async move {
        let reply = outcome(change.await);
        conn.answered(&worker, to, reply.map(|mut reply| reply.take()));
        conn.users_changed(&worker);
    });
    Flow::Block
}

fn error_reply(text: &[u8]) -> Reply {
    let mut reply = Reply::new(Protocol::Resp2);
    reply.error_bytes(text);
    reply
}

fn ok_reply() -> Reply {
    let mut reply = Reply::new(Protocol::Resp2);
    reply.ok();
    reply
}

fn load(worker: &Rc<Worker>) -> Change {
    let shared = Arc::clone(&worker.shared);
    Box::pin(async move {
        users::reload(&shared).await?;
        Ok(ok_reply())
    })
}

fn set_user(worker: &Rc<Worker>, args: Args<'_>, reply: &mut Reply) -> Option<Change> {
    let name = args.at(2).to_vec();
    if !proxy_acl::is_user_name(&name) {
        reply.error("ERR Usernames can't contain spaces or null characters");
        return None;
    }
    let rules: Vec<Vec<u8>> = args.slice(3..).iter().map(<[u8]>::to_vec).collect();
    set(worker, (name, rules), reply)
}

/// Applies rules to a user. A rule that is refused is answered at once.
fn set(worker: &Rc<Worker>, (name, rules): (Vec<u8>, Vec<Vec<u8>>), reply: &mut Reply) -> Option<Change> {
    let shared = Arc::clone(&worker.shared);
    if let Err(ChangeError::Refused(text)) = users::changed(&shared, &shared.users.current(), &name, &rules) {
        reply.error_bytes(&text);
        return None;
    }
    Some(Box::pin(async move {
        users::set(&shared, &name, &rules).await?;
        Ok(ok_reply())
    }))
}

fn delete_users(worker: &Rc<Worker>, args: Args<'_>, reply: &mut Reply) -> Option<Change> {
    let names: Vec<Vec<u8>> = args.slice(2..).iter().map(<[u8]>::to_vec).collect();
    if names.iter().any(|name| name == proxy_acl::DEFAULT) {
        reply.error("ERR The 'default' user cannot be removed");
        return None;
    }
    let shared = Arc::clone(&worker.shared);
    Some(Box::pin(async move {
        let removed = users::remove(&shared, &names).await?;
        let mut reply = Reply::new(Protocol::Resp2);
        reply.integer(removed);
        Ok(reply)
    }))
}

/// Where CONFIG SET has the value of `requirepass`.
fn password_at(args: Args<'_>) -> Option<usize> {
    (2..args.len()).step_by(2).find(|at| args.at(*at).eq_ignore_ascii_case(b"requirepass")).map(|at| at + 1)
}

/// CONFIG SET with `requirepass` in it. `None` when there is no password in it.
pub(super) fn set_password(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    args: Args<'_>,
    batch: &mut Batch,
) -> Option<Flow> {
    password_at(args).filter(|_| args.len().is_multiple_of(2))?;
    Some(match prepare_password(worker, args, &mut batch.reply) {
        Some(prepared) => change(worker, conn, session, batch, prepared),
        None => Flow::Next,
    })
}

/// The password of the default user, which is cluster data. The settings beside it are set first; an error of theirs leaves
/// the password as it is.
fn prepare_password(worker: &Rc<Worker>, args: Args<'_>, reply: &mut Reply) -> Option<Change> {
    let Some(value) = password_at(args).filter(|_| args.len().is_multiple_of(2)) else {
        wrong_arguments(reply, "config|set");
        return None;
    };
    let places = (2..args.len()).filter(|at| *at != value && *at + 1 != value);
    let others: OwnedArgs = [0, 1].into_iter().chain(places).map(|at| args.at(at)).collect();
    if password_at(others.as_args()).is_some() {
        reply.error(
            "ERR CONFIG SET failed (possibly related to argument 'requirepass') - duplicate parameter",
        );
        return None;
    }
    if others.as_args().len() > 2 {
        if !super::config::set(&worker.shared, others.as_args(), reply) {
            return None;
        }
        pause::tell_others(worker);
    }
    let password = args.at(value);
    let rules = if password.is_empty() {
        vec![b"nopass".to_vec()]
    } else {
        vec![b"resetpass".to_vec(), [b">", password].concat()]
    };
    set(worker, (proxy_acl::DEFAULT.to_vec(), rules), reply)
}

fn get_user(user: &User, reply: &mut Reply) {
    let bulk = |reply: &mut Reply, name: &str| reply.bulk(name.as_bytes());
    reply.map(6);
    bulk(reply, "flags");
    reply.set(user.flags().count());
    user.flags().for_each(|flag| bulk(reply, flag));
    bulk(reply, "passwords");
    reply.array(user.passwords().len());
    user.passwords().iter().for_each(|password| bulk(reply, &password.to_hex()));
    selector_fields(user.root(), reply);
    bulk(reply, "selectors");
    reply.array(user.selectors().len());
    for selector in user.selectors() {
        reply.map(3);
        selector_fields(selector, reply);
    }
}

fn selector_fields(selector: &Selector, reply: &mut Reply) {
    for (name, text) in [
        ("commands", selector.commands_text()),
        ("keys", selector.keys_text()),
        ("channels", selector.channels_text()),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(&text);
    }
}

/// Too many arguments, as this family says it.
fn bad_subcommand(args: Args<'_>, reply: &mut Reply) {
    let name = String::from_utf8_lossy(args.at(1));
    reply.error(&format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try ACL HELP."));
}

fn cat(args: Args<'_>, reply: &mut Reply) {
    let names: Vec<&str> = match args.len() {
        2 => proxy_acl::category_names().collect(),
        3 => match proxy_acl::commands_of(args.at(2)) {
            Some(names) => names.collect(),
            None => {
                let shown = args.at(2).get(..args.at(2).len().min(128)).unwrap_or_default();
                return reply.error_bytes(&[b"ERR Unknown category '", shown, b"'"].concat());
            }
        },
        _ => return bad_subcommand(args, reply),
    };
    reply.array(names.len());
    for name in names {
        reply.bulk(name.as_bytes());
    }
}

fn dry_run(worker: &Worker, args: Args<'_>, reply: &mut Reply) {
    let users = worker.shared.users.current();
    let Some(user) = users.get(args.at(2)) else {
        return reply.error_bytes(&[b"ERR User '", args.at(2), b"' not found"].concat());
    };
    let call = args.slice(3..);
    let row = proxy_commands::lookup(call.at(0)).and_then(|row| {
        if row.subcommands.is_empty() || call.len() == 1 { Some(row) } else { row.subcommand(call.at(1)) }
    });
    let Some(row) = row else {
        return reply.error_bytes(&[b"ERR Command '", call.at(0), b"' not found"].concat());
    };
    if let Err(fail) = resolve(call) {
        return reply.error_bytes(fail.as_bytes());
    }
    match proxy_acl::check_command(user, row, call) {
        Ok(()) => reply.ok(),
        Err(denied) => reply.bulk(&denied.dry_run(row, call)),
    }
}

fn generate(args: Args<'_>, reply: &mut Reply) {
    let bits = match args.len() {
        2 => 256,
        3 => match proxy_resp::parse_i64(args.at(2)) {
            Some(bits) => bits,
            None => return reply.error("ERR value is not an integer or out of range"),
        },
        _ => return bad_subcommand(args, reply),
    };
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return reply.error(&format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to \
             {PASSWORD_BITS_MAX}"
        ));
    }
    let digits = (bits as usize).div_ceil(4);
    let mut bytes = vec![0; digits];
    rand::rng().fill_bytes(&mut bytes);
    let text: Vec<u8> = bytes.iter().map(|byte| b"0123456789abcdef"[usize::from(byte & 15)]).collect();
    reply.bulk(&text);
}

fn log(worker: &Worker, args: Args<'_>, reply: &mut Reply) {
    let mut log = worker.shared.users.log.lock();
    let count = match args.get(2) {
        None => LOG_SHOWN,
        Some(_) if args.len() > 3 => return bad_subcommand(args, reply),
        Some(word) if word.eq_ignore_ascii_case(b"reset") => {
            log.reset();
            return reply.ok();
        }
        Some(count) => match proxy_resp::parse_i64(count) {
            Some(count) => count.max(0),
            None => return reply.error("ERR value is not an integer or out of range"),
        },
    };
    let now_ms = unix_ms();
    let shown = log.iter().len().min(usize::try_from(count).unwrap_or(usize::MAX));
    reply.array(shown);
    for entry in log.iter().take(shown) {
        reply.map(7);
        reply.bulk(b"count");
        reply.integer(entry.count as i64);
        for (name, value) in [
            ("reason", entry.reason().as_bytes()),
            ("context", entry.context().as_bytes()),
            ("object", &entry.event.object),
            ("username", &entry.event.user),
        ] {
            reply.bulk(name.as_bytes());
            reply.bulk(value);
        }
        reply.bulk(b"age-seconds");
        reply.double((now_ms - entry.at_ms).max(0) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(entry.client.as_bytes());
    }
}

fn help(reply: &mut Reply) {
    let lines = [
        "ACL <subcommand> [<arg> ...]. What this server knows:",
        "CAT [<category>]",
        "    The categories of commands, or the commands of one.",
        "DELUSER <username> [<username> ...]",
        "    Remove users and close their connections.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Whether a user may run a command; it doesn't run.",
        "GENPASS [<bits>]",
        "    Make up a password, of 256 bits if nothing else is said.",
        "GETUSER <username>",
        "    The rules of a user.",
        "LIST, USERS",
        "    The rules of all users; their names.",
        "LOG [<count> | RESET]",
        "    What was denied lately, newest first; forget it.",
        "SAVE, LOAD",
        "    Users are in the metadata log when a change of them is answered; read them from there now.",
        "SETUSER <username> [<rule> ...]",
        "    Create or change a user, by all rules or none.",
        "WHOAMI",
        "    The user of this connection.",
        "HELP",
        "    This text.",
    ];
    reply.array(lines.len());
    for line in lines {
        reply.simple(line);
    }
}
