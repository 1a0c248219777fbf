//! SCRIPT, and what of FUNCTION needs no shard: the scripts that the node knows, and what runs.

use std::rc::Rc;

use proxy_commands::{Id, Row};
use proxy_resp::{Args, Reply};
use proxy_script::Sha;

use super::{busy, functions};
use crate::session::help;
use crate::worker::Worker;

const HELP: &[&str] = &[
    "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DEBUG (YES|SYNC|NO)",
    "    Set the debug mode for subsequent scripts executed.",
    "EXISTS <sha1> [<sha1> ...]",
    "    Return information about the existence of the scripts in the script cache.",
    "FLUSH [ASYNC|SYNC]",
    "    Flush the Lua scripts cache. Very dangerous on replicas.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the scripts cache.",
    "    * SYNC: Synchronously flush the scripts cache.",
    "KILL",
    "    Kill the currently executing Lua script.",
    "LOAD <script>",
    "    Load a script into the scripts cache without executing it.",
    "HELP",
    "    Prints this help.",
];

const FUNCTION_HELP: &[&str] = &[
    "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "LOAD [REPLACE] <FUNCTION CODE>",
    "    Create a new library with the given library name and code.",
    "DELETE <LIBRARY NAME>",
    "    Delete the given library.",
    "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
    "    Return general information on all the libraries:",
    "    * Library name",
    "    * The engine used to run the Library",
    "    * Library description",
    "    * Functions list",
    "    * Library code (if WITHCODE is given)",
    "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
    "STATS",
    "    Return information about the current function running:",
    "    * Function name",
    "    * Command used to run the function",
    "    * Duration in MS that the function is running",
    "    If no function is running, return nil",
    "    In addition, returns a list of available engines.",
    "KILL",
    "    Kill the current running function.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all the libraries.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the libraries.",
    "    * SYNC: Synchronously flush the libraries.",
    "DUMP",
    "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
    "    control how to handle existing libraries (default APPEND):",
    "    * FLUSH: delete all existing libraries.",
    "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
    "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
    "      libraries with the new libraries (notice that even on this option there is a chance of failure",
    "      in case of functions name collision with another library).",
    "HELP",
    "    Prints this help.",
];

/// Runs a SCRIPT command.
pub(crate) fn run(worker: &Rc<Worker>, row: &'static Row, args: Args<'_>, reply: &mut Reply) {
    let cache = &worker.shared.scripts;
    match row.id {
        Id::ScriptLoad => match load(worker, args.at(2)) {
            Ok(sha) => reply.bulk(sha.to_string().as_bytes()),
            Err(text) => reply.error_bytes(&text),
        },
        Id::ScriptExists => {
            reply.array(args.len() - 2);
            for text in args.iter().skip(2) {
                let known = Sha::parse(text).is_some_and(|sha| cache.contains(sha));
                reply.integer(i64::from(known));
            }
        }
        Id::ScriptFlush => {
            let mode = args.at(2);
            let known = mode.eq_ignore_ascii_case(b"SYNC") || mode.eq_ignore_ascii_case(b"ASYNC");
            if args.len() > 3 || (args.len() == 3 && !known) {
                return reply.error("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
            }
            cache.flush();
            reply.ok();
        }
        Id::ScriptDebug => match args.at(2) {
            mode if mode.eq_ignore_ascii_case(b"NO") => reply.ok(),
            mode if mode.eq_ignore_ascii_case(b"YES") || mode.eq_ignore_ascii_case(b"SYNC") => {
                reply.error("ERR the script debugger is not supported");
            }
            _ => reply.error("ERR Use SCRIPT DEBUG YES/SYNC/NO"),
        },
        Id::ScriptKill | Id::FunctionKill => match busy::kill(worker, row.id == Id::FunctionKill) {
            Ok(()) => reply.ok(),
            Err(text) => reply.error(text),
        },
        Id::FunctionStats => functions::stats(worker, reply),
        Id::FunctionHelp => {
            help(reply, FUNCTION_HELP);
        }
        Id::Function => reply.error("ERR wrong number of arguments for 'function' command"),
        Id::ScriptHelp => {
            help(reply, HELP);
        }
        _ => reply.error("ERR wrong number of arguments for 'script' command"),
    }
}

/// Compiles a script and makes it known.
fn load(worker: &Worker, code: &[u8]) -> Result<Sha, Vec<u8>> {
    let cache = &worker.shared.scripts;
    let vm = worker.scripts.vm(cache)?;
    let sha = proxy_script::sha1(code);
    if vm.flags(sha).is_none() {
        vm.compile(sha, code)?;
    }
    cache.insert(sha, code);
    Ok(sha)
}
