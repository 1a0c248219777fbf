//! Rows of the command table: the connection itself.

use crate::row::{block, integer, oneof, row, string, word};
use crate::{Flags as F, Group, Id, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::Ping, "ping", -1, Group::Connection, "1.0.0")
        .docs("Answers PONG, or what it was given", "O(1)")
        .flags(&[F::FAST])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args(&[string("message").optional()]),
    row(Id::Echo, "echo", 2, Group::Connection, "1.0.0")
        .docs("Answers what it was given", "O(1)")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .args(&[string("message")]),
    row(Id::Auth, "auth", -2, Group::Connection, "1.0.0")
        .docs("Authenticates the connection", "O(N), N passwords of the user")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::NO_AUTH, F::ALLOW_BUSY])
        .args(&[string("username").since("6.0.0").optional(), string("password")]),
    row(Id::Hello, "hello", -1, Group::Connection, "6.0.0")
        .docs("Greets the server and chooses the protocol", "O(1)")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::NO_AUTH, F::ALLOW_BUSY])
        .args(&[block(
            "arguments",
            &[
                integer("protover"),
                block("username_password", &[string("username"), string("password")])
                    .token("AUTH")
                    .optional(),
                string("clientname").token("SETNAME").optional(),
            ],
        )
        .optional()]),
    row(Id::Select, "select", 2, Group::Connection, "1.0.0")
        .docs("Chooses the database of the connection", "O(1)")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .args(&[integer("index")]),
    row(Id::Quit, "quit", -1, Group::Connection, "1.0.0").docs("Closes the connection", "O(1)").flags(&[
        F::NOSCRIPT,
        F::LOADING,
        F::STALE,
        F::FAST,
        F::NO_AUTH,
        F::ALLOW_BUSY,
    ]),
    row(Id::Reset, "reset", 1, Group::Connection, "6.2.0")
        .docs("Puts the connection back to how it began", "O(1)")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::NO_AUTH, F::ALLOW_BUSY]),
    row(Id::Client, "client", -2, Group::Connection, "2.4.0")
        .docs("Container of commands about connections", "Depends on the subcommand")
        .flags(&[])
        .acl(&[])
        .subcommands(&[
            row(Id::ClientCaching, "client|caching", 3, Group::Connection, "6.0.0")
                .docs("Whether what the next command reads is cached", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[oneof("mode", &[word("yes", "YES"), word("no", "NO")])]),
            row(Id::ClientGetname, "client|getname", 2, Group::Connection, "2.6.9")
                .docs("Name of the connection", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE]),
            row(Id::ClientGetredir, "client|getredir", 2, Group::Connection, "6.0.0")
                .docs("Who is told in the place of this connection what is stale", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE]),
            row(Id::ClientHelp, "client|help", 2, Group::Connection, "5.0.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE]),
            row(Id::ClientId, "client|id", 2, Group::Connection, "5.0.0")
                .docs("Number of the connection", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE]),
            row(Id::ClientInfo, "client|info", 2, Group::Connection, "6.2.0")
                .docs("Describes this connection", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
                .tips(&["nondeterministic_output"]),
            row(Id::ClientKill, "client|kill", -3, Group::Connection, "2.4.0")
                .docs("Closes connections", "O(N), N connections")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[oneof(
                    "filter",
                    &[
                        string("ip:port").deprecated("2.8.12"),
                        oneof(
                            "new-format",
                            &[
                                integer("client-id").token("ID").since("2.8.12").optional(),
                                oneof(
                                    "normal_master_slave_pubsub",
                                    &[
                                        word("normal", "NORMAL"),
                                        word("master", "MASTER").since("3.2.0"),
                                        word("slave", "SLAVE"),
                                        word("replica", "REPLICA").since("5.0.0"),
                                        word("pubsub", "PUBSUB"),
                                    ],
                                )
                                .token("TYPE")
                                .since("2.8.12")
                                .optional(),
                                string("username").token("USER").optional(),
                                string("ip:port").token("ADDR").optional(),
                                string("ip:port").token("LADDR").since("6.2.0").optional(),
                                string("yes/no").token("SKIPME").optional(),
                            ],
                        )
                        .multiple(),
                    ],
                )]),
            row(Id::ClientList, "client|list", -2, Group::Connection, "2.4.0")
                .docs("Describes the open connections", "O(N), N connections")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .tips(&["nondeterministic_output"])
                .args(&[
                    oneof(
                        "normal_master_replica_pubsub",
                        &[
                            word("normal", "NORMAL"),
                            word("master", "MASTER"),
                            word("replica", "REPLICA"),
                            word("pubsub", "PUBSUB"),
                        ],
                    )
                    .token("TYPE")
                    .since("5.0.0")
                    .optional(),
                    block("id", &[integer("client-id").multiple()]).token("ID").since("6.2.0").optional(),
                ]),
            row(Id::ClientNoEvict, "client|no-evict", 3, Group::Connection, "7.0.0")
                .docs("Protects the connection from being closed to save memory", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[oneof("enabled", &[word("on", "ON"), word("off", "OFF")])]),
            row(Id::ClientNoTouch, "client|no-touch", 3, Group::Connection, "7.2.0")
                .docs("Has the connection's commands not count as uses of keys", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[oneof("enabled", &[word("on", "ON"), word("off", "OFF")])]),
            row(Id::ClientPause, "client|pause", -3, Group::Connection, "2.9.50")
                .docs("Has clients wait for some time", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[
                    integer("timeout"),
                    oneof("mode", &[word("write", "WRITE"), word("all", "ALL")]).since("6.2.0").optional(),
                ]),
            row(Id::ClientReply, "client|reply", 3, Group::Connection, "3.2.0")
                .docs("Turns replies on or off", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[oneof("on_off_skip", &[word("on", "ON"), word("off", "OFF"), word("skip", "SKIP")])]),
            row(Id::ClientSetinfo, "client|setinfo", 4, Group::Connection, "7.2.0")
                .docs("Says which library the connection is used by", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[oneof(
                    "attr",
                    &[string("libname").token("LIB-NAME"), string("libver").token("LIB-VER")],
                )]),
            row(Id::ClientSetname, "client|setname", 3, Group::Connection, "2.6.9")
                .docs("Names the connection", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[string("connection-name")]),
            row(Id::ClientTracking, "client|tracking", -3, Group::Connection, "6.0.0")
                .docs("Has the server tell when keys change that the client has read", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[
                    oneof("status", &[word("on", "ON"), word("off", "OFF")]),
                    integer("client-id").token("REDIRECT").optional(),
                    string("prefix").token("PREFIX").optional().multiple().multiple_token(),
                    word("bcast", "BCAST").optional(),
                    word("optin", "OPTIN").optional(),
                    word("optout", "OPTOUT").optional(),
                    word("noloop", "NOLOOP").optional(),
                ]),
            row(Id::ClientTrackinginfo, "client|trackinginfo", 2, Group::Connection, "6.2.0")
                .docs("How this connection caches", "O(1)")
                .flags(&[F::NOSCRIPT, F::LOADING, F::STALE]),
            row(Id::ClientUnblock, "client|unblock", -3, Group::Connection, "5.0.0")
                .docs("Ends the wait of a client", "O(log(N)), N connections")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[
                    integer("client-id"),
                    oneof("timeout_error", &[word("timeout", "TIMEOUT"), word("error", "ERROR")]).optional(),
                ]),
            row(Id::ClientUnpause, "client|unpause", 2, Group::Connection, "6.2.0")
                .docs("Ends a pause of clients", "O(N), N clients that wait")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE]),
        ]),
];
