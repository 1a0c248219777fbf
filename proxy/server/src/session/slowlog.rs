//! SLOWLOG: what took long.

use std::rc::Rc;

use proxy_commands::Id;
use proxy_resp::{Args, Reply};

use super::wrong_arguments;
use crate::worker::Worker;

pub(super) fn run(worker: &Rc<Worker>, id: Id, args: Args<'_>, reply: &mut Reply) {
    let log = &worker.shared.slowlog;
    match id {
        Id::SlowlogGet => get(worker, args, reply),
        Id::SlowlogLen => reply.integer(log.len() as i64),
        Id::SlowlogReset => {
            log.clear();
            reply.ok();
        }
        Id::SlowlogHelp => help(reply),
        _ => wrong_arguments(reply, "slowlog"),
    }
}

fn get(worker: &Worker, args: Args<'_>, reply: &mut Reply) {
    const DEFAULT_COUNT: i64 = 10;
    let count = match args.len() {
        2 => Some(DEFAULT_COUNT),
        3 => proxy_resp::parse_i64(args.at(2)).filter(|n| *n >= -1),
        _ => {
            return super::too_many(args, "SLOWLOG", reply);
        }
    };
    let Some(count) = count else {
        return reply.error("ERR count should be greater than or equal to -1");
    };
    // -1: all of them.
    let entries = worker.shared.slowlog.newest(usize::try_from(count).unwrap_or(usize::MAX));
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.unix_s);
        reply.integer(entry.us as i64);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&entry.name);
    }
}

fn help(reply: &mut Reply) {
    super::help(
        reply,
        &[
            "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "GET [<count>]",
            "    Show the newest entries, 10 unless a count is given, all for -1. An entry has a",
            "    number, a time, the microseconds that it took, the arguments, and the client.",
            "LEN",
            "    Print the number of entries.",
            "RESET",
            "    Forget all entries.",
            "HELP",
            "    Print this help.",
        ],
    );
}
