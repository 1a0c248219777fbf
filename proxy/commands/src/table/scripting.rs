//! Rows of the command table: scripts and functions.

use crate::row::{counted, integer, key, oneof, row, string, word};
use crate::{Arg, Flags as F, Group, Id, KeyFlags as K, Merge, Routing, Row};

const WRITER: &[F] = &[F::NOSCRIPT, F::STALE, F::SKIP_MONITOR, F::NO_MANDATORY_KEYS];
const READER: &[F] = &[F::READONLY, F::NOSCRIPT, F::STALE, F::SKIP_MONITOR, F::NO_MANDATORY_KEYS];
const COST: &str = "Depends on the script";
const CODE: &[Arg] = &[
    string("script"),
    integer("numkeys"),
    key("key", 0).optional().multiple(),
    string("arg").optional().multiple(),
];
const SHA: &[Arg] = &[
    string("sha1"),
    integer("numkeys"),
    key("key", 0).optional().multiple(),
    string("arg").optional().multiple(),
];
const FUNCTION: &[Arg] = &[
    string("function"),
    integer("numkeys"),
    key("key", 0).optional().multiple(),
    string("arg").optional().multiple(),
];
const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const MODES: &[Arg] = &[word("async", "ASYNC"), word("sync", "SYNC")];

pub(super) const ROWS: &[Row] = &[
    row(Id::Eval, "eval", -3, Group::Scripting, "2.6.0")
        .docs("Runs a script", COST)
        .flags(WRITER)
        .keys(&[counted(2, &[K::RW, K::ACCESS, K::UPDATE])
            .note("What the script does with its keys can't be told, so they count as read and changed")])
        .args(CODE),
    row(Id::EvalSha, "evalsha", -3, Group::Scripting, "2.6.0")
        .docs("Runs a script that the server knows", COST)
        .flags(WRITER)
        .keys(&[counted(2, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(SHA),
    row(Id::EvalRo, "eval_ro", -3, Group::Scripting, "7.0.0")
        .docs("Runs a script that changes nothing", COST)
        .flags(READER)
        .keys(&[counted(2, &[K::RO, K::ACCESS])
            .note("What the script does with its keys can't be told, so they count as read")])
        .args(CODE),
    row(Id::EvalShaRo, "evalsha_ro", -3, Group::Scripting, "7.0.0")
        .docs("Runs a script that the server knows and that changes nothing", COST)
        .flags(READER)
        .keys(&[counted(2, &[K::RO, K::ACCESS])])
        .args(SHA),
    row(Id::Script, "script", -2, Group::Scripting, "2.6.0")
        .docs("Container of commands about scripts", "Depends on the subcommand")
        .flags(&[])
        .acl(&[])
        .subcommands(&[
            row(Id::ScriptDebug, "script|debug", 3, Group::Scripting, "3.2.0")
                .docs("Switches the debugger on and off", "O(1)")
                .flags(&[F::NOSCRIPT])
                .args(&[oneof("mode", &[word("yes", "YES"), word("sync", "SYNC"), word("no", "NO")])]),
            row(Id::ScriptExists, "script|exists", -3, Group::Scripting, "2.6.0")
                .docs("Tells which scripts the server knows", "O(N), N scripts asked for")
                .flags(&[F::NOSCRIPT])
                .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
                .args(&[string("sha1").multiple()]),
            row(Id::ScriptFlush, "script|flush", -2, Group::Scripting, "2.6.0")
                .docs("Forgets all scripts", "O(N), N scripts known")
                .flags(&[F::NOSCRIPT])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .args(&[oneof("async", MODES).since("6.2.0").optional()]),
            row(Id::ScriptHelp, "script|help", 2, Group::Scripting, "5.0.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE]),
            row(Id::ScriptKill, "script|kill", 2, Group::Scripting, "2.6.0")
                .docs("Ends the script that runs", "O(1)")
                .flags(&[F::NOSCRIPT, F::ALLOW_BUSY])
                .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
            row(Id::ScriptLoad, "script|load", 3, Group::Scripting, "2.6.0")
                .docs("Makes a script known to the server", "O(N), N bytes of it")
                .flags(&[F::NOSCRIPT, F::STALE])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .args(&[string("script")]),
        ]),
    row(Id::Fcall, "fcall", -3, Group::Scripting, "7.0.0")
        .docs("Calls a function", COST)
        .flags(WRITER)
        .keys(&[counted(2, &[K::RW, K::ACCESS, K::UPDATE])
            .note("What the function does with its keys can't be told, so they count as read and changed")])
        .args(FUNCTION),
    row(Id::FcallRo, "fcall_ro", -3, Group::Scripting, "7.0.0")
        .docs("Calls a function that changes nothing", COST)
        .flags(READER)
        .keys(&[counted(2, &[K::RO, K::ACCESS])
            .note("What the function does with its keys can't be told, so they count as read")])
        .args(FUNCTION),
    row(Id::Function, "function", -2, Group::Scripting, "7.0.0")
        .docs("Container of commands about functions", "Depends on the subcommand")
        .flags(&[])
        .acl(&[])
        .subcommands(&[
            row(Id::FunctionDelete, "function|delete", 3, Group::Scripting, "7.0.0")
                .docs("Deletes a library", "O(1)")
                .flags(&[F::WRITE, F::NOSCRIPT])
                .tips(ALL_SHARDS)
                .route(Routing::AllShards(Merge::AllOk))
                .args(&[string("library-name")]),
            row(Id::FunctionDump, "function|dump", 2, Group::Scripting, "7.0.0")
                .docs("Returns all libraries in a form that can be restored", "O(N), N functions")
                .flags(&[F::NOSCRIPT])
                .route(Routing::AnyShard),
            row(Id::FunctionFlush, "function|flush", -2, Group::Scripting, "7.0.0")
                .docs("Deletes all libraries", "O(N), N functions")
                .flags(&[F::WRITE, F::NOSCRIPT])
                .tips(ALL_SHARDS)
                .route(Routing::AllShards(Merge::AllOk))
                .args(&[oneof("async", MODES).optional()]),
            row(Id::FunctionHelp, "function|help", 2, Group::Scripting, "7.0.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE]),
            row(Id::FunctionKill, "function|kill", 2, Group::Scripting, "7.0.0")
                .docs("Ends the function that runs", "O(1)")
                .flags(&[F::NOSCRIPT, F::ALLOW_BUSY])
                .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
            row(Id::FunctionList, "function|list", -2, Group::Scripting, "7.0.0")
                .docs("Lists libraries and their functions", "O(N), N functions")
                .flags(&[F::NOSCRIPT])
                .tips(&["nondeterministic_output_order"])
                .route(Routing::AnyShard)
                .args(&[
                    string("library-name-pattern").token("LIBRARYNAME").optional(),
                    word("withcode", "WITHCODE").optional(),
                ]),
            row(Id::FunctionLoad, "function|load", -3, Group::Scripting, "7.0.0")
                .docs("Loads a library", "O(1), compiling aside")
                .flags(&[F::WRITE, F::DENYOOM, F::NOSCRIPT])
                .tips(ALL_SHARDS)
                .route(Routing::AllShards(Merge::AllOk))
                .args(&[word("replace", "REPLACE").optional(), string("function-code")]),
            row(Id::FunctionRestore, "function|restore", -3, Group::Scripting, "7.0.0")
                .docs("Loads the libraries of a dump", "O(N), N functions in it")
                .flags(&[F::WRITE, F::DENYOOM, F::NOSCRIPT])
                .tips(ALL_SHARDS)
                .route(Routing::AllShards(Merge::AllOk))
                .args(&[
                    string("serialized-value"),
                    oneof(
                        "policy",
                        &[word("flush", "FLUSH"), word("append", "APPEND"), word("replace", "REPLACE")],
                    )
                    .optional(),
                ]),
            row(Id::FunctionStats, "function|stats", 2, Group::Scripting, "7.0.0")
                .docs("Tells what runs, and how many functions there are", "O(1)")
                .flags(&[F::NOSCRIPT, F::ALLOW_BUSY])
                .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
        ]),
];
