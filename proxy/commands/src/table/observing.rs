//! Rows of the command table: watching the server at work.

use crate::row::{integer, row, string};
use crate::{Flags as F, Group, Id, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::Monitor, "monitor", 1, Group::Server, "1.0.0")
        .docs("Shows every command as it comes", "O(1)")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE]),
    row(Id::Slowlog, "slowlog", -2, Group::Server, "2.2.12")
        .docs("Container of commands about the slow log", "Depends on the subcommand")
        .flags(&[])
        .subcommands(&[
            row(Id::SlowlogGet, "slowlog|get", -2, Group::Server, "2.2.12")
                .docs("Shows the newest entries of the slow log", "O(N), N entries")
                .flags(&[F::ADMIN, F::LOADING, F::STALE])
                .tips(&["request_policy:all_nodes", "nondeterministic_output"])
                .args(&[integer("count").optional()]),
            row(Id::SlowlogHelp, "slowlog|help", 2, Group::Server, "6.2.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE]),
            row(Id::SlowlogLen, "slowlog|len", 2, Group::Server, "2.2.12")
                .docs("Number of entries of the slow log", "O(1)")
                .flags(&[F::ADMIN, F::LOADING, F::STALE])
                .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]),
            row(Id::SlowlogReset, "slowlog|reset", 2, Group::Server, "2.2.12")
                .docs("Empties the slow log", "O(N), N entries")
                .flags(&[F::ADMIN, F::LOADING, F::STALE])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        ]),
    row(Id::Latency, "latency", -2, Group::Server, "2.8.13")
        .docs("Container of commands about latency", "Depends on the subcommand")
        .flags(&[])
        .subcommands(&[
            row(Id::LatencyDoctor, "latency|doctor", 2, Group::Server, "2.8.13")
                .docs("Says what was slow and what may help", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
            row(Id::LatencyGraph, "latency|graph", 3, Group::Server, "2.8.13")
                .docs("Draws the samples of an event", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .args(&[string("event")]),
            row(Id::LatencyHelp, "latency|help", 2, Group::Server, "2.8.13")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE]),
            row(Id::LatencyHistogram, "latency|histogram", -2, Group::Server, "7.0.0")
                .docs("How long calls of commands took, cumulated", "O(N), N commands asked for")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .args(&[string("command").optional().multiple()]),
            row(Id::LatencyHistory, "latency|history", 3, Group::Server, "2.8.13")
                .docs("Samples of an event with their times", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .args(&[string("event")]),
            row(Id::LatencyLatest, "latency|latest", 2, Group::Server, "2.8.13")
                .docs("The latest sample of each event", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
            row(Id::LatencyReset, "latency|reset", -2, Group::Server, "2.8.13")
                .docs("Forgets the samples of events", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .args(&[string("event").optional().multiple()]),
        ]),
    row(Id::Lolwut, "lolwut", -1, Group::Server, "5.0.0")
        .docs("Draws something, and says the version", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .args(&[integer("version").token("VERSION").optional()]),
];
