//! CONFIG: reading and changing parameters (see [`crate::params`]), and beginning to count anew.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use proxy_commands::Id;
use proxy_engine::glob_match;
use proxy_resp::{Args, Reply};

use super::{Session, wrong_arguments};
use crate::conn::{Batch, Conn};
use crate::params::{self, PARAMS, Refused};
use crate::pause;
use crate::shared::Shared;
use crate::worker::Worker;

pub(super) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &Session,
    id: Id,
    args: Args<'_>,
    batch: &mut Batch,
) {
    let reply = &mut batch.reply;
    match id {
        Id::ConfigGet => get(&worker.shared, session.endpoint.is_some(), args, reply),
        Id::ConfigSet => {
            // It is in force on every worker when it is answered.
            if set(&worker.shared, args, reply) {
                pause::tell_all(worker, conn, session, batch);
            }
        }
        Id::ConfigResetstat => {
            worker.shared.stats.iter().for_each(|stats| stats.reset());
            for status in &worker.shared.status {
                status.evicted.store(0, Relaxed);
            }
            reply.ok();
        }
        Id::ConfigRewrite => {
            match worker.shared.config.hooks.keep_parameters(&params::written(&worker.shared)) {
                Ok(()) => reply.ok(),
                Err(why) => reply.error(&why.replace(['\r', '\n'], " ")),
            }
        }
        Id::ConfigHelp => help(reply),
        _ => wrong_arguments(reply, "config"),
    }
}

fn get(shared: &Shared, in_cluster: bool, args: Args<'_>, reply: &mut Reply) {
    let patterns: Vec<Vec<u8>> = args.slice(2..).iter().map(<[u8]>::to_ascii_lowercase).collect();
    let mark = reply.deferred_map();
    let mut count = 0;
    for param in PARAMS {
        for name in param.names() {
            if patterns.iter().any(|pattern| glob_match(pattern, name.as_bytes())) {
                reply.bulk(name.as_bytes());
                match name {
                    "cluster-enabled" if in_cluster => reply.bulk(b"yes"),
                    _ => reply.bulk(&param.value(shared)),
                }
                count += 1;
            }
        }
    }
    reply.finish_map(mark, count);
}

/// False when something is wrong, which is answered.
pub(super) fn set(shared: &Shared, args: Args<'_>, reply: &mut Reply) -> bool {
    if args.len() < 4 || !args.len().is_multiple_of(2) {
        reply.error("ERR syntax error");
        return false;
    }
    let pairs = (2..args.len()).step_by(2).map(|at| (args.at(at), args.at(at + 1)));
    let text = match params::set(shared, pairs) {
        Ok(()) => return true,
        Err(Refused::Unknown(name)) => {
            [&b"ERR Unknown option or number of arguments for CONFIG SET - '"[..], &name, b"'"].concat()
        }
        Err(Refused::Wrong { name, why }) => {
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}").into_bytes()
        }
    };
    reply.error_bytes(&text);
    false
}

fn help(reply: &mut Reply) {
    super::help(
        reply,
        &[
            "CONFIG <subcommand> [<arg> ...]. What this server knows:",
            "GET <pattern> [<pattern> ...]",
            "    Parameters whose names match, and their values.",
            "SET <parameter> <value> [<parameter> <value> ...]",
            "    Change parameters, all or none of them.",
            "RESETSTAT",
            "    Begin counting anew.",
            "REWRITE",
            "    Keep what was set for the next start, in the data folder.",
            "HELP",
            "    This text.",
        ],
    );
}
